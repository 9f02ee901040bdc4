"""Workers that hang: who has not said anything for a while, though it was asked, is killed, and replaced as any other.

A plugin that computes without end, or waits for something in the reactor's thread, keeps its process from accepting,
while the kernel goes on to hand it new clients.  From outside such a process looks as alive as any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import LoopingCall

if TYPE_CHECKING:
    from gateway.workers.crew import Crew

__all__ = ["SECONDS", "Watchdog"]

SECONDS = 10.0
"""How often each worker is asked."""

_MOST_UNANSWERED = 3
"""Several in a row: a machine that stood still as a whole has asked once meanwhile."""


class Watchdog:
    """Looks after those of ``crew`` that serve: one that starts may have much to do, one that stops has a limit."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._loop = LoopingCall(self._look)
        self._loop.clock = crew.reactor

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start(SECONDS, now=False)

    def stop(self) -> None:
        """Ask no more. Idempotent."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        for worker in self._crew.workers:
            if not worker.ready:
                continue
            if worker.unanswered == _MOST_UNANSWERED:
                worker.hangs(_MOST_UNANSWERED * SECONDS)
            worker.unanswered += 1
            worker.link.send("alive")
