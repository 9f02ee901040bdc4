"""One session of the WebSocket probe (RFC 6455): handshake, ping and pong, perhaps a message each way, close.

No extension is offered, so a frame with a reserved bit is an error of the backend.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from gateway.errors import BackendProtocolError
from gateway.health.check import MOST_BYTES, Check, quoted
from gateway.health.http_check import ResponseReader
from gateway.websocket.frames import close_frame, ping_frame
from gateway.websocket.handshake import check_response

if TYPE_CHECKING:
    from gateway.health.websocket_probe import WebSocketOptions
    from gateway.values import RequestHead, ResponseHead

__all__ = ["FrameReader", "WebSocketCheck", "masked_frame"]

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class FrameReader:
    """Frames of a server with their payload; a frame may have `MOST_BYTES`. For a few small ones: it copies."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bool, bytes]]:
        """The frames that are complete now: opcode, whether it is a message's last, payload.

        Raises `BackendProtocolError`.
        """
        self._data += data
        frames: list[tuple[int, bool, bytes]] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> tuple[int, bool, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        opcode, size = data[0] & 0x0F, data[1] & 0x7F
        if data[0] & 0x70:
            raise BackendProtocolError("a frame with a reserved bit, though no extension was agreed on")
        if data[1] & 0x80:
            raise BackendProtocolError("a frame of the backend is masked")
        if opcode not in (_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG):
            raise BackendProtocolError(f"a frame with the opcode {opcode}")
        if opcode >= _CLOSE and (size > 125 or not data[0] & 0x80):
            raise BackendProtocolError("a control frame that is too long or in pieces")
        start = 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if size > MOST_BYTES:
            raise BackendProtocolError(f"a frame of more than {MOST_BYTES} bytes")
        if len(data) < start + size:
            return None
        frame = opcode, bool(data[0] & 0x80), bytes(data[start : start + size])
        del data[: start + size]
        return frame


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client with less than 64 KiB."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    key = os.urandom(4)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return bytes([0x80 | opcode]) + length + key + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")


class WebSocketCheck(Check):
    """``data`` is the handshake ``request`` as it is sent."""

    def __init__(self, data: bytes, request: RequestHead, options: WebSocketOptions, clock: Any) -> None:
        super().__init__(clock)
        self._data = data
        self._request = request
        self._options = options
        self._needle = options.expect.encode("utf-8") if options.expect is not None else b""
        self._reader = ResponseReader()
        self._frames: FrameReader | None = None
        self._payload = os.urandom(8)
        self._pinged = 0.0
        self._late: Any = None
        self._pong: float | None = None
        self._found = not self._needle
        self._message = bytearray()
        self._seen = 0
        self._closed = False
        self._code = 1000

    def begin(self) -> None:
        """Send the handshake."""
        self.transport.write(self._data)

    def received(self, data: bytes) -> None:
        """The answer to the handshake, then frames."""
        try:
            if self._frames is None:
                found = self._reader.feed(data)
                if found is None:
                    return
                head, data = found
                if not self._accepted(head):
                    return
                self._open()
            if self.waiting and self._frames is not None:
                for frame in self._frames.feed(data):
                    self._take(*frame)
            elif data and not self.waiting:
                self.closing(data)
        except BackendProtocolError as error:
            self._code = 1002
            self.finish(False, f"the backend broke the protocol: {error}")

    def ended(self, reason: Failure) -> None:
        """Too early: a good session ends because this side closes it."""
        if self._frames is None:
            super().ended(reason)
        else:
            self.finish(False, f"the session ended without a close frame before {self._missing()}")

    def finish(self, healthy: bool, reason: str) -> None:
        """See `Check.finish`."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        super().finish(healthy, reason)

    def give_up(self) -> None:
        """See `Check.give_up`."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        super().give_up()

    def goodbye(self) -> None:
        """A close frame, whose answer is waited for (RFC 6455 §7.1.1); before the handshake there is none."""
        if self._frames is not None:
            self.transport.write(close_frame(self._code, mask=True))
        if self._frames is None or self._closed:
            super().goodbye()

    def closing(self, data: bytes) -> None:
        """The session is over when the backend has answered; or speaks nonsense."""
        try:
            over = self._frames is None or any([opcode == _CLOSE for opcode, _, _ in self._frames.feed(data)])
        except BackendProtocolError:
            over = True
        if over:
            self.transport.loseConnection()

    # -- inside

    def _accepted(self, head: ResponseHead) -> bool:
        self.status = head.status
        wanted = self._options.subprotocol
        if head.status != 101:
            self.finish(False, f"the answer to the WebSocket handshake was {head.status}, not 101")
            return False
        check_response(head, self._request)
        if wanted is not None and head.get("sec-websocket-protocol") != wanted:
            self.finish(False, f"the backend did not choose the subprotocol {quoted(wanted)}")
            return False
        if head.get("sec-websocket-extensions"):
            raise BackendProtocolError("the backend chose an extension that was not offered")
        return True

    def _open(self) -> None:
        options = self._options
        self._frames = FrameReader()
        if options.ping:
            self._pinged = self.clock.seconds()
            self.transport.write(ping_frame(self._payload, mask=True))
            if options.pong_timeout is not None:
                self._late = self.clock.callLater(options.pong_timeout, self._too_late)
        if options.send is not None:
            self.transport.write(masked_frame(_TEXT, options.send.encode("utf-8")))
        self._settle()

    def _take(self, opcode: int, last: bool, payload: bytes) -> None:
        if not self.waiting:
            if opcode == _CLOSE:
                self.transport.loseConnection()
            return
        self._seen += len(payload)
        if opcode == _CLOSE:
            self._closed = True
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            self.finish(False, f"the backend closed the session with {code} before {self._missing()}")
        elif opcode == _PING:
            self.transport.write(masked_frame(_PONG, payload))
        elif opcode == _PONG:
            # A pong that nobody asked for is allowed (RFC 6455 §5.5.3).
            if payload == self._payload and self._pong is None:
                self._pong = self.clock.seconds() - self._pinged
                if self._late is not None and self._late.active():
                    self._late.cancel()
        elif not self._found:
            self._message += payload
            self._found = self._needle in self._message
            if last:
                self._message.clear()
        if self.waiting and not self._settle() and self._seen > MOST_BYTES:
            self.finish(False, f"more than {MOST_BYTES} bytes came before {self._missing()}")

    def _settle(self) -> bool:
        if not self._found or (self._options.ping and self._pong is None):
            return False
        parts = ["the session was opened"]
        if self._pong is not None:
            parts.append(f"its ping answered in {self._pong * 1000:.0f} ms")
        if self._needle:
            parts.append("the expected text came")
        self.finish(True, ", ".join(parts))
        return True

    def _missing(self) -> str:
        if self._options.ping and self._pong is None:
            return "its pong came"
        return f"a message with {quoted(self._options.expect or '')} came"

    def _too_late(self) -> None:
        self.finish(False, f"no pong within {self._options.pong_timeout:g} s")
