"""A bound on messages and bytes per second of each session: who goes beyond it is closed, or made to wait.

Two token buckets (messages, bytes) for each side of each session.  A message may take more than there is; the debt is
what the sender waits for, or what ends the session.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from twisted.internet.defer import Deferred

from gateway.filters.base import Factory, Filter, SideOptions, size_of
from gateway.transport.deadlines import steady
from gateway.values import Close

__all__ = ["RateLimit", "RateLimitOptions", "factory"]


class RateLimitOptions(SideOptions):
    """What one side of a session may send in the long run, and at once."""

    messages: float | None = Field(default=None, gt=0, description="Messages per second.")
    bytes: float | None = Field(default=None, gt=0, description="Bytes per second, inflated.")
    burst: float = Field(default=1.0, gt=0, le=3600, description="How many seconds' worth may come at once.")
    then: Literal["close", "delay"] = Field(
        default="close", description="End the session with 1008, or read on when the rate is met."
    )

    @model_validator(mode="after")
    def _some(self) -> RateLimitOptions:
        if self.messages is None and self.bytes is None:
            raise ValueError("give `messages`, `bytes` or both")
        return self


class _Bucket:
    """Tokens that come back with time; ``take`` says for how many seconds there is a debt afterwards."""

    __slots__ = ("_left", "_most", "_rate", "_then")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._left = self._most = max(rate * burst, 1.0)
        self._then = now

    def take(self, count: float, now: float) -> float:
        left = min(self._most, self._left + (now - self._then) * self._rate) - count
        self._left, self._then = left, now
        return -left / self._rate if left < 0 else 0.0


class RateLimit(Filter):
    """Makes a `_Session` for each session."""

    def __init__(self, options: RateLimitOptions, services: Any) -> None:
        self.options = options
        self.clock = services.clock
        self.seconds = steady(services.clock)

    def open(self, conversation: Any) -> _Session:
        """See `IMessageFilter.open`."""
        return _Session(self)


class _Session(Filter):
    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        now, options = limit.seconds(), limit.options
        rates = [(options.messages, False), (options.bytes, True)]
        self._buckets = {
            side: [(_Bucket(rate, options.burst, now), sized) for rate, sized in rates if rate is not None]
            for side in (True, False)
            if options.concerns(side)
        }

    def message(self, payload: str | bytes, from_client: bool) -> Any:
        """See `IMessages.message`."""
        buckets = self._buckets.get(from_client)
        if buckets is None:
            return None
        now = self._limit.seconds()
        debt = 0.0
        for bucket, sized in buckets:
            debt = max(debt, bucket.take(size_of(payload) if sized else 1, now))
        if not debt:
            return None
        if self._limit.options.then == "close":
            return Close(1008, "too many messages")
        return self._later(debt)

    def _later(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._limit.clock.callLater(seconds, waiting.callback, None)
        return waiting


factory = Factory("rate-limit", RateLimitOptions, RateLimit)
