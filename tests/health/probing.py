"""A probe on a fake road, for the tests of each strategy."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Probe
from gateway.errors import ConfigurationError
from gateway.lifecycle.registry import Registry
from gateway.services import Services
from gateway.testing import FakeBackend, FakeConnection, FakeRoad
from gateway.values import ProbeResult

__all__ = ["StrategyCase"]


class StrategyCase(SynchronousTestCase):
    """Builds the probe ``strategy`` as the gateway does, from its name and options."""

    strategy = ""

    def setUp(self) -> None:
        self.clock = Clock()
        self.road = FakeRoad()

    def make(self, options: dict[str, Any] | None = None, tls_for: Any = None, **probe: Any) -> Any:
        """A probe; ``probe`` are its fields in the configuration."""
        services = Services(
            self.clock,
            None,
            Random(0),
            road=self.road,
            tls_for=tls_for,
            probe=Probe(name="p", **probe),
            settings=BackendSettings(name="s"),
        )
        return Registry().build(
            "gateway.probes", self.strategy, options or {}, services, "probes[0].strategy", "probes[0].options"
        )

    def refused(self, options: dict[str, Any], *words: str) -> None:
        """The options are wrong, and the message has these words."""
        error = self.assertRaises(ConfigurationError, self.make, options)
        for word in words:
            self.assertIn(word, str(error))

    def begin(self, options: dict[str, Any] | None = None, **others: Any) -> tuple[FakeConnection, Any]:
        """Start a check; return its connection, made, and the Deferred."""
        result = self.make(options, **others).check(FakeBackend(), 30.0)
        connection = self.road.connections[-1]
        connection.succeed()
        return connection, result

    def over(self, connection: FakeConnection, deferred: Any) -> ProbeResult:
        """The result; then the connection is closed, and nothing is left."""
        result: ProbeResult = self.successResultOf(deferred)
        if connection.protocol.connected:
            connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return result
