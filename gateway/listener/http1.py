"""The client's side of an exchange: one HTTP/1 connection with its requests, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.exchange.exchange import Exchange
from gateway.foreseen import foreseen
from gateway.http.forwarded import ForwardedFields
from gateway.interfaces import IClientStream
from gateway.listener.ending import Ending
from gateway.listener.lane import Lane, lane_for
from gateway.listener.parts import NEVER, ignore
from gateway.listener.reading import RequestReader
from gateway.listener.slowness import SlowClient
from gateway.listener.writing import ResponseWriter
from gateway.relay.flow import CONNECTING, FEEDING
from gateway.relay.sides import ClientSide
from gateway.values import Outcome, Peer, RequestHead, blank_outcome

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import IBackend, IPool
    from gateway.listener.factory import ListenerFactory
    from gateway.relay.splice import Splice
    from gateway.transport.tls import ClientCertificate
    from gateway.upstream.connections import Upstream

__all__ = ["ClientConnection"]

_NO_PINS: dict[Any, Any] = {}
_peer: Callable[..., Peer] = tuple.__new__


@foreseen(
    "_at", "_head", "_linger_until", "_method", "_own", "_payload", "_resting", "_room", "_running", "_since",
    "_until_close", "answered", "certificate", "goodbye", "held", "rest", "stuck",
)  # fmt: skip
@implementer(IClientStream)
class ClientConnection(RequestReader, ResponseWriter, SlowClient, Ending):
    """Reads requests, gives each to an `Exchange`, writes responses in order. Its parts: see `gateway.listener.parts`.

    ``listener``: the name of the bound port's first listener. ``certificate``: the client's, where it has shown one.
    """

    certificate: ClientCertificate | None = None
    _own: dict[Upstream, Upstream] | None = None
    _lane: Lane | None = None

    def __init__(self, factory: ListenerFactory) -> None:
        self.factory: ListenerFactory = factory
        self.listener = factory.listener
        self._shared = factory.shared
        self.pins: dict[IPool, IBackend] = _NO_PINS
        self.dataReceived = self._read_head  # type: ignore[method-assign]

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """``http`` or ``https``."""
        return self.factory.scheme

    def connectionMade(self) -> None:
        transport, factory, shared = self.transport, self.factory, self._shared
        transport.registerProducer(self, True)
        address = transport.getPeer()
        self.peer = peer = _peer(Peer, (getattr(address, "host", ""), getattr(address, "port", 0)))
        certificate = getattr(transport, "client_certificate", None)
        if certificate is not None:
            self.certificate = certificate
        self._forwarded = ForwardedFields(peer, factory.scheme, factory.port, factory.trusted.trusts(peer.host))
        factory.connections.add(self)
        shared.deadlines.set(self, shared.seconds() + shared.limits.keep_alive_timeout)
        if self.__class__ is ClientConnection:
            self._lane = lane_for(self, self._forwarded)
        if factory.goodbye is not None:
            self.stop(factory.goodbye)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        self._closing = True
        self._ahead = b""
        self._shared.deadlines.forget(self)
        self.factory.connections.discard(self)
        self._leave_room()
        for upstream in self._own.values() if self._own is not None else ():
            upstream.close()
        if (exchange := self._current()) is not None:
            exchange.client_gone()
            self._record(cut=True)
            self._forget_exchange()
        self._leave_lane()
        self._source = None
        self.dataReceived = ignore  # type: ignore[method-assign]
        self.factory.lost(self)

    def _leave_lane(self) -> None:
        lane = self._lane
        if lane is not None:
            self._lane = None
            lane.close()

    # -- one exchange after another

    def open(self, request: RequestHead, size: int, trace_id: str, started: float) -> Exchange:
        """The exchange for ``request``, whose head had ``size`` bytes and was complete at ``started``."""
        factory = self.factory
        self._request = request
        # One by one: a call with keywords costs three times as much.
        self._outcome = outcome = blank_outcome()
        outcome.head = request
        outcome.peer = self.peer
        outcome.scheme = factory.scheme
        outcome.local_port = factory.port
        outcome.listener = self.listener
        outcome.trace_id = trace_id
        if factory.tls and self.certificate is not None:
            outcome.client_certificate = self.certificate
        outcome.started = started
        self._received = size
        self._sent = 0
        self._taken = -NEVER
        shared = self._shared
        self._close = self._close or not request.keep_alive or shared.stopping
        added = self._forwarded.lines(request, trace_id)
        self._exchange = exchange = Exchange(shared, self, request, outcome, added)
        self.dataReceived = self._read_ahead  # type: ignore[method-assign]
        return exchange

    def _current(self) -> Exchange | None:
        """The exchange in progress, also if it was in the lane until now."""
        lane = self._lane
        return lane.resume() if lane is not None and lane.flying else self._exchange

    def _finished(self) -> None:
        """A response is complete: record it, then close or go on."""
        now = self._record()
        request = self._request
        unread = self._decoder is not None or request is None
        self._forget_exchange()
        if self.lost:
            return
        if self._close or unread:
            self.shut(unread or bool(self._ahead), request is not None and not request.keep_alive)
            return
        self.dataReceived = self._read_head  # type: ignore[method-assign]
        shared, limits = self._shared, self._shared.limits
        shared.deadlines.set(self, now + (limits.send_timeout if self.stuck else limits.keep_alive_timeout))
        if not self._ahead:
            lane = self._lane
            if lane is not None and self.factory.shared is shared:
                if not lane.serves(shared):  # it is that of another configuration
                    self._leave_lane()
                    self._lane = lane_for(self, self._forwarded)
                else:
                    lane.armed = True
        elif not self._running:
            self._run()

    def _record(self, cut: bool = False) -> float:
        """Complete the outcome and tell the observers, once; the time. ``cut``: what is queued will not be sent."""
        now = self._shared.seconds()
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return now
        outcome.ended = now
        outcome.received_bytes = self._received
        outcome.sent_bytes = max(self._sent - self.undelivered, 0) if cut else self._sent
        if self.factory.tls:
            self.note_tls(outcome)
        self._shared.ended(outcome)
        return now

    def note_tls(self, outcome: Outcome) -> None:
        """Put version and cipher of the connection's TLS into ``outcome``; empty where there is none."""
        outcome.tls_version = getattr(self.transport, "tls_version", "") or ""
        outcome.tls_cipher = getattr(self.transport, "tls_cipher", "") or ""

    def _forget_exchange(self) -> None:
        source, self._source = self._source, None
        if source is not None and source.held:
            source.let(FEEDING)
        if self.held:
            self.let(CONNECTING | FEEDING)
        if self._exchange is not None:
            self._exchange.left()
        self._exchange = self._request = self._decoder = None
        self._trailers = ()
        self._chunked = False

    def count(self, received: int, sent: int) -> None:
        """So many bytes had a handshake that was carried through elsewhere."""
        self._received, self._sent = received, sent

    def counted(self) -> tuple[int, int]:
        """Bytes of the handshake received and sent, heads included."""
        return self._received, self._sent

    def own(self, upstream: Upstream) -> Upstream:
        """Backend connections that no other client uses; they are closed with this connection."""
        if self._own is None:
            self._own, self.pins = {}, {}
        mine = self._own.get(upstream)
        if mine is None:
            mine = self._own[upstream] = upstream.own()
        return mine

    def enter(self, tunnel: Splice) -> tuple[ClientSide, bytes]:
        """After a 101: ``tunnel`` gets all bytes and the outcome. Its side, and what the client sent ahead."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None and self.factory.tls:
            self.note_tls(outcome)
        if self._exchange is not None:
            self._forget_exchange()
        self._shared.deadlines.forget(self)
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()
        self.dataReceived = ignore  # type: ignore[method-assign]
        side = ClientSide(tunnel, self, self.factory, () if self._own is None else self._own.values())
        return side, self._ahead[self._at :]

    # -- another configuration

    def outdated(self) -> None:
        """There is another configuration: the lane, which was made for the one before, takes no more requests."""
        lane = self._lane
        if lane is not None:
            self._current()
            lane.armed = False

    def follow(self) -> Surroundings:
        """There is another configuration: this connection's requests are its from now on."""
        factory, peer = self.factory, self.peer
        self.listener = factory.listener
        self._forwarded = ForwardedFields(peer, factory.scheme, factory.port, factory.trusted.trusts(peer.host))
        self._shared = shared = factory.shared
        return shared

    def _ask_no_more(self) -> None:
        """The next request is the last."""
        self._close = True
        if self._lane is not None:
            self._lane.armed = False

    def uses(self, shared: Surroundings) -> bool:
        """Whether what goes on here began with these surroundings; a connection that is idle uses none."""
        lane = self._lane
        busy = self._exchange is not None or (lane is not None and lane.flying)
        return busy and self._shared is shared
