"""A client's connection, when the client is slow: who waits for it, how long, and with how much read ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.listener.parts import Part
from gateway.relay.flow import FEEDING, FlowProtocol

if TYPE_CHECKING:
    from gateway.relay.read_ahead import ReadAhead

__all__ = ["SlowClient"]


class SlowClient(Part):
    """A client that does not read makes the connection *stuck*: its transport's queue is not empty.

    Then the backend of the response is held, at once or when its room to be read ahead is full, and the client has
    ``send_timeout`` to take something.  Costs nothing as long as the client keeps up.

    ``_offered`` is the room that there may be for the response in progress.
    """

    _offered: ReadAhead | None = None

    def fed_by(self, upstream: FlowProtocol, read_ahead: ReadAhead | None = None) -> None:
        """The response will come from ``upstream`` in pieces: hold it while this client does not read."""
        self._source = upstream
        self._offered = read_ahead
        if self.stuck:
            upstream.hold(FEEDING)

    def feeder(self) -> FlowProtocol | None:
        return self._source

    def pauseProducing(self) -> None:
        if self.stuck:
            return  # Twisted's transports say so again with each write
        self._current()
        room = self._offered
        if room is not None and self._source is not None and room.take():
            self._room = room
            self.stuck = True
            self._look_at_room()
        else:
            super().pauseProducing()
        self._taken = self._sent - self.undelivered
        if self._is_served():
            shared = self._shared
            shared.deadlines.set(self, shared.seconds() + shared.limits.send_timeout)

    def resumeProducing(self) -> None:
        self._leave_room()
        super().resumeProducing()
        if self._is_served():
            shared, exchange = self._shared, self._exchange
            limit: float = shared.limits.keep_alive_timeout if exchange is None else exchange.patience
            shared.deadlines.set(self, shared.seconds() + limit)
        if self._ahead and self._exchange is None:
            self._run()

    def _look_at_room(self) -> None:
        """The client is slow, and its response is read ahead: hold the backend when enough of it is here."""
        room, source = self._room, self._source
        if room is not None and source is not None and self.transport.queued >= room.bytes:
            source.hold(FEEDING)

    def _leave_room(self) -> None:
        room = self._room
        if room is not None:
            self._room = None
            room.give_back()

    def _is_served(self) -> bool:
        """A response is on its way, or has gone out: while the client is stuck, it is the client that is waited for."""
        head, outcome = self._head, self._outcome
        if self._closing or (head is not None and head.started):
            return False
        return outcome is None or outcome.responded is not None

    def _made_progress(self) -> bool:
        """Whether the client has taken something since this was last asked."""
        queued = getattr(self.transport, "queued", 0)
        before, self._taken = self._taken, self._sent - queued
        return queued > 0 and self._taken > before
