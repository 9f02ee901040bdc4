"""`gateway.middleware.rate_limit`."""

from __future__ import annotations

from gateway.middleware.rate_limit import factory
from tests.middleware.support import MiddlewareCase, request_head


class RateLimitTests(MiddlewareCase):
    """A token bucket for each key."""

    factory = factory

    def test_bucket(self) -> None:
        made = self.make(requests=2, per=10, burst=3)
        for _ in range(3):
            self.passes(made, request_head())
        reply = self.refuses(made, request_head(), 429, "rate_limited")
        self.assertIn(("Retry-After", "5"), reply.fields)
        self.clock.advance(4.5)
        reply = self.refuses(made, request_head(), 429, "rate_limited")
        self.assertIn(("Retry-After", "1"), reply.fields)
        self.clock.advance(0.5)
        self.passes(made, request_head())
        self.refuses(made, request_head(), 429, "rate_limited")
        self.clock.advance(1000)
        for _ in range(3):
            self.passes(made, request_head())
        self.refuses(made, request_head(), 429, "rate_limited")

    def test_addresses(self) -> None:
        made = self.make(requests=1)
        self.passes(made, request_head())
        self.refuses(made, request_head(), 429, "rate_limited")
        self.passes(made, request_head(), self.context(host="203.0.113.8"))
        self.passes(made, request_head(), self.context(host="2001:db8::1"))
        self.refuses(made, request_head(), 429, "rate_limited", self.context(host="2001:db8::ffff"))
        self.passes(made, request_head(), self.context(host="2001:db8:0:1::1"))
        self.refuses(made, request_head(), 429, "rate_limited", self.context(host="::ffff:203.0.113.7"))

    def test_keys(self) -> None:
        made = self.make(requests=1, key="header:X-Api-Key")
        self.passes(made, request_head(fields=[("x-api-key", "a")]))
        self.refuses(made, request_head(fields=[("X-Api-Key", "a")]), 429, "rate_limited")
        self.passes(made, request_head(fields=[("x-api-key", "b")]))
        self.passes(made, request_head())
        self.refuses(made, request_head(), 429, "rate_limited")
        made = self.make(requests=1, key="user")
        self.passes(made, request_head(), self.context(user="ann"))
        self.refuses(made, request_head(), 429, "rate_limited", self.context(user="ann"))
        self.passes(made, request_head(), self.context(user="bob"))
        made = self.make(requests=1, key="all")
        self.passes(made, request_head(), self.context(host="10.0.0.1"))
        self.refuses(made, request_head(), 429, "rate_limited", self.context(host="10.0.0.2"))

    def test_what_is_remembered_is_bounded(self) -> None:
        made = self.make(requests=1, key="header:k", maxKeys=100)
        for number in range(1000):
            self.passes(made, request_head(fields=[("k", str(number) * 100)]))
        self.assertEqual(100, len(made._buckets))
        self.assertLess(max(len(key) for key in made._buckets), 300)
        self.refuses(made, request_head(fields=[("k", "999" * 100)]), 429, "rate_limited")

    def test_options(self) -> None:
        self.refused_options("requests", requests=0)
        self.refused_options("key", requests=1, key="cookie:x")
        self.assertEqual({"upgrade"}, self.make(requests=1, traffic=["upgrade"]).traffic)
