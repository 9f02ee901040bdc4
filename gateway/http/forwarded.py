"""What the gateway tells a backend of the client: the X-Forwarded fields and their like.

The client's own values are believed only if it is a trusted proxy; from strangers they are replaced (the fields of the
same name are removed by `gateway.http.forwarding`).  Names and forms are the Application Gateway's (six fields, the
address with its port); what else a trusted proxy says, such as X-Forwarded-Host, goes on as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.http.authority import valid_authority
from gateway.http.forwarding import is_proxys
from gateway.values import Peer, RequestHead

__all__ = ["ForwardedFields", "TrustedProxies", "client_address", "client_network"]

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_SCHEMES = {"http": "80", "https": "443"}
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class TrustedProxies:
    """Networks whose X-Forwarded fields are believed."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(network, strict=False) for network in networks]

    def trusts(self, host: str) -> bool:
        """Whether the address ``host`` belongs to one of the networks."""
        if not self._networks:
            return False
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def client_address(peer: Peer, head: RequestHead, trusted: TrustedProxies) -> str:
    """The address of the client: ``peer``'s, or behind trusted proxies the last in X-Forwarded-For that is not theirs.

    What a client writes into the field itself stands further left and is never looked at.
    """
    if not trusted.trusts(peer.host):
        return peer.host
    address = peer.host
    for item in reversed(head.index.get("x-forwarded-for", "").split(",")):
        found = _address(item.strip())
        if found is None:
            break
        address = found
        if not trusted.trusts(found):
            break
    return address


@lru_cache(maxsize=4096)
def client_network(host: str, v4_prefix: int = 32, v6_prefix: int = 64) -> str:
    """The network of so many bits that the address ``host`` is in, to tell clients apart; ``host`` if it is none.

    A host has many IPv6 addresses and changes them daily, all in one /64 (RFC 8981).
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefix = v6_prefix if address.version == 6 else v4_prefix
    dropped = address.max_prefixlen - prefix
    return f"{address.version}:{int(address) >> dropped:x}/{prefix}"


def _address(text: str) -> str | None:
    """An address of X-Forwarded-For without its port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _lines(peer: str, proto: str, port: int | str) -> str:
    return f"X-Forwarded-For: {peer}\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Port: {port}\r\n"


class ForwardedFields:
    """The field lines for the requests of one client connection.

    ``known``: those that are the same for all requests of a client that is not ``trusted``.
    """

    __slots__ = ("_peer", "_port", "_proto", "known", "trusted")

    def __init__(self, peer: Peer, scheme: str, port: int, trusted: bool) -> None:
        self.trusted = trusted
        self._peer, self._proto, self._port = str(peer), scheme, port
        self.known = _lines(self._peer, scheme, port)

    def lines(self, head: RequestHead, trace_id: str) -> str:
        """All of them as ``name: value`` lines, each ended by CRLF.

        What a trusted proxy says of scheme and port counts only if it is ``http`` or ``https``, and 1 to 65535.  Of its
        scheme without a port the port is the one of the host that was asked for, or the usual.
        """
        known = self.known
        host, url, more = head.host, head.target, ""
        if self.trusted:
            index = head.index
            chain = index.get("x-forwarded-for")
            proto = index.get("x-forwarded-proto", "").lower()
            port = index.get("x-forwarded-port", "")
            if not _is_port(port):
                port = _port_asked_for(head) or _SCHEMES[proto] if proto in _SCHEMES else str(self._port)
            peer = f"{chain}, {self._peer}" if chain else self._peer
            known = _lines(peer, proto if proto in _SCHEMES else self._proto, port)
            host = index.get("x-original-host", host)
            url = index.get("x-original-url", url)
            said = [field for field in head.fields if is_proxys(field[0]) and field[0].lower() not in head.nominated]
            more = "".join([f"{name}: {value}\r\n" for name, value in said])
        return f"{known}X-Original-Host: {host}\r\nX-Original-URL: {url}\r\nX-AppGW-Trace-Id: {trace_id}\r\n{more}"

    def trace_id(self, head: RequestHead) -> str | None:
        """The trace id that a trusted proxy sent, if it is one."""
        if not self.trusted:
            return None
        given = head.index.get("x-appgw-trace-id", "")
        return given if _TRACE_ID.fullmatch(given) else None


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) < 65536


def _port_asked_for(head: RequestHead) -> str:
    """The port in a trusted proxy's X-Forwarded-Host, or in Host where there is none; empty for the usual."""
    asked = head.index.get("x-forwarded-host", "").partition(",")[0].strip(" \t") or head.host
    _, colon, port = asked.rpartition(":")
    return port if colon and _is_port(port) and valid_authority(asked) else ""
