"""Connections to one backend: the idle ones to use again, and new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gateway.errors import BackendError, BackendTLSFailed, ClientNameFailed, ConnectFailed, GatewayError, OutOfResources
from gateway.http.authority import authority
from gateway.transport.sockets import lacks_resources
from gateway.upstream.http1 import UpstreamConnection
from gateway.upstream.tls import client_names

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from gateway.config.model import BackendSettings
    from gateway.interfaces import IBackend, IRoad
    from gateway.transport.connect import Attempt, Result
    from gateway.transport.tls import ClientTLS

__all__ = ["MOST_IDLE", "IDLE_SECONDS", "LEAVING_SECONDS", "MOST_LEAVING", "Upstream", "connect_failure"]

MOST_IDLE = 1024
"""Idle connections kept to one backend, whatever their names in TLS; what comes back beyond that is closed."""

LEAVING_SECONDS = 2.0
"""How long a backend that has said that it closes its connection may take to do so."""

MOST_LEAVING = 128
"""Connections per way that wait for that; with more the oldest is closed from here."""

IDLE_SECONDS = 60.0
"""How long an idle connection is kept. Backends usually close first; then it is dropped at once."""


def connect_failure(failure: Failure, backend: IBackend, settings: BackendSettings) -> Failure:
    """Why there is no connection to a backend: a `BackendError`, `OutOfResources` or `ClientNameFailed`.

    That is every failed handshake under a client's name, for what a server does with one that it does not know is its
    own choice: another certificate, any alert, or an end without a word.
    """
    if failure.check(BackendTLSFailed) and client_names(settings):
        return Failure(ClientNameFailed(failure.getErrorMessage()))
    if failure.check(BackendError):
        return failure
    where = f"backend {backend.name} ({authority(backend.connect_host, backend.connect_port)})"
    if failure.check(ConnectTimeout):
        return Failure(ConnectFailed(f"cannot connect to {where} within {settings.connect_timeout:g} s"))
    kind = OutOfResources if lacks_resources(failure.value) else ConnectFailed
    return Failure(kind(f"cannot connect to {where}: {failure.getErrorMessage()}"))


class _Factory(Factory):
    """Makes the connections that are kept under one key."""

    noisy = False

    def __init__(self, upstream: Upstream, key: str | None) -> None:
        self._upstream = upstream
        self._key = key

    def doStart(self) -> None:
        """Nobody counts its connections."""

    doStop = doStart

    def buildProtocol(self, addr: IAddress | None) -> UpstreamConnection:
        return UpstreamConnection(self._upstream, self._key)


class Upstream:
    """The way to one backend under one group of settings.

    ``tls_for`` makes the `ClientTLS` for the host name a request is for, or is ``None`` for plain HTTP.  Connections
    are kept apart by the name in TLS, so that a certificate checked for one host never serves another.  ``dedicated``:
    they are also kept apart by client, see `own`.
    """

    def __init__(
        self,
        backend: IBackend,
        settings: BackendSettings,
        road: IRoad,
        seconds: Callable[[], float],
        tls_for: Callable[[str], ClientTLS] | None = None,
    ) -> None:
        self.name = backend.name
        self.dedicated = settings.dedicated_backend_connection
        self._backend = backend
        self._settings = settings
        self._road = road
        self._seconds = seconds
        self._tls_for = tls_for
        self._idle: dict[str | None, list[UpstreamConnection]] = {}
        self._leaving: dict[UpstreamConnection, float] = {}
        self._count = 0
        self._closed = False
        self._plain: tuple[_Factory, Any] | None = None
        self._addresses: frozenset[str] = frozenset()
        self._owned: WeakSet[Upstream] = WeakSet()

    def own(self) -> Upstream:
        """The same way for one client alone, who closes it; it is closed with this one at the latest."""
        mine = Upstream(self._backend, self._settings, self._road, self._seconds, self._tls_for)
        mine._closed, mine._addresses = self._closed, self._addresses
        self._owned.add(mine)
        return mine

    def take(self, host: str, careful: bool = False) -> UpstreamConnection | None:
        """An idle connection for a request to ``host``, the one used last; ``None`` if there is none.

        ``careful``: for a request that cannot be sent again; not one that the backend has closed already.
        """
        idle = self._idle.get(None if self._tls_for is None else host)
        while idle:
            self._count -= 1
            connection = idle.pop()
            if not careful or not getattr(connection.transport, "peer_left", False):
                return connection
            connection.transport.abortConnection()
        return None

    def connect(self, host: str) -> Deferred[UpstreamConnection]:
        """A new connection; what it fails with, if it does, is for `explained`."""
        try:
            factory, endpoint = self._plain or self._way(host)
            connecting: Deferred[Any] = endpoint.connect(factory)
        except Exception:
            return fail()
        return connecting

    def begin(self, host: str, result: Result) -> Attempt | None:
        """As `connect`, but tells ``result``, later; ``None`` where there is only `connect`, or it would fail. HOT"""
        try:
            factory, endpoint = self._plain or self._way(host)
            attempt: Attempt = endpoint.attempt(factory.buildProtocol)
        except Exception:
            return None
        attempt.result = result
        attempt.start()
        return attempt

    def explained(self, failure: Failure) -> GatewayError:
        """Why `connect` has failed: mostly a `ConnectFailed`, which is retryable."""
        error = connect_failure(failure, self._backend, self._settings).value
        assert isinstance(error, GatewayError)
        return error

    def _way(self, name: str) -> tuple[_Factory, Any]:
        """What makes connections for requests to this name, and whose they are; of plain HTTP's it is ``_plain``."""
        backend = self._backend
        tls = None if self._tls_for is None else self._tls_for(name)
        endpoint = self._road.client(backend.connect_host, backend.connect_port, tls, self._settings.connect_timeout)
        if tls is not None:
            return _Factory(self, name), endpoint
        self._plain = way = _Factory(self, None), endpoint
        return way

    def keep(self, connection: UpstreamConnection, now: float | None = None) -> None:
        """Take back a connection whose exchange is over and which may carry another. ``now``: monotonic seconds."""
        if self._count >= MOST_IDLE or self._closed or (self._addresses and not self._leads_there(connection)):
            connection.transport.loseConnection()
            return
        self._count += 1
        key = connection.key
        idle = self._idle.get(key)
        if idle is None:
            idle = self._idle[key] = []
        connection.idle_since = self._seconds() if now is None else now
        idle.append(connection)

    def leave(self, connection: UpstreamConnection) -> None:
        """A connection has carried its last exchange, to the end: the backend closes it.

        It says so in its response (RFC 9112 §9.6) and is nearly always at it.  A reset would be an error to it; who
        closes first, though, has a port less for a minute (TIME_WAIT, RFC 9293 §3.6.1).
        """
        leaving = self._leaving
        leaving[connection] = self._seconds()
        if self._closed or len(leaving) > MOST_LEAVING:
            _let_go(next(iter(leaving)), leaving)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has ended, or must not be used again."""
        self._leaving.pop(connection, None)
        idle = self._idle.get(connection.key)
        if idle and connection in idle:
            idle.remove(connection)
            self._count -= 1
            if not idle:
                del self._idle[connection.key]

    def spare(self) -> Iterator[UpstreamConnection]:
        """The connections that nobody uses; not those of clients that have their `own`, who may be known by them."""
        return chain(self._leaving, *self._idle.values())

    def moved(self, addresses: frozenset[str]) -> None:
        """The backend's name has these addresses now: connections to others are closed when they are idle."""
        self._addresses = addresses
        for upstream in tuple(self._owned):
            upstream.moved(addresses)
        for idle in list(self._idle.values()):
            for connection in [each for each in idle if not self._leads_there(each)]:
                self.forget(connection)
                connection.transport.loseConnection()

    def _leads_there(self, connection: UpstreamConnection) -> bool:
        return connection.transport.getPeer().host in self._addresses

    def sweep(self) -> None:
        """Close what has been idle for too long, or waits for too long to be closed. Called every few seconds."""
        self._stop_waiting(self._seconds() - LEAVING_SECONDS)
        for upstream in tuple(self._owned):
            upstream._stop_waiting(upstream._seconds() - LEAVING_SECONDS)
        oldest = self._seconds() - IDLE_SECONDS
        for key, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < oldest:
                self._count -= 1
                idle.pop(0).transport.loseConnection()
            if not idle:
                del self._idle[key]

    def _stop_waiting(self, since: float) -> None:
        leaving = self._leaving
        for connection in [connection for connection, left in leaving.items() if left <= since]:
            _let_go(connection, leaving)

    def close(self) -> None:
        """Close the idle connections and keep no more. Ones in use end with their exchange."""
        self._closed = True
        self._plain = None
        for upstream in tuple(self._owned):
            upstream.close()
        self._stop_waiting(inf)
        for idle in self._idle.values():
            for connection in idle:
                connection.transport.loseConnection()
        self._idle.clear()
        self._count = 0


def _let_go(connection: UpstreamConnection, leaving: dict[UpstreamConnection, float]) -> None:
    del leaving[connection]
    connection.transport.quiet = True  # it has said its last
    connection.transport.loseConnection()
