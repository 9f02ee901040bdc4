"""TLS on the pump. OpenSSL reads and writes the socket itself; there is no memory in between.

A `Handshake` rides on the pump until the connection may be used; then a `TLSTransport` takes its place, so the
protocol is only made for connections that got through.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from zope.interface import implementer

from gateway.interfaces import ISecureFactory
from gateway.transport.greetings import Greetings
from gateway.transport.hello import MOST_HELLO, Ear, Hello, suite_names
from gateway.transport.openssl import attach, detach
from gateway.transport.sockets import Truncated, lost, socket_of
from gateway.transport.stream import END
from gateway.transport.tcp import TCPTransport
from gateway.transport.tls import (
    HANDSHAKE_TIMEOUT,
    ClientTLS,
    begins_tls,
    client_certificate,
    client_connection,
    failed,
    late,
    reasons,
    verify,
)

if TYPE_CHECKING:
    from OpenSSL import crypto
    from twisted.internet.address import IPv4Address, IPv6Address
    from twisted.python.failure import Failure

    from gateway.transport.connect import Attempt, Prelude
    from gateway.transport.ports import Port, Welcome
    from gateway.transport.pump import Pump
    from gateway.transport.sockets import Handle

__all__ = ["Handshake", "TLSTransport", "client_prelude", "server_welcome"]

_log = Logger()

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


class _Wrapping(NamedTuple):
    """What Twisted's ALPN callback expects as the factory of a connection's application data."""

    wrappedFactory: Any


class Handshake:
    """A TLS handshake in progress: calls ``done(connection)`` or ``failed(error)`` once, or neither after `cancel`."""

    waiting = False

    def __init__(
        self, pump: Pump, sock: socket.socket, connection: SSL.Connection,
        done: Callable[[SSL.Connection], None], failed: Callable[[Exception], None], factory: Any = None,
    ) -> None:  # fmt: skip
        self.factory = _Wrapping(factory)
        self._pump = pump
        self._sock = sock
        self._connection: SSL.Connection | None = connection
        self._done = done
        self._failed = failed
        connection.set_app_data(self)

    def event(self, events: int) -> None:
        """A handshake takes a millisecond of arithmetic: do it where the pump watches the time."""
        self._pump.soon(self)

    def again(self) -> None:
        """Go on."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.do_handshake()
        except _WANT:
            return
        except Exception as error:
            # Not only SSL.Error: callbacks of the context (SNI, ALPN, verification) raise through here.
            self.fail(error)
            return
        if self._connection is not None:
            self._connection = None
            done = self._done
            self._forget()
            done(connection)

    def dropped(self, reason: Failure) -> None:
        """The pump lets go of it."""
        self.fail(ConnectionLost(reason.getErrorMessage()))

    def abortConnection(self) -> None:
        """What Twisted's SNI callback calls if the look-up of the certificate fails."""
        self.fail(ConnectionLost("no certificate for this name"))

    def fail(self, error: Exception) -> None:
        """End it."""
        if self._connection is not None:
            self._connection = None
            failed = self._failed
            self._forget()
            self._pump.later(lambda: failed(error))

    def cancel(self) -> None:
        """Nobody wants the result any more; the caller closes the socket."""
        self._connection = None
        self._forget()

    def _forget(self) -> None:
        """Do not keep those who are told, for they may keep this."""
        self._done = self._failed = _nothing


def _nothing(_: Any) -> None:
    """Nobody is told any more."""


class _Greeting(Handshake):
    """The handshake of an accepted connection; ``plain()`` is called, once, if its first byte is not that of one.

    ``listen(tls, adopted)`` lets ``tls.meet`` see the client's hello; what comes of it is ``offered``.  Before that
    ``tls.elsewhere`` sees it, unless the connection was ``adopted``: ``moved()`` is called if another process takes it.
    """

    plain: Callable[[], None] | None = None
    moved: Callable[[], None] | None = None
    offered = b""
    _tls: Any = None
    _adopted = False
    _ear: Ear | None = None
    _ended = False

    def listen(self, tls: Any, adopted: bool) -> None:
        """Wait for the whole hello before OpenSSL begins, which takes away what it reads."""
        self._tls, self._adopted, self._ear = tls, adopted, Ear()

    def event(self, events: int) -> None:
        """Something came, perhaps with the end: there will be no other edge for that."""
        if events & END:
            self._ended = True
        super().event(events)

    def again(self) -> None:
        """Go on."""
        ear = self._ear
        if ear is not None or self.plain is not None:
            try:
                first = self._sock.recv(1 if ear is None else MOST_HELLO, socket.MSG_PEEK)
            except BlockingIOError:
                return
            except OSError as error:
                self.fail(lost(error))
                return
            plain, self.plain = self.plain, None
            if plain is not None and first and not begins_tls(first[0]):
                self.cancel()
                plain()
                return
            if ear is not None and self._connection is not None:
                hello = ear.hear(first)
                if hello is None:
                    if not self._ended:
                        return
                    hello = Hello()  # OpenSSL will find the end behind this part of one
                self._ear = None
                if self._is_taken(hello):
                    return
                self.offered = self._tls.meet(self._connection, hello)
        super().again()

    def crowded_out(self, error: Exception) -> None:
        """See `Greetings`."""
        self.fail(error)

    def _is_taken(self, hello: Hello) -> bool:
        """Whether another process goes on with the connection. Once is enough: it is not passed on again."""
        elsewhere = None if self._adopted else getattr(self._tls, "elsewhere", None)
        if self.moved is None or elsewhere is None or not elsewhere(hello, self._sock):
            return False
        moved = self.moved
        self.cancel()
        moved()
        return True

    def _forget(self) -> None:
        super()._forget()
        self.plain = self.moved = None


