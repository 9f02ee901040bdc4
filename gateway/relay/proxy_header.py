"""The header with which a backend connection may begin to say who the client is: the PROXY protocol, version 1.

Its specification is that of HAProxy (proxy-protocol.txt §2.1): one line of ASCII, at most 107 bytes, before anything
else, TLS included.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.values import Peer

__all__ = ["UNKNOWN", "proxy_header"]

UNKNOWN = b"PROXY UNKNOWN\r\n"
"""For a connection that no client has asked for, such as a probe's."""


def proxy_header(client: Peer, local: Peer) -> bytes:
    """The header for a client that is connected to ``local``; `UNKNOWN` where their addresses are not of one family."""
    try:
        versions = {ip_address(client.host).version, ip_address(local.host).version}
    except ValueError:
        return UNKNOWN
    if len(versions) > 1:
        return UNKNOWN
    return f"PROXY TCP{versions.pop()} {client.host} {local.host} {client.port} {local.port}\r\n".encode("ascii")
