"""A file of keys or passwords that may change while the gateway runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from twisted.logger import Logger

from gateway.watched import FileWatch, stamp

__all__ = ["WatchedFile"]

_T = TypeVar("_T")
_EVERY = 2.0
_MOST_BYTES = 4194304

_log = Logger("gateway.middleware")


class WatchedFile(Generic[_T]):
    """What ``parse`` makes of the bytes of a file; read again when it has changed, looked at every two seconds at most.

    ``parse`` raises ``ValueError`` for what it cannot use; then, and where the file is gone or may not be read, what
    was read before stays and the log says so once.  At the start that is a ``ValueError``.
    """

    def __init__(self, path: str, parse: Callable[[bytes], _T], seconds: Callable[[], float]) -> None:
        self._path = Path(path)
        self._parse = parse
        self._seconds = seconds
        self._looked = seconds()
        self._watch = FileWatch(path, self._read, self._complain)
        try:
            self._watch.used = stamp(path)
            self._value = self._read()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None

    @property
    def value(self) -> _T:
        """What the file says now."""
        now = self._seconds()
        if now - self._looked >= _EVERY:
            self._looked = now
            value = self._watch.look()
            if value is not None:
                self._value = value
                _log.info("{path} has been read again", path=str(self._path))
        return self._value

    def _complain(self, reason: str) -> None:
        _log.error("{path} is not read again: {reason}", path=str(self._path), reason=reason)

    def _read(self) -> _T:
        with self._path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{self._path} has more than {_MOST_BYTES} bytes")
        try:
            return self._parse(data)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None
