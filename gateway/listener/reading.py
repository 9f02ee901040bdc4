"""A client's connection, reading: from bytes to requests and their bodies.

Pipelined requests wait in ``_ahead``, from ``_at`` on (RFC 9112 §9.3.2); reading is held meanwhile, so what waits is
bounded by what one read can return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import BadRequest, ContentTooLarge, GatewayError, RequestError
from gateway.http.bodies import FramingError, decoder
from gateway.http.heads import HeadBuffer, parse_request
from gateway.listener.parts import NEVER, Part
from gateway.relay.flow import BUSY
from gateway.values import Fields, Outcome, RequestHead

if TYPE_CHECKING:
    from gateway.exchange.exchange import Exchange
    from gateway.exchange.surroundings import Surroundings
    from gateway.http.forwarded import ForwardedFields
    from gateway.values import Peer

__all__ = ["RequestReader"]

_HEAD = b"HEAD "

_AT_ONCE = 32
"""Pipelined requests that are answered without a backend before others get their turn."""


class RequestReader(Part):
    """Sets ``dataReceived`` to what the next bytes are: a head, a body, or what has to wait.

    Each complete head becomes an exchange (see `open`), which gets the body; what is no request is answered here.
    """

    _running = _resting = False
    _payload = 0
    _since = 0.0
    _trailers: Fields = ()

    if TYPE_CHECKING:  # http1
        peer: Peer
        scheme: str
        _forwarded: ForwardedFields

        def open(self, request: RequestHead, size: int, trace_id: str, started: float) -> Exchange: ...
        def follow(self) -> Surroundings: ...

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
            self._bad_head(error, len(raw), method="HEAD" if raw.startswith(_HEAD) else "GET")
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
            self._bad_head(error, self._received, method="HEAD" if buffer.begins(_HEAD) else "GET")
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

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            payload = self._decode(data)
        except GatewayError as error:
            exchange.client_failed(error)
            return
        exchange.request_data(payload, self._decoder is None, self._trailers)

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

    def _bad_head(
        self, error: RequestError, size: int, request: RequestHead | None = None, method: str = "GET"
    ) -> None:
        """Something that is not a request, or is none for here: answer and close; nothing after it can be trusted.

        ``method``: HEAD where the answer may have no body, if there is no ``request`` that says so (RFC 9110 §9.3.2).
        """
        shared = self._shared
        if method != self._method:
            self._method = method
        since = shared.seconds() if self._head is None else self._since
        self._head = None
        self._request = request
        self._received = size
        self._sent = 0
        self._taken = -NEVER
        self._outcome = Outcome(
            head=request, peer=self.peer, scheme=self.scheme, local_port=self.factory.port, listener=self.listener,
            trace_id=shared.trace_id(), started=since, status=error.status, cause=error.cause, error=error,
        )  # fmt: skip
        self._close = True
        reply = shared.error_reply(error.status, self.listener, None, error.advice)
        self.reply(reply._replace(fields=(*reply.fields, *error.fields)) if error.fields else reply)
