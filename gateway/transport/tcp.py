"""The TCP transport on the pump.

``write`` sends at the end of the pump's round, all that was written in it in one piece; only what the kernel refuses
is queued.  A queue that is not empty pauses the streaming
producer that feeds it, and lets it go on when it is nearly drained.  Nothing here calls the protocol from inside
one of the protocol's own calls: losses are told later in the turn.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPushProducer, ITCPTransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.transport.ending import DONE
from gateway.transport.sockets import SocketFacts, lost
from gateway.transport.stream import END, Stream

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory

    from gateway.transport.tls import ClientCertificate

__all__ = ["TCPTransport"]

_log = Logger()

_LOW_WATER = 32 * 1024
_PIECES = 64
"""How many queued pieces one system call takes (the kernel's limit is 1024)."""

_DISCARD = 64 * 1024


@implementer(ITCPTransport, IPushProducer, IConsumer)
class TCPTransport(SocketFacts, Stream):
    """One connection, server or client side.

    ``protocol``, ``queued``, ``unsent``, ``connected``: see `Stream`.
    ``disconnecting``: ``loseConnection`` was called.  A peer that does not read can make the flush last for
    ever; whoever calls it must have a deadline and ``abortConnection``.
    ``tls_version``, ``tls_cipher``: empty; here so that callers need not ask what carries them.
    """

    tls_version = ""
    tls_cipher = ""
    client_certificate: ClientCertificate | None = None
    negotiatedProtocol: bytes | None = None

    __slots__ = ("__weakref__",)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._fd

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self._fd} to {self._peer.host}:{self._peer.port}>"

    def start(self, protocol: IProtocol, factory: IProtocolFactory | None = None) -> None:
        """Join the transport to its protocol; ``factory.doStop()`` is called after its ``connectionLost``."""
        self.protocol = protocol
        self._factory = factory
        try:
            protocol.makeConnection(self)
        except BaseException as error:
            self._protocol_raised(error)

    # Rider: what the pump calls

    def dropped(self, reason: Failure) -> None:
        """The pump lets go of this connection."""
        self._lose(ConnectionLost(f"the pump gave it up: {reason.getErrorMessage()}"))

    # ITransport

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """`write` of all pieces in one go."""
        self.write(b"".join(iovec))

    def abortConnection(self) -> None:
        """Close at once with a reset, whatever is queued."""
        if self.connected:
            self._reset()
            self._lose(ConnectionAborted())

    def truncateConnection(self) -> None:
        """`loseConnection` where more was to come: the peer hears no end of what was sent, where its protocol has one.

        TCP has none; TLS has (RFC 8446 §6.1).
        """
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """Send an end of file when the queue has been sent; reading goes on."""
        if self.connected and not self._closing_write and not self.disconnecting:
            self._send_last()
            self._closing_write = True
            self._direct = False
            self._finish_if_flushed()

    # IConsumer (the rest is in `Stream`), IPushProducer

    def _register(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer}: {self._producer} was never unregistered")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            self._pulls = True
            self._pump.soon(self)
        elif self._queue:
            self._producer_paused = True
            producer.pauseProducing()

    def pauseProducing(self) -> None:
        """Stop calling ``dataReceived``, at once. HOT"""
        self._paused = self._deaf = True

    def resumeProducing(self) -> None:
        """Go on; data that waits arrives later in this turn, not within this call. HOT"""
        if self._paused and self.connected:
            self._paused = False
            if not self._read_closed:
                self._deaf = False
                if self._more:
                    self._more = False
                    self._pump.soon(self)

    def stopProducing(self) -> None:
        """As a producer: nobody wants the data any more."""
        self.loseConnection()

    def _pull(self) -> None:
        if not self._queue:
            self._producer.resumeProducing()
            if self._pulls and not self._queue:
                self._pump.soon(self)

    # Reading

    def _note_unread(self, events: int) -> None:
        """There is something to read, and nobody who wants it now."""
        if self.disconnecting:
            self._discard()
            return
        if self._read_closed:
            if events & (select.EPOLLERR | select.EPOLLHUP):
                self._check_error()
            return
        self._more = True
        if events & END:
            self._end_seen = True
        if events & select.EPOLLERR or self._write_error is not None:
            self._check_error()

    def _check_error(self) -> None:
        """A reset with nothing left to read is told although the reader is paused."""
        try:
            unread = self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(lost(error))
            return
        if not unread and self._write_error is not None:
            self._lose(lost(self._write_error))

    def _discard(self) -> None:
        """Read and drop, while the last data are being sent; an end of file is no reason to stop sending."""
        if self._read_closed:
            return
        try:
            data = self._sock.recv(_DISCARD)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(lost(error))
            return
        if not data:
            self._read_closed = True
        else:
            self._pump.soon(self)

    def _read_ended(self) -> None:
        """The peer sent its end of file."""
        if self._write_error is not None:
            self._lose(lost(self._write_error))
            return
        self._read_closed = self._deaf = True
        if not IHalfCloseableProtocol.providedBy(self.protocol):
            self._lose(DONE)
            return
        try:
            self.protocol.readConnectionLost()
        except BaseException as error:
            self._protocol_raised(error)
        if self._write_closed:
            self._lose(DONE)

    def _protocol_raised(self, error: BaseException) -> None:
        """The protocol's fault: it costs this connection and a log entry."""
        name = type(self.protocol).__name__
        _log.failure("{protocol} failed, its connection is closed", protocol=name, failure=Failure(error))
        self._lose(error)

    # Writing

    def _enqueue(self, data: Any, sent: int = 0) -> None:
        """Queue what follows the first ``sent`` bytes of ``data``, and pause who feeds this transport."""
        producer = self._producer
        if (
            not self.connected
            or self._closing_write
            or self._write_error is not None
            or (self.disconnecting and (producer is None or self._streaming))
        ):
            self.unsent += len(data) - sent
            return
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        rest: Any = memoryview(data)[sent:] if sent else data
        if not rest:
            return
        if not self._queue:
            self._queue = deque()
        self._queue.append(rest)
        self.queued += len(rest)
        if self._direct:
            self._direct = False
        elif len(self._queue) == 1:
            # Only a pull producer of a closing connection gets here with an empty queue; no edge will come for it.
            self._pump.later(self._flush)
        if producer is not None and self._streaming and not self._producer_paused:
            self._producer_paused = True
            producer.pauseProducing()

    def _flush(self) -> None:
        """Send what is queued, until the kernel refuses."""
        queue = self._queue
        while queue:
            try:
                sent = self._sock.sendmsg(list(islice(queue, _PIECES)))
            except BlockingIOError:
                break
            except OSError as error:
                self._write_failed(error)
                return
            self.queued -= sent
            while sent:
                head = queue[0]
                if sent < len(head):
                    queue[0] = memoryview(head)[sent:]
                    break
                sent -= len(head)
                queue.popleft()
        self._flushed()

    def _flushed(self) -> None:
        """Some of the queue has gone: let the producer go on, do what was to be done at its end."""
        if not self._queue:
            self._queue = None
            if self.disconnecting or self._closing_write:
                self._finish_if_flushed()
            elif self.connected:
                self._direct = True
        producer = self._producer
        if producer is None or not self.connected:
            return
        if not self._streaming:
            if not self._queue:
                self._pump.soon(self)
        elif self._producer_paused and self.queued <= _LOW_WATER:
            self._producer_paused = False
            producer.resumeProducing()

    def _half_close(self) -> None:
        """Everything is sent; the write side may be closed."""
        self._write_closed = True
        self._shut_write()
        self._pump.later(self._tell_write_closed)

    def _shut_write(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lose(lost(error))

    def _tell_write_closed(self) -> None:
        if not self.connected:
            return
        if self._read_closed:
            self._lose(DONE)
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.writeConnectionLost()
            except BaseException as error:
                self._protocol_raised(error)

    def _write_failed(self, error: Exception) -> None:
        """The peer takes no more. What it sent before may still wait to be read: an early response, for instance."""
        self._queue = None
        self.unsent += self.queued
        self.queued = 0
        self._direct = False
        self._write_error = error.with_traceback(None)  # which would keep whoever has called this, and this
        if self.disconnecting:
            self._lose(lost(error))
        elif self._deaf:
            self._more = True
            self._pump.later(self._check_error)
        else:
            self._end_seen = True
            self._pump.soon(self)

    # The end

    def _end_failed(self, error: BaseException) -> None:
        """Who was told of the end raised."""
        name = type(self.protocol).__name__
        _log.failure("{protocol}.connectionLost failed", protocol=name, failure=Failure(error))
