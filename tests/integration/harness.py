"""A whole gateway between raw backends and raw clients, on loopback, over either road.

::

    class SomeTests(GatewayTestCase):
        async def test_get(self) -> None:
            async def serve(wire: Wire) -> None:
                request = await read_request(wire)
                wire.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")

            backend = await self.backend(serve)
            gateway = await self.gateway(model_for(backend))
            client = await self.client(gateway)
            client.write(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            self.assertEqual(b"ok", (await read_response(client)).body)

A class of tests runs once for each road: `both_roads` makes the two classes that trial finds.  When a test is over
the gateway is stopped, and it fails if a lease or a session is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from gateway.config import model
from gateway.service import GatewayService
from gateway.testing import Recorder
from gateway.values import Outcome
from tests.integration.wire import SECONDS, Ended, Late, Wire

__all__ = ["GatewayTestCase", "RawBackend", "Running", "both_roads", "model_for"]

PROBE_PATH = "/_probe"

Serve = Callable[[Wire], Awaitable[None]]


class RawBackend(Factory):
    """A TCP server that does with each connection what a coroutine says.

    Health probes are answered here and not counted.  ``wires``: the other connections, in the order of their
    first byte.  ``errors``: what coroutines raised, except for the end of their connection.
    """

    noisy = False
    healthy = True

    def __init__(self, serve: Serve, clock: Any, name: str = "backend") -> None:
        self.serve = serve
        self.wires: list[Wire] = []
        self.errors: list[Failure] = []
        self.port = 0
        self.probes = 0
        self._clock = clock
        self._name = name
        self._listening: Any = None
        self._serving: list[Deferred[None]] = []
        self._open: set[_BackendWire] = set()

    async def listen(self, context: Any = None) -> None:
        """Bind a free port on loopback; ``context`` has ``getContext()`` for TLS."""
        if context is None:
            endpoint: Any = TCP4ServerEndpoint(self._clock, 0, interface="127.0.0.1")
        else:
            from twisted.internet.endpoints import SSL4ServerEndpoint

            endpoint = SSL4ServerEndpoint(self._clock, 0, context, interface="127.0.0.1")
        self._listening = await endpoint.listen(self)
        self.port = self._listening.getHost().port

    def buildProtocol(self, addr: object) -> _BackendWire:
        return _BackendWire(self, f"{self._name}#{len(self.wires)}", self._clock)

    async def refuse(self) -> None:
        """Stop listening: connections are refused from now on. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()

    def cut(self) -> None:
        """Cut every connection."""
        for wire in tuple(self._open):
            wire.transport.abortConnection()

    async def stop(self) -> None:
        """Stop listening and end everything."""
        await self.refuse()
        self.cut()
        for serving in self._serving:
            serving.cancel()

    def run(self, wire: Wire) -> None:
        """Called for the first byte of a connection that is no probe."""
        self.wires.append(wire)
        serving = Deferred.fromCoroutine(self._run(wire))
        self._serving.append(serving)
        serving.addErrback(self._failed)

    async def _run(self, wire: Wire) -> None:
        await self.serve(wire)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(Ended, CancelledError):
            self.errors.append(failure)


