"""What is done with an exception of a strategy: one request pays, the log has it, and is not flooded."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from gateway.errors import PluginFailed

if TYPE_CHECKING:
    from twisted.logger import Logger

__all__ = ["Containment"]

_FRAMES = 5
_MOST_TEXT = 4000
_EVERY = 100


class Containment:
    """Turns exceptions of one strategy into `PluginFailed`.

    ``subject`` names the strategy and where it is used.  The first failure is logged with the last frames of its
    traceback, and then every hundredth, with the count: a strategy that always fails must not fill the disk.
    """

    def __init__(self, log: Logger, subject: str) -> None:
        self.failures = 0
        self._log = log
        self._subject = subject

    def failed(self, error: Exception) -> PluginFailed:
        """Count and perhaps log ``error``; return the exception to raise instead."""
        self.failures += 1
        kind = type(error).__name__
        if self.failures % _EVERY == 1:
            self._log.error(
                "{subject} failed ({failures} so far): {kind}\n{trace}",
                subject=self._subject,
                failures=self.failures,
                kind=kind,
                trace=_trimmed(error),
            )
        return PluginFailed(f"{self._subject} failed: {kind}: {_text(error)[:200]}")


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be shown)"


def _trimmed(error: Exception) -> str:
    """The last frames of the traceback; they are the strategy's own."""
    frames = "".join(traceback.format_tb(error.__traceback__, limit=-_FRAMES))
    return f"{frames}{type(error).__name__}: {_text(error)}"[:_MOST_TEXT]
