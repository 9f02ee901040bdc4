"""Slow start: a backend that is new, or came back, gets a share that grows to its full weight.

Caches are cold then, and connections not there; with its full share at once it would be slow, or fail again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field
from zope.interface import implementer

from gateway.config.model import Strategy
from gateway.interfaces import IBackend, IStrategyFactory
from gateway.pools.wrapper import Over, Wrapper
from gateway.services import Options
from gateway.transport.deadlines import steady

if TYPE_CHECKING:
    from gateway.interfaces import ISelector
    from gateway.values import Peer, RequestHead

__all__ = ["SlowStart", "factory"]

_STEPS = 20
_SCALE = 100
"""Weights are multiplied by this while somebody starts, so that a hundredth of a weight of 1 is a whole number too."""


class SlowStartOptions(Options):
    over: Over = Field(
        default=Strategy(strategy="round-robin"), description="A selector that looks at weights; most do."
    )
    seconds: float = Field(default=30.0, gt=0, le=3600, description="How long it takes until the share is full.")
    least: float = Field(default=0.1, gt=0, le=1, description="The share to begin with, as a part of the full one.")


@implementer(IBackend)
class _Starting:
    """A backend with another weight. Everything else is the backend's own."""

    def __init__(self, backend: IBackend, weight: int) -> None:
        self.backend = backend
        self.weight = weight

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)


class SlowStart(Wrapper):
    """Shows ``inner`` smaller weights of those whose ``since`` is less than ``window`` seconds ago.

    Weights change in steps, with a new tuple for each, so that ``inner`` may derive from the tuple what it wants.
    """

    def __init__(self, inner: ISelector, seconds: Callable[[], float], window: float, least: float = 0.1) -> None:
        super().__init__(inner)
        self._seconds = seconds
        self._window = window
        self._least = least
        self._seen: tuple[IBackend, ...] = ()
        self._shown: tuple[IBackend, ...] = ()
        self._look_again: float | None = None
        self._stand_ins: dict[IBackend, _Starting] = {}

    def select_for(self, candidates: tuple[IBackend, ...], head: RequestHead, peer: Peer) -> IBackend | None:
        """See `IPeerSelector.select_for`. HOT."""
        if candidates is not self._seen or (self._look_again is not None and self._seconds() >= self._look_again):
            self._look(candidates)
        chosen = self.choose(self._shown, head, peer)
        return chosen.backend if isinstance(chosen, _Starting) else chosen

    def _look(self, candidates: tuple[IBackend, ...]) -> None:
        now = self._seconds()
        ages = [max(now - backend.since, 0.0) / self._window for backend in candidates]
        self._seen = candidates
        if all(age >= 1 for age in ages):
            self._shown, self._look_again, self._stand_ins = candidates, None, {}
            return
        # The same stand-in for a backend from step to step: selectors remember backends.
        known = self._stand_ins
        self._stand_ins = {backend: known.get(backend) or _Starting(backend, 1) for backend in candidates}
        for backend, age in zip(candidates, ages, strict=True):
            share = min(max(age, self._least), 1.0)
            self._stand_ins[backend].weight = max(1, round(backend.weight * share * _SCALE))
        self._shown = tuple(self._stand_ins.values())
        self._look_again = now + self._window / _STEPS


@implementer(IStrategyFactory)
class _Factory:
    name = "slow-start"
    options = SlowStartOptions

    def build(self, options: SlowStartOptions, services: Any) -> SlowStart:
        made = services.make("over", options.over)
        return SlowStart(made, steady(services.clock), options.seconds, options.least)


factory = _Factory()
