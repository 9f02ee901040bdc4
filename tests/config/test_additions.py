"""Tests of `gateway.config.additions`: what a document only names, and what overrides change."""

from __future__ import annotations

import os
from typing import Any

from gateway.config.model import PassiveHealth, Strategy
from gateway.lifecycle.preflight import checks
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

    def test_what_templates_cannot_say(self) -> None:
        """Selectors, discovery, passive health, middleware, filters, limits: a template knows none of them."""
        made = properties()
        made["urlPathMaps"] = [
            {
                "name": "map",
                "properties": {
                    "defaultBackendAddressPool": reference("backendAddressPools", "chat"),
                    "defaultBackendHttpSettings": reference("backendHttpSettingsCollection", "plain"),
                    "pathRules": [
                        {
                            "name": "ws",
                            "properties": {
                                "paths": ["/ws/*"],
                                "backendAddressPool": reference("backendAddressPools", "chat"),
                                "backendHttpSettings": reference("backendHttpSettingsCollection", "plain"),
                            },
                        }
                    ],
                },
            }
        ]
        plain = self.load(made)
        overrides = self.write(
            "pools: {CHAT: {selector: least-connections, selectorOptions: {a: 1}, passiveHealth: {connectFailures: 2},"
            " discovery: dns}}\n"
            "listeners: {web: {middleware: [cors]}}\n"
            "rules: {Rule: {middleware: [{strategy: headers, options: {b: 2}}], filters: [size-limit], priority: 7}}\n"
            "path_rules: {map/WS: {filters: [log-tap]}}\n"
            "middleware: [security-headers]\nobservers: [mine]\nlimits: {headTimeout: 5}\n"
        )
        loaded = self.load(made, overrides=overrides)
        self.assertEqual([problem for problem in self.warnings if "override" in problem.message], [])
        (pool,), (rule,) = loaded.pools, loaded.rules
        self.assertEqual(pool.members, plain.pools[0].members)
        self.assertEqual((pool.selector, pool.selector_options), ("least-connections", {"a": 1}))
        self.assertEqual(pool.passive_health, PassiveHealth(connect_failures=2))
        self.assertEqual(pool.discovery, Strategy(strategy="dns"))
        self.assertEqual(loaded.listeners[0].middleware, (Strategy(strategy="cors"),))
        self.assertEqual(rule.middleware, (Strategy(strategy="headers", options={"b": 2}),))
        self.assertEqual((rule.filters, rule.priority, rule.pool), ((Strategy(strategy="size-limit"),), 7, "chat"))
        self.assertEqual(loaded.path_maps[0].path_rules[0].filters, (Strategy(strategy="log-tap"),))
        self.assertEqual(loaded.middleware, (Strategy(strategy="security-headers"),))
        self.assertEqual((loaded.observers[0].strategy, loaded.limits.head_timeout), ("mine", 5))
        same = {kind: getattr(plain, kind) for kind in ("listeners", "rules", "pools", "path_maps")}
        bare = loaded.model_copy(update={**same, "middleware": (), "observers": (), "limits": plain.limits})
        self.assertEqual(bare, plain)

    def test_members_too(self) -> None:
        """Members among the keys replace those of the document; without them those stay."""
        text = "pools: {chat: {Members: ['h:1'], selector: random}}"
        (pool,) = self.load(properties(), overrides=self.write(text)).pools
        self.assertEqual(([(each.host, each.port) for each in pool.members], pool.selector), ([("h", 1)], "random"))
        (pool,) = self.load(properties(), overrides=self.write("pools: {chat: {members: 'h:1'}}")).pools
        self.assertEqual((len(pool.members), pool.selector), (1, "round-robin"))

    def test_resolver_of_both(self) -> None:
        text = "resolver: {timeout: 1, nameservers: 10.0.0.2}\nlisteners: []\nrules: []\n"
        loaded = self.load(text, overrides=self.write("resolver: {nameservers: ['[::1]:8600']}"))
        self.assertEqual((loaded.resolver.timeout, loaded.resolver.nameservers), (1, ("[::1]:8600",)))

    def test_limits_of_both(self) -> None:
        """Limits that the overrides do not name stay those of the document."""
        text = "limits: {maxFields: 50, headTimeout: 9}\nlisteners: []\nrules: []\n"
        loaded = self.load(text, overrides=self.write("limits: {HEAD_TIMEOUT: 5}"))
        self.assertEqual((loaded.limits.max_fields, loaded.limits.head_timeout), (50, 5))

    def test_where_checks_point(self) -> None:
        """What a check finds in something that the overrides give is shown there."""
        overrides = self.write("pools:\n  chat: {selector: none-such}\nmiddleware:\n- {strategy: nope}\n", "o.yaml")
        problems = self.refused(properties(), overrides=overrides, checks=checks())
        self.assertEqual(2, len(problems), problems)
        self.assertRegex(problems[0], r"^pools\.chat\.selector: .*none-such.*\(in the overrides, o\.yaml, line 2\)$")
        self.assertRegex(problems[1], r"^middleware\[0\]: .*nope.*\(in the overrides, o\.yaml, line 3\)$")

    def test_errors(self) -> None:
        """Errors are where the overrides have them; what matches nothing is a warning."""
        for text, expected in {
            "settings: {plain: {port: x}}": "settings.plain.port: found 'x', expected a whole number from 1 to 65535",
            "settings:\n  plain: {prot: 1}": "settings.plain.prot: unknown key 'prot'; did you mean 'port'?",
            "probes: 5": "probes: found 5, expected a mapping",
            "settings: {plain: 5}": "settings.plain: found 5, expected a mapping",
            "pools: {chat: {selectr: x}}": "pools.chat.selectr: unknown key 'selectr'; did you mean 'selector'?",
            "pools: {chat: {discovery: {options: {}}}}": "pools.chat.discovery: 'strategy' is missing",
            "rules: {rule: {priority: 0}}": "rules.rule.priority: found 0, expected a whole number from 1 to 20000",
            "listeners: {web: {middleware: 5}}": "listeners.web.middleware[0]: found 5, expected a mapping",
            "limits: {headTimeout: soon}": "limits.headTimeout: found 'soon'",
            "limits: {headTimeout: 1e400}": "limits.headTimeout: found inf, expected a number above 0",
            "resolver: {nameservers: [dns.test]}": "resolver.nameservers[0]: found 'dns.test'",
            "resolver: {leastInterval: 600}": "mostInterval is less than leastInterval",
            "resolver: {timeout: 0}": "resolver.timeout: found 0",
        }.items():
            self.assertIn(expected, self.refused_once(properties(), overrides=self.write(text)))
        self.load(properties(), overrides=self.write("settings: {other: {}}\nprobes: {other: {}}"))
        self.warned("the override settings: 'other' matched nothing")
        self.warned("the override probes: 'other' matched nothing")
