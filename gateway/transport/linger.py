"""Closing a socket so that what was sent last arrives.

A ``close`` while the peer is still sending makes the kernel answer with a reset, and a reset destroys data that the
peer has not acknowledged or not read: the 413 to a client in the middle of its upload, or what follows an unread TLS
session ticket.  So the write side is closed first, and what still comes is read and dropped until the peer closes
too, for a short while (RFC 9112 §9.6).
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from gateway.transport.pump import Pump

__all__ = ["LINGER", "close_gently", "linger"]

LINGER = 2.0
"""Seconds for which a closed connection's socket is kept at most."""

_PIECE = 64 * 1024
_LIMIT = 4 * 1024 * 1024
"""Bytes that are read and dropped at most."""


def close_gently(pump: Pump, sock: socket.socket) -> None:
    """Close ``sock``: at once where nothing can get lost by that, otherwise when the peer has closed or time is up."""
    if _is_unsettled(sock):
        linger(pump, sock)
    else:
        sock.close()


def linger(pump: Pump, sock: socket.socket) -> None:
    """Close ``sock``, whose write side is closed, when the peer has closed too or time is up; at once at a stop."""
    if pump.stopped:
        sock.close()
    else:
        pump.add(sock.fileno(), _Lingering(pump, sock))


def _is_unsettled(sock: socket.socket) -> bool:
    """Close the write side: is there something to wait for before the rest may be closed?"""
    try:
        sock.shutdown(socket.SHUT_WR)
        return bool(sock.recv(_PIECE))
    except BlockingIOError:
        return _unacknowledged(sock)
    except OSError:
        return False


def _unacknowledged(sock: socket.socket) -> bool:
    """Whether the kernel keeps something that the peer has not acknowledged (tcp(7), SIOCOUTQ)."""
    return bool(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])


class _Lingering:
    """A closed connection's socket."""

    __slots__ = ("_left", "_pump", "_sock", "deadline", "review", "waiting")

    def __init__(self, pump: Pump, sock: socket.socket) -> None:
        self._pump = pump
        self._sock = sock
        self._left = _LIMIT
        self.waiting = False
        self.deadline = self.review = inf
        pump.deadlines.set(self, pump.deadlines.now() + LINGER)

    def event(self, events: int) -> None:
        """Something came."""
        if self._sock.fileno() < 0:
            return
        try:
            size = len(self._sock.recv(_PIECE))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._left -= size
        if not size or self._left < 0:
            self.expired(0.0)
        else:
            self._pump.soon(self)

    def again(self) -> None:
        """Read on."""
        self.event(0)

    def expired(self, now: float) -> None:
        """Time is up, or there is no reason to wait any longer."""
        if self._sock.fileno() >= 0:
            self._pump.remove(self._sock.fileno())
            self._sock.close()
            self._pump.deadlines.forget(self)

    def dropped(self, reason: Failure) -> None:
        """The reactor stops."""
        self.expired(0.0)
