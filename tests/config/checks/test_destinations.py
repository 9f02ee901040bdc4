"""`gateway.config.checks.destinations`."""

from __future__ import annotations

from typing import Any

from gateway.config.model import BackendSettings, Member, PathMap, Pool, Redirect, Rule, Strategy
from tests.config.checks.support import POOL, SETTINGS, CheckCase, gateway


class DestinationTests(CheckCase):
    """To one thing."""

    def test_rule_targets(self) -> None:
        redirect = (Redirect(name="d", target_url="http://x"),)

        def rule(**members: Any) -> tuple[Rule, ...]:
            return (Rule(name="r", listener="l", **members),)

        self.says(gateway(rules=rule()), "rule 'r' leads nowhere; give it a pool, a redirect or a path map")
        self.says(gateway(rules=rule(pool="p")), "rule 'r' has a pool but no settings")
        self.says(
            gateway(rules=rule(pool="p", settings="s", redirect="d"), redirects=redirect), "has a pool and a redirect"
        )
        self.says(gateway(rules=rule(redirect="d"), redirects=redirect))
        both = self.found(gateway(rules=rule(pool="p", settings="s", redirect="d"), redirects=redirect))
        self.assertNotIn("ruleType", str(both))
        path_map = PathMap(name="m", default_redirect="d")
        self.says(
            gateway(rules=rule(pool="p", settings="s", path_map="m"), redirects=redirect, path_maps=(path_map,)),
            "it leads to one of them only: leave the other out, or in a template say which with ruleType "
            "(Basic, PathBasedRouting)",
        )

    def test_routers(self) -> None:
        """A rule with one may lead nowhere itself; pools and settings that its options name are used."""
        other, slow = Pool(name="q", members=(Member(host="h"),)), BackendSettings(name="slow", request_timeout=60)
        options = {"prefixes": {"/": {"pool": "p", "settings": "s"}, "/q": [{"pool": "q", "settings": "slow"}]}}
        rule = Rule(name="r", listener="l", router=Strategy(strategy="prefix", options=options))
        model = gateway(rules=(rule,), pools=(POOL, other), settings=(SETTINGS, slow))
        self.assertEqual(([], []), (self.found(model), self.found(model, "warning")))
        both = rule.model_copy(update={"pool": "p", "redirect": "x", "settings": "s"})
        self.assertIn("it leads to one of them only", " ".join(self.found(gateway(rules=(both,)))))
