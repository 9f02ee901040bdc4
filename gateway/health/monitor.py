"""The health monitor: which backends are probed, by what, and who is told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from gateway.health.passive import Passive, Report
from gateway.health.target import Target
from gateway.strategies.containment import Containment

if TYPE_CHECKING:
    from gateway.config.model import Probe
    from gateway.interfaces import IProbe
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool
    from gateway.values import ProbeResult

__all__ = ["HealthMonitor"]

_AT_ONCE = 50
_GROUP_SECONDS = 0.1
"""First checks start in groups of `_AT_ONCE`, this far apart: a small gateway is ready at once, and one that gets a
thousand backends, at its start or later, does not open a thousand connections in one turn of the reactor."""

_Key = tuple[str, str, tuple[str, int]]


class _Watched(NamedTuple):
    strategy: IProbe
    probe: Probe
    members: dict[Backend, None]
    contained: Containment


class HealthMonitor:
    """One series of checks for each pair of a backend and settings, however many pools have the pair.

    The settings name the probe, so that pools with the same settings have the same probe.  The verdict goes to
    `Pool.set_health`, which logs it and takes the backend out of the pool or puts it back.  Pools with a `Pool.passive`
    are also judged by their traffic, see `gateway.health.passive`.  ``clock`` is an
    ``IReactorTime``; ``random`` makes the jitter; ``wall`` gives seconds since the epoch for the history.  ``report``:
    see `Passive`; set it before there are pools.
    """

    def __init__(
        self, clock: Any, random: Random, log: Logger | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self.report: Report | None = None
        self._clock = clock
        self._random = random
        self._wall = wall
        self._log = Logger() if log is None else log
        self._pools: dict[Pool, _Watched] = {}
        self._targets: dict[_Key, Target] = {}
        self._passives: dict[Pool, Passive] = {}
        self._left: dict[_Key, Target] = {}
        self._starting: deque[tuple[_Key, Target]] = deque()
        self._starter: Any = None
        self.running = False

    def watch(self, pool: Pool, strategy: IProbe, probe: Probe, contained: Containment | None = None) -> None:
        """Check the members of ``pool`` from now on, or from `start` on. ``contained`` is the account of ``strategy``.

        Call it again with the same pool after `Pool.set_members`: members that stay keep their series.  To change
        the probe of a pool, `unwatch` it first.
        """
        watched = self._pools.get(pool)
        if watched is None:
            where = f"settings {pool.settings.name!r}"
            account = contained or Containment("probe", probe.name, where, log=self._log)
            watched = self._pools[pool] = _Watched(strategy, probe, {}, account)
        belong = frozenset(pool.backends)
        for backend in [backend for backend in watched.members if backend not in belong]:
            del watched.members[backend]
            self._forget(pool, backend)
        known = []
        for backend in pool.backends:
            if backend not in watched.members:
                watched.members[backend] = None
                known.append(self._target(pool, backend, watched).add(pool, backend))
        pool.set_verdicts(filter(None, known))
        if pool.passive is not None:
            if pool not in self._passives:
                self._passives[pool] = Passive(pool, pool.passive, self._clock, self.report)
            self._passives[pool].watch()

    def follow(self, pool: Pool) -> None:
        """The members of ``pool``, which is watched, have changed: those that came are checked, those that went not."""
        watched = self._pools.get(pool)
        if watched is not None:
            self.watch(pool, watched.strategy, watched.probe)

    def succeed(self, successions: Iterable[tuple[Pool, Pool, IProbe, Probe, Containment]]) -> None:
        """Watch other pools in the place of watched ones: pairs of old and new, which has the old one's members now.

        Old and new may be the same, with another probe.  The members keep their verdict and history, and are checked
        at once; who is ejected stays out unless the rules for that have changed.
        """
        changes = tuple(successions)
        for old, new, *_ in changes:
            passive = self._passives.pop(old, None)
            if passive is not None:
                passive.pool = new
                if new.passive == passive.rules.passive:
                    self._passives[new] = passive
                else:
                    passive.stop(let_in=True)
            for backend in self._pools.pop(old).members:
                target = self._forget(old, backend)
                if target is not None:
                    self._left[_key(old, backend)] = target
        for _, new, strategy, probe, contained in changes:
            self.watch(new, strategy, probe, contained)
        self._left.clear()

    def unwatch(self, pool: Pool) -> None:
        """Check the members of ``pool`` no more. Their state stays as it is, but ejections end."""
        passive = self._passives.pop(pool, None)
        if passive is not None:
            passive.stop(let_in=True)
        watched = self._pools.pop(pool, None)
        for backend in watched.members if watched is not None else ():
            self._forget(pool, backend)

    def start(self) -> Deferred[None]:
        """Begin; see `when_ready` for the result."""
        self.running = True
        self._starting.extend(self._targets.items())
        self._start_some()
        return self.when_ready()

    def when_ready(self) -> Deferred[None]:
        """Fires when every target that is known now has had its first result, good or bad, or has been given up."""
        everything = DeferredList([target.first_result() for target in self._targets.values()])
        return everything.addCallback(lambda _: None)

    def when_known(self, pools: Iterable[Pool], seconds: float) -> Deferred[None]:
        """Fires when every member of these pools, which are watched, has had its first result, after ``seconds`` at
        the latest."""
        targets = {self._targets[_key(pool, backend)]: None for pool in pools for backend in pool.backends}
        known = DeferredList([target.first_result() for target in targets], consumeErrors=True)
        known.addTimeout(seconds, self._clock, lambda result, timeout: None)
        return known.addCallback(lambda _: None)

    def stop(self) -> None:
        """End all series; checks in progress are cancelled. `when_ready` fires for those that wait."""
        self.running = False
        self._starting.clear()
        if self._starter is not None:
            self._starter.cancel()
            self._starter = None
        for target in self._targets.values():
            target.stop()
        for passive in self._passives.values():
            passive.stop()
        self._passives.clear()
        self._targets.clear()
        self._pools.clear()

    def target(self, pool: Pool, backend: Backend) -> Target | None:
        """What is known about a member: `Target.standing`, `Target.history`, `Target.probe`."""
        return self._targets.get(_key(pool, backend))

    def history(self, pool: Pool, backend: Backend) -> list[tuple[float, ProbeResult]]:
        """The last results for a member, oldest first: seconds since the epoch, and the result."""
        target = self.target(pool, backend)
        return [] if target is None else list(target.history)

    # -- inside --------------------------------------------------------------------------------------------

    def _target(self, pool: Pool, backend: Backend, watched: _Watched) -> Target:
        key = _key(pool, backend)
        target = self._targets.get(key)
        if target is None:
            target = Target(watched.strategy, watched.probe, self._clock, self._random, watched.contained, self._wall)
            self._targets[key] = target
            if key in self._left:
                target.inherit(self._left[key])
            if self.running:
                self._starting.append((key, target))
                if self._starter is None:
                    # Its member is added in this same turn; a delay of zero keeps the first check behind that.
                    self._starter = self._clock.callLater(0, self._start_some)
        return target

    def _start_some(self) -> None:
        some = [self._starting.popleft() for _ in range(min(_AT_ONCE, len(self._starting)))]
        self._starter = self._clock.callLater(_GROUP_SECONDS, self._start_some) if self._starting else None
        for key, target in some:
            if self._targets.get(key) is target:
                target.start()

    def _forget(self, pool: Pool, backend: Backend) -> Target | None:
        """End the series of a member; the target, if it was nobody else's."""
        key = _key(pool, backend)
        target = self._targets.get(key)
        if target is None:
            return None
        if target.remove(pool, backend):
            del self._targets[key]
            target.stop()
            return target
        heir = self._pools.get(next(iter(target.members))[0])
        if heir is not None:
            target.ask(heir.strategy, heir.contained)  # that of the pool that has left may be closed
        return None


def _key(pool: Pool, backend: Backend) -> _Key:
    return pool.settings.name, backend.name, backend.place
