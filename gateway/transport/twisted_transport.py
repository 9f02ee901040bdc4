"""Twisted's transports behind the face that the pump's have, for `gateway.transport.twisted_road`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from gateway.transport.hello import suite_names
from gateway.transport.sockets import Truncated, ended, round_trip, unacknowledged
from gateway.transport.tls import client_certificate

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

__all__ = ["Guest", "SecureGuest", "TwistedTransport", "plain_address"]

_log = Logger()


@implementer(ITCPTransport, IPushProducer, IConsumer)
class TwistedTransport:
    """A transport of Twisted's with the attributes that the pump's have."""

    def __init__(self, reactor: Any, transport: Any, guest: Guest, tls: bool) -> None:
        self._reactor = reactor
        self._inner = transport
        self._guest = guest
        self._tls = tls
        name = transport.getHandle().get_servername() if tls else None
        self.server_name = "" if name is None else name.decode("latin-1")
        self._producer: Any = None
        self._streaming = False
        self._detached = False
        self.paused = False
        self.write_closed = False
        self._write_closing = False
        self.truncating = False
        self.disconnecting = False
        self.unsent = 0
        self.tls_version = transport.getHandle().get_protocol_version_name() if tls else ""
        self.tls_cipher = (transport.getHandle().get_cipher_name() or "") if tls else ""
        self.client_certificate = client_certificate(transport.getHandle()) if tls else None
        self.negotiatedProtocol: bytes | None = (transport.negotiatedProtocol or None) if tls else None

    @property
    def connected(self) -> bool:
        """False when the connection is lost."""
        return not self._guest.lost

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent, as far as Twisted lets one see."""
        socket_side = getattr(self._inner, "transport", self._inner) if self._tls else self._inner
        waiting = len(getattr(socket_side, "dataBuffer", b"")) - getattr(socket_side, "offset", 0)
        waiting += getattr(socket_side, "_tempDataLen", 0)
        return waiting + sum(map(len, getattr(self._inner, "_appSendBuffer", ())))

    @property
    def peer_left(self) -> bool:
        """Whether the peer has closed the connection already, though nobody was told yet; it asks the kernel."""
        sock = self._socket()
        return self._guest.lost or (sock is not None and ended(sock))

    @property
    def ciphers_offered(self) -> str:
        """What a TLS client offered, see `suite_names`; empty where that is not known."""
        return suite_names(getattr(self._guest.greeting, "offered", b""))

    @property
    def round_trip(self) -> int | None:
        """Microseconds to the peer and back; it asks the kernel."""
        sock = None if self._guest.lost else self._socket()
        return None if sock is None else round_trip(sock)

    @property
    def unacknowledged(self) -> int:
        """Bytes that the kernel has and the peer's has not; it asks the kernel."""
        sock = None if self._guest.lost else self._socket()
        return 0 if sock is None else unacknowledged(sock)

    def _socket(self) -> Any:
        socket_side = getattr(self._inner, "transport", self._inner) if self._tls else self._inner
        return getattr(socket_side, "socket", None)

    @property
    def protocol(self) -> IProtocol:
        """Who gets the data; may be replaced."""
        return self._guest.inner

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        self._guest.inner = protocol

    def write(self, data: bytes) -> None:
        """See ``ITransport``."""
        if not self._guest.lost and not self._write_closing and (not self.disconnecting or self._pulled()):
            self._inner.write(data)
        else:
            self.unsent += len(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """See ``ITransport``."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close when everything is sent; a pull producer holds it up, a streaming one does not."""
        if self._guest.lost:
            self._guest.let_go()
        if self.disconnecting or self._guest.lost:
            return
        self.disconnecting = True
        if self._pulled():
            return
        if self._producer is not None:
            self._detached = True
            self._inner.unregisterProducer()
        self._lose()

    def abortConnection(self) -> None:
        """See ``ITCPTransport``."""
        self._guest.abort()

    def truncateConnection(self) -> None:
        """See `gateway.transport.tcp.TCPTransport`."""
        self.truncating = self._tls
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """Close the direction from here to there."""
        if self._guest.lost or self._write_closing or self.disconnecting:
            return
        self._write_closing = True
        if not self._tls:
            self._inner.loseWriteConnection()
        else:
            self._reactor.callLater(0, self._guest.write_ended, self._inner.end_writing())

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The other end."""
        return plain_address(self._inner.getPeer())

    def getHost(self) -> IPv4Address | IPv6Address:
        """This end."""
        return plain_address(self._inner.getHost())

    def getPeerCertificate(self) -> Any:
        """The other end's certificate, with TLS."""
        return self._inner.getPeerCertificate() if self._tls else None

    def getTcpNoDelay(self) -> bool:
        """See ``ITCPTransport``."""
        return bool(self._inner.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See ``ITCPTransport``."""
        self._inner.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """See ``ITCPTransport``."""
        return bool(self._inner.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See ``ITCPTransport``."""
        self._inner.setTcpKeepAlive(enabled)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See ``IConsumer``."""
        self._inner.registerProducer(producer, streaming)
        self._producer = producer
        self._streaming = bool(streaming)

    def unregisterProducer(self) -> None:
        """See ``IConsumer``."""
        held_up = self.disconnecting and self._pulled()
        self._producer = None
        if not self._detached:
            self._inner.unregisterProducer()
        if held_up and not self._guest.lost:
            self._lose()

    def pauseProducing(self) -> None:
        """See ``IPushProducer``."""
        self.paused = True
        if not self._guest.lost:
            self._inner.pauseProducing()

    def resumeProducing(self) -> None:
        """See ``IPushProducer``."""
        self.paused = False
        if self._guest.holds():
            self._reactor.callLater(0, self._guest.release)
        elif not self._guest.lost:
            self._inner.resumeProducing()

    def stopProducing(self) -> None:
        """See ``IPushProducer``."""
        self.loseConnection()

    def _pulled(self) -> bool:
        return self._producer is not None and not self._streaming

    def _lose(self) -> None:
        if self.truncating:
            self._inner.truncate()
        elif self.write_closed:
            # Twisted calls connectionLost from inside loseConnection here.
            self._reactor.callLater(0, self._inner.loseConnection)
        else:
            self._inner.loseConnection()

    def stop_detached(self) -> None:
        """Tell a producer that was let go of by `loseConnection` that nobody wants its data."""
        producer, self._producer = self._producer, None
        if self._detached and producer is not None:
            producer.stopProducing()


class Guest(Protocol):
    """Sits between Twisted and a protocol: makes it when the connection may be used, gives it a `TwistedTransport`.

    ``build(address, connection)`` returns the protocol, ``None`` to close, or raises; ``connection`` is OpenSSL's or
    ``None``.  ``gone(reason)`` is called if the connection ends before there is a protocol, ``ready(protocol)`` after
    its ``connectionMade``, ``over()`` after its ``connectionLost``.
    """

    def __init__(
        self, reactor: Any, tls: bool, build: Callable[[Any, SSL.Connection | None], IProtocol | None],
        gone: Callable[[Failure], None], ready: Callable[[IProtocol], None], over: Callable[[], None],
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._tls = tls
        self._build = build
        self._gone = gone
        self._ready = ready
        self._over = over
        self.inner: IProtocol = None  # type: ignore[assignment]
        self.greeting: Any = None
        self.outer: TwistedTransport | None = None
        self.lost = False
        self.transport: Any = None
        self._aborted = False
        self._refused: BaseException | None = None
        self._held: list[bytes] = []
        self._held_eof = False
        self._held_end: Failure | None = None

    def prepare(self, address: Any) -> bool:
        """Make the protocol of a plain connection; Twisted asks whether it is half-closeable before it connects it."""
        inner = self._build(plain_address(address), None)
        if inner is None:
            return False
        self.inner = inner
        if IHalfCloseableProtocol.providedBy(inner):
            alsoProvides(self, IHalfCloseableProtocol)
        return True

    def connectionMade(self) -> None:
        """The TCP connection is there."""
        self.transport.setTcpNoDelay(True)
        if not self._tls:
            self._open()

    def abort(self) -> None:
        """Close with a reset."""
        if self.lost:
            self.let_go()
        elif not self._aborted:
            self._aborted = True
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Pass it on; Twisted's TLS does not heed a pause at once."""
        if self.outer is None or self.outer.disconnecting or self.lost:
            return
        if self.outer.paused or self._held:
            self._held.append(data)
            return
        try:
            self.inner.dataReceived(data)
        except BaseException:
            self._raised()

    def holds(self) -> bool:
        """Whether something came during a pause."""
        return bool(self._held) or self._held_eof or self._held_end is not None

    def release(self) -> None:
        """The pause is over: pass on what came during it."""
        assert self.outer is not None
        held, self._held = self._held, []
        if held and not self.outer.paused and not self.outer.disconnecting:
            try:
                self.inner.dataReceived(b"".join(held))
            except BaseException:
                self._raised()
        elif self.outer.paused:
            self._held = held
        if self.outer.paused:
            return
        if self._held_eof:
            self._held_eof = False
            self._read_ended()
        if self._held_end is not None:
            end, self._held_end = self._held_end, None
            self._end(end)
        elif not self.lost:
            self.outer.resumeProducing()

    def let_go(self) -> None:
        """Nobody waits for the end of a pause: where it is over already, that is told, and nothing before it."""
        end, self._held_end = self._held_end, None
        if end is not None:
            self._held.clear()
            self._held_eof = False
            self._reactor.callLater(0, self._end, end)  # not from inside of the call that gives it up

    def readConnectionLost(self) -> None:
        """The peer closed its direction."""
        assert self.outer is not None
        self.inner.readConnectionLost()  # type: ignore[attr-defined]
        if self.outer.write_closed:
            self.outer.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our direction is closed."""
        assert self.outer is not None
        self.outer.write_closed = True
        self.inner.writeConnectionLost()  # type: ignore[attr-defined]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, with a reason that does not depend on the road."""
        self.lost = True
        if self.outer is None:
            self._gone(Failure(self._refused) if self._refused is not None else reason)
            return
        if self._aborted:
            reason = Failure(ConnectionAborted())
        elif reason.check(SSL.Error):
            reason = Failure(ConnectionLost(str(reason.value)))
        elif self._tls and self.transport.in_order and reason.check(ConnectionLost):
            ours = self.outer.truncating
            reason = connectionDone if ours else Failure(Truncated("the peer closed without close_notify"))
        if self._held and not self.outer.disconnecting and not reason.check(ConnectionAborted):
            self._held_end = reason
        else:
            self._end(reason)

    def _read_ended(self) -> None:
        try:
            self.readConnectionLost()
        except BaseException:
            self._raised()

    def write_ended(self, both: bool) -> None:
        """Our direction of TLS is closed; ``both``: so is the peer's."""
        if self.lost or self.outer is None:
            return
        if IHalfCloseableProtocol.providedBy(self.inner):
            try:
                self.writeConnectionLost()
            except BaseException:
                self._raised()
        if both:
            self.outer.loseConnection()

    def _open(self) -> None:
        self.outer = TwistedTransport(self._reactor, self.transport, self, self._tls)
        try:
            self.inner.makeConnection(self.outer)
        except BaseException:
            self._raised()
        self._ready(self.inner)

    def _raised(self) -> None:
        _log.failure("{protocol} failed, its connection is closed", protocol=type(self.inner).__name__)
        self.abort()

    def _end(self, reason: Failure) -> None:
        assert self.outer is not None
        self.outer.stop_detached()
        try:
            self.inner.connectionLost(reason)
        finally:
            self._over()


@implementer(IHandshakeListener)
class SecureGuest(Guest):
    """A `Guest` that waits for TLS. It is a class of its own because Twisted's endpoints keep only one of a protocol's
    optional interfaces (``_WrappingProtocol.__init__``)."""

    @property
    def half_closeable(self) -> bool:
        """Whether the protocol can do with one direction."""
        return self.outer is not None and IHalfCloseableProtocol.providedBy(self.inner)

    def peer_ended(self) -> None:
        """The peer has closed its direction of TLS."""
        assert self.outer is not None
        if self.outer.paused or self._held:
            self._held_eof = True
        elif not self.outer.disconnecting:
            self._read_ended()

    def handshakeCompleted(self) -> None:
        """TLS is there."""
        try:
            inner = self._build(plain_address(self.transport.getPeer()), self.transport.getHandle())
            if inner is None:
                raise NoProtocol()
        except Exception as error:
            self._refused = error
            self.abort()
            return
        self.inner = inner
        self._open()


def plain_address(name: Any) -> IPv4Address | IPv6Address:
    """IPv4 clients of a dual-stack port appear as what they are."""
    if isinstance(name, IPv6Address) and name.host.startswith("::ffff:") and "." in name.host:
        return IPv4Address("TCP", name.host[7:], name.port)
    return name
