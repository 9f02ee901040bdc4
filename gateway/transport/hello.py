"""What a TLS client says first: the cipher suites of its ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2).

OpenSSL knows them too, but has no function for that which Python can call.  So whoever carries the bytes looks at
those it passes on, where somebody wants to know.  Nothing is judged here: that is left to OpenSSL.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from OpenSSL import SSL

from gateway.transport.openssl import cipher_name

__all__ = ["MOST_HELLO", "offered_suites", "suite_names"]

MOST_HELLO: Final = 1536
"""Bytes of a hello that are looked at. The suites come first, and all that there are take half of it."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_MOST_RECORD = 16384
_SESSION_ID = 4 + 2 + 32  # behind the message's head, version and random
_MOST_SESSION_ID = 32


def offered_suites(data: bytes) -> bytes | None:
    """The suites that a client offers, two bytes each, in its order. ``data``: what it has sent so far.

    ``None`` where they have not come yet; empty where they never will: this is no hello, or too long a one.
    """
    begun, over = _message(data[:MOST_HELLO])
    if begun and begun[0] != _CLIENT_HELLO:
        return b""
    end = 4 + int.from_bytes(begun[1:4])
    over = over or len(data) >= MOST_HELLO or len(begun) >= end
    not_yet = b"" if over else None
    if len(begun) <= _SESSION_ID:
        return not_yet
    length = begun[_SESSION_ID]
    at = _SESSION_ID + 1 + length + 2
    if length > _MOST_SESSION_ID:
        return b""
    if len(begun) < at:
        return not_yet
    size = int.from_bytes(begun[at - 2 : at])
    if size % 2 or at + size > end:
        return b""
    return begun[at : at + size] if len(begun) >= at + size else not_yet


def _message(data: bytes) -> tuple[bytes, bool]:
    """What is here of the first message, which may be in several records, and whether something else follows."""
    parts = []
    at = 0
    over = False
    while at < len(data) and not over:
        size = int.from_bytes(data[at + 3 : at + 5]) if len(data) >= at + 5 else 1
        over = data[at] != _HANDSHAKE or not 0 < size <= _MOST_RECORD
        if not over:
            parts.append(data[at + 5 : at + 5 + size])
            at += 5 + size
    return b"".join(parts), over


def suite_names(suites: bytes) -> str:
    """As nginx's ``$ssl_ciphers``: OpenSSL's names, colons between them, ``0x`` and four digits where it has none."""
    return ":".join([_name(suites[at : at + 2]) for at in range(0, len(suites), 2)])


@lru_cache(maxsize=1024)
def _name(suite: bytes) -> str:
    return cipher_name(_anybody(), suite) or f"0x{suite.hex()}"


@cache
def _anybody() -> SSL.Connection:
    """OpenSSL wants a connection to find a name with; any will do."""
    return SSL.Connection(SSL.Context(SSL.TLS_METHOD))
