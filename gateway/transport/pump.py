"""The pump: an epoll set of its own, nested in the Twisted reactor.

The reactor watches one descriptor, the epoll's.  When that is readable, one *turn* serves all sockets in a tight
loop: no adaptation, no log context, no interest bookkeeping per event, which is what makes a reactor slow.

Sockets are registered once, edge-triggered, for everything.  An edge is reported once, so whoever leaves something
unread must ask for another look with `Pump.soon`; that list is served in the same turn, one read per socket and
round, so that a bulk transfer cannot starve its neighbours, and in the next turn if this one has lasted long enough.

Nothing that a protocol could mistake for re-entrance happens inside its own calls: a transport that must tell its
protocol about a loss puts that into `Pump.later`, which is done when the events at hand are done.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from gateway.transport.tcp import TCPTransport

__all__ = ["Pump", "Rider"]

_log = Logger()

_BATCH = 64
"""Events that are fetched at once."""

_TURN = 0.005
"""Seconds after which a turn ends, so that timers and other descriptors of the reactor get theirs."""


class Rider(Protocol):
    """Something with a socket in the pump: a transport, a port, a connection attempt."""

    waiting: bool
    """Whether it is on the list of those who want another look; owned by the pump, ``False`` at first."""

    def event(self, events: int) -> None:
        """The socket's state changed. ``events`` is a hint: it may be stale, so only system calls tell the truth."""

    def again(self) -> None:
        """Another look, asked for with `Pump.soon`. It may have become pointless in the meantime."""

    def dropped(self, reason: Failure) -> None:
        """The pump gives this rider up: the reactor is stopping, or the rider itself raised."""


@implementer(IReadDescriptor)
class Pump:
    """See the module. ``reactor`` is an ``IReactorFDSet`` and ``IReactorTime``.

    ``stopped``: `stop` was called.  ``turning``: a turn is being served.  ``outbox``: the transports that have
    something to send at the end of the round.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll: select.epoll | None = None
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._riders: dict[int, Rider] = {}
        self._ready: deque[Rider] = deque()
        self._later: list[Callable[[], None]] = []
        self.turning = self.stopped = False
        self.outbox: list[TCPTransport] = []
        self._kick: IDelayedCall | None = None
        self.deadlines = Deadlines(reactor)

    # What riders call

    def add(self, fd: int, rider: Rider, events: int = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP) -> None:
        """Watch a non-blocking socket. What it already has to report is reported in the next round."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        try:
            self._epoll.register(fd, events | select.EPOLLET)
        except FileExistsError:
            # Removed, but not closed yet: this reports anew what the socket has.
            self._epoll.modify(fd, events | select.EPOLLET)
        self._handlers[fd] = rider.event
        self._riders[fd] = rider

    def hand_over(self, fd: int, rider: Rider) -> None:
        """From now on ``rider`` gets the events of a socket that is being watched already."""
        self._handlers[fd] = rider.event
        self._riders[fd] = rider

    def remove(self, fd: int) -> None:
        """Forget a socket, which the caller will close. Idempotent."""
        if self._riders.pop(fd, None) is not None:
            del self._handlers[fd]
            if not self._riders and not self.turning:
                self._close()

    def soon(self, rider: Rider) -> None:
        """Call ``rider.again()`` in this turn or, if that has lasted too long, in the next. HOT"""
        if not rider.waiting:
            rider.waiting = True
            self._ready.append(rider)
            if not self.turning and self._kick is None:
                self._kick = self._reactor.callLater(0, self._kicked)

    def later(self, call: Callable[[], None]) -> None:
        """Do ``call()`` when the events at hand have been served. It must not raise."""
        self._later.append(call)
        if not self.turning and self._kick is None:
            self._kick = self._reactor.callLater(0, self._kicked)

    def stop(self) -> None:
        """Nothing rides on from here: what is left is cut, and who closes does so without lingering."""
        self.stopped = True
        for rider in list(self._riders.values()):
            rider.dropped(Failure(ConnectionDone("the gateway has stopped")))
        for entry in self.deadlines.entries():
            entry.expired(self.deadlines.now())
        self.deadlines.stop()

    # What the reactor calls

    def fileno(self) -> int:
        """The epoll's descriptor, -1 while there is none."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "pump"

    def doRead(self) -> None:
        """One turn. HOT"""
        if self.turning:
            return
        self.turning = True
        try:
            self._turn(monotonic() + _TURN)
        finally:
            self.turning = False
        if not self._riders:
            self._close()
        if (self._ready or self._later) and self._kick is None:
            self._kick = self._reactor.callLater(0, self._kicked)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go of the pump, as it does when it stops: every rider is dropped."""
        for rider in list(self._riders.values()):
            rider.dropped(reason)
        while self._later:
            self._do_later()
        if not self._riders and not self.turning:
            self._close()

    # The turn

    def _kicked(self) -> None:
        self._kick = None
        self.doRead()

    def _turn(self, ends: float) -> None:
        handlers = self._handlers
        ready = self._ready
        poll = self._epoll.poll if self._epoll is not None else _nothing
        while True:
            events = poll(0, _BATCH)
            for fd, mask in events:
                try:
                    handler = handlers[fd]
                except KeyError:
                    continue
                try:
                    handler(mask)
                except Exception:
                    self._rider_failed(handler.__self__)  # type: ignore[attr-defined]
            if self.outbox:
                self._send()
            if self._later:
                self._do_later()
            if ready:
                self._serve(len(ready), ends)
            elif not events:
                return
            if monotonic() > ends:
                return

    def _serve(self, count: int, ends: float) -> None:
        """Give each rider that waits one look; those that ask again queue up behind."""
        ready = self._ready
        while count:
            count -= 1
            rider = ready.popleft()
            rider.waiting = False
            try:
                rider.again()
            except Exception:
                self._rider_failed(rider)
            if monotonic() > ends:
                break
        if self.outbox:
            self._send()
        if self._later:
            self._do_later()

    def _send(self) -> None:
        """Send what was written in this round, in one go.

        A peer that sleeps is woken by the first of these and finds the others; woken for each one by one it would
        fall asleep in between, and that costs more than the sending (measured: 15 % of a small GET).
        """
        outbox, self.outbox = self.outbox, []
        for transport in outbox:
            transport.send_gathered()

    def _do_later(self) -> None:
        calls, self._later = self._later, []
        for call in calls:
            try:
                call()
            except Exception:
                _log.failure("the pump could not finish a connection")
        if self.outbox:
            self._send()

    def _rider_failed(self, rider: Rider) -> None:
        failure = Failure()
        _log.failure("the pump gives up a connection", failure=failure)
        rider.dropped(failure)

    def _close(self) -> None:
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None


def _nothing(timeout: float, count: int) -> list[tuple[int, int]]:
    return []
