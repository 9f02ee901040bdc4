"""One generation follows another: what becomes of the pools of the old one, and of their members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger, LogPublisher

from gateway.lifecycle.assembly import roots_of
from gateway.pools.backend import Backend
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin

if TYPE_CHECKING:
    from gateway.health.monitor import HealthMonitor
    from gateway.lifecycle.assembly import Checks, Steps
    from gateway.lifecycle.generation import Generation
    from gateway.service import GatewayService

__all__ = ["Successions"]

_Pair = tuple[str, str]

_SILENT = Logger(observer=LogPublisher())  # what is found is said of the pools that they belong to


class Successions:
    """What becomes of the pools when ``now`` follows ``before`` (``None`` at the start).

    ``came``: pairs of names that are new.  ``changed``: pair, old and new pool where the pool or its probe is another.
    ``stayed``: the pools of all pairs that were there.  ``went``: pools that nobody uses any more.  ``reconnect``:
    those whose connections were made on other terms.
    """

    def __init__(self, now: Generation, before: Generation | None) -> None:
        self._now = now
        self.came: list[_Pair] = []
        self.changed: list[tuple[_Pair, Any, Any]] = []
        self.stayed: list[Any] = []
        self.reconnect: list[Any] = []
        old_pools = before.pools if before is not None else {}
        for pair, pool in now.pools.items():
            old = old_pools.get(pair)
            if old is None or before is None:
                self.came.append(pair)
                continue
            self.stayed.append(pool)
            if old is not pool or now.checks[pair] is not before.checks[pair]:
                self.changed.append((pair, old, pool))
            old_roots, roots = roots_of(old.settings, before.roots), roots_of(pool.settings, now.roots)
            if old.settings != pool.settings or old_roots != roots:
                self.reconnect.append(pool)
        self.went = [pool for pair, pool in old_pools.items() if pair not in now.pools]

    def newcomers(self, monitor: HealthMonitor) -> Steps[list[tuple[Pool, Checks]]]:
        """Pools of the members that nobody checks yet, to have them checked before they get requests, and by what.

        Nobody has leases of these pools.
        """
        found = []
        listed = self._now.listed
        for pair, pool in self._now.pools.items():
            members = listed.get(pool.name, ())
            new = [member for member in members if monitor.target(pool, Backend(member, pool.settings)) is None]
            if new:
                found.append((Pool(pool.name, pool.settings, new, RoundRobin(), _SILENT), self._now.checks[pair]))
            yield
        return found

    def happen(self, service: GatewayService) -> None:
        """Let the pools of ``now`` be those of ``service``, and their members those that belong to them."""
        now = self._now
        for _, old, new in self.changed:
            if old is not new:
                new.succeed(old)
        service.monitor.succeed([(old, new, *now.checks[pair]) for pair, old, new in self.changed])
        for pool in self.reconnect:
            for backend in pool.backends:
                service.ways.forget(backend)
        service.membership.change(now.discoveries, now.listed)
        for pair in self.came:
            pool = now.pools[pair]
            pool.set_members(service.members(pool.name))
            service.monitor.watch(pool, *now.checks[pair])
            service.follow_pool(pool)
        for pool in self.stayed:
            service.changes.apply(pool, service.members(pool.name), quiet=True)
        for pool in self.went:
            service.changes.apply(pool, (), quiet=True)
            service.monitor.unwatch(pool)
            pool.close()
