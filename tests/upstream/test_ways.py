"""The ways to all backends: who gets one, and when it is no more."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.testing.wires import Turn, WireRoad
from gateway.upstream.connections import Upstream
from gateway.upstream.ways import Ways
from gateway.values import Route


class WaysTests(SynchronousTestCase):
    """`Ways`."""

    def setUp(self) -> None:
        self.clock, self.turn = Clock(), Turn()
        road = WireRoad(self.clock, self.turn)
        road.place("127.0.0.1", 9001)
        settings = BackendSettings(name="settings")
        self.members = [
            Member(host=host, port=80, connect_host="127.0.0.1", connect_port=9001) for host in ("10.0.0.4", "10.0.0.5")
        ]
        self.pool = Pool("pool", settings, self.members, RoundRobin())
        self.route = Route("listener", "rule", self.pool, settings)
        self.ways = Ways(road, self.clock.seconds)

    def kept(self, upstream: Upstream) -> bool:
        """Whether a connection to it that is idle is kept."""
        connecting = upstream.connect("a")
        self.turn.run()
        connection = self.successResultOf(connecting)
        upstream.keep(connection)
        self.turn.run()
        return upstream.take("a") is connection

    def test_each_backend_has_one(self) -> None:
        first, second = [self.ways.upstream({}, self.route, backend) for backend in self.pool.backends]
        self.assertIsNot(first, second)
        self.assertIs(first, self.ways.upstream({}, self.route, self.pool.backends[0]))
        self.assertEqual([first, second], list(self.ways))
        self.assertTrue(self.kept(first))

    def test_connections_of_one_that_has_left_are_not_kept(self) -> None:
        """An exchange that leased it before may still use it."""
        backend = self.pool.backends[0]
        self.pool.set_members(self.members[1:])
        upstream = self.ways.upstream({}, self.route, backend)
        self.assertEqual([], list(self.ways))
        self.assertFalse(self.kept(upstream))

    def test_one_that_is_forgotten_gets_another(self) -> None:
        backend = self.pool.backends[0]
        before = self.ways.upstream({}, self.route, backend)
        self.ways.forget(backend)
        self.ways.forget(backend)
        self.assertFalse(self.kept(before))
        self.assertIsNot(before, self.ways.upstream({}, self.route, backend))

    def test_room(self) -> None:
        """The older quarter of what nobody uses, whoever it leads to; none of a client's own."""
        ups = [self.ways.upstream({}, self.route, backend) for backend in self.pool.backends]
        mine = ups[0].own()
        connecting = [upstream.connect("a") for upstream in (*ups * 3, mine)]
        self.turn.run()
        own = self.successResultOf(connecting.pop())
        mine.keep(own)
        connections = [self.successResultOf(each) for each in connecting]
        for upstream, connection in zip(ups * 3, connections, strict=True):
            self.clock.advance(1)
            upstream.keep(connection)
        left = []
        while self.ways.make_room():
            self.turn.run()
            left.append([each for each in connections if not each.lost])
        self.assertEqual([connections[2:], connections[3:], connections[4:], connections[5:], []], left)
        self.assertFalse(own.lost)
        for upstream in ups:
            self.assertIsNone(upstream.take("a"))
        self.assertIs(own, mine.take("a"))

    def test_those_that_backends_are_about_to_close_make_room(self) -> None:
        upstream = self.ways.upstream({}, self.route, self.pool.backends[0])
        connecting = upstream.connect("a")
        self.turn.run()
        upstream.leave(self.successResultOf(connecting))
        self.assertTrue(self.ways.make_room())
        self.assertFalse(self.ways.make_room())

    def test_the_end(self) -> None:
        upstream = self.ways.upstream({}, self.route, self.pool.backends[0])
        self.ways.close()
        self.assertFalse(self.kept(upstream))
