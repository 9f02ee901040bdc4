"""A WebSocket session at the "message" depth: whole messages pass through filters, with Autobahn on both legs.

A message is held until it is complete, and then goes on in the frames it came in, unless a filter changes it.  Pings
and pongs pass at once.  While a filter waits, what its side sends is not read.  Otherwise the session is as in
`gateway.relay.watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import PluginOff, SessionEnded
from gateway.foreseen import foreseen
from gateway.messages.filtering import Chain, Conversation, Opened, ended_by
from gateway.relay.flow import FILTERING, RESTING
from gateway.relay.session import WebSocketSession
from gateway.relay.splice import GONE, OPEN
from gateway.websocket.frames import FrameError, close_payload
from gateway.websocket.legs import BackendLeg, ClientLeg, Leg

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.messages.filtering import NamedFilter
    from gateway.relay.sides import Side
    from gateway.websocket.deflate import Deflate

__all__ = ["Messages"]

class _Way:
    """One direction of a session, see `gateway.relay.session.Way`; what its leg reads and its filters decide.

    ``leg`` is Autobahn towards the source, ``out`` towards the target.  ``took`` gets messages: the filters, until what
    the source says does not matter any more.  ``vanished``: the source has ended, but not all that it sent was read.
    """

    __slots__ = (
        "added", "broken", "chain", "done", "dropped", "last_word", "leg", "messages", "out", "session", "source",
        "target", "told", "took", "vanished", "who",
    )  # fmt: skip
    leg: Leg
    out: Leg
    chain: Chain

    def __init__(self, session: Messages, who: str, source: Side, target: Side) -> None:
        self.session = session
        self.who = who
        self.source = source
        self.target = target
        self.broken = self.done = False
        self.told: int | None = None
        self.last_word: tuple[int, str] | None = None
        self.added = self.dropped = 0
        self.took: Callable[[str | bytes, bytes, Sequence[int]], None] = _unheard
        self.messages = 0
        self.vanished: SessionEnded | None = None

    @property
    def closed(self) -> bool:
        return self.leg.closed

    @property
    def close_code(self) -> int | None:
        return self.leg.close_code

    # -- what the source's leg has read: `gateway.websocket.legs.Reader`

    def took_control(self, raw: bytes) -> None:
        """A ping or a pong."""
        if self.told is None and not self.target.lost:
            self.out.put(raw)

    def took_close(self, payload: bytes) -> None:
        """A close frame: the first one, or the answer to one."""
        self.done = True
        if self.session._state == OPEN:
            self.session._close_passed(self)
        if self.told is None and not self.target.lost:
            if not self.speak_up():
                self.told = self.leg.close_code
                self.out.send_close(payload)

    # -- what the filters decide: `gateway.messages.filtering.Way`

    def deliver(self, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """A message has come through all filters. HOT"""
        if self.told is not None or self.target.lost:
            return
        out = self.out
        self.messages += 1
        if raw and out.deflate is None:
            out.written += len(raw)
            out.write(raw)
        else:
            out.send(payload, ends)

    def answer(self, payload: str | bytes) -> None:
        """Send something back to the source."""
        if not self.leg.shut:
            self.source.answered = True
            self.leg.send(payload)

    def wait(self) -> None:
        """A filter takes its time."""
        self.source.hold(FILTERING)

    def decided(self) -> None:
        """A filter that was waited for has decided: from here on the session may be idle."""
        if self.chain.waiting is None:
            self.session._last = self.session._shared.seconds()
            self.source.let(FILTERING)

    # -- the end

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Send a close frame: there is never half a frame in front of it."""
        if self.told is None and not self.target.lost:
            self.told = code
            self.out.send_close(close_payload(code, reason))

    def say_last(self, code: int, reason: str) -> None:
        """Send a close frame in place of the source's."""
        self.last_word = code, reason

    def speak_up(self) -> bool:
        """Do not wait for the source any longer; whether that had been so."""
        last, self.last_word = self.last_word, None
        if last is None or self.told is not None or self.target.lost:
            return False
        self.say_goodbye(*last)
        return True

    def send_farewell(self) -> None:
        """None waits."""

    def forget(self) -> None:
        """The session is gone, and nothing is read any more."""
        self.chain.forget()
        del self.session, self.leg.reader


