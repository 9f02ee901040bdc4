"""Tests for `gateway.filters.rate_limit`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import ConfigurationError
from gateway.values import Close
from tests.filters.support import Tried

CLOSE = Close(1008, "too many messages")


class RateLimitTests(SynchronousTestCase):
    """Messages and bytes per second, of each session and side."""

    def test_messages(self) -> None:
        tried = Tried("rate-limit", messages=5)
        self.assertEqual([None] * 5 + [CLOSE], [tried.client("x") for _ in range(6)])
        self.assertIsNone(tried.backend("x"))
        first, tried.session = tried.session, tried.opened()
        self.assertIsNone(tried.client("x"))
        tried.session = first
        tried.clock.advance(0.5)
        self.assertEqual([None, CLOSE], [tried.client("x") for _ in range(2)])

    def test_bytes_and_burst(self) -> None:
        tried = Tried("rate-limit", bytes=100, burst=2, sender="both")
        for send in (tried.client, tried.backend):
            self.assertEqual([None, None, CLOSE], [send("x" * 150), send(b"x" * 50), send("x")])

    def test_what_was_not_used_does_not_pile_up(self) -> None:
        tried = Tried("rate-limit", messages=2)
        tried.clock.advance(1000)
        self.assertEqual([None, None, CLOSE], [tried.client("x") for _ in range(3)])

    def test_delay_lets_through_exactly_the_rate(self) -> None:
        tried = Tried("rate-limit", messages=10, then="delay")
        passed = 0
        while tried.clock.seconds() < 100:
            waiting = tried.client("x")
            if waiting is not None:
                self.assertNoResult(waiting)
                (call,) = tried.clock.getDelayedCalls()
                tried.clock.advance(call.getTime() - tried.clock.seconds())
                self.assertIsNone(self.successResultOf(waiting))
            passed += 1
        self.assertAlmostEqual(1010, passed, delta=2)

    def test_a_message_above_the_burst_waits_for_its_share(self) -> None:
        tried = Tried("rate-limit", bytes=100, then="delay")
        waiting = tried.client("x" * 600)
        tried.clock.advance(4.9)
        self.assertNoResult(waiting)
        tried.clock.advance(0.2)
        self.assertIsNone(self.successResultOf(waiting))

    def test_who_waits_no_more_leaves_no_timer(self) -> None:
        tried = Tried("rate-limit", messages=1, then="delay")
        tried.client("x")
        waiting = tried.client("x")
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual([], tried.clock.getDelayedCalls())

    def test_options(self) -> None:
        for options in ({}, {"messages": 0}, {"bytes": -1}, {"messages": 1, "burst": 0}, {"messages": 1, "then": "x"}):
            self.assertRaises(ConfigurationError, Tried, "rate-limit", **options)
