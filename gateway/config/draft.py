"""The model in the making, and where in the user's file everything of it stands.

A reader (`resource`, `compact`) makes `Draft` objects: plain dictionaries in the model's attribute names which know
their places.  A *location* is a way into the model, ``("certificates", 0, "password")``; checks outside of this package
write it as a path, ``certificates[0].password``.  `place_of` says where in the user's file a location is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from gateway.config import model
from gateway.config.tree import Map, Place, Seq, line_of

__all__ = ["MODEL_KEYS", "Draft", "Location", "attribute_of", "below", "location_of", "place_of"]

Location = tuple[str | int, ...]

_STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]{1,9})\]")


class Draft(dict[str, Any]):
    """One object of the model in the making: ``place`` of the object, ``places[key]`` of each value.

    ``places[key, index]`` of an item of a list of values, where that is not ``places[key]`` with an index.
    ``inner``: where values that are not there would stand, if not in the object itself (ARM: its ``properties``).
    ``trees``: mappings whose keys are not the model's (options), as they were read.
    ``failed``: attributes whose value could not be read; their errors have been reported.
    ``unknown``: attributes whose value only a deployment has.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.inner: Place | None = None
        self.places: dict[str | tuple[str, int], Place] = {}
        self.trees: dict[str, Any] = {}
        self.failed: set[str] = set()
        self.unknown: set[str] = set()

    def key_of(self, part: str | int) -> str:
        """That of a part of a location; a key that is another object's stands here as the document spells it."""
        return str(part if part in self.places else attribute_of(part))

    def put(self, key: str, value: Any, place: Place) -> None:
        self[key] = value
        self.places[key] = place


def _classes(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield cls
    for field in cls.model_fields.values():
        for inner in (*get_args(field.annotation), field.annotation):
            for candidate in (*get_args(inner), inner):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    yield from _classes(candidate)


_FIELDS = [entry for cls in _classes(model.Gateway) for entry in cls.model_fields.items()]
_SNAKE = {field.alias or name: name for name, field in _FIELDS}
_CAMEL = {name: alias for alias, name in _SNAKE.items()}
MODEL_KEYS = frozenset(name.casefold() for name in _SNAKE)
"""All keys of the compact spelling, folded."""
_FREE = {name for name, field in _FIELDS if get_origin(field.annotation) is dict}
"""Attributes whose keys are the user's, not the model's."""


def attribute_of(key: str | int) -> str | int:
    """The attribute of the model for a key as documents spell it; an index as it is."""
    return _SNAKE.get(key, key) if isinstance(key, str) else key


def location_of(path: str) -> Location | None:
    """The location that a path in the model's spelling means; ``None`` where it does not begin with one of its objects.

    What cannot be taken apart is the last part, as it stands.
    """
    parts: list[str | int] = []
    at, free = 0, False
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            parts.append(path[at:].lstrip("."))
            break
        at = step.end()
        part: str | int = int(step[2]) if step[2] is not None else step[1]
        parts.append(part if free else attribute_of(part))
        free = free or parts[-1] in _FREE
    return tuple(parts) if parts and parts[0] in model.Gateway.model_fields else None


def place_of(draft: Draft, location: Sequence[str | int]) -> Place:
    """Where in the user's file a location of the model stands; the nearest known place, if not itself."""
    current: Any = draft
    place = draft.place
    for index, part in enumerate(location):
        if isinstance(current, Draft):
            key = current.key_of(part)
            following = location[index + 1] if index + 1 < len(location) else None
            exact = current.places.get((key, following)) if isinstance(following, int) else None
            found = exact or current.places.get(key)
            if found is None:
                return below(current.inner or place, location[index:])
            if key in current.trees:
                return _in_tree(current.trees[key], found, location[index + 1 :])
            current = current[key] if key in current else None
            place = found
            if exact is not None and not isinstance(current[following], Draft):
                return place
        elif isinstance(current, list) and isinstance(part, int) and part < len(current):
            current = current[part]
            if isinstance(current, Draft):
                place = current.place
            else:
                return below(place, location[index:])
        else:
            return below(place, location[index:])
    return place


def below(place: Place, parts: Sequence[str | int]) -> Place:
    """The place of what is in something, by attributes of the model and indices."""
    free = False
    for part in parts:
        if isinstance(part, int):
            place = place.item(part)
        else:
            place = place.child(part if free else _CAMEL.get(part, part))
            free = free or part in _FREE
    return place


def _in_tree(tree: Any, place: Place, parts: Sequence[str | int]) -> Place:
    """The same in a mapping that was read as it is, whose keys are the user's."""
    for part in parts:
        known = (isinstance(tree, Map) and part in tree) or (
            isinstance(tree, Seq) and isinstance(part, int) and part < len(tree)
        )
        line = line_of(tree, part) if known else None
        place = place.item(part, line) if isinstance(part, int) else place.child(part, line)
        tree = tree[part] if known else None
    return place
