"""The sessions that are open now: WebSockets, and the tunnels of other upgrades."""

from __future__ import annotations

import random as _random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from gateway.errors import SessionEnded
    from gateway.interfaces import ISession

__all__ = ["Sessions"]

_log = Logger()

_AT_ONCE = 50
"""Sessions that are asked for their counters before others get their turn: about two milliseconds."""

_TICK = 0.02
"""Least seconds between two steps of a paced end; faster rates end several sessions per step."""


class Sessions:
    """Registry of open `ISession`. Adding and removing are O(1).

    ``clock`` is an ``IReactorTime`` for a paced end; ``random`` a ``random.Random`` for its jitter.
    """

    def __init__(self, clock: Any, random: Any = _random) -> None:
        self._clock = clock
        self._random = random
        self._ids: dict[ISession, int] = {}
        self._last = 0
        self._endings: list[_Ending] = []

    def add(self, session: ISession) -> int:
        """Register a session that has been established; return its id, unique in this process. Idempotent."""
        known = self._ids.get(session)
        if known is not None:
            return known
        self._last += 1
        self._ids[session] = self._last
        for ending in self._endings:
            ending.added(session)
        return self._last

    def remove(self, session: ISession) -> None:
        """Forget a session that has ended. Idempotent."""
        if self._ids.pop(session, None) is not None and self._endings:
            for ending in tuple(self._endings):
                ending.removed(session)

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._ids)

    def __contains__(self, session: object) -> bool:
        return session in self._ids

    def __iter__(self) -> Iterator[ISession]:
        """Over a copy, oldest first: sessions may end meanwhile."""
        return iter(tuple(self._ids))

    def refresh(self) -> Deferred[None]:
        """Bring the outcomes of all up to date, some at a time; fires when that is done."""
        done: Deferred[None] = Deferred()
        self._refresh(iter(self), done)
        return done

    def _refresh(self, left: Iterator[ISession], done: Deferred[None]) -> None:
        some = tuple(islice(left, _AT_ONCE))
        for session in some:
            if session in self._ids:
                session.snapshot()
        if len(some) == _AT_ONCE:
            self._clock.callLater(0, self._refresh, left, done)
        else:
            done.callback(None)

    def newest(self, limit: int) -> list[tuple[int, ISession]]:
        """At most ``limit`` pairs of id and session, the newest first."""
        return [(number, session) for session, number in islice(reversed(self._ids.items()), limit)]

    def by_pool(self, websocket: bool = False) -> dict[str, int]:
        """How many are open per pool name; with ``websocket`` without the tunnels of other protocols."""
        counts: dict[str, int] = {}
        for session in self._ids:
            if websocket and not session.outcome.websocket:
                continue
            route = session.outcome.route
            name = route.pool.name if route is not None else ""
            counts[name] = counts.get(name, 0) + 1
        return counts

    def end_all(
        self,
        error: SessionEnded,
        *,
        rate: float | None = None,
        limit: float | None = None,
        where: Callable[[ISession], bool] | None = None,
    ) -> Deferred[int]:
        """End all sessions, or those for which ``where`` is true, with one close code.

        ``rate`` in sessions per second, with jitter, so that clients do not all come back in the same instant;
        ``None``: all at once.  Sessions that open meanwhile are ended as well.  Returns a Deferred that fires with the
        number that is still open: 0 when none is left, more if ``limit`` seconds have passed before.  Cancelling
        it ends no more sessions.
        """
        ending = _Ending(self._endings, error, rate, where, self._clock, self._random)
        ending.start(self, limit)
        return ending.done


class _Ending:
    """One `Sessions.end_all` in progress."""

    def __init__(
        self,
        endings: list[_Ending],
        error: SessionEnded,
        rate: float | None,
        where: Callable[[ISession], bool] | None,
        clock: Any,
        random: Any,
    ) -> None:
        self.done: Deferred[int] = Deferred(lambda _: self._stop())
        self._endings = endings
        self._error = error
        self._rate = rate
        self._where = where
        self._clock = clock
        self._random = random
        self._left: set[ISession] = set()
        self._queue: deque[ISession] = deque()
        self._next: IDelayedCall | None = None
        self._limit: IDelayedCall | None = None
        self._owed = 0.0

    def start(self, sessions: Sessions, limit: float | None) -> None:
        self._endings.append(self)
        self._queue.extend(session for session in sessions if self._where is None or self._where(session))
        self._left.update(self._queue)
        if limit is not None:
            self._limit = self._clock.callLater(limit, self._finish)
        self._step()

    def added(self, session: ISession) -> None:
        if self._where is None or self._where(session):
            self._queue.append(session)
            self._left.add(session)
            if self._next is None:
                # Not at once: whoever registers a session has not finished with opening it.
                self._next = self._clock.callLater(0, self._step)

    def removed(self, session: ISession) -> None:
        self._left.discard(session)
        if not self._left:
            self._finish()

    def _step(self) -> None:
        """End as many as are due now, and come back for the others."""
        self._next = None
        due = len(self._queue)
        pause = 0.0
        if self._rate is not None:
            pause = max(1.0 / self._rate, _TICK) * self._random.uniform(0.5, 1.5)
            self._owed += self._rate * pause
            due = max(1, int(self._owed))
            self._owed -= due
        while due > 0 and self._queue:
            session = self._queue.popleft()
            if session in self._left:
                due -= 1
                try:
                    session.end(self._error)
                except Exception:
                    _log.failure("ending a WebSocket session failed")
        if not self._left:
            self._finish()
        elif self._queue and self._next is None:
            self._next = self._clock.callLater(pause, self._step)

    def _finish(self) -> None:
        self._stop()
        if not self.done.called:
            self.done.callback(len(self._left))

    def _stop(self) -> None:
        if self in self._endings:
            self._endings.remove(self)
        for call in (self._next, self._limit):
            if call is not None and call.active():
                call.cancel()
        self._next = self._limit = None
        self._queue.clear()
