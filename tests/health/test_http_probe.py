"""`gateway.health.http_probe` and `gateway.health.http_check`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Match, Probe
from gateway.errors import BackendTLSFailed
from gateway.health.check import MOST_BYTES
from gateway.health.http_probe import HttpProbe, factory, probe_host
from gateway.interfaces import IStrategyFactory
from gateway.services import Services
from gateway.testing import FakeBackend, FakeConnection, FakeRoad, ProbeConformance
from gateway.values import ProbeResult

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class ProbeCase(SynchronousTestCase):
    """A probe on a fake road."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.road = FakeRoad()

    def make(self, tls_for: Any = None, settings: dict[str, Any] | None = None, **others: Any) -> HttpProbe:
        self.settings = BackendSettings(name="s", **(settings or {}))
        return HttpProbe(Probe(name="p", **others), self.settings, self.road, tls_for, self.clock)

    def begin(self, backend: Any = None, **others: Any) -> tuple[FakeConnection, Any]:
        """Start a check; return its connection, made, and the Deferred."""
        result = self.make(**others).check(backend or FakeBackend(), 30.0)
        connection = self.road.connections[-1]
        connection.succeed()
        return connection, result

    def ask(self, *answers: bytes, end: bool = False, **others: Any) -> ProbeResult:
        """The result for ``answers``; then the connection is closed."""
        connection, deferred = self.begin(**others)
        for answer in answers:
            connection.receive(answer)
        if end:
            connection.lose()
        result: ProbeResult = self.successResultOf(deferred)
        if not end:
            self.assertTrue(connection.transport.disconnecting or connection.transport.aborted)
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return result


