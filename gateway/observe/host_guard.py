"""Which ``Host`` a private page answers to.

A web page anywhere may make its own name resolve to 127.0.0.1 and then read what listens there (DNS rebinding).  Its
requests carry that name as ``Host``, so only names that cannot be a stranger's are let in: addresses and
``localhost``, and those that the operator lists.  Not the address that stands for none (0.0.0.0, ``::``): browsers
connect to this machine for it, also from pages that they keep away from 127.0.0.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

__all__ = ["host_name", "may_ask", "own_origin"]

_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::[0-9]{1,5})?")


def host_name(host: str) -> str:
    """The lower-case name or address in a ``Host`` value, without port and brackets; empty if it is not well-formed."""
    found = _HOST.fullmatch(host)
    return "" if found is None else (found["six"] or found["name"]).lower().rstrip(".")


def may_ask(host: str, allowed: Collection[str] = ()) -> bool:
    """Whether a request with this ``Host`` may be answered. ``allowed``: further names, lower case."""
    name = host_name(host)
    try:
        address = ip_address(name)
        return not (getattr(address, "ipv4_mapped", None) or address).is_unspecified
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or (name != "" and name in allowed)


def own_origin(origin: str, host: str) -> bool:
    """Whether an ``Origin`` (RFC 6454 §7) is the site that is addressed with this ``Host``."""
    scheme, _, rest = origin.partition("://")
    return scheme in ("http", "https") and bool(rest) and rest.lower() == host.lower()
