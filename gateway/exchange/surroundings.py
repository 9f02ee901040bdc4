"""What all exchanges of a gateway share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from gateway.http.forwarded import TrustedProxies
from gateway.http.forwarding import SERVER, error_reply
from gateway.interfaces import IHostRouter, ITally

if TYPE_CHECKING:
    from gateway.config.model import Limits
    from gateway.interfaces import IBackend, IOutcomeObserver, IRouter
    from gateway.observe.sessions import Sessions
    from gateway.relay.read_ahead import ReadAhead
    from gateway.relay.upload import Uploads
    from gateway.transport.deadlines import Deadlines
    from gateway.upstream.connections import Upstream
    from gateway.values import Outcome, Reply, Route

__all__ = ["Surroundings"]

_log = Logger("gateway.exchange")


def _nowhere(host: str, listener: str) -> None:
    """`IHostRouter.route_of` of a router that has to see each head."""


def _own_page(status: int, listener: str, route: Route | None, advice: str = "") -> Reply:
    return error_reply(status, advice)


class Surroundings:
    """What all exchanges of a gateway share. Built by the service.

    ``error_reply``: makes the answer to an error of its status, the bound port's listener, the route, if there is
    one, and a sentence of advice.  ``upstream_for``: the `Upstream` of a route and a backend.  ``soon``: calls a
    function when others have had their turn.  ``trusted``: whose X-Forwarded-For is believed.  ``uploads``: room for
    request bodies, if they are waited for before a backend is asked.  ``read_ahead``: room for responses, if they are
    read ahead of slow clients.  ``server``: what the Server field of the gateway's own answers says, if anything.
    ``stopping``: no keep-alive any more.  ``tallies``: the observers, where each is an `ITally`, else empty.
    """

    def __init__(
        self,
        *,
        router: IRouter,
        upstream_for: Callable[[Route, IBackend], Upstream],
        deadlines: Deadlines,
        seconds: Callable[[], float],
        limits: Limits,
        sessions: Sessions,
        soon: Callable[[Callable[[], None]], object],
        observers: Sequence[IOutcomeObserver] = (),
        trusted: TrustedProxies | None = None,
        error_reply: Callable[..., Reply] = _own_page,
        uploads: Uploads | None = None,
        read_ahead: ReadAhead | None = None,
        server: str = SERVER,
    ) -> None:
        self.uploads = uploads
        self.read_ahead = read_ahead
        self.server = server
        self.router = router
        self.route_of = router.route_of if IHostRouter.providedBy(router) else _nowhere
        self.error_reply = error_reply
        self.upstream_for = upstream_for
        self.deadlines = deadlines
        self.seconds = seconds
        self.limits = limits
        self.sessions = sessions
        self.soon = soon
        self.observers = tuple(observers)
        self.tallies: tuple[Any, ...] = self.observers if all(map(ITally.providedBy, self.observers)) else ()
        self.trusted = trusted or TrustedProxies()
        self.stopping = False
        self.trace_prefix = os.urandom(8).hex()
        self._trace_number = int.from_bytes(os.urandom(6), "big")

    def trace_id(self) -> str:
        """32 hex digits, unique: a random prefix of this process and a number, which is below 2**63."""
        self._trace_number = number = self._trace_number + 1
        return self.trace_prefix + number.to_bytes(8, "big").hex()

    def tally(
        self, route: Route, backend: IBackend, status: int, received: int, sent: int, seconds: float
    ) -> None:
        """As `ended`, where all observers are `tallies`. HOT"""
        for observer in self.tallies:
            try:
                observer.tally(route, backend, status, received, sent, seconds)
            except Exception:
                _log.failure("outcome observer {observer} failed", observer=observer)

    def ended(self, outcome: Outcome) -> None:
        """Tell every observer; what one raises is logged and harms nobody."""
        for observer in self.observers:
            try:
                observer.ended(outcome)
            except Exception:
                _log.failure("outcome observer {observer} failed", observer=observer)

    def opened(self, outcome: Outcome) -> None:
        """Tell every observer that a WebSocket session has begun."""
        for observer in self.observers:
            try:
                observer.opened(outcome)
            except Exception:
                _log.failure("outcome observer {observer} failed", observer=observer)
