"""How a connection to a TLS port of the pump's begins: with a handshake, or with a client that forgets the TLS."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.logger import Logger

from gateway.interfaces import ISecureFactory
from gateway.transport.greetings import HANDSHAKE_TIMEOUT, Greetings, begins_tls, late
from gateway.transport.handshake import Handshake
from gateway.transport.hello import MOST_HELLO, Ear, Hello
from gateway.transport.secure import TLSTransport
from gateway.transport.sockets import lost, socket_of
from gateway.transport.stream import END
from gateway.transport.tcp import TCPTransport

if TYPE_CHECKING:
    from twisted.internet.address import IPv4Address, IPv6Address

    from gateway.transport.ports import Port, Welcome
    from gateway.transport.pump import Pump
    from gateway.transport.sockets import Handle

__all__ = ["Greeting", "server_welcome"]

_log = Logger()


class Greeting(Handshake):
    """One accepted connection until it has its transport.

    ``hooks`` is the `ISecureFactory` or ``None``; a client whose first byte is not that of a handshake is given to its
    ``plain``.  ``everybody`` are those in progress.  After `listen` ``tls`` sees the client's hello, and ``offered`` is
    what comes of that.
    """

    offered = b""
    _ear: Ear | None = None
    _tls: Any = None
    _adopted = False
    _ended = False
    _timer: Any = None

    def __init__(
        self, pump: Pump, sock: socket.socket, connection: SSL.Connection, port: Port,
        peer: IPv4Address | IPv6Address, hooks: Any, everybody: Greetings,
    ) -> None:  # fmt: skip
        super().__init__(pump, sock, connection, port.factory)
        self._port = port
        self._peer = peer
        self._hooks = hooks
        self._everybody = everybody
        self._may_be_plain = hooks is not None and hooks.plain is not None

    def listen(self, tls: Any, adopted: bool) -> None:
        """Wait for the whole hello before OpenSSL begins, which takes away what it reads.

        ``tls``: see `server_welcome`.  One that was ``adopted`` is not passed on to another process again.
        """
        self._tls, self._adopted, self._ear = tls, adopted, Ear()

    def begin(self, clock: Any, timeout: float) -> None:
        """The client has ``timeout`` seconds from now on; ``clock`` is an ``IReactorTime``."""
        self._timer = clock.callLater(timeout, self._timed_out)
        self._everybody.add(self)
        self._pump.add(self._sock.fileno(), self)

    def event(self, events: int) -> None:
        """Something came, perhaps with the end: there will be no other edge for that."""
        if events & END:
            self._ended = True
        super().event(events)

    def again(self) -> None:
        """Go on."""
        if (self._ear is None and not self._may_be_plain) or self._is_heard():
            super().again()

    def crowded_out(self, error: Exception) -> None:
        """See `Greetings`."""
        self.fail(error)

    def _is_heard(self) -> bool:
        """Look at what OpenSSL has not read: whether it may begin, or go on."""
        ear = self._ear
        try:
            first = self._sock.recv(1 if ear is None else MOST_HELLO, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            self.fail(lost(error))
            return False
        may_be_plain, self._may_be_plain = self._may_be_plain, False
        if may_be_plain and first and not begins_tls(first[0]):
            self._speaks_plainly()
            return False
        if ear is not None and self._connection is not None:
            hello = ear.hear(first)
            if hello is None:
                if not self._ended:
                    return False
                hello = Hello()  # OpenSSL will find the end behind this part of one
            self._ear = None
            if self._is_taken(hello):
                return False
            self.offered = self._tls.meet(self._connection, hello)
        return True

    def _is_taken(self, hello: Hello) -> bool:
        """Whether another process goes on with the connection. Once is enough: it is not passed on again."""
        elsewhere = None if self._adopted else getattr(self._tls, "elsewhere", None)
        if elsewhere is None or not elsewhere(hello, self._sock):
            return False
        self._over()
        self._pump.release(self._sock.fileno())
        self._sock.close()
        return True

    def _speaks_plainly(self) -> None:
        self._over()
        self._starts(TCPTransport(self._pump, self._sock, self._peer), self._hooks.plain)

    def _done(self, connection: SSL.Connection) -> None:
        self._over()
        transport = TLSTransport(self._pump, self._sock, self._peer, connection)
        if self.offered:
            transport.offered = self.offered
        connection.set_app_data(transport)
        self._starts(transport)

    def _starts(self, transport: TCPTransport, *factory: Any) -> None:
        self._pump.hand_over(self._sock.fileno(), transport)
        self._port.join(transport, *factory)
        self._pump.soon(transport)

    def _failed(self, connection: SSL.Connection, error: Exception) -> None:
        self._over()
        if self._hooks is not None and not self._pump.stopped:
            self._hooks.handshake_failed(self._peer, error)
        self._pump.remove(self._sock.fileno())
        self._sock.close()

    def _timed_out(self) -> None:
        self.fail(late())

    def _over(self) -> None:
        self.cancel()
        timer, self._timer = self._timer, None  # which has a method of this
        if timer.active():
            timer.cancel()
        self._everybody.discard(self)


def server_welcome(
    tls: Any, pump: Pump, reactor: Any, greetings: Greetings, timeout: float = HANDSHAKE_TIMEOUT
) -> Welcome:
    """What a TLS port does with an accepted socket. ``tls.getContext()`` is asked for each connection.

    So is ``tls.listens``, where it has that: whether ``tls.meet(connection, hello)`` is called with the client's
    `Hello` before the handshake. It returns the suites that are to be remembered.  And ``tls.elsewhere``: ``None``, or
    called before that with the hello and the socket; true where another process has taken the connection.
    """

    def welcome(port: Port, handle: Handle, peer: IPv4Address | IPv6Address, adopted: bool) -> None:
        sock = socket_of(handle)
        hooks = ISecureFactory(port.factory, None)
        if not greetings.make_room(hooks, peer):
            sock.close()
            return
        try:
            connection = SSL.Connection(tls.getContext(), sock)
        except Exception:
            _log.failure("no TLS context for a new connection")
            sock.close()
            return
        connection.set_accept_state()
        greeting = Greeting(pump, sock, connection, port, peer, hooks, greetings)
        if getattr(tls, "listens", False) or (not adopted and getattr(tls, "elsewhere", None) is not None):
            greeting.listen(tls, adopted)
        greeting.begin(reactor, timeout)

    return welcome
