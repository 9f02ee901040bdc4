"""Tests of the functions of the expression language: `functions`, `functions_text`, `functions_azure`."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionError, ExpressionLimit
from gateway.config.tree import Map

_GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/resource-group"

VALUES: list[tuple[str, Any]] = [
    ("concat('a', 1, 'b')", "a1b"),
    ("concat(createArray(1), createArray(2, 3))", [1, 2, 3]),
    ("createObject('a', 1, 'b', null())", {"a": 1, "b": None}),
    ("array('x')", ["x"]),
    ("array(createArray(1))", [1]),
    ("union(createArray(1, 2), createArray(2, 3))", [1, 2, 3]),
    (
        "union(createObject('a', createObject('x', 1)), createObject('A', createObject('y', 2)))",
        {"a": {"x": 1, "y": 2}},
    ),
    ("shallowMerge(createArray(createObject('a', 1), createObject('b', 2)))", {"a": 1, "b": 2}),
    ("intersection(createArray(1, 2, 3), createArray(3, 2))", [2, 3]),
    ("intersection(createArray(1, 2, 1, 2), createArray(2, 1))", [1, 2]),
    ("intersection(createObject('a', 1, 'b', 2), createObject('a', 1, 'b', 3))", {"a": 1}),
    ("length('abc')", 3),
    ("length(createObject('a', 1))", 1),
    ("empty('')", True),
    ("empty(null())", True),
    ("empty(createArray(0))", False),
    ("contains('abc', 'b')", True),
    ("contains(createArray(1, '1'), '1')", True),
    ("contains(createObject('Key', 1), 'key')", True),
    ("contains(createArray(1), 2)", False),
    ("first('abc')", "a"),
    ("first(createArray())", None),
    ("last(createArray(1, 2))", 2),
    ("skip('abc', 1)", "bc"),
    ("take(createArray(1, 2, 3), 2)", [1, 2]),
    ("take('abc', -1)", ""),
    ("range(2, 3)", [2, 3, 4]),
    ("flatten(createArray(createArray(1), createArray(2)))", [1, 2]),
    ("items(createObject('b', 2, 'a', 1))", [{"key": "a", "value": 1}, {"key": "b", "value": 2}]),
    ("objectKeys(createObject('b', 2, 'a', 1))", ["a", "b"]),
    ("min(3, 1, 2)", 1),
    ("max(createArray(3, 1))", 3),
    ("equals('a', 'A')", False),
    ("equals(createObject('a', 1), createObject('A', 1))", True),
    ("equals(1, true())", False),
    ("equals(createArray(1), createArray(1))", True),
    ("not(false())", True),
    ("and(true(), true(), false())", False),
    ("and(false(), div(1, 0))", False),
    ("or(false(), true())", True),
    ("if(true(), 'y', div(1, 0))", "y"),
    ("if(equals(1, 2), div(1, 0), 'n')", "n"),
    ("bool('True')", True),
    ("bool(0)", False),
    ("int('12')", 12),
    ("float('1.5')", 1.5),
    ("greater(2, 1)", True),
    ("greaterOrEquals('b', 'a')", True),
    ("less(2, 1)", False),
    ("lessOrEquals(1, 1)", True),
    ("add(1, 2)", 3),
    ("sub(1, 2)", -1),
    ("mul(2, 3)", 6),
    ("div(-7, 2)", -3),
    ("mod(-7, 2)", -1),
    ("coalesce(null(), 'a', div(1, 0))", "a"),
    ("coalesce(null())", None),
    ("tryGet(createObject('a', createArray(1)), 'a', 0)", 1),
    ("tryGet(createObject(), 'a', 0)", None),
    ("createObject('a', 1).?b", None),
    ("map(range(0, 3), lambda('i', mul(lambdaVariables('i'), 2)))", [0, 2, 4]),
    ("filter(range(0, 4), lambda('i', equals(mod(lambdaVariables('i'), 2), 0)))", [0, 2]),
    ("reduce(range(1, 3), 0, lambda('a', 'b', add(lambdaVariables('a'), lambdaVariables('b'))))", 6),
    ("toObject(createArray('a'), lambda('x', lambdaVariables('x')), lambda('x', 1))", {"a": 1}),
    ("string(12)", "12"),
    ("string(true())", "True"),
    ("string(createObject('a', createArray(1, null(), 'x')))", '{"a":[1,null,"x"]}'),
    ("json('{\"a\": [1, true]}')", {"a": [1, True]}),
    ("json('null')", None),
    ("format('{0}-{1}/{0}', 'a', 2)", "a-2/a"),
    ("format('{0:D3}|{0:00}|{0:d}', -7)", "-007|-07|-7"),
    ("format('{0:N}|{0:n2}|{0:N0}', 8175133)", "8,175,133.00|8,175,133.00|8,175,133"),
    ("format('{{{0}}}', 1)", "{1}"),
    ("format('{0:D3}|{0,4}|{0,-3}|{0:x}', 10)", "010|  10|10 |a"),
    ("toLower('AbC')", "abc"),
    ("toUpper('AbC')", "ABC"),
    ("trim('  a ')", "a"),
    ("startsWith('abc', 'AB')", True),
    ("endsWith('abc', 'C')", True),
    ("indexOf('abcb', 'B')", 1),
    ("lastIndexOf('abcb', 'b')", 3),
    ("indexOf(createArray('a'), 'x')", -1),
    ("indexOf(createArray(0, 1, true()), true())", 2),
    ("indexOf(createArray(true(), 1), 1)", 1),
    ("lastIndexOf(createArray('a', 'b', 'a', 'A'), 'a')", 2),
    ("lastIndexOf(createArray('a', createObject('b', 1)), createObject('b', 1))", 1),
    ("lastIndexOf(createArray('a'), 'x')", -1),
    ("substring('abcd', 1, 2)", "bc"),
    ("substring('abcd', 2)", "cd"),
    ("replace('aXbX', 'X', '--')", "a--b--"),
    ("split('a,b;c', createArray(',', ';'))", ["a", "b", "c"]),
    ("split('a.b', '.')", ["a", "b"]),
    ("join(createArray('a', 1), '-')", "a-1"),
    ("padLeft('7', 3, '0')", "007"),
    ("base64('hé')", "aMOp"),
    ("base64ToString('aMOp')", "hé"),
    ("base64ToJson(base64('[1]'))", [1]),
    ("uri('http://x/y/', 'z')", "http://x/y/z"),
    ("uriComponent('a b/c')", "a%20b%2Fc"),
    ("uriComponentToString('a%20b')", "a b"),
    ("utcNow('yyyy-MM-dd')", "2000-01-01"),
    ("resourceId('A.B/c', 'n')", f"{_GROUP}/providers/A.B/c/n"),
    ("resourceId('A.B/c/d', 'n', 'm')", f"{_GROUP}/providers/A.B/c/n/d/m"),
    ("resourceId('A.B/c/d', 'n/m')", f"{_GROUP}/providers/A.B/c/n/d/m"),
    ("resourceId('sub', 'grp', 'A.B/c', 'n')", "/subscriptions/sub/resourceGroups/grp/providers/A.B/c/n"),
    ("subscriptionResourceId('A.B/c', 'n')", "/subscriptions/00000000-0000-0000-0000-000000000000/providers/A.B/c/n"),
    ("tenantResourceId('A.B/c', 'n')", "/providers/A.B/c/n"),
    ("extensionResourceId('/x', 'A.B/c', 'n')", "/x/providers/A.B/c/n"),
    ("resourceGroup().id", "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/resource-group"),
    ("deployment().properties.templateLink.uri", "https://template.invalid/azuredeploy.json"),
    ("environment().suffixes.storage", "core.windows.net"),
    ("concat('x.', environment().suffixes.azureFrontDoorEndpointSuffix)", "x.azurefd.net"),
    ("last(environment().authentication.audiences)", "https://management.azure.com/"),
    ("cidrSubnet('10.0.0.0/16', 24, 2)", "10.0.2.0/24"),
    ("cidrHost('10.0.0.0/24', 3)", "10.0.0.4"),
    ("pickZones('A.B', 'c', 'l', 2)", ["1", "2"]),
]

ERRORS: list[tuple[str, str]] = [
    ("nope()", "the function nope() is not known"),
    ("parametres('x')", "did you mean parameters()?"),
    ("concat(createObject())", "concat() wants text, found an empty mapping"),
    ("length(1)", "length() wants text, an array or an object, found 1"),
    ("add('x', 1)", "add() wants a whole number, found 'x'"),
    ("div(1, 0)", "div() by zero"),
    ("mul(9223372036854775807, 2)", "does not fit into 64 bits"),
    ("if('maybe', 1, 2)", "expected true or false, found 'maybe'"),
    ("if(true())", "if() takes 3 arguments, 1 were given"),
    ("substring('abc', 2, 5)", "5 characters from 2 are not within 'abc'"),
    ("range(0, 100000)", "range() makes 0 to 10000 numbers, asked for 100000"),
    ("json('{')", "json(): "),
    ("format('{1}', 'a')", "{1} has no argument"),
    ("createObject('a')", "pairs of a name and a value"),
    ("resourceId('nothing', 'n')", "no resource type"),
    ("resourceId('A.B/c/d', 'n')", "the type 'A.B/c/d' needs 2 names, 1 were given"),
    ("base64ToString('%')", "not base64"),
    ("createArray(1)[4]", "there is no item 4 in an array of 1"),
    ("createObject('abc', 1).abd", "there is no member 'abd'; did you mean 'abc'?"),
    ("resourceGroup().name", "resourceGroup().name is known only to a deployment; give it with overrides"),
    ("subscription().subscriptionId", "subscription().subscriptionId is known only to a deployment"),
    ("null().x", "null has no member 'x'"),
    ("copyIndex()", "copyIndex() outside a copy loop"),
    ("lambdaVariables('x')", "there is no lambda variable 'x'"),
    ("map(1, 2)", "map() wants an array and a lambda()"),
    ("a.b()", "the template defines no function a.b()"),
    ("replace('a', '', 'b')", "cannot replace empty text"),
    ("padLeft('a', 3, 'xy')", "one character"),
    ("cidrHost('x', 1)", "cidrHost(): "),
    ("listKeys('x', '1')", "listkeys() of 'x' is known only in Azure"),
]


def evaluate(expression: str) -> Any:
    scope = Scope(Map(), {}, Shared())
    return scope.evaluate(f"[{expression}]")


class FunctionTests(unittest.SynchronousTestCase):
    """Every function, once or more."""

    def test_values(self) -> None:
        for expression, value in VALUES:
            found = evaluate(expression)
            self.assertEqual(found, value, expression)
            self.assertIs(isinstance(found, bool), isinstance(value, bool), expression)

    def test_errors(self) -> None:
        for expression, message in ERRORS:
            with self.assertRaises(ExpressionError) as caught:
                evaluate(expression)
            self.assertIn(message, str(caught.exception), expression)

    def test_stand_ins(self) -> None:
        """Values that Azure would compute: the right kind, and always the same."""
        for expression, pattern in (
            ("uniqueString('a')", r"\A[a-z2-7]{13}\Z"),
            ("guid('a')", r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
            ("newGuid()", r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"),
            ("utcNow()", r"\A20000101T000000Z\Z"),
        ):
            self.assertRegex(evaluate(expression), pattern)
            self.assertEqual(evaluate(expression), evaluate(expression))
        self.assertNotEqual(evaluate("uniqueString('a')"), evaluate("uniqueString('b')"))

    def test_bounds(self) -> None:
        """What would make too much is refused before it is made."""
        for expression in (
            "padLeft('a', 1000000000)",
            "replace(padLeft('a', 3000000), ' ', padLeft('b', 3000000))",
            "join(range(0, 10000), padLeft('b', 3000000))",
            "map(range(0, 10000), lambda('a', map(range(0, 10000), lambda('b', 1))))",
        ):
            with self.assertRaises(ExpressionLimit):
                evaluate(expression)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
    def test_arithmetic(self, a: int, b: int) -> None:
        """Division truncates, as it does in .NET, and the remainder fits."""
        self.assertEqual(evaluate(f"add({a}, {b})"), a + b)
        if b:
            self.assertEqual(evaluate(f"add(mul(div({a}, {b}), {b}), mod({a}, {b}))"), a)
            self.assertEqual(evaluate(f"div({a}, {b})"), int(a / b))

    @settings(max_examples=50, deadline=None)
    @given(st.text(max_size=40))
    def test_text_survives(self, text: str) -> None:
        """Quoting, and base64 there and back."""
        quoted = text.replace("'", "''")
        self.assertEqual(evaluate(f"base64ToString(base64('{quoted}'))"), text)
