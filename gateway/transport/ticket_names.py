"""Which key a context makes its session tickets with: by its name, which OpenSSL draws with the key.

A ticket of OpenSSL's begins with that name (RFC 5077 §4), which stays the same as long as the context lives and is that
of no other one.  No function of pyOpenSSL's tells it, so a client in memory gets a ticket and shows it.
"""

from __future__ import annotations

from OpenSSL import SSL

from gateway.transport.hello import read_hello

__all__ = ["ticket_name"]

_MOST = 1 << 20
_ROUNDS = 4
"""How often each side speaks in a handshake, and once more."""


def ticket_name(context: SSL.Context, least: int, most: int) -> bytes:
    """The name in the tickets of ``context`` (a server's), for clients of the versions ``least`` to ``most``.

    Empty where there are no tickets, or no handshake comes about.  Takes about a millisecond.
    """
    server = SSL.Connection(context, None)
    server.set_accept_state()
    if server.set_options(0) & SSL.OP_NO_TICKET:
        return b""  # what TLS 1.3 calls tickets then is something else, without a name
    visitor = SSL.Context(SSL.TLS_METHOD)
    visitor.set_min_proto_version(least)
    visitor.set_max_proto_version(most)
    visitor.set_cipher_list(b"ALL:@SECLEVEL=0")
    first = SSL.Connection(visitor, None)  # must live until its session has been used
    first.set_connect_state()
    try:
        for _ in range(_ROUNDS):
            for speaker, listener in ((first, server), (server, first)):
                said = _said(speaker)
                if said:
                    listener.bio_write(said)
        session = first.get_session()
        if session is None:
            return b""
        second = SSL.Connection(visitor, None)
        second.set_session(session)
        second.set_connect_state()
        hello = read_hello(_said(second))
    except SSL.Error:
        return b""
    return b"" if hello is None else hello.ticket


def _said(speaker: SSL.Connection) -> bytes:
    """Let one side do what it can. Reading makes the handshake, and takes in a ticket that comes behind it."""
    try:
        speaker.recv(1)
    except SSL.WantReadError:
        pass
    try:
        return speaker.bio_read(_MOST)
    except SSL.WantReadError:
        return b""
