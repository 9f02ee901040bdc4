"""Tests of `gateway.config.unserved`."""

from __future__ import annotations

from gateway.config.model import BackendSettings, Gateway, HttpListener
from gateway.config.unserved import unserved
from tests.config.support import ConfigurationTestCase, properties


class UnservedTests(ConfigurationTestCase):
    """`unserved`."""

    def test_sentences(self) -> None:
        settings = tuple(BackendSettings(name=f"s{i}", dedicated_backend_connection=True) for i in range(7))
        plain = BackendSettings(name="plain")
        secure = HttpListener(name="tls", port=1, protocol="Https", require_server_name_indication=True)
        found = unserved(Gateway(settings=(*settings, plain), listeners=(secure,)))
        self.assertEqual(len(found), 2)
        self.assertEqual(
            found[0],
            "dedicatedBackendConnection (s0, s1, s2, s3, s4, s5, …): backend connections are shared between clients.",
        )
        self.assertIn("requireServerNameIndication (tls): ", found[1])
        self.assertEqual(unserved(Gateway(settings=(plain,))), [])

    def test_in_the_report(self) -> None:
        document = properties()
        document["backendHttpSettingsCollection"][0]["properties"]["dedicatedBackendConnection"] = True
        self.assertTrue(self.load(document).not_honoured[0].startswith("dedicatedBackendConnection (plain): "))
