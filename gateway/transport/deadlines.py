"""Deadlines for very many connections at the cost of an attribute store.

A connection's deadline moves with every message, and nearly always into the future.  So the wheel does not follow
it: an entry lies in the slot of its *review*, and only when that time comes is the deadline looked at.  A
``callLater`` and its cancellation cost 4 µs, `Deadlines.set` a tenth of one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

__all__ = ["Deadlines", "Entry", "steady"]

_log = Logger()

_HORIZON = 5.0
"""Seconds after which an entry is reviewed at the latest, so that an ended connection is not kept for long."""


def steady(clock: IReactorTime) -> Callable[[], float]:
    """The time to reckon deadlines in.

    A real reactor's ``seconds()`` is the wall clock, and when that is set forward every connection would expire at
    once; a test's clock is its own time.
    """
    return monotonic if isinstance(clock, ReactorBase) else clock.seconds


class Entry(Protocol):
    """What can have a deadline. Both attributes start at ``math.inf`` and belong to the `Deadlines`."""

    deadline: float
    review: float

    def expired(self, now: float) -> None:
        """The deadline has passed; ``now`` is the clock's time in seconds. It has none any more."""


class Deadlines:
    """A coarse timer wheel.

    ``clock`` is an ``IReactorTime``; ``granularity`` in seconds is by how much an expiry may be late; it is
    never early.  While no entry is filed, no timer runs.  ``now()`` is the time that deadlines are in, see `steady`.
    """

    __slots__ = ("_clock", "_first", "_granularity", "_last", "_slots", "_timer", "now")

    def __init__(self, clock: IReactorTime, granularity: float = 0.1) -> None:
        self._clock = clock
        self._granularity = granularity
        self._slots: dict[int, dict[Entry, None]] = {}
        self._first = self._last = 0  # the ticks that entries are filed under; moved with every new slot and turn
        self._timer: IDelayedCall | None = None
        self.now = steady(clock)

    def set(self, entry: Entry, when: float) -> None:
        """Let ``entry`` expire at ``when``, in seconds of the clock; it replaces the deadline it had. HOT"""
        entry.deadline = when
        if when < entry.review - self._granularity:  # else its review is not too late
            tick = int(when / self._granularity) + 1
            if tick > self._last:
                tick = self._last
            elif tick < self._first:
                tick = self._first
            slot = self._slots.get(tick)
            if slot is None:
                tick, slot = self._open(when)
            entry.review = tick * self._granularity
            slot[entry] = None

    def clear(self, entry: Entry) -> None:
        """Take the deadline away. The entry itself is let go of at its review, within seconds."""
        entry.deadline = inf

    def forget(self, entry: Entry) -> None:
        """Take the deadline away and let go of the entry at once; for connections that have ended."""
        entry.deadline = inf
        review = entry.review
        if review != inf:
            entry.review = inf
            slot = self._slots.get(int(review / self._granularity + 0.5))
            if slot is not None:
                slot.pop(entry, None)

    def entries(self) -> list[Entry]:
        """All entries that have a deadline."""
        return list({entry: None for slot in self._slots.values() for entry in slot if entry.deadline != inf})

    def stop(self) -> None:
        """Stop the timer and forget all entries; nothing expires any more unless `set` is called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        slots, self._slots = self._slots, {}
        for slot in slots.values():
            for entry in slot:
                entry.deadline = entry.review = inf

    def _open(self, when: float) -> tuple[int, dict[Entry, None]]:
        """The tick and the slot for a review at ``when``, which is the first there, or the last ones were used up."""
        now = self.now()
        self._move(int(now / self._granularity))
        tick = max(self._first, min(int(when / self._granularity) + 1, self._last))
        if self._timer is None:
            self._start(now)
        return tick, self._slots.setdefault(tick, {})

    def _move(self, current: int) -> None:
        self._first = current + 1
        self._last = current + 1 + int(_HORIZON / self._granularity)

    def _start(self, now: float) -> None:
        step = self._granularity
        self._timer = self._clock.callLater((int(now / step + 1e-6) + 1) * step - now, self._turn)

    def _turn(self) -> None:
        """Review every slot whose time has come."""
        self._timer = None
        now = self.now()
        current = int(now / self._granularity + 1e-6)
        self._move(current)
        for tick in sorted(tick for tick in self._slots if tick <= current):
            review = tick * self._granularity
            # An entry that was filed again for an earlier time has another review by now; it is stale here.
            for entry in self._slots.pop(tick, ()):
                if entry.review == review:
                    entry.review = inf
                    self._review(entry, max(now, review))
        if self._slots and self._timer is None:
            self._start(now)

    def _review(self, entry: Entry, now: float) -> None:
        if entry.deadline > now:
            if entry.deadline != inf:
                self.set(entry, entry.deadline)
            return
        entry.deadline = inf
        self.expire(entry, now)

    def expire(self, entry: Entry, now: float) -> None:
        """Tell ``entry`` that its time is over; what it makes of that harms no other."""
        try:
            entry.expired(now)
        except BaseException:
            _log.failure("a deadline's owner failed: {entry!r}", entry=type(entry).__name__)
