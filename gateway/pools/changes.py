"""What follows when members come and go while traffic flows: probes, connections, draining."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gateway.errors import SessionEnded
from gateway.pools.backend import UNKNOWN

if TYPE_CHECKING:
    from gateway.config.model import Member
    from gateway.health.monitor import HealthMonitor
    from gateway.interfaces import IBackend, ISession
    from gateway.observe.sessions import Sessions
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool

__all__ = ["MEMBERS", "Changes"]

MEMBERS = "gateway.pools"
"""The namespace of what is logged of members; a worker leaves it to its parent."""

_PACE_SECONDS = 10.0
_LEAST_RATE = 20.0
_MOST_NAMED = 8
_LOOK_SECONDS = 0.1
_HANDOVER_SECONDS = 30.0
"""For how long who goes may stay at most because it is not known yet whether those that come can take over."""

_log = Logger(MEMBERS)
_draining_log = Logger("gateway.draining")  # said by whoever has the sessions; the other by one process for all

_Key = tuple[str, str, str, tuple[str, int]]


class Changes:
    """Changes the members of pools.

    Where all go that can be chosen, they stay until it is known of one that comes that it can be, or of all whether
    they can: the first check of each is sent at once.

    A member that goes gets no new leases from then on, is probed no more, and its idle connections are closed
    (``forget(backend)``).  Exchanges in progress end as they would.  Sessions stay; where ``connectionDraining`` of the
    settings is enabled, those that are left after its time get close code 1001, a few at a time.
    """

    def __init__(
        self, monitor: HealthMonitor, sessions: Sessions, forget: Callable[[IBackend], None], clock: Any
    ) -> None:
        self._monitor = monitor
        self._sessions = sessions
        self._forget = forget
        self._clock = clock
        self._handovers: dict[tuple[str, str], Callable[[], bool]] = {}
        self._looking: Any = None
        self._timers: dict[_Key, Any] = {}
        self._endings: dict[_Key, Deferred[int]] = {}

    def apply(self, pool: Pool, members: Iterable[Member], quiet: bool = False) -> None:
        """Let ``members`` be those of ``pool``. ``quiet``: somebody else has said so in the log."""
        pair = pool.name, pool.settings.name
        self._handovers.pop(pair, None)
        members = tuple(members)
        needed = pool.needed_besides(members)
        self._change(pool, (*members, *needed), quiet)
        if needed:
            coming = pool.backends[: -len(needed)]
            until = self._clock.seconds() + _HANDOVER_SECONDS

            def over() -> bool:
                decided = any(each.healthy for each in coming) or all(each.verdict != UNKNOWN for each in coming)
                if not decided and self._clock.seconds() < until:
                    return False
                self._change(pool, members, quiet)
                return True

            self._handovers[pair] = over
            self.look()

    def look(self) -> None:
        """See whether those that come can take over, where all others go; done again by itself until they can."""
        for pair, over in tuple(self._handovers.items()):
            if over():
                del self._handovers[pair]
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        if self._handovers:
            self._looking = self._clock.callLater(_LOOK_SECONDS, self.look)

    def _change(self, pool: Pool, members: Iterable[Member], quiet: bool) -> None:
        """At once."""
        came, went = pool.set_members(members)
        if not came and not went:
            return
        self._monitor.follow(pool)
        for backend in came:
            self._keep(_key(pool, backend))
        for backend in went:
            self._forget(backend)
            self._drain(pool, backend)
        if quiet:
            return
        _log.info(
            "pool {pool} (settings {settings}) has {count} members: came {came}, went {went}",
            pool=pool.name, settings=pool.settings.name, count=len(pool.backends), came=_names(came), went=_names(went),
        )  # fmt: skip

    def stop(self) -> None:
        """Drain no more: the sessions that are left are somebody else's concern now."""
        self._handovers.clear()
        self.look()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for ending in list(self._endings.values()):
            ending.cancel()

    @property
    def draining(self) -> int:
        """Members that have gone and whose sessions will be ended."""
        return len(self._timers) + len(self._endings)

    # -- draining ------------------------------------------------------------------------------------------

    def _drain(self, pool: Pool, backend: Backend) -> None:
        draining = pool.settings.connection_draining
        key = _key(pool, backend)
        if draining.enabled and backend.load.active and key not in self._timers:
            self._timers[key] = self._clock.callLater(draining.drain_timeout_in_sec, self._end, key)

    def _keep(self, key: _Key) -> None:
        """It is back: its old sessions may stay as well."""
        timer, ending = self._timers.pop(key, None), self._endings.pop(key, None)
        if timer is not None:
            timer.cancel()
        if ending is not None:
            ending.cancel()

    def _end(self, key: _Key) -> None:
        del self._timers[key]
        count = sum(_belongs(session, key) for session in self._sessions)
        if not count:
            return
        _draining_log.info("{count} sessions of backend {backend}, which has left, end", count=count, backend=key[2])
        error = SessionEnded(1001, "the backend is going away", "drained")
        rate = max(_LEAST_RATE, count / _PACE_SECONDS)
        ending = self._sessions.end_all(error, rate=rate, where=lambda session: _belongs(session, key))
        self._endings[key] = ending
        ending.addErrback(lambda failure: failure.trap(CancelledError))
        ending.addBoth(self._ended, key)

    def _ended(self, result: object, key: _Key) -> None:
        self._endings.pop(key, None)


def _key(pool: Pool, backend: IBackend) -> _Key:
    return pool.name, pool.settings.name, backend.name, (backend.connect_host, backend.connect_port)


def _belongs(session: ISession, key: _Key) -> bool:
    route, backend = session.outcome.route, session.outcome.backend
    return route is not None and backend is not None and _key(route.pool, backend) == key


def _names(backends: Iterable[Backend]) -> str:
    names = [backend.name for backend in backends]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(names[:_MOST_NAMED]) or "nobody") + more
