"""Host names of listeners: which are valid, which clash, and which hide others."""

from __future__ import annotations

import re

from gateway.config.model import HttpListener
from gateway.routing.hosts import HostMap, HostRule

__all__ = ["Wide", "clash_of", "host_problem"]

_HOST = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z"
)
_WILDCARD_HOST = re.compile(r"[A-Za-z0-9.*?-]+\Z")


def clash_of(a: HttpListener, b: HttpListener) -> tuple[str, str] | None:
    """Why two listeners cannot share their port: the attribute of ``b`` that is to blame (or none), and a sentence."""
    both = f"listeners {a.name!r} and {b.name!r}"
    if a.address != b.address:
        if a.address and b.address:
            return None
        return "address", f"{both} cannot both be bound to port {a.port}: one of them takes all addresses"
    if a.protocol != b.protocol:
        return (
            "protocol",
            f"{both} share port {a.port} but speak {a.protocol} and {b.protocol}; a port has one protocol",
        )
    shared = _shared_hosts(a, b)
    if shared is None:
        return None
    where = f"both answer for host {shared!r}" if shared else "neither has a host name"
    return "", f"{both} share port {a.port} and {where}; one of them could never be reached"


class Wide:
    """The hosts of a listener that it may take from listeners which are tried later; false if it has no such hosts."""

    def __init__(self, listener: HttpListener) -> None:
        patterns = tuple(filter(_is_wildcard, listener.host_names))
        self._all = not listener.host_names
        self._hosts = HostMap([HostRule(patterns, None, True)]) if patterns else None

    def __bool__(self) -> bool:
        return self._all or self._hosts is not None

    def hides(self, later: HttpListener) -> str:
        """Which hosts of a later listener of the same port are never asked for, in words; empty if there are none."""
        if self._all:
            return "every host" if later.host_names else ""
        find = self._hosts.find if self._hosts is not None else lambda host: None
        return ", ".join(repr(host) for host in later.host_names if find(_example(host)))


def _example(host: str) -> str:
    """A host that a pattern stands for and hardly any other pattern does."""
    return host.replace("*", "q7zk9").replace("?", "q")


def _is_wildcard(host: str) -> bool:
    return "*" in host or "?" in host


def _shared_hosts(a: HttpListener, b: HttpListener) -> str | None:
    """A host that both answer for (empty: any), or ``None``."""
    if not a.host_names and not b.host_names:
        return ""
    common = {host.casefold() for host in a.host_names} & {host.casefold() for host in b.host_names}
    return min(common) if common else None


def host_problem(host: str) -> str | None:
    """What is wrong with a host name or wildcard of a listener."""
    if not _is_wildcard(host):
        if ":" in host and not host.startswith("["):
            return "a host name has no port"
        if not host.isascii():
            return "write an international host name in its ASCII form (xn--…)"
        return None if _HOST.match(host) and len(host) <= 253 else "not a host name"
    if not _WILDCARD_HOST.match(host) or len(host) > 253:
        return "a wildcard host has letters, digits, '-', '.', '*' and '?' only"
    if host.count("*") > 2:
        return "at most two '*' are allowed in a host name"
    if host.count("*") + host.count("?") > 4:
        return "at most four wildcard characters are allowed in a host name"
    for label in host.split("."):
        if not label:
            return "an empty label"
        if re.search(r"\*\*|\*\?|\?\*", label):
            return "'**', '*?' and '?*' are not allowed"
        if label.count("*") > 1:
            return "'*' is allowed once in each label"
    return None
