"""Autobahn on both legs of a session, without what it costs: its frames, its UTF-8, its compression, nothing else.

The handshakes have been done, so the two classes begin where Autobahn's state is OPEN.  Of Autobahn they use the
machine that reads frames (``processData``), with its validator, maskers and ``permessage-deflate``; not its
constructor, timers, queues, statistics and logs.  Two things go around it, because a message costs Autobahn 30 µs:

* a whole data message in one frame, the usual case, is cut out in `Leg.read`, and so are pings and pongs;
* what is left is given to Autobahn one frame at a time, for it copies all that it was given for each frame in it.

Everything here is sans-IO: bytes go in through `Leg.read`, and messages come out at a `Reader`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final, Protocol

from autobahn.websocket.protocol import (
    TrafficStats,
    WebSocketClientProtocol,
    WebSocketProtocol,
    WebSocketServerProtocol,
)
from autobahn.websocket.utf8validator import Utf8Validator

from gateway.websocket.frames import FrameError, control_frame, may_be_sent
from gateway.websocket.making import data_frame, masked, pieces

__all__ = ["MOST_FRAMES", "BackendLeg", "ClientLeg", "Leg", "Reader"]

MOST_FRAMES: Final = 4096
"""How many frames of a message are remembered; where there are more, the last one that is sent has the rest."""

_AT_ONCE: Final = 256
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A  # first bytes of frames that are whole
_FINAL, _COMPRESSED = 0x80, 0x40
_NO_ENDS: Final = ()


class Held(Protocol):
    """A connection whose reading can be held, `gateway.relay.flow.FlowProtocol`."""

    held: int


class Reader(Protocol):
    """Is told by a leg what arrived there. Must not raise.

    ``source`` is the connection that is read: while it is held, nothing is.
    """

    @property
    def source(self) -> Held: ...

    def took(self, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """A message: ``str`` for text, ``bytes`` for binary.

        ``raw`` is its frame as it arrived, for a message in one frame that was not compressed.  Otherwise it is empty,
        and ``ends`` are the offsets (in bytes) at which its frames end.
        """

    def took_control(self, raw: bytes) -> None:
        """A ping or a pong, as it is to go on."""

    def took_close(self, payload: bytes) -> None:
        """A close frame with an acceptable payload; the leg reads nothing that follows it."""


class _Silence:
    """In place of Autobahn's logger: it formats what nobody reads."""

    def debug(self, *ignored: Any, **also: Any) -> None:
        """Nothing."""

    warn = debug


