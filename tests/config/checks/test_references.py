"""`gateway.config.checks.references`."""

from __future__ import annotations

from gateway.config.check import check
from gateway.config.checks.references import find_unused
from gateway.config.model import BackendSettings, Gateway, Pool, Rule, Strategy
from tests.config.checks.support import POOL, CheckCase, gateway, host


class ReferenceTests(CheckCase):
    """Twice the same name, none of that name, and nobody who says it."""

    def test_names(self) -> None:
        self.says(
            gateway(pools=(POOL, Pool(name="P", members=POOL.members))), "pools[1].name: the name 'P' is there twice"
        )

    def test_references(self) -> None:
        self.says(
            gateway(rules=(Rule(name="r", listener="l", pool="pp", settings="s"),)),
            "rules[0].pool: there is no pool 'pp'; did you mean 'p'? (there are: p)",
        )
        self.says(
            gateway(rules=(Rule(name="r", listener="zz", pool="p", settings="s"),)),
            "rules[0].listener: there is no listener 'zz' (there are: l)",
        )
        settings = BackendSettings(name="s", probe="q", trusted_root_certificates=("t",))
        self.says(
            gateway(settings=(settings,)),
            "settings[0].probe: there is no probe 'q'",
            "there is no trusted root 't' (there are none)",
        )

    def test_unused(self) -> None:
        model = gateway(
            host("l"),
            host("x", port=81),
            rules=(Rule(name="r", listener="l", pool="p", settings="s"),),
            pools=(POOL, Pool(name="q")),
        )
        self.says(
            model,
            "listener 'x' has no rule; every request to it gets 404",
            "pool 'q' is not used by anything",
            severity="warning",
        )

    def test_unused_by_routers(self) -> None:
        """The options of our own name what they lead to; somebody else's may ask for anything in its code."""
        for strategy, unused in (("table", 1), ("acme", 0), ("acme.routing:factory", 0)):
            rule = Rule(name="r", listener="l", router=Strategy(strategy=strategy))
            model = gateway(host("l"), rules=(rule,), pools=(Pool(name="q"),), settings=())
            found = [finding for finding in find_unused(model) if "'q' is not used" in finding.message]
            self.assertEqual(unused, len(found), strategy)

    def test_everywhere(self) -> None:
        """Each attribute that names another object, once."""
        ways = {"pool": "x", "settings": "x", "redirect": "x", "rewrite": "x"}
        defaults = {f"default_{name}": "x" for name in ways}
        named = {"name": "n", "paths": ("/",)}
        model = Gateway.model_validate(
            {
                "rules": [
                    ways | {"name": "n", "listener": "x", "path_map": "x", "routing_map": "x", "distribution": "x"}
                ],
                "path_maps": [
                    defaults
                    | {"name": "n", "default_distribution": "x", "path_rules": [named | ways | {"distribution": "x"}]}
                ],
                "routing_maps": [
                    defaults | {"name": "n", "rules": [ways | {"name": "n", "priority": 1, "condition_set": "x"}]}
                ],
                "distributions": [{"name": "n", "targets": [{"pool": "x"}]}],
                "redirects": [{"name": "n", "target_listener": "x"}],
                "settings": [{"name": "n", "probe": "x", "trusted_root_certificates": ["x"]}],
                "listeners": [{"name": "n", "port": 0, "certificates": ["x"], "ssl_profile": "x"}],
                "ssl_profiles": [{"name": "n", "trusted_client_certificates": ["x"]}],
            }
        )
        found = [problem.path for problem in check(model) if "there is no " in problem.message]
        rule, default = ("pool", "settings", "redirect", "rewrite"), ("Pool", "Settings", "Redirect", "Rewrite")
        self.assertCountEqual(
            found,
            [
                *(f"rules[0].{name}" for name in (*rule, "listener", "pathMap", "routingMap", "distribution")),
                *(f"pathMaps[0].default{name}" for name in (*default, "Distribution")),
                *(f"pathMaps[0].pathRules[0].{name}" for name in (*rule, "distribution")),
                *(f"routingMaps[0].default{name}" for name in default),
                *(f"routingMaps[0].rules[0].{name}" for name in (*rule, "conditionSet")),
                "distributions[0].targets[0].pool",
                "redirects[0].targetListener",
                "settings[0].probe",
                "settings[0].trustedRootCertificates[0]",
                "listeners[0].certificates[0]",
                "listeners[0].sslProfile",
                "sslProfiles[0].trustedClientCertificates[0]",
            ],
        )
