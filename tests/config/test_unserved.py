"""Tests of `gateway.config.unserved`."""

from __future__ import annotations

from gateway.config import unserved as table
from gateway.config.model import Gateway, Rule, Strategy
from gateway.config.unserved import unserved
from tests.config.support import ConfigurationTestCase


class UnservedTests(ConfigurationTestCase):
    """`unserved`."""

    def test_sentences(self) -> None:
        """With a line for it; at the moment everything is served."""
        self.patch(
            table, "ENTRIES", (("rules", "router", lambda item: item.router is not None, "it is not asked yet"),)
        )
        word = Strategy(strategy="word")
        rules = tuple(Rule(name=f"r{i}", listener="web", router=word) for i in range(7))
        plain = Rule(name="plain", listener="web")
        found = unserved(Gateway(rules=(*rules, plain)))
        self.assertEqual(found, ["router (r0, r1, r2, r3, r4, r5, …): it is not asked yet."])
        self.assertEqual(unserved(Gateway(rules=(plain,))), [])
