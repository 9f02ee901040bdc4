"""The pump's loop: waits for events, serves riders, sends what they wrote.  It knows nothing of a reactor.

This is the Python twin; the C twin (``gateway/_native/loop.c``) does the same and calls transports without going
through Python where it can.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway import _native

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from gateway.transport.stream import Stream

__all__ = ["ALL_EVENTS", "Loop", "Rider"]

_BATCH = 64
"""Events that are fetched at once."""

_LONGEST = 1e6
"""Seconds of one wait."""

ALL_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP
"""What is watched of a connection."""


class Rider(Protocol):
    """Something with a socket in the pump: a transport, a port, a connection attempt."""

    waiting: bool
    """Whether it is on the list of those who want another look; owned by the loop, ``False`` at first."""

    def event(self, events: int) -> None:
        """The socket's state changed. ``events`` is a hint: it may be stale, so only system calls tell the truth."""

    def again(self) -> None:
        """Another look, asked for with `Loop.soon`. It may have become pointless in the meantime."""

    def dropped(self, reason: Failure) -> None:
        """The pump gives this rider up: the reactor is stopping, or the rider itself raised."""


@_native.chosen(_native.pump)
class Loop:
    """An epoll set and its riders.

    ``turning``: a turn is being served.  Subclasses say what happens when the epoll was made and closed (`_opened`,
    `_closed`), when something waits and no turn is being served (`_wake`), and when a rider or a call raised.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._riders: dict[int, Rider] = {}
        self._ready: deque[Rider] = deque()
        self._later: list[Callable[[], None]] = []
        self._last: list[Callable[[], None]] = []
        self._outbox: list[Stream] = []
        self._closing: list[Stream] = []
        self._nested = -1
        self.turning = False

    # What riders call

    def add(self, fd: int, rider: Rider, events: int = ALL_EVENTS) -> None:
        """Watch a non-blocking socket. What it already has to report is reported in the next round."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._opened()
        try:
            self._epoll.register(fd, events | select.EPOLLET)
        except FileExistsError:
            # Removed, but not closed yet: this reports anew what the socket has.
            self._epoll.modify(fd, events | select.EPOLLET)
        self.hand_over(fd, rider)

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

    def release(self, fd: int) -> None:
        """Forget a socket that another process goes on with: closing it here would not end the watching (epoll(7))."""
        if fd in self._riders:
            assert self._epoll is not None
            self._epoll.unregister(fd)
            self.remove(fd)

    def soon(self, rider: Rider) -> None:
        """Call ``rider.again()`` in this turn or, if that has lasted too long, in the next. HOT"""
        if not rider.waiting:
            rider.waiting = True
            self._ready.append(rider)
            if not self.turning:
                self._wake()

    def later(self, call: Callable[[], None]) -> None:
        """Do ``call()`` when the events at hand have been served. It must not raise."""
        self._later.append(call)
        if not self.turning:
            self._wake()

    def at_end(self, call: Callable[[], None]) -> None:
        """Do ``call()`` when the events at hand are served and what they wrote is sent; outside of a turn at once.

        It must not raise.  For what wakes another process, see `_wake_peers`, and for what must not happen among the
        events at hand.
        """
        if self.turning:
            self._last.append(call)
        else:
            call()

    def to_send(self, stream: Stream) -> None:
        """Call ``stream.send_gathered()`` at the end of the round. HOT"""
        self._outbox.append(stream)

    def to_close(self, stream: Stream) -> None:
        """Call ``stream._close_socket()`` before what is put off with `later`."""
        self._closing.append(stream)

    # What the subclass calls

    def fileno(self) -> int:
        """The epoll's descriptor, -1 while there is none."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def riders(self) -> list[Rider]:
        """All whose sockets are watched."""
        return list(self._riders.values())

    def nest(self, fd: int) -> None:
        """Watch another epoll, which is no rider, until a `turn` has found something in it; then call this anew."""
        assert self._epoll is not None
        events = select.EPOLLIN | select.EPOLLONESHOT
        if self._nested < 0:
            self._nested = fd
            self._epoll.register(fd, events)
        else:
            self._epoll.modify(fd, events)

    def turn(self, seconds: float, timeout: float = 0.0) -> bool:
        """Serve all that have something, once or more often, for about ``seconds`` at most. HOT

        Before, wait for it for ``timeout`` seconds, with a negative number without end.  True if the nested epoll has
        something, or if this is a turn within a turn, so that nobody knows.
        """
        if self.turning:
            return True
        self.turning = True
        try:
            others = self._turn(seconds, timeout)
        finally:
            self.turning = False
        if not self._riders:
            self._close()
        if self._ready or self._later or self._last:
            self._wake()
        return others

    def settle(self) -> None:
        """Do all calls that wait; close the epoll if nobody rides any more."""
        while self._later:
            self._finish()
        if not self._riders and not self.turning:
            self._close()

    def _opened(self) -> None:
        """The epoll has been made."""

    def _closed(self) -> None:
        """The epoll will be closed."""

    def _wake(self) -> None:
        """Somebody waits for a turn."""

    def _rider_failed(self, rider: Rider, error: BaseException) -> None:
        """A rider raised. This must not."""

    def _call_failed(self, error: BaseException) -> None:
        """What was put off with `later` raised. This must not."""

    # The turn

    def _turn(self, seconds: float, timeout: float) -> bool:
        handlers = self._handlers
        ready = self._ready
        poll = self._epoll.poll if self._epoll is not None else _nothing
        events = poll(min(timeout, _LONGEST), _BATCH)
        ends = monotonic() + seconds
        others = False
        while True:
            for fd, mask in events:
                try:
                    handler = handlers[fd]
                except KeyError:
                    others = others or fd == self._nested
                    continue
                try:
                    handler(mask)
                except BaseException as error:
                    self._rider_failed(handler.__self__, error)  # type: ignore[attr-defined]
            self._finish()
            if ready:
                self._serve(len(ready), ends)
            elif not events:
                return others
            if monotonic() > ends:
                return others
            events = poll(0, _BATCH)

    def _serve(self, count: int, ends: float) -> None:
        """Give each rider that waits one look; those that ask again queue up behind."""
        ready = self._ready
        while count:
            count -= 1
            rider = ready.popleft()
            rider.waiting = False
            try:
                rider.again()
            except BaseException as error:
                self._rider_failed(rider, error)
            if monotonic() > ends:
                break
        self._finish()

    def _finish(self) -> None:
        """The end of a round; what is asked for while others are told comes behind that."""
        self._wake_peers()
        if self._later:
            calls, self._later = self._later, []
            self._do(calls)
            self._wake_peers()

    def _wake_peers(self) -> None:
        """Send what was written in this round, close what has ended, begin to connect: each in one go.

        A peer that sleeps is woken by the first of these and finds the others; woken for each one by one it would
        fall asleep in between, and that costs more than the sending (measured: 15 % of a small GET).
        """
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            for stream in outbox:
                try:
                    stream.send_gathered()
                except BaseException as error:
                    self._rider_failed(stream, error)
        if self._closing:
            closing, self._closing = self._closing, []
            self._do([stream._close_socket for stream in closing])
        if self._last:
            calls, self._last = self._last, []
            self._do(calls)

    def _do(self, calls: list[Callable[[], None]]) -> None:
        for call in calls:
            try:
                call()
            except BaseException as error:
                self._call_failed(error)

    def _close(self) -> None:
        if self._epoll is not None:
            self._closed()
            self._epoll.close()
            self._epoll = None
            self._nested = -1


def _nothing(timeout: float, count: int) -> list[tuple[int, int]]:
    return []
