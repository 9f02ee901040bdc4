"""`gateway.health.defaults`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Gateway, Probe
from gateway.health.defaults import default_probe, probe_for


class ProbeForTests(SynchronousTestCase):
    """Which probe it is."""

    def test_default(self) -> None:
        """The documented default probe."""
        probe = default_probe(BackendSettings(name="s", protocol="Https"))
        self.assertEqual(
            (probe.protocol, probe.path, probe.interval, probe.timeout, probe.unhealthy_threshold, probe.host),
            ("Https", "/", 30, 30, 3, None),
        )
        self.assertEqual(probe.match.status_codes, ("200-399",))

    def test_named(self) -> None:
        probe = Probe(name="p")
        model = Gateway(probes=(Probe(name="o"), probe))
        self.assertIs(probe_for(model, BackendSettings(name="s", probe="p")), probe)
        self.assertEqual(probe_for(model, BackendSettings(name="s")).name, "default")
