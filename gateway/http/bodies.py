"""Message bodies: where they end, and what is in them (RFC 9112 §6, §7).

Three decoders with one interface.  ``feed`` takes bytes of the connection and returns the payload in
them.  When the body has ended ``done`` is true, ``excess`` holds the bytes after it and ``trailers`` the
trailer fields; ``feed`` may not be called again.  ``close`` says whether the end of the connection is a
proper end of this body.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.http.faults import field_fault
from gateway.http.heads import FIELD_LINE
from gateway.http.limits import DEFAULT, HeadLimits
from gateway.values import CHUNKED, UNTIL_CLOSE, Fields

__all__ = [
    "ChunkedDecoder", "Decoder", "FramingError", "LengthDecoder", "UntilCloseDecoder", "chunk", "decoder", "last_chunk",
]  # fmt: skip

_LONGEST_SIZE_LINE: Final = 1024
_MOST_EXTENSIONS: Final = 16384
_AFTER_PAYLOAD: Final = -2

# chunk-size, below 2^60, and the extensions, which are checked for characters and dropped (RFC 9112 §7.1.1).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(FIELD_LINE)
_FRAMING: Final = frozenset(["content-length", "transfer-encoding", "host", "connection", "trailer", "te", "upgrade"])
# Some servers merge trailers into the head: what decides there about the sender, the format or the way is dropped
# (RFC 9110 §6.5.1), and so is what only a gateway may say.
_DROPPED: Final = re.compile(
    r"keep-alive|proxy-.*|authorization|cookie|set-cookie|www-authenticate|content-(?:encoding|type|range|location)|expect"
    r"|max-forwards|cache-control|range|if-.*|location|vary|date|age|expires|x-forwarded.*|forwarded|x-original-.*|x-appgw-.*"
)


class FramingError(Exception):
    """A body whose end cannot be known: the connection is of no use any more. The text is for the operator."""


class LengthDecoder:
    """A body of ``length`` bytes, at least one. ``remaining`` is what is still to come."""

    __slots__ = ("done", "excess", "remaining")

    trailers: Fields = ()

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        """Return the part of ``data`` that belongs to the body."""
        left = self.remaining - len(data)
        if left > 0:
            self.remaining = left
            return data
        self.done = True
        size = self.remaining
        self.remaining = 0
        if left:
            self.excess = data[size:]
            return data[:size]
        return data

    def close(self) -> bool:
        """The connection has ended: true if the body had as well."""
        return self.done


class UntilCloseDecoder:
    """A response body that ends with the connection."""

    __slots__ = ("done",)

    excess = b""
    trailers: Fields = ()

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Return ``data``: everything belongs to the body."""
        return data

    def close(self) -> bool:
        """The connection has ended, and with it the body."""
        self.done = True
        return True


