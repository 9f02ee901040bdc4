"""`gateway.health.on_demand`; what it answers over real sockets is in `tests.integration.test_backend_health`."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Probe
from gateway.health.on_demand import OnDemand
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
        for gives, health in (ProbeResult(True, "well"), "Up"), ("nonsense", "Down"), (KeyError("x"), "Down"):
            demand = OnDemand(
                lambda: "gw", lambda: [pool], lambda settings: Probe(name="p"),
                lambda settings, probe, gives=gives: _Probing(gives), Clock(),
            )  # type: ignore[misc]  # fmt: skip
            body = json.dumps({"backendAddressPool": pool.name, "backendHttpSettings": pool.settings.name})
            report = self.successResultOf(demand.ask(body.encode()))
            self.assertIn(f"'health': '{health}'", str(report))
