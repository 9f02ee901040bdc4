"""Names, and who refers to whom by name: twice the same, one that is not there, one that nobody mentions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.kinds import ONE
from gateway.config.model import Gateway
from gateway.config.tree import Hints
from gateway.strategies.groups import BUILT_IN

__all__ = ["find", "find_unused"]

_MOST_LISTED = 12
_MAY_BE_UNUSED = (
    "pools", "path_maps", "routing_maps", "condition_sets", "distributions", "probes", "redirects", "rewrites",
    "settings",
)  # fmt: skip
_LEADING: Final = {"pool": "pools", "settings": "settings", "redirect": "redirects", "rewrite": "rewrites"}
_SHARING: Final = {**_LEADING, "distribution": "distributions"}


def _default(attributes: Mapping[str, str]) -> dict[str, str]:
    return {f"default_{attribute}": kind for attribute, kind in attributes.items()}


_REFERRING: Final[dict[tuple[str, ...], Mapping[str, str]]] = {
    ("rules",): {"listener": "listeners", "path_map": "path_maps", "routing_map": "routing_maps", **_SHARING},
    ("path_maps",): _default(_SHARING),
    ("path_maps", "path_rules"): _SHARING,
    ("routing_maps",): _default(_LEADING),
    ("routing_maps", "rules"): {"condition_set": "condition_sets", **_LEADING},
    ("distributions", "targets"): {"pool": "pools"},
    ("redirects",): {"target_listener": "listeners"},
    ("settings",): {"probe": "probes", "trusted_root_certificates": "trusted_roots"},
    ("listeners",): {"certificates": "certificates", "ssl_profile": "ssl_profiles"},
    ("ssl_profiles",): {"trusted_client_certificates": "trusted_client_certificates"},
}
"""The objects that refer to others, by the way to them: their attributes, and the collections that these name."""


class _Reference(NamedTuple):
    location: Location
    kind: str
    name: str


def find(gateway: Gateway) -> Iterator[Finding]:
    """Names that are there twice in a collection, and references to what is not there."""
    yield from _twice(gateway)
    names = {kind: {item.name for item in getattr(gateway, kind)} for kind in ONE}
    known: dict[str, list[str]] = {}
    hints = Hints()
    for reference in _references(gateway):
        kind = reference.kind
        if reference.name not in names[kind]:
            if kind not in known:
                known[kind] = sorted(name for name in names[kind] if not name.startswith("?"))  # stands for a mistake
            yield _missing(reference, known[kind], hints)


def find_unused(gateway: Gateway) -> Iterator[Finding]:
    """What can only be there for others, and no other refers to."""
    used = {(kind, name) for _, kind, name in _references(gateway)}
    for rule in gateway.rules:
        if rule.router is None:
            continue
        if rule.router.strategy in BUILT_IN["gateway.routers"]:  # whose options name all that they lead to
            words: Iterable[str] = _words(rule.router.options)
        else:  # it may ask for any
            words = [item.name for item in (*gateway.pools, *gateway.settings)]
        used |= {(kind, word) for word in words for kind in ("pools", "settings")}
    for kind in _MAY_BE_UNUSED:
        for index, item in enumerate(getattr(gateway, kind)):
            if (kind, item.name) not in used:
                yield warning((kind, index), f"{ONE[kind]} {item.name!r} is not used by anything")


def _twice(gateway: Gateway) -> Iterator[Finding]:
    for kind in (*ONE, "rules"):
        seen: set[str] = set()
        for index, item in enumerate(getattr(gateway, kind)):
            if item.name.casefold() in seen:
                message = f"the name {item.name!r} is there twice; names are unique regardless of case"
                yield Finding((kind, index, "name"), message)
            seen.add(item.name.casefold())


def _missing(reference: _Reference, known: Sequence[str], hints: Hints) -> Finding:
    """Say what exists instead."""
    location, kind, name = reference
    close = hints.nearest(name, known)
    hint = f"; did you mean {close!r}?" if close else ""
    listed = ", ".join(known[:_MOST_LISTED]) + (", …" if len(known) > _MOST_LISTED else "")
    there_are = f"(there are: {listed})" if known else "(there are none)"
    return Finding(location, f"there is no {ONE[kind]} {name!r}{hint} {there_are}", kind=kind)


def _references(gateway: Gateway) -> Iterator[_Reference]:
    for way, attributes in _REFERRING.items():
        for location, item in _objects(gateway, way):
            for attribute, kind in attributes.items():
                value = getattr(item, attribute)
                if isinstance(value, tuple):
                    for number, name in enumerate(value):
                        yield _Reference((*location, attribute, number), kind, name)
                elif value is not None:
                    yield _Reference((*location, attribute), kind, value)


def _objects(owner: Any, way: tuple[str, ...], location: Location = ()) -> Iterator[tuple[Location, Any]]:
    """What is at the end of ``way``, an attribute with a list, and one of each item of that, and so on."""
    attribute, *rest = way
    for index, item in enumerate(getattr(owner, attribute)):
        here = (*location, attribute, index)
        if rest:
            yield from _objects(item, tuple(rest), here)
        else:
            yield here, item


def _words(value: object) -> Iterator[str]:
    """All texts within the options of a plugin."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _words(each)
