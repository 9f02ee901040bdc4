"""A WebSocket session at the "watch" depth: bytes pass verbatim, frame headers are read.

So there are counters and limits, and what the gateway ends, it ends properly (`gateway.relay.session`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.foreseen import foreseen
from gateway.relay.session import WebSocketSession
from gateway.relay.splice import OPEN
from gateway.transport.bridge import bridge
from gateway.websocket.frames import FrameError, FrameScanner, close_frame

if TYPE_CHECKING:
    from gateway.relay.sides import Side

__all__ = ["Watch"]


class _Way(FrameScanner):
    """One direction of a session, see `gateway.relay.session.Way`, which reads its frame headers itself.

    ``farewell``: a close frame of ours, and its code, that waits for the end of the frame in progress; ``last_word``:
    one that waits for the source's own.
    """

    __slots__ = (
        "added", "broken", "done", "dropped", "farewell", "last_word", "masked", "source", "target", "told", "who",
    )  # fmt: skip

    def __init__(self, who: str, source: Side, target: Side, masked: bool, limit: int | None, reserved: int) -> None:
        FrameScanner.__init__(self, masked, limit, reserved)
        self.who = who
        self.source = source
        self.target = target
        self.masked = masked
        self.farewell: tuple[int, bytes] | None = None
        self.last_word: tuple[int, bytes] | None = None
        self.told: int | None = None
        self.added = self.dropped = 0
        self.broken = self.done = False

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Send a close frame, now or at the end of the frame in progress; never behind another close frame."""
        if self.may_speak:
            self.farewell = code, close_frame(code, reason, mask=self.masked)
            self.send_farewell()

    @property
    def may_speak(self) -> bool:
        """The target has not got a close frame, and none is on its way."""
        waits = self.farewell is not None or self.last_word is not None
        return self.told is None and not waits and not self.closed and not self.target.lost

    def say_last(self, code: int, reason: str) -> None:
        """Send a close frame in place of the source's."""
        if self.may_speak:
            self.last_word = code, close_frame(code, reason, mask=self.masked)

    def speak_up(self) -> bool:
        """Do not wait for the source any longer; whether that had been so."""
        last, self.last_word = self.last_word, None
        if last is None or self.target.lost:
            return False
        self.farewell = last
        self.send_farewell()
        return True

    def send_farewell(self) -> None:
        """The close frame that waits, if now is the time."""
        if self.farewell is None:
            return
        code, data = self.farewell
        if self.at_boundary and not self.closed:
            self.farewell = None
            self.told = code
            self.added += len(data)
            self.target.transport.write(data)
        elif self.done:
            # The frame in progress will never be complete, or it was a close frame: nothing can follow it.
            self.farewell = None

    def pass_on(self, data: bytes) -> None:
        """Bytes of the source that have been read, up to the end of a close frame; what follows that is dropped."""
        if self.told is not None or self.target.lost:
            self.drop(len(data))
            return
        if self.closed:
            self.told = self.close_code
            if self.after:
                data = data[: -self.after]
                self.drop(self.after)
            if self.last_word is not None:
                data = self._with_last_word(data, *self.last_word)
        self.target.transport.write(data)

    def _with_last_word(self, data: bytes, code: int, frame: bytes) -> bytes:
        """``data`` with ours for the close frame at its end, unless that has begun to pass already."""
        self.last_word = None
        said = 0 if self.close_code == 1005 else 2 + len(self.close_reason)
        size = 2 + (4 if self.masked else 0) + said
        if size > len(data):
            return data
        self.told = code
        self.added += len(frame) - size
        return data[:-size] + frame

    def take(self, data: bytes) -> None:
        """Read bytes of the source while the session closes, and pass them on as long as somebody wants them."""
        while data and not self.broken:
            size = self.cut(data) if self.farewell else len(data)
            piece, data = data[:size], data[size:]
            self.read(piece)
            if self.farewell is not None:
                self.send_farewell()
        if data:
            self.drop(len(data))

    def read(self, data: bytes) -> None:
        """Read some bytes and pass on what is right of them."""
        try:
            self.feed(data)
        except FrameError as error:
            self.has_read(data, error)
        else:
            self.has_read(data)

    def has_read(self, data: bytes, error: FrameError | None = None) -> None:
        """Pass on what the scanner has read, up to where there was an ``error``."""
        if error is not None:
            self.broken = self.done = True
            self.drop(len(data) - error.offset)
            data = data[: error.offset]
        if self.closed:
            self.done = True
        if data:
            self.pass_on(data)

    def drop(self, count: int) -> None:
        """Note that so many bytes do not go on."""
        self.added -= count
        self.dropped += count


@foreseen()
class Watch(WebSocketSession):
    """A WebSocket session whose frame headers are read. ``reserved``: the RSV bits that its extensions may use."""

    reserved = 0
    _inbound: _Way
    _outbound: _Way

    def _entered(self) -> None:
        client, backend, reserved = self._client, self._upstream, self.reserved
        limit = self._shared.limits.max_message_bytes
        self._inbound = _Way("client", client, backend, True, limit, reserved)
        self._outbound = _Way("backend", backend, client, False, limit, reserved)

    def _bridge(self) -> None:
        client, backend = self._client.transport, self._upstream.transport
        self._inward = bridge(client, backend, self._inbound, self)
        self._outward = bridge(backend, client, self._outbound, self)

    def bridge_ended(self, source: Any, data: bytes, error: FrameError | None) -> None:
        """See `gateway.transport.bridge`: as in `from_client` or `from_backend`."""
        inbound, outbound = self._inbound, self._outbound
        way, back = (inbound, outbound) if source is self._client.transport else (outbound, inbound)
        if self._state != OPEN:
            way.has_read(data, error)
            if way.dropped:
                self._drops(way)
            self._settle()
        elif error is not None:
            self._failed(way, back, data, error)
        else:
            self._closed(way, data)

    def from_client(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on. HOT"""
        self._received += len(data)
        if self._state != OPEN:
            self._pass_while_closing(self._inbound, data)
            return
        try:
            self._inbound.feed(data)
        except FrameError as error:
            self._failed(self._inbound, self._outbound, data, error)
            return
        self._last = self._shared.seconds()
        if self._inbound.closed:
            self._closed(self._inbound, data)
        else:
            self._upstream.transport.write(data)

    def from_backend(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on. HOT"""
        self._sent += len(data)
        if self._state != OPEN:
            self._pass_while_closing(self._outbound, data)
            return
        try:
            self._outbound.feed(data)
        except FrameError as error:
            self._failed(self._outbound, self._inbound, data, error)
            return
        self._last = self._shared.seconds()
        if self._outbound.closed:
            self._closed(self._outbound, data)
        else:
            self._client.transport.write(data)

    def _pass_while_closing(self, way: _Way, data: bytes) -> None:
        way.take(data)
        if way.dropped:
            self._drops(way)
        self._settle()

    def _closed(self, way: _Way, data: bytes) -> None:
        """A close frame is in ``data``."""
        self._close_passed(way)
        way.pass_on(data)

    def _failed(self, way: _Way, back: _Way, data: bytes, error: FrameError) -> None:
        """What came before the frame at fault is passed on, nothing after it."""
        self._unbridge()
        way.drop(len(data) - error.offset)
        if error.offset:
            way.pass_on(data[: error.offset])
        self._violated(way, back, error)
