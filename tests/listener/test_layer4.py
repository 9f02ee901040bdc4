"""Connections of plain TCP on their way to a backend: what fails there, and who leaves meanwhile."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.errors import NoRoute
from gateway.exchange.surroundings import Surroundings
from gateway.listener.admission import Admission
from gateway.listener.layer4 import StreamConnection, StreamFactory
from gateway.observe.sessions import Sessions
from gateway.pools.backend import Loads
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.routing.table import RoutingTable
from gateway.testing import Recorder, request_head
from gateway.testing.wires import Turn, Wire, WireRoad
from gateway.transport.deadlines import Deadlines
from gateway.upstream.layer4 import connect_stream
from gateway.values import NeedsAddress, Reply
from tests.dialogue import GOODBYE


class StreamTests(SynchronousTestCase):
    """One client of a gateway with four backends; `settle` does what the pump would do next."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn()
        self.road = WireRoad(self.clock, self.turn)
        self.recorder = Recorder()
        self.gateway = model.Gateway.model_validate(
            {
                "listeners": [{"name": "raw", "port": 9000, "protocol": "Tcp"}],
                "pools": [{"name": "pool", "members": [{"host": f"10.0.0.{number}"} for number in range(4)]}],
                "settings": [{"name": "s", "protocol": "Tcp", "port": 7, "requestTimeout": 60}],
                "rules": [{"name": "rule", "listener": "raw", "pool": "pool", "settings": "s"}],
            }
        )
        settings = self.gateway.settings[0]
        self.pool = Pool("pool", settings, self.gateway.pools[0].members, RoundRobin(), loads=Loads())
        for backend in self.pool.backends:
            self.pool.set_health(backend, True, "fine")
        self.deadlines = Deadlines(self.clock)
        self.sessions = Sessions(self.clock)
        self.shared = Surroundings(
            router=RoutingTable(self.gateway, {("pool", "s"): self.pool}),
            upstream_for=None,  # type: ignore[arg-type]
            deadlines=self.deadlines,
            seconds=self.deadlines.now,
            limits=self.gateway.limits,
            sessions=self.sessions,
            soon=partial(self.clock.callLater, 0),
            observers=[self.recorder],
        )
        self.admission = Admission(lambda: 0)
        self.factory = StreamFactory("raw", 9000, self.shared, self.connect, admission=self.admission)

    def connect(self, route: Any, backend: Any, server_name: str, preface: bytes) -> Any:
        return connect_stream(self.road, backend, route.settings, None, preface)

    def client(self) -> Wire:
        wire = Wire(self.turn, ("192.0.2.1", 40000), ("192.0.2.9", 9000))
        connection = self.factory.buildProtocol(None)
        assert isinstance(connection, StreamConnection)
        wire.tls_version = wire.tls_cipher = ""  # type: ignore[attr-defined]
        wire.client_certificate = None  # type: ignore[attr-defined]
        wire.start(connection)
        self.turn.run()
        return wire

    def manner(self, word: str, *numbers: int) -> None:
        for number in numbers:
            self.road.place(f"10.0.0.{number}", 7).manner = word

    def over(self, *expected: str) -> None:
        """These outcomes, and nothing is left."""
        self.turn.run()
        found = [f"{each.status} {each.cause} {each.attempts}" for each in self.recorder.outcomes]
        self.assertEqual(list(expected), found)
        self.assertEqual([0] * 4, [backend.active for backend in self.pool.backends])
        self.assertEqual((set(), 0), (self.factory.connections, self.sessions.count))
        self.deadlines.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_three_attempts(self) -> None:
        self.manner("refuse", 0, 1, 2, 3)
        self.client()
        self.over("502 connect_failed 3")

    def test_another_takes_it(self) -> None:
        """Which is first is the selector's business; with all but one refusing there is one that is left."""
        self.manner("refuse", 0, 1)
        self.pool.set_health(self.pool.backends[3], False, "not of this test")
        wire = self.client()
        wire.arrive(b"hello")
        self.turn.run()
        (backend,) = self.road.wires()
        self.assertEqual(b"hello", bytes(backend.taken))
        backend.arrive(b"world")
        self.turn.run()
        self.assertEqual(b"world", bytes(wire.taken))
        backend.arrive_end()
        wire.arrive_end()
        self.turn.run()
        self.over(f"200 ok {len(self.tried())}")

    def tried(self) -> list[int]:
        """Places that somebody has connected to, or has tried to."""
        return [number for number in range(4) if self.road.place(f"10.0.0.{number}", 7).tls]

    def test_what_comes_first_waits(self) -> None:
        """Bytes and even the end of the client's half are there when the backend is."""
        self.manner("hang", 0, 1, 2, 3)
        wire = self.client()
        wire.arrive(b"hello")
        wire.arrive_end()
        self.turn.run()
        for number in range(4):
            self.road.place(f"10.0.0.{number}", 7).accept()
        self.turn.run()
        (backend,) = self.road.wires()
        self.assertEqual(b"hello", bytes(backend.taken))
        backend.arrive(b"world")
        backend.arrive_end()
        self.turn.run()
        self.assertEqual(b"world", bytes(wire.taken))
        self.over("200 ok 1")

    def test_a_client_that_leaves(self) -> None:
        """The attempt is given up, and its backend too."""
        self.manner("hang", 0, 1, 2, 3)
        wire = self.client()
        self.assertEqual(1, sum(backend.active for backend in self.pool.backends))
        wire.arrive_end(reset=True)
        self.turn.run()
        self.assertEqual(1, sum(self.road.place(f"10.0.0.{number}", 7).cancelled for number in range(4)))
        self.over("499 client_gone 1")

    def test_no_answer_in_time(self) -> None:
        self.manner("hang", 0, 1, 2, 3)
        self.client()
        for _ in range(3):
            self.clock.advance(5)
            self.turn.run()
        self.over("502 connect_failed 3")

    def test_the_road_fails(self) -> None:
        self.manner("break", 0, 1, 2, 3)
        self.client()
        self.over("502 connect_failed 3")

    def test_no_backend(self) -> None:
        for backend in self.pool.backends:
            self.pool.set_health(backend, False, "no answer")
        wire = self.client()
        self.assertEqual("reset", wire.ending)
        self.over("502 no_healthy_backend 0")

    def test_a_router_that_fails(self) -> None:
        class Broken:
            def __init__(self, answer: Any) -> None:
                self.answer = answer

            def route(self, head: Any, listener: str) -> Any:
                if isinstance(self.answer, Exception):
                    raise self.answer
                return self.answer

        for answer in (RuntimeError("broken"), Reply(403), None):
            self.shared.router = Broken(answer)
            self.client()
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.over(*["500 plugin_failed 0"] * 3)

    def answering(self, *answers: Any) -> None:
        """Let the router give these, one after the other."""
        answer = iter(answers)
        self.shared.router = SimpleNamespace(route=lambda head, listener: next(answer))

    def test_a_router_that_waits(self) -> None:
        """Its answer is waited for, and may be that it needs the address, or that there is none."""
        asked: list[str] = []

        def decide(address: str) -> Deferred[Any]:
            asked.append(address)
            return again

        first, again, refused = (Deferred() for _ in range(3))
        route = self.shared.router.route(request_head(host=""), "raw")
        self.answering(first, refused, Deferred())
        wire, other = self.client(), self.client()
        self.assertEqual((2, []), (len(self.factory.connections), self.recorder.outcomes))
        refused.errback(NoRoute("nowhere"))
        self.assertEqual("reset", other.ending)
        first.callback(NeedsAddress(decide))
        self.assertEqual(["192.0.2.1"], asked)
        again.callback(route)
        wire.arrive(b"hello")
        self.turn.run()
        (backend,) = self.road.wires()
        self.assertEqual(b"hello", bytes(backend.taken))
        backend.arrive_end()
        wire.arrive_end()
        self.over("404 no_route 0", "200 ok 1")

    def test_a_router_that_needs_the_address(self) -> None:
        route = self.shared.router.route(request_head(host=""), "raw")
        addresses: list[str] = []
        self.answering(NeedsAddress(lambda address: addresses.append(address) or route))
        wire = self.client()
        self.assertEqual(["192.0.2.1"], addresses)
        wire.arrive_end(reset=True)
        self.turn.run()
        self.assertEqual([1], [outcome.attempts for outcome in self.recorder.outcomes])

    def test_a_router_that_waits_too_long(self) -> None:
        """It is told to give up: when its time is over, when the client leaves, when the gateway is to end."""
        cancelled: list[int] = []
        self.answering(*[Deferred(lambda _, number=number: cancelled.append(number)) for number in range(3)])
        self.client()
        self.clock.advance(10)
        leaving, _ = self.client(), self.client()
        leaving.arrive_end(reset=True)
        self.turn.run()
        self.assertEqual([1], cancelled)
        for _ in range(21):
            self.clock.advance(1)
        self.assertEqual([1, 0], cancelled)
        for connection in tuple(self.factory.connections):
            connection.cut()
        self.assertEqual([1, 0, 2], cancelled)
        self.over("499 client_gone 0", "500 plugin_timeout 0", "503 shutting_down 0")

    def test_a_router_that_fails_later(self) -> None:
        failing: Deferred[Any] = Deferred()
        self.answering(failing)
        self.client()
        failing.errback(RuntimeError("broken"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.over("500 plugin_failed 0")

    def test_cut(self) -> None:
        """The time to stop is over, with and without a backend."""
        self.client()
        self.manner("hang", 0, 1, 2, 3)
        self.client()
        for session in self.sessions:
            session.cut()
        for connection in tuple(self.factory.connections):
            connection.stop(GOODBYE)
            connection.cut()
        self.turn.run()
        statuses = sorted(each.status for each in self.recorder.outcomes)
        self.assertEqual([200, 503], statuses)
        self.recorder.outcomes.clear()
        self.over()

    def test_idle(self) -> None:
        wire = self.client()
        for _ in range(12):
            self.clock.advance(5)
            self.turn.run()
        self.assertEqual("reset", wire.ending)
        self.clock.advance(5)
        self.over("200 idle_timeout 1")

    def test_not_admitted(self) -> None:
        self.admission.close()
        self.assertIsNone(self.factory.buildProtocol(None))
