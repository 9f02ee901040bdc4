"""When a backend is up and when it is down: pure values, no clock, no I/O.

A backend starts ``unknown``, which counts as out.  One success makes it ``up``; as many failures in a row as the
threshold says make it ``down``, as with Application Gateway's probes.  The threshold protects a backend that has
worked from one lost packet; one that has never answered is out anyway, and is called ``down`` at its first
failure, so that ``unknown`` always means that there is no result yet.

::

    unknown ──success──> up ──threshold failures──> down
       │                  ^                          │ ^
       │                  └────────success───────────┘ │
       └──failure──────────────────────────────────────┘
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.pools.backend import DOWN, UNKNOWN, UP

__all__ = ["Changed", "ChangePending", "Judgement", "Standing", "Unchanged", "judge"]


class Standing(NamedTuple):
    """Where a backend stands: its state, and how many checks have failed in a row."""

    state: str = UNKNOWN
    failures: int = 0


class Unchanged(NamedTuple):
    """The result says what was known already."""

    standing: Standing


class Changed(NamedTuple):
    """The state is another one now; ``old`` is what it was."""

    standing: Standing
    old: str


class ChangePending(NamedTuple):
    """A failure that does not count yet; after ``missing`` more in a row the backend is down."""

    standing: Standing
    missing: int


Judgement = Unchanged | Changed | ChangePending


def judge(standing: Standing, healthy: bool, threshold: int) -> Judgement:
    """What one result means for a backend that stood at ``standing``. ``threshold`` is 1 or more."""
    if healthy:
        now = Standing(UP, 0)
        return Unchanged(now) if standing.state == UP else Changed(now, standing.state)
    failures = standing.failures + 1
    if standing.state == DOWN:
        return Unchanged(Standing(DOWN, failures))
    if failures >= threshold or standing.state == UNKNOWN:
        return Changed(Standing(DOWN, failures), standing.state)
    return ChangePending(Standing(standing.state, failures), threshold - failures)
