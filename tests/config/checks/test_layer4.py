"""`gateway.config.checks.layer4`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.check import check
from gateway.config.model import Gateway
from tests.config.test_layer4 import COMPACT


class CheckTests(SynchronousTestCase):
    """What does not go together."""

    def found(self, **changed: dict[str, Any]) -> list[str]:
        made = {key: [dict(value[0])] for key, value in COMPACT.items()}
        for key, change in changed.items():
            made.setdefault(key, [{}])[0].update(change)
        problems = check(Gateway.model_validate(made))
        return [f"{each.severity} {each}" for each in problems]

    def test_fine(self) -> None:
        self.assertEqual([], self.found())

    def test_problems(self) -> None:
        strategy = {"strategy": "m:x"}
        for changed, words in (
            ({"settings": {"protocol": "Http"}}, "error rules[0].settings: listener 'db' is Tcp but settings 'db'"),
            ({"listeners": {"protocol": "Http"}}, "listener 'db' is Http but settings 'db' are Tcp"),
            ({"listeners": {"protocol": "Tls"}}, "error listeners[0]: listener 'db' is Tls and has no certificate"),
            ({"listeners": {"host_names": ["a.test"]}}, "listeners[0].hostNames: listener 'db' is Tcp"),
            ({"listeners": {"middleware": [strategy]}}, "error listeners[0].middleware: listener 'db' is Tcp"),
            ({"listeners": {"error_pages": [{"status": "502", "file": "x"}]}}, "error listeners[0].errorPages: "),
            ({"rules": {"rewrite": "r"}, "rewrites": {"name": "r"}}, "error rules[0].rewrite: listener 'db' is Tcp"),
            (
                {
                    "routing_maps": {"name": "m", "default_pool": "db", "default_settings": "db"},
                    "rules": {"pool": None, "settings": None, "routing_map": "m"},
                },
                "error routingMaps[0].defaultSettings: settings 'db' are Tcp",
            ),
            ({"rules": {"middleware": [strategy]}}, "error rules[0].middleware: listener 'db' is Tcp"),
            ({"rules": {"filters": [strategy]}}, "error rules[0].filters: listener 'db' is Tcp"),
            ({"rules": {"router": strategy}}, "error rules[0].router: listener 'db' is Tcp"),
            ({"settings": {"path": "/x"}}, "warning settings[0].path: settings 'db' are Tcp"),
            ({"settings": {"cookie_based_affinity": "Enabled"}}, "warning settings[0].cookieBasedAffinity"),
            (
                {
                    "redirects": {"name": "r", "target_listener": "db"},
                    "rules": {"pool": None, "settings": None, "redirect": "r"},
                },
                "error redirects[0].targetListener: listener 'db' is Tcp",
            ),
            (
                {
                    "path_maps": {"name": "m", "default_pool": "db", "default_settings": "db"},
                    "rules": {"pool": None, "settings": None, "path_map": "m"},
                },
                "error pathMaps[0].defaultSettings: settings 'db' are Tcp",
            ),
            (
                {"probes": {"name": "p", "protocol": "Tcp", "strategy": "http"}, "settings": {"probe": "p"}},
                "error probes[0].protocol: the strategy 'http' does not speak Tcp",
            ),
            (
                {"probes": {"name": "p", "enableProbeProxyProtocolHeader": True}, "settings": {"probe": "p"}},
                "warning probes[0].enableProbeProxyProtocolHeader",
            ),
        ):
            found = self.found(**changed)
            self.assertTrue(any(each.startswith(words) or words in each for each in found), (words, found))

    def test_client_address(self) -> None:
        found = self.found(
            listeners={"protocol": "Http"}, settings={"protocol": "Http", "enableL4ClientIpPreservation": True}
        )
        self.assertTrue(any("X-Forwarded-For says who the client is" in each for each in found), found)

    def test_ports(self) -> None:
        """A port speaks one protocol."""
        made = {key: list(value) for key, value in COMPACT.items()}
        made["listeners"].append({"name": "web", "port": 5432, "protocol": "Http"})
        found = [str(each) for each in check(Gateway.model_validate(made))]
        self.assertTrue(any("share port 5432 but speak Tcp and Http" in each for each in found), found)
