"""The pump: an epoll set of its own beside that of the Twisted reactor.

When it has something, one *turn* serves all sockets in a tight loop: no adaptation, no log context, no interest
bookkeeping per event, which is what makes a reactor slow.  Who waits for whom is in `gateway.transport.driving`.

Sockets are registered once, edge-triggered, for everything.  An edge is reported once, so whoever leaves something
unread must ask for another look with `Pump.soon`; that list is served in the same turn, one read per socket and
round, so that a bulk transfer cannot starve its neighbours, and in the next turn if this one has lasted long enough.

Nothing that a protocol could mistake for re-entrance happens inside its own calls: a transport that must tell its
protocol about a loss puts that into `Pump.later`, which is done when the events at hand are done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.transport.deadlines import Deadlines
from gateway.transport.driving import Nested, driver_for
from gateway.transport.linger import hurry
from gateway.transport.loop import Loop, Rider

if TYPE_CHECKING:
    from gateway.transport.driving import Driver

__all__ = ["Pump", "Rider"]

_log = Logger()

_TURN = 0.005
"""Seconds after which a turn ends, so that timers and other descriptors of the reactor get theirs."""


class Pump(Loop):
    """A `Loop` that a reactor drives. ``reactor`` is an ``IReactorFDSet`` and ``IReactorTime``.

    ``stopped``: `stop` was called.  ``driver``: see `gateway.transport.driving`.  ``make_room``: see `make_room`.
    """

    def __init__(self, reactor: Any, make_room: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._reactor = reactor
        self._make_room = make_room
        self._room = False
        self._idle: Driver = Nested(self, reactor)
        self.driver: Driver = self._idle
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

    def make_room(self) -> bool:
        """Descriptors have run out: let go of what can be spared. Whether there was any; it is free after this round.

        First what the pump's user knows of, then the sockets of ended connections that linger.  Once a round is enough,
        whoever asks.
        """
        if not self._room and (self._make_room() or hurry(self)):
            self._room = True
            self.later(self._room_is_made)
        return self._room

    def _room_is_made(self) -> None:
        self._room = False

    # What the driver calls

    def serve(self, timeout: float = 0.0) -> bool | None:
        """One turn, see `Loop.turn`. Never raises; ``None`` if it has failed. HOT"""
        try:
            return self.turn(_TURN, timeout)
        except BaseException:
            _log.failure("a turn of the pump failed")
            return None

    def reactor_lets_go(self, reason: Failure) -> None:
        """There will be no more turns: every rider is dropped."""
        for rider in self.riders():
            _drop(rider, reason)
        self.settle()

    # What the loop calls

    def _opened(self) -> None:
        self.driver = driver_for(self, self._reactor)
        self.driver.begin()

    def _closed(self) -> None:
        driver, self.driver = self.driver, self._idle
        driver.end()

    def _wake(self) -> None:
        self.driver.wake()

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
