"""`gateway.health.tcp_probe`."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import ConnectionLost, ConnectionRefusedError, getConnectError

from gateway.errors import BackendTLSFailed
from gateway.health.check import MOST_BYTES
from gateway.testing import ProbeConformance
from tests.health.probing import StrategyCase


class ConformanceTests(ProbeConformance, StrategyCase):
    """As any probe."""

    strategy = "tcp"

    def make_probe(self) -> Any:
        return self.make({"send": "PING\r\n", "expect": "+PONG"})

    def answer(self, healthy: bool) -> None:
        connection = self.road.connections[-1]
        connection.succeed()
        connection.receive(b"+PONG\r\n" if healthy else b"-ERR\r\n")
        connection.lose()


class TcpTests(StrategyCase):
    """Connect, send, expect."""

    strategy = "tcp"

    def test_connection_is_enough(self) -> None:
        connection, deferred = self.begin()
        result = self.over(connection, deferred)
        self.assertEqual((True, "the connection was made"), result[:2])
        self.assertEqual((b"", True), (connection.transport.value(), connection.transport.disconnecting))

    def test_refused(self) -> None:
        deferred = self.make().check(self.backend(), 30.0)
        self.road.connections[0].fail(ConnectionRefusedError())
        result = self.successResultOf(deferred)
        self.assertIn("connection refused", result.reason)
        self.assertTrue(result.conclusive)

    def test_no_descriptors(self) -> None:
        """What is wanting here says nothing of the backend."""
        deferred = self.make().check(self.backend(), 30.0)
        self.road.connections[0].fail(getConnectError((errno.EMFILE, "too many open files")))
        result = self.successResultOf(deferred)
        self.assertEqual((False, False), (result.healthy, result.conclusive))

    def backend(self) -> Any:
        from gateway.testing import FakeBackend

        return FakeBackend()

    def test_over_tls(self) -> None:
        connection, deferred = self.begin(tls_for=lambda *_: "tls", protocol="Https")
        self.assertEqual("tls", connection.tls)
        self.assertEqual("the TLS connection was made", self.over(connection, deferred).reason)
        deferred = self.make(tls_for=lambda *_: "tls", protocol="Https").check(self.backend(), 30.0)
        self.road.connections[-1].fail(BackendTLSFailed("self-signed"))
        self.assertIn("TLS to 10.0.0.1:80 failed: self-signed", self.successResultOf(deferred).reason)

    def test_expect_in_pieces(self) -> None:
        connection, deferred = self.begin({"send": "héllo", "expect": "220 ready"})
        self.assertEqual("héllo".encode(), connection.transport.value())
        for piece in (b"220-wait\r\n2", b"20 rea"):
            connection.receive(piece)
            self.assertNoResult(deferred)
        connection.receive(b"dy\r\n")
        self.assertEqual(
            (True, "the connection was made and the answer has the expected text"), self.over(connection, deferred)[:2]
        )

    def test_lacks(self) -> None:
        connection, deferred = self.begin({"expect": "ready"})
        connection.receive(b"busy")
        connection.lose()
        self.assertEqual(
            (False, "the connection was made, but the answer lacks 'ready'; the connection ended"),
            self.over(connection, deferred)[:2],
        )

    def test_says_nothing(self) -> None:
        connection, deferred = self.begin({"expect": "ready"})
        connection.lose(ConnectionLost())
        self.assertIn("lost before there was an answer", self.over(connection, deferred).reason)

    def test_bounded(self) -> None:
        connection, deferred = self.begin({"expect": "ready"})
        connection.receive(b"x" * (MOST_BYTES - 1))
        self.assertNoResult(deferred)
        connection.receive(b"xready")
        self.assertIn(f"in its first {MOST_BYTES} bytes", self.over(connection, deferred).reason)

    def test_options(self) -> None:
        self.refused({"sent": "x"}, "probes[0].options.sent")
        self.refused({"expect": 7}, "probes[0].options.expect")
