"""The admin site, over its own protocol."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.observe.admin import AdminSite
from gateway.observe.metrics import Metrics
from gateway.observe.reports import session_reports
from gateway.observe.sessions import Sessions
from tests.observe.examples import Pool, Session, outcome


class _Response:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}

    def json(self) -> Any:
        return json.loads(self.body)


class AdminTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(self.clock)
        self.pools: Any = [Pool()]
        self.readiness = (True, "all is well")
        self.metrics = Metrics(lambda: self.pools, self.sessions)
        self.model = Gateway.model_validate(
            {"name": "test", "certificates": [{"name": "c", "data": "abc", "password": "s3cret"}]}
        )
        self.site = AdminSite(
            pools=lambda: self.pools,
            probes=None,
            sessions=lambda limit: session_reports(self.sessions, 160.0, limit),
            exposition=self.metrics.exposition,
            ready=lambda: self.readiness,
            model=lambda: self.model,
            hosts=["Admin.example"],
            reactor=self.clock,
        )
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def ask(self, path: str, method: str = "GET", host: str = "127.0.0.1:8081", more: str = "") -> _Response:
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
        self.turns = 0
        while not transport.value():
            self.turns += 1
            self.clock.advance(0)
        return _Response(transport.value())

    def test_page(self) -> None:
        first, second = self.ask("/"), self.ask("/")
        self.assertEqual((first.status, first.fields["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("script-src 'nonce-", first.fields["content-security-policy"])
        self.assertNotEqual(first.fields["content-security-policy"], second.fields["content-security-policy"])
        nonce = first.fields["content-security-policy"].partition("script-src 'nonce-")[2].partition("'")[0]
        self.assertEqual(first.body.count(f'nonce="{nonce}"'.encode()), 2)
        self.assertNotIn(b"{nonce}", first.body)
        for foreign in (b"http://", b"https://", b"innerHTML"):
            self.assertNotIn(foreign, first.body)

    def test_pools(self) -> None:
        report = self.ask("/pools").json()
        self.assertEqual(report["name"], "test")
        self.assertEqual(report["pools"][0]["backends"][0]["state"], "up")

    def test_ready(self) -> None:
        answer = self.ask("/ready")
        self.assertEqual((answer.status, answer.json()["ready"]), (200, True))
        self.readiness = (False, "the first probe is out")
        answer = self.ask("/ready")
        self.assertEqual((answer.status, answer.json()["reason"]), (503, "the first probe is out"))
        self.assertEqual(
            answer.json()["pools"], [{"pool": "chat", "settings": "fast", "healthy": 1, "serving": 1, "total": 1}]
        )

    def test_health(self) -> None:
        self.readiness = (False, "")
        self.assertEqual(self.ask("/health").status, 200)

    def test_sessions(self) -> None:
        for _ in range(3):
            self.sessions.add(Session())
        report = self.ask("/sessions?limit=2").json()
        self.assertEqual((report["total"], report["byPool"]), (3, {"chat": 3}))
        self.assertEqual([(session["id"], session["age"]) for session in report["sessions"]], [(3, 60.0), (2, 60.0)])

    def test_limit(self) -> None:
        for limit in ("0", "-1", "x", "", "10001", "9" * 40, "1.5", "%C2%B2"):
            self.assertEqual(self.ask(f"/sessions?limit={limit}").status, 400, limit)
        self.assertEqual(self.ask("/sessions?limit=10000").status, 200)

    def test_long_pages_let_others_have_their_turn(self) -> None:
        """They come whole nonetheless; and a page for somebody who has gone is not finished."""
        for _ in range(450):
            self.sessions.add(Session())
        self.pools = [Pool(), Pool()]
        for pool in self.pools:
            pool.backends = pool.backends * 30
        self.assertEqual((99, 0), (len(self.ask("/sessions?limit=99").json()["sessions"]), self.turns))
        self.assertEqual((450, 1), (len(self.ask("/sessions?limit=10000").json()["sessions"]), self.turns))
        self.assertEqual([30, 30], [len(pool["backends"]) for pool in self.ask("/pools").json()["pools"]])
        self.assertEqual(1, self.turns)
        protocol = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(b"GET /sessions?limit=10000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        protocol.connectionLost(Failure(ConnectionLost()))
        self.clock.advance(0)
        self.assertNotIn("_respond", str(self.clock.getDelayedCalls()))

    def test_metrics(self) -> None:
        self.metrics.ended(outcome())
        answer = self.ask("/metrics")
        self.assertEqual(answer.fields["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn(b"gateway_requests_total{", answer.body)

    def test_config(self) -> None:
        answer = self.ask("/config")
        self.assertNotIn(b"s3cret", answer.body)
        self.assertEqual(answer.json()["certificates"][0]["name"], "c")

    def test_head(self) -> None:
        for path in ("/", "/pools", "/ready", "/metrics", "/config", "/sessions", "/health", "/nothing"):
            got, asked = self.ask(path), self.ask(path, "HEAD")
            self.assertEqual((asked.status, asked.body), (got.status, b""), path)
            self.assertEqual(asked.fields["content-length"], str(len(got.body)), path)

    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            answer = self.ask("/pools", method)
            self.assertEqual((answer.status, answer.fields["allow"]), (405, "GET, HEAD"), method)
            self.assertEqual(
                "pages are for GET and HEAD; POST is for /getBackendHealthOnDemand and /reload", answer.json()["error"]
            )
        for path in "/reload", "/getBackendHealthOnDemand":
            answer = self.ask(path, "PUT", more="Content-Length: 1\r\n")
            self.assertEqual((answer.status, answer.fields["allow"]), (405, "POST"), path)

    def test_unknown_path(self) -> None:
        for path in ("/nothing", "/pools/", "/pools/x", "//", "/%2e%2e/etc/passwd"):
            answer = self.ask(path)
            self.assertEqual(
                (answer.status, answer.fields["content-type"]), (404, "application/json; charset=utf-8"), path
            )
            self.assertIn("/pools", answer.json()["error"])
            self.assertNotIn("POST", answer.json()["error"])

    def test_unknown_path_where_there_is_more(self) -> None:
        """All that there is is named."""
        root: Any = self.site.resource
        root._on_demand = root._reload = lambda *_: None
        self.assertTrue(
            self.ask("/x").json()["error"].endswith("/metrics, and for POST /getBackendHealthOnDemand and /reload")
        )

    def test_strange_host(self) -> None:
        for path in ("/", "/pools", "/metrics", "/nothing"):
            self.assertEqual(self.ask(path, host="rebound.example").status, 421, path)
        self.assertEqual(self.ask("/pools", more="Host: rebound.example\r\n").status, 421)
        self.assertEqual(self.ask("/pools", host="admin.example:8081").status, 200)

    def test_failing_collaborator(self) -> None:
        self.pools = None
        answer = self.ask("/pools")
        self.assertEqual(answer.status, 500)
        self.assertNotIn(b"Traceback", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_fields_of_every_answer(self) -> None:
        for path in ("/", "/pools", "/nothing"):
            fields = self.ask(path).fields
            self.assertEqual(fields["server"], "gateway")
            self.assertEqual(fields["cache-control"], "no-store")
            self.assertEqual(fields["x-content-type-options"], "nosniff")
            self.assertNotIn("access-control-allow-origin", fields)
