"""`gateway.config.rewrite_checks`, and rewrite sets in both spellings."""

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


class CheckTests(ConfigurationTestCase):
    """What is refused, and what is only said."""

    def errors(self, rule: str) -> list[str]:
        return self.refused(f"{YAML}      - {rule}\n")

    def test_refused(self) -> None:
        for rule, words in (
            ("conditions: {variable: var_host, pattern: '(?=x)'}", "conditions.pattern: found '(?=x)': look-ahead"),
            ("conditions: {variable: var_host, pattern: '('}", "missing )"),
            ("requestHeaders: {name: Host, value: ''}", "requestHeaders.value: 'Host' cannot be deleted"),
            ("requestHeaders: {name: Connection, value: x}", "requestHeaders.name: 'Connection' cannot be rewritten"),
            ("responseHeaders: {name: upgrade, value: x}", "'upgrade' cannot be rewritten"),
            ("requestHeaders: {name: X-Original-Host, value: x}", "'X-Original-Host' cannot be rewritten"),
            ("responseHeaders: {name: Content-Length, value: 0}", "'Content-Length' cannot be rewritten"),
            ("responseHeaders: {name: Transfer-Encoding}", "'Transfer-Encoding' cannot be rewritten"),
            ("responseHeaders: {name: Sec-WebSocket-Extensions}", "cannot be rewritten"),
            ("requestHeaders: {name: X_Y, value: x}", "the name of a field is letters, digits and hyphens"),
            ("responseHeaders: {name: 'X: Y', value: x}", "the name of a field is a token"),
            ('requestHeaders: {name: X, value: "a\\r\\nB: c"}', "a line break or another control character"),
            ('url: {path: "/a\\nb"}', "url.path: a line break"),
            ("requestHeaders: {name: Set-Cookie, value: x, matcher: {pattern: x}}", "only for Set-Cookie of responses"),
            ("responseHeaders: {name: X, value: x, matcher: {pattern: x}}", "only for Set-Cookie of responses"),
            ("responseHeaders: {name: Set-Cookie, matcher: {pattern: '('}}", "matcher.pattern: found '(': missing )"),
            (
                "{conditions: {variable: var_host, pattern: '(a)'}, url: {path: '/{var_host_2}'}}",
                "{var_host_2}: the pattern for 'var_host' has 1 groups, not 2",
            ),
        ):
            found = self.errors(rule)
            self.assertEqual(len(found), 1, (rule, found))
            self.assertIn(words, found[0])

    def test_said(self) -> None:
        """Legal, but not what somebody wanted."""
        for rule, words in (
            ("requestHeaders: {name: X, value: '{var_remote-addr}'}", "{var_remote-addr}, which is no server variable"),
            ("requestHeaders: {name: X, value: '{var_client_up}'}", "did you mean 'var_client_ip'?"),
            ("requestHeaders: {name: X, value: '{var_uri_path_1}'}", "no condition of this rule is on 'var_uri_path'"),
            (
                "{conditions: {variable: http_req_User-Agent, pattern: (a)},"
                " requestHeaders: {name: X, value: '{http_req_user-agent_1}'}}",
                "the condition is on 'http_req_User-Agent', in this case",
            ),
            ("requestHeaders: {name: X, value: var_client_ip}", "write {var_client_ip} for its value"),
            ("requestHeaders: {name: X, value: '{http_resp_Y}'}", "{http_resp_Y} is empty here"),
            ("{conditions: {variable: xx, pattern: y}, url: {path: /}}", "the condition never holds"),
            ("{conditions: {variable: var_http_status, pattern: y}, url: {path: /}}", "is about the response"),
            ("url: {path: '/x?y=1'}", "a path has no '?'"),
            ("url: {reroute: false}", "gives neither a path nor a query"),
            ("url: {path: /x, reroute: true}", "'reroute' has nothing to look at"),
            ("name: nothing", "has no actions and changes nothing"),
        ):
            self.load(f"{YAML}      - {rule}\n")
            self.warned(words)

    def test_where_it_has_no_effect(self) -> None:
        self.load(YAML.replace("pool: chat, rewrite", "pathMap: map, rewrite") + "      - {url: {path: /x}}\n"
                  "pathMaps: [{name: map, defaultPool: chat}]\n")  # fmt: skip
        self.warned("has a path map, whose rules name their own rewrite sets")
        self.load(YAML.replace("pool: chat, rewrite", "redirect: away, rewrite") + "      - {url: {path: /x}}\n"
                  "redirects: [{name: away, targetUrl: 'https://a.test/'}]\n")  # fmt: skip
        self.warned("redirects are not rewritten")

    def test_circles(self) -> None:
        """Azure's rule for path maps: not every rule may send every request round again."""
        text = YAML.replace("pool: chat, rewrite: tidy", "pathMap: map")
        text += "      - {url: {path: /x, reroute: true}}\n"
        text += "pathMaps: [{name: map, defaultPool: chat, defaultRewrite: tidy}]\n"
        self.assertIn("round in circles", self.refused_once(text))
        self.load(text.replace("{url", "{conditions: {variable: var_host, pattern: x}, url"))

    def test_unused(self) -> None:
        self.load(YAML.replace(", rewrite: tidy", "") + "      - {url: {path: /x}}\n")
        self.warned("rewrite set 'tidy' is not used by anything")

    def test_many(self) -> None:
        self.load(YAML + "      - {url: {path: /x}}\n" * 41)
        self.warned("takes at most 40 rules in a rewrite set")
