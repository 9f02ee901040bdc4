"""How a transport ends: what is the same for every connection.

The Python twin of ``gateway/_native/ending.c``, a base of `gateway.transport.stream.Stream`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from gateway.transport.linger import close_gently, is_silent

if TYPE_CHECKING:
    from collections import deque
    from socket import socket

    from gateway.transport.pump import Pump

__all__ = ["DONE", "NOBODY", "TOLD", "Ending"]

DONE = ConnectionDone()
TOLD = Failure(DONE)
"""Why most connections end; making these each time costs more than telling of it."""

NOBODY = Protocol()
"""The protocol of a connection whose own has been told of the end."""


class Ending:
    """`loseConnection`, and what comes of it and of every other end."""

    __slots__ = (
        "_closing_write", "_deaf", "_direct", "_factory", "_fd", "_more", "_paused", "_producer", "_pulls", "_pump",
        "_queue", "_read_closed", "_reason", "_sock", "_streaming", "_write_closed", "connected", "disconnecting",
        "protocol", "queued", "quiet", "unsent",
    )  # fmt: skip

    connected: bool
    disconnecting: bool
    protocol: Any
    queued: int
    quiet: bool
    unsent: int
    _closing_write: bool
    _deaf: bool
    _direct: bool
    _factory: Any
    _fd: int
    _more: bool
    _paused: bool
    _producer: Any
    _pulls: bool
    _pump: Pump
    _queue: deque[Any] | None
    _read_closed: bool
    _reason: BaseException | None
    _sock: socket
    _streaming: bool
    _write_closed: bool

    if TYPE_CHECKING:
        # The subclasses' own.

        def _close(self) -> None: ...
        def _end_failed(self, error: BaseException) -> None: ...
        def _forget_gathered(self) -> None: ...
        def _half_close(self) -> None: ...
        def _send_last(self) -> None: ...

    def loseConnection(self) -> None:
        """Close when the queue has been sent and, if there is one, the pull producer has unregistered.

        What arrives from now on is discarded, also the peer's end of file.
        """
        if self.disconnecting or not self.connected:
            return
        self._send_last()
        self.disconnecting = True
        self._direct = False
        unread = self._more or self._paused
        self._paused = False
        self._deaf = True
        self._finish_if_flushed()
        if unread and self.connected:
            self._pump.soon(self)  # type: ignore[arg-type]

    def _finish_if_flushed(self) -> None:
        """Close, or close the write side, if that was asked for and everything is sent."""
        if self._queue or not self.connected or (self._producer is not None and not self._streaming):
            return
        if self.disconnecting:
            self._say_goodbye()
        elif self._closing_write and not self._write_closed:
            self._half_close()

    def _say_goodbye(self) -> None:
        """Everything is sent; the connection may be closed."""
        self._lose(DONE)

    def _lose(self, reason: BaseException) -> None:
        """The connection is over. The protocol is told when the events at hand are done."""
        if not self.connected:
            return
        self.connected = False
        self._direct = False
        self._deaf = True
        self._forget_gathered()
        self.unsent += self.queued
        self._reason = reason
        self._queue = None
        self.queued = 0
        self._pump.remove(self._fd)
        self._pump.to_close(self)  # type: ignore[arg-type]
        self._pump.later(self._ended)

    def _ended(self) -> None:
        """The socket is closed: tell the protocol, and who feeds it, if that is not the protocol itself."""
        producer, self._producer = self._producer, None
        self._pulls = False
        reason, factory = self._reason, self._factory
        try:
            if producer is not None and producer is not self.protocol:
                producer.stopProducing()
            self.protocol.connectionLost(TOLD if reason is DONE else Failure(reason))
        except BaseException as error:
            self._end_failed(error)
        # Else the two would keep each other until the garbage collector comes.
        self.protocol, self._factory = NOBODY, None
        if factory is not None:
            factory.doStop()

    def _close_socket(self) -> None:
        """So that what was sent last arrives. Called once, before `_ended`."""
        gently = self.disconnecting and not self._read_closed and isinstance(self._reason, ConnectionDone)
        if gently and not (self.quiet and is_silent(self._sock)):
            close_gently(self._pump, self._sock)
        else:
            self._close()
