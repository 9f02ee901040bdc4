"""A WebSocket session at the "watch" depth: bytes pass verbatim, frame headers are read.

So there are counters and limits, and what the gateway ends, it ends with a close frame between two other frames
(RFC 6455 §5.5.1, §7.4)::

    OPEN ── a close frame has passed one way ────────────────────────────────┐
      │──── a side vanished: the other one gets a close frame ───────────────┤
      │──── a side broke the protocol or a limit: both get a close frame ────┤
      └──── the gateway ends the session: both get a close frame ────────────┴─> CLOSING
    CLOSING ── both ways are done: closed, broken or at their end ──> connections closed ──> GONE
      └─────── `CLOSING_SECONDS` are over: who owes a close frame is cut ──> the other one closed ──> GONE

Who has sent a close frame gets one, also if the other side never answers: then the gateway does, with the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from gateway.errors import SessionEnded
from gateway.relay.splice import OPEN, Splice
from gateway.transport.bridge import bridge
from gateway.websocket.frames import FrameError, FrameScanner, close_frame
from gateway.websocket.handshake import reserved_bits

if TYPE_CHECKING:
    from gateway.exchange import Surroundings
    from gateway.relay.flow import FlowProtocol

__all__ = ["Watch"]

_MOST_DROPPED = 4 << 20
"""Bytes that a side may send which nobody gets any more, before it is cut."""

_VANISHED = 1006
"""What is logged where there was no close frame (RFC 6455 §7.1.5)."""

_FAULTS = {1002: ("protocol_error", "broke the protocol"), 1009: ("message_too_big", "sent a message that is too big")}


class _Way:
    """One direction of a session.

    ``told``: the code of the close frame that the target has got, the source's or ours; nothing may follow it.
    ``farewell``: a close frame of ours, and its code, that waits for the end of the frame in progress.  ``broken``:
    what the source sends is not understood any more.  ``ended``: the source sends no more.  ``added``: bytes that went
    on less those that came.  ``dropped``: bytes that came and did not go on.
    """

    __slots__ = (
        "added", "broken", "dropped", "ended", "farewell", "masked", "scanner", "source", "target", "told", "who",
    )  # fmt: skip

    def __init__(
        self, who: str, source: FlowProtocol, target: FlowProtocol, scanner: FrameScanner, masked: bool
    ) -> None:
        self.who = who
        self.source = source
        self.target = target
        self.scanner = scanner
        self.masked = masked
        self.farewell: tuple[int, bytes] | None = None
        self.told: int | None = None
        self.added = self.dropped = 0
        self.broken = self.ended = False

    @property
    def done(self) -> bool:
        """Nothing more is expected from the source."""
        return self.ended or self.broken or self.scanner.closed

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Send a close frame, now or at the end of the frame in progress; never behind another close frame."""
        if self.told is None and self.farewell is None and not self.scanner.closed and not self.target.lost:
            self.farewell = code, close_frame(code, reason, mask=self.masked)
            self.send_farewell()

    def send_farewell(self) -> None:
        """The close frame that waits, if now is the time."""
        if self.farewell is None:
            return
        code, data = self.farewell
        if self.scanner.at_boundary and not self.scanner.closed:
            self.farewell = None
            self.told = code
            self.added += len(data)
            self.target.transport.write(data)
        elif self.done:
            # The frame in progress will never be complete, or it was a close frame: nothing can follow it.
            self.farewell = None

    def pass_on(self, data: bytes) -> None:
        """Bytes of the source that have been read, up to the end of a close frame; what follows that is dropped."""
        scanner = self.scanner
        if self.told is not None or self.target.lost:
            self.drop(len(data))
            return
        if scanner.closed:
            self.told = scanner.close_code
            if scanner.after:
                data = data[: -scanner.after]
                self.drop(scanner.after)
        self.target.transport.write(data)

    def feed(self, data: bytes) -> None:
        """Read bytes of the source while the session closes, and pass them on as long as somebody wants them."""
        while data and not self.broken:
            size = self.scanner.cut(data) if self.farewell else len(data)
            piece, data = data[:size], data[size:]
            self.read(piece)
            self.send_farewell()
        self.drop(len(data))

    def read(self, data: bytes) -> None:
        """Read some bytes and pass on what is right of them."""
        try:
            self.scanner.feed(data)
        except FrameError as error:
            self.broken = True
            self.drop(len(data) - error.offset)
            data = data[: error.offset]
        if data:
            self.pass_on(data)

    def drop(self, count: int) -> None:
        """Note that so many bytes do not go on."""
        self.added -= count
        self.dropped += count


