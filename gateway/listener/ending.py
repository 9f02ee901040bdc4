"""A client's connection, ending: after a response, by the clock, with the gateway, or because the client left."""

from __future__ import annotations

from gateway.errors import RequestTimeout, SessionEnded, ShuttingDown
from gateway.listener.parts import Part

__all__ = ["Ending"]

_AT_ONCE = 4 * 1024
"""Bytes of a response that are as good as delivered when they are sent: they fit the first window of any client.

What does not is still here when a client that breaks its word causes a reset, which destroys it."""

_LAST_WORDS = 0.5
"""Seconds in which who is connected may still ask when the gateway stops: the request may be on its way."""

_LINGER_SECONDS = 5.0
_MOST_LINGER_SECONDS = 30.0


class Ending(Part):
    """All ways to the end. Who waits for a response gets one first, as long as there is somebody to read it.

    Each way comes to ``connectionLost``, which gives back what there is.
    """

    goodbye: SessionEnded | None = None
    _linger_until = 0.0

    def shut(self, unread: bool = False, last: bool = False) -> None:
        """Close after the last response. With bytes of the client still to come, only our half at first: a reset
        caused by them could overtake the response (RFC 9112 §9.6). ``last``: it has said that there are none."""
        self._closing = True
        self._ahead = b""
        shared, transport = self._shared, self.transport
        if not unread or self.at_eof:
            # A client with TLS says goodbye all the same, and one that breaks its word must not lose much by that.
            transport.quiet = last and self._sent <= _AT_ONCE and not self.stuck and not self.factory.tls
            transport.loseConnection()
            if transport.connected:
                seconds = _LINGER_SECONDS if unread else shared.limits.send_timeout
                shared.deadlines.set(self, shared.seconds() + seconds)
            return
        now = shared.seconds()
        shared.deadlines.set(self, now + _LINGER_SECONDS)
        self._linger_until = now + _MOST_LINGER_SECONDS
        self.dataReceived = self._linger  # type: ignore[method-assign]
        self.let(self.held)
        transport.loseWriteConnection()

    def _linger(self, data: bytes) -> None:
        """What a client still sends whose response is complete is dropped, for a while."""
        shared = self._shared
        shared.deadlines.set(self, min(shared.seconds() + _LINGER_SECONDS, self._linger_until))

    def expired(self, now: float) -> None:
        """The deadline has passed; what that means depends on what is awaited."""
        shared = self._shared
        if self._closing:
            if self._made_progress():
                shared.deadlines.set(self, now + shared.limits.send_timeout)
            else:
                self.transport.abortConnection()
        elif (exchange := self._current()) is not None:
            if self.stuck and self._made_progress():
                shared.deadlines.set(self, now + shared.limits.send_timeout)
            else:
                exchange.expired()
        elif self._head is not None and self._head.started:
            seconds = shared.limits.head_timeout
            error = RequestTimeout(f"the request's head was not complete within {seconds:g} s")
            self._bad_head(error, self._received)
        elif self.stuck and self._made_progress():
            shared.deadlines.set(self, now + shared.limits.send_timeout)
        elif self.stuck:
            self.transport.abortConnection()
        else:
            self._closing = True
            shared.deadlines.set(self, now + _LINGER_SECONDS)
            self.transport.loseConnection()

    def stop(self, goodbye: SessionEnded) -> None:
        """The gateway stops: close soon if idle, after the response in progress, or with a session that it opens."""
        self.goodbye = goodbye
        begun = self._current() is not None or (self._head and self._head.started)
        if begun or self._closing:
            self._close = True
            return
        if self.stuck:
            self.shut()  # what is left of the last response has its time
            return
        self._ask_no_more()
        shared = self._shared
        shared.deadlines.set(self, min(self.deadline, shared.seconds() + _LAST_WORDS))

    def cut(self) -> None:
        """The time to stop is over: who waits for a response gets a 503 and is closed, everybody else is cut."""
        exchange = self._current()
        if exchange is not None:
            self._close = True
            exchange.client_failed(ShuttingDown("the gateway stops and this exchange did not finish in time"))
        elif not self.lost:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The client sends no more. It may still wait for its response (RFC 9112 §9.6)."""
        self.at_eof = True
        if (exchange := self._current()) is None or self._closing:
            self._closing = True
            self.transport.loseConnection()
        elif self._decoder is not None:
            exchange.client_gone()
            self.abort()
        else:
            self._close = True
