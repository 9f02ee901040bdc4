"""`gateway.config.checks.rules`."""

from __future__ import annotations

from gateway.config.model import Rule
from tests.config.checks.support import CheckCase, gateway, host


class RuleTests(CheckCase):
    """Rules among each other."""

    def test_priorities(self) -> None:
        pair = (host("a"), host("b", port=81))

        def rules(*priorities: int | None) -> tuple[Rule, ...]:
            return tuple(
                Rule(name=f"r{i}", listener="ab"[i], pool="p", settings="s", priority=p)
                for i, p in enumerate(priorities)
            )

        self.says(gateway(*pair, rules=rules(1, None)), "rules[1]: rule 'r1' has no priority but rule 'r0' has")
        self.says(gateway(*pair, rules=rules(5, 5)), "rules[1].priority: priority 5 is also that of rule 'r0'")
        self.says(gateway(*pair, rules=rules(None, None)))
        self.says(gateway(*pair, rules=rules(2, 1)))

    def test_one_rule_for_a_listener(self) -> None:
        rules = tuple(Rule(name=name, listener="l", pool="p", settings="s") for name in "ab")
        self.says(gateway(rules=rules), "listener 'l' already belongs to rule 'a'")
