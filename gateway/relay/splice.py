"""What happens after a 101, for any protocol: two connections joined, opaque bytes both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import SessionEnded
from gateway.foreseen import foreseen
from gateway.http.packing import PackedHead
from gateway.interfaces import ISession, ITunnel
from gateway.relay.flow import BUSY, CONNECTING
from gateway.relay.sides import join
from gateway.transport.bridge import Bridge, bridge
from gateway.transport.sockets import Truncated
from gateway.values import Outcome

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import ILease
    from gateway.listener.http1 import ClientConnection
    from gateway.listener.layer4 import StreamConnection
    from gateway.relay.sides import Side
    from gateway.upstream.http1 import UpstreamConnection
    from gateway.upstream.layer4 import StreamUpstream

__all__ = ["BREAKING", "CLOSED", "CLOSING", "CLOSING_SECONDS", "GONE", "OPEN", "Splice"]

CLOSING_SECONDS = 5.0
"""How long a peer may take to answer a close frame, and how often it is looked at whether it takes what is queued."""

_BREAKING_SECONDS = 0.1
"""How often it is looked at whether a peer has got everything, and may be reset."""

OPEN, CLOSING, BREAKING, CLOSED, GONE = range(5)
"""`CLOSING`: something is still expected from one of the sides.  `BREAKING`: one side has broken, and the other is
reset when it has got what came before.  `CLOSED`: nothing is expected, and both are being closed."""


@foreseen()
@implementer(ISession, ITunnel)
class Splice:
    """Opaque bytes, both ways, with backpressure, half-close and an idle limit.

    The end of one side becomes that of the other behind all that was sent before it: a reset becomes a reset, and an
    end of TLS without ``close_notify`` one without, or a plain end where there is no TLS.

    ``websocket``: what passes are its frames.  ``deadline`` and ``review`` belong to `Deadlines`.
    """

    websocket = False
    deadline = review = _ends_at = float("inf")
    _client_ended = _backend_ended = False
    _added_in = _added_out = 0  # bytes that went on towards the backend, the client, less those that came
    _ends_with: SessionEnded | None = None
    _left: tuple[int, float] | None = None  # what had yet to be taken, and since when it was so much
    _inward: Bridge | None = None
    _outward: Bridge | None = None

    def __init__(
        self,
        shared: Surroundings,
        client: ClientConnection | StreamConnection,
        upstream: UpstreamConnection | StreamUpstream,
        outcome: Outcome,
        lease: ILease | None,
        settings: BackendSettings,
    ) -> None:
        self.outcome = outcome
        self._shared = shared
        self._client: Any = client  # until `open`; then `ClientSide` and `BackendSide`
        self._upstream: Any = upstream
        self._lease = lease
        self._idle = settings.web_socket_idle_timeout or settings.request_timeout
        self._last = shared.seconds()
        self._state = OPEN

    def open(self, early: bytes) -> None:
        """Take both connections over; ``early`` came from the backend right behind its 101.

        The lease and the outcome are this object's as well: where it raises it has ended, and nothing is left of it.
        """
        shared, before, upstream = self._shared, self._client, self._upstream
        self._received, self._sent = before.counted()  # bytes of the client, and for it, with the handshake
        upstream_sent, upstream_received = upstream.sent, upstream.received - len(early)
        self._before = upstream_sent - self._received, upstream_received - self._sent
        outcome, at_eof = self.outcome, before.at_eof
        outcome.upstream_received, outcome.upstream_sent = upstream_received, upstream_sent
        client, ahead = before.enter(self)
        backend = upstream.enter(self)
        self._client, self._upstream = client, backend
        try:
            join(client, backend)
            self._entered()
            shared.sessions.add(self)
            outcome.websocket = self.websocket
            outcome.received_bytes, outcome.sent_bytes = self._received, self._sent
            shared.opened(outcome)
            if outcome.packed is None and outcome.head is not None:
                outcome.packed = PackedHead.head, PackedHead(outcome.head)
                del outcome.head
            shared.deadlines.set(self, min(self._last + self._idle, self._ends_at))
            if early:
                self.from_backend(early)
            if ahead:
                self.from_client(ahead)
            if client.held:
                client.let(BUSY | CONNECTING)
            if at_eof:
                self.client_eof()
            if self._state == OPEN:
                self._bridge()
        except Exception:
            self._abandon()
            raise

    def _entered(self) -> None:
        """``_client`` and ``_upstream`` are the sides of the tunnel from now on."""

    def _bridge(self) -> None:
        """Let bytes pass without this object, where that can be."""
        client, upstream = self._client.transport, self._upstream.transport
        self._inward = bridge(client, upstream, None, None)
        self._outward = bridge(upstream, client, None, None)

    def _unbridge(self) -> None:
        """From now on every byte comes here."""
        inward, outward = self._inward, self._outward
        self._inward = self._outward = None
        if inward is not None:
            inward.stop()
            self._received += inward.count
        if outward is not None:
            outward.stop()
            self._sent += outward.count

    # -- bytes

    def from_client(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self._last = self._shared.seconds()
        self._received += len(data)
        self._upstream.transport.write(data)

    def from_backend(self, data: bytes) -> None:
        """Pass on what the backend sent."""
        self._last = self._shared.seconds()
        self._sent += len(data)
        self._client.transport.write(data)

    def client_stuck(self) -> None:
        """The client does not take at once what was sent to it."""

    # -- the end

    def expired(self, now: float) -> None:
        """No byte for the idle limit, or the time to close is over."""
        if self._state == OPEN:
            for way in (self._inward, self._outward):
                if way is not None:
                    self._last = max(self._last, way.last)
            due = min(self._last + self._idle, self._ends_at)
            if due > now:
                self._shared.deadlines.set(self, due)
            elif self._ends_with is not None and self._ends_at <= now:
                self.end(self._ends_with)
            elif self._is_taken(now):
                self._shared.deadlines.set(self, min(now + CLOSING_SECONDS, self._ends_at))
            else:
                self.end(SessionEnded(1001, f"idle for {self._idle:g} s", "idle_timeout"))
        elif self._is_taken(now):
            pause = _BREAKING_SECONDS if self._state == BREAKING else CLOSING_SECONDS
            self._shared.deadlines.set(self, now + pause)
        else:
            self.cut()

    def _is_taken(self, now: float) -> bool:
        """Whether somebody has yet to take what was sent, and has taken some of it within ``limits.sendTimeout``.

        The kernel's buffer takes more only when a third of it is free, which may be a megabyte.
        """
        legs = [leg for leg in (self._client, self._upstream) if not leg.lost]
        left = sum([leg.unacknowledged if self._state == BREAKING else leg.undelivered for leg in legs])
        if self._left is None:
            self._left = left, self._last if self._state == OPEN else now
        elif left != self._left[0]:
            self._left = left, now
        return left > 0 and now < self._left[1] + self._shared.limits.send_timeout

    def end_at(self, when: float, error: SessionEnded) -> None:
        """See `ISession`."""
        self._ends_at, self._ends_with = when, error
        if self._state == OPEN and when < self.deadline != float("inf"):
            self._shared.deadlines.set(self, when)

    def end(self, error: SessionEnded) -> None:
        """The gateway ends it."""
        if self._state == OPEN:
            self._blame("gateway", error.cause, error)
            self.cut()

    def client_eof(self) -> None:
        """Half of the tunnel is closed: pass that on."""
        self._client_ended = True
        self._blame("client")
        self._half_closed(self._upstream)

    def backend_eof(self) -> None:
        """The other half."""
        self._backend_ended = True
        self._blame("backend")
        self._half_closed(self._client)

    def _half_closed(self, leg: Side) -> None:
        if leg.lost:
            return  # the end is on its way already
        if self._client_ended and self._backend_ended:
            self._close_both()
        else:
            leg.transport.loseWriteConnection()

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._blame("client", _cause("client", reason))
        self._client_ended = True
        self._lost(self._upstream, reason)

    def backend_lost(self, reason: Failure) -> None:
        """The backend's connection is gone."""
        self._blame("backend", _cause("backend", reason))
        self._backend_ended = True
        self._lost(self._client, reason)

    def _lost(self, other: Side, reason: Failure) -> None:
        if other.lost:
            self._gone()
            return
        self._closing()
        if reason.check(ConnectionDone):
            other.transport.loseConnection()
        elif reason.check(Truncated):
            getattr(other.transport, "truncateConnection", other.transport.loseConnection)()
        elif not other.transport.disconnecting:
            # A reset destroys what is on its way, so it comes when there is nothing.
            self._state = BREAKING
            self.expired(self._shared.seconds())

    def _blame(self, who: str, cause: str = "ok", error: SessionEnded | None = None) -> None:
        """Note who ended the session; the first to do so did."""
        outcome = self.outcome
        if not outcome.closed_by:
            outcome.closed_by = who
            outcome.cause = cause
            if error is not None:
                outcome.error = error

    def _closing(self) -> None:
        self._unbridge()
        self._await_end()

    def _await_end(self) -> None:
        if self._state == OPEN:
            self._state = CLOSING
            shared = self._shared
            shared.deadlines.set(self, shared.seconds() + CLOSING_SECONDS)

    def _close_both(self) -> None:
        self._closing()
        for leg in (self._client, self._upstream):
            if not leg.lost:
                leg.transport.loseConnection()

    def uses(self, shared: Surroundings) -> bool:
        """Whether these are what it was made with."""
        return self._shared is shared

    def cut(self) -> None:
        """Let go of both connections whatever they still have to say."""
        self._unbridge()
        self._state = CLOSING
        for leg in (self._client, self._upstream):
            if not leg.lost:
                leg.transport.abortConnection()

    def _abandon(self) -> None:
        """It has failed while it was opened, and may not know all that it needs in order to end properly."""
        for leg in (self._client, self._upstream):
            leg.tunnel = None
            leg.transport.abortConnection()
        self._blame("gateway", "gateway_error")
        if self._state != GONE:
            self._state = GONE
            self._settle_accounts()

    def _gone(self) -> None:
        """Both connections are gone: give back, record."""
        if self._state == GONE:
            return
        self._unbridge()
        self._state = GONE
        self.snapshot()
        self._settle_accounts()

    def _settle_accounts(self) -> None:
        outcome, shared, lease = self.outcome, self._shared, self._lease
        outcome.ended = shared.seconds()
        self._lease = None
        shared.deadlines.forget(self)
        if lease is not None:
            lease.release(outcome)
        # In this order: who waits for the last session closes the access log then.
        shared.ended(outcome)
        shared.sessions.remove(self)

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date."""
        outcome = self.outcome
        inward, outward = self._inward, self._outward
        received = self._received + (inward.count if inward is not None else 0)
        sent = self._sent + (outward.count if outward is not None else 0)
        sent_before, received_before = self._before
        outcome.received_bytes = received
        outcome.sent_bytes = sent + self._added_out - self._client.undelivered
        outcome.upstream_sent = received + sent_before + self._added_in - self._upstream.undelivered
        outcome.upstream_received = sent + received_before


def _cause(who: str, reason: Failure) -> str:
    """The log's word for the loss of one side's connection."""
    if reason.check(ConnectionDone):
        return "ok"
    return f"{who}_truncated" if reason.check(Truncated) else f"{who}_reset"
