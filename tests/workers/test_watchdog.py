"""`gateway.workers.watchdog`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.crew import Crew
from gateway.workers.watchdog import SECONDS, Watchdog


class _Worker:
    """Answers, or does not."""

    def __init__(self, answers: bool, ready: bool = True) -> None:
        self.answers = answers
        self.ready = ready
        self.unanswered = 0
        self.asked = 0
        self.hung: list[float] = []
        self.link = self

    def send(self, kind: str) -> None:
        """The link's."""
        assert kind == "alive"
        self.asked += 1
        if self.answers:
            self.unanswered = 0

    def hangs(self, seconds: float) -> None:
        self.hung.append(seconds)


class WatchdogTests(SynchronousTestCase):
    """A crew of three."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.workers = [_Worker(True), _Worker(False), _Worker(False, ready=False)]
        crew: Any = SimpleNamespace(reactor=self.clock, workers=self.workers)
        self.watchdog = Watchdog(cast(Crew, crew))
        self.watchdog.start()
        self.addCleanup(self.watchdog.stop)

    def test_one_that_hangs(self) -> None:
        """It is found once, when it has left three asks in a row unanswered; one that starts is not asked."""
        for looks in range(1, 7):
            self.clock.advance(SECONDS)
            self.assertEqual([[], [3 * SECONDS] if looks > 3 else [], []], [worker.hung for worker in self.workers])
        self.assertEqual([6, 6, 0], [worker.asked for worker in self.workers])

    def test_all_stand_still(self) -> None:
        """However long it was, nobody could have answered meanwhile."""
        self.clock.advance(1000 * SECONDS)
        self.clock.advance(1000 * SECONDS)
        self.workers[1].unanswered = 0
        for _ in range(3):
            self.clock.advance(SECONDS)
        self.assertEqual([[]] * 3, [worker.hung for worker in self.workers])

    def test_stopped(self) -> None:
        self.watchdog.stop()
        self.watchdog.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
