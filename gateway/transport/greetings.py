"""The TLS handshakes of a road's servers that are in progress."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed

from gateway.transport.tls import Crowded

__all__ = ["Greetings"]

_PATIENCE = 1.0
"""Seconds that somebody waits for handshakes: more than one needs across the world."""


class Greetings:
    """``clock`` is an ``IReactorTime``.

    Each has a method ``crowded_out(error)``: it is given up, and tells whom it belongs to.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._all: dict[object, None] = {}
        self._waiting: list[Deferred[None]] = []

    def __iter__(self) -> Iterator[Any]:
        """Over a copy, the oldest first."""
        return iter(tuple(self._all))

    def add(self, greeting: object) -> None:
        """This one has begun."""
        self._all[greeting] = None

    def make_room(self, hooks: Any, peer: Any) -> bool:
        """Whether a handshake with ``peer`` may begin; where there are too many, the oldest is given up for it.

        ``hooks``: an `ISecureFactory` or ``None``.  Who has taken longest is nearly always one that never gets to an
        end, so that clients that are in earnest are served meanwhile.
        """
        if hooks is None or hooks.has_room(len(self._all)):
            return True
        error = Crowded("too many connections (limits.maxConnections)")
        for oldest in self._all:
            self.discard(oldest)
            oldest.crowded_out(error)  # type: ignore[attr-defined]
            return True
        hooks.handshake_failed(peer, error)
        return False

    def discard(self, greeting: object) -> bool:
        """This one is over, with or without success; false if it was already."""
        if greeting not in self._all:
            return False
        del self._all[greeting]
        if self._waiting and not self._all:
            self._clock.callLater(0, self._tell)  # its protocol is still to be made
        return True

    def settled(self) -> Deferred[None]:
        """Fires when there are none, or have been some for a second: who says nothing is not waited for."""
        if not self._all:
            return succeed(None)
        settled: Deferred[None] = Deferred()
        self._waiting.append(settled)
        return settled.addTimeout(_PATIENCE, self._clock, lambda late, seconds: None)

    def _tell(self) -> None:
        if not self._all:
            waiting, self._waiting = self._waiting, []
            for settled in waiting:
                settled.callback(None)
