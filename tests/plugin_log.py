"""What is logged about plugins that fail."""

from __future__ import annotations

from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

__all__ = ["PluginLog"]


class PluginLog:
    """Collects it for one test. ``lines``: all of it, as text."""

    def __init__(self, test: SynchronousTestCase | TestCase) -> None:
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        test.addCleanup(globalLogPublisher.removeObserver, self._observe)

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "gateway.plugins":
            self.lines.append(formatEvent(event))

    def flush(self) -> list[str]:
        """What has come since the last time."""
        lines, self.lines = self.lines, []
        return lines
