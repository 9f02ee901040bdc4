"""Reads the headers of WebSocket frames that pass by, and makes the few frames a gateway sends (RFC 6455 §5).

A checked frame may be forwarded as it stands, mask and all, so that payload is never looked at, except
that of a close frame.  HOT: one call per chunk of bytes, a few operations per frame, nothing per byte.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

from gateway import _native

__all__ = [
    "FrameError", "FrameScanner", "close_frame", "close_payload", "control_frame", "masking_key", "may_be_sent",
    "ping_frame", "unmasked",
]  # fmt: skip

# What the first byte of a frame header says, without the RSV bits.
_CONTINUATION, _CONTINUATION_END, _START, _WHOLE, _CLOSE, _PING, _PONG, _BAD = range(8)
_KINDS: Final = {
    0x00: _CONTINUATION, 0x80: _CONTINUATION_END, 0x01: _START, 0x02: _START,
    0x81: _WHOLE, 0x82: _WHOLE, 0x88: _CLOSE, 0x89: _PING, 0x8A: _PONG,
}  # fmt: skip


def _table(reserved: int) -> bytes:
    """Kind by first byte, with the RSV bits of ``reserved`` allowed."""
    return bytes([_BAD if first & 0x70 & ~reserved else _KINDS.get(first & 0x8F, _BAD) for first in range(256)])


_TABLES: Final = {reserved: _table(reserved) for reserved in range(0, 0x80, 0x10)}
_ENDS_MESSAGE: Final = bytes([0, 1, 0, 1, 0, 0, 0, 0])


class FrameError(Exception):
    """The frames of one direction break RFC 6455.

    ``code``: the close code to answer with.  ``offset``: how many leading bytes of the chunk that was fed come
    before the frame at fault, and may still be forwarded.
    """

    def __init__(self, code: int, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.offset = offset


@_native.chosen(_native.frames, FrameError=FrameError)
class FrameScanner:
    """Follows the frames of one direction of a session, however the bytes are split.

    ``masked``: the frames of this direction must be masked (from client to server).  ``max_message``: bytes
    of payload that a message may have, compressed where it is; ``None`` for any.  ``reserved``: the RSV
    bits (0x40, 0x20, 0x10) that extensions may use; all by default, for the two ends agree on extensions.

    ``frames`` and ``messages`` count what has passed completely.  ``closed``: a close frame has; ``close_code`` (1005
    if it had none) and ``close_reason`` are what it said.  What follows a close frame is not looked at and means
    nothing to anybody (RFC 6455 §5.5.1); ``after`` is how many of the bytes fed last do.
    """

    __slots__ = (
        "_close", "_fragmented", "_header", "_kind", "_left", "_masked", "_max", "_overhead", "_size", "_table",
        "_torn", "after", "close_code", "close_reason", "closed", "frames", "messages",
    )  # fmt: skip

    def __init__(self, masked: bool, max_message: int | None = None, reserved: int = 0x70) -> None:
        self._masked = 0x80 if masked else 0
        self._overhead = 4 if masked else 0  # the masking key is skipped together with the payload
        self._max = 1 << 63 if max_message is None else max_message
        self._table = _TABLES[reserved]
        self._header = b""  # an incomplete frame header, up to the length
        self._left = 0  # bytes of the frame in progress that are still to come
        self._kind = _BAD  # that frame's
        self._fragmented = False  # a message has begun and not ended
        self._size = 0  # payload of its frames so far
        self._torn = False  # the first bytes of a frame at fault have been fed earlier
        self._close: bytearray | None = None  # masking key and payload of a close frame in progress
        self.frames = self.messages = 0
        self.close_code: int | None = None
        self.close_reason = b""
        self.closed = False
        self.after = 0

    @property
    def at_boundary(self) -> bool:
        """Nothing of a frame is pending: another frame may be put in here.

        After a `FrameError` this is true of what was fed before the frame at fault.
        """
        return not self._left and not self._header and not self._torn

    def feed(self, data: bytes) -> None:
        """Take the next bytes of this direction.

        Raises `FrameError`; nothing may be fed after that.  Close frames of one's own go where `at_boundary`
        is true, once the ``offset`` leading bytes of ``data`` have been forwarded.
        """
        size = len(data)
        left = self._left
        if left:
            if self._close is not None:
                self._close += data[:left]
            if left > size:
                self._left = left - size
                return
            self._left = 0
            self._complete(0, 1)
            position = left
        elif self._header:
            before = len(self._header)
            data = self._header + data
            self._header = b""
            self._scan(data, 0, before)
            return
        else:
            position = 0
        if position < size:
            self._scan(data, position, 0)
        else:
            self.after = 0

    def _scan(self, data: bytes, position: int, before: int) -> None:
        """Read frames from where a header begins; ``before`` bytes of ``data`` were fed earlier."""
        size = len(data)
        if self.closed:
            self.after = size - position
            return
        table, mask, overhead, most = self._table, self._masked, self._overhead, self._max
        while position < size:
            first = position
            kind = table[data[position]]
            if kind == _BAD:
                raise self._fault(1002, "reserved bits or opcode", first, before)
            if position + 1 == size:
                self._header = data[position:]
                return
            length = data[position + 1]
            if length & 0x80 != mask:
                raise self._fault(1002, "a masked frame" if length & 0x80 else "an unmasked frame", first, before)
            length &= 0x7F
            position += 2
            if length > 125:
                if kind >= _CLOSE:
                    raise self._fault(1002, "a control frame longer than 125 bytes", first, before)
                end = position + (2 if length == 126 else 8)
                if end > size:
                    self._header = data[first:]
                    return
                length = self._extended(data, position, end, first, before)
                position = end
            if kind < _CLOSE:
                if (kind < _START) != self._fragmented:
                    raise self._fault(1002, "a continuation of nothing, or a message inside another", first, before)
                if length + self._size > most:
                    raise self._fault(1009, "message too big", first, before)
            end = position + overhead + length
            if kind == _WHOLE and end <= size:
                self.frames += 1
                self.messages += 1
                position = end
                continue
            self._begin(kind, length)
            if kind == _CLOSE:
                if length == 1:
                    raise self._fault(1002, "a close frame with half a code", first, before)
                self._close = bytearray(data[position:end])
            if end > size:
                self._left = end - size
                return
            position = end
            self._complete(first, before)
            if kind == _CLOSE:
                self.after = size - position
                return

    def _begin(self, kind: int, length: int) -> None:
        """A frame that needs more than counting has begun."""
        self._kind = kind
        if kind == _START:
            self._fragmented = True
            self._size = length
        elif kind == _CONTINUATION:
            self._size += length
        elif kind < _CLOSE:
            self._fragmented = False
            self._size = 0

    def _extended(self, data: bytes, position: int, end: int, first: int, before: int) -> int:
        """A 16-bit or 64-bit length, which must need its bits (RFC 6455 §5.2)."""
        length = int.from_bytes(data[position:end], "big")
        if length < (126 if end - position == 2 else 65536):
            raise self._fault(1002, "a length in more bytes than it needs", first, before)
        if length >> 63:
            raise self._fault(1002, "a length with its top bit set", first, before)
        return length

    def _complete(self, first: int, before: int) -> None:
        """The frame in progress has passed."""
        kind = self._kind
        if kind == _CLOSE:
            self._read_close(first, before)
        else:
            self.messages += _ENDS_MESSAGE[kind]
        self.frames += 1

    def _read_close(self, first: int, before: int) -> None:
        payload = bytes(self._close or b"")
        self._close = None
        if self._masked:
            payload = unmasked(payload[4:], payload[:4])
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        if payload and not may_be_sent(code):
            raise self._fault(1002, "a close code that may not be sent", first, before)
        self.close_code = code
        self.close_reason = payload[2:]
        self.closed = True

    def _fault(self, code: int, reason: str, first: int, before: int) -> FrameError:
        self._torn = first < before
        return FrameError(code, reason, max(first - before, 0))

    def cut(self, data: bytes) -> int:
        """How many leading bytes of ``data`` complete the frame in progress; ``len(data)`` if they do not.

        0 at a boundary.  Changes nothing; who forwards only so much feeds only so much.
        """
        size = len(data)
        if self._left:
            return min(self._left, size)
        held = len(self._header)
        if not held:
            return 0
        start = (self._header + data[:10])[:10]
        if len(start) < 2:
            return size
        length = start[1] & 0x7F
        end = 2
        if length > 125:
            end = 4 if length == 126 else 10
            if len(start) < end:
                return size
            length = int.from_bytes(start[2:end], "big")
        return min(end + self._overhead + length - held, size)


def may_be_sent(code: int) -> bool:
    """Whether a close frame may have this code (RFC 6455 §7.4 and the IANA registry)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))


