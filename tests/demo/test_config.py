"""The demo's configuration."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.demo.config import demo_model


class DemoModelTests(SynchronousTestCase):
    def test_model(self) -> None:
        model = demo_model([("127.0.0.1", 9001), ("127.0.0.1", 9002)])
        listener, pool, settings, probe, rule = (
            model.listeners[0], model.pools[0], model.settings[0], model.probes[0], model.rules[0],
        )  # fmt: skip
        self.assertEqual((listener.name, listener.address, listener.port), ("web", "127.0.0.1", 8080))
        self.assertEqual(
            [(member.host, member.port) for member in pool.members], [("127.0.0.1", 9001), ("127.0.0.1", 9002)]
        )
        self.assertEqual((pool.name, settings.request_timeout), ("chat", 40))
        self.assertEqual((probe.path, probe.interval, probe.unhealthy_threshold), ("/health", 1, 2))
        self.assertEqual(
            (rule.listener, rule.pool, rule.settings, settings.probe), ("web", "chat", settings.name, probe.name)
        )

    def test_port(self) -> None:
        self.assertEqual(demo_model([], port=8123).listeners[0].port, 8123)
