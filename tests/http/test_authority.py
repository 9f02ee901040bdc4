"""Tests for `gateway.http.authority`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.authority import authority, valid_authority


class AuthorityTests(SynchronousTestCase):
    def test_made(self) -> None:
        """Only an address of IPv6 has brackets."""
        cases = (
            ("a.example", 80, "a.example:80"),
            ("::1", 443, "[::1]:443"),
            ("::1", None, "[::1]"),
            ("10.0.0.4", None, "10.0.0.4"),
        )
        for host, port, text in cases:
            self.assertEqual(text, authority(host, port))
            self.assertTrue(valid_authority(text), text)

    def test_valid(self) -> None:
        for text in (
            "a",
            "a.example",
            "A-b_c~1.example:0",
            "a:",
            "[::1]:",
            "1.2.3.4:80",
            "[::1]",
            "[::ffff:1.2.3.4]:65535",
            "a" * 255,
        ):
            self.assertTrue(valid_authority(text), text)

    def test_invalid(self) -> None:
        for text in (
            "",
            ":",
            ":1",
            "a:65536",
            "a:1:1",
            "a:99999",
            "a:000001",
            "a b",
            "a,b",
            "a@b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "[]",
            "[::1",
            "::1",
            "[::1]x",
            "[1.2.3.4]",
            "[v1.a]",
            "[::g]",
            "[::1%25a]",
            "a%41",
            "\xe4",
            "a\n",
            "*.a",
            "a" * 256,
        ):
            self.assertFalse(valid_authority(text), text)
