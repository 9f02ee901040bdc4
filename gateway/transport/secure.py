"""TLS on the pump. OpenSSL reads and writes the socket itself; there is no memory in between.

A `gateway.transport.handshake.Handshake` rides on the pump until the connection may be used; then a `TLSTransport`
takes its place, so the protocol is only made for connections that got through.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from zope.interface import implementer

from gateway.transport.hello import suite_names
from gateway.transport.openssl import attach, detach
from gateway.transport.sockets import Truncated, lost
from gateway.transport.tcp import TCPTransport
from gateway.transport.tls import client_certificate, reasons

if TYPE_CHECKING:
    from OpenSSL import crypto
    from twisted.internet.address import IPv4Address, IPv6Address

    from gateway.transport.pump import Pump

__all__ = ["TLSTransport"]

_RECORD = 16384
_READ = 128 * 1024
"""Bytes that are collected from several records before the protocol gets them."""

_WANT = (SSL.WantReadError, SSL.WantWriteError)


@implementer(ISSLTransport)
class TLSTransport(TCPTransport):
    """A TLS connection whose handshake is done.

    ``negotiatedProtocol`` is what ALPN chose (``bytes``) or ``None``; ``tls_version`` is like ``TLSv1.3`` and
    ``tls_cipher`` OpenSSL's name of the suite; ``client_certificate`` is what a client showed that was asked;
    ``offered`` the suites that it offered, and not there at all where nobody wants to know.
    `loseWriteConnection` sends a ``close_notify`` and reads on (RFC 8446 §6.1).  An end without ``close_notify`` is
    reported as `Truncated`, and `truncateConnection` is how to pass that on.
    """

    __slots__ = (
        "_connection", "_notify", "_ssl_recv", "_ssl_send", "_truncated", "client_certificate", "negotiatedProtocol",
        "offered", "tls_cipher", "tls_version",
    )  # fmt: skip

    offered: bytes

    def __init__(
        self, pump: Pump, sock: socket.socket, peer: IPv4Address | IPv6Address, connection: SSL.Connection
    ) -> None:
        super().__init__(pump, sock, peer)
        self._connection: SSL.Connection | None = connection
        self._ssl_recv = connection.recv
        self._ssl_send = connection.send
        self._notify = self._truncated = False
        self.negotiatedProtocol = connection.get_alpn_proto_negotiated() or None
        self.tls_version = connection.get_protocol_version_name()
        self.tls_cipher = connection.get_cipher_name() or ""
        self.client_certificate = client_certificate(connection)
        attach(self, connection)

    @property
    def server_name(self) -> str:
        """The name that the client has sent (SNI); empty if it has not, or the connection is lost."""
        name = None if self._connection is None else self._connection.get_servername()
        return "" if name is None else name.decode("latin-1")

    @property
    def ciphers_offered(self) -> str:
        """What the client offered, see `suite_names`; empty where that is not known."""
        return suite_names(getattr(self, "offered", b""))

    def getPeerCertificate(self) -> crypto.X509 | None:
        """The other end's certificate, ``None`` if it has none or the connection is lost."""
        return None if self._connection is None else self._connection.get_peer_certificate()

    # Reading

    def event(self, events: int) -> None:
        """HOT. OpenSSL may want to read in order to write and the other way round: each event serves both."""
        if self._queue:
            self._flush()
        elif self._notify:
            self._send_notify()
        if self._deaf:
            self._note_unread(events)
        else:
            self._read()

    def _read(self) -> None:
        """Read what there is, up to a limit, and pass it on in one piece."""
        recv = self._ssl_recv
        pieces: list[bytes] = []
        size = 0
        end: Exception | None = None
        while size < _READ:
            try:
                data = recv(_RECORD)
            except _WANT:
                break
            except SSL.Error as error:
                end = error.with_traceback(None)  # this frame, which keeps it
                break
            pieces.append(data)
            size += len(data)
        else:
            self._pump.soon(self)
        if pieces:
            read = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            try:
                if self.lane is None or not self.lane.hears(self, read):
                    self.protocol.dataReceived(read)
            except BaseException as error:
                self._protocol_raised(error)
                return
        if end is not None and self.connected:
            if self._deaf:
                # Paused meanwhile: OpenSSL says the same again when it is asked again.
                self._more = True
            elif isinstance(end, SSL.ZeroReturnError):
                self._read_ended()
            else:
                self._lose(self._broken(end))

    def _broken(self, error: Exception) -> ConnectionLost:
        """Why reading has failed, as the loss of the connection.

        That is said once: where C has heard it, ``error`` has no words, and after a reset the kernel speaks of an end.
        """
        if self._write_error is not None:
            return lost(self._write_error)
        if self._broke > 0:
            return lost(OSError(self._broke, os.strerror(self._broke)))
        words = reasons(error)
        if "unexpected eof while reading" in words or (not words and self.peer_left):
            return Truncated("the peer closed without close_notify")
        return ConnectionLost(", ".join(words) or type(error).__name__)

    # Writing

    def _send_now(self, data: bytes, flags: int = 0) -> None:
        length = len(data)
        sent = 0
        while sent < length:
            try:
                sent += self._ssl_send(memoryview(data)[sent:] if sent else data)
            except _WANT:
                self._enqueue(data, sent)
                return
            except SSL.Error as error:
                self.unsent += length - sent
                self._write_failed(error)
                return

    def _send_last(self) -> None:
        """OpenSSL sends what it is given at once; ``close_notify`` comes behind it."""
        self.send_gathered()

    def _flush(self) -> None:
        """As in TCP. A piece that OpenSSL wants again is offered again unchanged (SSL_write(3))."""
        queue = self._queue
        while queue:
            head = queue[0]
            try:
                sent = self._ssl_send(head)
            except _WANT:
                break
            except SSL.Error as error:
                self._write_failed(error)
                return
            self.queued -= sent
            if sent == len(head):
                queue.popleft()
            else:
                queue[0] = memoryview(head)[sent:]
        self._flushed()

    # The end

    def truncateConnection(self) -> None:
        """See `TCPTransport`: an end without ``close_notify``."""
        self._truncated = True
        self.loseConnection()

    def _say_goodbye(self) -> None:
        if self._truncated:
            self._lose(ConnectionDone())
        else:
            self._shut_write()

    def _shut_write(self) -> None:
        detach(self)
        self._notify = True
        self._send_notify()

    def _send_notify(self) -> None:
        """Send ``close_notify``; when it is out, and everything was to be closed, close."""
        assert self._connection is not None
        try:
            self._connection.shutdown()
        except _WANT:
            return
        except SSL.Error:
            pass  # the peer does not listen any more; the connection ends in any case
        self._notify = False
        if self.disconnecting:
            self._lose(ConnectionDone())

    def _close_socket(self) -> None:
        # The protocol may be kept for a while; OpenSSL's 40 kB are not.
        detach(self)
        self._connection = None
        del self._ssl_recv, self._ssl_send
        self.quiet = False  # its own close_notify is still to come
        super()._close_socket()