class _BackendWire(Wire):
    """A connection that waits to see whether it is a probe."""

    _began = False

    def __init__(self, backend: RawBackend, name: str, clock: Any) -> None:
        super().__init__(name, clock, patience=None)
        self._backend = backend

    def connectionMade(self) -> None:
        self._backend._open.add(self)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self._began:
            return
        self._began = True
        if self.buffer.startswith(b"GET %s " % PROBE_PATH.encode()):
            self._backend.probes += 1
            status = b"200 OK" if self._backend.healthy else b"503 Service Unavailable"
            self.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            self.close()
        else:
            self._backend.run(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._backend._open.discard(self)
        super().connectionLost(reason)


class Running:
    """A gateway that is running. ``port``: that of its first listener."""

    def __init__(self, service: GatewayService, recorder: Recorder, clock: Any) -> None:
        self.service = service
        self.recorder = recorder
        self.ports = service.ports
        self.port = next(iter(service.ports.values()))
        self._clock = clock

    @property
    def active(self) -> int:
        """Leases that are out, over all pools."""
        return sum(backend.active for pool in self.service.pools.values() for backend in pool.backends)

    @property
    def sessions(self) -> int:
        """WebSocket sessions and other tunnels in progress."""
        count: int = self.service.sessions.count
        return count

    async def quiet(self) -> None:
        """Wait until no lease is out and no session is open."""
        await self.until(lambda: not self.active and not self.sessions, "all leases and sessions to end")

    async def outcome(self, index: int = 0) -> Outcome:
        """Wait for the outcome of the exchange or session that ended as number ``index``."""
        outcomes = self.recorder.outcomes
        await self.until(lambda: len(outcomes) > index, f"outcome number {index}")
        return outcomes[index]

    async def until(self, test: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait until ``test()`` is true; there is no event for it, so look every few milliseconds."""
        end = self._clock.seconds() + seconds
        while not test():
            if self._clock.seconds() > end:
                raise Late(f"waited {seconds:g} s for {what}: {self.active} leases, {self.sessions} sessions")
            await deferLater(self._clock, 0.005)

    async def settled(self, value: Callable[[], int], quiet: float = 0.25) -> int:
        """Wait until a growing number has not changed for a while; returns it."""
        before, since = value(), self._clock.seconds()
        while self._clock.seconds() < since + quiet:
            await deferLater(self._clock, 0.01)
            if value() != before:
                before, since = value(), self._clock.seconds()
        return before


def model_for(
    *backends: RawBackend,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **others: Any,
) -> model.Gateway:
    """A configuration with one listener ``web``, one pool ``pool`` of these backends, and one rule.

    ``settings`` and ``limits`` change their defaults; ``others`` are further collections of `model.Gateway`, or
    replace these.
    """
    members = [{"host": "127.0.0.1", "port": backend.port} for backend in backends]
    document: dict[str, Any] = {
        "listeners": [{"name": "web", "address": "127.0.0.1", "port": 0}],
        "pools": [{"name": "pool", "members": members}],
        "settings": [{"name": "settings", "probe": "probe", **(settings or {})}],
        "probes": [{"name": "probe", "path": PROBE_PATH, "interval": 86400, "timeout": 5}],
        "rules": [{"name": "rule", "listener": "web", "pool": "pool", "settings": "settings"}],
        "limits": {"shutdown_timeout": 2, **(limits or {})},
        **others,
    }
    return model.Gateway.model_validate(document)


class GatewayTestCase(TestCase):
    """Makes gateways, backends and clients, and ends them with the test.

    ``transport`` is set by `both_roads`.  After the test no lease and no session may be left.
    """

    timeout = 60
    transport = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._backends: list[RawBackend] = []

    async def backend(self, serve: Serve, context: Any = None) -> RawBackend:
        """A backend that listens. What its coroutine raises fails the test."""
        from twisted.internet import reactor

        backend = RawBackend(serve, reactor)
        await backend.listen(context)
        self._backends.append(backend)
        self.addCleanup(self._backend_over, backend)
        return backend

    async def gateway(
        self, configuration: model.Gateway, kind: type[GatewayService] = GatewayService, **options: Any
    ) -> Running:
        """A gateway that listens and has probed its backends once. ``kind``: a subclass of the service."""
        from twisted.internet import reactor

        recorder = Recorder()
        options.setdefault("access_log", "off")
        service = kind(
            configuration, reactor=reactor, transport=self.transport, observers=[recorder], **options
        )
        service.privilegedStartService()
        service.startService()
        running = Running(service, recorder, reactor)
        self.addCleanup(self._gateway_over, running)
        await service.when_ready()
        return running

    async def client(
        self,
        gateway: Running | RawBackend,
        listener: str | None = None,
        receive_buffer: int | None = None,
        tls: Any = None,
    ) -> Wire:
        """A connection to the gateway (or straight to a backend). ``tls`` is an ``IOpenSSLClientConnectionCreator``."""
        from twisted.internet import reactor

        port = gateway.port if listener is None else gateway.ports[listener]  # type: ignore[union-attr]
        endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=SECONDS)
        if tls is not None:
            from twisted.internet.endpoints import wrapClientTLS

            endpoint = wrapClientTLS(tls, endpoint)
        wire: Wire = await connectProtocol(endpoint, Wire("client", reactor))
        if receive_buffer is not None:
            wire.buffers(receive=receive_buffer)
        self.addCleanup(self._client_over, wire)
        return wire

    async def _client_over(self, wire: Wire) -> None:
        if wire.reason is None:
            wire.transport.abortConnection()
            await wire.gone()

    async def _gateway_over(self, running: Running) -> None:
        # With both sides gone nothing is left to wait for; how it stops while they are there is a matter for tests.
        for backend in self._backends:
            backend.cut()
        try:
            await running.quiet()
        finally:
            await running.service.stopService()

    async def _backend_over(self, backend: RawBackend) -> None:
        await backend.stop()
        for failure in backend.errors:
            failure.raiseException()


def both_roads(namespace: dict[str, Any]) -> None:
    """For each class ``...Tests`` of a module make one for the pump and one for Twisted's transports.

    Call it at the end of the module: ``both_roads(globals())``.  The classes made are what trial finds.
    """
    for name, base in list(namespace.items()):
        if not (isinstance(base, type) and issubclass(base, GatewayTestCase) and name.endswith("Tests")):
            continue
        if base.__module__ == namespace["__name__"]:
            del namespace[name]
            for transport in ("pump", "twisted"):
                made = f"{name.removesuffix('Tests')}{transport.title()}Tests"
                namespace[made] = type(made, (base,), {"transport": transport, "__module__": namespace["__name__"]})
