"""Probes at somebody's request: Application Gateway's ``getBackendHealthOnDemand``.

The request names a pool and settings of the running configuration, so that nobody can have other hosts probed, and may
say how to probe instead of as configured.  What is found is answered and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore, maybeDeferred, succeed
from twisted.internet.defer import TimeoutError as _Late
from twisted.python.failure import Failure

from gateway.config.model import Match
from gateway.config.model import Probe as ProbeModel
from gateway.errors import ConfigurationError
from gateway.health.reports import probe_report
from gateway.health.results import checked
from gateway.strategies.blame import brief
from gateway.strategies.containment import as_exception
from gateway.values import ProbeResult

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.interfaces import IBackend, IPool, IProbe

__all__ = ["MOST_REQUESTS", "MOST_SECONDS", "OnDemand", "Refused"]

MOST_REQUESTS = 4
"""Requests that are answered at a time."""

MOST_SECONDS = 60.0
"""The longest timeout that a request may ask for."""

_AT_ONCE = 50
_MOST_PROBLEMS = 5
_BY_PROTOCOL = {"Http": "http", "Https": "http", "Tcp": "tcp", "Tls": "tcp"}


class Refused(Exception):
    """A request that is not served: ``status`` for HTTP, and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Base(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Reference(_Base):
    id: str = Field(min_length=1, max_length=1000)


class _Request(_Base):
    backend_address_pool: _Reference | str
    backend_http_settings: _Reference | str
    protocol: Literal["Http", "Https", "Tcp", "Tls", None] = None
    host: str | None = Field(default=None, max_length=253)
    path: str | None = Field(default=None, pattern="^/", max_length=2000)
    timeout: float | None = Field(default=None, gt=0, le=MOST_SECONDS)
    match: Match | None = None
    pick_host_name_from_backend_http_settings: bool | None = None

    def changes(self, strategy: str) -> dict[str, Any]:
        """The members that the request gives of a `ProbeModel` with this strategy."""
        names = ("protocol", "host", "path", "timeout", "match", "pick_host_name_from_backend_http_settings")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if "match" in found:
            found["match"] = found["match"].model_dump()
        if "host" in found:
            found.setdefault("pick_host_name_from_backend_http_settings", False)
        if self.protocol is not None and strategy in _BY_PROTOCOL.values():
            found["strategy"] = _BY_PROTOCOL[self.protocol]
            if found["strategy"] != strategy:
                found["options"] = {}
        return found


class OnDemand:
    """Answers requests for probes.

    ``pools``: those of the running configuration.  ``probe_of`` gives the configured probe of settings, ``build`` makes
    the strategy of a probe, with a function to call when it is not used any more, and may raise `ConfigurationError`.
    ``clock`` is an ``IReactorTime``.
    """

    def __init__(
        self,
        gateway: Callable[[], str],
        pools: Callable[[], Iterable[IPool]],
        probe_of: Callable[[BackendSettings], ProbeModel],
        build: Callable[[BackendSettings, ProbeModel], tuple[IProbe, Callable[[], object]]],
        clock: Any,
    ) -> None:
        self._gateway = gateway
        self._pools = pools
        self._probe_of = probe_of
        self._build = build
        self._clock = clock
        self._busy = 0
        self._semaphore = DeferredSemaphore(_AT_ONCE)

    def ask(self, body: bytes) -> Deferred[dict[str, Any]]:
        """Probe as a JSON ``body`` says; fires with the report. Raises `Refused`; cancelling ends the probes."""
        pool, probe = self._understand(body)
        if self._busy >= MOST_REQUESTS:
            raise Refused(503, f"{MOST_REQUESTS} such requests are being answered; ask again later")
        try:
            strategy, close = self._build(pool.settings, probe)
        except ConfigurationError as error:
            raise Refused(400, "; ".join([problem.message for problem in error.problems[:_MOST_PROBLEMS]])) from None
        self._busy += 1
        backends = tuple(pool.backends)
        checks = [self._semaphore.run(self._check, strategy, backend, probe.timeout) for backend in backends]
        everything: Deferred[Any] = DeferredList(checks, consumeErrors=True) if checks else succeed([])

        def finished(results: Any) -> Any:
            self._busy -= 1
            close()
            if isinstance(results, Failure):
                return results
            found = [result for _, result in results]
            return probe_report(self._gateway(), pool, zip(backends, found, strict=True))

        return everything.addBoth(finished)

    def _check(self, strategy: IProbe, backend: IBackend, timeout: float) -> Deferred[ProbeResult]:
        check: Deferred[Any] = maybeDeferred(strategy.check, backend, timeout)
        check.addTimeout(timeout, self._clock)
        return check.addBoth(_result, timeout)

    def _understand(self, body: bytes) -> tuple[IPool, ProbeModel]:
        """The pool that is asked about, under its settings, and the probe that is wanted."""
        try:
            wanted = _Request.model_validate_json(body)
            pool = self._find(_name(wanted.backend_address_pool), _name(wanted.backend_http_settings))
            configured = self._probe_of(pool.settings)
            least = {"timeout": min(configured.timeout, MOST_SECONDS)}
            changes = wanted.changes(configured.strategy)
            probe = ProbeModel.model_validate({**configured.model_dump(), **least, **changes})
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]
            said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}".lstrip(": ") for each in found]
            raise Refused(400, "; ".join(said)) from None
        return pool, probe

    def _find(self, pool_name: str, settings_name: str) -> IPool:
        pools = tuple(self._pools())
        for pool in pools:
            if pool.name.casefold() == pool_name and pool.settings.name.casefold() == settings_name:
                return pool
        known = ", ".join([f"{pool.name} with {pool.settings.name}" for pool in pools[:10]]) or "none"
        raise Refused(404, f"no rule uses this pool with these settings; there are: {known}")


def _name(reference: _Reference | str) -> str:
    text = reference if isinstance(reference, str) else reference.id
    return text.rstrip("/").rpartition("/")[2].casefold()


def _result(result: Any, timeout: float) -> ProbeResult:
    if isinstance(result, Failure):
        if result.check(_Late, CancelledError):
            return ProbeResult(False, f"no answer within the probe's timeout of {timeout:g} s")
        return _failed(result.value)
    try:
        return checked(result)
    except BaseException as error:
        return _failed(error)


def _failed(error: BaseException | None) -> ProbeResult:
    return ProbeResult(False, f"the probe failed: {brief(as_exception(error))}")