@foreseen("websocket", "_client_ended", "_backend_ended", "_ends_with", "_left", "_inward", "_outward")
class Messages(WebSocketSession):
    """A session whose messages are looked at.

    ``filters`` are those of its route, ``max_message`` bounds what is held of one message, ``deflate`` are the
    compressions of the client's and the backend's leg.
    """

    _inbound: _Way
    _outbound: _Way
    _counted: tuple[int, int] | None = None  # until both sides are there, which the filters are opened before
    _error: SessionEnded | None = None

    def __init__(
        self,
        shared: Surroundings,
        *others: Any,
        filters: Sequence[NamedFilter],
        max_message: int,
        deflate: tuple[Deflate | None, Deflate | None] = (None, None),
    ) -> None:
        super().__init__(shared, *others)
        self._filters = filters
        self._max_message = max_message
        self._deflate = deflate
        self._opened: list[Opened] = []

    def open(self, early: bytes) -> None:
        """Open the filters, then as in `Splice`."""
        self._open_filters()
        super().open(early)
        if self._error is not None:
            self.end(self._error)

    def _entered(self) -> None:
        self._counted = self._received, self._sent
        client, backend, most, deflate = self._client, self._upstream, self._max_message, self._deflate
        self._inbound = inbound = _Way(self, "client", client, backend)
        self._outbound = outbound = _Way(self, "backend", backend, client)
        self._front = inbound.leg = outbound.out = ClientLeg(inbound, client.transport.write, most, deflate[0])
        self._back = outbound.leg = inbound.out = BackendLeg(outbound, backend.transport.write, most, deflate[1])
        filters = self._opened
        inbound.chain = Chain(filters, True, inbound, self.end)
        outbound.chain = Chain(filters[::-1], False, outbound, self.end)
        if self._error is None:
            inbound.took, outbound.took = inbound.chain.ask, outbound.chain.ask
        client.rest = partial(self._read, inbound)
        backend.rest = partial(self._read, outbound)

    def _open_filters(self) -> None:
        """Open them until one fails, or ends the session."""
        conversation = Conversation(self)
        for named in self._filters:
            try:
                self._opened.append(named.open(conversation))
            except PluginOff as off:
                self.end(ended_by(off))
            except Exception as error:
                self.end(ended_by(named.contain.failed(error)))
            if self._error is not None:
                return

    # -- bytes

    def from_client(self, data: bytes) -> None:
        """Read the client's frames. HOT"""
        self._received += len(data)
        self._last = self._shared.seconds()
        self._read(self._inbound, data)

    def from_backend(self, data: bytes) -> None:
        """Read the backend's frames. HOT"""
        self._sent += len(data)
        self._last = self._shared.seconds()
        self._read(self._outbound, data)

    def _read(self, way: _Way, data: bytes = b"") -> None:
        """Read ``data``, or what there was no time for before. HOT"""
        if way.broken or way.took is _unheard:
            way.dropped += len(data)
            self._drops(way)
            if way.broken:
                return
        leg = way.leg
        try:
            leg.read(data)
        except FrameError as error:
            self._failed(way, error)
            return
        if leg.more:
            way.source.hold(RESTING)
            self._shared.soon(partial(way.source.let, RESTING))
        elif way.vanished is not None and not way.source.held:
            gone, way.vanished = way.vanished, None
            self._vanished(way, gone)
        elif self._state != OPEN:
            self._settle()

    def _failed(self, way: _Way, error: FrameError) -> None:
        if self._state == OPEN:
            back = self._outbound if way is self._inbound else self._inbound
            if way is self._inbound:
                self._stop_listening(way)  # the answers to what came before are still passed on
            else:
                self._stop_listening(way, back)
            self._violated(way, back, error)
        else:
            way.broken = way.done = True
            self._settle()

    # -- how it ends

    def end(self, error: SessionEnded) -> None:
        """As in `WebSocketSession`; a filter may also ask for it while it is opened, and `open` does it then."""
        if self._counted is not None:
            super().end(error)
        elif self._error is None:
            self._error = error

    def expired(self, now: float) -> None:
        """As in `Splice`; who waits for a filter of the gateway's own, which `rate-limit` makes one do, is not idle."""
        if any([way.chain.waiting is not None and way.chain.patient for way in (self._inbound, self._outbound)]):
            self._last = now
        super().expired(now)

    def _vanished(self, way: _Way, error: SessionEnded) -> None:  # type: ignore[override]
        if way.source.held and not way.source.lost:
            way.vanished = error  # what it has sent before its end is read first
        else:
            super()._vanished(way, error)

    def _begin_closing(self, error: SessionEnded, *ways: Any) -> None:
        self._stop_listening(self._inbound, self._outbound)
        super()._begin_closing(error, *ways)

    def _stop_listening(self, *ways: _Way) -> None:
        """The session ends without the two sides having agreed: messages do not matter any more."""
        for way in ways:
            way.took = _unheard
            way.chain.cancel()

    def _gone(self) -> None:
        if self._state == GONE:
            return
        self._stop_listening(self._inbound, self._outbound)
        self._client.rest = self._upstream.rest = None
        super()._gone()
        for way in (self._inbound, self._outbound):
            way.forget()  # else all these would keep each other until the garbage collector comes

    def _settle_accounts(self) -> None:
        super()._settle_accounts()
        opened, self._opened = self._opened, []
        for each in opened:
            try:
                each.closed(self.outcome)
            except Exception as error:
                each.contain.failed(error)

    def snapshot(self) -> None:
        """Bring the outcome's counters up to date; there is only the handshake while the filters are opened."""
        if self._counted is None:
            outcome = self.outcome
            outcome.received_bytes, outcome.sent_bytes = self._client.counted()
            return
        received, sent = self._counted
        self._inbound.added = self._back.written - (self._received - received)
        self._outbound.added = self._front.written - (self._sent - sent)
        super().snapshot()


def _unheard(payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
    """A message that nobody looks at, and that goes nowhere."""
