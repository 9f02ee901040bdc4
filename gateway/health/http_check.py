"""One exchange of the HTTP probe: send the request, judge the answer, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from gateway.errors import BackendProtocolError
from gateway.http.bodies import Decoder, FramingError, decoder
from gateway.http.head_buffer import HeadBuffer
from gateway.http.heads import parse_response
from gateway.values import ProbeResult, ResponseHead

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from gateway.health.matching import StatusCodes

__all__ = ["MOST_BODY", "HttpCheck"]

MOST_BODY = 65536
"""Bytes of a body that are searched."""

_MOST_INTERIM = 10
_CLOSE_SECONDS = 2.0
_WEBSOCKET_HINT = (
    "; a backend that only speaks WebSocket needs a path that answers 200, such as /health, or this status in "
    "match.statusCodes"
)


class HttpCheck(Protocol):
    """Fires the Deferred given to `tell` once, with a `ProbeResult`."""

    transport: Any

    def __init__(self, request: bytes, codes: StatusCodes, body: str | None, clock: Any) -> None:
        self._request = request
        self._codes = codes
        self._needle = body.encode("utf-8") if body else b""
        self._clock = clock
        self._result: Deferred[ProbeResult] | None = None
        self._buffer = HeadBuffer(error=BackendProtocolError)
        self._interim = 0
        self._status: int | None = None
        self._decoder: Decoder | None = None
        self._body = bytearray()
        self._closing: Any = None

    @property
    def waiting(self) -> bool:
        """A result is still wanted."""
        return self._result is not None

    def tell(self, result: Deferred[ProbeResult]) -> None:
        """Where the result goes."""
        self._result = result

    def give_up(self) -> None:
        """Cut the connection, tell nobody."""
        self._result = None
        if self.connected:
            self.transport.abortConnection()

    # -- protocol ------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Ask."""
        if self._result is None:
            self.transport.abortConnection()
            return
        self._began = self._clock.seconds()
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Read the head, then as much of the body as is needed."""
        if self._result is None:
            return
        try:
            if self._decoder is None:
                self._read_heads(data)
            else:
                self._read_body(self._decoder, data)
        except (BackendProtocolError, FramingError) as error:
            self._finish(False, f"the answer is not valid HTTP: {error}")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The end of a body that ends with the connection, or an end that came too early."""
        self.connected = 0
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._result is None:
            return
        if self._decoder is not None:
            whole = self._decoder.close()
            self._finish(False, self._lacking("" if whole else "; the connection ended before the body did"))
        elif reason.check(ConnectionDone):
            self._finish(False, "the connection was closed before there was an answer")
        else:
            self._finish(False, f"the connection was lost before there was an answer: {reason.getErrorMessage()}")

    # -- inside --------------------------------------------------------------------------------------------

    def _read_heads(self, data: bytes) -> None:
        while data:
            block = self._buffer.feed(data)
            if block is None:
                return
            head = parse_response(block, "GET")
            data = self._buffer.rest
            if head.status >= 200 or head.status == 101:
                self._judge(head, data)
                return
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BackendProtocolError(f"more than {_MOST_INTERIM} interim answers")

    def _judge(self, head: ResponseHead, data: bytes) -> None:
        status = self._status = head.status
        if status not in self._codes:
            hint = _WEBSOCKET_HINT if status in (400, 426) else ""
            self._finish(False, f"the answer was {status}, expected {self._codes}{hint}")
        elif not self._needle:
            self._finish(True, f"the answer was {status}")
        elif not head.body:
            self._finish(False, self._lacking())
        else:
            self._decoder = decoder(head.body)
            if data:
                self._read_body(self._decoder, data)

    def _read_body(self, decoder: Decoder, data: bytes) -> None:
        searched = max(len(self._body) - len(self._needle) + 1, 0)
        room = MOST_BODY - len(self._body)
        self._body += decoder.feed(data)[:room]
        if self._body.find(self._needle, searched) >= 0:
            self._finish(True, f"the answer was {self._status} with the expected text")
        elif decoder.done:
            self._finish(False, self._lacking())
        elif len(self._body) >= MOST_BODY:
            self._finish(False, self._lacking(f" in its first {MOST_BODY} bytes"))

    def _lacking(self, detail: str = "") -> str:
        wanted = self._needle[:60].decode("utf-8", "replace")
        return f"the answer was {self._status}, but its body lacks {wanted!r}{detail}"

    def _finish(self, healthy: bool, reason: str) -> None:
        result, self._result = self._result, None
        if self.connected:
            # Politely first: a reset in every interval is noise in the backend's log. But it must end.
            self.transport.loseConnection()
            self._closing = self._clock.callLater(_CLOSE_SECONDS, self.transport.abortConnection)
        if result is not None and not result.called:
            result.callback(ProbeResult(healthy, reason, self._status, max(self._clock.seconds() - self._began, 0.0)))
