"""A bound on requests per client: a token bucket for each key."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import Any, Literal

from pydantic import Field
from zope.interface import implementer

from gateway.http.forwarded import client_network
from gateway.interfaces import ILasting
from gateway.middleware.base import Factory, Middleware, Options, refusal
from gateway.values import Context, Reply, RequestHead

__all__ = ["RateLimit", "RateLimitOptions", "factory"]

_LONGEST_KEY = 256


class RateLimitOptions(Options):
    """``requests`` per ``per`` seconds in the long run, ``burst`` of them at once."""

    requests: float = Field(gt=0, description="Requests per `per` seconds.")
    per: float = Field(default=1, gt=0, le=86400, description="Seconds.")
    burst: int | None = Field(default=None, ge=1, description="Requests that may come at once; default: `requests`.")
    key: str = Field(
        default="address",
        pattern=r"^(address|user|all|header:[!#$%&'*+\-.^_`|~0-9A-Za-z]+)$",
        description="Who is counted: `address` (IPv6 by /64), `user`, `header:NAME`, or `all` together; "
        "without a user or the field the address counts.",
    )
    max_keys: int = Field(default=10000, ge=1, le=1000000, description="Keys remembered; then the oldest goes.")
    traffic: tuple[Literal["http", "upgrade"], ...] = Field(
        default=("http", "upgrade"), min_length=1, description="Which requests are counted."
    )


@implementer(ILasting)
class RateLimit(Middleware):
    """Answers 429 with Retry-After to those who ask too often."""

    def __init__(self, options: RateLimitOptions, services: Any = None) -> None:
        self.traffic = frozenset(options.traffic)
        self._rate = options.requests / options.per
        self._most = float(options.burst or max(1, ceil(options.requests)))
        self._max_keys = options.max_keys
        self._by, _, self._field = options.key.partition(":")
        self._field = self._field.lower()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """See `IMiddleware.request`."""
        buckets, now = self._buckets, context.clock()
        key = self._key(head, context)
        tokens, then = buckets.get(key, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self._rate)
        allowed = tokens >= 1
        buckets[key] = (tokens - 1 if allowed else tokens), now
        buckets.move_to_end(key)
        if len(buckets) > self._max_keys:
            buckets.popitem(last=False)
        if allowed:
            return None
        return refusal(429, "rate_limited", [("Retry-After", str(max(1, ceil((1 - tokens) / self._rate))))])

    def _key(self, head: RequestHead, context: Context) -> str:
        value: str | None = None
        if self._by == "all":
            return ""
        if self._by == "user":
            value = context.user
        elif self._by == "header":
            value = head.get(self._field)
        if value:
            return f"{self._by}:{value[:_LONGEST_KEY]}"
        return client_network(context.address)


factory = Factory("rate-limit", RateLimitOptions, RateLimit)
