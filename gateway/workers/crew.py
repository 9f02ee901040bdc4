"""The worker processes: started, watched, replaced, stopped.

A worker that dies is replaced; its listening sockets are the parent's as well, so that who connects meanwhile waits in
the backlog instead of being refused.  One that dies soon after its start is replaced after a growing pause, and so is
one that cannot be started, for want of descriptors or memory.  Nobody is to wait for that long: where the first attempt
has failed the parent shuts the sockets, so that the kernel sends their clients to the other workers; who serves at last
listens again.  One that begins to stop without having been told has its successor at its side at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from socket import SHUT_RDWR, SO_ACCEPTCONN, SOL_SOCKET, socket, socketpair
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from gateway.lifecycle.startup import lacking
from gateway.observe.sinks import ACCESS
from gateway.workers.link import FROM_PARENT, HANDOVER, SOCKETS, STDERR, TO_PARENT, TRACE, Link, Message

__all__ = ["Crew", "Worker"]

_log = Logger("gateway")
_access_log = Logger(ACCESS)

_STABLE_SECONDS = 10.0
_FIRST_PAUSE, _MOST_PAUSE = 0.1, 5.0
_GRACE_SECONDS = 3.0
"""What a worker gets beyond the gateway's own limit before it is killed."""

_TRACE_SECONDS = 1.0
"""What a worker that hangs gets to say where."""

_MOST_PRINTED = 8192
"""Bytes of a line that a process prints that are kept until its end is here."""

_ATTEMPTS = 3
"""How often each worker may fail to start before the first of all has served."""


