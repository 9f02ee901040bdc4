"""`gateway.workers.crew`."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.crew import Crew, Worker
from gateway.workers.link import FROM_PARENT, HANDOVER, TO_PARENT, Link, Message


class _Process:
    """The transport of a process that does nothing by itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[str] = []
        self.said: list[Message] = []
        self._link = Link(self.said.append)
        self._link.makeConnection(self)

    def write(self, data: bytes) -> None:
        """Nothing is answered."""

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == FROM_PARENT
        self._link.dataReceived(data)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class _Reactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.processes: list[_Process] = []
        self.protocols: list[Worker] = []
        self.descriptors: dict[int, Any] = {}
        self.lacks: OSError | None = None

    def spawnProcess(self, protocol: Worker, program: str, arguments: list[str], env: Any, childFDs: Any) -> None:
        self.descriptors = childFDs
        if self.lacks is not None:
            raise self.lacks
        process = _Process(100 + len(self.processes))
        self.processes.append(process)
        self.protocols.append(protocol)
        protocol.makeConnection(process)  # type: ignore[arg-type]


class CrewTests(SynchronousTestCase):
    """Two workers without sockets."""

    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.began: list[int] = []
        self.gone: list[int] = []
        self.heard: list[tuple[int, str]] = []
        self.crew = Crew(
            self.reactor,
            [{}, {}],
            began=lambda worker: self.began.append(worker.number),
            left=lambda worker: self.gone.append(worker.number),
            received=lambda worker, message: self.heard.append((worker.number, message["kind"])),
        )
        self.crew.start()

    def says(self, index: int, kind: str, **others: Any) -> None:
        """What process ``index`` says arrives, byte by byte."""
        text = json.dumps({"kind": kind, **others}).encode()
        for byte in len(text).to_bytes(4, "big") + text:
            self.reactor.protocols[index].childDataReceived(TO_PARENT, bytes([byte]))

    def test_begin(self) -> None:
        """Each gets pipes both ways; who has not been told how things stand does not hear what changes."""
        self.assertEqual([1, 2], self.began)
        self.assertEqual(
            {0: 0, 1: 1, 2: 2, FROM_PARENT: "w", TO_PARENT: "r"},
            {number: what for number, what in self.reactor.descriptors.items() if number != HANDOVER},
        )
        self.says(1, "built")
        self.assertEqual([(2, "built")], self.heard)
        self.crew.tell("reopen")
        self.assertEqual([[], [{"kind": "reopen"}]], [process.said for process in self.reactor.processes])
        self.assertFalse(self.crew.workers[1].ready)
        self.says(1, "ready")
        self.assertTrue(self.crew.workers[1].ready)
        self.reactor.protocols[1].processEnded(Failure(ProcessDone(0)))
        self.assertFalse(self.crew.workers[1].informed)

    def test_replaced(self) -> None:
        """A worker that dies is replaced after a pause, which grows while that goes on."""
        pauses = []
        for number in range(8):
            self.reactor.protocols[-1].processEnded(Failure(ProcessTerminated(signal=9)))
            call = self.reactor.getDelayedCalls()[0]
            pauses.append(round(call.getTime() - self.reactor.seconds(), 3))
            self.reactor.advance(pauses[-1])
            self.assertEqual(3 + number, len(self.reactor.processes))
        self.assertEqual([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0], pauses)
        self.assertEqual([2] * 8, self.gone)

    def lacking(self, number: int) -> list[str]:
        """From now on no process can be started; what the log says of it."""
        self.reactor.lacks = OSError(number, os.strerror(number))
        said: list[str] = []

        def observe(event: LogEvent) -> None:
            text = formatEvent(event)
            if "cannot be started" in text:
                said.append(text)

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return said

    def test_a_successor_that_cannot_be_started(self) -> None:
        """It is tried again, after a growing pause, until it can be; one line says why, and nothing is left open."""
        said = self.lacking(errno.EMFILE)
        before = len(os.listdir("/dev/fd"))
        self.crew.workers[0].processEnded(Failure(ProcessTerminated(signal=9)))
        pauses = []
        for _ in range(7):
            (call,) = self.reactor.getDelayedCalls()
            pauses.append(round(call.getTime() - self.reactor.seconds(), 3))
            self.reactor.advance(pauses[-1])
        self.assertEqual([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], pauses)
        why = "Too many open files (raise the limit of open files, `ulimit -n` or LimitNOFILE= of systemd)"
        self.assertEqual([f"worker 1 cannot be started: {why}; this is tried again until it can"], said)
        self.assertEqual(before - 1, len(os.listdir("/dev/fd")), "the channel of the process that is gone was closed")
        self.assertEqual(2, len(self.reactor.processes))
        self.reactor.lacks = OSError(errno.EAGAIN, "")
        self.reactor.advance(5)
        self.assertIn("ulimit -u", said[1])
        self.reactor.lacks = None
        self.reactor.advance(5)
        self.assertEqual(3, len(self.reactor.processes))
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_stop_while_one_cannot_be_started(self) -> None:
        self.lacking(errno.ENOMEM)
        self.crew.workers[0].processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(1)
        stopped = self.crew.stop(10)
        self.reactor.protocols[1].processEnded(Failure(ProcessDone(0)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_no_start(self) -> None:
        """The first ones are not tried again: whoever starts the gateway is told."""
        self.lacking(errno.EMFILE)
        crew = Crew(self.reactor, [{}], *[lambda *_: None] * 3)
        self.assertRaises(OSError, crew.start)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_another_that_cannot_be_put_in_its_place(self) -> None:
        """The one that runs goes on, and is replaced when that can be done."""
        said = self.lacking(errno.EMFILE)
        first = self.crew.workers[0]
        self.crew.replace(first, 5)
        self.crew.replace(first, 5)  # as after another reload
        self.reactor.advance(1)
        self.assertEqual(([], 1), (self.gone, len(said)))
        self.assertIs(first, self.crew.workers[0])
        self.says(0, "loads")
        self.assertEqual([(1, "loads")], self.heard)
        self.assertEqual([], self.reactor.processes[0].said)
        self.reactor.lacks = None
        self.reactor.advance(5)
        self.assertIsNot(first, self.crew.workers[0])
        self.assertEqual(([1], 3), (self.gone, len(self.reactor.processes)))
        self.assertEqual("stop", self.reactor.processes[0].said[0]["kind"])

    def test_one_to_be_replaced_that_dies(self) -> None:
        """There is one successor, not two."""
        self.lacking(errno.EMFILE)
        self.crew.replace(self.crew.workers[0], 5)
        self.crew.workers[0].processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.lacks = None
        self.reactor.advance(20)
        self.assertEqual(3, len(self.reactor.processes))

    def test_steady_worker(self) -> None:
        """One that has lived is replaced at once."""
        self.reactor.advance(60)
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.reactor.advance(0.1)
        self.assertEqual(3, len(self.reactor.processes))

    def test_another_in_its_place(self) -> None:
        """It finishes what it does while its successor serves; what it still says is not heard, only logged."""
        first = self.crew.workers[0]
        self.crew.replace(first, 5)
        second = self.crew.workers[0]
        self.assertEqual((1, [1], 3), (second.number, self.gone, len(self.reactor.processes)))
        self.says(0, "ready")
        self.assertEqual((False, []), (first.ready, self.heard))
        self.says(2, "ready")
        self.assertEqual((True, [(1, "ready")]), (second.ready, self.heard))
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.assertEqual(([1], 3), (self.gone, len(self.reactor.processes)))

    def test_hurry(self) -> None:
        """Who is still stopping is told again, and has only the grace left."""
        self.crew.stop(60)
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.crew.hurry()
        said = [[message["kind"] for message in process.said] for process in self.reactor.processes]
        self.assertEqual([["stop"], ["stop", "stop"]], said)
        self.reactor.advance(3)
        self.assertEqual([[], ["KILL"]], [process.signals for process in self.reactor.processes])

    def test_stop(self) -> None:
        """All are told to stop; who does not is killed after the limit and a little."""
        stopped = self.crew.stop(10)
        self.assertEqual(["stop", "stop"], [process.said[-1]["kind"] for process in self.reactor.processes])
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.assertNoResult(stopped)
        self.reactor.advance(12.9)
        self.assertEqual([], self.reactor.processes[1].signals)
        self.reactor.advance(0.2)
        self.assertEqual(["KILL"], self.reactor.processes[1].signals)
        self.reactor.protocols[1].processEnded(Failure(ProcessTerminated(signal=9)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_stop_while_one_is_away(self) -> None:
        """A replacement that was to come does not."""
        self.reactor.protocols[0].processEnded(Failure(ProcessTerminated(signal=9)))
        stopped = self.crew.stop(10)
        self.reactor.protocols[1].processEnded(Failure(ProcessDone(0)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual(2, len(self.reactor.processes))
