"""Tests of `gateway.config.additions`: what a document only names, and what overrides change."""

from __future__ import annotations

import os
from typing import Any

from tests.config.support import ConfigurationTestCase, properties, reference


def placeholders() -> dict[str, Any]:
    """A gateway as an ingress controller writes it: the path map's default goes to what is not there."""
    made = properties()
    rule = made["requestRoutingRules"][0]["properties"]
    made["urlPathMaps"] = [
        {
            "name": "map",
            "properties": {
                "defaultBackendAddressPool": {"id": "xx"},
                "defaultBackendHttpSettings": {"id": "yy"},
                "pathRules": [
                    {
                        "name": "chat",
                        "properties": {
                            "paths": ["/chat/*"],
                            "backendAddressPool": rule.pop("backendAddressPool"),
                            "backendHttpSettings": rule.pop("backendHttpSettings"),
                        },
                    }
                ],
            },
        }
    ]
    rule |= {"ruleType": "PathBasedRouting", "urlPathMap": reference("urlPathMaps", "map")}
    return made


class AdditionsTests(ConfigurationTestCase):
    """Overrides of objects, through `load`."""

    def test_remedies(self) -> None:
        """A reference that points nowhere says which override settles it."""
        self.load(placeholders())
        problems = [*map(str, self.warnings)]
        self.assertEqual(len(problems), 2)
        self.assertIn("urlPathMaps[0].properties.defaultBackendAddressPool.id: the default of path", problems[0])
        self.assertIn("answers 502: there is no pool 'xx'", problems[0])
        self.assertIn("correct the id, add what it names or let overrides", problems[0])
        self.assertIn("overrides 'pools: {xx: ['host:port']}' make it", problems[0])
        self.assertIn("overrides 'settings: {yy: {port: 80}}' make it", problems[1])
        loaded = self.load(placeholders(), overrides=self.write("pools: {xx: ['h:1']}\nsettings: {YY: {port: 80}}"))
        path_map = loaded.path_maps[0]
        self.assertEqual((path_map.default_pool, path_map.default_settings), ("xx", "yy"))
        self.assertEqual([(item.name, item.members[0].host) for item in loaded.pools[1:]], [("xx", "h")])
        self.assertEqual(self.warnings, [])

    def test_misspelled(self) -> None:
        """Where the name is nearly that of something else, that is the remedy."""
        made = placeholders()
        made["urlPathMaps"][0]["properties"]["defaultBackendAddressPool"]["id"] = "chta"
        self.noted(made, "did you mean 'chat'?")
        self.assertFalse(any("pools: {chta" in problem.message for problem in self.warnings))

    def test_certificates(self) -> None:
        """Certificates and trusted roots that are only named are made of files."""
        made = properties()
        made["httpListeners"][0]["properties"] |= {"protocol": "Https", "sslCertificate": {"id": "site"}}
        made["backendHttpSettingsCollection"][0]["properties"] |= {
            "protocol": "Https", "trustedRootCertificates": [{"id": "root"}],
        }  # fmt: skip
        self.noted(made, "overrides 'certificates: {site: {certificateFile: …, keyFile: …}}'")
        self.noted(made, "overrides 'certificates: {root: {certificateFile: …}}'")
        entries = "{site: {certificateFile: o.yaml}, root: {certificateFile: o.yaml}}"
        overrides = os.path.abspath(self.write(f"certificates: {entries}", "o.yaml"))
        loaded = self.load(made, overrides=overrides)
        self.assertEqual(loaded.certificates[0].certificate_file, overrides)
        self.assertEqual(loaded.trusted_roots[0].file, overrides)

    def test_changes(self) -> None:
        """Settings and probes may differ on this machine; keys in any case, values as in a document."""
        made = properties()
        made["probes"] = [{"name": "health", "properties": {"protocol": "Https", "path": "/h", "interval": 30}}]
        made["backendHttpSettingsCollection"][0]["properties"] |= {"protocol": "Https", "probe": {"id": "health"}}
        overrides = self.write(
            "settings: {PLAIN: {Protocol: http, port: '8001', connectionDraining: {enabled: true}}}\n"
            "probes: {health: {protocol: Http, interval: 5}}"
        )
        loaded = self.load(made, overrides=overrides)
        (settings,), (probe,) = loaded.settings, loaded.probes
        self.assertEqual((settings.protocol, settings.port, settings.request_timeout), ("Http", 8001, 60))
        self.assertTrue(settings.connection_draining.enabled)
        self.assertEqual((probe.protocol, probe.interval, probe.path), ("Http", 5, "/h"))

    def test_errors(self) -> None:
        """Errors are where the overrides have them; what matches nothing is a warning."""
        for text, expected in {
            "settings: {plain: {port: x}}": "settings.plain.port: found 'x', expected a whole number from 1 to 65535",
            "settings:\n  plain: {prot: 1}": "settings.plain.prot: unknown key 'prot'; did you mean 'port'?",
            "probes: 5": "probes: found 5, expected a mapping",
            "settings: {plain: 5}": "settings.plain: found 5, expected a mapping",
        }.items():
            self.assertIn(expected, self.refused_once(properties(), overrides=self.write(text)))
        self.load(properties(), overrides=self.write("settings: {other: {}}\nprobes: {other: {}}"))
        self.warned("the override settings: 'other' matched nothing")
        self.warned("the override probes: 'other' matched nothing")
