"""For authors of strategies: what to test them with.

A strategy's test case mixes in the conformance of its interface and says how to make one::

    class FirstTests(SelectorConformance, SynchronousTestCase):
        def make_selector(self):
            return First()

The fakes do no I/O: `request_head` makes requests, `FakeBackend` and `FakePool` stand for what the gateway would hand
in, and `FakeRoad` for the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings
from gateway.errors import BackendTimeout, NoHealthyBackend, NoRoute
from gateway.interfaces import IBackend, ILease, IOutcomeObserver, IPool, IProbe, IRoad, IRouter, ISelector
from gateway.values import Outcome, Peer, ProbeResult, Reply, RequestHead, ResponseHead, Route

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object

__all__ = [
    "FakeBackend", "FakeConnection", "FakeLease", "FakePool", "FakeRoad", "FakeTransport", "ObserverConformance",
    "ProbeConformance", "RouterConformance", "SelectorConformance", "request_head", "response_head",
]  # fmt: skip


# -- values


def _index(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    index: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        joint = "; " if key == "cookie" else ", "
        index[key] = f"{index[key]}{joint}{value}" if key in index else value
    return index


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
    return RequestHead(method, target, version, host, lines, _index(lines), **others)


def response_head(
    status: int = 200, reason: str = "OK", fields: Iterable[tuple[str, str]] = (), **others: Any
) -> ResponseHead:
    """A response as the parser would give it."""
    lines = tuple(fields)
    return ResponseHead(status, reason, others.pop("version", "1.1"), lines, _index(lines), **others)


# -- fakes


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
        self.leases: list[FakeLease] = []

    def lease(
        self, head: RequestHead, tried: Sequence[IBackend] = (), outcome: Outcome | None = None
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

    def stop(self) -> None:
        """Nothing to release."""


# -- conformance


class SelectorConformance(_Case):
    """What the pool relies on. Override `make_selector`."""

    def make_selector(self) -> Any:
        """A new selector."""
        raise NotImplementedError

    def test_provides_interface(self) -> None:
        """It says that it is an `ISelector`, and has its methods."""
        verifyObject(ISelector, self.make_selector())

    def test_chooses_candidate(self) -> None:
        """It returns one of the objects it was given, or ``None``; again and again."""
        selector = self.make_selector()
        for size in (1, 2, 3, 7):
            candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(size)])
            for number in range(20):
                chosen = selector.select(candidates, request_head(f"/{number}"))
                self.assertTrue(chosen is None or any(chosen is candidate for candidate in candidates), chosen)

    def test_candidates_change(self) -> None:
        """It never returns a backend that has left, also after it came from another tuple."""
        selector = self.make_selector()
        backends = [FakeBackend(f"10.0.0.{number}", weight=1 + number % 3) for number in range(6)]
        for start, end in ((0, 6), (1, 6), (1, 2), (0, 6), (5, 6), (0, 3)):
            candidates = tuple(backends[start:end])
            for _ in range(10):
                chosen = selector.select(candidates, request_head())
                self.assertTrue(chosen is None or chosen in candidates, chosen)

    def test_ordinary_and_odd_requests(self) -> None:
        """It copes with every request the gateway may have."""
        selector = self.make_selector()
        candidates = (FakeBackend("10.0.0.1"), FakeBackend("10.0.0.2"))
        odd = [
            request_head("*", method="OPTIONS"),
            request_head(host="", version="1.0"),
            request_head("/%ff?\xe9", fields=[("Cookie", ""), ("Cookie", "=;;=")]),
            request_head("/chat", upgrade="websocket", fields=[("Upgrade", "websocket"), ("Connection", "Upgrade")]),
        ]
        for head in odd:
            self.assertIn(selector.select(candidates, head), (*candidates, None))


class RouterConformance(_Case):
    """What the exchange relies on. Override `make_router`, and ``listener`` and ``heads`` where need be."""

    listener = "listener"
    heads: Sequence[RequestHead] = (
        request_head("/"),
        request_head("/a/b?c=d"),
        request_head("/%2e%2e/%ff/\xe9", host="EXAMPLE.com.:8080"),
        request_head("*", method="OPTIONS", host="[::1]:80"),
        request_head("/", host="", version="1.0"),
    )

    def make_router(self) -> Any:
        """A new `IRouter`."""
        raise NotImplementedError

    def _decide(self, router: Any, head: RequestHead) -> Any:
        try:
            return router.route(head, self.listener)
        except NoRoute:
            return NoRoute

    def test_provides_interface(self) -> None:
        """It says that it is an `IRouter`, and has its methods."""
        verifyObject(IRouter, self.make_router())

    def test_decides(self) -> None:
        """Each request gets a `Route` with a pool, or a `Reply`, or `NoRoute`."""
        router = self.make_router()
        for head in self.heads:
            decision = self._decide(router, head)
            if isinstance(decision, Route):
                self.assertTrue(decision.pool is not None and decision.settings is not None, decision)
            elif decision is not NoRoute:
                self.assertIsInstance(decision, Reply)

    def test_pure(self) -> None:
        """The same request gets the same decision, whatever was asked in between."""
        router = self.make_router()
        first = [self._decide(router, head) for head in self.heads]
        again = [self._decide(router, head) for head in reversed(self.heads)]
        self.assertEqual(first, again[::-1])


class ProbeConformance(_Case):
    """What the monitor relies on.

    Override `make_probe`, and `answer` so that checks in progress come to an end with the result asked for.
    """

    def make_probe(self) -> Any:
        """A new probe."""
        raise NotImplementedError

    def make_backend(self) -> Any:
        """What is probed."""
        return FakeBackend()

    def answer(self, healthy: bool) -> None:
        """Let the check that was begun last find the backend ``healthy``, or not."""
        raise NotImplementedError

    def test_provides_interface(self) -> None:
        """It says that it is an `IProbe`, and has its methods."""
        verifyObject(IProbe, self.make_probe())

    def _result(self, healthy: bool) -> ProbeResult:
        check = self.make_probe().check(self.make_backend(), 30.0)
        self.assertIsInstance(check, Deferred)
        self.answer(healthy)
        result: ProbeResult = self.successResultOf(check)
        self.assertIsInstance(result, ProbeResult)
        return result

    def test_healthy(self) -> None:
        """A good backend is healthy."""
        self.assertTrue(self._result(True).healthy)

    def test_unhealthy(self) -> None:
        """A bad one is not, and there is a reason for the operator."""
        result = self._result(False)
        self.assertFalse(result.healthy)
        self.assertTrue(result.reason)

    def test_again(self) -> None:
        """One check leaves nothing behind that changes the next."""
        self.assertEqual([self._result(healthy).healthy for healthy in (True, False, True)], [True, False, True])

    def test_cancelled(self) -> None:
        """A check that is cancelled ends in the same turn."""
        check = self.make_probe().check(self.make_backend(), 30.0)
        ended: list[Any] = []
        check.addBoth(ended.append)
        check.cancel()
        self.assertEqual(len(ended), 1)


class ObserverConformance(_Case):
    """What the exchange relies on. Override `make_observer`."""

    def make_observer(self) -> Any:
        """A new observer."""
        raise NotImplementedError

    def outcomes(self) -> list[Outcome]:
        """From one that has nothing but defaults to one that has everything."""
        backend = FakeBackend()
        pool = FakePool(backends=[backend])
        route = Route("listener", "rule", pool, pool.settings)
        bare = Outcome()
        refused = Outcome(peer=Peer("192.0.2.1", 4711), status=400, cause="bad_request", started=1.0, ended=1.5)
        failed = Outcome(head=request_head(), route=route, status=504, error=BackendTimeout("no answer"), ended=30.0)
        session = Outcome(
            head=request_head("/chat?\xff", upgrade="websocket"), peer=Peer("2001:db8::1", 4711), route=route,
            backend=backend, status=101, upstream_status=101, started=1.0, connected=1.1, responded=1.2, ended=9.0,
            websocket=True, messages_in=3, messages_out=4, close_code=1000, closed_by="client", listener="listener",
        )  # fmt: skip
        return [bare, refused, failed, session]

    def test_provides_interface(self) -> None:
        """It says that it is an `IOutcomeObserver`, and has its methods."""
        verifyObject(IOutcomeObserver, self.make_observer())

    def test_everything(self) -> None:
        """It takes every outcome, complete or not, and returns nothing that would be waited for."""
        observer = self.make_observer()
        for outcome in self.outcomes():
            if outcome.websocket:
                self.assertIsNone(observer.opened(outcome))
            self.assertIsNone(observer.ended(outcome))
