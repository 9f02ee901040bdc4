"""`gateway.strategies.closing`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from gateway.strategies.closing import LEAST_SECONDS, Closing


class ClosingTests(SynchronousTestCase):
    """Those that end, those that do not, and how long that takes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.closing = Closing(self.clock)
        self.closing.begin(30)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def said(self) -> list[str]:
        """What has been logged since the last time."""
        found = [formatEvent(event) for event in self.events if event.get("log_namespace") == "gateway"]
        self.events.clear()
        return found

    def test_all_end(self) -> None:
        late: Deferred[None] = Deferred()
        self.successResultOf(self.closing.wait([]))
        waited = self.closing.wait([("a", succeed(None)), ("b", late), ("c", fail(KeyError()).addErrback(str))])
        self.assertNoResult(waited)
        late.callback(None)
        self.successResultOf(waited)
        self.assertEqual(([], []), (self.clock.getDelayedCalls(), self.said()))
        self.closing.hurry()

    def test_some_do_not(self) -> None:
        """They have what is left of the time, and are named; two of them may have one name."""
        self.clock.advance(10)
        late: Deferred[None] = Deferred()
        waited = self.closing.wait([("one", Deferred()), ("fine", succeed(None)), ("one", Deferred()), ("late", late)])
        self.clock.advance(19.9)
        self.assertNoResult(waited)
        self.clock.advance(0.1)
        self.successResultOf(waited)
        self.assertEqual(["not waited for any longer, the time to stop is over: one, one, late"], self.said())
        late.callback(None)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_little_is_left(self) -> None:
        self.clock.advance(100)
        waited = self.closing.wait([("one", Deferred())])
        self.clock.advance(LEAST_SECONDS * 0.9)
        self.assertNoResult(waited)
        self.clock.advance(LEAST_SECONDS * 0.1)
        self.successResultOf(waited)

    def test_hurry(self) -> None:
        """Nobody is waited for any more, and who comes then gets little."""
        first, second = self.closing.wait([("one", Deferred())]), self.closing.wait([("two", Deferred())])
        self.closing.hurry()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(2, len(self.said()))
        third = self.closing.wait([("three", Deferred())])
        self.clock.advance(LEAST_SECONDS)
        self.successResultOf(third)
        self.assertEqual([], self.clock.getDelayedCalls())
