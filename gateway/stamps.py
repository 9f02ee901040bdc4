"""What tells whether a file is still the one that was read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Stamp", "stamp", "stamps"]

Stamp = tuple[int, ...]
"""Times of the last changes of content and of owner or mode, size and inode."""


def stamp(path: str | Path) -> Stamp:
    """That of a file, to be taken before it is read. Raises ``OSError``."""
    status = os.stat(path)
    # With its owner or mode it changes who may read it: what could not be read then is worth another look.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def stamps(paths: Iterable[str]) -> dict[str, Stamp | None]:
    """Those of several files; ``None`` for one that is not there."""
    return {path: _or_none(path) for path in paths}


def _or_none(path: str) -> Stamp | None:
    try:
        return stamp(path)
    except OSError:
        return None
