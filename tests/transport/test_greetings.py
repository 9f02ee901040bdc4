"""The handshakes that somebody may wait for."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.greetings import Greetings


class GreetingsTests(SynchronousTestCase):
    """`Greetings`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.greetings = Greetings(self.clock)

    def test_none(self) -> None:
        self.assertIsNone(self.successResultOf(self.greetings.settled()))

    def test_over(self) -> None:
        """When all are, and not before the last has become a connection."""
        self.greetings.add(1)
        self.greetings.add(2)
        settled = self.greetings.settled()
        self.assertEqual([1, 2], list(self.greetings))
        self.assertEqual((True, False, True), tuple(map(self.greetings.discard, (1, 1, 2))))
        self.assertNoResult(settled)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(settled))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_another_begins(self) -> None:
        """That may be: one that another process has accepted."""
        self.greetings.add(1)
        settled = self.greetings.settled()
        self.greetings.discard(1)
        self.greetings.add(2)
        self.clock.advance(0)
        self.assertNoResult(settled)
        self.greetings.discard(2)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(settled))

    def test_silence(self) -> None:
        """Who waits has somebody else to think of."""
        self.greetings.add(1)
        settled, also = self.greetings.settled(), self.greetings.settled()
        self.clock.advance(0.9)
        self.assertNoResult(settled)
        self.clock.advance(0.2)
        self.assertIsNone(self.successResultOf(settled))
        self.assertIsNone(self.successResultOf(also))
        self.greetings.discard(1)
        self.clock.advance(0)
        self.assertEqual([], self.clock.getDelayedCalls())
