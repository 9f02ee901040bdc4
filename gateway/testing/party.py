"""Whoever talks with a gateway in a `gateway.testing.dialogue`: what a client or a backend does, and what it finds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from gateway.testing.wires import Turn, Wire
from gateway.websocket.frames import FrameScanner

__all__ = ["GET", "HANDSHAKE", "OK", "POST", "SWITCHING", "Party", "frame"]

GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nabcde"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

_DATE = "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"


def frame(opcode: int, payload: bytes = b"", *, mask: bool = False, fin: bool = True) -> bytes:
    """A WebSocket frame; the masking key is zero, so that payload can be read."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    first = bytes([(0x80 if fin else 0) | opcode, length[0] | (0x80 if mask else 0)])
    return first + length[1:] + (b"\0\0\0\0" if mask else b"") + payload


class Party:
    """Whoever is at the other end of a wire. ``receives_masked``: it is a backend."""

    def __init__(self, test: SynchronousTestCase, turn: Turn, wire: Wire, receives_masked: bool) -> None:
        self.wire = wire
        self._test = test
        self._turn = turn
        self._receives_masked = receives_masked

    # -- what it does

    def sends(self, data: bytes, piece: int | None = None) -> None:
        """Bytes arrive together, or in pieces of this size."""
        step = piece or len(data)
        self.wire.arrive(*[data[start : start + step] for start in range(0, len(data), step)])
        self._turn.run()

    def half_closes(self) -> None:
        """It sends no more and goes on reading."""
        self.wire.arrive_end()
        self._turn.run()

    def closes(self) -> None:
        """It closes its socket: what is sent to it from now on is answered by a reset."""
        self.wire.arrive_end()
        self.wire.peer_gone = True
        self._turn.run()

    def resets(self) -> None:
        """It resets the connection."""
        self.wire.arrive_end(reset=True)
        self._turn.run()

    def truncates(self) -> None:
        """It ends TLS without ``close_notify``."""
        self.wire.arrive_truncated()
        self._turn.run()

    def stalls(self) -> None:
        """It stops to take what is sent."""
        self.wire.stalled = True

    def takes(self, count: int | None = None) -> None:
        """It takes so many bytes; without a number it takes everything and reads on."""
        self.wire.take(count)
        self._turn.run()

    def says(self, *messages: str | bytes) -> None:
        """WebSocket messages: ``str`` is text, ``bytes`` binary; each in one frame."""
        for message in messages:
            payload, opcode = (message.encode(), 1) if isinstance(message, str) else (message, 2)
            self.sends(frame(opcode, payload, mask=not self._receives_masked))

    # -- what it finds

    def gets(self, expected: str | bytes, *lines: str, body: bytes = b"", without: Sequence[str] = ()) -> None:
        """Exactly these bytes come next; or, for text, a head whose first line begins so and that has these lines
        (``<trace>`` and ``<date>`` stand for one), not these fields, and this body behind it."""
        taken = self.wire.taken
        if isinstance(expected, str):
            size = taken.find(b"\r\n\r\n") + 4
            head = taken[:size].decode("latin-1").split("\r\n")[:-2]
            where = f"in {bytes(taken[:1000])!r}"
            self._test.assertTrue(head and head[0].startswith(expected), f"not {expected!r} {where}")
            for line in lines:
                wanted = re.escape(line).replace("<trace>", "[0-9a-f]{32}").replace("<date>", _DATE)
                self._test.assertTrue(any(re.fullmatch(wanted, found) for found in head[1:]), f"no {line!r} {where}")
            names = [found.partition(":")[0].lower() for found in head[1:]]
            for name in without:
                self._test.assertNotIn(name.lower(), names, where)
            del taken[:size]
            expected = body
        self._test.assertEqual(expected[:2000], bytes(taken[: len(expected)])[:2000])
        self._test.assertTrue(taken.startswith(expected))
        del taken[: len(expected)]

    def gets_page(self, status: int, *lines: str, without: Sequence[str] = ()) -> None:
        """An answer of the gateway's own, with a page."""
        size = re.search(rb"Content-Length: ([0-9]+)", self.wire.taken)
        page = bytes(self.wire.taken).partition(b"\r\n\r\n")[2][: int(size[1]) if size else 0]
        self._test.assertIn(str(status).encode(), page)
        self.gets(f"HTTP/1.1 {status} ", "Server: gateway", "Date: <date>", *lines, body=page, without=without)

    def gets_nothing(self) -> None:
        """Nothing has come that was not expected before."""
        self._test.assertEqual(b"", bytes(self.wire.taken[:2000]))

    def gets_something(self) -> bytes:
        """Whatever came."""
        taken = bytes(self.wire.taken)
        del self.wire.taken[:]
        return taken

    def gets_close(self, code: int, reason: str | None = None) -> None:
        """One close frame comes next, masked as it must be here, and nothing behind it."""
        taken = self.gets_something()
        scanner = FrameScanner(self._receives_masked)
        scanner.feed(taken)
        self._test.assertEqual((code, 1, True), (scanner.close_code, scanner.frames, scanner.at_boundary), taken)
        self._test.assertEqual(len(taken), 2 + 4 * self._receives_masked + 2 + len(scanner.close_reason))
        if reason is not None:
            self._test.assertEqual(reason, scanner.close_reason.decode())

    def hears(self, *messages: str | bytes) -> None:
        """Exactly these WebSocket messages come next, in whatever frames."""
        found: list[str | bytes] = []
        parts: list[bytes] = []
        kind = 0
        taken = self.wire.taken
        while len(found) < len(messages):
            opcode, fin, payload, size = _read_frame(taken)
            if not size:
                break
            del taken[:size]
            kind = opcode or kind
            parts.append(payload)
            if fin:
                whole, parts = b"".join(parts), []
                found.append(whole.decode() if kind == 1 else whole)
        self._test.assertEqual(list(messages), found, f"then {bytes(taken[:200])!r}")

    def finds(self, ending: str) -> None:
        """How the gateway ended the connection: ``open``, ``half-closed``, ``closed``, ``truncated`` or
        ``reset``."""
        self._test.assertEqual(ending, self.wire.ending or "open")

    def is_held(self) -> None:
        """The gateway does not read what it sends."""
        self._test.assertTrue(self.wire.paused, "the gateway reads")

    def is_read(self) -> None:
        """The gateway reads what it sends."""
        self._test.assertFalse(self.wire.paused, "the gateway does not read")


def _read_frame(data: bytearray) -> tuple[int, bool, bytes, int]:
    """Opcode, whether it is the last of its message, payload without its mask, and size of the frame that begins
    ``data``; size 0 where it is not complete or not of a message."""
    if len(data) < 2 or data[0] & 0x0F > 2:
        return 0, False, b"", 0
    length, start = data[1] & 0x7F, 2
    if length > 125:
        start = 4 if length == 126 else 10
        length = int.from_bytes(data[2:start], "big")
    masked = bool(data[1] & 0x80)
    key = bytes(data[start : start + 4]) if masked else b""
    start += len(key)
    size = start + length
    if len(data) < size:
        return 0, False, b"", 0
    payload = bytes(data[start:size])
    if masked:
        payload = bytes([byte ^ key[place % 4] for place, byte in enumerate(payload)])
    return data[0] & 0x0F, bool(data[0] & 0x80), payload, size