@_native.chosen(_native.masking)
def unmasked(payload: bytes, key: bytes) -> bytes:
    """``payload`` with the masking key of four bytes put on or taken off (RFC 6455 §5.3)."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


_KEYS_AT_ONCE: Final = 256

_keys: list[bytes] = []
"""Masking keys that nobody has had yet."""

# A process that is forked would give out the same ones as the process that it comes from.
os.register_at_fork(after_in_child=_keys.clear)


def masking_key() -> bytes:
    """Four bytes that nobody can foresee, for one frame (RFC 6455 §5.3)."""
    if not _keys:
        pool = os.urandom(4 * _KEYS_AT_ONCE)
        _keys.extend([pool[at : at + 4] for at in range(0, len(pool), 4)])
    return _keys.pop()


def control_frame(first: int, payload: bytes, mask: bool) -> bytes:
    """A control frame with ``first`` as its first byte; at most 125 bytes of payload."""
    if not mask:
        return bytes((first, len(payload))) + payload
    key = masking_key()
    return bytes((first, 0x80 | len(payload))) + key + unmasked(payload, key)


def close_frame(code: int, reason: str = "", mask: bool = False) -> bytes:
    """A close frame; ``mask`` when it goes to a backend. The reason is cut to 123 bytes at a character's end.

    1005 makes one without a code, which is what it stands for (RFC 6455 §7.1.5).
    """
    return control_frame(0x88, close_payload(code, reason), mask)


@lru_cache(maxsize=64)
def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame says, as in `close_frame`. Remembered: the same few are sent all the time."""
    if code == 1005:
        return b""
    text = reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore").encode("utf-8")
    return code.to_bytes(2, "big") + text


def ping_frame(payload: bytes = b"", mask: bool = False) -> bytes:
    """A ping with up to 125 bytes; raises `ValueError` for more."""
    if len(payload) > 125:
        raise ValueError("a ping has at most 125 bytes")
    return control_frame(0x89, payload, mask)
