"""Closing a socket so that what was sent last arrives.

A ``close`` while the peer is still sending makes the kernel answer with a reset, and a reset destroys data that the
peer has not acknowledged or not read: the 413 to a client in the middle of its upload, or what follows an unread TLS
session ticket.  So the write side is closed first, and what still comes is read and dropped until the peer closes
too, for a short while (RFC 9112 §9.6).
"""

from __future__ import annotations

import os
import socket
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from gateway.transport.pump import Pump

__all__ = ["LINGER", "close_gently", "hurry", "is_silent", "linger"]

LINGER = 2.0
"""Seconds for which a closed connection's socket is kept at most."""

_PIECE = 64 * 1024
_LIMIT = 4 * 1024 * 1024
"""Bytes that are read and dropped at most."""


def close_gently(pump: Pump, sock: socket.socket) -> None:
    """Close ``sock``, which the pump has watched: when the peer has closed too, or time is up."""
    try:
        sock.shutdown(socket.SHUT_WR)
        unread = bool(sock.recv(_PIECE))
    except BlockingIOError:
        linger(pump, sock.detach(), False)
    except OSError:
        sock.close()
    else:
        if unread:
            linger(pump, sock.detach(), True)
        else:
            sock.close()


def is_silent(sock: socket.socket) -> bool:
    """Whether there is nothing to read."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def linger(pump: Pump, fd: int, unread: bool) -> None:
    """Close ``fd``, whose write side is closed, when the peer has closed too or time is up; at once at a stop.

    The pump has watched it.  ``unread``: there may be more to read; else all has been read.
    """
    if pump.stopped:
        os.close(fd)
    else:
        lingering = _Lingering(pump, fd)
        pump.hand_over(fd, lingering)
        if unread:
            pump.soon(lingering)


def hurry(pump: Pump) -> bool:
    """Close all that linger. Whether there were any."""
    lingering = [rider for rider in pump.riders() if isinstance(rider, _Lingering)]
    for each in lingering:
        each.expired(0.0)
    return bool(lingering)


class _Lingering:
    """A closed connection's socket, of which only the number is left."""

    __slots__ = ("_fd", "_left", "_pump", "deadline", "review", "waiting")

    def __init__(self, pump: Pump, fd: int) -> None:
        self._pump = pump
        self._fd = fd
        self._left = _LIMIT
        self.waiting = False
        self.deadline = self.review = inf
        pump.deadlines.set(self, pump.deadlines.now() + LINGER)

    def event(self, events: int) -> None:
        """Something came."""
        if self._fd < 0:
            return
        try:
            size = len(os.read(self._fd, _PIECE))
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
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._pump.remove(fd)
            os.close(fd)
            self._pump.deadlines.forget(self)

    def dropped(self, reason: Failure) -> None:
        """The reactor stops."""
        self.expired(0.0)
