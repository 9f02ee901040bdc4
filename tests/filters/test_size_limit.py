"""Tests for `gateway.filters.size_limit`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import ConfigurationError
from gateway.values import DROP, Close
from tests.filters.support import Tried


class SizeLimitTests(SynchronousTestCase):
    """Bytes count, not characters."""

    def test_close(self) -> None:
        tried = Tried("size-limit", maxBytes=4)
        too_big = Close(1009, "message too big")
        for payload, verdict in (("abcd", None), ("abcde", too_big), (b"abcd", None), (b"abcde", too_big),
                                 ("\u00fc\u00fc", None), ("\u00fc\u00fca", too_big), ("", None)):  # fmt: skip
            self.assertEqual(verdict, tried.client(payload), payload)
            self.assertIsNone(tried.backend(payload))

    def test_drop_on_both_sides(self) -> None:
        tried = Tried("size-limit", maxBytes=1, then="drop", sender="both")
        self.assertIs(DROP, tried.client("ab"))
        self.assertIs(DROP, tried.backend("ab"))

    def test_options(self) -> None:
        for options in ({}, {"maxBytes": 0}, {"maxBytes": 1, "other": 1}, {"maxBytes": 1, "sender": "all"}):
            self.assertRaises(ConfigurationError, Tried, "size-limit", **options)
