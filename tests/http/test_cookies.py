"""`gateway.http.cookies`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.cookies import cookie, set_cookie
from gateway.testing import request_head


class CookieTests(SynchronousTestCase):
    """What clients send."""

    def find(self, line: str | None, name: str = "b") -> str | None:
        return cookie(request_head(fields=[] if line is None else [("Cookie", line)]), name)

    def test_found(self) -> None:
        for line in ("b=1", "a=2; b=1", "b=1;a=2", " a=b ;  b = 1 ", 'b="1"', "bb=2; b=1; b=3"):
            self.assertEqual(self.find(line), "1", line)

    def test_not_found(self) -> None:
        for line in (None, "", "b", "a=b", "ab=1; ba=1", "B=1", ";;=;"):
            self.assertIsNone(self.find(line), line)

    def test_odd(self) -> None:
        self.assertEqual(self.find("b=a=b"), "a=b")
        self.assertEqual(self.find("b="), "")
        self.assertEqual(self.find('b="'), '"')
        self.assertEqual(self.find('b=""'), "")


class SetCookieTests(SynchronousTestCase):
    """What they are given."""

    def test_attributes(self) -> None:
        self.assertEqual(set_cookie("a", "1"), ("Set-Cookie", "a=1; Path=/; HttpOnly"))
        self.assertEqual(
            set_cookie("a", "1", path="/x", max_age=60, http_only=False, secure=True, same_site="None"),
            ("Set-Cookie", "a=1; Path=/x; Max-Age=60; Secure; SameSite=None"),
        )
