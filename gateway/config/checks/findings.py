"""What the checks of a model find."""

from __future__ import annotations

from typing import NamedTuple

from gateway.config.draft import Location

__all__ = ["Finding", "warning"]


class Finding(NamedTuple):
    """``location``: attribute names and indices from the gateway down; ``kind``: where a name was not found."""

    location: Location
    message: str
    severity: str = "error"
    kind: str = ""


def warning(location: Location, message: str) -> Finding:
    """A finding that stops nothing."""
    return Finding(location, message, "warning")
