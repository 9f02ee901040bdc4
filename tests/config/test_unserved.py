"""Tests of `gateway.config.unserved`."""

from __future__ import annotations

from gateway.config.model import Gateway, Rule, Strategy
from gateway.config.unserved import unserved
from tests.config.support import ConfigurationTestCase


class UnservedTests(ConfigurationTestCase):
    """`unserved`."""

    def test_sentences(self) -> None:
        word = Strategy(strategy="word")
        rules = tuple(Rule(name=f"r{i}", listener="web", router=word) for i in range(7))
        plain = Rule(name="plain", listener="web")
        found = unserved(Gateway(rules=(*rules, plain)))
        self.assertEqual(found, ["router (r0, r1, r2, r3, r4, r5, …): it is not asked yet."])
        self.assertEqual(unserved(Gateway(rules=(plain,))), [])
