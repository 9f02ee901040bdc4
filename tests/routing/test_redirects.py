"""`gateway.routing.redirects`."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import HttpListener, Redirect
from gateway.errors import BadRequest
from gateway.routing.redirects import Redirection
from gateway.testing import request_head

HTTPS = HttpListener(name="secure", port=443, protocol="Https")


def location(
    target: str = "/a/b?c=d", host: str = "example.com", listener: HttpListener | None = None, **others: Any
) -> str:
    redirect = Redirect(name="r", target_listener=listener and listener.name, **others)
    return Redirection(redirect, listener).location(request_head(target, host=host))


class KindTests(SynchronousTestCase):
    """The answer."""

    def test_status(self) -> None:
        for kind, status in (("Permanent", 301), ("Found", 302), ("SeeOther", 303), ("Temporary", 307)):
            redirection = Redirection(Redirect(name="r", redirect_type=kind, target_url="https://x.example/"))
            reply = redirection(request_head("/"))
            self.assertEqual((reply.status, reply.cause), (status, "redirect"))
            self.assertEqual(reply.fields, (("Location", "https://x.example/"),))
            self.assertIn(str(status).encode(), reply.body)


class ListenerTests(SynchronousTestCase):
    """To another listener of this gateway."""

    def test_host_of_request(self) -> None:
        self.assertEqual(location(listener=HTTPS), "https://example.com/a/b?c=d")
        self.assertEqual(location(host="example.com:8080", listener=HTTPS), "https://example.com/a/b?c=d")
        self.assertEqual(location(host="[::1]:80", listener=HTTPS), "https://[::1]/a/b?c=d")

    def test_host_of_listener(self) -> None:
        listener = HttpListener(name="l", port=8443, protocol="Https", host_names=("*.x.example", "www.x.example"))
        self.assertEqual(location(listener=listener), "https://www.x.example:8443/a/b?c=d")

    def test_port(self) -> None:
        for protocol, port, base in (
            ("Https", 8443, "https://example.com:8443"), ("Http", 80, "http://example.com"),
            ("Http", 443, "http://example.com:443"), ("Https", 0, "https://example.com"),
        ):  # fmt: skip
            listener = HttpListener(name="l", port=port, protocol=protocol)
            self.assertEqual(location("/", listener=listener), base + "/")

    def test_parts(self) -> None:
        self.assertEqual(location(listener=HTTPS, include_path=False), "https://example.com/?c=d")
        self.assertEqual(location(listener=HTTPS, include_query_string=False), "https://example.com/a/b")
        self.assertEqual(
            location(listener=HTTPS, include_path=False, include_query_string=False), "https://example.com/"
        )
        self.assertEqual(location("*", listener=HTTPS), "https://example.com/")

    def test_unusable_host(self) -> None:
        for host in ("", "a b", "a/b", "a\r\nX: y", "user@evil", "[::1", "a:b:c"):
            self.assertRaises(BadRequest, location, host=host, listener=HTTPS)


class UrlTests(SynchronousTestCase):
    """To a URL."""

    def test_parts(self) -> None:
        for url, path, query, expected in (
            ("https://x.example", True, True, "https://x.example/a/b?c=d"),
            ("https://x.example/", True, True, "https://x.example/a/b?c=d"),
            ("https://x.example/new", True, True, "https://x.example/new/a/b?c=d"),
            ("https://x.example/new/", True, False, "https://x.example/new/a/b"),
            ("https://x.example/new?k=v", False, True, "https://x.example/new?k=v&c=d"),
            ("https://x.example/new?k=v#top", True, True, "https://x.example/new/a/b?k=v&c=d#top"),
            ("https://x.example", False, False, "https://x.example/"),
            ("https://x.example/new", False, False, "https://x.example/new"),
        ):
            found = location(target_url=url, include_path=path, include_query_string=query)
            self.assertEqual(found, expected)

    def test_encoding_kept(self) -> None:
        self.assertEqual(location("/a%20b?c=%26", target_url="https://x.example"), "https://x.example/a%20b?c=%26")

    @given(st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
    @settings(max_examples=100, deadline=None)
    def test_no_injection(self, rest: str) -> None:
        """Whatever the target holds, the field stays one line of URI characters, and on that host."""
        found = location("/" + rest, target_url="https://x.example")
        self.assertTrue(found.startswith("https://x.example/"))
        allowed = set(string.ascii_letters + string.digits + "!#$%&'()*+,/:;=?@[]~-._")
        self.assertLessEqual(set(found), allowed)
