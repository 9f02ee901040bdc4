"""Tests of `gateway.config.unserved`."""

from __future__ import annotations

from gateway.config.model import Gateway, Rule, Strategy
from gateway.config.unserved import unserved
from tests.config.support import ConfigurationTestCase


class UnservedTests(ConfigurationTestCase):
    """`unserved`."""

    def test_sentences(self) -> None:
        word = Strategy(strategy="word")
        rules = tuple(Rule(name=f"r{i}", listener="web", filters=(word,)) for i in range(7))
        plain = Rule(name="plain", listener="web")
        routed = Rule(name="routed", listener="web", router=word)
        found = unserved(Gateway(rules=(*rules, plain, routed)))
        self.assertEqual(len(found), 2)
        self.assertEqual(found[0], "filters (r0, r1, r2, r3, r4, r5, …): messages do not pass through them yet.")
        self.assertIn("router (routed): ", found[1])
        self.assertEqual(unserved(Gateway(rules=(plain,))), [])

    def test_in_the_report(self) -> None:
        document = (
            "listeners: [{name: web, port: 8080}]\npools: [{name: chat, backends: ['10.0.0.4:80']}]\n"
            "rules: [{name: chat, listener: web, pool: chat, filters: [word]}]\n"
        )
        self.assertTrue(self.load(document).not_honoured[0].startswith("filters (chat): "))
