"""Middleware, observers and discoveries with the containment around them; see `gateway.strategies.containment`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import alsoProvides, implementer

from gateway.interfaces import IBodyEncoder, IDiscovery, IMiddleware, IOutcomeObserver, ITally

if TYPE_CHECKING:
    from gateway.strategies.containment import Containment
    from gateway.values import Context, Outcome, ResponseHead

__all__ = ["ContainedDiscovery", "ContainedMiddleware", "ContainedObserver"]


@implementer(IMiddleware)
class ContainedMiddleware:
    """A middleware of a configuration: ``inner``, with its account. ``optional``: requests go on where it fails.

    Its methods are those of ``inner`` where that is ours.  What they return is looked at by
    `gateway.exchange.passage.Passage`, which also says whether they have failed.
    """

    def __init__(self, inner: IMiddleware, contained: Containment, optional: bool = False) -> None:
        self.inner = inner
        self.contained = contained
        self.optional = optional
        self.traffic = inner.traffic
        self.request = contained.guard(contained.measured(inner.request))
        # It is asked about the responses to those requests only that it has seen, also when it was switched off since.
        self.response = contained.immediate(inner.response)
        self.body = inner.body if contained.ours else self._measured_body(contained.immediate(inner.body))

    def _measured_body(self, find: Callable[..., Any]) -> Callable[..., Any]:
        def body(head: ResponseHead, context: Context) -> Any:
            encoder = find(head, context)
            return None if encoder is None else _Encoder(encoder, self.contained)

        return body


@implementer(IBodyEncoder)
class _Encoder:
    """An encoder whose time is measured. One that has begun goes on, also when its middleware is switched off."""

    def __init__(self, encoder: Any, contained: Containment) -> None:
        self.feed = contained.immediate(encoder.feed)
        self.end = contained.immediate(encoder.end)


@implementer(IDiscovery)
class ContainedDiscovery:
    """A discovery with its account. `gateway.discovery.membership.Membership` says whether it has failed."""

    def __init__(self, inner: IDiscovery, contained: Containment) -> None:
        self.inner = inner
        self.contained = contained
        self.start = contained.measured(inner.start)
        self.stop = contained.measured(inner.stop)


@implementer(IOutcomeObserver)
class ContainedObserver:
    """An observer of which nobody hears what it raises; an `ITally` where ``inner`` is one."""

    def __init__(self, inner: IOutcomeObserver, contained: Containment) -> None:
        self.inner = inner
        self._contained = contained
        self._opened = contained.guard(contained.immediate(inner.opened), _ignore, _always)
        self._ended = contained.guard(contained.immediate(inner.ended), _ignore, _always)
        if ITally.providedBy(inner):
            self._tally = contained.guard(contained.immediate(inner.tally), _ignore, _always)
            alsoProvides(self, ITally)

    def opened(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        try:
            self._opened(outcome)
        except Exception as error:
            self._contained.failed(error)

    def ended(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        try:
            self._ended(outcome)
        except Exception as error:
            self._contained.failed(error)

    def tally(self, *numbers: Any) -> None:
        """See `ITally`; called only where ``inner`` is one. HOT"""
        try:
            self._tally(*numbers)
        except Exception as error:
            self._contained.failed(error)


def _always(*_: object) -> bool:
    return True


def _ignore(*_: object) -> None:
    pass
