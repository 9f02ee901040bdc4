"""`gateway.health.ejection`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import PassiveHealth
from gateway.errors import (
    BackendClosed,
    BackendProtocolError,
    BackendTimeout,
    BackendTLSFailed,
    ClientGone,
    ClientNameFailed,
    ConnectFailed,
    OutOfResources,
    PluginFailed,
    RequestTimeout,
    SessionEnded,
)
from gateway.health.ejection import (
    CLOSED,
    CONNECT,
    DIED_EARLY,
    ERROR,
    FINE,
    NEUTRAL,
    NO_RUNS,
    SESSION_FINE,
    Rules,
    Runs,
    counted,
    fault,
    room,
    sentence,
    sign_of,
)
from gateway.values import Outcome

RULES = Rules(PassiveHealth())


def session(by: str, code: int | None, seconds: float = 60.0, **others: Any) -> Outcome:
    """How a session ended."""
    return Outcome(
        upstream_status=101, closed_by=by, close_code=code, responded=100.0, ended=100.0 + seconds, **others
    )


class SignTests(SynchronousTestCase):
    """What one outcome says."""

    def test_answers(self) -> None:
        for status, sign in ((200, FINE), (404, FINE), (499, FINE), (500, ERROR), (503, ERROR), (599, ERROR)):
            self.assertEqual(sign, sign_of(Outcome(status=status, upstream_status=status), RULES), status)
        rules = Rules(PassiveHealth(server_error_codes=("502-504", "429")))
        signs = [sign_of(Outcome(upstream_status=status), rules) for status in (429, 500, 502, 504)]
        self.assertEqual([ERROR, FINE, ERROR, ERROR], signs)

    def test_errors(self) -> None:
        for error in (BackendClosed("x"), BackendTimeout("x"), BackendProtocolError("x")):
            self.assertEqual(ERROR, sign_of(Outcome(error=error), RULES))
        for error in (ConnectFailed("x"), BackendTLSFailed("x")):
            self.assertEqual(CONNECT, sign_of(Outcome(error=error), RULES))

    def test_others_are_not_the_backends_fault(self) -> None:
        for kind in (ClientGone, ClientNameFailed, OutOfResources, PluginFailed, RequestTimeout):
            error = kind("x")
            self.assertEqual(NEUTRAL, sign_of(Outcome(error=error, upstream_status=500), RULES))

    def test_sessions(self) -> None:
        self.assertEqual(SESSION_FINE, sign_of(session("backend", 1000), RULES))
        self.assertEqual(SESSION_FINE, sign_of(session("backend", 1001), RULES))
        for code in (1006, 1011, 1012, 1013):
            self.assertEqual(CLOSED, sign_of(session("backend", code), RULES))
            self.assertEqual(DIED_EARLY, sign_of(session("backend", code, 10.0), RULES))
            self.assertEqual(SESSION_FINE, sign_of(session("client", code, 1.0), RULES))
            ended = SessionEnded(code, "the gateway wants it", "shutdown")
            self.assertEqual(SESSION_FINE, sign_of(session("gateway", code, error=ended), RULES))
        lost = session("backend", 1006, error=SessionEnded(1011, "backend lost", "backend_lost"))
        self.assertEqual(CLOSED, sign_of(lost, RULES))

    def test_tunnels_of_other_protocols(self) -> None:
        self.assertEqual(SESSION_FINE, sign_of(session("backend", None), RULES))
        self.assertEqual(CLOSED, sign_of(session("backend", None, cause="backend_reset"), RULES))


class RunTests(SynchronousTestCase):
    """In a row."""

    def run_of(self, *signs: int) -> Runs:
        runs = NO_RUNS
        for sign in signs:
            runs = counted(runs, sign)
        return runs

    def test_runs(self) -> None:
        self.assertEqual(Runs(connects=2), self.run_of(CONNECT, NEUTRAL, CONNECT))
        self.assertEqual(Runs(), self.run_of(CONNECT, ERROR, FINE))
        self.assertEqual(Runs(errors=2), self.run_of(CONNECT, ERROR, ERROR), "an answer needs a connection")
        self.assertEqual(Runs(connects=1, errors=2), self.run_of(ERROR, ERROR, CONNECT))
        self.assertEqual(Runs(closes=3, early=1), self.run_of(DIED_EARLY, CLOSED, DIED_EARLY))
        self.assertEqual(Runs(), self.run_of(DIED_EARLY, CLOSED, SESSION_FINE))
        self.assertEqual(Runs(closes=1), self.run_of(CLOSED, FINE), "answers say nothing of sessions")

    def test_nothing_is_made_where_nothing_changes(self) -> None:
        for sign in (NEUTRAL, FINE, SESSION_FINE):
            self.assertIs(NO_RUNS, counted(NO_RUNS, sign))

    def test_faults(self) -> None:
        self.assertEqual("", fault(Runs(4, 4, 4, 2), RULES))
        self.assertEqual("5 connect failures in a row", fault(Runs(connects=5), RULES))
        self.assertEqual("6 failed answers in a row", fault(Runs(errors=6), RULES))
        self.assertEqual("5 abnormal closes in a row", fault(Runs(closes=5), RULES))
        self.assertEqual("3 sessions that died early in a row", fault(Runs(closes=5, early=3), RULES))
        self.assertEqual("failed answer", fault(Runs(errors=1), Rules(PassiveHealth(server_errors=1))))

    def test_trial(self) -> None:
        self.assertEqual("connect failure on trial", fault(Runs(connects=1), RULES, trial=True))
        self.assertEqual("", fault(NO_RUNS, RULES, trial=True))

    def test_off(self) -> None:
        off = Rules(PassiveHealth(connect_failures=0, server_errors=0, abnormal_closes=0, early_deaths=0))
        for trial in (False, True):
            self.assertEqual("", fault(Runs(99, 99, 99, 99), off, trial))

    def test_no_status_code(self) -> None:
        self.assertRaises(ValueError, Rules, PassiveHealth(server_error_codes=("5xx",)))


class SentenceTests(SynchronousTestCase):
    """How long, and whether at all."""

    def test_grows_and_decays(self) -> None:
        passive = PassiveHealth(base_ejection_seconds=30, max_ejection_seconds=100)
        self.assertEqual((1, 30), sentence(0, 5000, passive))
        self.assertEqual((2, 60), sentence(1, 29, passive))
        self.assertEqual((4, 100), sentence(3, 0, passive))
        self.assertEqual((3, 90), sentence(3, 30, passive), "one is forgotten")
        self.assertEqual((1, 30), sentence(3, 90, passive), "all are")

    def test_the_base_is_the_least(self) -> None:
        self.assertEqual((1, 600), sentence(0, 0, PassiveHealth(base_ejection_seconds=600)))

    @given(st.integers(0, 1000), st.floats(0, 1e9))
    def test_bounded(self, before: int, calm: float) -> None:
        number, seconds = sentence(before, calm, PassiveHealth())
        self.assertTrue(1 <= number <= before + 1 and 30 <= seconds <= 300)

    def test_room(self) -> None:
        half, tenth, none = (PassiveHealth(max_ejected_percent=percent) for percent in (50, 10, 0))
        self.assertTrue(room(2, 0, 1, half))
        self.assertFalse(room(2, 1, 1, half))
        self.assertTrue(room(3, 1, 1, half), "rounded up")
        self.assertFalse(room(3, 2, 1, half))
        self.assertTrue(room(3, 0, 2, tenth), "one may always go")
        self.assertFalse(room(3, 1, 2, tenth))
        self.assertFalse(room(3, 0, 2, none))

    @given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 100))
    def test_one_stays(self, members: int, ejected: int, percent: int) -> None:
        self.assertFalse(room(members, ejected, 0, PassiveHealth(max_ejected_percent=percent)))
