"""Backpressure, in one place.

A `Flow` is one leg of an exchange or a tunnel.  Its *reading* can be held for several reasons at a time and
goes on when the last of them is gone; when its *writing* is stuck, because the peer does not read, it tells the leg
that feeds it.  It registers itself once as the streaming producer of its own transport, so that the common case, a
peer that keeps up, costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from zope.interface import implementer

__all__ = ["ANSWERING", "BUSY", "CONNECTING", "FEEDING", "FILTERING", "RESTING", "Flow", "FlowProtocol"]

BUSY = 1
"""The next request waits until the one in progress has its response."""

CONNECTING = 2
"""There is no backend connection yet that could take the bytes."""

FEEDING = 4
"""The other leg is stuck."""

FILTERING = 8
"""A message that came from here is still being looked at."""

ANSWERING = 16
"""What is sent here answers what is read here, and is not taken."""

RESTING = 32
"""Much has been read at once, and others have their turn."""


@implementer(IPushProducer, IHalfCloseableProtocol)
class Flow:
    """A connection that can be held and that tells when it is stuck.

    ``lost``: it is gone.  ``answered``: what is read here may cause something to be written here.  ``rest``: called
    when reading may go on, for what was read before; it may hold again.
    """

    if not TYPE_CHECKING:
        __slots__ = ()
    else:  # the subclasses' own, some in slots
        transport: Any
        held: int
        stuck: bool
        answered: bool
        lost: bool
        rest: Callable[[], None] | None

    def feeder(self) -> Flow | None:
        """The leg whose bytes are written here now; ``None`` where there is none."""
        return None

    @property
    def undelivered(self) -> int:
        """Bytes that were written here and are not with the kernel: they wait, or went down with the connection."""
        try:
            count: int = self.transport.queued + self.transport.unsent
        except AttributeError:  # a transport that is not a road's
            return 0
        return count

    @property
    def unacknowledged(self) -> int:
        """Bytes that were written here and of which the peer's kernel has not said that it has them."""
        return getattr(self.transport, "queued", 0) + getattr(self.transport, "unacknowledged", 0)

    def hold(self, reason: int) -> None:
        """Stop reading until `let` is called with the same reason."""
        if not self.held and not self.lost:
            self.transport.pauseProducing()
        self.held |= reason

    def let(self, reason: int) -> None:
        """Take one reason back; read on if it was the last."""
        if self.held:
            self.held &= ~reason
            if not self.held and self.rest is not None:
                self.rest()
            if not self.held and not self.lost:
                self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """The transport's queue is not empty any more: stop whoever fills it."""
        self.stuck = True
        feeder = self.feeder()
        if feeder is not None:
            feeder.hold(FEEDING)
        if self.answered:
            self.hold(ANSWERING)

    def resumeProducing(self) -> None:
        """The queue has drained."""
        self.stuck = False
        feeder = self.feeder()
        if feeder is not None:
            feeder.let(FEEDING)
        if self.answered:
            self.let(ANSWERING)

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` says so too."""

    def readConnectionLost(self) -> None:
        """The peer will send no more."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our half is closed; nothing to do."""


class FlowProtocol(Flow, Protocol):
    """A `Flow` that is the protocol of its connection from the beginning.

    Subclasses set ``dataReceived``, what to do with the next bytes, and override `feeder`, `readConnectionLost` and
    `connectionLost`.
    """

    held = 0
    stuck = answered = lost = False
    rest = None

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Bytes that nobody expects are dropped."""
