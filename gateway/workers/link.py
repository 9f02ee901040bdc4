"""What parent and worker say to each other: JSON objects with a ``kind``, each behind its length.

To the worker: ``config`` (first), ``start`` (when it has said ``built``), ``health``, ``members``, ``loads``,
``reload``, ``renew``, ``tickets``, ``ask``, ``alive``, ``reopen``, ``stop``, ``hurry``.  To the parent: ``built``,
``ready`` (or ``failed``), ``loads``, ``reloaded``, ``tickets``, ``answer``, ``alive``, ``fault``, ``leaving``, ``log``,
``access``.  The sockets of ports that a reload adds, and at the beginning the ends of the channels between workers, go
through a third channel, ahead of the message that names them.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from socket import recv_fds, send_fds, socket
from typing import Any

from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

__all__ = [
    "FROM_PARENT", "HANDOVER", "SOCKETS", "STDERR", "TO_PARENT", "TRACE", "Link", "Message", "receive_sockets",
    "send_sockets",
]  # fmt: skip

STDERR = 2
FROM_PARENT, TO_PARENT, HANDOVER, SOCKETS = 3, 4, 5, 6
"""Descriptors of a worker: its end of the two pipes and of the channel for sockets, and its first listening socket."""

TRACE = signal.SIGUSR2
"""The signal at which a worker prints what each of its threads does."""

_AT_ONCE = 200
"""Descriptors in one message; Linux takes 253 (unix(7))."""

Message = dict[str, Any]


class Link(Int32StringReceiver):
    """One end. ``received`` is called with each message, ``ended`` when the other end is gone."""

    MAX_LENGTH = 1 << 26

    def __init__(self, received: Callable[[Message], None], ended: Callable[[], None] = lambda: None) -> None:
        self._received = received
        self._ended = ended

    def send(self, kind: str, **others: Any) -> None:
        """Send a message; in vain if the other end is gone."""
        if self.connected:
            self.sendString(json.dumps({"kind": kind, **others}).encode())

    def stringReceived(self, string: bytes) -> None:
        """A message has arrived."""
        self._received(json.loads(string))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The other end is gone."""
        self._ended()


def send_sockets(channel: socket, sockets: Sequence[socket]) -> None:
    """Hand ``sockets`` over; ``channel`` is a Unix socket. Raises ``OSError``."""
    for first in range(0, len(sockets), _AT_ONCE):
        send_fds(channel, [b"\0"], [sock.fileno() for sock in sockets[first : first + _AT_ONCE]])


def receive_sockets(channel: socket, count: int) -> list[int]:
    """The descriptors of ``count`` sockets that have been handed over. Raises ``OSError``, also if some are missing."""
    found: list[int] = []
    while len(found) < count:
        data, descriptors, _, _ = recv_fds(channel, 1, _AT_ONCE)
        found += descriptors
        if not data or not descriptors:
            raise OSError(f"{len(found)} of {count} listening sockets have arrived")
    return found
