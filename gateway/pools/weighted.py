"""Smooth weighted round robin: in each round as many turns as the weight says, spread out evenly.

The algorithm of nginx: every candidate gains its weight, the one with most is chosen and pays the sum of all weights.
Weights 5, 1, 1 give ``aabacaa`` and not ``aaaaabc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from gateway.interfaces import ILasting, ISelector, IStrategyFactory
from gateway.pools.heedless import heedless

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["Weighted", "factory"]


@implementer(ILasting, ISelector)
class Weighted:
    """Exact shares in every round. Time grows with the number of candidates; `round-robin` takes less for many."""

    def __init__(self) -> None:
        self._seen: tuple[IBackend, ...] = ()
        self._gained: dict[IBackend, float] = {}
        self._sum = 0.0

    @heedless
    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`. HOT."""
        gained = self._gained
        if candidates is not self._seen:
            self._seen = candidates
            self._sum = sum([backend.weight for backend in candidates])
            # Those that stay keep what they have gained: a change does not begin a new round.
            gained = self._gained = {backend: gained.get(backend, 0) for backend in candidates}
        chosen, most = candidates[0], float("-inf")
        for backend in candidates:
            gained[backend] = now = gained[backend] + backend.weight
            if now > most:
                chosen, most = backend, now
        gained[chosen] = most - self._sum
        return chosen


@implementer(IStrategyFactory)
class _Factory:
    name = "weighted"
    options = None

    def build(self, options: None, services: Any) -> Weighted:
        return Weighted()


factory = _Factory()
