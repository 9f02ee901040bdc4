"""TLS handshakes on the pump, and what a client does with a socket that is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionLost

from gateway.transport.secure import TLSTransport
from gateway.transport.sockets import socket_of
from gateway.transport.tls import ClientTLS, client_connection, failed, verify

if TYPE_CHECKING:
    import socket

    from twisted.internet.address import IPv4Address, IPv6Address
    from twisted.python.failure import Failure

    from gateway.transport.connect import Attempt, Prelude
    from gateway.transport.pump import Pump
    from gateway.transport.sockets import Handle

__all__ = ["Handshake", "client_prelude"]

_WANT = (SSL.WantReadError, SSL.WantWriteError)


class _Wrapping(NamedTuple):
    """What Twisted's ALPN callback expects as the factory of a connection's application data."""

    wrappedFactory: Any


class Handshake:
    """A TLS handshake in progress: `_done` or `_failed` is called once, or neither after `cancel`.

    ``factory``: whose connection this is, for callbacks of the context that ask.
    """

    waiting = False

    def __init__(self, pump: Pump, sock: socket.socket, connection: SSL.Connection, factory: Any = None) -> None:
        self.factory = _Wrapping(factory)
        self._pump = pump
        self._sock = sock
        self._connection: SSL.Connection | None = connection
        connection.set_app_data(self)

    def _done(self, connection: SSL.Connection) -> None:
        """The connection may be used."""
        raise NotImplementedError

    def _failed(self, connection: SSL.Connection, error: Exception) -> None:
        """It may not; the socket is still open."""
        raise NotImplementedError

    def event(self, events: int) -> None:
        """A handshake takes a millisecond of arithmetic: do it where the pump watches the time."""
        self._pump.soon(self)

    def again(self) -> None:
        """Go on."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.do_handshake()
        except _WANT:
            return
        except Exception as error:
            # Not only SSL.Error: callbacks of the context (SNI, ALPN, verification) raise through here.
            self.fail(error)
            return
        if self._connection is not None:
            self._connection = None
            self._done(connection)

    def dropped(self, reason: Failure) -> None:
        """The pump lets go of it."""
        self.fail(ConnectionLost(reason.getErrorMessage()))

    def abortConnection(self) -> None:
        """What Twisted's SNI callback calls if the look-up of the certificate fails."""
        self.fail(ConnectionLost("no certificate for this name"))

    def fail(self, error: Exception) -> None:
        """End it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pump.later(lambda: self._failed(connection, error))

    def cancel(self) -> None:
        """Nobody wants the result any more; the caller closes the socket."""
        self._connection = None


class _Reaching(Handshake):
    """That of an attempt to connect."""

    def __init__(
        self, attempt: Attempt, sock: socket.socket, peer: IPv4Address | IPv6Address, tls: ClientTLS
    ) -> None:
        super().__init__(attempt.pump, sock, client_connection(tls, sock))
        self._attempt = attempt
        self._peer = peer
        self._tls = tls
        attempt.on_abandon(self._abandon)

    def _done(self, connection: SSL.Connection) -> None:
        attempt, pump = self._attempt, self._pump
        try:
            verify(self._tls, connection)
        except Exception as error:
            attempt.fail(error)
        if attempt.over:
            return
        transport = TLSTransport(pump, self._sock, self._peer, connection)
        connection.set_app_data(transport)
        attempt.on_abandon(None)
        pump.hand_over(self._sock.fileno(), transport)
        attempt.join(transport)
        pump.soon(transport)

    def _failed(self, connection: SSL.Connection, error: Exception) -> None:
        self._attempt.fail(failed(connection, error))

    def _abandon(self) -> None:
        self.cancel()
        self._pump.remove(self._sock.fileno())
        self._sock.close()


def client_prelude(tls: ClientTLS) -> Prelude:
    """What a TLS client does with a connected socket."""

    def prelude(attempt: Attempt, handle: Handle, peer: IPv4Address | IPv6Address) -> None:
        sock = socket_of(handle)
        if tls.preface:
            try:
                sock.send(tls.preface)  # nothing waits in a new socket's buffer, so that all of it has room
            except OSError as error:
                attempt.pump.remove(sock.fileno())
                sock.close()
                attempt.fail(ConnectError(error.errno, str(error)))
                return
        handshake = _Reaching(attempt, sock, peer, tls)
        attempt.pump.hand_over(sock.fileno(), handshake)
        attempt.pump.soon(handshake)

    return prelude
