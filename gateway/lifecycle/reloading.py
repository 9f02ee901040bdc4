"""Another configuration while the gateway runs: read and checked beside it, built beside it, then taken in one step.

Reading and checking happen in a thread.  Building happens in the reactor, little by little: traffic has its turn in
between.  Binding the ports that are new, and the change itself, happen in one turn.  Whatever is wrong before the last
step leaves everything as it was.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from gateway.config.difference import difference
from gateway.errors import ConfigurationError, ReloadFailed
from gateway.lifecycle.generation import Material
from gateway.lifecycle.startup import CannotBind
from gateway.lifecycle.successions import Successions
from gateway.strategies.blame import brief

if TYPE_CHECKING:
    from gateway.config.model import Gateway
    from gateway.lifecycle.assembly import Checks, Steps
    from gateway.lifecycle.generation import Generation
    from gateway.pools.pool import Pool
    from gateway.service import GatewayService

__all__ = ["RELOADS", "Reloading", "Source"]

RELOADS = "gateway.reloading"
"""The namespace of what is logged of reloads; a worker leaves it to its parent."""

_log = Logger(RELOADS)

Source = Callable[..., "tuple[Gateway, Sequence[str]]"]
"""Reads and checks the configuration as at the start: the model, and what to log of it. Called in a thread; raises
`ConfigurationError`.  Called with problems that were found when the model was used, it raises these with their places
in the file, if it can."""

_TURN_SECONDS = 0.005
"""How long the building may keep everything else waiting at a time."""

_SWITCH_SECONDS = 0.0002
"""For how long a thread may keep the interpreter from another one that wants it, while a reload reads."""

_FIRST_CHECK_SECONDS = 5.0
"""How long a reload waits for the first checks of members that are new: longer than one in good health needs."""

_T = TypeVar("_T")
_NEVER = 1 << 30
_NO_SOURCE = "this gateway has no configuration that could be read again"


class Reloading:
    """The reloads of ``service``, one at a time.

    ``done`` and ``failed`` count them, ``ended`` is when the last one did so in seconds since the epoch, ``took`` how
    long its last step kept everything else waiting.  ``leaving``: old configurations that exchanges and sessions still
    use.
    """

    def __init__(self, service: GatewayService, source: Source | None) -> None:
        self.done = self.failed = 0
        self.good = True
        self.ended = self.took = 0.0
        self._service = service
        self._source = source
        self._notices = frozenset(service.notices)
        self._lock = DeferredLock()
        self.leaving: list[Generation] = []
        self._asked: list[Deferred[list[str]]] = []

    # -- one reload

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again, and go on with it; fires with what has changed, a line each.

        Fails with `ReloadFailed`, and then nothing has changed; both are logged.  While one is in progress further
        calls lead to one more, for the file may have changed since it was read.
        """
        asked: Deferred[list[str]] = Deferred()
        self._asked.append(asked)
        if len(self._asked) == 1:
            self._lock.run(self._begin)
        return asked

    def _begin(self) -> Deferred[None]:
        waiting, self._asked = self._asked, []

        def ended(result: Any) -> None:
            for asked in waiting:
                asked.callback(result)

        return Deferred.fromCoroutine(self._run(self._source)).addBoth(ended)

    def take(self, source: Source) -> Deferred[list[str]]:
        """As `reload`, with a configuration from elsewhere."""
        return self._lock.run(lambda: Deferred.fromCoroutine(self._run(source)))

    async def _run(self, source: Source | None) -> list[str]:
        began = time.monotonic()
        # A full collection while old and new are both there would take long, and find nothing.
        thresholds = gc.get_threshold()
        gc.set_threshold(*thresholds[:2], _NEVER)
        # Whenever the reactor waits for a system call the thread that reads takes over, for so long.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            return await self._read_and_change(source, began)
        finally:
            sys.setswitchinterval(interval)
            gc.set_threshold(*thresholds)

    async def _read_and_change(self, source: Source | None, began: float) -> list[str]:
        try:
            if source is None:
                raise ReloadFailed([_NO_SOURCE])
            reactor = self._service.reactor
            read = deferToThreadPool(reactor, reactor.getThreadPool(), _read, source, self._service.model)
            material, notices, changed = await read
            try:
                await self._change(material)
            except ConfigurationError as error:
                raise await self._located(source, error) from error
        except BaseException as error:  # whatever it is, who has asked must hear of it
            failed = _explained(error)
            self._record(False)
            _log.error(
                "the configuration is not reloaded, the old one goes on: {source}{problems}",
                source=failed.source and f"{failed.source}: ", problems="\n  ".join(["", *failed.problems])
                if len(failed.problems) > 1 else failed.problems[0],
            )  # fmt: skip
            raise failed from error
        self._record(True)
        _log.info(
            "the configuration has been reloaded in {seconds:.2f} s (the last step took {took:.3f} s): {changed}",
            seconds=time.monotonic() - began, took=self.took,
            changed="; ".join(changed) or "nothing in it has changed, its files have been read again",
        )  # fmt: skip
        for notice in [*notices, *[f"not honoured: {each}" for each in material.model.not_honoured]]:
            if notice not in self._notices:
                _log.warn("{notice}", notice=notice)
        self._notices = frozenset(notices)
        return changed

    async def _located(self, source: Source, error: ConfigurationError) -> ConfigurationError:
        """``error`` with places in the file; as it is where the source knows none."""
        reactor = self._service.reactor
        try:
            await deferToThreadPool(reactor, reactor.getThreadPool(), source, error.problems)
        except ConfigurationError as located:
            return located
        except Exception:
            _log.debug("the places of problems are not known")
        return error

    async def _change(self, material: Material) -> None:
        """Build all parts, others having their turn meanwhile; then go on with them in one turn of the reactor."""
        service, before = self._service, self._service.now
        self._check_running()
        now = await self._finished(service.building.generation(material, before.registry.again()))
        successions = Successions(now, before)
        newcomers: list[tuple[Pool, Checks]] = []
        try:
            if service.monitor.running:  # a worker's does not: it hears of them
                newcomers = await self._finished(successions.newcomers(service.monitor))
                await self._check(newcomers)
            self._check_running()
            began = time.monotonic()
            service.go_on(now, successions)
        except BaseException:
            service.building.discard(now)
            raise
        finally:
            for pool, _ in newcomers:
                service.monitor.unwatch(pool)
                pool.close()
        self.leaving.append(before)
        self.took = time.monotonic() - began
        self.retire()

    async def _check(self, newcomers: Sequence[tuple[Pool, Checks]]) -> None:
        """Wait for the first results of those that will get requests after the change; not for long."""
        monitor = self._service.monitor

        def watch() -> Steps[None]:
            for pool, checks in newcomers:
                monitor.watch(pool, *checks)
                yield

        await self._finished(watch())
        await monitor.when_known([pool for pool, _ in newcomers], _FIRST_CHECK_SECONDS)

    async def _finished(self, steps: Steps[_T]) -> _T:
        until = time.monotonic() + _TURN_SECONDS
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                made: _T = stop.value
                return made
            if time.monotonic() > until:
                await deferLater(self._service.reactor, 0)
                until = time.monotonic() + _TURN_SECONDS

    def _check_running(self) -> None:
        if not self._service.running or self._service.shared.stopping:
            raise ReloadFailed(["the gateway is stopping"])

    def _record(self, good: bool) -> None:
        self.good = good
        self.done += good
        self.failed += not good
        self.ended = time.time()

    # -- what is left of old configurations

    def retire(self) -> None:
        """Close what belongs to configurations that no exchange and no session uses any more."""
        service = self._service
        for old in tuple(self.leaving):
            shared = old.shared
            if any([connection.uses(shared) for connection in service.connections()]):
                continue
            if any([session.uses(shared) for session in service.sessions]):  # the client may have left already
                continue
            self.leaving.remove(old)
            service.building.close_left(old)

    def stop(self) -> None:
        """The gateway stops: nothing is kept alive any more, in any configuration."""
        for each in (self._service.now, *self.leaving):
            each.shared.stopping = True

    def closed(self) -> list[Any]:
        """The strategies of all configurations that are left, each once."""
        leaving, self.leaving = self.leaving, []
        every = [strategy for each in (self._service.now, *leaving) for strategy in each.registry.built]
        return list({id(strategy): strategy for strategy in every}.values())

    def exposition(self) -> str:
        """Metrics, in the Prometheus text format."""
        lines = [
            "# HELP gateway_reloads_total Reloads of the configuration.",
            "# TYPE gateway_reloads_total counter",
            f'gateway_reloads_total{{result="good"}} {self.done}',
            f'gateway_reloads_total{{result="failed"}} {self.failed}',
            "# HELP gateway_last_reload_good 1 if the last reload went well, or there was none.",
            "# TYPE gateway_last_reload_good gauge",
            f"gateway_last_reload_good{{}} {int(self.good)}",
            "# HELP gateway_last_reload_timestamp_seconds When the last reload ended; 0 if there was none.",
            "# TYPE gateway_last_reload_timestamp_seconds gauge",
            f"gateway_last_reload_timestamp_seconds{{}} {round(self.ended, 3)}",
            "# HELP gateway_last_reload_step_seconds How long the last reload kept everything else waiting.",
            "# TYPE gateway_last_reload_step_seconds gauge",
            f"gateway_last_reload_step_seconds{{}} {round(self.took, 6)}",
        ]
        return "\n".join([*lines, ""])


def _read(source: Source, old: Gateway) -> tuple[Material, Sequence[str], list[str]]:
    """In a thread: what does not need the reactor's."""
    model, notices = source()
    return Material.of(model), notices, difference(old, model)


def _explained(error: BaseException) -> ReloadFailed:
    if isinstance(error, ReloadFailed):
        return error
    if isinstance(error, ConfigurationError):
        return ReloadFailed(list(map(str, error.problems)), error.source)
    if isinstance(error, CannotBind):
        return ReloadFailed(error.problems)
    if not isinstance(error, (OSError, ValueError)):
        _log.failure("a reload failed in an unforeseen way")
    return ReloadFailed([brief(error)])
