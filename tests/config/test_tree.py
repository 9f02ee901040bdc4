"""Tests of `gateway.config.tree`."""

from __future__ import annotations

from twisted.trial import unittest

from gateway.config.tree import Map, Place, Seq, decode, line_of, nearest, plain, show
from gateway.errors import ConfigurationError


class TreeTests(unittest.SynchronousTestCase):
    """Values with lines, places, and how values are shown."""

    def test_map(self) -> None:
        """Keys are found in any case, an exact one first."""
        tree = Map(1)
        tree.put("Port", 1, 2)
        tree.put("port", 2, 3)
        self.assertEqual((tree.value("port"), tree.value("PORT"), tree.value("x", 7)), (2, 1, 7))
        self.assertEqual((line_of(tree, "port"), line_of(tree, "x"), line_of({}, "x")), (3, 1, None))

    def test_plain(self) -> None:
        """Shared parts stay shared, so that an alias bomb stays small."""
        inner = Seq(1)
        outer = Map(1)
        outer.put("a", inner, 1)
        outer.put("b", inner, 1)
        made = plain(outer)
        self.assertIs(type(made["a"]), list)
        self.assertIs(made["a"], made["b"])

    def test_place(self) -> None:
        """Paths grow; a child without a line has that of its parent."""
        place = Place("", 1).child("a", 2).item(3).child("b")
        self.assertEqual((place.path, place.line), ("a[3].b", 2))
        self.assertEqual(str(place._replace(note=" (n)").problem("wrong")), "line 2: a[3].b: wrong (n)")

    def test_show(self) -> None:
        """Short, typed, and never a secret."""
        cases = [
            (None, "null"), (True, "true"), (5, "5"), ("x", "'x'"), ({}, "an empty mapping"), ({"a": 1}, "a mapping"),
            ([1], "a list of 1"), ([], "an empty list"),
        ]  # fmt: skip
        for value, text in cases:
            self.assertEqual(show(value), text)
        self.assertLess(len(show("x" * 1000)), 100)
        for key in ("password", "data", "certificatePassword"):
            self.assertNotIn("hunter2", show("hunter2", key))

    def test_nearest(self) -> None:
        self.assertEqual(nearest("LISTNERS", ["listeners", "rules"]), "listeners")
        self.assertIsNone(nearest("zzz", ["listeners"]))

    def test_decode(self) -> None:
        """UTF-8 with and without mark, UTF-16 with one; anything else is told with its line."""
        self.assertEqual(decode("\ufeffé".encode(), "f"), "é")
        self.assertEqual(decode("é".encode("utf-16"), "f"), "é")
        with self.assertRaises(ConfigurationError) as caught:
            decode(b"a\n\xff", "f")
        self.assertIn("line 2: byte 3 is not UTF-8 text", str(caught.exception))
