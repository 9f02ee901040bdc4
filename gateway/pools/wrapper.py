"""Selectors over selectors: what sticky, priority and slow start have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from zope.interface import alsoProvides, implementer

from gateway.config.model import Strategy
from gateway.interfaces import IAffinity, ILasting, ILatencyAware, IPeerSelector, IReturning
from gateway.values import Peer

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, ISelector
    from gateway.values import RequestHead

__all__ = ["Choose", "Over", "Wrapper", "chooser"]

Over = Annotated[Strategy, "gateway.selectors"]
"""The type of an option that names another selector: a word, or a mapping with ``strategy`` and ``options``."""

Choose = Callable[["tuple[IBackend, ...]", "RequestHead", Peer], "IBackend | None"]

_NOBODY = Peer("", 0)


def chooser(selector: ISelector) -> Choose:
    """``select_for`` of any selector, also of one that does not care for the peer."""
    if IPeerSelector.providedBy(selector):
        choose: Choose = selector.select_for
        return choose
    select = selector.select
    return lambda candidates, head, peer: select(candidates, head)


@implementer(ILasting, IPeerSelector)
class Wrapper:
    """Lets ``inner`` choose; a subclass changes what it is given, in `select_for`.

    What ``inner`` is able to (`ILatencyAware`, `IAffinity`, `IReturning`), the wrapper is too.
    """

    def __init__(self, inner: ISelector) -> None:
        self.inner = inner
        self.choose = chooser(inner)
        if ILatencyAware.providedBy(inner):
            self.decay = inner.decay
            alsoProvides(self, ILatencyAware)
        if IAffinity.providedBy(inner) and not IAffinity.providedBy(self):
            self.mark: Any = inner.mark
            alsoProvides(self, IAffinity)
            if IReturning.providedBy(inner):
                self.returning: Any = inner.returning
                alsoProvides(self, IReturning)

    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend | None:
        """See `ISelector.select`."""
        return self.select_for(candidates, head, _NOBODY)

    def select_for(self, candidates: tuple[IBackend, ...], head: RequestHead, peer: Peer) -> IBackend | None:
        """See `IPeerSelector.select_for`."""
        return self.choose(candidates, head, peer)
