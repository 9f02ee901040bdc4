"""What requests are told apart by: a field, a cookie, a parameter of the query, the client's address."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from gateway.http.cookies import cookie
from gateway.http.forwarded import TrustedProxies, client_address

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
    """By the network of the client's address, of so many bits.

    A host has many IPv6 addresses and changes them daily, all in one /64 (RFC 8981).
    """
    return lambda head, peer: _network(client_address(peer, head, trusted), v4_prefix, v6_prefix)


@lru_cache(maxsize=4096)
def _network(host: str, v4_prefix: int, v6_prefix: int) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefix = v6_prefix if address.version == 6 else v4_prefix
    dropped = address.max_prefixlen - prefix
    return f"{address.version}:{int(address) >> dropped:x}/{prefix}"


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
