"""Troubles without a request: counted always, told now and then."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from gateway.observe.troubles import PAUSE, Troubles


class TroublesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            self.lines.append(f"{event['log_level'].name}: {formatEvent(event)}")

        self.troubles = Troubles(self.clock.seconds, Logger("test", observer=observe))

    def test_refused_connections(self) -> None:
        for _ in range(100):
            self.troubles.refused_connection("web", "10 clients")
        self.troubles.refused_connection("other", "10 clients")
        self.assertEqual({"web": 100, "other": 1}, self.troubles.refused)
        text = "10 clients, further ones are refused"
        self.assertEqual([f"warn: listener {name}: {text}" for name in ("web", "other")], self.lines)
        self.clock.advance(PAUSE)
        self.troubles.refused_connection("web", "10 clients")
        self.assertTrue(self.lines[-1].endswith(" (99 more since the last such line)"), self.lines[-1])
        self.clock.advance(PAUSE)
        self.troubles.refused_connection("web", "10 clients")
        self.assertTrue(self.lines[-1].endswith(" refused"), self.lines[-1])

    def test_refused_because_the_gateway_stops(self) -> None:
        self.troubles.refused_connection("web", "")
        self.assertEqual(({"web": 1}, []), (self.troubles.refused, self.lines))

    def test_handshakes(self) -> None:
        for reason in ("timeout", "closed_by_client", "other", "other"):
            self.troubles.failed_handshake("web", "192.0.2.1", reason, "it took too long")
        self.assertEqual(
            {("web", "timeout"): 1, ("web", "closed_by_client"): 1, ("web", "other"): 2}, self.troubles.handshakes
        )
        self.assertEqual(["info: listener web: TLS handshake with 192.0.2.1 failed: it took too long"], self.lines)

    def test_who_only_closes_is_not_told(self) -> None:
        self.troubles.failed_handshake("web", "192.0.2.1", "closed_by_client", "the client closed the connection")
        self.assertEqual([], self.lines)
