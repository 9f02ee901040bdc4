"""A file of keys or passwords that may change while the gateway runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from twisted.logger import Logger

from gateway.stamps import Stamp, stamp

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
        self._told: tuple[Stamp | None, str] | None = None
        try:
            self._used: Stamp | None = stamp(path)
            self._value = self._read()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None

    @property
    def value(self) -> _T:
        """What the file says now."""
        now = self._seconds()
        if now - self._looked >= _EVERY:
            self._looked = now
            self._look()
        return self._value

    def _look(self) -> None:
        seen = None
        try:
            seen = stamp(self._path)
            if seen == self._used:
                self._told = None
                return
            self._value = self._read()
        except OSError as error:  # to be tried again: the file need not change for that
            self._complain(seen, error.strerror or str(error))
        except ValueError as error:
            self._used = seen
            self._complain(seen, str(error))
        else:
            self._used, self._told = seen, None
            _log.info("{path} has been read again", path=str(self._path))

    def _complain(self, seen: Stamp | None, reason: str) -> None:
        if self._told != (seen, reason):
            self._told = seen, reason
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
