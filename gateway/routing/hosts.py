"""Which listener of a port answers for a host.

Several listeners may share a port if their host names differ.  They are tried in this order:

1. by the priority of the listener's rule, smaller numbers first, as Application Gateway v2 does.  There a listener
   without host names, or with a wildcard, *does* hide more exact ones if its number is smaller;
2. listeners whose rules have no priority, after those: exact names, then wildcards, the one with more literal
   characters first, then listeners without host names;
3. otherwise as configured.

Host names are compared without case, port and final dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

__all__ = ["HostMap", "HostRule", "host_name"]

_T = TypeVar("_T")

_LONGEST = 255
"""No DNS name is longer (RFC 1035 §2.3.4); what is longer only matches listeners without host names."""

_MOST_KNOWN = 1024
"""Hosts, as they were sent, of which is remembered what answers for them: patterns are tried one by one."""

_LAST = 1 << 30


class HostRule(NamedTuple, Generic[_T]):
    """One listener: its host names (none: all), the priority of its rule, and what to answer for it."""

    names: tuple[str, ...]
    priority: int | None
    value: _T


class HostMap(Generic[_T]):
    """Finds the value of the first listener that answers for a host.

    ``only`` is the value for every host, where there is but one, else ``None``.
    """

    def __init__(self, rules: Iterable[HostRule[_T]]) -> None:
        ranked: list[tuple[tuple[int, int, int, int], str, _T]] = []
        for index, rule in enumerate(rules):
            for name in rule.names or ("",):
                ranked.append((_rank(name, rule.priority, index), name.lower().rstrip("."), rule.value))
        ranked.sort(key=lambda entry: entry[0])
        self._known: dict[str, _T | None] = {}
        self._ranked = [(name, value) for _, name, value in ranked]
        self._exact: dict[str, tuple[int, _T]] = {}
        self._others: list[tuple[int, re.Pattern[str] | None, _T]] = []
        for place, (_, name, value) in enumerate(ranked):
            if not name:
                self._others.append((place, None, value))
                break  # nothing after it can be reached
            if _is_wildcard(name):
                self._others.append((place, _compile(name), value))
            else:
                self._exact.setdefault(name.strip("[]"), (place, value))
        self.only: _T | None = None
        if self._others and not self._exact and self._others[0][1] is None:
            self.only = self._others[0][2]

    def find(self, host: str) -> _T | None:
        """The value for a Host as it was sent, or ``None`` where no listener answers. HOT"""
        known = self._known
        try:
            return known[host]
        except KeyError:
            pass
        value = self._look_up(host)
        if len(host) <= _LONGEST:
            if len(known) >= _MOST_KNOWN:
                known.clear()  # hosts come from the peer
            known[host] = value
        return value

    def _look_up(self, host: str) -> _T | None:
        name = host_name(host)
        known = len(name) <= _LONGEST
        best, value = self._exact.get(name, (_LAST, None)) if known else (_LAST, None)
        for place, pattern, other in self._others:
            if place > best:
                break
            if pattern is None or (known and pattern.fullmatch(name)):
                return other
        return value

    def values(self) -> list[_T]:
        """All values, in the order in which their names are tried."""
        return [value for _, value in self._ranked]

    def tried(self, host: str) -> Iterator[tuple[str, _T, bool]]:
        """Name, value and whether it matches, in the order in which names are tried, up to the first that does.

        For explanations: the last value is the one that `find` gives.
        """
        name = host_name(host)
        known = len(name) <= _LONGEST
        patterns = {place: pattern for place, pattern, _ in self._others}
        for place, (tried, value) in enumerate(self._ranked):
            pattern = patterns.get(place)
            matches = not tried or (known and bool(pattern.fullmatch(name) if pattern else tried.strip("[]") == name))
            yield tried, value, matches
            if matches:
                return


def host_name(host: str) -> str:
    """``host[:port]`` as sent, without port, brackets and final dot, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    if host.count(":") > 1:  # a bare IPv6 address: nothing to cut off
        return host.lower()
    return host.partition(":")[0].lower().rstrip(".")


def _is_wildcard(name: str) -> bool:
    return "*" in name or "?" in name


def _rank(name: str, priority: int | None, index: int) -> tuple[int, int, int, int]:
    first = _LAST if priority is None else priority
    if not name:
        return first, 2, 0, index
    if _is_wildcard(name):
        return first, 1, -sum(character not in "*?" for character in name), index
    return first, 0, 0, index


def _compile(name: str) -> re.Pattern[str]:
    """``*`` is any number of characters, dots too; ``?`` is one, but not a dot.

    The group around each ``*`` and the text after it is atomic: taking the first place where that text fits is
    always right for such patterns, and without going back the time is bounded for every host.
    """
    first, *rest = [
        "".join(["[^.]" if character == "?" else re.escape(character) for character in part])
        for part in re.split(r"\*+", name)
    ]
    if not rest:
        return re.compile(first)
    middle = "".join([f"(?>.*?{part})" for part in rest[:-1]])
    return re.compile(f"{first}{middle}.*{rest[-1]}")
