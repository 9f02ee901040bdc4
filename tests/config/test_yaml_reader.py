"""Tests of `gateway.config.yaml_reader`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.config.yaml_reader import read_yaml
from gateway.errors import ConfigurationError


class YamlReaderTests(unittest.SynchronousTestCase):
    """`read_yaml`."""

    def refused(self, text: str) -> str:
        with self.assertRaises(ConfigurationError) as caught:
            read_yaml(text)
        (problem,) = caught.exception.problems
        return str(problem)

    def test_scalars(self) -> None:
        """The core schema of YAML 1.2: no Norway, no base 60, no octal, no dates."""
        text = "[no, on, yes, 8080:80, 010, 0x1F, 1.5, -3, ~, null, true, False, 2001-01-01, '1', \"true\", !!str 1]"
        expected = ["no", "on", "yes", "8080:80", 10, "0x1F", 1.5, -3, None, None, True, False, "2001-01-01"]
        self.assertEqual(read_yaml(text), [*expected, "1", "true", "1"])

    def test_keys_are_text(self) -> None:
        """A port as key stays as it is written."""
        self.assertEqual(read_yaml("{80: 8080, true: x}"), {"80": 8080, "true": "x"})

    def test_lines(self) -> None:
        """Keys and items know their lines."""
        tree = read_yaml("a:\n  - 1\n  - {x: 2,\n     y: 3}\nb: 4\n")
        self.assertEqual(tree.lines, {"a": 1, "b": 5})
        self.assertEqual(tree["a"].lines, [2, 3])
        self.assertEqual(tree["a"][1].lines, {"x": 3, "y": 4})

    def test_anchors_and_merges(self) -> None:
        """Aliases are what they stand for; merged keys give way to one's own."""
        tree = read_yaml("base: &b {a: 1, c: 2}\nuse: {<<: *b, c: 3}\nmany: {<<: [*b, {d: 4}]}\nagain: *b\n")
        self.assertEqual(tree["use"], {"a": 1, "c": 3})
        self.assertEqual(tree["many"], {"a": 1, "c": 2, "d": 4})
        self.assertEqual(tree["again"], {"a": 1, "c": 2})

    def test_refused(self) -> None:
        """What cannot be read is told with line and column."""
        cases = {
            "": "the file is empty",
            "a:\n\tb: 1": "line 2: column 1: not valid YAML: found character",
            "a:\n\t- b: 1\n": "that cannot start any token (indent with spaces, not tabs)",
            "a: [1,\nb: 2": "line 3: column 1: not valid YAML",
            "a: 1\na: 2": "line 2: column 1: not valid YAML: the key 'a' is there twice, first on line 1",
            "a: !!python/object:os.system x": "the tag 'tag:yaml.org,2002:python/object:os.system' is not supported",
            "a: !x {b: 1}": "the tag '!x' is not supported",
            "[" * 100: "nested more than 64 levels deep",
            "a: *x": "alias *x has no anchor &x",
            "a: &x [*x]": "alias *x has no anchor &x that is complete before it",
            "? [a]\n: 1": "a key must be a word, not a collection",
            "a: 1\n---\nb: 2": "a second document",
            "a: {<<: 1}": "'<<' merges mappings only",
            "a: \x00": "line 1: column 4: not valid YAML: unacceptable character",
            "a: 1\r\nb: '\u00e9\x07'": "line 2: column 6: not valid YAML: ",
        }
        for text, message in cases.items():
            self.assertIn(message, self.refused(text))

    def test_quoted_merge(self) -> None:
        """In quotes ``<<`` is a key like any other."""
        self.assertEqual(read_yaml("{'<<': 1, a: 2}"), {"<<": 1, "a": 2})

    def test_bomb(self) -> None:
        """Aliases count as what they expand to, in width and in depth."""
        wide = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
        )
        self.assertIn("more than 200000 values", self.refused(wide))
        deep = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [[[[[*a{i - 1}]]]]]\n" for i in range(1, 30))
        self.assertIn("nested more than 64 levels deep", self.refused(deep))

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="{}[]\",':x1&*!-? \n\t|>#%@", max_size=30))
    def test_never_anything_else(self, text: str) -> None:
        """Any text is read, or refused in one way."""
        try:
            read_yaml(text)
        except ConfigurationError:
            pass
