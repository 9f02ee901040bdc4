"""What instances will have sooner or later, said before there are any, so that CPython keeps it where it is fast.

CPython keeps the attributes of an instance in an array, and their names once, in its class (PEP 412).  There is room
for `ROOM` names, and less the more instances were made before a name was first used.  An instance that gets a name for
which there is no room has a dictionary of its own from then on, which is a kilobyte, and slower.  With many
connections at once that happens to all that is set late in an object's life: in every one, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["ROOM", "foreseen"]

ROOM = 29
"""Names that a class has room for (CPython 3.11 to 3.13)."""

_Class = TypeVar("_Class", bound=type)


def foreseen(*rare: str) -> Callable[[_Class], _Class]:
    """Make room in a class that has very many instances, for all that it, or a base, has a default for but ``rare``.

    What ``__init__`` sets besides has to find room too.
    """

    def make_room(made: _Class) -> _Class:
        first: object = object.__new__(made)
        for base in made.__mro__[-2::-1]:
            for name, value in tuple(vars(base).items()):
                special = name.startswith("__") or callable(value) or hasattr(value, "__get__")
                if not special and name not in rare:
                    setattr(first, name, None)
        return made

    return make_room