class Worker(ProcessProtocol):
    """One worker process, and its successors: the number stays.

    ``sockets``: what the next process listens with, by listener.  ``informed``: it has been told how things stand, and
    hears what changes.  ``ready``: it serves.  ``unanswered``: how often it has been asked for a sign of life since it
    last said something.  ``link``: towards the process of the moment, ``handover``: the channel for further sockets.
     ``known`` and ``version`` are for whoever reloads: which ports it has, of which configuration.
    """

    transport: Any

    def __init__(self, crew: Crew, number: int, sockets: Mapping[str, socket]) -> None:
        self.number = number
        self.sockets = dict(sockets)
        self.ready = self.informed = False
        self.unanswered = 0
        self.pid = 0
        self.version = 0
        self.known: set[object] = set()
        self.handover: socket | None = None
        self._retired = False
        self.link = Link(self._received)
        self._crew = crew
        self._began = 0.0
        self._pause = _FIRST_PAUSE
        self._reason = ""
        self._printed = b""
        self._vacant = False
        self._lacks: int | None = None
        self._gone: Deferred[None] | None = None
        self._again: Any = None
        self._killing: Any = None

    def start(self) -> None:
        """Begin a process. Raises ``OSError`` where that cannot be done; nothing of it is left then."""
        reactor = self._crew.reactor
        self._began = reactor.seconds()
        self._reason = ""
        self.unanswered = 0
        self.link = Link(self._received)
        self.handover, end = socketpair()
        self.handover.setblocking(False)
        descriptors: dict[int, Any] = {0: 0, 1: 1, STDERR: "r", FROM_PARENT: "w", TO_PARENT: "r"}
        descriptors[HANDOVER] = end.fileno()
        descriptors |= {SOCKETS + index: sock.fileno() for index, sock in enumerate(self.sockets.values())}
        command = [sys.executable, "-m", "gateway.workers.child"]
        # The directory of the parent is on its path when it runs from a checkout: let the worker find the same gateway.
        path = os.pathsep.join(filter(None, [*sys.path, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        try:
            reactor.spawnProcess(self, command[0], command, env=environment, childFDs=descriptors)
        except OSError:
            self.handover.close()
            raise
        finally:
            end.close()
        self._lacks = None

    def later(self, error: OSError, call: Callable[[], object]) -> None:
        """A process could not be begun: ``call`` after a pause. Said once, however often it fails for that reason."""
        if error.errno != self._lacks:
            self._lacks = error.errno
            _log.error(
                "worker {number} cannot be started: {why}; this is tried again until it can",
                number=self.number, why=lacking(error),
            )  # fmt: skip
        self.vacate()
        self._pause = min(self._pause * 2, _MOST_PAUSE)
        self._again = self._crew.reactor.callLater(self._pause, call)

    def use(self, sockets: Mapping[str, socket]) -> None:
        """Let the next process listen with these, which others may be among than before."""
        self.sockets = dict(sockets)
        if self._vacant:
            self.vacate()

    def vacate(self) -> None:
        """Let the sockets collect nobody until a process listens with them again; who waits there is reset.

        Without effect from when a process has been told to serve.
        """
        if self.informed:
            return
        self._vacant = True
        for sock in self.sockets.values():
            # Shut once more, it could listen again, but what it accepts would be shut as well.
            if sock.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
                sock.shutdown(SHUT_RDWR)

    def _start_again(self) -> None:
        self._again = None
        try:
            self.start()
        except OSError as error:
            self.later(error, self._start_again)

    def stay(self) -> None:
        """Whatever was to come after a pause does not."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None

    def stop(self, limit: float) -> Deferred[None]:
        """End the process, by force after ``limit`` seconds; fires when it is gone.

        One that has been told before has what is left of its time.
        """
        gone: Deferred[None] = Deferred()
        self.stay()
        if not self.pid:
            gone.callback(None)
            return gone
        self._gone = gone
        self.link.send("stop")
        if self._killing is None:
            self._killing = self._crew.reactor.callLater(limit + _GRACE_SECONDS, self._overdue)
        return gone

    def retire(self, limit: float) -> None:
        """Let the process finish what it does; another `Worker` has taken its place."""
        self._retired = True
        self.stop(limit)

    def hurry(self) -> None:
        """It has been told to stop: let it do so now."""
        if self.pid:
            self.link.send("hurry")
        if self._killing is not None and self._killing.active():
            self._killing.reset(_GRACE_SECONDS)

    def hangs(self, seconds: float) -> None:
        """It has not said anything for so long: let it say where it is, if it can, and kill it."""
        _log.error(
            "worker {number} (process {pid}) has not answered for {seconds:g} s and is killed; where it hangs follows",
            number=self.number, pid=self.pid, seconds=seconds,
        )  # fmt: skip
        self._signal(TRACE)
        if self._killing is None:
            self._killing = self._crew.reactor.callLater(_TRACE_SECONDS, self._kill)

    def _overdue(self) -> None:
        _log.error("worker {number} (process {pid}) does not end and is killed", number=self.number, pid=self.pid)
        self._kill()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessExitedAlready):  # it ends before all that it has said has been read
            self.transport.signalProcess(number)

    # -- what the process does

    def connectionMade(self) -> None:
        """It runs."""
        self.pid = self.transport.pid
        self.link.makeConnection(_Pipe(self.transport))
        self._crew.began(self)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It says something, or has printed it."""
        if childFD != STDERR:
            self.link.dataReceived(data)
            return
        data = self._printed + data
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) > _MOST_PRINTED else 0)
        self._printed = data[end:]
        self._log_printed(data[:end])

    def _log_printed(self, data: bytes) -> None:
        """Warnings of libraries, what a plugin prints, and what is left to say where native code fails."""
        text = data.decode("utf-8", "replace").strip()
        if text:
            _log.warn("worker {number} (process {pid}) printed: {text}", number=self.number, pid=self.pid, text=text)

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        crew, pid, served = self._crew, self.pid, self.ready
        self._log_printed(self._printed)
        self._printed = b""
        self.ready = self.informed = False
        self.pid = 0
        self.link.connected = False
        if self.handover is not None:
            self.handover.close()
        if not self._retired:
            crew.left(self)
        if self._killing is not None and self._killing.active():
            self._killing.cancel()
        self._killing = None
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(None)
            return
        if crew.stopping:
            return
        lived = crew.reactor.seconds() - self._began
        self._pause = _FIRST_PAUSE if lived > _STABLE_SECONDS else min(self._pause * 2, _MOST_PAUSE)
        if not served or self._pause > 2 * _FIRST_PAUSE:  # the second time in a row
            self.vacate()
        how = f"cannot start: {self._reason}" if self._reason else _how(reason)
        _log.error(
            "worker {number} (process {pid}) is gone: {how}; a new one starts in {pause:g} s",
            number=self.number, pid=pid, how=how, pause=self._pause,
        )  # fmt: skip
        self.stay()
        self._again = crew.reactor.callLater(self._pause, self._start_again)
        if not served:
            crew.failed(how)

    def _received(self, message: Message) -> None:
        self.unanswered = 0
        if message["kind"] == "log":
            level = LogLevel.lookupByName(message["level"])
            _log.emit(level, "worker {number}: {text}", number=self.number, text=message["text"])
            return
        if message["kind"] == "access":
            _access_log.info("{line}", line=message["line"])
            return
        if self._retired:
            return
        if message["kind"] == "built":
            self.informed = True  # by what the parent does with this message
            self._vacant = False
        elif message["kind"] == "ready":
            self.ready = self._crew.served = True
            _log.info("worker {number} (process {pid}) serves", number=self.number, pid=self.pid)
        elif message["kind"] == "failed":
            self._reason = message["reason"]
        elif message["kind"] == "leaving":
            self.ready = self.informed = False
        self._crew.received(self, message)


def _how(reason: Failure) -> str:
    number = getattr(reason.value, "signal", None)
    if number is not None:
        return f"ended by signal {signal.Signals(number).name}"
    return f"ended by itself with status {getattr(reason.value, 'exitCode', None)}"


class _Pipe:
    """The part of a process's transport that a `Link` needs."""

    disconnecting = False

    def __init__(self, process: Any) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        with suppress(KeyError):  # a process closes its end before it is gone
            self._process.writeToChild(FROM_PARENT, data)

    def writeSequence(self, pieces: Sequence[bytes]) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        self._process.closeChildFD(FROM_PARENT)


class Crew:
    """All workers.

    ``began(worker)`` is called when a process can be spoken to, ``left(worker)`` when it is gone, ``received(worker,
    message)`` for what it says.  ``hopeless(why)`` is called when no worker has ever served and all have failed some
    times.  ``sockets``: the listening sockets by listener, a mapping for each worker.
    """

    def __init__(
        self,
        reactor: Any,
        sockets: Sequence[Mapping[str, socket]],
        began: Callable[[Worker], None],
        left: Callable[[Worker], None],
        received: Callable[[Worker, Message], None],
        hopeless: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.reactor = reactor
        self.began = began
        self.left = left
        self.received = received
        self.stopping = self.served = False
        self._hopeless = hopeless
        self._failures = 0
        self.workers = [Worker(self, number, those) for number, those in enumerate(sockets, 1)]
        self._retired: list[Worker] = []

    def start(self) -> None:
        """Begin all processes. Raises ``OSError`` for the first that cannot be."""
        for worker in self.workers:
            worker.start()

    def failed(self, why: str) -> None:
        """A process has ended before it served."""
        self._failures += 1
        if not self.served and self._failures == _ATTEMPTS * len(self.workers):
            self._hopeless(why)

    def states(self) -> dict[str, int]:
        """How many workers serve, how many are being started or are to be, how many old processes still finish."""
        serving = sum([worker.ready for worker in self.workers])
        leaving = sum([bool(worker.pid) for worker in self._retired])
        return {"serving": serving, "starting": len(self.workers) - serving, "leaving": leaving}

    def tell(self, kind: str, **others: Any) -> None:
        """Say something to all that have been informed."""
        for worker in self.workers:
            if worker.informed:
                worker.link.send(kind, **others)

    def replace(self, worker: Worker, limit: float) -> None:
        """Begin another process in the place of one that still runs, which gets ``limit`` seconds to finish.

        Where that cannot be done, the one that runs goes on until it can.
        """
        worker.stay()
        other = Worker(self, worker.number, worker.sockets)
        try:
            other.start()
        except OSError as error:
            worker.later(error, lambda: self.replace(worker, limit))
            return
        self.left(worker)
        self._retired = [*[each for each in self._retired if each.pid], worker]
        self.workers[self.workers.index(worker)] = other
        worker.retire(limit)

    def stop(self, limit: float) -> Deferred[Any]:
        """End all, by force after ``limit`` seconds and a little; fires when all are gone."""
        self.stopping = True
        return DeferredList([worker.stop(limit) for worker in (*self.workers, *self._retired)])

    def hurry(self) -> None:
        """Let those that are still stopping do so now."""
        for worker in (*self.workers, *self._retired):
            worker.hurry()
