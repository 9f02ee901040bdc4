"""Rewrite sets in both spellings."""

from __future__ import annotations

from typing import Any

from gateway.config import model
from gateway.config.writer import write_compact
from tests.config.arm import child, gateway, ids
from tests.config.support import ConfigurationTestCase

AT = ids("literal")
YAML = """
listeners: [{name: web, port: 8080}]
pools: [{name: chat, backends: [127.0.0.1:9001]}]
rules: [{listener: web, pool: chat, rewrite: tidy}]
rewrites:
  - name: tidy
    rules:
"""
RULE: dict[str, Any] = {
    "name": "strip",
    "ruleSequence": 102,
    "conditions": [
        {"variable": "http_req_Authorization", "pattern": "^Bearer (.*)$", "ignoreCase": True, "negate": "false"},
        {"Variable": "var_uri_path", "Pattern": "^/api/(.*)"},
    ],
    "actionSet": {
        "requestHeaderConfigurations": [
            {"headerName": "X-Forwarded-For", "headerValue": "{var_add_x_forwarded_for_proxy}"},
            {"headerName": "X-Token", "headerValue": "{http_req_Authorization_1}"},
        ],
        "responseHeaderConfigurations": [
            {"headerName": "Server", "headerValue": ""},
            {
                "headerName": "Set-Cookie",
                "headerValue": "{capt_header_value_matcher_1}; Secure",
                "headerValueMatcher": {"pattern": "(a=.*)", "ignoreCase": True, "negate": False},
            },
        ],
        "urlConfiguration": {"modifiedPath": "/{var_uri_path_1}", "modifiedQueryString": None, "reroute": False},
    },
}


def document(*rules: dict[str, Any]) -> dict[str, Any]:
    """A gateway in Azure's spelling whose only rule has a rewrite set."""
    made = gateway("literal", rewriteRuleSets=[child("tidy", rewriteRules=list(rules))])
    made["properties"]["requestRoutingRules"][0]["properties"]["rewriteRuleSet"] = {"id": AT("rewriteRuleSets", "tidy")}
    return made


class ReadingTests(ConfigurationTestCase):
    """From Azure's spelling and the compact one to the model."""

    def test_azure(self) -> None:
        loaded = self.load(document(RULE))
        self.assertEqual(loaded.rules[0].rewrite, "tidy")
        (made,) = loaded.rewrites
        (rule,) = made.rules
        self.assertEqual((made.name, rule.name, rule.sequence), ("tidy", "strip", 102))
        self.assertEqual(
            rule.conditions,
            (
                model.Condition(variable="http_req_Authorization", pattern="^Bearer (.*)$", ignore_case=True),
                model.Condition(variable="var_uri_path", pattern="^/api/(.*)"),
            ),
        )
        self.assertEqual([action.name for action in rule.request_headers], ["X-Forwarded-For", "X-Token"])
        self.assertEqual(rule.response_headers[0], model.HeaderAction(name="Server", value=""))
        self.assertEqual(rule.response_headers[1].matcher, model.Matcher(pattern="(a=.*)", ignore_case=True))
        self.assertEqual(rule.url, model.UrlAction(path="/{var_uri_path_1}"))
        self.assertFalse(any("rewrite" in sentence.casefold() for sentence in loaded.not_honoured))

    def test_path_maps(self) -> None:
        made = document(RULE)
        target = {"id": AT("rewriteRuleSets", "tidy")}
        backend = {
            "backendAddressPool": {"id": AT("backendAddressPools", "chat")},
            "backendHttpSettings": {"id": AT("backendHttpSettingsCollection", "plain")},
        }
        made["properties"]["urlPathMaps"] = [
            child(
                "map",
                defaultBackendAddressPool=backend["backendAddressPool"],
                defaultBackendHttpSettings=backend["backendHttpSettings"],
                defaultRewriteRuleSet=target,
                pathRules=[child("a", paths=["/a/*"], rewriteRuleSet=target, **backend)],
            )
        ]
        (path_map,) = self.load(made).path_maps
        self.assertEqual((path_map.default_rewrite, path_map.path_rules[0].rewrite), ("tidy", "tidy"))

    def test_converted(self) -> None:
        """What is written in the compact spelling reads as the same."""
        loaded = self.load(document(RULE))
        text = write_compact(loaded)
        self.assertEqual(self.load(text).rewrites, loaded.rewrites)

    def test_names_in_the_compact_spelling(self) -> None:
        loaded = self.load(YAML + "      - requestHeaders: {name: A, value: b}\n      - url: {path: /x}\n")
        self.assertEqual([rule.name for rule in loaded.rewrites[0].rules], ["rewriteRule1", "rewriteRule2"])
        self.assertEqual(loaded.rewrites[0].rules[0].request_headers, (model.HeaderAction(name="A", value="b"),))

    def test_unknown_members(self) -> None:
        actions = {"requestHeaderConfigurations": [{"headerNam": "A", "headerValue": "b"}]}
        found = self.refused(document({"name": "x", "actionSet": actions}))
        self.assertTrue(any("did you mean 'headerName'?" in problem for problem in found), found)

    def test_out_of_range(self) -> None:
        for rule, words in (
            ({**RULE, "ruleSequence": -1}, "a whole number from 0 to 2147483647"),
            ({**RULE, "ruleSequence": "first"}, "a whole number"),
            ({**RULE, "conditions": [{"variable": "var_host"}]}, "'pattern' is missing"),
            ({**RULE, "conditions": [{"variable": "var_host", "pattern": "x", "negate": "perhaps"}]}, "true or false"),
        ):
            self.assertIn(words, self.refused(document(rule))[0])

    def test_no_such_set(self) -> None:
        made = document(RULE)
        made["properties"]["rewriteRuleSets"] = []
        self.assertIsNone(self.load(made).rules[0].rewrite)
        self.warned("rule 'rule' answers 502: there is no rewrite set 'tidy'")
        text = YAML.replace("tidy\n    rules:", "other\n    rules:\n      - {url: {path: /x}}")
        self.assertIn("there is no rewrite set 'tidy'", self.refused_once(text))
