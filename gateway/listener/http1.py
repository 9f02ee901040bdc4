"""The client's side of an exchange: one HTTP/1 connection with its requests, one after another.

Pipelined requests wait in ``_ahead``, from ``_at`` on (RFC 9112 §9.3.2); reading is held meanwhile, so what waits is
bounded by what one read can return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import (
    BadRequest,
    ContentTooLarge,
    GatewayError,
    PluginFailed,
    RequestError,
    RequestTimeout,
    ShuttingDown,
)
from gateway.exchange import Exchange
from gateway.http.bodies import FramingError, chunk, decoder, last_chunk
from gateway.http.forwarding import reply_bytes, response_bytes
from gateway.http.heads import HeadBuffer, parse_request
from gateway.interfaces import IClientStream
from gateway.listener.forwarded import ForwardedFields
from gateway.listener.lane import Lane, lane_for
from gateway.relay.flow import BUSY, CONNECTING, FEEDING, FlowProtocol
from gateway.relay.sides import ClientSide
from gateway.values import CHUNKED, UNTIL_CLOSE, Fields, Outcome, Peer, Reply, RequestHead, ResponseHead

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, IPool
    from gateway.listener.factory import ListenerFactory
    from gateway.relay.read_ahead import ReadAhead
    from gateway.relay.splice import Splice
    from gateway.surroundings import Surroundings
    from gateway.upstream.connections import Upstream

__all__ = ["ClientConnection"]

_log = Logger("gateway.listener")

_LINGER_SECONDS = 5.0
_MOST_LINGER_SECONDS = 30.0
_JOINED_BYTES = 32768
_AT_ONCE = 32
"""Pipelined requests that are answered without a backend before others get their turn."""

_NEVER = float("inf")
_NO_PINS: dict[Any, Any] = {}


@implementer(IClientStream)
class ClientConnection(FlowProtocol):
    """Reads requests, gives each to an `Exchange`, writes responses in order.

    ``listener``: the name of the bound port's first listener.  ``deadline`` and ``review`` belong to `Deadlines`.
    """

    deadline = _NEVER
    review = _NEVER
    _head: HeadBuffer | None = None
    _request: RequestHead | None = None
    _exchange: Exchange | None = None
    _outcome: Outcome | None = None
    _source: FlowProtocol | None = None
    _offered: ReadAhead | None = None
    _room: ReadAhead | None = None
    _decoder: Any = None
    _ahead = b""
    _at = 0
    _running = _resting = False
    _chunked = False
    _close = False
    _closing = False
    _eof = False
    _received = 0
    _sent = 0
    _payload = 0
    _taken = -_NEVER
    _since = 0.0
    _linger_until = 0.0
    _own: dict[Upstream, Upstream] | None = None
    _lane: Lane | None = None

    def __init__(self, factory: ListenerFactory) -> None:
        self.factory: ListenerFactory = factory
        self.listener = factory.listener
        self.scheme = factory.scheme
        self._shared = factory.shared
        self.pins: dict[IPool, IBackend] = _NO_PINS
        self.dataReceived = self._read_head  # type: ignore[method-assign]

    def connectionMade(self) -> None:
        transport, factory, shared = self.transport, self.factory, self._shared
        transport.registerProducer(self, True)
        address = transport.getPeer()
        self.peer = peer = Peer(getattr(address, "host", ""), getattr(address, "port", 0))
        self.certificate = getattr(transport, "client_certificate", None)
        self._forwarded = ForwardedFields(peer, self.scheme, factory.port, factory.trusted.trusts(peer.host))
        factory.connections.add(self)
        shared.deadlines.set(self, shared.seconds() + shared.limits.keep_alive_timeout)
        if self.__class__ is ClientConnection:
            self._lane = lane_for(self, self._forwarded)

    def feeder(self) -> FlowProtocol | None:
        return self._source

    def pauseProducing(self) -> None:
        if self.stuck:
            return  # Twisted's transports say so again with each write
        self._current()
        room = self._offered
        if room is not None and self._source is not None and room.take():
            self._room = room
            self.stuck = True
            self._look_at_room()
        else:
            super().pauseProducing()
        self._taken = self._sent - self.undelivered
        if self._is_served():
            shared = self._shared
            shared.deadlines.set(self, shared.seconds() + shared.limits.send_timeout)

    def resumeProducing(self) -> None:
        self._leave_room()
        super().resumeProducing()
        if self._is_served():
            shared, exchange = self._shared, self._exchange
            limit: float = shared.limits.keep_alive_timeout if exchange is None else exchange.patience
            shared.deadlines.set(self, shared.seconds() + limit)
        if self._ahead and self._exchange is None:
            self._run()

    def _look_at_room(self) -> None:
        """The client is slow, and its response is read ahead: hold the backend when enough of it is here."""
        room, source = self._room, self._source
        if room is not None and source is not None and self.transport.queued >= room.bytes:
            source.hold(FEEDING)

    def _leave_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.give_back()

    def _is_served(self) -> bool:
        """A response is on its way, or has gone out: while the client is stuck, it is the client that is waited for."""
        head, outcome = self._head, self._outcome
        if self._closing or (head is not None and head.started):
            return False
        return outcome is None or outcome.responded is not None

    # -- reading requests

    def _read_head(self, data: bytes) -> None:
        """Bytes of a head, perhaps more than one."""
        if self.stuck:
            # Whoever takes no answers may not ask on: the answers would have to be kept.
            self._read_ahead(data)
            return
        self._read_head_at(data, 0)
        if self._ahead and not self._running:
            self._run()

    def _read_head_at(self, data: bytes, at: int) -> None:
        """A head begins in ``data`` at ``at``, or goes on there."""
        end = data.find(b"\r\n\r\n", at)
        if end < 0 or self._head is not None or data[at] <= 32:
            collected = self._collect(data[at:])
            if collected is None:
                return
            raw, data = collected
            end = 0
        else:
            end += 4
            raw = data[at:end]
        try:
            request = parse_request(raw, self.factory.head_limits)
        except RequestError as error:
            self._bad_head(error, len(raw))
            return
        self._begin(request, len(raw), data, end)

    def _collect(self, data: bytes) -> tuple[bytes, bytes] | None:
        """A head that did not arrive in one piece: its bytes and what follows, or ``None`` for not yet."""
        buffer = self._head
        if buffer is None:
            buffer = self._head = HeadBuffer(self.factory.head_limits)
            self._received = 0
            self._since = self._shared.seconds()
        was_started = buffer.started
        self._received += len(data)
        try:
            raw = buffer.feed(data)
        except RequestError as error:
            self._bad_head(error, self._received)
            return None
        if raw is None:
            if buffer.started and not was_started:
                shared = self._shared
                self._since = now = shared.seconds()
                shared.deadlines.set(self, now + shared.limits.head_timeout)
            return None
        self._head = None
        return raw, buffer.rest

    def _begin(self, request: RequestHead, size: int, data: bytes, end: int) -> None:
        """A head is complete: make its exchange and give it what is here of the body, in ``data`` from ``end`` on."""
        shared, forwarded = self._shared, self._forwarded
        if self.factory.shared is not shared:
            shared = self.follow()
            forwarded = self._forwarded
        trace_id = (forwarded.trace_id(request) if forwarded.trusted else None) or shared.trace_id()
        exchange = self.open(request, size, trace_id, shared.seconds())
        body = request.body
        if body == 0:
            if end < len(data):
                self._ahead, self._at = data, end
                self.hold(BUSY)
            exchange.start(b"", True)
            return
        self._decoder = decoder(body, self.factory.head_limits)
        self._payload = 0
        limit = shared.limits.max_body_bytes
        if limit is not None and body > limit:
            exchange.client_failed(ContentTooLarge(f"a body of {body} bytes, the limit is {limit}"))
            return
        self.dataReceived = self._read_body  # type: ignore[method-assign]
        first = b""
        if end < len(data):
            try:
                first = self._decode(data[end:])
            except GatewayError as error:
                exchange.client_failed(error)
                return
        exchange.start(first, self._decoder is None, self._trailers)

    def open(self, request: RequestHead, size: int, trace_id: str, started: float) -> Exchange:
        """The exchange for ``request``, whose head had ``size`` bytes and was complete at ``started``."""
        factory = self.factory
        self._request = request
        # One by one: a call with keywords costs three times as much.
        self._outcome = outcome = Outcome()
        outcome.head = request
        outcome.peer = self.peer
        outcome.scheme = self.scheme
        outcome.local_port = factory.port
        outcome.listener = self.listener
        outcome.trace_id = trace_id
        if self.certificate is not None:
            outcome.client_certificate = self.certificate
        outcome.started = started
        self._received = size
        self._sent = 0
        self._taken = -_NEVER
        shared = self._shared
        self._close = not request.keep_alive or shared.stopping
        added = self._forwarded.lines(request, trace_id)
        self._exchange = exchange = Exchange(shared, self, request, outcome, added)
        self.dataReceived = self._read_ahead  # type: ignore[method-assign]
        return exchange

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
        self._forwarded = ForwardedFields(peer, self.scheme, factory.port, factory.trusted.trusts(peer.host))
        self._shared = shared = factory.shared
        return shared

    def uses(self, shared: Surroundings) -> bool:
        """Whether what goes on here began with these surroundings; a connection that is idle uses none."""
        lane = self._lane
        busy = self._exchange is not None or (lane is not None and lane.flying)
        return busy and self._shared is shared

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            payload = self._decode(data)
        except GatewayError as error:
            exchange.client_failed(error)
            return
        exchange.request_data(payload, self._decoder is None, self._trailers)

    _trailers: Fields = ()

    def _decode(self, data: bytes) -> bytes:
        """The payload in ``data``; ``_decoder`` is ``None`` afterwards if the body is complete."""
        body = self._decoder
        self._received += len(data)
        try:
            payload: bytes = body.feed(data)
        except FramingError as error:
            raise BadRequest(str(error)) from error
        limit = self._shared.limits.max_body_bytes
        self._payload += len(payload)
        if limit is not None and self._payload > limit:
            raise ContentTooLarge(f"a chunked body above the limit of {limit} bytes")
        if body.done:
            self._decoder = None
            self._trailers = body.trailers
            self.dataReceived = self._read_ahead  # type: ignore[method-assign]
            if body.excess:
                self._received -= len(body.excess)
                self._read_ahead(body.excess)
        return payload

    def _read_ahead(self, data: bytes) -> None:
        """Bytes of the next request, or of the protocol after an upgrade: they wait."""
        self._ahead = self._ahead[self._at :] + data
        self._at = 0
        self.hold(BUSY)

    def _run(self) -> None:
        """Go on with what was read ahead, without recursion however many requests wait."""
        if self._resting:
            return
        self._running = True
        try:
            for _ in range(_AT_ONCE):
                if not self._ahead or self._exchange is not None or self._closing or self.stuck:
                    break
                data, at = self._ahead, self._at
                self._ahead, self._at = b"", 0
                self._read_head_at(data, at)
            else:
                self._resting = True
                self._shared.soon(self._run_on)
        finally:
            self._running = False
        if not self._ahead:
            self.let(BUSY)

    def _run_on(self) -> None:
        self._resting = False
        self._run()

    def _bad_head(self, error: RequestError, size: int, request: RequestHead | None = None) -> None:
        """Something that is not a request, or is none for here: answer and close; nothing after it can be trusted."""
        shared = self._shared
        since = shared.seconds() if self._head is None else self._since
        self._head = None
        self._request = request
        self._received = size
        self._sent = 0
        self._taken = -_NEVER
        self._outcome = Outcome(
            head=request, peer=self.peer, scheme=self.scheme, local_port=self.factory.port, listener=self.listener,
            trace_id=shared.trace_id(), started=since, status=error.status, cause=error.cause, error=error,
        )  # fmt: skip
        self._close = True
        self.reply(shared.error_reply(error.status, self.listener, None, error.advice))

    # -- writing responses: IClientStream

    def fed_by(self, upstream: FlowProtocol, read_ahead: ReadAhead | None = None) -> None:
        """The response will come from ``upstream`` in pieces: hold it while this client does not read."""
        self._source = upstream
        self._offered = read_ahead
        if self.stuck:
            upstream.hold(FEEDING)

    def respond(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """Send a response head with the first body bytes, or an informational one."""
        request = self._request
        assert request is not None
        if head.status < 200:
            if request.version == "1.1":
                self._write(response_bytes(head, "1.1", 0, False, head.status == 101))
            return
        body = head.body
        if body < 0:
            body = CHUNKED if request.version == "1.1" else UNTIL_CLOSE
            self._chunked = body == CHUNKED
            if body == UNTIL_CLOSE:
                self._close = True
            elif data:
                data = chunk(data)
            if end and self._chunked:
                data += last_chunk()
        if self._shared.stopping or self._eof or (self._decoder is not None and (end or head.status >= 300)):
            # A 2xx while the body is still coming may be its echo: the connection can be used on if both end.
            self._close = True
        out = response_bytes(head, request.version, body, self._close)
        if len(data) <= _JOINED_BYTES:
            self._write(out + data)
        else:
            self._write(out)
            self._write(data)
        if end:
            self._finished()

    def send(self, data: bytes, end: bool, trailers: Fields = ()) -> None:
        """Send more of the body."""
        if self._chunked:
            data = (chunk(data) if data else b"") + (last_chunk(trailers) if end else b"")
        if data:
            self._write(data)
        if end:
            self._finished()
        elif self._room is not None:
            self._look_at_room()

    def reply(self, reply: Reply) -> None:
        """Answer with something made here."""
        request = self._request
        if request is not None and request.upgrade:
            # What follows may be meant for the protocol that the client will not get.
            self._close = True
        if self._decoder is not None or self._shared.stopping or self._eof:
            self._close = True
        method, version = (request.method, request.version) if request is not None else ("GET", "1.1")
        server = self._shared.server
        try:
            data = reply_bytes(reply, method, version, self._close, server)
        except ValueError as error:
            data = reply_bytes(self._unwritable(error), method, version, self._close, server)
        self._write(data)
        self._finished()

    def _unwritable(self, error: ValueError) -> Reply:
        """What to say instead of a reply that a router or a plugin has made and that cannot be sent."""
        outcome = self._outcome
        assert outcome is not None
        outcome.error = failed = PluginFailed(f"the reply of a plugin cannot be sent: {error}")
        outcome.status, outcome.cause = failed.status, failed.cause
        _log.error("{reason}", reason=str(failed))
        return self._shared.error_reply(failed.status, self.listener, None)

    def abort(self) -> None:
        """Cut the connection: a response that has begun cannot be completed."""
        self._closing = True
        if not self.lost:
            self.transport.abortConnection()
        self._record(cut=True)
        self._forget_exchange()

    def _write(self, data: bytes) -> None:
        self._sent += len(data)
        self.transport.write(data)

    def _finished(self) -> None:
        """A response is complete: record it, then close or go on."""
        now = self._record()
        unread = self._decoder is not None or self._request is None
        self._forget_exchange()
        if self.lost:
            return
        if self._close or unread:
            self.shut(unread or bool(self._ahead))
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

    def _current(self) -> Exchange | None:
        """The exchange in progress, also if it was in the lane until now."""
        lane = self._lane
        return lane.resume() if lane is not None and lane.flying else self._exchange

    def _forget_exchange(self) -> None:
        source, self._source = self._source, None
        if source is not None and source.held:
            source.let(FEEDING)
        if self.held:
            self.let(CONNECTING | FEEDING)
        self._exchange = self._request = self._decoder = None
        self._trailers = ()
        self._chunked = False

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
        """What is known of the connection's TLS."""
        outcome.tls_version = getattr(self.transport, "tls_version", "") or ""
        outcome.tls_cipher = getattr(self.transport, "tls_cipher", "") or ""

    # -- the end of the connection

    def shut(self, unread: bool = False) -> None:
        """Close after the last response. With bytes of the client still to come, only our half at first: a reset
        caused by them could overtake the response (RFC 9112 §9.6)."""
        self._closing = True
        self._ahead = b""
        shared = self._shared
        now = shared.seconds()
        self._linger_until = now + _MOST_LINGER_SECONDS
        shared.deadlines.set(self, now + (_LINGER_SECONDS if unread else shared.limits.send_timeout))
        if not unread or self._eof:
            self.transport.loseConnection()
            return
        self.dataReceived = self._linger  # type: ignore[method-assign]
        self.let(self.held)
        self.transport.loseWriteConnection()

    def _linger(self, data: bytes) -> None:
        """What a client still sends whose response is complete is dropped, for a while."""
        shared = self._shared
        shared.deadlines.set(self, min(shared.seconds() + _LINGER_SECONDS, self._linger_until))

    def expired(self, now: float) -> None:
        """The deadline has passed; what that means depends on what is awaited."""
        shared = self._shared
        if self._closing:
            if self._made_progress():
                shared.deadlines.set(self, now + shared.limits.send_timeout)
            else:
                self.transport.abortConnection()
        elif (exchange := self._current()) is not None:
            if self.stuck and self._made_progress():
                shared.deadlines.set(self, now + shared.limits.send_timeout)
            else:
                exchange.expired()
        elif self._head is not None and self._head.started:
            seconds = shared.limits.head_timeout
            error = RequestTimeout(f"the request's head was not complete within {seconds:g} s")
            self._bad_head(error, self._received)
        elif self.stuck and self._made_progress():
            shared.deadlines.set(self, now + shared.limits.send_timeout)
        elif self.stuck:
            self.transport.abortConnection()
        else:
            self._closing = True
            shared.deadlines.set(self, now + _LINGER_SECONDS)
            self.transport.loseConnection()

    def _made_progress(self) -> bool:
        """Whether the client has taken something since this was last asked."""
        queued = getattr(self.transport, "queued", 0)
        before, self._taken = self._taken, self._sent - queued
        return queued > 0 and self._taken > before

    def stop(self) -> None:
        """The gateway stops: close if idle, else after the response in progress."""
        begun = self._current() is not None or (self._head and self._head.started)
        if not begun and not self._closing:
            self._closing = True
            self.transport.loseConnection()
        else:
            self._close = True

    def cut(self) -> None:
        """The time to stop is over: who waits for a response gets a 503 and is closed, everybody else is cut."""
        exchange = self._current()
        if exchange is not None:
            self._close = True
            exchange.client_failed(ShuttingDown("the gateway stops and this exchange did not finish in time"))
        elif not self.lost:
            self.transport.abortConnection()

    def enter(self, tunnel: Splice) -> tuple[ClientSide, bytes]:
        """After a 101: ``tunnel`` gets all bytes and the outcome. Its side, and what the client sent ahead."""
        outcome, self._outcome = self._outcome, None
        if outcome is not None and self.factory.tls:
            self.note_tls(outcome)
        self._forget_exchange()
        self._shared.deadlines.forget(self)
        self._leave_lane()
        self.dataReceived = _ignore  # type: ignore[method-assign]
        side = ClientSide(tunnel, self, self.factory, () if self._own is None else self._own.values())
        return side, self._ahead[self._at :]

    def _leave_lane(self) -> None:
        lane = self._lane
        if lane is not None:
            self._lane = None
            lane.close()

    @property
    def at_eof(self) -> bool:
        """The client sends no more, known before a tunnel was there to be told."""
        return self._eof

    def own(self, upstream: Upstream) -> Upstream:
        """Backend connections that no other client uses; they are closed with this connection."""
        if self._own is None:
            self._own, self.pins = {}, {}
        mine = self._own.get(upstream)
        if mine is None:
            mine = self._own[upstream] = upstream.own()
        return mine

    def counted(self) -> tuple[int, int]:
        """Bytes of the handshake received and sent, heads included."""
        return self._received, self._sent

    def readConnectionLost(self) -> None:
        """The client sends no more. It may still wait for its response (RFC 9112 §9.6)."""
        self._eof = True
        if (exchange := self._current()) is None or self._closing:
            self._closing = True
            self.transport.loseConnection()
        elif self._decoder is not None:
            exchange.client_gone()
            self.abort()
        else:
            self._close = True

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
        self.dataReceived = _ignore  # type: ignore[method-assign]
        self.factory.lost(self)


def _ignore(data: bytes) -> None:
    """Nothing is read after the end."""
