"""What a TLS client says first: server name, cipher suites and ticket of its ClientHello (RFC 8446 §4.1.2).

OpenSSL knows them too, but says the name when the version has been agreed on, and has no function for the suites and
the ticket that Python can call.  So whoever carries the bytes looks at those it passes on, where somebody wants to
know.  Nothing is judged here: that is left to OpenSSL.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final, NamedTuple

from OpenSSL import SSL

from gateway.transport.openssl import cipher_name

__all__ = ["MOST_HELLO", "MOST_LOOKS", "TICKET_NAME", "Ear", "Hello", "read_hello", "suite_names"]

MOST_HELLO: Final = 16384
"""Bytes of a hello that are looked at."""

MOST_LOOKS: Final = 64
"""How often that is done: a hello comes in one segment, or a few."""

TICKET_NAME: Final = 16
"""Bytes at the beginning of a ticket that say which key it was made with (RFC 5077 §4)."""

_MOST_SUITES = 1400
_MOST_RECORD = 16384
_MOST_SESSION_ID = 32
_HANDSHAKE = 22
_CLIENT_HELLO = 1

_SERVER_NAME = b"\0\0"  # RFC 6066 §3
_SESSION_TICKET = b"\0\x23"  # RFC 5077 §3.2
_PRE_SHARED_KEY = b"\0\x29"  # RFC 8446 §4.2.11


class Hello(NamedTuple):
    """``suites``: what is offered, in the client's order, two bytes each, at most 700; ``name``: the server's;
    ``ticket``: the key name that the ticket of the session to be resumed begins with, if there is one."""

    suites: bytes = b""
    name: bytes = b""
    ticket: bytes = b""


class Ear:
    """Listens to the beginning of one connection."""

    __slots__ = ("_looks", "_size")

    def __init__(self) -> None:
        self._looks = 0
        self._size = 0

    def hear(self, data: bytes) -> Hello | None:
        """What the client says; ``data`` is all that it has sent. ``None``: wait for more.

        An empty one where waiting is no use: this is no hello, or too long, or in too many pieces, or nothing has come.
        """
        found = read_hello(data)
        self._looks += 1
        if found is None and (self._looks == MOST_LOOKS or len(data) == self._size):
            return Hello()
        self._size = len(data)
        return found


class _Broken(Exception):
    """A length that does not fit."""


class _Reader:
    """Takes a message apart."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        if size > len(self.rest):
            raise _Broken
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def vector(self, width: int) -> bytes:
        """What has its length before it, in ``width`` bytes."""
        return self.take(int.from_bytes(self.take(width)))


def read_hello(data: bytes) -> Hello | None:
    """The hello at the beginning of ``data``; ``None`` if it is not complete, an empty one where it never will be."""
    begun, over = _message(data[:MOST_HELLO])
    end = 4 + int.from_bytes(begun[1:4])
    if (begun and begun[0] != _CLIENT_HELLO) or end > MOST_HELLO:
        return Hello()
    if len(begun) < max(end, 4):
        return Hello() if over or len(data) >= MOST_HELLO else None
    try:
        return _hello(_Reader(begun[4:end]))
    except _Broken:
        return Hello()


def _hello(body: _Reader) -> Hello:
    body.take(2 + 32)  # version, random
    session, suites = body.vector(1), body.vector(2)
    body.vector(1)  # compression
    if len(session) > _MOST_SESSION_ID or len(suites) % 2:
        raise _Broken
    extensions = _Reader(body.vector(2) if body.rest else b"")
    name = ticket = b""
    while extensions.rest:
        kind, content = extensions.take(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            names = _Reader(_Reader(content).vector(2))
            if names.take(1) == b"\0":
                name = names.vector(2)
        elif kind == _SESSION_TICKET:
            ticket = content
        elif kind == _PRE_SHARED_KEY:  # the last of all; servers that take it do not look at the other
            ticket = _Reader(_Reader(content).vector(2)).vector(2)
    return Hello(suites[:_MOST_SUITES], name, ticket[:TICKET_NAME] if len(ticket) >= TICKET_NAME else b"")


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
