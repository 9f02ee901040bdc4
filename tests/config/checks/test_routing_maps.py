"""`gateway.config.checks.routing_maps`."""

from __future__ import annotations

from tests.config.support import ConfigurationTestCase
from tests.config.test_routing_maps import MAP, YAML


class RoutingMapTests(ConfigurationTestCase):
    """Condition sets and rules."""

    def test_refused_conditions(self) -> None:
        for condition, words in (
            ("{type: Cookie, values: [a]}", "expected one of Header, QueryString, Path, ClientIP, Method"),
            ("{type: Header, values: [a]}", "a condition of type Header needs the name of a field"),
            ("{type: QueryString, values: [a]}", "needs the name of a query parameter"),
            ("{type: Header, name: 'a b', values: [a]}", "which cannot be the name of a field"),
            ("{type: Path}", "neither of 'values' and 'matcher'"),
            ("{type: Path, values: [/a], matcher: {pattern: a}}", "both of 'values' and 'matcher'"),
            ("{type: Path, values: [a]}", "a path begins with '/'"),
            ("{type: Path, values: ['/a/*/b']}", "allowed only as the last character"),
            ("{type: ClientIP, values: [10.0.0.0/33]}", "expected an address or a network"),
            ("{type: ClientIP, matcher: {pattern: '^10'}}", "a condition of type ClientIP has no matcher"),
            ("{type: Method, values: ['GET POST']}", "this is no method"),
            ("{type: Path, matcher: {pattern: '(?=a)'}}", "look-ahead and look-behind are not"),
        ):
            found = self.refused(f"{YAML}{MAP}      - {condition}\n")
            self.assertEqual(len(found), 1, (condition, found))
            self.assertIn(words, found[0])

    def test_refused_maps(self) -> None:
        good = YAML + MAP + "      - {type: Method, values: [POST]}\n"
        rule = "{priority: 10, conditionSet: set, pool: new}"
        for replacement, words in (
            ("{priority: 0, conditionSet: set, pool: new}", "a whole number from 1 to 20000"),
            ("{conditionSet: set, pool: new}", "'priority' is missing"),
            ("{priority: 10, conditionSet: sett, pool: new}", "there is no condition set 'sett'; did you mean 'set'?"),
            ("{priority: 10, conditionSet: set}", "leads nowhere; give it a pool, a redirect"),
            ("{priority: 10, conditionSet: set, pool: new, redirect: r}", "has a pool and a redirect"),
            (
                f"{rule}, {{priority: 10, conditionSet: set, pool: new}}",
                "priority 10 is also that of rule 'routingRule1'",
            ),
            (f"{{name: a, {rule[1:]}, {{name: A, {rule[1:].replace('10', '11')}", "rule 'A' is there twice"),
        ):
            text = good.replace(rule, replacement)
            if "redirect: r" in text:
                text += "redirects: [{name: r, targetUrl: 'https://a.test/'}]\n"
            self.assertTrue(any(words in problem for problem in self.refused(text)), (replacement, self.refused(text)))
        self.assertIn("leads nowhere", self.refused(good.replace("    defaultPool: chat\n", ""))[0])
        self.assertIn("has no conditions", self.refused_once(YAML + MAP.replace("conditions:\n", "conditions: []\n")))

    def test_two_ways(self) -> None:
        text = (
            YAML + MAP.replace("routingMap: map", "routingMap: map, pool: chat") + "      - {type: Path, values: /}\n"
        )
        self.assertIn("has a pool and a routing map", self.refused_once(text))
