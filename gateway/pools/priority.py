"""Priority groups: members of a lower group are only used where the higher ones have none, or too few, that may be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field
from twisted.logger import Logger
from zope.interface import implementer

from gateway.config.model import Strategy
from gateway.errors import ConfigurationError
from gateway.interfaces import IStrategyFactory
from gateway.pools.wrapper import Over, Wrapper, chooser
from gateway.services import Options

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, ISelector
    from gateway.values import Peer, RequestHead

__all__ = ["Priority", "factory"]

_MOST_GROUPS = 64
_log = Logger("gateway.pools")


class PriorityOptions(Options):
    over: Over = Field(default=Strategy(strategy="round-robin"), description="The selector within the groups in use.")
    least: int = Field(
        default=1, ge=1, le=1000, description="Fewer members than this that may be chosen: the next group joins in."
    )


class _Group:
    """The members down to one priority, and the selector that chooses among them."""

    def __init__(self, selector: ISelector) -> None:
        self.choose = chooser(selector)
        self.used: tuple[IBackend, ...] = ()


class Priority(Wrapper):
    """Chooses among the members with the smallest ``priority``; where they are fewer than ``least``, those of the next
    group are added, and so on.

    Each group has a selector of its own, from ``make()``: one that takes turns would get out of step where exchanges
    try the first group, and then the second.  That of the group that is used first is ``inner``, which also marks
    clients.  A group that cannot have one shares that.
    """

    def __init__(self, make: Callable[[], ISelector], least: int = 1) -> None:
        super().__init__(make())
        self._make = make
        self._least = least
        self._seen: tuple[IBackend, ...] = ()
        self._group = _Group(self.inner)
        self._groups: dict[int, _Group] = {}

    def select_for(self, candidates: tuple[IBackend, ...], head: RequestHead, peer: Peer) -> IBackend | None:
        """See `IPeerSelector.select_for`. HOT."""
        if candidates is not self._seen:
            self._look(candidates)
            self._seen = candidates
        group = self._group
        return group.choose(group.used, head, peer)

    def _look(self, candidates: tuple[IBackend, ...]) -> None:
        for last in sorted({backend.priority for backend in candidates}):
            used = tuple([backend for backend in candidates if backend.priority <= last])
            if len(used) >= self._least:
                break
        group = self._groups.get(last)
        if group is None:
            group = self._groups[last] = self._new()
        if used != group.used:  # else the same object again: nothing has changed for the selector within
            group.used = used
        self._group = group

    def _new(self) -> _Group:
        if not self._groups:
            return self._group
        if len(self._groups) >= _MOST_GROUPS:
            # The one that is known longest has another priority from now on: what is built stays until the pool goes.
            return self._groups.pop(next(iter(self._groups)))
        try:
            return _Group(self._make())
        except ConfigurationError as error:  # it could be built once, and requests shall not pay for it
            why = "; ".join([problem.message for problem in error.problems])
            _log.error("a further priority group has no selector of its own, it shares the first one: {why}", why=why)
            return _Group(self.inner)


@implementer(IStrategyFactory)
class _Factory:
    name = "priority"
    options = PriorityOptions

    def build(self, options: PriorityOptions, services: Any) -> Priority:
        return Priority(partial(services.make, "over", options.over), options.least)


factory = _Factory()
