"""Tests of `gateway.config.unserved`."""

from __future__ import annotations

from gateway.config.model import BackendSettings, ConnectionDraining, Gateway, HttpListener
from gateway.config.unserved import unserved
from tests.config.support import ConfigurationTestCase, properties


class UnservedTests(ConfigurationTestCase):
    """`unserved`."""

    def test_sentences(self) -> None:
        draining = ConnectionDraining(enabled=True)
        settings = tuple(
            BackendSettings(name=f"s{i}", cookie_based_affinity="Enabled", connection_draining=draining)
            for i in range(7)
        )
        plain = BackendSettings(name="plain", connection_draining=ConnectionDraining())
        secure = HttpListener(name="tls", port=1, protocol="Https", require_server_name_indication=True)
        found = unserved(Gateway(settings=(*settings, plain), listeners=(secure,)))
        self.assertEqual(len(found), 3)
        self.assertEqual(
            found[0],
            "cookieBasedAffinity (s0, s1, s2, s3, s4, s5, …): clients are not tied to a backend by a cookie.",
        )
        self.assertIn("requireServerNameIndication (tls): ", found[2])
        self.assertEqual(unserved(Gateway(settings=(plain,))), [])

    def test_in_the_report(self) -> None:
        document = properties()
        document["backendHttpSettingsCollection"][0]["properties"]["cookieBasedAffinity"] = "enabled"
        self.assertTrue(self.load(document).not_honoured[0].startswith("cookieBasedAffinity (plain): "))