def server_welcome(
    tls: Any, pump: Pump, reactor: Any, greetings: Greetings, timeout: float = HANDSHAKE_TIMEOUT
) -> Welcome:
    """What a TLS port does with an accepted socket. ``tls.getContext()`` is asked for each connection.

    So is ``tls.listens``, where it has that: whether ``tls.meet(connection, hello)`` is called with the client's
    `Hello` before the handshake. It returns the suites that are to be remembered.  And ``tls.elsewhere``: ``None``, or
    called before that with the hello and the socket; true where another process has taken the connection.
    """

    def welcome(port: Port, handle: Handle, peer: IPv4Address | IPv6Address, adopted: bool) -> None:
        sock = socket_of(handle)
        hooks = ISecureFactory(port.factory, None)
        if not greetings.make_room(hooks, peer):
            sock.close()
            return

        def over() -> None:
            if timer.active():
                timer.cancel()
            greetings.discard(greeting)

        def done(connection: SSL.Connection) -> None:
            over()
            transport = TLSTransport(pump, sock, peer, connection)
            if greeting.offered:
                transport.offered = greeting.offered
            connection.set_app_data(transport)
            pump.hand_over(sock.fileno(), transport)
            port.join(transport)
            pump.soon(transport)

        def plain() -> None:
            over()
            transport = TCPTransport(pump, sock, peer)
            pump.hand_over(sock.fileno(), transport)
            port.join(transport, hooks.plain)
            pump.soon(transport)

        def moved() -> None:
            over()
            pump.release(sock.fileno())
            sock.close()

        def failed(error: Exception) -> None:
            over()
            if hooks is not None and not pump.stopped:
                hooks.handshake_failed(peer, error)
            pump.remove(sock.fileno())
            sock.close()

        try:
            connection = SSL.Connection(tls.getContext(), sock)
        except Exception:
            _log.failure("no TLS context for a new connection")
            sock.close()
            return
        connection.set_accept_state()
        greeting = _Greeting(pump, sock, connection, done, failed, port.factory)
        if hooks is not None and hooks.plain is not None:
            greeting.plain = plain
        greeting.moved = moved
        if getattr(tls, "listens", False) or (not adopted and getattr(tls, "elsewhere", None) is not None):
            greeting.listen(tls, adopted)
        timer = reactor.callLater(timeout, lambda: greeting.fail(late()))
        greetings.add(greeting)
        pump.add(sock.fileno(), greeting)

    return welcome


def client_prelude(tls: ClientTLS) -> Prelude:
    """What a TLS client does with a connected socket."""

    def prelude(attempt: Attempt, handle: Handle, peer: IPv4Address | IPv6Address) -> None:
        sock = socket_of(handle)
        pump = attempt.pump

        def done(connection: SSL.Connection) -> None:
            try:
                verify(tls, connection)
            except Exception as error:
                attempt.fail(error)
            if attempt.over:
                return
            transport = TLSTransport(pump, sock, peer, connection)
            connection.set_app_data(transport)
            attempt.on_abandon(None)
            pump.hand_over(sock.fileno(), transport)
            attempt.join(transport)
            pump.soon(transport)

        def abandon() -> None:
            handshake.cancel()
            pump.remove(sock.fileno())
            sock.close()

        if tls.preface:
            try:
                sock.send(tls.preface)  # nothing waits in a new socket's buffer, so that all of it has room
            except OSError as error:
                attempt.fail(ConnectError(error.errno, str(error)))
                return
        connection = client_connection(tls, sock)
        handshake = Handshake(pump, sock, connection, done, lambda error: attempt.fail(failed(connection, error)))
        attempt.on_abandon(abandon)
        pump.hand_over(sock.fileno(), handshake)
        pump.soon(handshake)

    return prelude

