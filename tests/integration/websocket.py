"""WebSocket by hand: handshakes and single frames, right or wrong (RFC 6455). Shares no code with the gateway."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from tests.integration.messages import Message
from tests.integration.wire import Wire

__all__ = [
    "BINARY", "CLOSE", "CONTINUATION", "KEY", "PING", "PONG", "TEXT",
    "Frame", "agree", "close", "frame", "handshake", "read_close", "read_frame",
]  # fmt: skip

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 §1.3


class Frame(NamedTuple):
    """A frame as it arrived. ``payload`` is unmasked; ``raw`` is every byte of it."""

    fin: bool
    reserved: int
    opcode: int
    masked: bool
    payload: bytes
    raw: bytes


def handshake(extra: str = "", key: str = KEY, path: str = "/chat") -> bytes:
    """A client's opening handshake; ``extra`` are field lines, each ended by CRLF."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    ).encode("latin-1")


def agree(request: Message, extra: str = "") -> bytes:
    """A server's answer that accepts a handshake."""
    key = request.get("Sec-WebSocket-Key") or ""
    accept = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
    ).encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    mask: bytes | None = None,
    fin: bool = True,
    reserved: int = 0,
    length: int | None = None,
) -> bytes:
    """One frame; ``mask`` is the masking key. ``length`` may claim another length than the payload has."""
    size = len(payload) if length is None else length
    masked = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + _xor(payload, mask)


def close(code: int, reason: str = "", mask: bytes | None = None) -> bytes:
    """A close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode(), mask)


async def read_frame(wire: Wire) -> Frame:
    """Read one frame, whoever sent it."""
    raw = await wire.exactly(2)
    first, second = raw
    size = second & 0x7F
    if size >= 126:
        extended = await wire.exactly(2 if size == 126 else 8)
        raw += extended
        size = int.from_bytes(extended, "big")
    mask = await wire.exactly(4) if second & 0x80 else b""
    payload = await wire.exactly(size)
    return Frame(
        bool(first & 0x80), first >> 4 & 7, first & 15, bool(mask), _xor(payload, mask) if mask else payload,
        raw + mask + payload,
    )  # fmt: skip


async def read_close(wire: Wire) -> tuple[int, str, bool]:
    """Read a close frame: code, reason, whether it was masked."""
    got = await read_frame(wire)
    if got.opcode != CLOSE:
        raise AssertionError(f"not a close frame: {got}")
    return int.from_bytes(got.payload[:2], "big"), got.payload[2:].decode(), got.masked


def _xor(data: bytes, mask: bytes) -> bytes:
    if not any(mask):
        return data
    stream = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
