"""A raw TCP connection for tests, on either end: what arrives is kept, and coroutines wait for it.

Nothing here knows HTTP or the gateway, so it can send and see what no well-behaved library would.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["SECONDS", "Ended", "Late", "Wire"]

SECONDS = 10.0
"""How long a test waits for something that must happen. Reaching it is a failure, never part of a test."""


class Late(AssertionError):
    """What a test waited for did not happen in time."""


class Ended(AssertionError):
    """The connection ended before what a test waited for had arrived."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class Wire(Protocol):
    """One end of a connection.

    ``buffer``: what has arrived and not been read.  ``total``: bytes that ever arrived.  ``poured``: bytes
    that `pour` has handed to the transport.  ``patience``: seconds that waiting may take, ``None`` for no limit
    (servers wait for their next request as long as the test lasts).  ``eof``: the peer sends no more.
    ``reason``: why the connection is gone, ``None`` while it is there.
    """

    transport: Any

    def __init__(self, name: str, clock: Any, patience: float | None = SECONDS) -> None:
        self.name = name
        self.patience = patience
        self.buffer = bytearray()
        self.total = 0
        self.poured = 0
        self.eof = False
        self.reason: Failure | None = None
        self._clock = clock
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self._left_to_pour = 0
        self._pours = b""
        self._may_pour = True

    # -- what arrives

    def dataReceived(self, data: bytes) -> None:
        self.buffer += data
        self.total += len(data)
        self._look()

    def readConnectionLost(self) -> None:
        self.eof = True
        self._look()

    def writeConnectionLost(self) -> None:
        """Our own half-close."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.eof = True
        self.reason = reason
        self._look()

    @property
    def was_reset(self) -> bool:
        """Whether the connection ended otherwise than by a proper close."""
        return self.reason is not None and not self.reason.check(ConnectionDone)

    # -- reading

    async def until(self, delimiter: bytes) -> bytes:
        """Read up to and including a delimiter."""
        await self.wait(lambda: delimiter in self.buffer, f"{delimiter!r}")
        return self.take(self.buffer.index(delimiter) + len(delimiter))

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        await self.wait(lambda: len(self.buffer) >= count, f"{count} bytes")
        return self.take(count)

    async def rest(self) -> bytes:
        """Read all there is until the peer's half is closed."""
        await self.wait(lambda: self.eof, "the end")
        return self.take(len(self.buffer))

    async def gone(self) -> Failure:
        """Wait until the peer has closed or reset the connection, then let go of it; returns the reason."""
        await self.wait(lambda: self.eof, "the end of the connection")
        if self.reason is None:
            self.close()
        await self.wait(lambda: self.reason is not None, "the end of the connection")
        assert self.reason is not None
        return self.reason

    def take(self, count: int) -> bytes:
        """Read what is there now."""
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def wait(self, test: Callable[[], bool], what: str) -> Deferred[None]:
        """Fires when ``test()`` is true after some event on this connection. Fails with `Late` or `Ended`."""
        done: Deferred[None] = Deferred()
        if test():
            done.callback(None)
            return done
        if self.reason is not None:
            done.errback(Ended(self._complaint(f"the connection ended before {what} arrived")))
            return done
        self._waiting.append((test, done))
        if self.patience is not None:
            done.addTimeout(self.patience, self._clock, lambda result, _: self._late(result, what))
        return done

    def _late(self, result: Any, what: str) -> Failure:
        return Failure(Late(self._complaint(f"{what} did not arrive within {self.patience} s")))

    def _complaint(self, text: str) -> str:
        shown = bytes(self.buffer[:300])
        why = "" if self.reason is None else f" ({self.reason.getErrorMessage()})"
        return f"{self.name}: {text}{why}; {len(self.buffer)} bytes unread: {shown!r}"

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for test, done in waiting:
            if done.called:
                continue
            if test():
                done.callback(None)
            elif self.reason is not None:
                done.errback(Ended(self._complaint("the connection ended too early")))
            else:
                self._waiting.append((test, done))

    # -- writing

    def write(self, data: bytes) -> None:
        """Send bytes, at once as far as the kernel takes them."""
        self.transport.write(data)

    def pour(self, count: int, data: bytes = b"x" * 65536) -> None:
        """Send so many bytes of ``data``, again and again, as fast as they are taken; `poured`: those on their way."""
        self._pours = data
        self._left_to_pour = count
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._may_pour = True
        while self._may_pour and self._left_to_pour:
            piece = min(len(self._pours), self._left_to_pour)
            self._left_to_pour -= piece
            self.poured += piece
            self.transport.write(self._pours[:piece])
        if not self._left_to_pour:
            self.transport.unregisterProducer()
            self._look()

    def pauseProducing(self) -> None:
        self._may_pour = False

    def stopProducing(self) -> None:
        self._left_to_pour = 0
        self._may_pour = False

    # -- behaving badly

    def stop_reading(self) -> None:
        """Take nothing more out of the kernel."""
        self.transport.pauseProducing()

    def start_reading(self) -> None:
        """Read on."""
        self.transport.resumeProducing()

    def half_close(self) -> None:
        """Send a FIN and go on reading."""
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close properly once everything is written."""
        self.transport.loseConnection()

    def reset(self) -> None:
        """Send a RST."""
        handle = self.transport.getHandle()
        if isinstance(handle, socket.socket):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abortConnection()

    def buffers(self, receive: int | None = None, send: int | None = None) -> None:
        """Fix the kernel's buffers, so that backpressure shows early."""
        handle = self.transport.getHandle()
        for option, size in ((socket.SO_RCVBUF, receive), (socket.SO_SNDBUF, send)):
            if size is not None:
                handle.setsockopt(socket.SOL_SOCKET, option, size)
