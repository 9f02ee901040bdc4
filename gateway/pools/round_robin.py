"""Round robin: each candidate in turn, in proportion to its weight."""

from __future__ import annotations

from heapq import heapify, heapreplace
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from gateway.interfaces import ILasting, ISelector, IStrategyFactory
from gateway.pools.heedless import heedless

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["RoundRobin", "factory"]


@implementer(ILasting, ISelector)
class RoundRobin:
    """With equal weights a step through the candidates.

    With different weights the candidate that is due first, after which it is due again ``1 / weight`` later
    (earliest deadline first): shares are exact, and heavy ones are spread out instead of coming in a row.
    """

    def __init__(self) -> None:
        self._next = -1
        self._seen: tuple[IBackend, ...] = ()
        self._queue: list[tuple[float, int, IBackend]] | None = None

    @heedless
    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`. HOT."""
        if candidates is not self._seen:
            self._look(candidates)
        if self._queue is None:
            self._next = step = self._next + 1
            return candidates[step % len(candidates)]
        due, order, backend = self._queue[0]
        heapreplace(self._queue, (due + 1 / backend.weight, order, backend))
        return backend

    def _look(self, candidates: tuple[IBackend, ...]) -> None:
        """Other candidates than last time: those that stay keep their place in the queue, times start at 0 again."""
        self._seen = candidates
        if len({backend.weight for backend in candidates}) == 1:
            self._queue = None
            return
        known = {backend: due for due, _, backend in self._queue or ()}
        start = min(known.values(), default=0.0)
        self._queue = [
            (known[backend] - start if backend in known else 1 / backend.weight, order, backend)
            for order, backend in enumerate(candidates)
        ]
        heapify(self._queue)


@implementer(IStrategyFactory)
class _Factory:
    name = "round-robin"
    options = None

    def build(self, options: None, services: Any) -> RoundRobin:
        return RoundRobin()


factory = _Factory()
