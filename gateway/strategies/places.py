"""Where a configuration lists strategies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.model import Gateway, Strategy

__all__ = ["Place", "uses"]

Place = tuple[str, ...]
"""Where strategies are listed: ``()`` gateway, ``("listener", name)``, ``("rule", name)``, ``("path", map, "0")``."""


def uses(model: Gateway, field: str) -> Iterator[tuple[Place, str, tuple[Strategy, ...]]]:
    """Whatever in ``model`` has a list of strategies called ``field``: its place, the list's path, and the list."""
    if found := getattr(model, field, ()):
        yield (), field, found
    for kind, word, several in ("listener", "listeners", model.listeners), ("rule", "rules", model.rules):
        for number, each in enumerate(several):
            if found := getattr(each, field, ()):
                yield (kind, each.name), f"{word}[{number}].{field}", found
    for number, path_map in enumerate(model.path_maps):
        for position, each in enumerate(path_map.path_rules):
            if found := getattr(each, field, ()):
                yield ("path", path_map.name, str(position)), f"pathMaps[{number}].pathRules[{position}].{field}", found
