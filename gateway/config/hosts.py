"""Host names of listeners: which are valid, which clash, and which hide others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import get_args

from gateway.config.model import HttpListener
from gateway.routing.hosts import HostMap, HostRule, host_name

__all__ = ["Neighbours", "Patterns", "Wide", "clash_of", "host_problem"]

_PROTOCOLS: tuple[str, ...] = get_args(HttpListener.model_fields["protocol"].annotation)

_HOST = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z"
)
_WILDCARD_HOST = re.compile(r"[A-Za-z0-9.*?-]+\Z")


def clash_of(a: HttpListener, b: HttpListener) -> tuple[str, str] | None:
    """Why two listeners cannot share their port: the attribute of ``b`` that is to blame (or none), and a sentence."""
    both = f"listeners {a.name!r} and {b.name!r}"
    if a.address != b.address:
        why = _meeting(a.address, b.address)
        if why is None:
            return None
        return "address", f"{both} cannot both be bound to port {a.port}: {why}; give both the same, or two ports"
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


def _meeting(a: str, b: str) -> str | None:
    """Why two addresses, spelled differently, cannot both be bound to one port; ``None`` if they can."""
    (a_host, a_families), (b_host, b_families) = _reach(a), _reach(b)
    both = a_families & b_families
    if not both:
        return None
    if a_host and b_host:
        return "their addresses are one" if a_host == b_host else None
    which = "" if "" in (a, b) else f"{min(both)} "
    return f"one of them takes all {which}addresses"


@lru_cache(maxsize=4096)
def _reach(address: str) -> tuple[str, frozenset[str]]:
    """An address in one spelling, empty where it stands for all of its families, and these.

    Only the empty one stands for both: a socket for ``::`` is one for IPv6 alone, see `listening_socket`.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address, frozenset({"IPv4", "IPv6"})
    return "" if found.is_unspecified else str(found), frozenset({f"IPv{found.version}"})


class Neighbours:
    """Listeners that are there already, for finding the first that another one cannot share its port with.

    By what they share, for there may be thousands: trying each with each would take minutes.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[object, ...], tuple[int, HttpListener]] = {}
        self._addresses: dict[int, set[str]] = {}
        self._count = 0

    def add(self, listener: HttpListener) -> None:
        port, address, protocol = listener.port, listener.address, listener.protocol
        self._addresses.setdefault(port, set()).add(address)
        for key in ((port, address), (port, address, protocol), *_answers(listener)):
            self._first.setdefault(key, (self._count, listener))
        self._count += 1

    def clash(self, listener: HttpListener) -> tuple[str, str] | None:
        """As `clash_of`, with the first of them for which it gives anything."""
        port, address = listener.port, listener.address
        others = [(port, address, protocol) for protocol in _PROTOCOLS if protocol != listener.protocol]
        meeting = [
            (port, other)
            for other in self._addresses.get(port, ())
            if other != address and _meeting(other, address) is not None
        ]
        first = self._earliest([*meeting, *others, *_answers(listener)])
        return clash_of(first, listener) if first is not None else None

    def twin(self, listener: HttpListener) -> HttpListener | None:
        """The first that answers for the same requests, by port, protocol, address and a host."""
        return self._earliest(_answers(listener))

    def _earliest(self, keys: Iterable[tuple[object, ...]]) -> HttpListener | None:
        found = [self._first[key] for key in keys if key in self._first]
        return min(found, key=lambda entry: entry[0])[1] if found else None


def _answers(listener: HttpListener) -> Iterator[tuple[object, ...]]:
    for host in listener.host_names or ("",):
        yield listener.port, listener.address, listener.protocol, host.casefold()


class Patterns:
    """Wildcards of listeners that are tried one after the other, for finding the first that stands for a host.

    Each is filed under the rarest of its texts between wildcards, which a host has to begin with, end with or hold, so
    that few of thousands are looked at.  ``known``: all that may be added.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._uses = Counter(text for pattern in known for text in _texts(pattern))
        self._filed: dict[tuple[str, int], dict[str, list[tuple[int, HostMap[bool]]]]] = {}
        self._seen: set[str] = set()

    def add(self, pattern: str, order: int) -> None:
        """``order``: of its listener; not smaller than those before."""
        if pattern.lower() in self._seen:
            return
        self._seen.add(pattern.lower())
        way, text = min(_texts(pattern), key=lambda entry: (self._uses[entry], -len(entry[1])))
        filed = self._filed.setdefault((way, len(text)), {}).setdefault(text, [])
        filed.append((order, HostMap([HostRule((pattern,), None, True)])))

    def first(self, hosts: Iterable[str]) -> int | None:
        """The order of the first that stands for one of some hosts, which may be patterns themselves."""
        best: int | None = None
        for host in map(_example, hosts):
            name = host_name(host)
            for (way, length), filed in self._filed.items():
                for text in _parts(name, way, length):
                    for order, pattern in filed.get(text, ()):
                        if best is not None and order >= best:
                            break
                        if pattern.find(host):
                            best = order
        return best


def _texts(pattern: str) -> list[tuple[str, str]]:
    """What a host that a pattern stands for has: where, and which text; at least something."""
    head, *middle, tail = re.split(r"[*?]+", pattern.lower().rstrip("."))
    texts = [("head", head), *(("within", text) for text in middle), ("tail", tail)]
    return [entry for entry in texts if entry[1]] or [("head", "")]


def _parts(host: str, way: str, length: int) -> Iterable[str]:
    if way == "within":
        return {host[start : start + length] for start in range(len(host) - length + 1)}
    return (host[:length] if way == "head" else host[-length:],)


class Wide:
    """The hosts of a listener that it may take from listeners which are tried later; false if it has no such hosts."""

    def __init__(self, listener: HttpListener) -> None:
        self.patterns = tuple(filter(_is_wildcard, listener.host_names))
        self._all = not listener.host_names

    def __bool__(self) -> bool:
        return self._all or bool(self.patterns)

    def hides(self, later: HttpListener) -> str:
        """Which hosts of a later listener of the same port are never asked for, in words; empty if there are none."""
        if self._all:
            return "every host" if later.host_names else ""
        hosts = HostMap([HostRule(self.patterns, None, True)] if self.patterns else ())
        return ", ".join(repr(host) for host in later.host_names if hosts.find(_example(host)))


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
    if "://" in host:
        return "a URL; give the host alone, without scheme, port and path"
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