class Watch(Splice):
    """A WebSocket session whose frame headers are read."""

    def __init__(self, shared: Surroundings, *others: Any) -> None:
        super().__init__(shared, *others)
        answer = others[-1]
        limit = shared.limits.max_message_bytes
        reserved = reserved_bits(answer)
        self.outcome.websocket = True
        self._inbound = _Way("client", self._client, self._upstream, FrameScanner(True, limit, reserved), True)
        self._outbound = _Way("backend", self._upstream, self._client, FrameScanner(False, limit, reserved), False)
        self._first: _Way | None = None
        self._scan_in = self._inbound.scanner.feed
        self._scan_out = self._outbound.scanner.feed

    def _bridge(self) -> None:
        client, upstream = self._client.transport, self._upstream.transport
        self._inward = bridge(client, upstream, self._inbound.scanner, self._client_reported)
        self._outward = bridge(upstream, client, self._outbound.scanner, self._backend_reported)

    def _client_reported(self, data: bytes, error: FrameError | None) -> None:
        """The bridge from the client has ended: as in `from_client`."""
        if error is not None:
            self._violated(self._inbound, self._outbound, data, error)
        else:
            self._close_passed(self._inbound, data)

    def _backend_reported(self, data: bytes, error: FrameError | None) -> None:
        """The bridge from the backend has ended: as in `from_backend`."""
        if error is not None:
            self._violated(self._outbound, self._inbound, data, error)
        else:
            self._close_passed(self._outbound, data)

    # -- bytes

    def from_client(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on. HOT"""
        self._received += len(data)
        if self._state != OPEN:
            self._pass_while_closing(self._inbound, data)
            return
        try:
            self._scan_in(data)
        except FrameError as error:
            self._violated(self._inbound, self._outbound, data, error)
            return
        self._last = self._seconds()
        if self._inbound.scanner.closed:
            self._close_passed(self._inbound, data)
        else:
            self._upstream_write(data)

    def from_backend(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on. HOT"""
        self._sent += len(data)
        if self._state != OPEN:
            self._pass_while_closing(self._outbound, data)
            return
        try:
            self._scan_out(data)
        except FrameError as error:
            self._violated(self._outbound, self._inbound, data, error)
            return
        self._last = self._seconds()
        if self._outbound.scanner.closed:
            self._close_passed(self._outbound, data)
        else:
            self._client_write(data)

    def _pass_while_closing(self, way: _Way, data: bytes) -> None:
        way.feed(data)
        if way.dropped > _MOST_DROPPED and not way.source.lost:
            way.source.transport.abortConnection()
        self._settle()

    # -- how it ends

    def _close_passed(self, way: _Way, data: bytes) -> None:
        """A close frame goes through: the answer may follow, then the connections are closed."""
        self._first = way
        self._blame(way.who)
        way.pass_on(data)
        self._closing()

    def _violated(self, way: _Way, back: _Way, data: bytes, error: FrameError) -> None:
        """A frame that breaks RFC 6455 or a limit: what came before it is passed on, nothing after it."""
        cause, deed = _FAULTS[error.code]
        who = way.who
        ended = SessionEnded(error.code, f"the {who} {deed}: {error.reason}", f"{who}_{cause}")
        self._blame("gateway", ended.cause, ended)
        self._closing()
        way.broken = True
        way.drop(len(data) - error.offset)
        if error.offset:
            way.pass_on(data[: error.offset])
        back.say_goodbye(error.code, error.reason)
        way.say_goodbye(1011 if who == "backend" and error.code == 1002 else 1001, f"the {who} {deed}")
        for leg in (way.source, way.target):
            leg.let(leg.held)
        self._settle()

    def end(self, error: SessionEnded) -> None:
        """The gateway ends it: both sides get a close frame as soon as no frame towards them is in progress."""
        if self._state != OPEN:
            return
        self._blame("gateway", error.cause, error)
        self._begin_closing(error, self._inbound, self._outbound)

    def client_eof(self) -> None:
        """After close frames that is the proper end; without them the client has vanished."""
        self._vanished(self._inbound, SessionEnded(1001, "client gone", "client_gone"))

    def backend_eof(self) -> None:
        """As `client_eof`."""
        self._vanished(self._outbound, SessionEnded(1011, "backend lost", "backend_lost"))

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self.client_eof()
        self._one_lost()

    def backend_lost(self, reason: Failure) -> None:
        """The backend's connection is gone."""
        self.backend_eof()
        self._one_lost()

    def _vanished(self, way: _Way, error: SessionEnded) -> None:
        way.ended = True
        if self._state == OPEN:
            self._blame(way.who, error.cause, error)
            self._begin_closing(error, way)
        else:
            way.send_farewell()
            self._settle()

    def _begin_closing(self, error: SessionEnded, *ways: _Way) -> None:
        self._closing()
        for way in ways:
            way.say_goodbye(error.code, error.reason)
        for leg in (self._client, self._upstream):
            leg.let(leg.held)
        self._settle()

    def _settle(self) -> None:
        """Close both connections when nothing more is expected from either."""
        inbound, outbound = self._inbound, self._outbound
        for way, back in ((inbound, outbound), (outbound, inbound)):
            if way.done and back.scanner.closed:
                # Whose close frame was passed on, and will not be answered, gets the answer from here.
                way.say_goodbye(back.scanner.close_code or 1005)
        if inbound.done and outbound.done:
            self._close_both()
            return
        for way in (inbound, outbound):
            if way.done and way.told is None and not way.target.lost:
                # The source died or went mad in the middle of a frame: nothing can be sent behind half of one.
                way.target.transport.loseConnection()

    def expired(self, now: float) -> None:
        """As in a tunnel, except that who owes a close frame does not take the other side with it."""
        late = [way for way in (self._inbound, self._outbound) if not way.done]
        if self._state == OPEN or not late:
            super().expired(now)
            return
        self._wait()
        for way in late:
            way.ended = True
            if not way.source.lost:
                way.source.transport.abortConnection()
        self._settle()

    def _one_lost(self) -> None:
        if self._client.lost and self._upstream.lost:
            self._gone()

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date."""
        inbound, outbound, outcome = self._inbound, self._outbound, self.outcome
        self._added_in, self._added_out = inbound.added, outbound.added
        super().snapshot()
        outcome.messages_in = inbound.scanner.messages
        outcome.messages_out = outbound.scanner.messages
        if self._state != OPEN:
            outcome.close_code = self._close_code()

    def _close_code(self) -> int:
        """What the client knows: the code that it has sent, if it was the first, or the one that it got."""
        if self.outcome.closed_by == "client":
            code = self._inbound.scanner.close_code if self._first is self._inbound else None
        else:
            code = self._outbound.told
        return _VANISHED if code is None else code
