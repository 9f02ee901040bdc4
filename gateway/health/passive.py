"""Passive health: real traffic takes a backend out of its pool for a while (see `gateway.health.ejection`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateway.health.ejection import GOOD, NEUTRAL, NO_RUNS, Rules, counted, fault, room, sentence, sign_of
from gateway.transport.deadlines import steady

if TYPE_CHECKING:
    from gateway.config.model import PassiveHealth
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool
    from gateway.values import Outcome

__all__ = ["Passive", "Report", "Witness"]


Report = Callable[["Pool", "Backend", str], None]


class Witness:
    """What the traffic of one backend has shown; `Lease.release` tells it every outcome.

    ``number``: how many ejections count against it (see `ejection.sentence`).
    """

    __slots__ = ("_backend", "_passive", "_runs", "_since", "_timer", "_trial", "number")

    def __init__(self, passive: Passive, backend: Backend) -> None:
        self.number = 0
        self._passive = passive
        self._backend = backend
        self._runs = NO_RUNS
        self._since = passive.seconds()  # when it was let in
        self._trial = False
        self._timer: Any = None

    def ended(self, outcome: Outcome) -> None:
        """A lease of the backend was released. HOT: costs a few look-ups while all is well."""
        sign = sign_of(outcome, self._passive.rules)
        if sign in GOOD and self._runs is NO_RUNS and not self._trial:
            return
        if sign == NEUTRAL or not self._backend.healthy or (self._trial and outcome.started < self._since):
            return  # it is out already, or this began before it was let in again
        runs = counted(self._runs, sign)
        self._runs = runs if any(runs) else NO_RUNS
        why = fault(runs, self._passive.rules, self._trial)
        if why:
            self._convict(why)
        elif sign in GOOD:
            self._trial = False

    def accuse(self, why: str) -> None:
        """Another process has seen it at fault, and this one decides."""
        if self._backend.healthy:
            self._convict(why)

    def pardon(self) -> None:
        """Another process has decided to let it in again: it is on trial."""
        self._runs = NO_RUNS
        self._trial = True
        self._since = self._passive.seconds()

    def probed_well(self) -> None:
        """A probe found the backend healthy: where the configuration says so, that ends an ejection."""
        if self._timer is not None and self._passive.rules.passive.readmit == "probe":
            self._timer.cancel()
            self._release("a probe found it healthy")

    def stop(self, let_in: bool) -> None:
        """Nothing is going to happen any more; an ejection ends now or stays as it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if let_in:
                self._passive.pool.let_in(self._backend, "traffic does not judge it any more")

    def _convict(self, why: str) -> None:
        passive = self._passive
        if passive.report is not None:
            self._runs = NO_RUNS
            passive.report(passive.pool, self._backend, why)
            return
        if not passive.has_room(self._backend):
            passive.pool.remark(self._backend, f"would be ejected ({why}), but enough of the pool are out")
            return
        number, seconds = sentence(self.number, passive.seconds() - self._since, passive.rules.passive)
        self.number = number
        self._runs = NO_RUNS
        self._timer = passive.clock.callLater(seconds, self._release, f"{seconds:g} s are over")
        passive.pool.eject(self._backend, f"ejected for {seconds:g} s: {why}")

    def _release(self, why: str) -> None:
        self._timer = None
        self._trial = True
        self._since = self._passive.seconds()
        self._passive.pool.let_in(self._backend, f"let in again on trial: {why}")


class Passive:
    """The witnesses of one pool. ``clock`` is an ``IReactorTime``.

    ``report(pool, backend, why)`` is called with each fault where another process decides what comes of it.
    """

    def __init__(self, pool: Pool, passive: PassiveHealth, clock: Any, report: Report | None = None) -> None:
        self.report = report
        self.pool = pool
        self.rules = Rules(passive)
        self.clock = clock
        self.seconds = steady(clock)
        self._witnesses: dict[Backend, Witness] = {}

    def watch(self) -> None:
        """Follow the members that the pool has now; those that stay keep what is known of them."""
        belong = frozenset(self.pool.backends)
        for backend in [backend for backend in self._witnesses if backend not in belong]:
            self._forget(backend)
        for backend in self.pool.backends:
            if backend not in self._witnesses:
                backend.witness = self._witnesses[backend] = Witness(self, backend)

    def stop(self, let_in: bool = False) -> None:
        """Follow nobody any more; who is ejected comes back now or stays out."""
        for backend in tuple(self._witnesses):
            self._forget(backend, let_in)

    def has_room(self, backend: Backend) -> bool:
        """Whether ``backend`` may be ejected as well."""
        pool = self.pool
        ejected = sum([bool(member.ejected) for member in pool.backends])
        others = sum([candidate is not backend for candidate in pool.candidates])
        return room(len(pool.backends), ejected, others, self.rules.passive)

    def _forget(self, backend: Backend, let_in: bool = False) -> None:
        witness = self._witnesses.pop(backend)
        witness.stop(let_in)
        if backend.witness is witness:
            backend.witness = None
