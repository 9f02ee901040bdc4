"""`gateway.workers.parent`: what it makes of what workers say, without processes."""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.lifecycle.startup import StartFailed
from gateway.workers.crew import Crew
from gateway.workers.link import Message
from gateway.workers.parent import ParentService, _HeldEndpoint
from gateway.workers.tickets import Tickets

_MODEL = Gateway.model_validate({"listeners": [{"name": "web", "address": "127.0.0.1", "port": 0}]})


class _Worker:
    """What the parent knows of one; it is its own link."""

    version = 0

    def __init__(self, number: int, informed: bool = True) -> None:
        self.number = number
        self.informed = self.ready = informed
        self.said: list[Message] = []
        self.link = self

    def send(self, kind: str, **others: Any) -> None:
        self.said.append({"kind": kind, **others})

    def heard(self) -> list[Any]:
        """The last that it was told of tickets."""
        found: list[Any] = [message["others"] for message in self.said if message["kind"] == "tickets"][-1]
        return found


class _Crew:
    stopping = False

    def __init__(self, *workers: _Worker) -> None:
        self.workers = list(workers)
        self.replaced: list[_Worker] = []

    def replace(self, worker: _Worker, seconds: float) -> None:
        self.replaced.append(worker)


class StartTests(SynchronousTestCase):
    """What keeps workers from being started is told as whatever else does."""

    def test_refused(self) -> None:
        stderr = io.StringIO()
        self.patch(sys, "__stderr__", stderr)

        def start(crew: Crew) -> None:
            raise OSError(errno.EBADF, "Bad file descriptor")  # as posix_spawn(3) says it

        self.patch(Crew, "start", start)
        clock: Any = Clock()
        parent = ParentService(Gateway(), workers=2, reactor=clock, transport="twisted")
        self.assertRaises(StartFailed, parent.startService)
        self.assertEqual(
            "gateway: cannot start\n  the 2 workers cannot be started: Too many open files "
            "(raise the limit of open files, `ulimit -n` or LimitNOFILE= of systemd)\n",
            stderr.getvalue(),
        )


    def test_access_log(self) -> None:
        """That workers could not open it is known before any of them is there."""
        fifo = os.path.join(self.mktemp(), "log")
        os.mkdir(os.path.dirname(fifo))
        os.mkfifo(fifo)  # without a reader
        clock: Any = Clock()
        with self.assertRaises(OSError) as caught:
            ParentService(Gateway(), workers=2, reactor=clock, transport="twisted", access_log=fifo)
        self.assertEqual(errno.ENXIO, caught.exception.errno)

    def test_ports(self) -> None:
        """One that was bound to any port keeps its number when its sockets are shut and listen again."""
        port = self.successResultOf(_HeldEndpoint("127.0.0.1", 0, 2, None).listen(None))
        self.addCleanup(port.stopListening)
        for sock in port.sockets:
            sock.shutdown(socket.SHUT_RDWR)
            sock.listen()
        self.assertEqual({port.getHost().port}, {sock.getsockname()[1] for sock in port.sockets})


class TicketsTests(SynchronousTestCase):
    """Workers that say what their tickets begin with."""

    def setUp(self) -> None:
        self.parent: Any = ParentService(_MODEL, workers=3, reactor=reactor)
        self.addCleanup(self.parent.road.stop)
        self.parent._tickets = Tickets(3)
        self.addCleanup(self.parent._tickets.close)
        self.one, self.two, self.three = _Worker(1), _Worker(2), _Worker(3, informed=False)
        self.parent.crew = _Crew(self.one, self.two, self.three)

    def says(self, worker: _Worker, *names: str) -> None:
        self.parent._received(worker, {"kind": "tickets", "names": list(names)})

    def test_told(self) -> None:
        """The others are told, and who comes later; who is not informed yet would not know what to do with it."""
        self.says(self.one, "a")
        self.says(self.two, "b", "c")
        self.assertEqual([("b", 2), ("c", 2)], self.one.heard())
        self.assertEqual([("a", 1)], self.two.heard())
        self.assertEqual([], self.three.said)
        self.three.informed = True
        self.parent._received(self.three, {"kind": "built"})
        self.assertEqual("start", self.three.said[0]["kind"], "it is told first how things stand")
        self.assertEqual([("a", 1), ("b", 2), ("c", 2)], self.three.heard())

    def test_a_worker_leaves(self) -> None:
        """Nobody sends anything to it from then on, nor to its successor before that has said something."""
        self.says(self.one, "a")
        self.says(self.two, "b")
        self.one.informed = self.one.ready = False
        self.parent._left(self.one)
        self.assertEqual([], self.two.heard())
        successor = self.parent.crew.workers[0] = _Worker(1)
        self.parent._received(successor, {"kind": "built"})
        self.assertEqual([[("b", 2)], []], [successor.heard(), self.two.heard()])
        self.says(successor, "d")
        self.assertEqual([("d", 1)], self.two.heard())


class ReloadTests(SynchronousTestCase):
    """Workers that cannot take a configuration."""

    def setUp(self) -> None:
        self.parent: Any = ParentService(_MODEL, workers=1, reactor=reactor)
        self.addCleanup(self.parent.road.stop)
        self.one = _Worker(1)
        self.parent.crew = self.crew = _Crew(self.one)

    def refuses(self) -> list[str]:
        """What is logged when the worker does."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.parent._received(self.one, {"kind": "reloaded", "version": 1, "problems": ["no room"]})
        return [formatEvent(event) for event in events]

    def test_replaced(self) -> None:
        self.assertEqual(
            ["worker 1 cannot take the new configuration and is replaced: no room"], self.refuses()
        )
        self.assertEqual([self.one], self.crew.replaced)

    def test_all_stop(self) -> None:
        """Who is stopping cannot: nothing is wrong, and nobody is replaced."""
        self.crew.stopping = True
        self.assertEqual(([], []), (self.refuses(), self.crew.replaced))


class LeasesTests(SynchronousTestCase):
    """Workers that say how many leases they hold."""

    def setUp(self) -> None:
        self.parent: Any = ParentService(_MODEL, workers=2, reactor=reactor)
        self.addCleanup(self.parent.road.stop)
        self.parent._tickets = Tickets(2)
        self.addCleanup(self.parent._tickets.close)
        self.one, self.two = _Worker(1), _Worker(2)
        self.parent.crew = _Crew(self.one, self.two)

    def says(self, worker: _Worker, member: str, count: int) -> None:
        held = [("pool", member, count)]
        self.parent._received(worker, {"kind": "loads", "held": held, "connections": 0})

    def elsewhere(self, worker: _Worker) -> Any:
        return worker.said[-1]["elsewhere"]

    def test_members_come_and_go(self) -> None:
        """Of those that nobody holds any more nothing stays, and the others have heard of it."""
        for number in range(50):
            name = f"10.0.0.{number}:80"
            self.says(self.one, name, 3)
            self.says(self.two, name, 1)
            self.assertEqual([("pool", name, 3)], self.elsewhere(self.two))
            self.says(self.one, name, 0)
            self.assertEqual([("pool", name, 0)], self.elsewhere(self.two))
            self.assertEqual([("pool", name, 1)], self.elsewhere(self.one))
            self.says(self.two, name, 0)
        self.assertEqual({1: {}, 2: {}}, self.parent._leases)
        self.says(self.one, "10.0.0.1:80", 2)
        self.parent._received(self.two, {"kind": "built"})
        heard = [message["elsewhere"] for message in self.two.said if message["kind"] == "loads"][-1]
        self.assertEqual([("pool", "10.0.0.1:80", 2)], heard)
