"""Tests of `gateway.config.expressions`."""

from __future__ import annotations

from twisted.trial import unittest

from gateway.config.expressions import ExpressionError, is_expression, parse, unescape


class ExpressionTests(unittest.SynchronousTestCase):
    """`parse` and what surrounds it."""

    def test_what_is_one(self) -> None:
        """Brackets make an expression, two opening ones do not."""
        self.assertTrue(is_expression("[parameters('x')]"))
        for text in ("", "[", "x", "[[x]", "[x", "x]", " [x]"):
            self.assertFalse(is_expression(text))
        self.assertEqual([unescape("[[x]"), unescape("x"), unescape("[[x")], ["[x]", "x", "[[x"])

    def test_trees(self) -> None:
        """Strings, numbers, calls, members."""
        self.assertEqual(parse("['it''s']"), ("text", "it's"))
        self.assertEqual(parse("[-12]"), ("number", -12))
        self.assertEqual(parse("[ add ( 1 , 2 ) ]"), ("call", "add", [("number", 1), ("number", 2)], ""))
        self.assertEqual(parse("[my.fn()]"), ("call", "fn", [], "my"))
        self.assertEqual(parse("[true]"), ("call", "true", [], ""))
        tree = parse("[variables('v').a['b'][0].?c]")
        base = ("call", "variables", [("text", "v")], "")
        member = ("member", ("member", base, ("text", "a"), False), ("text", "b"), False)
        self.assertEqual(tree, ("member", ("member", member, ("number", 0), False), ("text", "c"), True))

    def test_errors(self) -> None:
        """What is wrong, and where."""
        cases = {
            "[]": "expected a function, a string or a number, but the expression ends",
            "[concat('a' 'b')]": "expected ',' or ')' in the arguments of concat(), but found \"'b'\" at character 13",
            "[concat('a']": "but the expression ends",
            "[concat('a)]": "a string that is never closed at character 9",
            "[a b]": "expected '('",
            "[f().]": "expected a member name",
            "[f()[1]": "expected ']'",
            "[f() g()]": "expected the end",
            "[f(%)]": "unexpected '%)'",
            "[" + "f(" * 50 + ")" * 50 + "]": "nested more than 40 levels deep",
            "[f()" + "[0]" * 50 + "]": "more than 40 member accesses",
            "['" + "x" * 30000 + "']": "at most 24576 are allowed",
        }
        for text, message in cases.items():
            with self.assertRaises(ExpressionError) as caught:
                parse(text)
            self.assertIn(message, str(caught.exception))
