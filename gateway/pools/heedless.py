"""Selectors that do not look at the request."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["heedless", "is_heedless"]

_T = TypeVar("_T")


def heedless(select: _T) -> _T:
    """Say of an `ISelector.select` that it may be given ``None`` as the head, which then need not be made.

    It is said of the method and not of the class, so that a subclass whose own ``select`` does look is not affected.
    """
    select.heedless = True  # type: ignore[attr-defined]
    return select


def is_heedless(selector: Any) -> bool:
    """Whether that was said of the ``select`` that it has."""
    return bool(getattr(selector.select, "heedless", False))
