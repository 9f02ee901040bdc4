from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.deadlines import Deadlines


class _Entry:
    def __init__(self, raises: bool = False) -> None:
        self.deadline = inf
        self.review = inf
        self.expirations: list[float] = []
        self._raises = raises

    def expired(self, now: float) -> None:
        self.expirations.append(now)
        if self._raises:
            raise ZeroDivisionError("from the owner")


class DeadlinesTests(SynchronousTestCase):
    """A clock that is moved by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.03)
        self.deadlines = Deadlines(self.clock)
        self.entry = _Entry()

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)

    def after(self, seconds: float) -> float:
        return self.clock.seconds() + seconds

    def test_expires_once_and_in_time(self) -> None:
        when = self.after(1.0)
        self.deadlines.set(self.entry, when)
        self.clock.pump([0.01] * 99)
        self.assertEqual([], self.entry.expirations)
        self.clock.pump([0.01] * 12)
        self.assertEqual(1, len(self.entry.expirations))
        self.assertGreaterEqual(self.entry.expirations[0], when)
        self.assertEqual(inf, self.entry.deadline)
        self.pass_time(10)
        self.assertEqual(1, len(self.entry.expirations))

    def test_no_timer_without_entries(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())
        self.deadlines.set(self.entry, self.after(1))
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
        self.pass_time(1.2)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_moved_into_the_future(self) -> None:
        self.deadlines.set(self.entry, self.after(1))
        for _ in range(50):
            self.pass_time(0.5)
            self.deadlines.set(self.entry, self.after(1))
        self.assertEqual([], self.entry.expirations)
        self.pass_time(1.2)
        self.assertEqual(1, len(self.entry.expirations))

    def test_moved_nearer(self) -> None:
        self.deadlines.set(self.entry, self.after(60))
        self.pass_time(1)
        self.deadlines.set(self.entry, self.after(0.2))
        self.pass_time(0.35)
        self.assertEqual(1, len(self.entry.expirations))
        self.pass_time(90)
        self.assertEqual(1, len(self.entry.expirations))

    def test_moved_nearer_and_away_again(self) -> None:
        self.deadlines.set(self.entry, self.after(3))
        self.deadlines.set(self.entry, self.after(1))
        self.deadlines.set(self.entry, self.after(3))
        self.pass_time(2.5)
        self.assertEqual([], self.entry.expirations)
        self.pass_time(0.7)
        self.assertEqual(1, len(self.entry.expirations))

    def test_cleared(self) -> None:
        self.deadlines.set(self.entry, self.after(1))
        self.deadlines.clear(self.entry)
        self.pass_time(10)
        self.assertEqual([], self.entry.expirations)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_set_again_after_clearing(self) -> None:
        self.deadlines.set(self.entry, self.after(1))
        self.deadlines.clear(self.entry)
        self.deadlines.set(self.entry, self.after(2))
        self.pass_time(1.9)
        self.assertEqual([], self.entry.expirations)
        self.pass_time(0.3)
        self.assertEqual(1, len(self.entry.expirations))

    def test_cleared_entries_are_let_go_of_within_seconds(self) -> None:
        self.deadlines.set(self.entry, self.after(3600))
        self.deadlines.clear(self.entry)
        self.pass_time(6)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertEqual(inf, self.entry.review)

    def test_forgotten_at_once(self) -> None:
        self.deadlines.set(self.entry, self.after(60))
        self.deadlines.forget(self.entry)
        self.assertEqual([], self.deadlines.entries())
        self.assertEqual(inf, self.entry.review)
        self.deadlines.forget(self.entry)
        self.pass_time(70)
        self.assertEqual([], self.entry.expirations)

    def test_in_the_past(self) -> None:
        self.deadlines.set(self.entry, self.after(-5))
        self.assertEqual([], self.entry.expirations)
        self.clock.advance(0.11)
        self.assertEqual(1, len(self.entry.expirations))

    def test_set_while_expiring(self) -> None:
        deadlines, entry, clock = self.deadlines, self.entry, self.clock

        class Again(_Entry):
            def expired(self, now: float) -> None:
                super().expired(now)
                deadlines.set(self, now + 1)
                deadlines.forget(entry)

        again = Again()
        deadlines.set(again, self.after(1))
        deadlines.set(entry, self.after(1))
        self.pass_time(3.5)
        self.assertEqual(3, len(again.expirations))
        self.assertEqual([], entry.expirations)
        deadlines.stop()
        self.assertEqual([], clock.getDelayedCalls())

    def test_exception_is_logged(self) -> None:
        faulty = _Entry(raises=True)
        self.deadlines.set(faulty, self.after(1))
        self.deadlines.set(self.entry, self.after(1))
        self.pass_time(1.2)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(1, len(self.entry.expirations))

    def test_stop(self) -> None:
        self.deadlines.set(self.entry, self.after(1))
        self.deadlines.stop()
        self.deadlines.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.pass_time(2)
        self.assertEqual([], self.entry.expirations)
        self.deadlines.set(self.entry, self.after(1))
        self.pass_time(1.2)
        self.assertEqual(1, len(self.entry.expirations))

    def test_clock_jumps(self) -> None:
        self.deadlines.set(self.entry, self.after(100))
        self.clock.advance(1e6)
        self.assertEqual(1, len(self.entry.expirations))

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.sampled_from(["set", "clear", "forget"]), st.floats(0, 12), st.floats(0, 2)
            ),
            max_size=30,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_never_early_and_hardly_late(self, steps: list[tuple[int, str, float, float]]) -> None:
        """Whatever is set and cleared: an expiry comes within the granularity after the valid deadline."""
        clock = Clock()
        clock.advance(77.7)
        deadlines = Deadlines(clock)
        entries = [_Entry() for _ in range(4)]
        valid = [inf] * 4
        for number, action, delay, pause in steps:
            if action == "set":
                valid[number] = clock.seconds() + delay
                deadlines.set(entries[number], valid[number])
            else:
                valid[number] = inf
                getattr(deadlines, action)(entries[number])
            self._check(clock, entries, valid, pause)
        self._check(clock, entries, valid, 15.0)
        self.assertEqual([inf] * 4, valid)
        self.assertEqual([], clock.getDelayedCalls())

    def _check(self, clock: Clock, entries: list[_Entry], valid: list[float], seconds: float) -> None:
        ends = clock.seconds() + seconds
        while clock.seconds() < ends:
            clock.advance(min(0.02, ends - clock.seconds()))
            for number, entry in enumerate(entries):
                if entry.expirations:
                    self.assertGreaterEqual(clock.seconds(), valid[number] - 1e-9)
                    entry.expirations.clear()
                    valid[number] = inf
                self.assertLess(clock.seconds() - valid[number], 0.1 + 0.02 + 1e-6)
