"""`gateway.routing.patterns`."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from gateway.routing.patterns import MOST_GROUPS, Pattern, PatternError


class PatternTests(SynchronousTestCase):
    """What patterns find, and what is refused."""

    def test_search(self) -> None:
        """Anywhere, tied to the ends where the pattern says so; groups that took no part are empty."""
        for source, text, expected in (
            ("b+", "abbc", ("bb",)),
            ("^b", "abbc", None),
            ("^/api/([^/]+)/(.*)$", "/api/v2/x/y", ("/api/v2/x/y", "v2", "x/y")),
            ("(a)|(b)", "b", ("b", "", "b")),
            ("(?P<name>a)(?<other>b)", "ab", ("ab", "a", "b")),
            ("", "anything", ("",)),
            (".", "", None),
            ("(https?):\\/\\/.*azure\\.net(.*)", "http://x.azure.net/p", ("http://x.azure.net/p", "http", "/p")),
            (r"end\Z", "the end", ("end",)),
            (r"\\Z", r"a\Z", (r"\Z",)),
            ("\xe9", "caf\xc3\xa9", ("\xc3\xa9",)),
            (".$", "\xff", ("\xff",)),
        ):
            self.assertEqual(Pattern(source).search(text), expected, source)

    def test_case(self) -> None:
        self.assertIsNone(Pattern("^bearer").search("Bearer x"))
        self.assertEqual(Pattern("^bearer", ignore_case=True).search("Bearer x"), ("Bearer",))

    def test_groups(self) -> None:
        self.assertEqual(Pattern("(a)(?:b)((c))").groups, 3)

    def test_refused(self) -> None:
        """What is missing from the language is named, not only refused."""
        for source, words in (
            ("(?=a)", "look-ahead and look-behind are not"),
            ("(?<!x)y", "look-ahead and look-behind are not"),
            ("(a)\\1", "back-references are not"),
            ("(?P<n>a)(?P=n)", "back-references are not"),
            ("(?>a)", "atomic groups are not"),
            ("a++", "possessive quantifiers are not"),
            ("(?R)", "recursion and conditionals are not"),
            ("(", r"missing \)"),
            ("[a", r"missing \]"),
            ("a{1001}", "invalid repetition size"),
            ("\\h", "invalid escape sequence"),
            ("(?:(?:a{0,30}){0,30}){0,30}", "too large|invalid repetition size"),
            ("(a|aa|b){500}c", "too large"),
            ("x" * 5000, "at most 4096 characters"),
            ("(a)" * (MOST_GROUPS + 1), "at most 50 groups"),
        ):
            error = self.assertRaises(PatternError, Pattern, source)
            self.assertRegex(str(error), words, source)

    def test_looks_like_but_is_not(self) -> None:
        """The same characters in a class or after a backslash are text."""
        for source in ("[(?=]", r"\(?=", r"[\]+]+", r"\++"):
            Pattern(source)

    def test_hostile_input(self) -> None:
        """Patterns that make backtracking engines run for ever: bounded, whatever the text."""
        text = "x" * 32768
        for source in ("(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)y", "(x|xx){150}y"):
            pattern = Pattern(source)
            before = time.process_time()
            self.assertIsNone(pattern.search(text))
            self.assertLess(time.process_time() - before, 5)