class ConformanceTests(ProbeConformance, ProbeCase):
    """As any probe."""

    def make_probe(self) -> HttpProbe:
        return self.make()

    def answer(self, healthy: bool) -> None:
        connection = self.road.connections[-1]
        connection.succeed()
        connection.receive(OK if healthy else b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


class FactoryTests(ProbeCase):
    """How it is made."""

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        services = Services(
            self.clock,
            None,
            None,
            road=self.road,
            probe=Probe(name="p"),
            settings=BackendSettings(name="s"),  # type: ignore[arg-type]
        )
        self.assertIsInstance(factory.build(None, services), HttpProbe)
        self.assertRaises(ValueError, factory.build, None, services._replace(road=None))

    def test_bad_match(self) -> None:
        self.assertRaises(ValueError, self.make, match=Match(status_codes=("2xx",)))

    def test_https_without_tls(self) -> None:
        self.assertRaises(ValueError, self.make, protocol="Https")


class RequestTests(ProbeCase):
    """What is asked, and where."""

    def test_default(self) -> None:
        connection, _ = self.begin()
        self.assertEqual(
            (connection.host, connection.port, connection.tls, connection.timeout), ("10.0.0.1", 80, None, 5.0)
        )
        lines = connection.transport.value().split(b"\r\n")
        self.assertEqual(lines[:2], [b"GET / HTTP/1.1", b"Host: 127.0.0.1"])
        self.assertIn(b"Connection: close", lines)
        self.assertEqual(lines[-2:], [b"", b""])

    def test_custom(self) -> None:
        connection, _ = self.begin(path="/health?x=1 2", host="app.example", port=9000)
        self.assertEqual(connection.port, 9000)
        self.assertTrue(
            connection.transport.value().startswith(b"GET /health?x=1%202 HTTP/1.1\r\nHost: app.example\r\n")
        )

    def test_mapped(self) -> None:
        """The map of a member holds for its own port; another port is asked at the same host."""
        backend = FakeBackend(connect_host="127.0.0.1", connect_port=9001)
        self.assertEqual(self.begin(backend)[0].port, 9001)
        self.assertEqual(self.begin(backend, port=80)[0].port, 9001)
        connection, _ = self.begin(backend, port=8080)
        self.assertEqual((connection.host, connection.port), ("127.0.0.1", 8080))

    def test_connect_timeout(self) -> None:
        self.assertEqual(self.begin(settings={"connect_timeout": 60})[0].timeout, 30.0)

    def test_hosts(self) -> None:
        """Probe, then settings, then member, then 127.0.0.1."""
        pick = {"pick_host_name_from_backend_http_settings": True}
        member = {"pick_host_name_from_backend_address": True}
        for probe, settings_, expected in (
            ({}, {}, "127.0.0.1"),
            ({"host": "p.example"}, {"host_name": "s.example"}, "p.example"),
            ({"host": "p.example", **pick}, {"host_name": "s.example"}, "s.example"),
            (pick, member, "10.0.0.1"),
            (pick, {}, "127.0.0.1"),
            ({}, {"host_name": "s.example"}, "s.example"),
            ({}, member, "10.0.0.1"),
        ):  # fmt: skip
            found = probe_host(Probe(name="p", **probe), BackendSettings(name="s", **settings_), "10.0.0.1")
            self.assertEqual(found, expected)
        found = probe_host(Probe(name="p"), BackendSettings(name="s", **member), "2001:db8::1")
        self.assertEqual(found, "[2001:db8::1]")

    def test_tls(self) -> None:
        asked: list[Any] = []

        def tls_for(*arguments: Any) -> str:
            asked.append(arguments)
            return "tls"

        connection, _ = self.begin(tls_for=tls_for, protocol="Https")
        self.assertEqual(connection.tls, "tls")
        self.assertEqual((asked[0][0], asked[0][1].name, asked[0][2]), (self.settings, "p", "10.0.0.1"))

    def test_tls_cannot_be_made(self) -> None:
        def tls_for(*arguments: Any) -> Any:
            raise BackendTLSFailed("the trusted root 'r' cannot be read")

        result = self.successResultOf(self.make(tls_for, protocol="Https").check(FakeBackend(), 30.0))
        self.assertEqual(result, ProbeResult(False, "the trusted root 'r' cannot be read"))


class StatusTests(ProbeCase):
    """The status decides."""

    def test_good(self) -> None:
        for status in (200, 204, 302, 399):
            result = self.ask(b"HTTP/1.1 %d X\r\nLocation: /x\r\n\r\n" % status)
            self.assertEqual((result.healthy, result.status), (True, status))

    def test_bad(self) -> None:
        result = self.ask(b"HTTP/1.1 503 X\r\n\r\n")
        self.assertEqual((result.healthy, result.status), (False, 503))
        self.assertEqual(result.reason, "the answer was 503, expected 200-399")

    def test_hint(self) -> None:
        """A backend that wants an upgrade says 400 or 426: the operator is told what to do."""
        for status in (400, 426):
            self.assertIn("only speaks WebSocket", self.ask(b"HTTP/1.1 %d X\r\n\r\n" % status).reason)
        self.assertNotIn("WebSocket", self.ask(b"HTTP/1.1 500 X\r\n\r\n").reason)

    def test_own_codes(self) -> None:
        self.assertTrue(self.ask(b"HTTP/1.1 426 X\r\n\r\n", match=Match(status_codes=("426",))).healthy)
        self.assertFalse(self.ask(OK, match=Match(status_codes=("426",))).healthy)

    def test_interim(self) -> None:
        self.assertTrue(self.ask(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK).healthy)
        self.assertTrue(self.ask(b"HTTP/1.1 100 Continue\r\n\r\n", OK).healthy)

    def test_endless_interim(self) -> None:
        self.assertIn("interim", self.ask(b"HTTP/1.1 100 Continue\r\n\r\n" * 50).reason)

    def test_seconds(self) -> None:
        connection, deferred = self.begin()
        self.clock.advance(0.5)
        connection.receive(OK)
        self.assertEqual(self.successResultOf(deferred).seconds, 0.5)
        connection.lose()


class BodyTests(ProbeCase):
    """The body must contain a string."""

    match = Match(body="all is w\u00f6ll")
    needle = "all is w\u00f6ll".encode()

    def test_length(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(self.needle) + 4)
        self.assertTrue(self.ask(head + b"xx" + self.needle + b"yy", match=self.match).healthy)
        self.assertTrue(self.ask(head, b"xx" + self.needle[:4], self.needle[4:] + b"yy", match=self.match).healthy)

    def test_lacks(self) -> None:
        result = self.ask(OK, match=self.match)
        self.assertEqual(result.reason, "the answer was 200, but its body lacks 'all is w\u00f6ll'")
        self.assertFalse(result.healthy)

    def test_chunked(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        one = b"%x\r\n%s\r\n" % (4, self.needle[:4])
        two = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.needle) - 4, self.needle[4:])
        self.assertTrue(self.ask(head + one, two, match=self.match).healthy)
        self.assertFalse(self.ask(head + b"3\r\nabc\r\n0\r\n\r\n", match=self.match).healthy)
        self.assertIn("not valid HTTP", self.ask(head + b"zz\r\n", match=self.match).reason)

    def test_until_close(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        self.assertTrue(self.ask(head, self.needle, match=self.match).healthy)
        self.assertIn("lacks", self.ask(head, b"something else", match=self.match, end=True).reason)

    def test_cut_short(self) -> None:
        result = self.ask(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", match=self.match, end=True)
        self.assertIn("the connection ended before the body did", result.reason)

    def test_empty(self) -> None:
        self.assertFalse(self.ask(b"HTTP/1.1 204 No Content\r\n\r\n", match=self.match).healthy)

    def test_bounded(self) -> None:
        """An endless body is given up after so many bytes."""
        connection, deferred = self.begin(match=self.match)
        connection.receive(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(MOST_BYTES // 4096 - 1):
            connection.receive(b"x" * 4096)
        self.assertNoResult(deferred)
        connection.receive(b"x" * 4096)
        self.assertIn(f"in its first {MOST_BYTES} bytes", self.successResultOf(deferred).reason)
        connection.receive(b"x" * 4096)
        connection.lose()

    @given(st.data())
    @settings(max_examples=30, deadline=None)
    def test_split_anywhere(self, data: Any) -> None:
        body = b"%x\r\n--%s--\r\n0\r\n\r\n" % (len(self.needle) + 4, self.needle)
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        self.assertTrue(self.ask(*[piece for piece in pieces if piece], match=self.match).healthy)


class FailureTests(ProbeCase):
    """Reasons in words."""

    def test_connect(self) -> None:
        for exception, text in (
            (
                error.ConnectionRefusedError(),
                "cannot connect to 10.0.0.1:80: connection refused (nothing listens there)",
            ),
            (error.TimeoutError(), "cannot connect to 10.0.0.1:80: no connection within 5 s"),
            (error.TCPTimedOutError(), "cannot connect to 10.0.0.1:80: no connection within 5 s"),
            (error.DNSLookupError("x"), "cannot connect to 10.0.0.1:80: the name cannot be resolved"),
            (error.NoRouteError(), "cannot connect to 10.0.0.1:80: no route to it"),
            (
                error.ConnectError(string="odd"),
                "cannot connect to 10.0.0.1:80: An error occurred while connecting: odd.",
            ),
            (BackendTLSFailed("the certificate has expired"), "TLS to 10.0.0.1:80 failed: the certificate has expired"),
        ):
            deferred = self.make().check(FakeBackend(), 30.0)
            self.road.connections[-1].fail(exception)
            self.assertEqual(self.successResultOf(deferred), ProbeResult(False, text))

    def test_not_http(self) -> None:
        for answer in (b"SSH-2.0-OpenSSH_9\r\n", b"\x15\x03\x01\x00\x02\x02F", b"HTTP/1.1 2 OK\r\n\r\n"):
            self.assertIn("the answer is not valid HTTP", self.ask(answer).reason)

    def test_endless_head(self) -> None:
        self.assertFalse(self.ask(b"HTTP/1.1 200 OK\r\n", *[b"X: %s\r\n" % (b"y" * 4000)] * 20).healthy)

    def test_closed_early(self) -> None:
        self.assertIn("closed before there was an answer", self.ask(end=True).reason)
        self.assertIn("closed before there was an answer", self.ask(b"HTTP/1.1 20", end=True).reason)

    def test_lost(self) -> None:
        connection, deferred = self.begin()
        connection.lose(error.ConnectionLost("reset by peer"))
        self.assertIn("lost before there was an answer", self.successResultOf(deferred).reason)

    def test_does_not_close(self) -> None:
        """A backend that ignores our close is cut after a while."""
        connection, _ = self.begin()
        connection.receive(OK)
        self.assertFalse(connection.transport.aborted)
        self.clock.advance(2)
        self.assertTrue(connection.transport.aborted)

    def test_cancelled_while_connecting(self) -> None:
        deferred = self.make().check(FakeBackend(), 30.0)
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.assertTrue(self.road.connections[-1].cancelled)

    def test_cancelled_while_waiting(self) -> None:
        connection, deferred = self.begin()
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.assertTrue(connection.transport.aborted)
        connection.receive(OK)
        connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
