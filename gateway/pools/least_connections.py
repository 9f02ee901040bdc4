"""Least connections: the candidate that is doing least, in proportion to its weight."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from gateway.interfaces import ILasting, ISelector, IStrategyFactory
from gateway.pools.heedless import heedless

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["LeastConnections", "factory"]

_active = attrgetter("active")


def _share(backend: IBackend) -> float:
    """How full it would be with one more; one is added so that weights also count among idle backends."""
    return (backend.active + 1) / backend.weight


@implementer(ILasting, ISelector)
class LeastConnections:
    """Counts exchanges and WebSocket sessions in progress; ties go to the next one after the last choice."""

    def __init__(self) -> None:
        self._next = 0
        self._seen: tuple[IBackend, ...] = ()
        self._measure: Any = _active

    @heedless
    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`. HOT; time grows with the number of candidates."""
        if candidates is not self._seen:
            self._seen = candidates
            self._measure = _active if len({backend.weight for backend in candidates}) == 1 else _share
        start = self._next
        # min() keeps the first of equals, so the rotation decides ties.
        chosen: IBackend = min(candidates[start:] + candidates[:start], key=self._measure)
        self._next = candidates.index(chosen) + 1
        return chosen


@implementer(IStrategyFactory)
class _Factory:
    name = "least-connections"
    options = None

    def build(self, options: None, services: Any) -> LeastConnections:
        return LeastConnections()


factory = _Factory()
