"""Tests of `gateway.config.lenient_json`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config.lenient_json import read_json
from gateway.config.tree import plain
from gateway.errors import ConfigurationError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.tuples(st.text(), inner), max_size=4, unique_by=lambda pair: pair[0].casefold()).map(dict)
    ),
    max_leaves=20,
)


class LenientJsonTests(unittest.SynchronousTestCase):
    """`read_json`."""

    def refused(self, text: str) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            read_json(text)
        (problem,) = caught.exception.problems
        return str(problem)

    @settings(max_examples=60, deadline=None)
    @given(value=_VALUES, indent=st.sampled_from([None, 1]))
    def test_reads_what_json_writes(self, value: Any, indent: int | None) -> None:
        """Strict JSON means the same here."""
        self.assertEqual(plain(read_json(json.dumps(value, indent=indent))), value)

    def test_lenient(self) -> None:
        """Comments, trailing commas, a byte order mark, single quotes, bare keys, words in any case."""
        text = "\ufeff// c\n{ 'a': [1, 2,], /* x\n */ b: True, \"c\": 1.5e1, }"
        self.assertEqual(read_json(text), {"a": [1, 2], "b": True, "c": 15.0})

    def test_line_break_in_string(self) -> None:
        """Templates break long expressions."""
        self.assertEqual(read_json('{"a": "[concat(\n1)]"}'), {"a": "[concat(\n1)]"})

    def test_bare_members(self) -> None:
        """A snippet of members without braces is an object."""
        self.assertEqual(read_json('"a": [1],\n"b": 2,'), {"a": [1], "b": 2})

    def test_lines(self) -> None:
        """Keys and items know their lines."""
        tree = read_json('{\n "a": [\n  1,\n  {"x":\n 2}],\n "b": 3}')
        self.assertEqual(tree.lines, {"a": 2, "b": 6})
        self.assertEqual(tree["a"].lines, [3, 4])
        self.assertEqual(tree["a"][1].lines, {"x": 4})

    def test_escapes(self) -> None:
        """All of RFC 8259, surrogate pairs included."""
        self.assertEqual(read_json(r'"\u00e9\n\"\\\/\ud83d\ude00"'), 'é\n"\\/😀')

    def test_refused(self) -> None:
        """What cannot be read is told with line and column."""
        cases = {
            "": "the file is empty",
            " // only\n": "the file is empty",
            '{"a": 1\n "b": 2}': "line 2: column 2: not valid JSON: expected ',' or '}', found '\"b\": 2}'",
            '{"a" 1}': "expected ':' after the key 'a'",
            '{"a": }': "expected a value, found '}'",
            "[1, 2": "expected ',' or ']', found the end of the file",
            '{"a": "x': "a string that is never closed",
            '{"a": 1} x': "found 'x' after the end of the document",
            '{"a": 1,\n"A": 2}': "line 2: column 1: not valid JSON: the key 'A' is there twice, first on line 1",
            '"\\d"': "unknown escape \\d",
            '"\\ud83d"': "half of a surrogate pair",
            "[" * 100: "nested more than 64 levels deep",
            "/* x": "a comment that is never closed",
            "1" * 5000: "a number of more than 40 characters",
            "[nul]": "expected a value, found 'nul]'",
        }
        for text, message in cases.items():
            self.assertIn(message, self.refused(text))

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="{}[]\",':x1\\ /*\n.-", max_size=30))
    def test_never_anything_else(self, text: str) -> None:
        """Any text is read, or refused in one way."""
        try:
            read_json(text)
        except ConfigurationError:
            pass
