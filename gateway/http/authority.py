"""Host and port, as the ``Host`` field and absolute-form targets spell them (RFC 9110 §7.2, RFC 3986 §3.2).

Narrower than the grammar on purpose: a registered name has only the unreserved characters, because
no host on the internet has others and a comma or a semicolon there is read differently by different
servers.  Userinfo, zone identifiers, IPvFuture and a colon without a port are refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

__all__ = ["same_authority", "valid_authority"]

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def valid_authority(text: str) -> bool:
    """Whether ``text`` is a host, or a host and a port of at most 65535."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    address, port = match.groups()
    if port is not None and int(port) > 65535:
        return False
    if address is not None:
        try:
            IPv6Address(address)
        except AddressValueError:
            return False
    return True


def same_authority(first: str, second: str, scheme: str) -> bool:
    """Whether two valid authorities name the same host and port of ``scheme`` (RFC 9110 §4.2.3)."""
    default = _DEFAULT_PORTS.get(scheme, "")
    return first.lower().removesuffix(default) == second.lower().removesuffix(default)
