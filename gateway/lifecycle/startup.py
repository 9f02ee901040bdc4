"""Starting, or saying why not.

A gateway that cannot start ends with exit status 1 and plain sentences on standard error, never a traceback,
whichever program runs it:

* ``twistd -n gateway`` and ``python -m twisted gateway``: the sentences are on standard error;
* ``twistd gateway`` (daemon): the parent, which waits for the daemon, prints the first of them and exits
  with 1; the log file has all of them, and no pid file stays behind.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.http.authority import authority

__all__ = [
    "LISTEN", "MAP_PORT", "MORE_FILES", "CannotBind", "PortToBind", "StartFailed", "bind_or_none", "cannot_bind",
    "give_up", "lacking", "refuse", "result_now",
]  # fmt: skip

_log = Logger()
_T = TypeVar("_T")

MORE_FILES = "raise the limit of open files, `ulimit -n` or LimitNOFILE= of systemd"
"""What to do where there are too few file descriptors."""
_REMEDIES = {
    errno.EADDRINUSE: "another program has the port; stop it (`ss -ltnp` names it) or take another port, with {option}",
    errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; take a higher one, with {option}",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address; leave the address out to listen on all",
    errno.EAFNOSUPPORT: "this machine has no such address family; use an address of another family",
    errno.EMFILE: MORE_FILES,
}
_LACKING = {
    errno.EMFILE: MORE_FILES,
    errno.ENFILE: "the whole system has no more open files to give; raise `sysctl fs.file-max`",
    errno.EAGAIN: "raise the limit of processes, `ulimit -u` or TasksMax= of systemd",
    errno.ENOMEM: "the machine has too little memory; take fewer --workers",
}


class StartFailed(SystemExit, Exception):
    """The gateway cannot start; ``problems`` has one sentence for each reason.

    Both bases are needed: ``twistd`` removes its pid file and tells the parent that waits for a daemon for an
    ``Exception`` only, and the interpreter turns a ``SystemExit`` into an exit status without a traceback.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(1)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(self.problems)


MAP_PORT = "--map-port {port}=NEW or in the configuration"
LISTEN = "--listen"
"""What chooses another port, for messages: with a configuration, and without."""


class PortToBind(NamedTuple):
    """One port to listen on.

    ``listener`` names it for messages, ``option`` says there what chooses another port; ``host`` is empty for all
    addresses.
    """

    listener: str
    host: str
    port: int
    endpoint: IStreamServerEndpoint
    factory: IProtocolFactory
    option: str = MAP_PORT


def refuse(problems: Iterable[str], heading: str = "gateway: cannot start") -> NoReturn:
    """Print why the gateway cannot start, also to the log where there is one, and raise `StartFailed`."""
    failed = StartFailed(list(problems))
    _tell(failed.problems, heading)
    raise failed


def give_up(reactor: Any, problems: Sequence[str]) -> None:
    """As `refuse`, where that shows only when the reactor runs: it is stopped, and the exit status is 1."""
    _tell(problems, "gateway: cannot start")
    # The programs that run the reactor have no other way to a status; what they do at the end is done by then.
    atexit.register(_exit)
    reactor.stop()


def _exit() -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)


def _tell(problems: Sequence[str], heading: str) -> None:
    stream = sys.__stderr__
    if stream is not None:
        print(heading, *problems, sep="\n  ", file=stream, flush=True)
    if sys.stderr is not stream:  # twistd has begun logging, and in a daemon the log is all there is
        for problem in problems:
            _log.critical("cannot start: {problem}", problem=problem)


def cannot_bind(listener: str, host: str, port: int, error: BaseException, option: str = MAP_PORT) -> str:
    """A sentence for the operator: which listener, where, why not, and what to do.

    ``error`` is a ``CannotListenError`` or an ``OSError``; ``option`` chooses another port.
    """
    cause = getattr(error, "socketError", error)
    number = cause.errno if isinstance(cause, OSError) else None
    reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    place = authority(host or "*", port)
    remedy = _REMEDIES.get(number or 0, "").format(option=option.format(port=port))
    return f"listener {listener!r}: cannot listen on {place}: {reason}" + (f" ({remedy})" if remedy else "")


def lacking(error: OSError) -> str:
    """Why a process could not be started, and what to do."""
    # posix_spawn(3) says EBADF of a descriptor that the new process may not have.
    number = errno.EMFILE if error.errno == errno.EBADF else error.errno or 0
    reason, remedy = os.strerror(number) if number else str(error), _LACKING.get(number, "")
    return f"{reason} ({remedy})" if remedy else reason


class CannotBind(Exception):
    """Ports that cannot be bound; ``problems`` has one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def bind_or_none(bindings: Iterable[PortToBind]) -> list[IListeningPort]:
    """Listen on every port and return the ports, in the order of ``bindings``. Raises `CannotBind`.

    The endpoints must answer at once, as those of a `gateway.interfaces.IRoad` do.  Ports that were bound before
    another one failed are closed again.
    """
    ports: list[IListeningPort] = []
    problems: list[str] = []
    for binding in bindings:
        try:
            ports.append(result_now(binding.endpoint.listen(binding.factory)))
        except Exception as error:
            problems.append(cannot_bind(binding.listener, binding.host, binding.port, error, binding.option))
    if problems:
        for port in ports:
            port.stopListening()
        raise CannotBind(problems)
    return ports


def result_now(deferred: Deferred[_T]) -> _T:
    """The result of a Deferred that has one; raises what it failed with, or ``RuntimeError`` where it has none yet."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    if not found:
        deferred.cancel()
        raise RuntimeError("the endpoint did not answer at once")
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return cast(_T, found[0])
