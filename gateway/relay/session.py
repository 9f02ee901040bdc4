"""How a WebSocket session ends, whatever happens to its frames in between.

What the gateway ends, it ends with a close frame between two other frames (RFC 6455 §5.5.1, §7.4)::

    OPEN ── a close frame has passed one way ────────────────────────────────┐
      │──── a side vanished: the other one gets a close frame ───────────────┤
      │──── a side broke the protocol or a limit: both get a close frame ────┤
      └──── the gateway ends the session: both get a close frame ────────────┴─> CLOSING
    CLOSING ── both ways are done: closed, broken or at their end ──> CLOSED, both connections are ──> GONE
      └─────── `CLOSING_SECONDS` are over: nobody waits any more for who owes a close frame ────> CLOSED
    CLOSED ── a side does not take what is left for it: it is cut ──> GONE

Who has sent a close frame gets one, also if the other side never answers: then the gateway does, with the same code.
Who takes what was sent slowly gets all of it, as long as it takes something within ``limits.sendTimeout``.  A client
that does not is reset, whatever it says meanwhile.

A client that broke a rule gets its close frame behind what the backend still answers to the messages before that, in
place of the backend's close frame: as from a server that reads one message after another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.python.failure import Failure

from gateway.errors import SessionEnded
from gateway.relay.splice import CLOSED, CLOSING, CLOSING_SECONDS, OPEN, Splice
from gateway.websocket.frames import FrameError

if TYPE_CHECKING:
    from gateway.relay.sides import Side

__all__ = ["Way", "WebSocketSession"]

_MOST_DROPPED = 4 << 20
"""Bytes that a side may send which nobody gets any more, before it is cut."""

_ANSWER_SECONDS = 1.0
"""How long the close frame to a client that broke a rule waits for the backend's."""

_VANISHED = 1006
"""What is logged where there was no close frame (RFC 6455 §7.1.5)."""

_CLIENT_GONE = SessionEnded(1001, "client gone", "client_gone")
_BACKEND_LOST = SessionEnded(1011, "backend lost", "backend_lost")

_CLIENT_STUCK = SessionEnded(1001, "the client takes nothing of what is sent to it", "client_timeout")

_FAULTS = {
    1002: ("protocol_error", "broke the protocol"),
    1007: ("invalid_payload", "sent an invalid payload"),
    1009: ("message_too_big", "sent a message that is too big"),
}


class Way(Protocol):
    """One direction of a session, as far as its end is concerned.

    ``who`` sends: ``client`` or ``backend``.  ``told``: the code of the close frame that the target has got, the
    source's or ours; nothing may follow it.  ``broken``: what the source sends is not understood any more.  ``done``:
    nothing more is expected from the source; it has sent a close frame, is broken or sends no more.  ``dropped``: bytes
    that came and did not go on.  ``added``: bytes that went on less those that came.
    """

    who: str
    source: Side
    target: Side
    told: int | None
    broken: bool
    done: bool
    dropped: int
    added: int

    @property
    def closed(self) -> bool:
        """The source's close frame has been read."""

    @property
    def close_code(self) -> int | None:
        """What it said, 1005 for nothing."""

    @property
    def messages(self) -> int:
        """How many have passed."""

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Send the target a close frame as soon as one fits; never behind another close frame."""

    def say_last(self, code: int, reason: str) -> None:
        """As `say_goodbye`, but in place of the source's close frame."""

    def speak_up(self) -> bool:
        """Say at once what `say_last` keeps for later; whether there was anything."""

    def send_farewell(self) -> None:
        """A close frame that waits for the end of the frame in progress, if now is the time."""