class ChunkedDecoder:
    """A chunked body (RFC 9112 §7.1), strictly: CRLF only, no white space around the size, bounded everything.

    Raises `FramingError`.  Chunk extensions are dropped; all of a body together may have 16 KiB of them.
    Trailer fields that would frame or route are an error, those that belong in the head are dropped (RFC 9110
    §6.5.1).  ``limits`` bound the trailers.
    """

    __slots__ = ("_left", "_limits", "_line", "_overhead", "_read", "done", "excess", "trailers")

    def __init__(self, limits: HeadLimits = DEFAULT) -> None:
        self._limits = limits
        self._left = 0  # payload bytes of the chunk in progress, and -1 or -2 for the CRLF after it
        self._line = b""  # the incomplete line at the end of what was fed
        self._overhead = 0
        self._read = ChunkedDecoder._read_sizes  # not bound: it would keep this, and this it
        self.done = False
        self.excess = b""
        self.trailers: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> bytes:
        """Return the payload in ``data``, the chunks joined."""
        left = self._left
        if left >= len(data) and left > 0:
            # Inside a large chunk, which is where most bytes are.
            self._left = left - len(data) or _AFTER_PAYLOAD
            return data
        payload: list[bytes] = []
        position = 0
        if self._line:
            data = self._line + data
            self._line = b""
        if left:
            position = self._payload(data, 0, payload)
        if position >= 0:
            self._read(self, data, position, payload)
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def close(self) -> bool:
        """The connection has ended: true if the last chunk and its trailers had come."""
        return self.done

    def _payload(self, data: bytes, position: int, payload: list[bytes]) -> int:
        """Read payload and the CRLF after it; return where the next line starts, or -1 if data ended first."""
        left = self._left
        size = len(data)
        if left > 0:
            end = position + left
            if end > size:
                if position < size:
                    payload.append(data[position:])
                self._left = end - size
                return -1
            payload.append(data[position:end])
            position = end
            left = self._left = _AFTER_PAYLOAD
        while left:
            if position == size:
                return -1
            if data[position] != (13 if left == _AFTER_PAYLOAD else 10):
                raise FramingError("a chunk is not followed by CRLF")
            position += 1
            left = self._left = left + 1
        return position

    def _read_sizes(self, data: bytes, position: int, payload: list[bytes]) -> None:
        """Read chunks from where a size line begins."""
        size = len(data)
        while True:
            end = data.find(b"\r\n", position, position + _LONGEST_SIZE_LINE)
            if end < 0:
                self._hold_size_line(data, position)
                return
            length = self._chunk_size(data, position, end)
            position = end + 2
            if length == 0:
                self._read = ChunkedDecoder._read_trailers
                self._overhead = 0
                self._read_trailers(data, position, payload)
                return
            following = position + length + 2
            if following <= size and data[following - 2 : following] == b"\r\n":
                payload.append(data[position : following - 2])
                position = following
                continue
            self._left = length
            position = self._payload(data, position, payload)
            if position < 0:
                return

    def _hold_size_line(self, data: bytes, position: int) -> None:
        """Keep an incomplete size line, if it can still become one."""
        line = data[position:]
        if len(line) >= _LONGEST_SIZE_LINE:
            raise FramingError(f"a chunk-size line of more than {_LONGEST_SIZE_LINE} bytes")
        if line and _SIZE_LINE.fullmatch(line.removesuffix(b"\r")) is None:
            # "1 " may still become "1 ;a": white space before an extension is tolerated.
            if re.fullmatch(rb"[0-9A-Fa-f]{1,15}[ \t]*", line) is None:
                raise FramingError("a chunk size that is not a hexadecimal number of at most 15 digits")
        self._line = line

    def _chunk_size(self, data: bytes, position: int, end: int) -> int:
        match = _SIZE_LINE.fullmatch(data, position, end)
        if match is None:
            raise FramingError("a chunk size that is not a hexadecimal number of at most 15 digits")
        digits = match.group(1)
        extension = end - position - len(digits)
        if extension:
            self._overhead += extension
            if self._overhead > _MOST_EXTENSIONS:
                raise FramingError(f"chunk extensions of more than {_MOST_EXTENSIONS} bytes")
        return int(digits, 16)

    def _read_trailers(self, data: bytes, position: int, payload: list[bytes]) -> None:
        """Read trailer fields up to the empty line that ends the body (RFC 9112 §7.1.2)."""
        while True:
            end = data.find(b"\r\n", position)
            line_end = len(data) if end < 0 else end
            if self._overhead + line_end - position > self._limits.head:
                raise FramingError(f"a trailer section of more than {self._limits.head} bytes")
            if end < 0:
                self._line = data[position:]
                if b"\n" in self._line or b"\r" in self._line[:-1]:
                    raise FramingError("a bare CR or a bare LF in the trailer section")
                return
            if end == position:
                self.done = True
                self.excess = data[end + 2 :]
                return
            self._overhead += end + 2 - position
            self._trailer(data[position:end].decode("latin-1"))
            position = end + 2

    def _trailer(self, line: str) -> None:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise FramingError(f"the trailer section has {field_fault(line + chr(13) + chr(10))}")
        name, value = match.groups()
        name_lower = name.lower()
        if name_lower in _FRAMING:
            raise FramingError(f"the trailer field {name_lower}, which must be in the head")
        if _DROPPED.fullmatch(name_lower) is not None:
            return
        if len(self.trailers) >= self._limits.fields:
            raise FramingError(f"more than {self._limits.fields} trailer fields")
        self.trailers.append((name, value.rstrip(" \t")))


Decoder = LengthDecoder | ChunkedDecoder | UntilCloseDecoder


def decoder(body: int, limits: HeadLimits = DEFAULT) -> Decoder:
    """The decoder for the ``body`` of a head: a length, `CHUNKED` or `UNTIL_CLOSE`."""
    if body == CHUNKED:
        return ChunkedDecoder(limits)
    if body == UNTIL_CLOSE:
        return UntilCloseDecoder()
    return LengthDecoder(body)


def chunk(payload: bytes) -> bytes:
    """One chunk; nothing for no payload, for an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def last_chunk(trailers: Fields = ()) -> bytes:
    """The end of a chunked body, with trailer fields that a decoder has read."""
    if not trailers:
        return b"0\r\n\r\n"
    lines = "".join([f"{name}: {value}\r\n" for name, value in trailers])
    return f"0\r\n{lines}\r\n".encode("latin-1")
