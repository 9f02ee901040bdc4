"""The hot part of a TCP transport: reading, and writing what the kernel takes at once.

This is the Python twin; the C twin is in ``gateway/_native/stream.c``.  What is rare is in the subclass,
`gateway.transport.tcp.TCPTransport`, and common to both.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from gateway import _native
from gateway.transport.ending import DONE, NOBODY, TOLD, Ending
from gateway.transport.linger import linger
from gateway.transport.sockets import ended, lost, socket_of

if TYPE_CHECKING:
    from collections import deque

    from twisted.internet.interfaces import IProtocol, IProtocolFactory

    from gateway.listener.plain import Lane
    from gateway.transport.pump import Pump
    from gateway.transport.sockets import Handle

__all__ = ["END", "IN", "OUT", "Stream"]

OUT = select.EPOLLOUT
END = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
IN = select.EPOLLIN | END

_SMALL_READ = 16 * 1024
_MEDIUM_READ = 96 * 1024
_LARGE_READ = 256 * 1024
"""A buffer above malloc's mmap threshold (128 KiB) costs 12 µs when it is not filled, so it is for bulk only."""

_AT_ONCE = struct.pack("ii", 1, 0)
_GATHERED = 32 * 1024
"""Bytes that are put together in a round of the pump; more is sent at once."""