class WebSocketSession(Splice):
    """A session that knows close frames. Subclasses set ``_inbound`` and ``_outbound`` and read the bytes."""

    _inbound: Way
    _outbound: Way
    _first: Way | None = None
    _taken: tuple[int, float] | None = None  # what a client that is stuck had taken, and when that was new
    websocket = True

    def _bridge(self) -> None:
        """Every byte is looked at here, unless a subclass knows how to do without."""

    def _close_passed(self, way: Way) -> None:
        """A close frame goes through: the answer may follow, on a bridge too, then the connections are closed."""
        self._first = way
        way.done = True
        self._blame(way.who)
        self._await_end()

    def _violated(self, way: Way, back: Way, error: FrameError) -> None:
        """A frame broke RFC 6455 or a limit: nothing from it on is passed on."""
        cause, deed = _FAULTS[error.code]
        who = way.who
        ended = SessionEnded(error.code, f"the {who} {deed}: {error.reason}", f"{who}_{cause}")
        self._blame("gateway", ended.cause, ended)
        self._closing()
        way.broken = way.done = True
        if who == "client":
            back.say_last(error.code, error.reason)
            self._shared.deadlines.set(self, self._shared.seconds() + _ANSWER_SECONDS)
        else:
            back.say_goodbye(error.code, error.reason)
        way.say_goodbye(1011 if who == "backend" and error.code != 1009 else 1001, f"the {who} {deed}")
        self._settle()

    def _drops(self, way: Way) -> None:
        """Some of what the source sent did not go on: there is a limit to that."""
        if way.dropped > _MOST_DROPPED and not way.source.lost:
            way.source.transport.abortConnection()

    def end(self, error: SessionEnded) -> None:
        """The gateway ends it: both sides get a close frame as soon as no frame towards them is in progress."""
        if self._state != OPEN:
            return
        self._blame("gateway", error.cause, error)
        self._begin_closing(error, self._inbound, self._outbound)

    def client_stuck(self) -> None:
        """It has ``limits.sendTimeout`` to take something."""
        if self._taken is None and self._state == OPEN:
            self._taken = self._given(), self._shared.seconds()
            self._look_in_time(self._taken[1])

    def _given(self) -> int:
        """Bytes that the client's kernel has."""
        self.snapshot()
        return self.outcome.sent_bytes

    def _look_in_time(self, since: float) -> None:
        due = since + self._shared.limits.send_timeout
        if due < self.deadline:
            self._shared.deadlines.set(self, due)

    def _takes(self, before: int, since: float, now: float) -> bool:
        """Whether the client takes something of what is sent to it."""
        if not self._client.stuck:
            self._taken = None
            return True
        given = self._given()
        if given != before:
            self._taken = given, now
        return given != before or now < since + self._shared.limits.send_timeout

    def client_eof(self) -> None:
        """After close frames that is the proper end; without them the client has vanished."""
        self._vanished(self._inbound, _CLIENT_GONE)

    def backend_eof(self) -> None:
        """As `client_eof`."""
        self._vanished(self._outbound, _BACKEND_LOST)

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        last = self._upstream.lost
        if self._state == OPEN or not (last or self._state == CLOSED):
            self.client_eof()
        if last:
            self._gone()

    def backend_lost(self, reason: Failure) -> None:
        """The backend's connection is gone."""
        last = self._client.lost
        if self._state == OPEN or not (last or self._state == CLOSED):
            self.backend_eof()
        if last:
            self._gone()

    def _vanished(self, way: Way, error: SessionEnded) -> None:
        way.done = True
        if self._state == OPEN:
            self._blame(way.who, error.cause, error)
            self._begin_closing(error, way)
        else:
            way.send_farewell()
            self._settle()

    def _begin_closing(self, error: SessionEnded, *ways: Way) -> None:
        self._closing()
        for way in ways:
            way.say_goodbye(error.code, error.reason)
        self._settle()

    def _settle(self) -> None:
        """Close both connections when nothing more is expected from either."""
        inbound, outbound = self._inbound, self._outbound
        if inbound.done and outbound.done and inbound.told is not None and outbound.told is not None:
            self._close_both()
            return
        self._unbridge()
        for way, back in ((inbound, outbound), (outbound, inbound)):
            source = way.source
            if source.held and (way.told is not None or way.broken or way.target.lost):
                # Nothing goes on any more: who waited for the other side to take it is read, to hear the answer.
                source.let(source.held)
            if way.done and way.told is None:
                way.speak_up()
                if back.closed:
                    # Whose close frame was passed on, and will not be answered, gets the answer from here.
                    way.say_goodbye(back.close_code or 1005)
        if inbound.done and outbound.done:
            self._close_both()
            return
        for way in (inbound, outbound):
            if way.done and way.told is None and not way.target.lost:
                # The source died or went mad in the middle of a frame: nothing can be sent behind half of one.
                way.target.transport.loseConnection()

    def _close_both(self) -> None:
        if self._state == CLOSING:
            self._state = CLOSED
        for way in (self._inbound, self._outbound):
            source = way.source
            if not source.lost:
                source.transport.quiet = way.closed  # nothing follows a close frame (RFC 6455 §5.5.1)
                source.transport.loseConnection()

    def expired(self, now: float) -> None:
        """As in a tunnel, except that who owes a close frame does not take the other side with it."""
        late = [way for way in (self._inbound, self._outbound) if not way.done]
        if self._state == OPEN and self._taken is not None and not self._takes(*self._taken, now):
            self._blame("gateway", _CLIENT_STUCK.cause, _CLIENT_STUCK)
            self._client.transport.abortConnection()
            return
        if self._state == OPEN or not late:
            super().expired(now)
            if self._state == OPEN and self._taken is not None:
                self._look_in_time(self._taken[1])
            return
        self._shared.deadlines.set(self, now + CLOSING_SECONDS)
        if not self._outbound.speak_up():
            for way in late:
                way.done = True
        self._settle()

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date."""
        inbound, outbound = self._inbound, self._outbound
        self._added_in, self._added_out = inbound.added, outbound.added
        super().snapshot()
        outcome = self.outcome
        outcome.messages_in = inbound.messages
        outcome.messages_out = outbound.messages
        if self._state != OPEN:
            outcome.close_code = self._close_code()

    def _close_code(self) -> int:
        """What the client knows: the code that it has sent, if it was the first, or the one that it got."""
        if self.outcome.closed_by == "client":
            code = self._inbound.close_code if self._first is self._inbound else None
        else:
            code = self._outbound.told
        return _VANISHED if code is None else code
