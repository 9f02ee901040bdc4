"""Host and port, as the ``Host`` field and absolute-form targets spell them (RFC 9110 §7.2, RFC 3986 §3.2).

Narrower than the grammar on purpose: a registered name has only the unreserved characters, because
no host on the internet has others and a comma or a semicolon there is read differently by different
servers.  Userinfo, zone identifiers and IPvFuture are refused.  A port may be empty (RFC 3986 §3.2.3).
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

__all__ = ["authority", "valid_authority"]

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{0,5}))?")


def authority(host: str, port: int | str | None = None) -> str:
    """``host:port``, or the host alone where there is no port; an IPv6 address gets its brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def valid_authority(text: str) -> bool:
    """Whether ``text`` is a host, or a host and a port of at most 65535, which may be empty after its colon."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    address, port = match.groups()
    if port and int(port) > 65535:
        return False
    if address is not None:
        try:
            IPv6Address(address)
        except AddressValueError:
            return False
    return True
