"""The road without epoll: Twisted's own ports, endpoints and TLS, made to behave like the pump's.

Differences that remain: producers are paused when 64 KiB wait rather than at the first byte; and the addresses of a
name are tried side by side, each a moment after the last (``HostnameEndpoint``), where the pump gives each its turn.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.interfaces import IRoad, ISecureFactory
from gateway.transport.greetings import Greetings
from gateway.transport.names import Names, Reactor
from gateway.transport.sockets import EXHAUSTED
from gateway.transport.tls import ClientTLS, client_connection, failed, verify
from gateway.transport.twisted_greeting import Greeting, GreetingFactory
from gateway.transport.twisted_tls import MemoryConnection, TwistedTLS
from gateway.transport.twisted_transport import Guest, SecureGuest

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory

__all__ = ["TwistedRoad"]

_log = Logger()


@implementer(IRoad)
class TwistedRoad:
    """`IRoad` on Twisted's own transports. ``reactor`` has TCP, time, and a name resolver if no ``names`` are given.

    ``make_room``: see `gateway.transport.road`.
    """

    name = "twisted"

    def __init__(
        self, reactor: Any, names: Names | None = None, make_room: Callable[[], bool] = lambda: False
    ) -> None:
        self._reactor = reactor
        self._make_room = make_room
        self._room = False
        self._greetings = Greetings(reactor)
        self.names = names or Names(lambda: reactor.nameResolver, reactor)
        self._clients = Reactor(reactor, self.names)

    def server(
        self, host: str, port: int, tls: Any = None, backlog: int = 1024, sock: socket | None = None
    ) -> IStreamServerEndpoint:
        """See `IRoad`."""
        return _ServerEndpoint(self._reactor, host, port, tls, backlog, self._greetings, sock)

    def client(self, host: str, port: int, tls: ClientTLS | None = None, timeout: float = 5.0) -> IStreamClientEndpoint:
        """See `IRoad`."""
        return _ClientEndpoint(self._clients, host, port, tls, timeout, self.make_room)

    def make_room(self) -> bool:
        """As `Pump.make_room`; what was let go is free in the reactor's next round."""
        if not self._room and self._make_room():
            self._room = True
            self._reactor.callLater(0, self._room_is_made)
        return self._room

    def _room_is_made(self) -> None:
        self._room = False

    def settled(self) -> Deferred[None]:
        """See `IRoad`."""
        return self._greetings.settled()

    def stop(self) -> None:
        """End the handshakes of servers that are still in progress."""
        self.names.stop()
        for greeting in self._greetings:
            greeting.give_up()


class _GuestFactory(Factory):
    """Makes one kind of `Guest`; the factory of the road's user is started and stopped with it."""

    noisy = False

    def __init__(
        self, make: Callable[[Any], Guest], tls: bool, started: Callable[[], None], stopped: Callable[[], None]
    ) -> None:
        self._make = make
        self._tls = tls
        self._started = started
        self._stopped = stopped

    def doStart(self) -> None:
        """Twisted starts to use it."""
        self._started()

    def doStop(self) -> None:
        """Twisted has finished with it."""
        self._stopped()

    def buildProtocol(self, addr: Any) -> Guest | None:
        """A guest for one connection."""
        guest = self._make(addr)
        return guest if self._tls or guest.prepare(addr) else None


