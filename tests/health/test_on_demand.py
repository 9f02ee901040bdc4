"""`gateway.health.on_demand`; what it answers over real sockets is in `tests.integration.test_backend_health`."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Probe
from gateway.health.on_demand import MOST_REQUESTS, OnDemand, Refused
from gateway.testing import FakeBackend, FakePool
from gateway.values import ProbeResult


class _Probing:
    def __init__(self, gives: Any) -> None:
        self._gives = gives

    def check(self, backend: Any, deadline: float) -> Any:
        return succeed(self._gives) if not isinstance(self._gives, Exception) else fail(self._gives)


class OnDemandTests(SynchronousTestCase):
    """Strategies that are wrong."""

    def test_nonsense_is_unhealthy(self) -> None:
        pool = FakePool(backends=[FakeBackend()])
        cases: list[tuple[Any, str]] = [
            (ProbeResult(True, "well"), "Up"), ("nonsense", "Down"), (KeyError("x"), "Down"),
            (ProbeResult(True, "well", "200"), "Down"),  # type: ignore[arg-type]
        ]  # fmt: skip
        for gives, health in cases:
            demand = OnDemand(
                lambda: "gw", lambda: [pool], lambda settings: Probe(name="p"),
                lambda settings, probe, gives=gives: (_Probing(gives), lambda: None), Clock(),
            )  # type: ignore[misc]  # fmt: skip
            body = json.dumps({"backendAddressPool": pool.name, "backendHttpSettings": pool.settings.name})
            report = self.successResultOf(demand.ask(body.encode()))
            self.assertIn(f"'health': '{health}'", str(report))


class ClosingTests(SynchronousTestCase):
    """What is built for a request."""

    def setUp(self) -> None:
        self.pool = FakePool(backends=[FakeBackend("a"), FakeBackend("b")])
        self.told: list[str] = []
        self.checks: list[Deferred[Any]] = []
        self.demand = OnDemand(
            lambda: "gw", lambda: [self.pool], lambda settings: Probe(name="p"), self.build, Clock()
        )  # fmt: skip

    def build(self, settings: Any, probe: Any) -> Any:
        self.told.append("built")
        return self, lambda: self.told.append("closed")

    def check(self, backend: Any, deadline: float) -> Any:
        """Waits."""
        self.checks.append(Deferred())
        return self.checks[-1]

    def ask(self) -> Deferred[Any]:
        """A request."""
        body = {"backendAddressPool": self.pool.name, "backendHttpSettings": self.pool.settings.name}
        return self.demand.ask(json.dumps(body).encode())

    def test_when_all_is_known(self) -> None:
        asked = self.ask()
        for number, check in enumerate(self.checks):
            self.assertEqual((["built"], number), (self.told, sum(each.called for each in self.checks)))
            check.callback(ProbeResult(True, "well"))
        self.assertIn("Up", str(self.successResultOf(asked)))
        self.assertEqual(["built", "closed"], self.told)

    def test_when_nobody_waits_any_more(self) -> None:
        asked = self.ask()
        asked.cancel()
        self.successResultOf(asked)
        self.assertEqual(["built", "closed"], self.told)

    def test_too_many(self) -> None:
        """Who is refused has nothing built."""
        for _ in range(MOST_REQUESTS):
            self.ask()
        self.assertEqual(503, self.assertRaises(Refused, self.ask).status)
        self.assertEqual(["built"] * MOST_REQUESTS, self.told)