class Leg:
    """One connection of a session: reads what its peer sends, and makes what is sent to the peer.

    ``write`` sends bytes; ``max_message`` bounds a message, inflated; ``deflate`` is a
    `gateway.websocket.deflate.Deflate` where the peer has agreed to one.  ``closed``: the peer's close frame has been
    read, with ``close_code``.  ``shut``: one has been sent to the peer.  ``written``: bytes sent.
    """

    # What Autobahn's machine looks at. The class attributes are its options and the state of a session that is open.
    state = WebSocketProtocol.STATE_OPEN
    factory: Any
    log = _Silence()
    utf8validateIncoming = applyMask = requireMaskedClientFrames = True
    acceptMaskedServerFrames = logFrames = failedByMe = inside_message = _isMessageCompressed = False
    utf8validateIncomingCurrentMessage = False
    maxFramePayloadSize = message_data_total_length = 0
    trackedTimings = autoPingTimeoutCall = autoPingPending = control_frame_data = frame_data = None
    current_frame: Any = None
    current_frame_masker: Any
    processData: Any

    masked: int  # the bit that the peer's frames have
    shut = closed = more = False
    close_code: int | None = None
    written = 0
    _binary = _reading = False
    _rest = b""

    def __init__(self, reader: Reader, write: Any, max_message: int, deflate: Any = None) -> None:
        self.reader = reader
        self.deflate = deflate if deflate is not None and deflate.deflates else None  # for what is sent
        self._perMessageCompress = deflate
        self.maxMessagePayloadSize = max_message
        self.write = write
        self.utf8validator = Utf8Validator()
        self.trafficStats = TrafficStats()
        self.data = b""
        self._message = bytearray()
        self._ends: list[int] = []

    # -- receiving

    def read(self, data: bytes = b"") -> None:
        """Take the next bytes.

        Call it again for the rest when the source is not held any more, or there is ``more`` than is read at once.
        Raises `FrameError`; nothing may be read after that.  HOT
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._reading:  # asked again by a reader in the middle of it
            self._rest = data
            return
        self._reading = True
        self.more = False
        try:
            at = self._read(data)
        finally:
            self._reading = False
        if at < len(data):
            self._rest = data[at:] + self._rest

    def _read(self, data: bytes) -> int:
        """Read frames; return where it stopped. HOT"""
        size, at = len(data), 0
        bit, most, reader = self.masked, self.maxMessagePayloadSize, self.reader
        source = reader.source
        short = 6 if bit else 2
        for _ in range(_AT_ONCE):
            if at == size or source.held or self.closed:
                return at
            if self.current_frame is None:
                if size - at < 2:
                    return at
                first = data[at]
                length = data[at + 1] ^ bit
                start = at + short
                if length > 125:
                    wider, length = self._extended(data, at, length)
                    start += wider
                if start > size:
                    return at
                end = start + length
                if end <= size:
                    raw = data[at:end]
                    if first == _TEXT or first == _BINARY:
                        if length <= most and not self.inside_message:
                            payload: Any = data[start:end]
                            if bit:
                                payload = masked(payload, data[start - 4 : start])
                            if first == _TEXT:
                                payload = _text(payload)
                            at = end
                            reader.took(payload, raw, _NO_ENDS)
                            continue
                    elif (first == _PING or first == _PONG) and length <= 125:
                        at = end
                        reader.took_control(raw)
                        continue
            else:
                end = at + self.current_frame.length - self.current_frame_masker.pointer()
            self.data = data[at:end]
            at = min(end, size)
            while self.processData():
                pass
        self.more = at < size
        return at

    def _extended(self, data: bytes, at: int, length: int) -> tuple[int, int]:
        """How many more bytes the length has, and what it is; 0 where they are not all here."""
        if length & 0x80:
            raise FrameError(1002, "an unmasked frame" if self.masked else "a masked frame")
        wider = 2 if length == 126 else 8
        field = data[at + 2 : at + 2 + wider]
        if len(field) < wider:
            return wider, 0
        length = int.from_bytes(field, "big")
        if length < (126 if wider == 2 else 65536):
            raise FrameError(1002, "a length in more bytes than it needs")
        if length >> 63:
            raise FrameError(1002, "a length with its top bit set")
        return wider, length

    # -- what Autobahn's machine calls

    def _onMessageBegin(self, binary: bool) -> None:
        self._binary = binary
        self.message_data_total_length = 0
        self._message = bytearray()
        self._ends = []

    def _onMessageFrameBegin(self, length: int) -> None:
        # What is compressed counts as it is inflated, see `gateway.websocket.deflate`.
        if not self._isMessageCompressed and len(self._message) + length > self.maxMessagePayloadSize:
            raise FrameError(1009, "message too big")

    def _onMessageFrameData(self, payload: bytes) -> None:
        self._message += payload

    def _onMessageFrameEnd(self) -> None:
        if len(self._ends) == MOST_FRAMES:
            self._ends.pop()
        self._ends.append(len(self._message))

    def _onMessageEnd(self) -> None:
        payload, ends = bytes(self._message), self._ends
        self._message, self._ends = bytearray(), []
        self.reader.took(payload if self._binary else payload.decode(), b"", ends)

    def _onPing(self, payload: bytes) -> None:
        self.reader.took_control(control_frame(_PING, payload, bool(self.masked)))

    def _onPong(self, payload: bytes) -> None:
        self.reader.took_control(control_frame(_PONG, payload, bool(self.masked)))

    def onCloseFrame(self, code: int | None, reason: bytes | None) -> None:
        if code is not None and not may_be_sent(code):
            raise FrameError(1002, "a close code that may not be sent")
        try:
            (reason or b"").decode()
        except UnicodeDecodeError:
            raise FrameError(1007, "a close reason that is not UTF-8") from None
        self.closed = True
        self.close_code = 1005 if code is None else code
        self.reader.took_close(b"" if code is None else code.to_bytes(2, "big") + (reason or b""))

    def _max_message_size_exceeded(self, *ignored: Any) -> None:
        raise FrameError(1009, "message too big")

    def _fail_connection(self, code: int, reason: str) -> None:
        raise FrameError(code, reason)

    # -- sending

    def put(self, data: bytes) -> None:
        """Send whole frames as they are. Who calls ``write`` instead adds to ``written``."""
        self.written += len(data)
        self.write(data)

    def send(self, payload: str | bytes, ends: Sequence[int] = ()) -> None:
        """Send a message; ``ends`` are the offsets where its frames end, by default there is one."""
        first = 1
        if isinstance(payload, str):
            payload = payload.encode()
        else:
            first = 2
        parts = [payload] if len(ends) < 2 else pieces(payload, ends)
        if self.deflate is not None:
            first |= _COMPRESSED
            parts = self.deflate.compressed(parts)
        mask = not self.masked
        last = len(parts) - 1
        frames = []
        for number, part in enumerate(parts):
            frames.append(data_frame(first | _FINAL if number == last else first, part, mask))
            first = 0
        self.put(frames[0] if not last else b"".join(frames))

    def send_close(self, payload: bytes) -> None:
        """Send a close frame; nothing is sent after it."""
        if not self.shut:
            self.shut = True
            self.put(control_frame(_CLOSE, payload, not self.masked))


class ClientLeg(Leg, WebSocketServerProtocol):  # type: ignore[misc]  # Autobahn is not typed
    """Towards the client: its frames are masked, ours are not."""

    factory = SimpleNamespace(isServer=True)
    masked = 0x80


class BackendLeg(Leg, WebSocketClientProtocol):  # type: ignore[misc]
    """Towards the backend: its frames are not masked, ours are."""

    factory = SimpleNamespace(isServer=False)
    masked = 0


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "text that is not UTF-8") from None
