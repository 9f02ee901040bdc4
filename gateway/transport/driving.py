"""How a pump gets its turns from a reactor: nested in it, or with the reactor nested in the pump.

A reactor can watch the pump's epoll like any other descriptor (`Nested`). Each event of a socket then passes through
two epolls, and each turn comes after a wait of the reactor's own.  Twisted's epoll reactor can be nested instead: the
pump waits in its place, and watches the reactor's epoll besides its sockets (`Around`). Timers, signals, threads and
everybody else's descriptors go on as before.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

__all__ = ["Around", "Driver", "Nested", "driver_for"]

_PAUSE = 0.1
"""Seconds before the next turn where one has failed as none should: nobody is to blame, so it may do so again."""


class Driven(Protocol):
    """What a driver needs of its pump."""

    driver: Driver
    """Who drives it at present."""

    def serve(self, timeout: float = 0.0) -> bool | None:
        """One turn, as `Loop.turn` with a wait of ``timeout`` seconds before it. ``None``: it has failed."""

    def nest(self, fd: int) -> None:
        """See `Loop.nest`."""

    def fileno(self) -> int:
        """The epoll's descriptor."""

    def reactor_lets_go(self, reason: Failure) -> None:
        """There will be no more turns."""


class Driver(Protocol):
    """Gives turns from `begin` to `end`, between which the pump has an epoll."""

    def begin(self) -> None:
        """The epoll has been made."""

    def end(self) -> None:
        """It will be closed."""

    def wake(self) -> None:
        """Somebody waits for a turn, whether there is an epoll or not."""


@implementer(IReadDescriptor)
class Nested:
    """The reactor watches the pump's epoll. ``reactor`` is an ``IReactorFDSet`` and ``IReactorTime``."""

    def __init__(self, pump: Driven, reactor: Any) -> None:
        self._pump = pump
        self._reactor = reactor
        self._kick: IDelayedCall | None = None

    def begin(self) -> None:
        """Let the reactor watch it."""
        self._reactor.addReader(self)

    def end(self) -> None:
        """No longer."""
        self._reactor.removeReader(self)

    def wake(self) -> None:
        """Have a turn when the reactor comes round."""
        if self._kick is None:
            self._kick = self._reactor.callLater(0, self._kicked)

    def fileno(self) -> int:
        """What the reactor watches."""
        return self._pump.fileno()

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "pump"

    def doRead(self) -> None:
        """One turn; never raises, for the reactor would let go of the pump and so of everybody's connections. HOT"""
        if self._pump.serve() is None and self._kick is None:
            self._kick = self._reactor.callLater(_PAUSE, self._kicked)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go, as it does when it stops."""
        self._pump.reactor_lets_go(reason)

    def _kicked(self) -> None:
        self._kick = None
        driver = self._pump.driver
        if driver is self:
            self.doRead()
        else:
            driver.wake()  # another drives by now, and is to see what its turn finds


@implementer(IReadDescriptor)
class Around:
    """The pump waits in the place of the reactor, whose epoll it watches.

    One pump of a reactor can do so at a time.  What the reactor has of it, to be told of its end, is a descriptor that
    nothing is ever written to.
    """

    def __init__(self, pump: Driven, reactor: EPollReactor) -> None:
        self._pump = pump
        self._reactor: Any = reactor
        self._silent = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._eager = False

    def begin(self) -> None:
        """Take the reactor's place."""
        self._reactor.addReader(self)
        self._watch()
        self._reactor.doIteration = self._iterate

    def end(self) -> None:
        """Give it back."""
        del self._reactor.doIteration
        self._reactor.removeReader(self)
        os.close(self._silent)
        self._silent = -1

    def wake(self) -> None:
        """The next turn is not to wait."""
        self._eager = True

    def fileno(self) -> int:
        """Never readable."""
        return self._silent

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "pump"

    def doRead(self) -> None:
        """Nothing comes."""

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self._pump.reactor_lets_go(reason)

    def _watch(self) -> None:
        self._pump.nest(self._reactor._poller.fileno())

    def _iterate(self, timeout: float | None) -> None:
        """``doIteration`` of the reactor: wait ``timeout`` seconds at most, ``None`` without end. HOT"""
        if self._eager:
            self._eager = False
            timeout = 0.0
        others = self._pump.serve(-1.0 if timeout is None else timeout)
        if others is not False:
            self._eager = self._eager or others is None  # go on with what a failed turn has left
            try:
                type(self._reactor).doIteration(self._reactor, _PAUSE if others is None else 0)
            finally:
                if self._silent >= 0:
                    self._watch()


def driver_for(pump: Driven, reactor: Any) -> Driver:
    """`Around` where the reactor is Twisted's for epoll, as far as it is known, and no other pump is around it."""
    known = type(reactor) is EPollReactor and isinstance(getattr(reactor, "_poller", None), select.epoll)
    if known and "doIteration" not in vars(reactor):
        try:
            return Around(pump, reactor)
        except OSError:  # no descriptors are left
            pass
    return Nested(pump, reactor)
