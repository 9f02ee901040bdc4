"""Files that may change while the gateway runs: what tells that one has, and who reads it again then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["FileWatch", "Stamp", "stamp", "stamps"]

_T = TypeVar("_T")
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


class FileWatch(Generic[_T]):
    """Reads a file when it has changed, and has each fault of it told once.

    ``read`` raises ``OSError`` where the system refuses, which is tried again at each look, for the file need not
    change for that; and ``ValueError`` for what it cannot use.  ``complain`` is called with the reason.  ``used``: the
    stamp of what has been read, ``None`` before that.
    """

    def __init__(self, path: str | Path, read: Callable[[], _T], complain: Callable[[str], None]) -> None:
        self.used: Stamp | None = None
        self._path = path
        self._read = read
        self._complain = complain
        self._told: tuple[Stamp | None, str] | None = None

    def look(self) -> _T | None:
        """What the file says, if that is new and can be used."""
        seen = None
        try:
            seen = stamp(self._path)
            found = None if seen == self.used else self._read()
        except OSError as error:
            self._tell(seen, error.strerror or str(error))
            return None
        except ValueError as error:
            self.used = seen
            self._tell(seen, str(error))
            return None
        self.used, self._told = seen, None
        return found

    def _tell(self, seen: Stamp | None, reason: str) -> None:
        if self._told != (seen, reason):
            self._told = seen, reason
            self._complain(reason)
