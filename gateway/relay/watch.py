"""A WebSocket session at the "watch" depth: bytes pass verbatim, frame headers are read.

So there are counters and limits, and what the gateway ends, it ends with a close frame between two other frames
(RFC 6455 §5.5.1, §7.4)::

    OPEN ── a close frame has passed one way ────────────────────────────────┐
      │──── a side vanished: the other one gets a close frame ───────────────┤
      │──── a side broke the protocol or a limit: both get a close frame ────┤
      └──── the gateway ends the session: both get a close frame ────────────┴─> CLOSING
    CLOSING ── both ways are done: closed, broken or at their end ──> connections closed ──> GONE
      └─────── `CLOSING_SECONDS` are over ──> connections cut ──────────────────────────────> GONE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from gateway.errors import SessionEnded
from gateway.relay.splice import OPEN, Splice
from gateway.websocket.frames import FrameError, FrameScanner, close_frame

if TYPE_CHECKING:
    from gateway.exchange import Surroundings
    from gateway.relay.flow import FlowProtocol

__all__ = ["Watch"]


class _Way:
    """One direction of a session.

    ``farewell``: a close frame that waits for the end of the frame in progress.  ``silenced``: our close frame has been
    sent, nothing may follow it.  ``broken``: what the source sends is not understood any more.  ``ended``: the source
    sends no more.
    """

    __slots__ = ("broken", "ended", "farewell", "masked", "scanner", "silenced", "source", "target", "who")

    def __init__(
        self, who: str, source: FlowProtocol, target: FlowProtocol, scanner: FrameScanner, masked: bool
    ) -> None:
        self.who = who
        self.source = source
        self.target = target
        self.scanner = scanner
        self.masked = masked
        self.farewell = b""
        self.silenced = self.broken = self.ended = False

    @property
    def done(self) -> bool:
        """Nothing more is expected from the source."""
        return self.ended or self.broken or self.scanner.closed

    def say_goodbye(self, code: int, reason: str) -> None:
        """Send a close frame, now or at the end of the frame in progress; never behind another close frame."""
        if self.silenced or self.farewell or self.scanner.closed or self.target.lost:
            return
        self.farewell = close_frame(code, reason, mask=self.masked)
        self._send_farewell()

    def _send_farewell(self) -> None:
        if self.scanner.at_boundary and not self.scanner.closed:
            farewell, self.farewell = self.farewell, b""
            self.silenced = True
            self.target.transport.write(farewell)
        elif self.done:
            # The frame in progress will never be complete, or it was a close frame: nothing can follow it.
            self.farewell = b""

    def pass_on(self, data: bytes) -> None:
        """Bytes of the source while the session closes."""
        if self.broken:
            return
        try:
            if self.farewell:
                rest = self.scanner.cut(data)
                self.scanner.feed(data[:rest])
                self.target.transport.write(data[:rest])
                data = data[rest:]
                self._send_farewell()
            if data:
                self.scanner.feed(data)
                if not self.silenced:
                    self.target.transport.write(data)
        except FrameError:
            self.broken = True


class Watch(Splice):
    """A WebSocket session whose frame headers are read."""

    def __init__(self, shared: Surroundings, *others: Any) -> None:
        super().__init__(shared, *others)
        limit = shared.limits.max_message_bytes
        self.outcome.websocket = True
        self._inbound = _Way("client", self._client, self._upstream, FrameScanner(True, limit), True)
        self._outbound = _Way("backend", self._upstream, self._client, FrameScanner(False, limit), False)
        self._scan_in = self._inbound.scanner.feed
        self._scan_out = self._outbound.scanner.feed

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
        self._upstream_write(data)
        if self._inbound.scanner.closed:
            self._close_passed(self._inbound)

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
        self._client_write(data)
        if self._outbound.scanner.closed:
            self._close_passed(self._outbound)

    def _pass_while_closing(self, way: _Way, data: bytes) -> None:
        way.pass_on(data)
        self._settle()

    # -- how it ends

    def _close_passed(self, way: _Way) -> None:
        """A close frame went through: the answer may follow, then the connections are closed."""
        self.outcome.close_code = way.scanner.close_code
        self._blame(way.who)
        self._closing()

    def _violated(self, way: _Way, back: _Way, data: bytes, error: FrameError) -> None:
        """A frame that breaks RFC 6455 or a limit: what came before it is passed on, nothing after it."""
        cause = "message_too_big" if error.code == 1009 else "protocol_error"
        self._blame(way.who, cause, SessionEnded(error.code, error.reason, cause))
        self.outcome.close_code = error.code
        self._closing()
        if error.offset:
            way.target.transport.write(data[: error.offset])
        way.broken = True
        back.say_goodbye(error.code, error.reason)
        way.say_goodbye(1001 if way.who == "client" else 1011, f"the {way.who} broke the protocol")
        for leg in (way.source, way.target):
            leg.let(leg.held)
        self._settle()

    def end(self, error: SessionEnded) -> None:
        """The gateway ends it: both sides get a close frame as soon as no frame towards them is in progress."""
        if self._state != OPEN:
            return
        self._blame("gateway", error.cause, error)
        self.outcome.close_code = error.code
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
            self.outcome.close_code = 1006
            self._begin_closing(error, way)
        elif way.farewell:
            way._send_farewell()
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
        if self._inbound.done and self._outbound.done:
            self._close_both()
            return
        for way in (self._inbound, self._outbound):
            if way.done and not way.silenced and not way.scanner.closed and not way.target.lost:
                # The source died or went mad in the middle of a frame: nothing can be sent behind half of one.
                way.target.transport.loseConnection()

    def _one_lost(self) -> None:
        if self._client.lost and self._upstream.lost:
            self._gone()

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date."""
        super().snapshot()
        self.outcome.messages_in = self._inbound.scanner.messages
        self.outcome.messages_out = self._outbound.scanner.messages
