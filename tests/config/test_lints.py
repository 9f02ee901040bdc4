"""Tests of `gateway.config.lints`: what is legal and will hurt."""

from __future__ import annotations

from tests.config.support import ConfigurationTestCase

YAML = """\
listeners:
  - {name: web, port: 8080}
pools:
  - {name: chat, backends: [10.0.0.4, b.test]}
settings:
  - {name: s, protocol: Https}
rules:
  - {listener: web, pool: chat, settings: s}
"""


class LintTests(ConfigurationTestCase):
    """Warnings, one kind each."""

    def lints(self, text: str) -> list[str]:
        self.load(text)
        return [str(problem) for problem in self.warnings]

    def test_empty_pool(self) -> None:
        """Only where a rule uses it, and nobody else tells the members."""
        text = YAML.replace("[10.0.0.4, b.test]", "[]").replace("protocol: Https", "port: 80")
        (found,) = self.lints(text)
        self.assertIn("line 4: pools[0]: pool 'chat' has no members: requests that rule 'rule1' sends to it get", found)
        self.assertEqual(self.lints(text.replace("backends: []", "discovery: dns")), [])

    def test_addresses_over_https(self) -> None:
        (found,) = self.lints(YAML)
        self.assertIn("line 6: settings[0]: backends are asked over HTTPS by address (10.0.0.4) and no name", found)
        self.assertIn("probes fail unless", found)
        (found,) = self.lints(YAML.replace("Https", "Https, pickHostNameFromBackendAddress: true"))
        self.assertIn("requests fail unless", found)
        for more in ("hostName: b.test", "sniName: b.test", "validateSNI: false"):
            self.assertEqual(self.lints(YAML.replace("Https", f"Https, {more}")), [])
