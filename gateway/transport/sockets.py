"""TCP sockets: listening, accepting and connecting, what the kernel says of one, and why one was lost."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError, ConnectionLost

from gateway import _native

_ioctl: Any = None
try:
    from fcntl import ioctl as _ioctl
    from termios import TIOCOUTQ
except ImportError:
    pass  # Windows

__all__ = [
    "EXHAUSTED", "Handle", "SocketFacts", "Truncated", "accept", "address", "begin", "close", "ended",
    "lacks_resources", "listening_socket", "lost", "reached", "round_trip", "same_socket", "socket_of",
    "unacknowledged",
]  # fmt: skip

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors for want of descriptors or memory."""

_LACKING = EXHAUSTED | {errno.EADDRNOTAVAIL}  # no port is left to connect from

_RTT_AT = 68
"""Where ``struct tcp_info`` of Linux has ``tcpi_rtt``: behind eight single bytes and fifteen numbers of four."""

Handle = socket.socket | int
"""A socket: Python's object, or only the descriptor where native code has made it, which its user then owns."""


def lacks_resources(error: object) -> bool:
    """Whether a connection was not made for want of something here, which says nothing of the other end.

    ``error``: a ``ConnectError`` or what else there is.
    """
    return getattr(error, "osError", None) in _LACKING


def close(handle: Handle) -> None:
    """Close a socket that nobody has made a transport of."""
    if isinstance(handle, int):
        os.close(handle)
    else:
        handle.close()


def socket_of(handle: Handle) -> socket.socket:
    """Python's object for a handle; it owns the descriptor from now on."""
    return socket.socket(fileno=handle) if isinstance(handle, int) else handle


@_native.chosen(_native.pump)
def accept(listening: socket.socket) -> tuple[Handle, tuple[Any, ...]] | None:
    """One connection that waits, non-blocking, and its peer's name; ``None`` if there is none. Raises ``OSError``."""
    try:
        sock, name = listening.accept()
    except BlockingIOError:
        return None
    sock.setblocking(False)
    return sock, name


@_native.chosen(_native.pump)
def begin(host: str, port: int) -> tuple[Handle, int]:
    """Begin to connect to an address: a socket with TCP_NODELAY, and the ``errno`` where that has failed already."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex((host, port))
    return sock, 0 if code == errno.EINPROGRESS else code


@_native.chosen(_native.pump)
def reached(sock: Handle) -> int:
    """How far a connection that was begun has come: 0 if it is there, -1 for not yet, else why it has failed."""
    sock = socket_of(sock)
    try:
        sock.getpeername()
    except OSError:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or -1
    return 0


def address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """The Twisted address for a socket name; IPv4 clients of a dual-stack port appear as what they are. HOT"""
    host, port = name[0], name[1]
    if ":" not in host:
        made: IPv4Address = object.__new__(IPv4Address)  # whose own way is to look whether TCP is TCP
        made.type, made.host, made.port = "TCP", host, port
        return made
    if host.startswith("::ffff:") and "." in host:
        return IPv4Address("TCP", host[7:], port)
    return IPv6Address("TCP", *name)


def ended(sock: socket.socket) -> bool:
    """Whether the peer has closed the connection, as far as that has arrived and there is nothing before it."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def round_trip(sock: socket.socket) -> int | None:
    """Microseconds to the peer and back, as the kernel measures them (Linux); ``None`` where it does not say."""
    try:
        facts = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT_AT + 4)
    except (OSError, AttributeError):
        return None
    measured: int = int.from_bytes(facts[_RTT_AT:], sys.byteorder)
    return measured if len(facts) == _RTT_AT + 4 else None


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel has, and of which the peer has not said that it has them; 0 where it does not say.

    An end of file that was sent counts as one (SIOCOUTQ, tcp(7)).
    """
    if _ioctl is None:
        return 0
    try:
        return int(struct.unpack("i", _ioctl(sock.fileno(), TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):  # it is closed
        return 0


class Truncated(ConnectionLost):
    """The peer has ended TLS without ``close_notify``: some of what it sent may be missing (RFC 8446 §6.1)."""


def lost(error: Exception) -> ConnectionLost:
    """Twisted's reason for a connection that broke."""
    number = getattr(error, "errno", None)
    if number in (errno.EPIPE, errno.ECONNRESET):
        return ConnectionLost("the peer reset the connection")
    return ConnectionLost(os.strerror(number) if number else str(error))


def listening_socket(host: str, port: int, backlog: int, shared: bool = False) -> socket.socket:
    """A listening, non-blocking socket, whose accepted sockets inherit TCP_NODELAY.

    ``host`` is an address, ``""`` for all.  With ``shared`` others may listen there too (SO_REUSEPORT), and the kernel
    spreads connections over them.  Raises ``CannotListenError``.
    """
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotListenError(host, port, error) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual else 1)
        where = "::" if dual else host or "0.0.0.0"
        target = socket.getaddrinfo(where, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4]
        sock.bind(target)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise CannotListenError(host, port, error) from error
    return sock


class SocketFacts:
    """Addresses and options of a transport's socket (part of ``ITCPTransport``)."""

    __slots__ = ()

    if TYPE_CHECKING:
        # The slots are the subclass's: a class with slots cannot be joined to another that has some.
        connected: bool
        _sock: socket.socket
        _peer: IPv4Address | IPv6Address
        _local: IPv4Address | IPv6Address | None

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The other end."""
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        """This end. After the loss, whatever was asked before, else port 0."""
        if self._local is None:
            try:
                self._local = address(self._sock.getsockname())  # type: ignore[misc]
            except OSError:
                return IPv4Address("TCP", "0.0.0.0", 0)
        return self._local

    @property
    def round_trip(self) -> int | None:
        """See the function of this name; it asks the kernel. ``None`` when the connection is lost."""
        return round_trip(self._sock) if self.connected else None

    @property
    def unacknowledged(self) -> int:
        """See the function of this name; it asks the kernel. 0 when the connection is lost."""
        return unacknowledged(self._sock) if self.connected else 0

    def getTcpNoDelay(self) -> bool:
        """Whether Nagle's algorithm is off; it is unless someone turned it on."""
        return bool(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Turn Nagle's algorithm off or on."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel sends keep-alive probes."""
        return bool(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Turn the kernel's keep-alive probes on or off."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))


def same_socket(port: Any) -> socket.socket:
    """Another descriptor of the socket that ``port`` listens with; it goes on to listen when the port is closed."""
    if hasattr(port, "_shouldShutdown"):
        port._shouldShutdown = False  # else Twisted's port ends the listening for all that share the socket
    return socket.socket(fileno=os.dup(port.fileno()))
