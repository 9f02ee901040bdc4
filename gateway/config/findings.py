"""What the checks of a model find."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Finding", "warning"]


class Finding(NamedTuple):
    """``location``: attribute names and indices from the gateway down.

    ``kind``: the collection that a name was not found in; ``name``: that name, if it is not just misspelled.
    """

    location: tuple[str | int, ...]
    message: str
    severity: str = "error"
    kind: str = ""
    name: str = ""


def warning(location: tuple[str | int, ...], message: str) -> Finding:
    """A finding that stops nothing."""
    return Finding(location, message, "warning")
