"""Routing maps, condition sets and distributions in both spellings."""

from __future__ import annotations

from typing import Any

from gateway.config import model
from gateway.config.writer import write_compact
from tests.config.arm import child, gateway, ids
from tests.config.support import ConfigurationTestCase

AT = ids("literal")
POOL = {"id": AT("backendAddressPools", "chat")}
SETTINGS = {"id": AT("backendHttpSettingsCollection", "plain")}
YAML = """
listeners: [{name: web, port: 8080}]
pools: [{name: chat, backends: [127.0.0.1:9001]}, {name: new, backends: [127.0.0.1:9002]}]
"""
MAP = """
rules: [{listener: web, routingMap: map}]
routingMaps:
  - name: map
    defaultPool: chat
    rules: [{priority: 10, conditionSet: set, pool: new}]
conditionSets:
  - name: set
    conditions:
"""


def advanced() -> dict[str, Any]:
    """A gateway as the REST interface's own example has it."""
    made = gateway("literal")
    properties = made["properties"]
    properties["advancedRoutingConditionSets"] = [
        child(
            "set",
            routingConditions=[
                {"conditionType": "Header", "propertyName": "X-Client-Tier", "propertyValues": ["premium"]},
                {
                    "conditionType": "path",
                    "propertyValueMatcher": {"ignoreCase": True, "negate": False, "pattern": "^/api/v2/.*"},
                },
            ],
        )
    ]
    rule = child(
        "rule1",
        priority=1,
        advancedRoutingConditionSet={"id": AT("advancedRoutingConditionSets", "set")},
        backendAddressPool=POOL,
        backendHttpSettings=SETTINGS,
    )
    properties["advancedRoutingMaps"] = [
        child("map", defaultBackendAddressPool=POOL, defaultBackendHttpSettings=SETTINGS, advancedRoutingRules=[rule])
    ]
    properties["requestRoutingRules"][0]["properties"] |= {
        "ruleType": "AdvancedRouting", "advancedRoutingMap": {"id": AT("advancedRoutingMaps", "map")},
    }  # fmt: skip
    return made


class RoutingMapTests(ConfigurationTestCase):
    """`model.RoutingMap` and `model.ConditionSet`."""

    def test_azure(self) -> None:
        loaded = self.load(advanced())
        self.assertEqual((loaded.rules[0].routing_map, loaded.rules[0].pool), ("map", None))
        (made,) = loaded.routing_maps
        rule = model.RoutingRule(name="rule1", priority=1, condition_set="set", pool="chat", settings="plain")
        self.assertEqual((made.default_pool, made.default_settings, made.rules), ("chat", "plain", (rule,)))
        matcher = model.Matcher(pattern="^/api/v2/.*", ignore_case=True)
        self.assertEqual(
            loaded.condition_sets[0].conditions,
            (
                model.RoutingCondition(type="Header", name="X-Client-Tier", values=("premium",)),
                model.RoutingCondition(type="Path", matcher=matcher),
            ),
        )
        again = self.load(write_compact(loaded))
        self.assertEqual((again.routing_maps, again.condition_sets), (loaded.routing_maps, loaded.condition_sets))
        self.assertFalse(any("advanced" in sentence for sentence in loaded.not_honoured))

    def test_type_decides(self) -> None:
        """What the type of a rule makes meaningless is left aside."""
        made = advanced()
        made["properties"]["requestRoutingRules"][0]["properties"]["ruleType"] = "Basic"
        rule = self.load(made).rules[0]
        self.assertEqual((rule.routing_map, rule.pool), (None, "chat"))
        made["properties"]["requestRoutingRules"][0]["properties"]["ruleType"] = "Advanced"
        words = "expected one of Basic, PathBasedRouting, AdvancedRouting"
        self.assertTrue(any(words in problem for problem in self.refused(made)))

    def test_what_is_missing(self) -> None:
        """What leads to it answers 502, as everywhere in Azure's spelling."""
        for collection, words in (
            ("advancedRoutingMaps", "rule 'rule' answers 502: there is no routing map 'map'"),
            ("backendHttpSettingsCollection", "routing rule 'rule1' answers 502: there is no settings 'plain'"),
        ):
            made = advanced()
            made["properties"][collection] = []
            self.load(made)
            self.warned(words)
        made = advanced()
        made["properties"]["advancedRoutingConditionSets"] = []
        self.noted(made, "routing rule 'rule1' is left out: there is no condition set 'set'")

    def test_compact(self) -> None:
        loaded = self.load(YAML + MAP + "      - {type: method, values: POST}\n")
        self.assertEqual(loaded.routing_maps[0].rules[0].name, "routingRule1")
        self.assertEqual(loaded.routing_maps[0].rules[0].settings, "default")
        self.assertEqual(
            loaded.condition_sets[0].conditions[0], model.RoutingCondition(type="Method", values=("POST",))
        )


class DistributionTests(ConfigurationTestCase):
    """`model.Distribution`."""

    def test_azure(self) -> None:
        made = gateway("literal")
        targets = [child("t1", weightPerServer=30, backendAddressPool=POOL)]
        made["properties"]["loadDistributionPolicies"] = [
            child("d", loadDistributionAlgorithm="leastconnections", loadDistributionTargets=targets)
        ]
        rule = made["properties"]["requestRoutingRules"][0]["properties"]
        rule["loadDistributionPolicy"] = {"id": AT("loadDistributionPolicies", "d")}
        loaded = self.load(made)
        target = model.DistributionTarget(pool="chat", weight=30)
        expected = model.Distribution(name="d", algorithm="LeastConnections", targets=(target,))
        self.assertEqual(loaded.distributions, (expected,))
        self.assertEqual((loaded.rules[0].distribution, loaded.rules[0].pool), ("d", None))
        self.assertIn(
            "backendAddressPool (rule): the pools of its load distribution policy are used.", loaded.not_honoured
        )
        self.assertEqual(self.load(write_compact(loaded)).distributions, loaded.distributions)
        del rule["backendAddressPool"]
        self.assertFalse(any("istribution" in sentence for sentence in self.load(made).not_honoured))

    def test_compact(self) -> None:
        """Settings are made as for a pool, of the scheme that its backends have."""
        text = YAML.replace("127.0.0.1:", "https://127.0.0.1:") + "rules: [{listener: web, distribution: d}]\n"
        loaded = self.load(text + "distributions: [{name: d, targets: [{pool: chat, weight: 9}, {pool: new}]}]\n")
        self.assertEqual([target.weight for target in loaded.distributions[0].targets], [9, 1])
        self.assertEqual((loaded.rules[0].settings, loaded.settings[0].protocol), ("default-https", "Https"))
