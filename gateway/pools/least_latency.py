"""Least latency: the candidate from which an answer may be expected first.

What is compared is the average response time, times what the candidate is doing already, by weight: a fast backend
is preferred until it has proportionally more to do.  (Finagle's "peak EWMA" is of this kind.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field
from zope.interface import implementer

from gateway.interfaces import ILasting, ILatencyAware, ISelector, IStrategyFactory
from gateway.pools.heedless import heedless
from gateway.services import Options
from gateway.transport.deadlines import steady

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["LeastLatency", "factory"]

_LEAST = 1e-6


class LatencyOptions(Options):
    decay: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds after which an old response time counts for a third."
    )


@implementer(ILasting, ISelector, ILatencyAware)
class LeastLatency:
    """The pool measures (`IBackend.latency`): from the lease to the response head, or to the 101 of a WebSocket.

    One that has not answered yet is taken to be as fast as the fastest; ties go to the next one after the last choice.
    """

    def __init__(self, seconds: Callable[[], float], decay: float = 10.0) -> None:
        self.decay = decay
        self._seconds = seconds
        self._next = 0

    @heedless
    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`. HOT; time grows with the number of candidates."""
        now, start = self._seconds(), self._next
        order = candidates[start:] + candidates[:start]
        expected = [None if backend.latency is None else backend.latency.expected(now) for backend in order]
        fastest = min([seconds for seconds in expected if seconds is not None], default=_LEAST)
        chosen, least = order[0], float("inf")
        for backend, seconds in zip(order, expected, strict=True):
            cost = max(fastest if seconds is None else seconds, _LEAST) * (backend.active + 1) / backend.weight
            if cost < least:
                chosen, least = backend, cost
        self._next = candidates.index(chosen) + 1
        return chosen


@implementer(IStrategyFactory)
class _Factory:
    name = "least-latency"
    options = LatencyOptions

    def build(self, options: LatencyOptions, services: Any) -> LeastLatency:
        return LeastLatency(steady(services.clock), options.decay)


factory = _Factory()