@implementer(IStreamServerEndpoint)
class _ServerEndpoint:
    def __init__(
        self, reactor: Any, host: str, port: int, tls: Any, backlog: int, greetings: Greetings, sock: socket | None
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._tls = tls
        self._backlog = backlog
        self._greetings = greetings
        self._sock = sock

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Bind and listen; fails with ``CannotListenError``."""
        factory: Any = _GuestFactory(
            lambda addr: self._guest(protocolFactory), self._tls is not None,
            protocolFactory.doStart, protocolFactory.doStop,
        )  # fmt: skip
        if self._tls is not None:
            hooks = ISecureFactory(protocolFactory, None)
            factory = GreetingFactory(_Acceptor(self._tls), factory, self._tls, self._greetings, hooks)
        try:
            return succeed(self._listen(factory))
        except Exception:
            return fail()

    def _listen(self, factory: Any) -> IListeningPort:
        if self._sock is not None:
            port = self._reactor.adoptStreamPort(self._sock.fileno(), self._sock.family, factory)
            self._sock.close()  # the reactor has a copy
            return port
        if self._host:
            return self._reactor.listenTCP(self._port, factory, backlog=self._backlog, interface=self._host)
        try:
            return self._reactor.listenTCP(self._port, factory, backlog=self._backlog, interface="::")
        except CannotListenError as error:
            taken = {errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)}
            if getattr(error.socketError, "errno", None) in taken:
                raise
            return self._reactor.listenTCP(self._port, factory, backlog=self._backlog, interface="")

    def _guest(self, factory: IProtocolFactory) -> Guest:
        if self._tls is not None:
            return Greeting(self._reactor, factory, _build, self._greetings).guest
        return Guest(self._reactor, False, lambda address, _: _build(factory, address), _drop, _drop, lambda: None)


def _build(factory: IProtocolFactory, address: Any) -> IProtocol | None:
    try:
        return factory.buildProtocol(address)
    except BaseException:
        _log.failure("{factory}.buildProtocol failed", factory=type(factory).__name__)
        return None


def _drop(_: Any) -> None:
    """Nothing to do when a connection of a server has its protocol, or never gets one."""


@implementer(IStreamClientEndpoint)
class _ClientEndpoint:
    def __init__(
        self, reactor: Any, host: str, port: int, tls: ClientTLS | None, timeout: float, make_room: Callable[[], bool]
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._make_room = make_room

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; see `IRoad.client`."""
        return _Attempt(
            self._reactor, self._host, self._port, self._tls, self._timeout, protocolFactory, self._make_room
        ).start()


class _Attempt:
    """One attempt to connect, TCP and TLS together under one time limit."""

    def __init__(
        self, reactor: Any, host: str, port: int, tls: ClientTLS | None, timeout: float, factory: IProtocolFactory,
        make_room: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._factory = factory
        self._make_room = make_room
        self._guest: Guest | None = None
        self._creator: _Creator | None = None
        self._connecting: Deferred[Any] | None = None
        self._over = False
        self._building = False
        self.result: Deferred[IProtocol] = Deferred(self._cancel)
        self._timer = reactor.callLater(timeout, self._timed_out) if timeout else None

    def start(self) -> Deferred[IProtocol]:
        """Begin."""
        self._factory.doStart()
        self._begin()
        return self.result

    def _begin(self) -> None:
        if self._over:
            return
        factory: Any = _GuestFactory(self._make, self._tls is not None, lambda: None, lambda: None)
        if self._tls is not None:
            self._creator = _Creator(self._tls)
            factory = TLSMemoryBIOFactory(self._creator, True, factory)
            factory.noisy = False
            factory.protocol = partial(_Prefaced, self._tls.preface) if self._tls.preface else TwistedTLS
        self._connecting = self._endpoint().connect(factory)
        self._connecting.addErrback(self._failed)

    def _endpoint(self) -> IStreamClientEndpoint:
        patience = self._timeout * 2 + 1 if self._timeout else 3600  # ours ends first
        if isIPAddress(self._host):
            return TCP4ClientEndpoint(self._reactor, self._host, self._port, timeout=patience)
        if isIPv6Address(self._host):
            return TCP6ClientEndpoint(self._reactor, self._host, self._port, timeout=patience)
        return HostnameEndpoint(self._reactor, self._host, self._port, timeout=patience)

    def _make(self, addr: Any) -> Guest:
        kind = Guest if self._tls is None else SecureGuest
        self._guest = kind(
            self._reactor, self._tls is not None, self._build, self._gone, self._ready, self._factory.doStop
        )
        return self._guest

    def _build(self, address: Any, connection: SSL.Connection | None) -> IProtocol | None:
        if self._over:
            return None
        self._building = True
        try:
            if self._tls is not None and connection is not None:
                verify(self._tls, connection)
            protocol = self._factory.buildProtocol(address)
        finally:
            self._building = False
        return None if self._over else protocol

    def _ready(self, protocol: IProtocol) -> None:
        if not self._over:
            self._finish()
            self.result.callback(protocol)

    def _gone(self, reason: Failure) -> None:
        """The connection ended before it could be used."""
        error = reason.value
        connection = None if self._creator is None else self._creator.connection
        if connection is not None and isinstance(error, (SSL.Error, ConnectionDone, ConnectionLost)):
            broken = error if isinstance(error, SSL.Error) else SSL.SysCallError(-1, "Unexpected EOF")
            self.fail(failed(connection, broken))
        else:
            self.fail(error)

    def _failed(self, failure: Failure) -> None:
        if getattr(failure.value, "osError", None) in EXHAUSTED and self._make_room():
            self._connecting = None
            self._reactor.callLater(0, self._begin)  # when what was let go is closed
        else:
            self.fail(failure.value)

    def fail(self, error: BaseException | None) -> None:
        """The attempt has failed."""
        if self._over:
            return
        self._finish()
        self._factory.doStop()
        if self._guest is not None and self._guest.transport is not None and not self._guest.lost:
            self._guest.abort()
        elif self._connecting is not None and not self._building:
            self._connecting.cancel()
        self.result.errback(Failure(error or ConnectionLost()))

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _timed_out(self) -> None:
        self.fail(TimeoutError(string=f"{self._host}:{self._port} did not answer within {self._timeout:g} s"))

    def _cancel(self, result: Deferred[IProtocol]) -> None:
        self.fail(ConnectingCancelledError(IPv4Address("TCP", self._host, self._port)))


@implementer(IOpenSSLServerConnectionCreator)
class _Acceptor:
    """An object with ``getContext()`` as Twisted wants it; asked for each connection, as on the pump."""

    def __init__(self, tls: Any) -> None:
        self._tls = tls

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection over memory."""
        connection = MemoryConnection(self._tls.getContext(), None)
        connection.set_app_data(tlsProtocol)
        return connection


class _Prefaced(TwistedTLS):
    """Sends something in the clear before the handshake."""

    def __init__(self, preface: bytes, *others: Any) -> None:
        super().__init__(*others)
        self._preface = preface

    def makeConnection(self, transport: Any) -> None:
        """The TCP connection is there."""
        transport.write(self._preface)
        super().makeConnection(transport)


@implementer(IOpenSSLClientConnectionCreator)
class _Creator:
    """`ClientTLS` as Twisted wants it."""

    def __init__(self, tls: ClientTLS) -> None:
        self._tls = tls
        self.connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """A connection over memory."""
        self.connection = connection = client_connection(self._tls, None, MemoryConnection)
        connection.set_app_data(tlsProtocol)
        return connection
