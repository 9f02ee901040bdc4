"""How connections to TLS ports begin, on both roads: the handshakes in progress, and what is said of their clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed

__all__ = ["HANDSHAKE_TIMEOUT", "Crowded", "Greetings", "begins_tls", "late"]

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client of a TLS port has for its handshake."""

_PATIENCE = 1.0
"""Seconds that somebody waits for handshakes: more than one needs across the world."""


class Crowded(Exception):
    """A handshake is given up, for there are too many connections."""


def late() -> TimeoutError:
    """The error of a client that has not finished its handshake."""
    return TimeoutError(f"the handshake was not complete within {HANDSHAKE_TIMEOUT:g} s")


def begins_tls(first: int) -> bool:
    """Whether a client's first byte is that of a TLS handshake record, or of an SSL 2 one, which OpenSSL refuses."""
    return first == 0x16 or first & 0x80 != 0


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
        error = Crowded("too many connections (limits.maxConnections, file descriptors)")
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
