"""The backend's side of an exchange: one HTTP/1.1 connection, used for one exchange after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from gateway.errors import BackendClosed, BackendError, BackendProtocolError
from gateway.foreseen import foreseen
from gateway.http.bodies import FramingError, decoder
from gateway.http.heads import HeadBuffer, HeadLimits, parse_response
from gateway.relay.flow import FEEDING, FlowProtocol
from gateway.relay.sides import BackendSide
from gateway.values import Outcome, ResponseHead

if TYPE_CHECKING:
    from gateway.interfaces import IUpstreamListener
    from gateway.relay.splice import Splice
    from gateway.upstream.connections import Upstream

__all__ = ["UpstreamConnection"]

_LIMITS = HeadLimits(head=65536, fields=256)
_MOST_INFORMATIONAL = 16

_CUT, _KEEP, _LEAVE = range(3)
"""What becomes of the connection when its exchange is complete; `_CUT` also where more came than the response."""


@foreseen()
class UpstreamConnection(FlowProtocol):
    """Sends a request, reads its response, and may then be used again.

    ``reused``: it has carried an exchange before, so the backend may have given it up meanwhile.
    ``idle_since``: monotonic seconds, for the idle cache.  ``listener``: who is told of the response.
    """

    reused = False
    idle_since = 0.0
    client: FlowProtocol | None = None
    listener: IUpstreamListener | None = None
    _head: HeadBuffer | None = None
    _method = "GET"
    _left = 0
    _decoder: Any = None
    _then = _CUT
    _informational = 0
    received = 0
    sent = 0

    def __init__(self, upstream: Upstream, key: str | None) -> None:
        self.upstream = upstream
        self.key = key
        self.dataReceived = self._unexpected  # type: ignore[method-assign]

    def makeConnection(self, transport: Any) -> None:
        """As `FlowProtocol` and its base, in one step. HOT where backends do not keep connections alive."""
        self.connected = 1
        self.transport = transport
        transport.registerProducer(self, True)

    def feeder(self) -> FlowProtocol | None:
        return self.client

    def fed_by(self, client: FlowProtocol) -> None:
        """``client`` feeds this leg: hold it while this one is stuck."""
        self.client = client
        if self.stuck:
            client.hold(FEEDING)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self.listener is not None:
            self.listener.upstream_stuck(True)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.listener is not None:
            self.listener.upstream_stuck(False)

    # -- used by the exchange

    def begin(self, listener: IUpstreamListener, client: FlowProtocol, method: str, data: bytes) -> None:
        """Send ``data``, a whole head perhaps with body bytes, and tell ``listener`` what comes back."""
        self.expect(listener, client, method, len(data))
        self.transport.write(data)

    def expect(self, listener: IUpstreamListener, client: FlowProtocol, method: str, sent: int) -> None:
        """A request of ``sent`` bytes is on its way: tell ``listener`` what comes back."""
        self.listener = listener
        self.client = client
        self._method = method
        self._informational = 0
        self.received = 0
        self.sent = sent
        self.dataReceived = self._read_head  # type: ignore[method-assign]

    def answering(self, left: int, received: int) -> None:
        """``received`` bytes of the response were read elsewhere; ``left`` of its body are to come."""
        self.received = received
        self._left = left
        self._then = _KEEP
        self.dataReceived = self._read_length  # type: ignore[method-assign]

    def note_tls(self, outcome: Outcome) -> None:
        """Tell the log what was agreed in the handshake; for connections whose ``key`` is a name."""
        outcome.upstream_tls_version = self.transport.tls_version
        outcome.upstream_tls_cipher = self.transport.tls_cipher

    def send(self, data: bytes) -> None:
        """Send body bytes, already framed."""
        self.sent += len(data)
        self.transport.write(data)

    def finish(self, reuse: bool) -> None:
        """The exchange is over: keep the connection for the next one, let the backend close it, or cut it.

        ``reuse``: request and response are complete.  One that is stuck has not taken all of its request, whatever it
        answered; it might never do so.
        """
        self.listener = None
        self.client = None
        self.dataReceived = self._unexpected  # type: ignore[method-assign]
        if self.lost:
            return
        then = self._then
        if not reuse or self.stuck or then == _CUT or (then == _LEAVE and self.undelivered):
            self.transport.abortConnection()
            return
        if self.held:
            self.held = 0
            self.transport.resumeProducing()
        if then == _KEEP:
            self.reused = True
            self.upstream.keep(self)
        else:
            self.upstream.leave(self)

    def enter(self, tunnel: Splice) -> BackendSide:
        """After a 101: ``tunnel`` gets all bytes and is told of the end."""
        self.listener = self.client = None
        self.dataReceived = _ignore  # type: ignore[method-assign]
        return BackendSide(tunnel, self)

    def drop(self) -> None:
        """End it, while nobody uses it."""
        self.upstream.forget(self)
        self.transport.abortConnection()

    # -- reading

    def _unexpected(self, data: bytes) -> None:
        """A backend that speaks unasked: what it says would be taken for the answer to the next request."""
        self.drop()

    def _read_head(self, data: bytes) -> None:
        self.received += len(data)
        while True:
            end = data.find(b"\r\n\r\n")
            if self._head is not None or end < 0 or data[:1] in b"\r\n":
                collected = self._collect(data)
                if collected is None:
                    return
                raw, data = collected
            else:
                end += 4
                if end == len(data):
                    raw, data = data, b""
                else:
                    raw, data = data[:end], data[end:]
            try:
                head = parse_response(raw, self._method, _LIMITS)
            except BackendError as error:
                self._fail(error)
                return
            if head.status >= 200 or head.status == 101:
                self._begin_response(head, data)
                return
            self._informational += 1
            if self._informational > _MOST_INFORMATIONAL:
                self._fail(BackendProtocolError(f"more than {_MOST_INFORMATIONAL} interim responses to one request"))
                return
            listener = self.listener
            listener.upstream_response(head, b"", False)  # type: ignore[union-attr]
            if not data or self.listener is not listener:
                return

    def _collect(self, data: bytes) -> tuple[bytes, bytes] | None:
        if self._head is None:
            self._head = HeadBuffer(_LIMITS, BackendProtocolError)
        try:
            raw = self._head.feed(data)
        except BackendProtocolError as error:
            self._head = None
            self._fail(BackendProtocolError(f"the response's head is not acceptable: {error}"))
            return None
        if raw is None:
            return None
        rest = self._head.rest
        self._head = None
        return raw, rest

    def _begin_response(self, head: ResponseHead, data: bytes) -> None:
        listener = self.listener
        assert listener is not None
        body = head.body
        self._then = _KEEP if head.keep_alive else _LEAVE
        if head.status == 101:
            listener.upstream_response(head, data, False)
        elif body == 0:
            if data:
                self._then = _CUT
            self.dataReceived = self._unexpected  # type: ignore[method-assign]
            listener.upstream_response(head, b"", True)
        elif body > 0:
            left = body - len(data)
            if left > 0:
                self._left = left
                self.dataReceived = self._read_length  # type: ignore[method-assign]
                listener.upstream_response(head, data, False)
            else:
                if left < 0:
                    self._then = _CUT
                    data = data[:body]
                self.dataReceived = self._unexpected  # type: ignore[method-assign]
                listener.upstream_response(head, data, True)
        else:
            self._decoder = decoder(body, _LIMITS)
            self.dataReceived = self._read_decoded  # type: ignore[method-assign]
            try:
                data = self._decoder.feed(data) if data else b""
            except FramingError as error:
                self._fail(BackendProtocolError(str(error)))
                return
            if self._decoder.done and not self._decoder.trailers:
                self._end_decoded()
                listener.upstream_response(head, data, True)
                return
            listener.upstream_response(head, data, False)
            if self._decoder is not None and self._decoder.done and self.listener is listener:
                trailers = self._decoder.trailers
                self._end_decoded()
                listener.upstream_data(b"", True, trailers)

    def _read_length(self, data: bytes) -> None:
        self.received += len(data)
        left = self._left = self._left - len(data)
        if left > 0:
            self.listener.upstream_data(data, False)  # type: ignore[union-attr]
            return
        if left < 0:
            self._then = _CUT
            data = data[:left]
        self.dataReceived = self._unexpected  # type: ignore[method-assign]
        self.listener.upstream_data(data, True)  # type: ignore[union-attr]

    def _read_decoded(self, data: bytes) -> None:
        self.received += len(data)
        body = self._decoder
        try:
            payload = body.feed(data)
        except FramingError as error:
            self._fail(BackendProtocolError(str(error)))
            return
        if body.done:
            self._end_decoded()
            self.listener.upstream_data(payload, True, body.trailers)  # type: ignore[union-attr]
        elif payload:
            self.listener.upstream_data(payload, False)  # type: ignore[union-attr]

    def _end_decoded(self) -> None:
        if self._decoder.excess:
            self._then = _CUT
        self._decoder = None
        self.dataReceived = self._unexpected  # type: ignore[method-assign]

    def _fail(self, error: BackendError) -> None:
        listener, self.listener = self.listener, None
        self.dataReceived = self._unexpected  # type: ignore[method-assign]
        if not self.lost:
            self.transport.abortConnection()
        if listener is not None:
            listener.upstream_failed(error)

    # -- the end of the connection

    def readConnectionLost(self) -> None:
        """The backend sends no more: the end of a body without a length, of the tunnel's half, or a fault."""
        self._ended("closed the connection")
        if not self.lost:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = True
        self.upstream.forget(self)
        self._ended(f"lost the connection ({reason.getErrorMessage()})", clean=reason.check(ConnectionDone) is not None)
        self.dataReceived = _ignore  # type: ignore[method-assign]

    def _ended(self, how: str, clean: bool = True) -> None:
        listener = self.listener
        body, self._decoder = self._decoder, None
        if listener is None:
            self.upstream.forget(self)
        elif clean and body is not None and body.close():
            self._then = _LEAVE
            self.listener = None
            listener.upstream_data(b"", True)
        else:
            self._fail(BackendClosed(f"backend {self.upstream.name} {how} before its response was complete"))


def _ignore(data: bytes) -> None:
    """Nothing is read after the end."""
