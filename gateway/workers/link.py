"""What parent and worker say to each other: JSON objects with a ``kind``, each behind its length.

To the worker: ``config`` (first), ``start`` (when it has said ``built``), ``health``, ``members``, ``loads``,
``ask``, ``reopen``, ``stop``.  To the parent: ``built``, ``ready``, ``loads``, ``answer``, ``log``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

__all__ = ["FROM_PARENT", "SOCKETS", "TO_PARENT", "Link", "Message"]

FROM_PARENT, TO_PARENT, SOCKETS = 3, 4, 5
"""Descriptors of a worker: its end of the two pipes, and the first of its listening sockets."""

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
