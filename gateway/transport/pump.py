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

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.transport.deadlines import Deadlines
from gateway.transport.loop import Loop, Rider

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

__all__ = ["Pump", "Rider"]

_log = Logger()

_TURN = 0.005
"""Seconds after which a turn ends, so that timers and other descriptors of the reactor get theirs."""

_PAUSE = 0.1
"""Seconds before the next turn where one has failed as none should: nobody is to blame, so it may do so again."""


@implementer(IReadDescriptor)
class Pump(Loop):
    """A `Loop` that a reactor drives. ``reactor`` is an ``IReactorFDSet`` and ``IReactorTime``.

    ``stopped``: `stop` was called.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._kick: IDelayedCall | None = None
        self.stopped = False
        self.deadlines = Deadlines(reactor)

    def stop(self) -> None:
        """Nothing rides on from here: what is left is cut, and who closes does so without lingering."""
        self.stopped = True
        for rider in self.riders():
            _drop(rider, Failure(ConnectionDone("the gateway has stopped")))
        for entry in self.deadlines.entries():
            self.deadlines.expire(entry, self.deadlines.now())
        self.deadlines.stop()

    # What the reactor calls

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "pump"

    def doRead(self) -> None:
        """One turn. Never raises: the reactor would let go of the pump, and so of everybody's connections. HOT"""
        try:
            self.turn(_TURN)
        except BaseException:
            self._turn_failed()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go of the pump, as it does when it stops: every rider is dropped."""
        for rider in self.riders():
            _drop(rider, reason)
        self.settle()

    # What the loop calls

    def _opened(self) -> None:
        self._reactor.addReader(self)

    def _closed(self) -> None:
        self._reactor.removeReader(self)

    def _wake(self) -> None:
        if self._kick is None:
            self._kick = self._reactor.callLater(0, self._kicked)

    def _kicked(self) -> None:
        self._kick = None
        self.doRead()

    def _turn_failed(self) -> None:
        """Go on with what was left, some time later."""
        _log.failure("a turn of the pump failed")
        if self._kick is None:
            self._kick = self._reactor.callLater(_PAUSE, self._kicked)

    def _rider_failed(self, rider: Rider, error: BaseException) -> None:
        failure = Failure(error)
        _log.failure("the pump gives up a connection", failure=failure)
        _drop(rider, failure)

    def _call_failed(self, error: BaseException) -> None:
        _log.failure("the pump could not finish a connection", failure=Failure(error))


def _drop(rider: Rider, reason: Failure) -> None:
    """Let go of a rider, which harms no other whatever it makes of that."""
    try:
        rider.dropped(reason)
    except BaseException:
        _log.failure("a connection could not be given up: {rider}", rider=type(rider).__name__)
