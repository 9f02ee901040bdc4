"""Connections to one backend: the idle ones, new ones, and what a failure is called."""

from __future__ import annotations

import errno
import os
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.error import getConnectError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member
from gateway.errors import BackendError, BackendTLSFailed, ClientNameFailed, ConnectFailed, OutOfResources
from gateway.pools.backend import Backend
from gateway.testing.wires import Turn, WireRoad
from gateway.upstream.connections import IDLE_SECONDS, LEAVING_SECONDS, MOST_IDLE, MOST_LEAVING, Upstream
from gateway.upstream.http1 import UpstreamConnection


class UpstreamTests(SynchronousTestCase):
    """`Upstream`."""

    def setUp(self) -> None:
        self.clock, self.turn = Clock(), Turn()
        self.road = WireRoad(self.clock, self.turn)
        self.place = self.road.place("127.0.0.1", 9001)

    def ways(self, tls_for: Any = None, **options: Any) -> Upstream:
        settings = BackendSettings(name="settings", connect_timeout=2.5, **options)
        member = Member(host="10.0.0.4", port=80, connect_host="127.0.0.1", connect_port=9001)
        return Upstream(Backend(member, settings), settings, self.road, self.clock.seconds, tls_for)

    def connect(self, ways: Upstream, host: str = "example.com") -> UpstreamConnection:
        connecting = ways.connect(host)
        self.turn.run()
        return self.successResultOf(connecting)

    def fails(self, ways: Upstream, connecting: Deferred[UpstreamConnection], kind: type[Exception]) -> str:
        self.turn.run()
        error = ways.explained(self.failureResultOf(connecting))
        self.assertIsInstance(error, kind)
        return str(error)

    def test_the_one_used_last_is_taken_first(self) -> None:
        ways = self.ways()
        first, second = self.connect(ways), self.connect(ways)
        ways.keep(first)
        ways.keep(second)
        self.assertEqual([second, first, None], [ways.take("a") for _ in range(3)])

    def test_one_that_the_backend_has_closed_is_not_for_what_cannot_be_sent_again(self) -> None:
        """The end may be there already, before anybody was told of it."""
        ways = self.ways()
        first, second, third = (self.connect(ways) for _ in range(3))
        for connection in (first, second, third):
            ways.keep(connection)
        third.transport.peer_left = second.transport.peer_left = True
        self.assertIs(third, ways.take("a"))
        self.assertIs(first, ways.take("a", careful=True))
        self.turn.run()
        self.assertEqual((True, None), (second.lost, ways.take("a")))

    def test_without_tls_every_host_may_have_it(self) -> None:
        ways = self.ways()
        connection = self.connect(ways, "a.example")
        ways.keep(connection)
        self.assertIs(connection, ways.take("b.example"))

    def test_with_tls_connections_are_kept_apart_by_host(self) -> None:
        """A certificate checked for one name must not serve another."""
        ways = self.ways(lambda host: f"tls for {host}")
        connection = self.connect(ways, "a.example")
        ways.keep(connection)
        self.assertIsNone(ways.take("b.example"))
        self.assertIs(connection, ways.take("a.example"))
        self.assertEqual(["tls for a.example"], self.place.tls)

    def test_what_has_ended_is_forgotten_once_and_for_all(self) -> None:
        ways = self.ways()
        connection = self.connect(ways)
        ways.forget(connection)
        ways.keep(connection)
        ways.forget(connection)
        ways.forget(connection)
        self.assertIsNone(ways.take("a"))

    def test_what_has_been_idle_for_too_long_is_closed(self) -> None:
        ways = self.ways()
        old, young = self.connect(ways), self.connect(ways)
        ways.keep(old)
        self.clock.advance(IDLE_SECONDS / 2)
        ways.keep(young)
        self.clock.advance(IDLE_SECONDS / 2 + 1)
        ways.sweep()
        self.turn.run()
        self.assertEqual(["closed", ""], [wire.ending for wire in self.place.wires])
        self.assertEqual([young, None], [ways.take("a"), ways.take("a")])
        ways.sweep()
        self.assertIsNone(ways.take("a"))

    def test_what_the_backend_does_not_close_is_closed(self) -> None:
        """It has said that it would, and has a while for that; who keeps no idle ones waits for none."""
        ways = self.ways()
        own = ways.own()
        ways.leave(self.connect(ways))
        own.leave(self.connect(own))
        gone = self.connect(ways)
        ways.leave(gone)
        ways.forget(gone)
        ends = []
        for seconds in (0.0, LEAVING_SECONDS / 2, LEAVING_SECONDS / 2):
            self.clock.advance(seconds)
            ways.sweep()
            self.turn.run()
            ends.append([wire.ending for wire in self.place.wires])
        self.assertEqual([["", "", ""], ["", "", ""], ["closed", "closed", ""]], ends)
        left = self.connect(ways)
        ways.leave(left)
        ways.close()
        ways.leave(self.connect(ways))
        self.turn.run()
        self.assertEqual(["closed", "closed", "", "closed", "closed"], [wire.ending for wire in self.place.wires])

    def test_the_number_of_those_that_wait_to_be_closed_is_bounded(self) -> None:
        """Backends that leave it to us would have all descriptors."""
        ways = self.ways()
        for connection in [self.connect(ways) for _ in range(MOST_LEAVING + 3)]:
            ways.leave(connection)
        self.turn.run()
        ends = [(wire.ending, getattr(wire, "quiet", False)) for wire in self.place.wires]
        self.assertEqual([("closed", True)] * 3 + [("", False)] * MOST_LEAVING, ends)

    def test_the_number_of_idle_connections_is_bounded(self) -> None:
        ways = self.ways()
        for connection in [self.connect(ways) for _ in range(MOST_IDLE + 1)]:
            ways.keep(connection)
        self.turn.run()
        self.assertEqual(1, sum(wire.ending == "closed" for wire in self.place.wires))

    def test_close_closes_the_idle_ones_and_keeps_no_more(self) -> None:
        ways = self.ways()
        idle, busy = self.connect(ways), self.connect(ways)
        ways.keep(idle)
        ways.close()
        self.turn.run()
        self.assertEqual(["closed", ""], [wire.ending for wire in self.place.wires])
        ways.keep(busy)
        self.turn.run()
        self.assertEqual(["closed", "closed"], [wire.ending for wire in self.place.wires])
        self.assertIsNone(ways.take("a"))

    def test_failures_say_where_and_may_be_retried(self) -> None:
        self.place.manner = "refuse"
        ways = self.ways()
        text = self.fails(ways, ways.connect("a"), ConnectFailed)
        self.assertIn("backend 10.0.0.4:80 (127.0.0.1:9001)", text)
        self.assertTrue(ConnectFailed.retryable)

    def test_without_a_deferred(self) -> None:
        """Only where the road can, and nothing would fail at once: why it does is for `connect` to say."""
        told: list[Any] = []
        attempt = mock.Mock(start=lambda: told.append(attempt.result))
        road = mock.Mock(client=lambda *place: mock.Mock(attempt=lambda factory: attempt))
        for able, tls_for in ((self.road, None), (road, mock.Mock(side_effect=BackendTLSFailed("x")))):
            with mock.patch.object(self, "road", able):
                self.assertIsNone(self.ways(tls_for).begin("a", mock.Mock()))
        self.assertEqual([], told)
        result = mock.Mock()
        with mock.patch.object(self, "road", road):
            self.assertIs(attempt, self.ways().begin("a", result))
        self.assertEqual([result], told)

    def test_what_is_lacking_here_is_not_the_backends_fault(self) -> None:
        """No descriptor, port or memory for a connection: it may be tried elsewhere, and counts against nobody."""
        ways = self.ways()
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL):
            error = ways.explained(Failure(getConnectError((number, os.strerror(number)))))
            self.assertIsInstance(error, OutOfResources)
            self.assertIn(os.strerror(number), str(error))
            self.assertNotIsInstance(error, BackendError)
        self.assertTrue(OutOfResources.retryable)
        self.assertIsInstance(ways.explained(Failure(getConnectError((errno.ECONNREFUSED, "")))), ConnectFailed)

    def test_a_timeout_says_how_long(self) -> None:
        self.place.manner = "hang"
        ways = self.ways()
        connecting = ways.connect("a")
        self.clock.advance(2.4)
        self.assertNoResult(connecting)
        self.clock.advance(0.1)
        self.assertIn("within 2.5 s", self.fails(ways, connecting, ConnectFailed))

    def test_whatever_goes_wrong_is_a_failure_and_no_exception(self) -> None:
        self.place.manner = "break"
        ways = self.ways()
        self.assertIn("the road is broken", self.fails(ways, ways.connect("a"), ConnectFailed))

        def tls_for(host: str) -> Any:
            raise BackendTLSFailed("no such name")

        ways = self.ways(tls_for, host_name="api.example")
        self.assertEqual("no such name", self.fails(ways, ways.connect("a"), BackendTLSFailed))

    def test_no_tls_under_a_name_of_the_clients_choice_is_not_the_backends_fault(self) -> None:
        """It may be tried elsewhere, and counts against nobody, unless the settings or the pool have the name."""

        def tls_for(host: str) -> Any:
            raise BackendTLSFailed(f"the certificate is not for {host}")

        ways = self.ways(tls_for)
        self.assertEqual("the certificate is not for b", self.fails(ways, ways.connect("b"), ClientNameFailed))
        self.assertNotIsInstance(ClientNameFailed("x"), BackendError)
        said = [(kind.status, kind.cause, kind.info, kind.retryable) for kind in (ClientNameFailed, BackendTLSFailed)]
        self.assertEqual(said[0], said[1])
        for named in ({"sni_name": "a"}, {"host_name": "a"}, {"pick_host_name_from_backend_address": True}):
            ways = self.ways(tls_for, **named)
            self.fails(ways, ways.connect("b"), BackendTLSFailed)

    def test_an_attempt_may_be_given_up(self) -> None:
        self.place.manner = "hang"
        ways = self.ways()
        connecting = ways.connect("a")
        connecting.cancel()
        self.assertEqual(1, self.place.cancelled)
        self.fails(ways, connecting, ConnectFailed)
