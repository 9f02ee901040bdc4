"""The power of two choices: of two candidates drawn at random the one that is doing less (Mitzenmacher, 1996).

Nearly as even as least connections, at a cost that does not grow with the pool, and several gateways that see
different counts do not all run to the same backend.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from gateway.interfaces import ILasting, ISelector, IStrategyFactory
from gateway.pools.heedless import heedless

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["RandomOfTwo", "factory"]


@implementer(ILasting, ISelector)
class RandomOfTwo:
    """Counts exchanges and WebSocket sessions in progress, in proportion to weights."""

    def __init__(self, random: Random) -> None:
        self._random = random.random

    @heedless
    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`. HOT."""
        count = len(candidates)
        if count == 1:
            return candidates[0]
        draw = self._random
        first = int(draw() * count)
        second = int(draw() * (count - 1))
        one, two = candidates[first], candidates[second + (second >= first)]
        if (two.active + 1) * one.weight < (one.active + 1) * two.weight:
            return two
        return one


@implementer(IStrategyFactory)
class _Factory:
    name = "random-of-two"
    options = None

    def build(self, options: None, services: Any) -> RandomOfTwo:
        return RandomOfTwo(services.random)


factory = _Factory()
