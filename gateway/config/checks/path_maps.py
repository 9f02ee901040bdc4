"""Path maps: names of their rules, and patterns."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import Gateway, PathMap, PathRule

__all__ = ["find"]

class _Seen:
    """Patterns of a path map, for finding the first that matches all that another one does, however many there are."""

    def __init__(self) -> None:
        self._exact: dict[str, tuple[int, str, str]] = {}
        self._beginnings: dict[int, dict[str, tuple[int, str, str]]] = {}
        self._count = 0

    def add(self, path: str, owner: str) -> None:
        """``owner``: the name of its rule."""
        folded = path.casefold()
        entry = (self._count, folded, owner)
        self._exact.setdefault(folded, entry)
        if folded.endswith("*"):
            self._beginnings.setdefault(len(folded) - 1, {}).setdefault(folded[:-1], entry)
        self._count += 1

    def before(self, path: str) -> tuple[str, str] | None:
        """That pattern, in lower case, and the name of its rule."""
        folded = path.casefold()
        found = [known.get(folded[:length]) for length, known in self._beginnings.items() if length <= len(folded)]
        entries = [entry for entry in (self._exact.get(folded), *found) if entry is not None]
        return min(entries)[1:] if entries else None


def find(gateway: Gateway) -> Iterator[Finding]:
    """Rules of one name, patterns that mean nothing, and those that are never reached."""
    for index, path_map in enumerate(gateway.path_maps):
        yield from _map(("path_maps", index), path_map)


def _map(at: Location, path_map: PathMap) -> Iterator[Finding]:
    seen = _Seen()
    names: set[str] = set()
    for index, rule in enumerate(path_map.path_rules):
        here = (*at, "path_rules", index)
        if rule.name.casefold() in names:
            message = f"path rule {rule.name!r} is there twice in path map {path_map.name!r}"
            yield Finding((*here, "name"), message)
        names.add(rule.name.casefold())
        yield from _paths(here, rule, seen)


def _paths(at: Location, rule: PathRule, seen: _Seen) -> Iterator[Finding]:
    if not rule.paths:
        message = f"path rule {rule.name!r} has no paths; give it patterns such as '/images/*'"
        yield Finding((*at, "paths"), message)
    for index, path in enumerate(rule.paths):
        here = (*at, "paths", index)
        problem = _problem(path)
        if problem:
            yield Finding(here, f"found {path!r}; {problem}")
        if path.startswith("/"):
            yield from _reached(here, path, seen)
            seen.add(path, rule.name)


def _problem(path: str) -> str:
    if not path.startswith("/"):
        return "a path pattern begins with '/'"
    if "*" in path[:-1]:
        return "'*' is allowed only as the last character of a path pattern"
    if "?" in path or "#" in path:
        return "a path pattern has no query and no fragment ('?', '#')"
    return ""


def _reached(at: Location, path: str, seen: _Seen) -> Iterator[Finding]:
    earlier = seen.before(path)
    if earlier is not None:
        pattern, owner = earlier
        yield warning(
            at,
            f"{path!r} is never reached: {pattern!r} of path rule {owner!r} comes before it and matches the same; "
            "put it first",
        )
