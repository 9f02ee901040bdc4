"""What real traffic says of a backend, and for how long it is left out: pure values, no clock, no I/O.

Each outcome is one `sign_of` a backend; signs of one kind in a row make a run (`counted`), and a run that is long
enough is a `fault`.  A backend at fault is ejected if there is `room` for that, for a time that grows with each
ejection and shrinks with each such time of calm (`sentence`)::

    in the pool ──run long enough──> ejected ──time is over──> on trial ──good sign──> in the pool
                                        ^                          │
                                        └─────── bad sign ─────────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import BackendError, ConnectFailed
from gateway.health.matching import StatusCodes

if TYPE_CHECKING:
    from gateway.config.model import PassiveHealth
    from gateway.values import Outcome

__all__ = [
    "CLOSED", "CONNECT", "DIED_EARLY", "ERROR", "FINE", "GOOD", "NEUTRAL", "NO_RUNS", "SESSION_FINE",
    "Rules", "Runs", "counted", "fault", "room", "sentence", "sign_of",
]  # fmt: skip

NEUTRAL, FINE, CONNECT, ERROR, SESSION_FINE, CLOSED, DIED_EARLY = range(7)
"""What one outcome says: nothing about the backend, a good answer, no connection, a bad answer or none, a session that
ended as it should, one that did not, and one that did not within seconds."""

GOOD = frozenset([FINE, SESSION_FINE])

_ABNORMAL_CLOSURE = 1006


class Rules:
    """A `PassiveHealth` with its codes ready for look-up. Raises ``ValueError`` for a code that is none."""

    def __init__(self, passive: PassiveHealth) -> None:
        codes = StatusCodes(passive.server_error_codes)
        self.passive = passive
        self.statuses = frozenset([status for status in range(100, 1000) if status in codes])
        self.closes = frozenset(passive.abnormal_close_codes)


class Runs(NamedTuple):
    """How many signs of each kind have come in a row."""

    connects: int = 0
    errors: int = 0
    closes: int = 0
    early: int = 0


NO_RUNS = Runs()


def sign_of(outcome: Outcome, rules: Rules) -> int:
    """What the outcome of a lease says of its backend. HOT"""
    error = outcome.error
    if outcome.upstream_status == 101 or (outcome.layer4 and outcome.upstream_status is not None):
        return _session_sign(outcome, rules)
    if error is None:
        return ERROR if outcome.upstream_status in rules.statuses else FINE
    if isinstance(error, ConnectFailed):
        return CONNECT
    return ERROR if isinstance(error, BackendError) else NEUTRAL


def _session_sign(outcome: Outcome, rules: Rules) -> int:
    """What the end of a session or a tunnel says; only the backend's own end can be bad."""
    if outcome.closed_by != "backend":
        return SESSION_FINE
    code = outcome.close_code
    if code is None and outcome.cause != "ok":
        code = _ABNORMAL_CLOSURE  # a tunnel of another protocol has no codes
    if code not in rules.closes:
        return SESSION_FINE
    early = rules.passive.early_seconds
    if outcome.responded is not None and outcome.ended is not None and outcome.ended - outcome.responded <= early:
        return DIED_EARLY
    return CLOSED


def counted(runs: Runs, sign: int) -> Runs:
    """The runs after one more sign; the same object where nothing changes."""
    if sign == FINE:
        return runs._replace(connects=0, errors=0) if runs.connects or runs.errors else runs
    if sign == CONNECT:
        return runs._replace(connects=runs.connects + 1)
    if sign == ERROR:
        return runs._replace(connects=0, errors=runs.errors + 1)
    if sign == SESSION_FINE:
        return runs._replace(closes=0, early=0) if runs.closes or runs.early else runs
    if sign == CLOSED:
        return runs._replace(closes=runs.closes + 1, early=0)
    if sign == DIED_EARLY:
        return runs._replace(closes=runs.closes + 1, early=runs.early + 1)
    return runs


def fault(runs: Runs, rules: Rules, trial: bool = False) -> str:
    """Why a backend with these runs is at fault, for the operator; empty if it is not.

    On trial one sign is enough.  A limit of 0 switches a kind of sign off.
    """
    passive = rules.passive
    for count, limit, one, many in (
        (runs.connects, passive.connect_failures, "connect failure", "connect failures"),
        (runs.errors, passive.server_errors, "failed answer", "failed answers"),
        (runs.early, passive.early_deaths, "session that died early", "sessions that died early"),
        (runs.closes, passive.abnormal_closes, "abnormal close", "abnormal closes"),
    ):
        if limit and count >= (1 if trial else limit):
            return f"{count} {many} in a row" if count > 1 else f"{one} on trial" if trial else one
    return ""


def sentence(before: int, calm: float, passive: PassiveHealth) -> tuple[int, float]:
    """The number that an ejection counts as, and its seconds.

    ``before`` is the number of the last one, ``calm`` how many seconds the backend has been in the pool since.
    """
    base = passive.base_ejection_seconds
    number = max(before - int(calm / base), 0) + 1
    return number, min(base * number, max(base, passive.max_ejection_seconds))


def room(members: int, ejected: int, others: int, passive: PassiveHealth) -> bool:
    """Whether one more of ``members`` may be ejected where ``ejected`` are and ``others`` could take its requests.

    The share is rounded up, so that it is never less than one member unless it is 0; the last one always stays.
    """
    most = -(-members * passive.max_ejected_percent // 100)
    return others > 0 and ejected < most
