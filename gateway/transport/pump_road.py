"""The road of production: endpoints whose connections ride on the pump."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from gateway.interfaces import IRoad
from gateway.transport.connect import Attempt, Build, literal
from gateway.transport.greetings import Greetings
from gateway.transport.handshake import client_prelude
from gateway.transport.names import Names, Reactor
from gateway.transport.ports import Port
from gateway.transport.pump import Pump
from gateway.transport.pump_greeting import server_welcome

if TYPE_CHECKING:
    from socket import socket

    from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory

    from gateway.transport.tls import ClientTLS

__all__ = ["PumpRoad"]


@implementer(IRoad)
class PumpRoad:
    """`IRoad` on one `Pump`. ``reactor`` has descriptors, time and a name resolver, unless ``names`` are given.

    ``make_room``: see `gateway.transport.road`.
    """

    name = "pump"

    def __init__(
        self, reactor: Any, names: Names | None = None, make_room: Callable[[], bool] = lambda: False
    ) -> None:
        self._reactor = reactor
        self.pump = Pump(reactor, make_room)
        self.names = names or Names(lambda: reactor.nameResolver, reactor)
        self._clients = Reactor(reactor, self.names)
        self._greetings = Greetings(reactor)

    def server(
        self, host: str, port: int, tls: Any = None, backlog: int = 1024, sock: socket | None = None
    ) -> IStreamServerEndpoint:
        """See `IRoad`."""
        return _ServerEndpoint(self.pump, self._reactor, host, port, tls, backlog, sock, self._greetings)

    def client(self, host: str, port: int, tls: ClientTLS | None = None, timeout: float = 5.0) -> IStreamClientEndpoint:
        """See `IRoad`."""
        return _ClientEndpoint(self.pump, self._clients, host, port, tls, timeout)

    def settled(self) -> Deferred[None]:
        """See `IRoad`."""
        return self._greetings.settled()

    def stop(self) -> None:
        """Close the sockets of ended connections that linger; the epoll goes with its last socket."""
        self.names.stop()
        self.pump.stop()


@implementer(IStreamServerEndpoint)
class _ServerEndpoint:
    def __init__(
        self, pump: Pump, reactor: Any, host: str, port: int, tls: Any, backlog: int, sock: socket | None,
        greetings: Greetings,
    ) -> None:  # fmt: skip
        self._pump = pump
        self._reactor = reactor
        self._host = host
        self._port = port
        self._tls = tls
        self._backlog = backlog
        self._sock = sock
        self._greetings = greetings

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Bind and listen; fails with ``CannotListenError``."""
        welcome = None
        if self._tls is not None:
            welcome = server_welcome(self._tls, self._pump, self._reactor, self._greetings)
        place = self._host, self._port
        port = Port(self._pump, self._reactor, *place, protocolFactory, self._backlog, welcome, self._sock)
        try:
            port.startListening()
        except Exception:
            return fail()
        return succeed(port)


@implementer(IStreamClientEndpoint)
class _ClientEndpoint:
    def __init__(
        self, pump: Pump, reactor: Any, host: str, port: int, tls: ClientTLS | None, timeout: float
    ) -> None:
        self._pump = pump
        self._reactor = reactor
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._address = literal(host, port)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; see `IRoad.client`."""
        attempt = self.attempt(protocolFactory.buildProtocol)
        attempt.factory = protocolFactory
        promise = attempt.promise()
        attempt.start()
        return promise

    def attempt(self, build: Build) -> Attempt:
        """As `connect`, but to be started, and without a Deferred. HOT where backends do not keep connections alive."""
        prelude = None
        if self._tls is not None:
            prelude = client_prelude(self._tls)
        return Attempt(
            self._pump, self._reactor, self._host, self._port, build, self._timeout, prelude, self._address
        )
