"""One thing that is probed: a backend under one group of settings, with what its checks have found."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.errors import PluginOff
from gateway.health.results import checked
from gateway.health.verdict import Changed, ChangePending, Judgement, Standing, Unchanged, judge
from gateway.pools.backend import UNKNOWN, UP
from gateway.strategies.blame import brief
from gateway.strategies.containment import as_exception
from gateway.values import ProbeResult

if TYPE_CHECKING:
    from gateway.config.model import Probe
    from gateway.interfaces import IProbe
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool, Verdict
    from gateway.strategies.containment import Containment

__all__ = ["HISTORY", "Target"]

_log = Logger()

HISTORY = 10
"""How many results are kept for each target."""

_JITTER = 0.1
_LEAST_PAUSE = 0.1  # of the interval: the rest for a backend whose check took longer than the interval


class Target:
    """Runs one series of checks: never two at a time, each within the probe's timeout, whatever the probe does.

    ``members`` are the pools, with their backend objects, that get the verdict.  ``standing`` and ``history``
    (seconds since the epoch and the result, oldest first) are for the admin page.
    """

    def __init__(
        self, strategy: IProbe, probe: Probe, clock: Any, random: Random, contained: Containment,
        wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.probe = probe
        self.members: dict[tuple[Pool, Backend], None] = {}
        self.standing = Standing()
        self.history: deque[tuple[float, ProbeResult]] = deque(maxlen=HISTORY)
        self._clock = clock
        self._random = random
        self.ask(strategy, contained)
        self._wall = wall
        self._waiting: list[Deferred[None]] = []
        self._began = 0.0
        self._check: Deferred[Any] | None = None
        self._round: Deferred[None] | None = None
        self._timer: Any = None
        self._loop: LoopingCall | None = None  # while it runs, for they hold each other

    def ask(self, strategy: IProbe, contained: Containment) -> None:
        """Let ``strategy`` make the checks from now on."""
        self._ask = contained.guard(contained.measured(strategy.check))
        self._contained = contained

    def inherit(self, other: Target) -> None:
        """Go on from what another series has found."""
        self.standing = other.standing
        self.history.extend(other.history)

    # -- members -------------------------------------------------------------------------------------------

    def add(self, pool: Pool, backend: Backend) -> Verdict | None:
        """Tell ``pool`` about ``backend`` from now on; returns what is known already, ``None`` if that is nothing."""
        self.members[pool, backend] = None
        if self.standing.state == UNKNOWN:
            return None
        return backend, self.standing.state == UP, self.history[-1][1].reason if self.history else ""

    def remove(self, pool: Pool, backend: Backend) -> bool:
        """Tell it no more; true if nobody is left."""
        self.members.pop((pool, backend), None)
        return not self.members

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Check now and then every interval."""
        self._loop = loop = LoopingCall(self._begin)
        loop.clock = self._clock
        loop.start(self.probe.interval, now=True).addErrback(_loop_failed)

    def stop(self) -> None:
        """Check no more; a check in progress is cancelled and its result dropped. Safe to repeat."""
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()
        self._cancel_check()
        self._finish_round()
        self._tell_waiting()

    def first_result(self) -> Deferred[None]:
        """Fires when there is a result; at once if there is one already."""
        waiting: Deferred[None] = Deferred()
        if self.history:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    # -- one round -----------------------------------------------------------------------------------------

    def _begin(self) -> Deferred[None]:
        finished: Deferred[None] = Deferred()
        self._round = finished
        self._began = self._clock.seconds()
        if self._check is not None:
            self._record(ProbeResult(False, "the previous check has been cancelled and has not let go yet"))
            return finished
        self._timer = self._clock.callLater(self.probe.timeout, self._timed_out)
        check = self._check = maybeDeferred(self._ask, next(iter(self.members))[1], self.probe.timeout)
        check.addBoth(self._ended, check)
        return finished

    def _ended(self, result: Any, check: Deferred[Any]) -> None:
        self._check = None
        if self._round is None:
            return  # it came after its time; that has been recorded
        if isinstance(result, Failure):
            self._failed(result.value)
            return
        try:
            found = checked(result)
        except BaseException as error:
            self._failed(error)
            return
        if self._contained.run:
            self._contained.succeeded()
        self._record(found)

    def _failed(self, raised: BaseException | None) -> None:
        if isinstance(raised, PluginOff):
            self._record(ProbeResult(False, str(raised)))
            return
        error = as_exception(raised)
        self._contained.failed(error)
        self._record(ProbeResult(False, f"the probe failed: {brief(error)}"))

    def _timed_out(self) -> None:
        self._record(ProbeResult(False, f"no answer within the probe's timeout of {self.probe.timeout:g} s"))
        self._cancel_check()

    def _cancel_check(self) -> None:
        check = self._check
        if check is None:
            return
        self._round, finished = None, self._round
        try:
            check.cancel()
        except BaseException as error:
            self._contained.failed(as_exception(error))
        self._round = finished

    def _record(self, result: ProbeResult) -> None:
        took = max(self._clock.seconds() - self._began, 0.0)
        healthy, reason = result.healthy, result.reason
        self.history.append((self._wall(), result._replace(seconds=result.seconds or took)))
        if result.conclusive or self.standing.state == UNKNOWN:
            judgement: Judgement = judge(self.standing, healthy, self.probe.unhealthy_threshold)
        else:
            judgement = Unchanged(self.standing)
        self.standing = judgement.standing
        if isinstance(judgement, ChangePending):
            failed = self.standing.failures
            reason = f"{reason} (failure {failed} of {self.probe.unhealthy_threshold} before it is down)"
        for pool, backend in tuple(self.members):
            if isinstance(judgement, Changed):
                pool.set_health(backend, self.standing.state == UP, reason)
            else:
                pool.note(backend, reason)
            if healthy and backend.witness is not None:
                backend.witness.probed_well()
        self._tell_waiting()
        self._pace(took)
        self._finish_round()

    def _pace(self, took: float) -> None:
        """Set when the loop comes round next.

        The loop's own grid would skip a whole interval when a check takes one, as each check of a backend that
        does not answer does if timeout and interval are equal, which they are by default.
        """
        loop, interval = self._loop, self.probe.interval
        if loop is None:
            return  # who was told of the result has ended it
        wanted = interval * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        loop.starttime = self._clock.seconds()
        loop.interval = max(wanted - took, interval * _LEAST_PAUSE)

    def _finish_round(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if self._round is not None:
            finished, self._round = self._round, None
            finished.callback(None)

    def _tell_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)


def _loop_failed(failure: Failure) -> None:
    """Everything a strategy does is caught, so a loop that ends by itself is a bug, and must be seen."""
    _log.failure("a bug of the gateway: a series of health checks has ended", failure)
