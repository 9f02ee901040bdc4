"""What requests are told apart by: a field, a cookie, a parameter of the query, the client's address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from gateway.http.cookies import cookie
from gateway.http.forwarded import TrustedProxies, client_address, client_network

if TYPE_CHECKING:
    from gateway.values import Peer, RequestHead

__all__ = ["FORMS", "Key", "address_key", "key_of"]

Key = Callable[["RequestHead", "Peer"], "str | None"]
"""Gives the key of a request; ``None`` or empty where it has none."""

FORMS = "`header:NAME`, `cookie:NAME`, `query:NAME`, `host`, `path` or `address`"


def key_of(by: str, trusted: TrustedProxies) -> Key:
    """The function for one of `FORMS`. Raises ``ValueError`` with what would be right."""
    kind, mark, name = by.partition(":")
    simple: dict[str, Key] = {"address": address_key(trusted), "host": _host, "path": _path}
    if kind in simple and not mark:
        return simple[kind]
    named = {"header": _header, "cookie": _cookie, "query": _query}
    if kind not in named or not name:
        raise ValueError(f"found {by[:80]!r}; expected {FORMS}")
    return named[kind](name)


def address_key(trusted: TrustedProxies, v4_prefix: int = 32, v6_prefix: int = 64) -> Key:
    """By the network of the client's address, see `client_network`."""
    return lambda head, peer: client_network(client_address(peer, head, trusted), v4_prefix, v6_prefix)


def _host(head: RequestHead, peer: Peer) -> str:
    return head.host.lower()


def _path(head: RequestHead, peer: Peer) -> str:
    return head.path


def _header(name: str) -> Key:
    lower = name.lower()
    return lambda head, peer: head.index.get(lower)


def _cookie(name: str) -> Key:
    return lambda head, peer: cookie(head, name)


def _query(name: str) -> Key:
    def find(head: RequestHead, peer: Peer) -> str | None:
        query = head.query
        if query:
            for pair in query.split("&"):
                key, _, value = pair.partition("=")
                if key == name or unquote_plus(key) == name:
                    return unquote_plus(value)
        return None

    return find
