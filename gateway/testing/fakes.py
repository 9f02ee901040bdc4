"""What a test hands to a strategy instead of the gateway's own: heads, backends, pools, leases, a network, services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings
from gateway.errors import NoHealthyBackend
from gateway.http.heads import index_of
from gateway.interfaces import IBackend, ILease, IOutcomeObserver, IPool, IRoad, IStrategyFactory
from gateway.lifecycle.registry import Registry
from gateway.services import Services
from gateway.strategies.groups import GROUPS
from gateway.values import Context, Outcome, Peer, RequestHead, ResponseHead, Route

__all__ = [
    "FakeBackend", "FakeConnection", "FakeLease", "FakePool", "FakeRoad", "FakeTransport", "Recorder", "build",
    "fake_services", "request_context", "request_head", "response_head",
]  # fmt: skip


# -- values


def request_head(
    target: str = "/",
    *,
    method: str = "GET",
    host: str = "example.com",
    version: str = "1.1",
    fields: Iterable[tuple[str, str]] = (),
    **others: Any,
) -> RequestHead:
    """A request as the parser would give it. ``Host`` is put before ``fields``; ``others`` as in `RequestHead`."""
    lines = tuple(fields)
    if host:
        lines = (("Host", host), *lines)
    return RequestHead(method, target, version, host, lines, index_of(lines), **others)


def response_head(
    status: int = 200, reason: str = "OK", fields: Iterable[tuple[str, str]] = (), **others: Any
) -> ResponseHead:
    """A response as the parser would give it."""
    lines = tuple(fields)
    return ResponseHead(status, reason, others.pop("version", "1.1"), lines, index_of(lines), **others)


def request_context(
    head: RequestHead,
    clock: Clock | None = None,
    route: Route | None = None,
    *,
    host: str = "203.0.113.7",
    **known: Any,
) -> Context:
    """What a middleware is told of the exchange of ``head``; ``known`` are attributes of its `Outcome`.

    ``host`` is the client's address, ``clock`` stands still if not given.
    """
    outcome = Outcome(
        **{"head": head, "peer": Peer(host, 50000), "listener": "listener", "trace_id": "0" * 32, **known}
    )
    return Context(outcome, route, (clock or Clock()).seconds)


# -- building


def fake_services(clock: Clock | None = None, **others: Any) -> Services:
    """What a factory is given, with a clock for reactor and chance that repeats; ``others`` as in `Services`.

    Every pool that a router asks for is there, a `FakePool`; ``otherwise`` is the route to one called ``otherwise``.
    """
    clock = clock or Clock()
    target = _Targets()
    services = Services(clock, clock, Random(1), b"a secret of the tests", target=target)
    return services._replace(**{"otherwise": lambda head: target("otherwise"), **others})


class _Targets:
    """See `Services`."""

    def __init__(self) -> None:
        self._pools: dict[tuple[str, str], FakePool] = {}

    def __call__(self, pool: str, settings: str | None = None, *, matched: str = "", name: str = "") -> Route:
        settings = settings or "settings"
        found = self._pools.setdefault((pool, settings), FakePool(pool, BackendSettings(name=settings)))
        return Route("listener", "rule", found, found.settings, name, matched)


def build(factory: Any, options: Mapping[str, Any] | None = None, services: Services | None = None) -> Any:
    """The strategy that ``factory`` makes of ``options``, spelled as in a configuration.

    The options are checked as the gateway does it: ``pydantic.ValidationError``, a ``ValueError``, if they are wrong.
    What options name themselves (see `Services`) is looked up as in a configuration.
    """
    given = fake_services() if services is None else services
    verifyObject(IStrategyFactory, factory)
    if factory.options is None and options:
        raise ValueError(f"{factory.name!r} takes no options")
    checked = None if factory.options is None else factory.options.model_validate(dict(options or {}))

    def make(field: str, inner: Any) -> Any:
        group = next(word for word in factory.options.model_fields[field].metadata if word in GROUPS)
        return Registry().build(group, inner.strategy, inner.options, given, field)

    return factory.build(checked, given if given.make is not None else given._replace(make=make))


# -- fakes


@implementer(IOutcomeObserver)
class Recorder:
    """An observer. ``begun``: sessions that were opened; ``outcomes``: exchanges and sessions that ended; in order."""

    def __init__(self) -> None:
        self.begun: list[Outcome] = []
        self.outcomes: list[Outcome] = []

    def opened(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        self.begun.append(outcome)

    def ended(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        self.outcomes.append(outcome)


@implementer(IBackend)
class FakeBackend:
    """A backend that is up, with any attribute of `IBackend` set at will."""

    def __init__(self, host: str = "10.0.0.1", port: int = 80, **others: Any) -> None:
        self.host = self.connect_host = host
        self.port = self.connect_port = port
        self.name = f"{host}:{port}"
        self.weight = 1
        self.priority = 0
        self.active = 0
        self.healthy = True
        self.state = "up"
        self.reason = "the answer was 200"
        self.ejected = ""
        self.ejections = 0
        self.since = 0.0
        self.latency: Any = None
        self.__dict__.update(others)

    def __repr__(self) -> str:
        return f"<FakeBackend {self.name}>"


@implementer(ILease)
class FakeLease:
    """Remembers the outcome it was released with."""

    outcome: Outcome | None = None

    def __init__(self, backend: IBackend) -> None:
        self.backend = backend

    def release(self, outcome: Outcome) -> None:
        """See `ILease.release`; a second call is an error."""
        if self.outcome is not None:
            raise AssertionError(f"the lease of {self.backend.name} was released twice")
        self.outcome = outcome

    def release_quietly(self) -> bool:
        """See `ILease.release_quietly`: it wants its outcome."""
        return False


@implementer(IPool)
class FakePool:
    """Leases its first backend that was not tried; ``leases`` are all that were given."""

    def __init__(
        self, name: str = "pool", settings: BackendSettings | None = None, backends: Sequence[IBackend] = ()
    ) -> None:
        self.name = name
        self.settings = BackendSettings(name="settings") if settings is None else settings
        self.backends = self.candidates = tuple(backends)
        self.middleware: tuple[Any, ...] = ()
        self.heedless = True
        self.returning: Any = None
        self.leases: list[FakeLease] = []

    def lease(
        self, head: RequestHead | None, tried: Sequence[IBackend] = (), outcome: Outcome | None = None
    ) -> FakeLease:
        """See `IPool.lease`."""
        for backend in self.backends:
            if backend not in tried:
                self.leases.append(FakeLease(backend))
                return self.leases[-1]
        raise NoHealthyBackend(f"pool {self.name!r}: none left")


class FakeTransport(StringTransport):
    """Keeps what is written; `aborted` and `disconnecting` say how it was closed."""

    aborted = False

    def abortConnection(self) -> None:
        """Cut, as a real transport would."""
        self.aborted = True
        super().abortConnection()


class FakeConnection:
    """One attempt to connect, which the test lets succeed or fail.

    ``host``, ``port``, ``tls``, ``timeout`` are what was asked for; ``cancelled`` says that the attempt was given up.
    """

    cancelled = False

    def __init__(self, host: str, port: int, tls: Any, timeout: float) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.timeout = timeout
        self.transport = FakeTransport()
        self.protocol: Any = None
        self._factory: Any = None
        self._result: Deferred[Any] = Deferred(self._cancel)

    def connect(self, factory: Any) -> Deferred[Any]:
        """See ``IStreamClientEndpoint.connect``."""
        self._factory = factory
        return self._result

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True

    def succeed(self) -> Any:
        """Connect; return the protocol."""
        self.protocol = self._factory.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)
        self._result.callback(self.protocol)
        return self.protocol

    def fail(self, error: Exception) -> None:
        """Refuse the connection."""
        self._result.errback(Failure(error))

    def receive(self, data: bytes) -> None:
        """Bytes from the other side."""
        self.protocol.dataReceived(data)

    def lose(self, error: Exception | None = None) -> None:
        """The connection ends, cleanly unless there is an ``error``."""
        if error is None:
            error = ConnectionAborted() if self.transport.aborted else ConnectionDone()
        self.protocol.connectionLost(Failure(error))


@implementer(IRoad)
class FakeRoad:
    """A network of one's own: ``connections`` are the attempts so far."""

    name = "fake"

    def __init__(self) -> None:
        self.connections: list[FakeConnection] = []

    def client(self, host: str, port: int, tls: Any = None, timeout: float = 5.0) -> FakeConnection:
        """See `IRoad.client`."""
        self.connections.append(FakeConnection(host, port, tls, timeout))
        return self.connections[-1]

    def server(self, host: str, port: int, tls: Any = None, backlog: int = 1024, sock: Any = None) -> Any:
        """Strategies do not listen."""
        raise NotImplementedError("FakeRoad has no ports")

    def settled(self) -> Deferred[None]:
        """Nobody shakes hands."""
        return succeed(None)

    def stop(self) -> None:
        """Nothing to release."""
