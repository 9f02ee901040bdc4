"""The listening port on the pump."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.transport.sockets import EXHAUSTED, Handle, accept, address, listening_socket
from gateway.transport.tcp import TCPTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IProtocolFactory

    from gateway.transport.pump import Pump

__all__ = ["Port", "Welcome"]

_log = Logger()

_ACCEPTS = 64
"""Connections that are accepted before other sockets get their turn."""

_PAUSE = 1.0
"""Seconds without accepting when descriptors or memory have run out."""

_QUIET = 60.0
"""Seconds in which this is said once."""

Welcome = Callable[["Port", Handle, "IPv4Address | IPv6Address", bool], None]
"""What is done with an accepted, non-blocking socket: `Port.connect`, or a TLS handshake before it.

The last argument: whether another process has accepted it.
"""


@implementer(IListeningPort)
class Port:
    """Accepts connections and gives each a protocol of ``factory``.

    ``host`` is an address; ``""`` means all of this machine, IPv6 and IPv4 through one dual-stack socket where the
    kernel has that, else IPv4.  ``welcome`` may put something between the accept and the protocol.  ``sock`` is a
    socket that listens already, instead.
    """

    waiting = False

    def __init__(
        self, pump: Pump, reactor: Any, host: str, port: int, factory: IProtocolFactory, backlog: int,
        welcome: Welcome | None = None, sock: socket.socket | None = None,
    ) -> None:  # fmt: skip
        self.factory = factory
        self._pump = pump
        self._reactor = reactor
        self._host = host
        self._number = port
        self._backlog = backlog
        self._welcome: Welcome = welcome or Port.connect
        self._given = sock
        self._sock: socket.socket | None = None
        self._spare = -1
        self._pause: IDelayedCall | None = None
        self._silent_until = -inf
        self._stopped: Deferred[None] | None = None
        self._address: IPv4Address | IPv6Address | None = None

    def __repr__(self) -> str:
        return f"<Port {self._host or '*'}:{self._address.port if self._address else self._number}>"

    # IListeningPort

    def startListening(self) -> None:
        """Bind and listen; raises ``CannotListenError`` with the reason of the operating system."""
        sock = self._given or listening_socket(self._host, self._number, self._backlog)
        sock.setblocking(False)
        self._sock = sock
        self._address = address(sock.getsockname())
        self._spare = _spare()
        self.factory.doStart()
        self._pump.add(sock.fileno(), self, select.EPOLLIN)

    def stopListening(self) -> Deferred[None]:
        """Close the port; its connections stay. The Deferred fires when the factory has been told.

        Who has connected already is accepted first: closing the socket would reset those in the backlog.
        """
        if self._sock is not None and self._pause is None:
            self._accept(self._backlog)
        return self._close()

    def getHost(self) -> IPv4Address | IPv6Address:
        """Where it listens, with the port number the kernel chose for 0."""
        assert self._address is not None, "the port does not listen yet"
        return self._address

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        assert self._sock is not None, "the port does not listen"
        return self._sock.fileno()

    # Rider

    def event(self, events: int) -> None:
        """Accept what is there."""
        if self._pause is None:
            self._accept()

    def again(self) -> None:
        """Accept more."""
        self.event(select.EPOLLIN)

    def dropped(self, reason: Failure) -> None:
        """The reactor stops."""
        self._close()

    # Accepting

    def adopt(self, sock: socket.socket) -> None:
        """Go on with a connection that another process has accepted at the same port, and read nothing of."""
        sock.setblocking(False)
        try:
            peer = address(sock.getpeername())
        except OSError:
            sock.close()  # the client has left
            return
        self._welcome(self, sock, peer, True)

    def connect(self, sock: Handle, peer: IPv4Address | IPv6Address, adopted: bool = False) -> None:
        """Give an accepted socket its protocol, if the factory wants it."""
        transport = TCPTransport(self._pump, sock, peer)
        self._pump.add(transport._fd, transport)
        self.join(transport)

    def join(self, transport: TCPTransport, factory: IProtocolFactory | None = None) -> None:
        """Start ``transport`` with a protocol of the port's factory, or another one.

        ``None`` or an exception from it closes the socket.
        """
        factory = factory or self.factory
        try:
            protocol = factory.buildProtocol(transport._peer)
        except BaseException:
            _log.failure("{factory}.buildProtocol failed", factory=type(factory).__name__)
            protocol = None
        transport.start(Protocol() if protocol is None else protocol)
        if protocol is None:
            transport.abortConnection()  # to close it gently would keep its descriptor for a while

    def _accept(self, most: int = _ACCEPTS) -> None:
        for accepted in range(most):
            listening = self._sock
            if listening is None:
                return
            try:
                found = accept(listening)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    if not _anybody_waits(listening):
                        return
                    if accepted or self._pump.make_room():
                        break  # those of this round who were not wanted are closed at its end
                    self._exhausted(error)
                    return
                continue  # the client left while it waited (ECONNABORTED and the network's errors, accept(2))
            if found is None:
                return
            try:
                self._welcome(self, found[0], address(found[1]), False)
            except OSError as error:  # epoll has no room for another; who has made a transport of the socket closes it
                self._exhausted(error)
                return
        self._pump.soon(self)

    def _exhausted(self, error: OSError) -> None:
        """No descriptors: refuse one client with the spare so that somebody notices, let the others wait a second."""
        now = self._reactor.seconds()
        if now >= self._silent_until:
            self._silent_until = now + _QUIET
            limit = "sysctl fs.epoll.max_user_watches" if error.errno == errno.ENOSPC else "the limit of open files"
            _log.error(
                "{port} cannot accept: {reason}. Connections wait in the backlog; raise {limit}.",
                port=self, reason=error.strerror, limit=limit,
            )  # fmt: skip
        if self._spare >= 0:
            os.close(self._spare)
            try:
                assert self._sock is not None
                self._sock.accept()[0].close()
            except OSError:
                pass  # nobody there any more, or somebody else took the descriptor
            self._spare = _spare()
        self._pause = self._reactor.callLater(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if self._spare < 0:
            self._spare = _spare()
        self._pump.soon(self)

    def _close(self) -> Deferred[None]:
        if self._sock is None:
            return succeed(None)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._pump.remove(self._sock.fileno())
        self._sock.close()
        self._sock = None
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        self._stopped = Deferred()
        self._pump.later(self._tell_stopped)
        return self._stopped

    def _tell_stopped(self) -> None:
        stopped, self._stopped = self._stopped, None
        try:
            self.factory.doStop()
        finally:
            if stopped is not None:
                stopped.callback(None)


def _anybody_waits(listening: socket.socket) -> bool:
    """Whether there is a connection to accept: the kernel looks for a descriptor before it looks for one."""
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    return bool(poll.poll(0))


def _spare() -> int:
    """A descriptor to give up when there are no others; -1 where there is none to be had."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
