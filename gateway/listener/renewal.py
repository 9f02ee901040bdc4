"""Certificates whose files have changed are shown from the next handshake on; no connection notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from gateway.config.model import Gateway
from gateway.errors import ConfigurationError

__all__ = ["SECONDS", "Renewal", "certificate_files"]

_log = Logger("gateway")

SECONDS = 10.0
"""How often files are looked at."""

_Stamp = tuple[int, int, int] | None


def certificate_files(gateway: Gateway) -> list[str]:
    """The files that server certificates, keys and clients' authorities are read from."""
    names = [name for each in gateway.certificates for name in (each.certificate_file, each.key_file)]
    names += [each.file for each in gateway.trusted_client_certificates]
    return sorted({name for name in names if name})


class Renewal:
    """Looks at ``files`` every `SECONDS`, and calls ``reload`` when one has changed and all have been left alone since.

    ``reload`` may raise `ConfigurationError` or ``ValueError``: what was there before stays, and that is logged.
    ``clock`` is an ``IReactorTime``.
    """

    def __init__(self, files: Iterable[str], reload: Callable[[], None], clock: Any) -> None:
        self._files = tuple(files)
        self._reload = reload
        self._used = self._seen = self._stamps()
        self._clock = clock
        self._loop: LoopingCall | None = None

    def start(self) -> None:
        """Begin, if there is anything to look at."""
        if self._files:
            self._loop = LoopingCall(self._look)
            self._loop.clock = self._clock
            self._loop.start(SECONDS, now=False)

    def stop(self) -> None:
        """End. Safe to repeat."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _stamps(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(name) for name in self._files)

    def _look(self) -> None:
        before, self._seen = self._seen, self._stamps()
        if self._seen == self._used or self._seen != before or None in self._seen:
            return  # nothing new, or somebody is still writing
        self._used = self._seen
        try:
            self._reload()
        except (ConfigurationError, ValueError, OSError) as error:
            _log.error("the changed certificates cannot be used, the old ones stay: {error}", error=error)
        else:
            _log.info("certificates have been read again: {files}", files=", ".join(self._files))


def _stamp(name: str) -> _Stamp:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
