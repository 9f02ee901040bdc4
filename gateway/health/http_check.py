"""One exchange of the HTTP probe: send the request, judge the answer, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from gateway.errors import BackendProtocolError
from gateway.health.check import MOST_BYTES, Check, quoted
from gateway.http.bodies import Decoder, FramingError, decoder
from gateway.http.head_buffer import HeadBuffer
from gateway.http.heads import parse_response
from gateway.values import ResponseHead

if TYPE_CHECKING:
    from gateway.health.matching import StatusCodes

__all__ = ["HttpCheck", "ResponseReader"]

_MOST_INTERIM = 10
_WEBSOCKET_HINT = (
    "; a backend that only speaks WebSocket needs a probe with the strategy 'websocket', a path that answers 200, such "
    "as /health, or this status in match.statusCodes"
)


class ResponseReader:
    """Reads the heads of an answer up to the final one, or a 101."""

    def __init__(self) -> None:
        self._buffer = HeadBuffer(error=BackendProtocolError)
        self._interim = 0

    def feed(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """The final head and the bytes behind it, or ``None`` for not yet. Raises `BackendProtocolError`."""
        while data:
            block = self._buffer.feed(data)
            if block is None:
                return None
            head = parse_response(block, "GET")
            data = self._buffer.rest
            if head.status >= 200 or head.status == 101:
                return head, data
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BackendProtocolError(f"more than {_MOST_INTERIM} interim answers")
        return None


class HttpCheck(Check):
    """``request`` is sent as it is; the status must be among ``codes``, and ``body`` in the first bytes of the body."""

    def __init__(self, request: bytes, codes: StatusCodes, body: str | None, clock: Any) -> None:
        super().__init__(clock)
        self._request = request
        self._codes = codes
        self._wanted = body or ""
        self._needle = self._wanted.encode("utf-8")
        self._reader = ResponseReader()
        self._decoder: Decoder | None = None
        self._body = bytearray()

    def begin(self) -> None:
        """Ask."""
        self.transport.write(self._request)

    def received(self, data: bytes) -> None:
        """Read the head, then as much of the body as is needed."""
        try:
            if self._decoder is None:
                found = self._reader.feed(data)
                if found is not None:
                    self._judge(*found)
            else:
                self._read_body(self._decoder, data)
        except (BackendProtocolError, FramingError) as error:
            self.finish(False, f"the answer is not valid HTTP: {error}")

    def ended(self, reason: Failure) -> None:
        """The end of a body that ends with the connection, or an end that came too early."""
        if self._decoder is None:
            super().ended(reason)
        else:
            whole = self._decoder.close()
            self.finish(False, self._lacking("" if whole else "; the connection ended before the body did"))

    def _judge(self, head: ResponseHead, data: bytes) -> None:
        status = self.status = head.status
        if status not in self._codes:
            hint = _WEBSOCKET_HINT if status in (400, 426) else ""
            self.finish(False, f"the answer was {status}, expected {self._codes}{hint}")
        elif not self._needle:
            self.finish(True, f"the answer was {status}")
        elif not head.body:
            self.finish(False, self._lacking())
        else:
            self._decoder = decoder(head.body)
            if data:
                self._read_body(self._decoder, data)

    def _read_body(self, decoder: Decoder, data: bytes) -> None:
        searched = max(len(self._body) - len(self._needle) + 1, 0)
        room = MOST_BYTES - len(self._body)
        self._body += decoder.feed(data)[:room]
        if self._body.find(self._needle, searched) >= 0:
            self.finish(True, f"the answer was {self.status} with the expected text")
        elif decoder.done:
            self.finish(False, self._lacking())
        elif len(self._body) >= MOST_BYTES:
            self.finish(False, self._lacking(f" in its first {MOST_BYTES} bytes"))

    def _lacking(self, detail: str = "") -> str:
        return f"the answer was {self.status}, but its body lacks {quoted(self._wanted)}{detail}"
