"""What a process does that is a gateway and nothing else: descriptors, the garbage collector, signals."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.errors import ReloadFailed
from gateway.lifecycle.collector import Collector
from gateway.lifecycle.startup import MORE_FILES
from gateway.listener.admission import descriptors_in_use

if TYPE_CHECKING:
    from gateway.service import GatewayService

__all__ = [
    "Stoppable", "cores", "heed_signals", "keep_freed_memory", "limit_clients", "raise_descriptor_limit",
    "reopen_logs_on_signal", "settle",
]  # fmt: skip

_log = Logger("gateway")

_MALLOC = {-1: 16 << 20, -2: 1 << 20, -3: 4 << 20}
"""M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of malloc.h: bytes that are kept, fetched at once, mapped apart."""

def cores() -> int:
    """How many cores this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available is not None else os.cpu_count() or 1


class Stoppable(Protocol):
    """A service that takes its time to stop. ``running``: it has not begun to; ``hurry()``: it may take no more.

    ``reload()`` reads its configuration again, and says in the log what comes of it.  ``reopen_logs()`` opens the
    access log again, if that is a file.
    """

    running: int

    def hurry(self) -> None:
        """Stop now."""

    def reload(self) -> Any:
        """Returns a Deferred."""

    def reopen_logs(self) -> None:
        """Open it now."""


def settle(reactor: Any, service: GatewayService) -> None:
    """Called once, when the reactor runs and everything is built."""
    limit_clients(service, raise_descriptor_limit())
    reopen_logs_on_signal(reactor, service)
    keep_freed_memory()
    heed_signals(reactor, service)
    if service.road.name == "pump":
        Collector(reactor).start()
    else:  # whose transports leave cycles behind
        gc.collect()
        gc.freeze()  # what is here stays: a collection need not look at it again


def keep_freed_memory() -> bool:
    """Let malloc keep some of what is freed instead of giving each large buffer back; whether that can be said here.

    What was given back has to be fetched again page by page, which costs more than to fill it: half the time of a
    request with 64 KiB of body.  glibc only (mallopt(3)).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(option, size) for option, size in _MALLOC.items())


def raise_descriptor_limit() -> int | None:
    """Use all the file descriptors the system grants, for each client may need two; the new limit, if there is one."""
    try:
        import resource
    except ImportError:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return int(soft)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warn("at most {soft} file descriptors, the limit cannot be raised: {error}", soft=soft, error=error)
        return int(soft)
    return int(hard)


def limit_clients(service: GatewayService, limit: int | None) -> None:
    """Let in as many clients as ``limit`` descriptors are enough for; ``None`` or less than one: nothing is known."""
    if limit is None or limit < 1:
        return
    admission = service.admission
    admission.limit_descriptors(limit, _descriptors_in_use())
    if admission.most is not None and admission.most > admission.paired:
        _log.warn(
            "limits.maxConnections is {most}, and {limit} file descriptors are enough for {paired} clients that have a "
            "connection to a backend each; {remedy}",
            most=admission.most,
            limit=limit,
            paired=admission.paired,
            remedy=MORE_FILES,
        )


def _descriptors_in_use() -> int:
    used = descriptors_in_use()
    if used is not None:
        return used
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


def reopen_logs_on_signal(reactor: Any, service: Stoppable) -> None:
    """Let SIGUSR1 open the access log again, as logrotate expects, after what else it is for.

    ``twistd`` rotates its own log then, where that is a file.  Where there is nothing to open the signal does nothing:
    by default it would end the process.  Who was told to ignore it goes on to do so.
    """
    number = getattr(signal, "SIGUSR1", None)
    before = signal.SIG_IGN if number is None else signal.getsignal(number)
    if number is None or before in (None, signal.SIG_IGN):
        return

    def reopen(number: int, frame: Any) -> None:
        if callable(before):
            before(number, frame)
        reactor.callFromThread(service.reopen_logs)

    signal.signal(number, reopen)


def heed_signals(reactor: Any, service: Stoppable) -> None:
    """Let a second SIGTERM or SIGINT end the time that stopping may take, and SIGHUP read the configuration again.

    The first of them is the reactor's. A hang-up ends the gateway only where the terminal that it was started from is
    gone, and not where it was told to ignore that (nohup).
    """
    begun = False

    def stop(first: Any, number: int, frame: Any) -> None:
        nonlocal begun
        if begun or not service.running:
            reactor.callFromThread(service.hurry)
        else:
            begun = True
            first(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        first = signal.getsignal(number)
        if callable(first):
            signal.signal(number, partial(stop, first))
    hang_up = getattr(signal, "SIGHUP", None)
    before = None if hang_up is None else signal.getsignal(hang_up)
    terminal = before == signal.SIG_DFL and _has_terminal()

    def hung_up(*_: object) -> None:
        if terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            reactor.callFromThread(reload)

    def reload() -> None:
        service.reload().addErrback(_trap)

    if hang_up is not None and before in (signal.SIG_DFL, signal.SIG_IGN):
        signal.signal(hang_up, hung_up)


def _trap(failure: Failure) -> None:
    """A reload that failed has been logged."""
    failure.trap(ReloadFailed)


def _has_terminal() -> bool:
    return os.isatty(0)
