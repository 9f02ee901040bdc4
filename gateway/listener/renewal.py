"""Certificates whose files have changed are shown from the next handshake on; no connection notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.config.model import Gateway
from gateway.errors import ConfigurationError, Problem
from gateway.watched import Stamp, stamps

__all__ = ["SECONDS", "Renewal", "certificate_files"]

_log = Logger("gateway")

SECONDS = 10.0
"""How often files are looked at."""

_GONE_LOOKS = 6
"""For how many looks a file may be gone before that is more than somebody who replaces it."""


def certificate_files(gateway: Gateway) -> list[str]:
    """The files that server certificates, keys and clients' authorities are read from."""
    names = [name for each in gateway.certificates for name in (each.certificate_file, each.key_file)]
    names += [each.file for each in gateway.trusted_client_certificates]
    return sorted({name for name in names if name})


class Renewal:
    """Looks at files every `SECONDS`, and calls ``reload`` when one has changed and all have been left alone since.

    ``used``: the files, with their `gateway.watched` of before they were read.  ``reload`` may return a Deferred; it
    gives problems, if there are any, and these are logged: errors of what cannot be used and stays as it was, warnings
    of what is shown all the same.  Where it fails with `ConfigurationError`, ``OSError`` or ``ValueError`` all stays,
    and that is logged.
    It is called for a file that has been gone for a minute too, so that its failure is logged.  ``clock`` is an
    ``IReactorTime``.
    """

    def __init__(self, used: Mapping[str, Stamp | None], reload: Callable[[], Any], clock: Any) -> None:
        self._files = tuple(used)
        self._reload = reload
        self._used = self._seen = dict(used)
        self._gone: dict[str, int] = {}
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

    def _look(self) -> Deferred[None] | None:
        before, self._seen = self._seen, self._stamps()
        if self._seen == self._used or self._seen != before:
            return None  # nothing new, or somebody is still writing
        changed = [name for name in self._files if self._seen[name] != self._used[name]]
        self._used = self._seen
        return maybeDeferred(self._reload).addCallbacks(self._renewed, self._refused, (changed,))

    def _stamps(self) -> dict[str, Stamp | None]:
        """The files as they are now; one that is gone is as it was for a while, for it keeps no other waiting."""
        found = stamps(self._files)
        for name, stamp in found.items():
            self._gone[name] = 0 if stamp is not None else self._gone.get(name, 0) + 1
            if stamp is None and self._gone[name] < _GONE_LOOKS:
                found[name] = self._used[name]
        return found

    def _renewed(self, problems: list[Problem] | None, changed: list[str]) -> None:
        if self._loop is None:  # another configuration runs, or none
            return
        _log.info("certificates have been read again, for files have changed: {files}", files=", ".join(changed))
        for problem in problems or ():
            if problem.severity == "error":
                _log.error("{problem}; the old one stays", problem=problem)
            else:
                _log.warn("{problem}", problem=problem)

    def _refused(self, failure: Failure) -> None:
        if self._loop is None:
            return
        if failure.check(ConfigurationError, ValueError, OSError) is None:
            _log.failure("reading certificates again failed in an unforeseen way", failure)
            return
        _log.error("the changed certificates cannot be used, the old ones stay: {error}", error=failure.value)
