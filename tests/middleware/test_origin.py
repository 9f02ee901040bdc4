"""`gateway.middleware.origin` and `gateway.middleware.origins`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.middleware.origin import factory
from gateway.middleware.origins import Origins
from tests.middleware.support import MiddlewareCase, request_head


class OriginsTests(SynchronousTestCase):
    """`Origins`."""

    def test_contains(self) -> None:
        origins = Origins(["https://example.com", "https://*.example.org", "http://localhost:3000", "null"])
        for inside in (
            "https://example.com", "HTTPS://Example.com:443", "https://a.example.org", "https://a.b.example.org",
            "http://localhost:3000", "null",
        ):  # fmt: skip
            self.assertIn(inside, origins)
        for outside in (
            "http://example.com", "https://example.com:8443", "https://example.com.evil.net", "https://example.org",
            "https://evil.net/.example.org", "https://.example.org.evil", "https://evil.net#.example.org", "",
            "https://a@b.example.org", "http://localhost",
        ):  # fmt: skip
            self.assertNotIn(outside, origins)
        self.assertIn("https://anything", Origins(["*"]))


class OriginTests(MiddlewareCase):
    """Handshakes."""

    factory = factory

    def test_listed(self) -> None:
        made = self.make(origins=["https://Example.com"])
        self.assertEqual({"upgrade"}, made.traffic)
        self.passes(made, request_head(fields=[("Origin", "https://example.com")]))
        self.passes(made, request_head())
        self.refuses(made, request_head(fields=[("Origin", "https://evil.example")]), 403, "origin_denied")
        self.refuses(made, request_head(fields=[("Origin", "null")]), 403, "origin_denied")

    def test_same_host(self) -> None:
        made = self.make(sameHost=True, allowMissing=False)
        self.passes(made, request_head(fields=[("Origin", "http://example.com:80")]))
        self.refuses(made, request_head(fields=[("Origin", "https://example.com")]), 403, "origin_denied")
        self.refuses(made, request_head(fields=[("Origin", "http://other.example")]), 403, "origin_denied")
        self.refuses(made, request_head(), 403, "origin_denied")
        head = request_head(fields=[("Origin", "https://example.com")])
        self.passes(made, head, self.context(scheme="https"))

    def test_options(self) -> None:
        self.refused_options("sameHost")
        for wrong in ("example.com", "https://example.com/", "https://*", "https://a.*.b", "ftp//x", "https://a b"):
            self.refused_options("an origin is", origins=[wrong])
