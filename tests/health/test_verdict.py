"""`gateway.health.verdict`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.health.verdict import Changed, ChangePending, Standing, Unchanged, judge


class JudgeTests(SynchronousTestCase):
    """The state machine, edge by edge."""

    def test_first_success(self) -> None:
        self.assertEqual(judge(Standing(), True, 3), Changed(Standing("up", 0), "unknown"))

    def test_first_failure(self) -> None:
        """It was out before; now the operator knows why."""
        self.assertEqual(judge(Standing(), False, 3), Changed(Standing("down", 1), "unknown"))

    def test_success_again(self) -> None:
        self.assertEqual(judge(Standing("up", 0), True, 3), Unchanged(Standing("up", 0)))

    def test_failures_below_threshold(self) -> None:
        self.assertEqual(judge(Standing("up", 0), False, 3), ChangePending(Standing("up", 1), 2))
        self.assertEqual(judge(Standing("up", 1), False, 3), ChangePending(Standing("up", 2), 1))

    def test_threshold(self) -> None:
        self.assertEqual(judge(Standing("up", 2), False, 3), Changed(Standing("down", 3), "up"))
        self.assertEqual(judge(Standing("up", 0), False, 1), Changed(Standing("down", 1), "up"))

    def test_success_between(self) -> None:
        """Only failures in a row count."""
        self.assertEqual(judge(Standing("up", 2), True, 3), Unchanged(Standing("up", 0)))

    def test_still_down(self) -> None:
        self.assertEqual(judge(Standing("down", 3), False, 3), Unchanged(Standing("down", 4)))

    def test_back(self) -> None:
        """One success is enough."""
        self.assertEqual(judge(Standing("down", 9), True, 3), Changed(Standing("up", 0), "down"))

    @given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 5))
    @settings(max_examples=100, deadline=None)
    def test_histories(self, results: list[bool], threshold: int) -> None:
        """After any history: up if there is a success among the last results, as many as the threshold."""
        standing = Standing()
        for result in results:
            before = standing
            judgement = judge(before, result, threshold)
            standing = judgement.standing
            self.assertEqual(isinstance(judgement, Changed), before.state != standing.state)
        self.assertEqual(standing.state, "up" if True in results[-threshold:] else "down")
