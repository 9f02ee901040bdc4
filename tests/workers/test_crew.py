"""`gateway.workers.crew`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.sockets import listening_socket
from gateway.workers.crew import Crew, Worker
from gateway.workers.link import FROM_PARENT, HANDOVER, STDERR, TO_PARENT, TRACE, Link, Message


class _Process:
    """The transport of a process that does nothing by itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.signals: list[int] = []
        self.said: list[Message] = []
        self._link = Link(self.said.append)
        self._link.makeConnection(self)

    def write(self, data: bytes) -> None:
        """Nothing is answered."""

    def writeToChild(self, fd: int, data: bytes) -> None:
        assert fd == FROM_PARENT
        self._link.dataReceived(data)

    def signalProcess(self, number: int) -> None:
        self.signals.append(number)


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
            {0: 0, 1: 1, STDERR: "r", FROM_PARENT: "w", TO_PARENT: "r"},
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

    def test_hangs(self) -> None:
        """It may say where, and is killed then; the end of the gateway does not wait for it longer than that."""
        self.says(0, "ready")
        worker, process = self.crew.workers[0], self.reactor.processes[0]
        worker.unanswered = 3
        with capturedLogs() as said:
            worker.hangs(30)
            self.assertEqual([TRACE], process.signals)
            worker.childDataReceived(STDERR, b"Current thread:\n  File f.py, li")
            worker.childDataReceived(STDERR, b"ne 5 in f\nmore")
        self.assertEqual(
            [
                "worker 1 (process 100) has not answered for 30 s and is killed; where it hangs follows",
                "worker 1 (process 100) printed: Current thread:",
                "worker 1 (process 100) printed: File f.py, line 5 in f",
            ],
            [formatEvent(event) for event in said],
        )
        gone = self.crew.stop(1000)
        self.reactor.advance(1)
        self.assertEqual([TRACE, signal.SIGKILL], process.signals)
        for worker in self.crew.workers:
            worker.processEnded(Failure(ProcessTerminated(signal=9)))
        self.successResultOf(gone)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_a_sign_of_life(self) -> None:
        """Whatever it says is one, and a new process has all the time that the one before had."""
        worker = self.crew.workers[0]
        worker.unanswered = 3
        self.says(0, "alive")
        self.assertEqual(0, worker.unanswered)
        worker.unanswered = 3
        worker.processEnded(Failure(ProcessTerminated(signal=9)))
        self.reactor.advance(10)
        self.assertEqual((0, 3), (worker.unanswered, len(self.reactor.processes)))

    def test_printed(self) -> None:
        """By lines, but none is waited for without bound; what came last too."""
        worker = self.crew.workers[0]
        with capturedLogs() as said:
            for _ in range(9):
                worker.childDataReceived(STDERR, b"x" * 1000)
            worker.childDataReceived(STDERR, b"\n\nlast\xff")
            self.assertEqual(1, len(said))
            worker.processEnded(Failure(ProcessTerminated(signal=11)))
        lines = [formatEvent(event) for event in said]
        self.assertEqual(f"worker 1 (process 100) printed: {'x' * 9000}", lines[0])
        self.assertIn("worker 1 (process 100) printed: last\ufffd", lines)

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
        self.assertEqual([["stop"], ["stop", "hurry"]], said)
        self.reactor.advance(3)
        self.assertEqual([[], [signal.SIGKILL]], [process.signals for process in self.reactor.processes])

    def test_stop(self) -> None:
        """All are told to stop; who does not is killed after the limit and a little."""
        stopped = self.crew.stop(10)
        self.assertEqual(["stop", "stop"], [process.said[-1]["kind"] for process in self.reactor.processes])
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.assertNoResult(stopped)
        self.reactor.advance(12.9)
        self.assertEqual([], self.reactor.processes[1].signals)
        self.reactor.advance(0.2)
        self.assertEqual([signal.SIGKILL], self.reactor.processes[1].signals)
        self.reactor.protocols[1].processEnded(Failure(ProcessTerminated(signal=9)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_stop_while_one_leaves(self) -> None:
        """Who was retired before is not hurried by the end of the gateway, and has only what is left of its time."""
        self.crew.replace(self.crew.workers[0], 10)
        self.reactor.advance(8)
        stopped = self.crew.stop(10)
        self.assertNotIn("hurry", [message["kind"] for message in self.reactor.processes[0].said])
        for protocol in self.reactor.protocols[1:]:
            protocol.processEnded(Failure(ProcessDone(0)))
        (call,) = self.reactor.getDelayedCalls()
        self.assertEqual(13, call.getTime())
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())

    def test_states(self) -> None:
        """What each of them does."""
        self.assertEqual({"serving": 0, "starting": 2, "leaving": 0}, self.crew.states())
        for index in 0, 1:
            self.says(index, "ready")
        self.crew.replace(self.crew.workers[0], 10)
        self.assertEqual({"serving": 1, "starting": 1, "leaving": 1}, self.crew.states())
        self.says(1, "leaving")
        self.reactor.protocols[0].processEnded(Failure(ProcessDone(0)))
        self.assertEqual({"serving": 0, "starting": 2, "leaving": 0}, self.crew.states())

    def test_log(self) -> None:
        """An access log line is what it is in one process, however long; all else says which worker it is from."""
        said: list[LogEvent] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        line = json.dumps({"timeStamp": "x" * 30_000})
        self.says(1, "access", line=line)
        self.says(1, "log", level="warn", text="{odd}")
        self.assertEqual(
            [("gateway.access", "info", line), ("gateway", "warn", "worker 2: {odd}")],
            [(event["log_namespace"], event["log_level"].name, formatEvent(event)) for event in said],
        )

    def test_hopeless(self) -> None:
        """Where the first ones fail again and again, and none has served, whoever started the gateway is told why."""
        why: list[str] = []
        crew = Crew(self.reactor, [{}, {}], *[lambda *_: None] * 3, why.append)
        crew.start()
        for _ in range(3):
            self.assertEqual([], why)
            for index in -2, -1:
                self.says(index, "failed", reason="no such file")
            for worker in crew.workers:
                worker.processEnded(Failure(ProcessTerminated(exitCode=1)))
            self.reactor.advance(2)
        self.assertEqual(["cannot start: no such file"], why)

    def test_not_hopeless(self) -> None:
        """Once one has served they are tried for ever."""
        why: list[str] = []
        crew = Crew(self.reactor, [{}, {}], *[lambda *_: None] * 3, why.append)
        crew.start()
        self.says(-1, "ready")
        for _ in range(20):
            crew.workers[0].processEnded(Failure(ProcessTerminated(exitCode=1)))
            self.reactor.advance(5)
        self.assertEqual([], why)

    def test_stop_while_one_is_away(self) -> None:
        """A replacement that was to come does not."""
        self.reactor.protocols[0].processEnded(Failure(ProcessTerminated(signal=9)))
        stopped = self.crew.stop(10)
        self.reactor.protocols[1].processEnded(Failure(ProcessDone(0)))
        self.successResultOf(stopped)
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual(2, len(self.reactor.processes))


class SocketsTests(SynchronousTestCase):
    """A port of two workers, of which the second is there and accepts."""

    def setUp(self) -> None:
        self.reactor = _Reactor()
        first = listening_socket("127.0.0.1", 0, 1, shared=True)
        self.addCleanup(first.close)
        self.port = first.getsockname()[1]
        self.one, self.two = [listening_socket("127.0.0.1", self.port, 100, shared=True) for _ in range(2)]
        first.close()
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)
        crew = Crew(self.reactor, [{"web": self.one}, {"web": self.two}], *[lambda *_: None] * 3)
        self.worker = crew.workers[0]
        crew.start()
        for worker in crew.workers:
            self.says(worker, "built")
            self.says(worker, "ready")

    def says(self, worker: Worker, kind: str) -> None:
        text = json.dumps({"kind": kind}).encode()
        worker.childDataReceived(TO_PARENT, len(text).to_bytes(4, "big") + text)

    def collected(self) -> int:
        """How many of some connections wait at the first worker's socket."""
        clients = [socket.create_connection(("127.0.0.1", self.port), 5) for _ in range(40)]
        for client in clients:
            self.addCleanup(client.close)
        counts = []
        for sock in self.one, self.two:
            counts.append(0)
            with contextlib.suppress(OSError):  # there are none left, or it does not listen
                while True:
                    sock.accept()[0].close()
                    counts[-1] += 1
        self.assertEqual(40, sum(counts))
        return counts[0]

    def ends(self) -> None:
        self.worker.processEnded(Failure(ProcessTerminated(signal=9)))

    def test_restarted(self) -> None:
        """Who connects while a worker that served is started again waits for it."""
        self.reactor.advance(60)
        self.ends()
        self.assertGreater(self.collected(), 0)
        self.reactor.advance(0.1)
        self.assertGreater(self.collected(), 0)

    def test_not_restarted(self) -> None:
        """When the first attempt has failed all clients go to the others, until a process listens again."""
        self.reactor.advance(60)
        self.ends()
        self.reactor.advance(0.1)
        self.ends()
        self.assertEqual(0, self.collected())
        self.reactor.advance(60)
        self.says(self.worker, "built")
        self.one.listen(100)  # as the process does
        self.assertGreater(self.collected(), 0)

    def test_not_restarted_for_long(self) -> None:
        """However often that fails, and whatever is reloaded meanwhile: who is served at last can be talked to."""
        self.reactor.advance(60)
        for _ in range(4):
            self.ends()
            self.worker.use(self.worker.sockets)
            self.reactor.advance(10)
        self.worker.use(self.worker.sockets)
        self.one.listen(100)
        self.two.close()
        with socket.create_connection(("127.0.0.1", self.port), 5) as client:
            server, _ = self.one.accept()
            with server:
                client.sendall(b"hello")
                self.assertEqual(b"hello", server.recv(5))
                server.sendall(b"world")
                self.assertEqual(b"world", client.recv(5))

    def test_no_process(self) -> None:
        """The same where no process can be begun."""
        self.reactor.advance(60)
        self.reactor.lacks = OSError(errno.EMFILE, "")
        self.ends()
        self.reactor.advance(0.1)
        self.assertEqual(0, self.collected())

    def test_no_life(self) -> None:
        """One that serves each time and ends soon is not waited for either."""
        self.ends()
        self.assertGreater(self.collected(), 0)
        self.reactor.advance(0.2)
        self.says(self.worker, "ready")
        self.ends()
        self.assertEqual(0, self.collected())

    def test_new_ports(self) -> None:
        """Ports that a reload adds meanwhile collect nobody for it either; those of one that serves do."""
        self.worker.use({"web": self.one})
        self.assertGreater(self.collected(), 0)
        self.ends()
        self.reactor.advance(0.2)
        self.ends()
        self.one.listen(100)
        self.worker.use({"web": self.one})
        self.assertEqual(0, self.collected())
        self.reactor.advance(1)
        self.says(self.worker, "built")
        self.one.listen(100)
        self.worker.use({"web": self.one})
        self.assertGreater(self.collected(), 0)
