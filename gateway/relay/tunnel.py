"""What happens after a 101: two connections joined.

`Splice` moves opaque bytes.  `Watch` is for WebSocket: bytes still pass verbatim, but frame headers are read, so that there are
counters, limits, and closes with a code between two frames (RFC 6455 §5.5.1, §7.4).

How a session ends::

    OPEN ── both close frames have passed, or an end of a connection after them ──> closed properly
      │──── a side vanishes ──> the other side gets a close frame ──┐
      └──── the gateway ends it (`end`): both get a close frame ────┴─> CLOSING, a few seconds ──> GONE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from gateway.errors import SessionEnded
from gateway.relay.flow import BUSY, CONNECTING, FlowProtocol
from gateway.values import Outcome
from gateway.websocket.frames import FrameError, FrameScanner, close_frame

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.exchange import Surroundings
    from gateway.interfaces import ILease
    from gateway.listener.http1 import ClientConnection
    from gateway.upstream.http1 import UpstreamConnection

__all__ = ["CLOSING_SECONDS", "Splice", "Watch"]

CLOSING_SECONDS = 5.0
"""How long a peer may take to answer a close frame, and to take what is queued for it."""

OPEN, CLOSING, GONE = range(3)


class Splice:
    """Opaque bytes, both ways, with backpressure, half-close and an idle limit."""

    def __init__(
        self,
        shared: Surroundings,
        client: ClientConnection,
        upstream: UpstreamConnection,
        outcome: Outcome,
        lease: ILease | None,
        settings: BackendSettings,
    ) -> None:
        self.outcome = outcome
        self._shared = shared
        self._client = client
        self._upstream = upstream
        self._lease = lease
        self._seconds = shared.seconds
        self._idle = float(settings.web_socket_idle_timeout or settings.request_timeout)
        self._last = shared.seconds()
        self._state = OPEN
        self._received = self._sent = 0
        self._client_write = client.transport.write
        self._upstream_write = upstream.transport.write
        self._client_ended = self._backend_ended = False

    def open(self, early: bytes) -> None:
        """Take both connections over; ``early`` came from the backend right behind its 101."""
        client, upstream = self._client, self._upstream
        self._received, self._sent = client.counted()
        ahead = client.enter(self)
        upstream.enter(self)
        client.fed_by(upstream)
        upstream.fed_by(client)
        self._shared.sessions.add(self)
        self._shared.opened(self.outcome)
        self._shared.deadlines.set(client, self._last + self._idle)
        if early:
            self.from_backend(early)
        if ahead and self._state == OPEN:
            self.from_client(ahead)
        if client.held:
            client.let(BUSY | CONNECTING)

    # -- bytes

    def from_client(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self._last = self._seconds()
        self._received += len(data)
        self._upstream_write(data)

    def from_backend(self, data: bytes) -> None:
        """Pass on what the backend sent."""
        self._last = self._seconds()
        self._sent += len(data)
        self._client_write(data)

    # -- the end

    def expired(self, now: float) -> None:
        """No byte for the idle limit, or the time to close is over."""
        if self._state == OPEN:
            due = self._last + self._idle
            if due > now:
                self._shared.deadlines.set(self._client, due)
            else:
                self.end(SessionEnded(1001, f"idle for {self._idle:g} s", "idle_timeout"))
        else:
            self._cut()

    def end(self, error: SessionEnded) -> None:
        """The gateway ends it."""
        if self._state == OPEN:
            self._blame("gateway", error.cause, error)
            self._cut()

    def client_eof(self) -> None:
        """Half of the tunnel is closed: pass that on."""
        self._client_ended = True
        self._blame("client")
        self._half_closed(self._upstream)

    def backend_eof(self) -> None:
        """The other half."""
        self._backend_ended = True
        self._blame("backend")
        self._half_closed(self._client)

    def _half_closed(self, leg: FlowProtocol) -> None:
        if self._client_ended and self._backend_ended:
            self._close_both()
        elif not leg.lost:
            leg.transport.loseWriteConnection()

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._blame("client", "ok" if reason.check(ConnectionDone) else "client_reset")
        self._client_ended = True
        self._lost(self._upstream, reason)

    def backend_lost(self, reason: Failure) -> None:
        """The backend's connection is gone."""
        self._blame("backend", "ok" if reason.check(ConnectionDone) else "backend_reset")
        self._backend_ended = True
        self._lost(self._client, reason)

    def _lost(self, other: FlowProtocol, reason: Failure) -> None:
        if other.lost:
            self._gone()
        elif reason.check(ConnectionDone):
            self._closing()
            other.transport.loseConnection()
        else:
            other.transport.abortConnection()

    def _blame(self, who: str, cause: str = "ok", error: SessionEnded | None = None) -> None:
        """Note who ended the session; the first to do so did."""
        outcome = self.outcome
        if not outcome.closed_by:
            outcome.closed_by = who
            outcome.cause = cause
            outcome.error = error

    def _closing(self) -> None:
        if self._state == OPEN:
            self._state = CLOSING
            self._shared.deadlines.set(self._client, self._seconds() + CLOSING_SECONDS)

    def _close_both(self) -> None:
        self._closing()
        for leg in (self._client, self._upstream):
            if not leg.lost:
                leg.transport.loseConnection()

    def _cut(self) -> None:
        """Let go of both connections whatever they still have to say."""
        self._state = CLOSING
        for leg in (self._client, self._upstream):
            if not leg.lost:
                leg.transport.abortConnection()

    def _gone(self) -> None:
        """Both connections are gone: give back, record."""
        if self._state == GONE:
            return
        self._state = GONE
        self.snapshot()
        outcome, shared, lease = self.outcome, self._shared, self._lease
        outcome.ended = shared.seconds()
        self._lease = None
        if lease is not None:
            lease.release(outcome)
        shared.sessions.remove(self)
        shared.ended(outcome)

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date."""
        outcome = self.outcome
        outcome.received_bytes, outcome.sent_bytes = self._received, self._sent


class Watch(Splice):
    """A WebSocket session whose frame headers are read."""

    def __init__(self, shared: Surroundings, *others: Any) -> None:
        super().__init__(shared, *others)
        limit = shared.limits.max_message_bytes
        self.outcome.websocket = True
        self._inbound = FrameScanner(True, limit)
        self._outbound = FrameScanner(False, limit)
        self._scan_in = self._inbound.feed
        self._scan_out = self._outbound.feed
        self._ending: SessionEnded | None = None
        self._told_client = self._told_backend = False

    # -- bytes

    def from_client(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on."""
        if self._state != OPEN:
            self._from_client_closing(data)
            return
        self._received += len(data)
        try:
            self._scan_in(data)
        except FrameError as error:
            self._violated("client", error)
            return
        self._last = self._seconds()
        self._upstream_write(data)
        if self._inbound.closed:
            self._close_passed("client", self._inbound)

    def from_backend(self, data: bytes) -> None:
        """Read the frame headers, then pass the bytes on."""
        if self._state != OPEN:
            self._from_backend_closing(data)
            return
        self._sent += len(data)
        try:
            self._scan_out(data)
        except FrameError as error:
            self._violated("backend", error)
            return
        self._last = self._seconds()
        self._client_write(data)
        if self._outbound.closed:
            self._close_passed("backend", self._outbound)

    def _close_passed(self, who: str, scanner: FrameScanner) -> None:
        """A close frame went through: the answer may follow, then the connections end."""
        if not self.outcome.closed_by:
            self.outcome.close_code = scanner.close_code
        self._blame(who)
        self._closing()

    def _from_client_closing(self, data: bytes) -> None:
        self._received += len(data)
        if self._inbound.closed or self._upstream.lost:
            return
        self._pass_while_closing(data, self._inbound, self._upstream, self._told_backend)

    def _from_backend_closing(self, data: bytes) -> None:
        self._sent += len(data)
        if self._outbound.closed or self._client.lost:
            return
        self._pass_while_closing(data, self._outbound, self._client, self._told_client)

    def _pass_while_closing(self, data: bytes, scanner: FrameScanner, towards: FlowProtocol, told: bool) -> None:
        """While a session closes, bytes go on towards a side that got no close frame of ours; towards one that is to get
        it, only what completes the frame in progress."""
        if not told and self._ending is not None:
            rest = scanner.cut(data)
            self._scan_quietly(scanner, data[:rest])
            towards.transport.write(data[:rest])
            data = data[rest:]
            self._tell(scanner, towards)
            told = scanner.at_boundary
        if not data:
            return
        if not self._scan_quietly(scanner, data):
            self._cut()
        elif not told:
            towards.transport.write(data)
        if self._inbound.closed and self._outbound.closed or (self._ending is not None and scanner.closed):
            self._answered()

    def _scan_quietly(self, scanner: FrameScanner, data: bytes) -> bool:
        try:
            scanner.feed(data)
        except FrameError:
            return False
        return True

    def _answered(self) -> None:
        """The close handshake is done. The server closes first (RFC 6455 §7.1.1): so does the gateway towards the
        client when the session ends by its own will; else it follows the backend."""
        if self._ending is not None:
            self._close_both()

    # -- the end

    def end(self, error: SessionEnded) -> None:
        """Both sides get a close frame with the error's code as soon as no frame is in progress towards them."""
        if self._state != OPEN:
            return
        self._blame("gateway", error.cause, error)
        self.outcome.close_code = error.code
        self._begin_closing(error)

    def _begin_closing(self, error: SessionEnded) -> None:
        self._ending = error
        self._closing()
        self._tell(self._outbound, self._client)
        self._tell(self._inbound, self._upstream)
        for leg in (self._client, self._upstream):
            leg.let(leg.held)
        if self._client.lost or self._upstream.lost:
            self._close_both()

    def _tell(self, scanner: FrameScanner, towards: FlowProtocol) -> None:
        """Send our close frame if none has passed this way and no frame is cut in two by it."""
        error = self._ending
        assert error is not None
        if towards.lost or scanner.closed or not scanner.at_boundary:
            return
        if towards is self._client:
            if not self._told_client:
                self._told_client = True
                self._client_write(close_frame(error.code, error.reason))
        elif not self._told_backend:
            self._told_backend = True
            self._upstream_write(close_frame(error.code, error.reason, mask=True))

    def _violated(self, who: str, error: FrameError) -> None:
        """A frame that breaks RFC 6455 or a limit: nothing more of that side is passed on."""
        self._blame(who, "message_too_big" if error.code == 1009 else "protocol_error")
        self.outcome.close_code = error.code
        if who == "client":
            mine, other = self._client, self._upstream
            self._outbound_or_abort(mine, error.code, error.reason)
            self._inbound_or_abort(other, 1001, "the client broke the protocol")
        else:
            mine2, other2 = self._upstream, self._client
            self._inbound_or_abort(mine2, error.code, error.reason)
            self._outbound_or_abort(other2, 1011, "the backend broke the protocol")
        self._closing()
        self._ending = SessionEnded(error.code, error.reason, self.outcome.cause)
        self._close_both()

    def _outbound_or_abort(self, client: FlowProtocol, code: int, reason: str) -> None:
        if not client.lost and not self._outbound.closed and self._outbound.at_boundary:
            self._told_client = True
            self._client_write(close_frame(code, reason))

    def _inbound_or_abort(self, upstream: FlowProtocol, code: int, reason: str) -> None:
        if not upstream.lost and not self._inbound.closed and self._inbound.at_boundary:
            self._told_backend = True
            self._upstream_write(close_frame(code, reason, mask=True))

    def client_eof(self) -> None:
        """After the close frames that is the proper end; without them the client has vanished."""
        self._client_ended = True
        self._side_ended("client", self._inbound, SessionEnded(1001, "client gone", "client_gone"))

    def backend_eof(self) -> None:
        """As `client_eof`, for the backend."""
        self._backend_ended = True
        self._side_ended("backend", self._outbound, SessionEnded(1011, "backend lost", "backend_lost"))

    def client_lost(self, reason: Failure) -> None:
        self._client_ended = True
        self._side_ended("client", self._inbound, SessionEnded(1001, "client gone", "client_gone"))
        if self._upstream.lost:
            self._gone()

    def backend_lost(self, reason: Failure) -> None:
        self._backend_ended = True
        self._side_ended("backend", self._outbound, SessionEnded(1011, "backend lost", "backend_lost"))
        if self._client.lost:
            self._gone()

    def _side_ended(self, who: str, scanner: FrameScanner, error: SessionEnded) -> None:
        """A connection ended, wholly or for reading."""
        if self._state == OPEN:
            self._blame(who, error.cause, error)
            self.outcome.close_code = 1006
            self._begin_closing(error)
            other, leg = (self._upstream, self._client) if who == "client" else (self._client, self._upstream)
            if not leg.lost and who == "backend":
                leg.transport.loseConnection()
            if other.lost or who == "backend" and not self._told_client:
                self._close_both()
        elif self._client_ended and self._backend_ended or who == "backend" or self._client.lost:
            self._close_both()

    def snapshot(self) -> None:
        outcome, inbound, outbound = self.outcome, self._inbound, self._outbound
        outcome.received_bytes, outcome.sent_bytes = self._received, self._sent
        outcome.messages_in, outcome.messages_out = inbound.messages, outbound.messages
