"""Tests of `gateway.config.forms`: whatever an expression says, it has a value or is refused in words."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionError, ExpressionLimit
from gateway.config.forms import FORMS
from gateway.config.functions import FUNCTIONS
from gateway.config.lenient_json import read_json

NAMES = sorted([*FORMS, *FUNCTIONS, "listKeys", "list", "nope", "my.f"])
LEAVES = (
    "''", "'a'", "'10.0.0.0/24'", "'{{0}}'", "1", "-1", "0", "99999999999", "true()", "null()", "createArray()",
    "createObject()", "createObject('a', 1)", "createArray(1, 'b')", "variables('list')", "variables('map')",
    "parameters('none')", "parameters('some')", "copyIndex()", "lambda('x', lambdaVariables('x'))",
    "lambda('x', 'y', equals(lambdaVariables('x'), lambdaVariables('y')))", "resourceGroup().id",
)  # fmt: skip
ENDINGS = ("", "", "", ".a", "[0]", "['a']", ".?b", "[?0]", "[1][2]", ".outputs.x.value")
TEMPLATE = read_json(
    """{"parameters": {"none": {"type": "string"}, "some": {"type": "object", "defaultValue": {"a": [1, {"b": "c"}]}}},
    "variables": {"map": {"a": "[reference('x')]", "b": {"a": 1}}, "copy": [{"name": "list", "count": 3, "input":
    "[createObject('a', copyIndex('list'))]"}]}, "functions": [{"namespace": "my", "members": {"f": {"parameters": [
    {"name": "p", "type": "string"}], "output": {"type": "string", "value": "[parameters('p')]"}}}}]}"""
)


def made(dice: random.Random, depth: int) -> str:
    """An expression of known functions, rarely a sensible one."""
    if depth == 0 or dice.random() < 0.2:
        return dice.choice(LEAVES)
    arguments = ", ".join(made(dice, depth - 1) for _ in range(dice.choice((0, 1, 1, 2, 2, 2, 3, 4))))
    return f"{dice.choice(NAMES)}({arguments}){dice.choice(ENDINGS)}"


class FormsTests(unittest.SynchronousTestCase):
    """`Scope.evaluate` on nonsense."""

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 1 << 40))
    def test_value_or_words(self, seed: int) -> None:
        expression = f"[{made(random.Random(seed), 4)}]"
        scope = Scope(TEMPLATE, {}, Shared({"x": {"outputs": {"x": {"value": 1}}}}))
        for evaluate in (scope.evaluate, scope.name_of):
            try:
                evaluate(expression)
            except (ExpressionError, ExpressionLimit) as error:
                self.assertTrue(str(error), expression)

    def test_every_form(self) -> None:
        """Each by itself, with too few and too many arguments."""
        scope = Scope(TEMPLATE, {}, Shared())
        for name in NAMES:
            for count in range(6):
                for leaf in ("1", "'a'", "createArray(1)", "null()"):
                    try:
                        scope.evaluate(f"[{name}({', '.join([leaf] * count)})]")
                    except ExpressionError as error:
                        self.assertTrue(str(error))