@_native.chosen(
    _native.pump, lost=lost, socket_of=socket_of, done=DONE, told=TOLD, nobody=NOBODY, failure=Failure, linger=linger
)
class Stream(Ending):
    """One connected, non-blocking socket.

    ``protocol``: who gets the data; may be replaced at any time.
    ``queued``: bytes that were written and that the kernel has not accepted yet.
    ``unsent``: bytes that were written and that the kernel will never get, for the connection was lost.
    ``connected``: false from the moment the connection is known to be lost, which is before ``connectionLost``.
    ``quiet``: the peer has said that it sends nothing more, so that closing need not wait for its end.
    ``lane``: hears first what is read here, see `gateway.listener.plain`; ``None`` for most.
    ``peer_left``: whether the peer has closed the connection already, though nobody was told yet; it asks the kernel.

    ``sock`` is a `gateway.transport.sockets.Handle`, ``peer`` the address of the other end.
    ``_broke``: the ``errno`` with which C has failed to read from OpenSSL, 0 without one; -1 if it has not.
    ``_direct``: writes may go to the kernel.  ``_deaf``: nobody wants to read.  ``_pulls``: a pull producer wants to be
    asked.  ``_end_seen``: an edge has announced the end, there will be no other.
    """

    __slots__ = (
        "_broke", "_end_seen", "_gathered", "_local", "_peer", "_producer_paused", "_recv", "_send", "_size",
        "_write_error", "lane", "waiting",
    )  # fmt: skip

    def __init__(self, pump: Pump, sock: Handle, peer: Any = None) -> None:
        self._pump = pump
        self._sock = sock = socket_of(sock)
        self._fd = sock.fileno()
        self._recv: Callable[[int], bytes] = sock.recv
        self._send: Callable[[Any, int], int] = sock.send
        self._size = _SMALL_READ
        self._broke = -1
        self._gathered = b""
        self.queued = 0
        self.unsent = 0
        self.connected = self._direct = True
        self.waiting = self._deaf = self._end_seen = self._pulls = False
        self.protocol: IProtocol = None  # type: ignore[assignment]
        self.lane: Lane | None = None
        # What only the subclass uses.
        self._peer = peer
        self._local: Any = None
        self._queue: deque[Any] | None = None
        self._producer: Any = None
        self._factory: IProtocolFactory | None = None
        self._reason: BaseException | None = None
        self._write_error: Exception | None = None
        self.disconnecting = self.quiet = self._paused = self._read_closed = self._more = False
        self._closing_write = self._write_closed = self._streaming = self._producer_paused = False

    # Rider: what the pump calls

    def event(self, events: int) -> None:
        """HOT"""
        if self.queued and events & OUT:
            self._flush()
        if not events & IN:
            return
        if self._deaf:
            self._note_unread(events)
            return
        size = self._size
        try:
            data = self._recv(size)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(lost(error))
            return
        if not data:
            self._read_ended()
            return
        try:
            if self.lane is None or not self.lane.hears(self, data):
                self.protocol.dataReceived(data)
        except BaseException as error:
            self._protocol_raised(error)
            return
        if len(data) == size:
            self._size = _MEDIUM_READ if size < _MEDIUM_READ else _LARGE_READ
            self._pump.soon(self)
        elif size == _LARGE_READ:
            self._size = _MEDIUM_READ
        if events & END:
            # The end was announced together with the data in front of it; there will be no other edge.
            self._end_seen = True
            self._pump.soon(self)

    def again(self) -> None:
        """Read what an edge announced earlier; serve a pull producer."""
        if self.connected and self._pulls:
            self._pull()
        if self.connected:
            self.event(IN if self._end_seen else select.EPOLLIN)

    # Writing

    def write(self, data: bytes) -> None:
        """Send at the end of the pump's round, or at once outside of one; queue what the kernel refuses.

        Ignored once the connection is lost or its write side closed.  HOT
        """
        if not self._direct:
            self._enqueue(data)
        elif self._pump.turning and len(data) <= _GATHERED:
            if not self._gathered:
                self._gathered = data
                self._pump.to_send(self)
            elif len(self._gathered) + len(data) <= _GATHERED:
                self._gathered += data
            else:
                self.send_gathered()
                self.write(data)
        else:
            self.send_gathered()
            send = self._send_now if self._direct else self._enqueue
            send(data)

    def send_gathered(self) -> None:
        """Send what was written in this round. HOT"""
        data = self._gathered
        if data:
            self._gathered = b""
            self._send_now(data)

    def _send_last(self) -> None:
        """`send_gathered` when all that follows, in this round, is the end: it goes with these bytes in one packet.

        What the kernel refuses of them is queued, and then nothing is held back: sending the rest releases it.  Nor is
        there where a pull producer may have more.
        """
        data = self._gathered
        if data:
            self._gathered = b""
            self._send_now(data, 0 if self._pulls else socket.MSG_MORE)

    def _forget_gathered(self) -> None:
        """What was written in this round will not be sent."""
        self.unsent += len(self._gathered)
        self._gathered = b""

    def _send_now(self, data: bytes, flags: int = 0) -> None:
        try:
            sent = self._send(data, flags)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.unsent += len(data)
            self._write_failed(error)
            return
        if sent != len(data):
            self._enqueue(data, sent)

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let ``producer`` be paused while the queue is not empty, or pulled while it is (``streaming`` false). HOT"""
        if streaming and self.connected and self._producer is None and self._queue is None:
            self._producer = producer
            self._streaming = True
            self._producer_paused = False
        else:
            self._register(producer, bool(streaming))

    def unregisterProducer(self) -> None:
        """Forget the producer. HOT"""
        self._producer = None
        self._pulls = False
        if self.disconnecting or self._closing_write:
            self._finish_if_flushed()

    # The socket

    @property
    def peer_left(self) -> bool:
        """See `Stream`."""
        return not self.connected or ended(self._sock)

    def _close(self) -> None:
        """Close the socket. Idempotent."""
        self._sock.close()

    def _reset(self) -> None:
        """Let closing the socket reset the connection."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        except OSError:
            pass  # the peer was faster

    # What the subclass does

    def dropped(self, reason: Failure) -> None:
        """The pump gives this connection up."""
        raise NotImplementedError

    def _register(self, producer: Any, streaming: bool) -> None:
        """`registerProducer` of a pull producer, or where there is one, or a queue, or no connection any more."""
        raise NotImplementedError

    def _pull(self) -> None:
        """Ask the pull producer."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Send what is queued."""
        raise NotImplementedError

    def _enqueue(self, data: Any, sent: int = 0) -> None:
        """Queue what follows the first ``sent`` bytes of ``data``."""
        raise NotImplementedError

    def _note_unread(self, events: int) -> None:
        """There is something to read, and nobody who wants it now."""
        raise NotImplementedError

    def _read_ended(self) -> None:
        """The peer sent its end of file."""
        raise NotImplementedError

    def _protocol_raised(self, error: BaseException) -> None:
        """The protocol's fault."""
        raise NotImplementedError

    def _write_failed(self, error: Exception) -> None:
        """The peer takes no more."""
        raise NotImplementedError

    def _half_close(self) -> None:
        """Everything is sent; the write side may be closed."""
        raise NotImplementedError

    def _end_failed(self, error: BaseException) -> None:
        """Who was told of the end raised."""
        raise NotImplementedError
