"""Pages of the admin site that may be long, made piece by piece: traffic has its turn in between.

Each function is a generator that yields wherever others may have their turn, and returns the page.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from gateway.observe.reports import backend_report, pool_counts

if TYPE_CHECKING:
    from gateway.interfaces import IPool
    from gateway.observe.reports import ProbeHistory

__all__ = ["Listing", "pools_listing", "sessions_listing"]

Listing = Generator[None, None, str]

_SESSIONS_AT_ONCE = 100
_BACKENDS_AT_ONCE = 20
"""Each takes about a millisecond."""


def sessions_listing(total: int, by_pool: dict[str, int], reports: Iterable[dict[str, Any]]) -> Listing:
    """``reports`` of sessions, a line for each; they are made here if they are an iterator."""
    lines = []
    for number, report in enumerate(reports, 1):
        lines.append(json.dumps(report))
        if not number % _SESSIONS_AT_ONCE:
            yield
    return _object({"total": total, "byPool": by_pool}, "sessions", lines)


def pools_listing(name: str, pools: Iterable[IPool], probes: ProbeHistory | None) -> Listing:
    """All pools, a line for each of their backends."""
    shown, number = [], 0
    for pool in tuple(pools):
        lines = []
        for backend in tuple(pool.backends):
            lines.append(json.dumps(backend_report(pool, backend, probes)))
            number += 1
            if not number % _BACKENDS_AT_ONCE:
                yield
        shown.append(_object(pool_counts(pool), "backends", lines))
    return _object({"name": name}, "pools", shown)


def _object(members: dict[str, Any], last: str, lines: list[str]) -> str:
    """JSON: an object whose last member is a list with lines of its own."""
    begin = "".join(f"{json.dumps(name)}: {json.dumps(value)}, " for name, value in members.items())
    listed = ",\n".join(lines)
    return f"{{{begin}{json.dumps(last)}: [\n{listed}\n]}}"
