"""How a connection to a TLS port of Twisted's begins: with a handshake, or with a client that forgets the TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from gateway.interfaces import ISecureFactory
from gateway.transport.greetings import HANDSHAKE_TIMEOUT, Greetings, begins_tls, late
from gateway.transport.hello import MOST_HELLO, Ear
from gateway.transport.twisted_tls import TwistedTLS
from gateway.transport.twisted_transport import Guest, SecureGuest

__all__ = ["Greeting", "GreetingFactory"]


class Greeting:
    """One accepted connection until it has its protocol.

    ``build(factory, address)`` makes a protocol; ``factory`` is that of the road's user.  ``everybody`` are those
    in progress.  ``offered``: what came of the client's hello, where somebody wants to see it.
    """

    offered = b""

    def __init__(
        self, reactor: Any, factory: Any, build: Callable[[Any, Any], Any], everybody: Greetings
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._build = build
        self._everybody = everybody
        self._hooks: Any = ISecureFactory(factory, None)
        self._late = False
        self._timer = reactor.callLater(HANDSHAKE_TIMEOUT, self._timed_out)
        everybody.add(self)
        self.guest = SecureGuest(reactor, True, self._greeted, self._gone, _nothing, _nothing)
        self.guest.greeting = self

    def give_up(self) -> None:
        """The road stops."""
        self._hooks = None
        self.guest.abort()

    def crowded_out(self, error: Exception) -> None:
        """See `Greetings`."""
        hooks, self._hooks = self._hooks, None
        if hooks is not None:
            hooks.handshake_failed(self.guest.transport.getPeer(), error)
        self.guest.abort()

    def speaks_plainly(self, secure: TwistedTLS, data: bytes) -> bool:
        """The client's first bytes are not TLS: put a protocol for that in place of ``secure``, if there is one."""
        hooks = self._hooks
        if hooks is None or hooks.plain is None:
            return False
        self._settled()
        self.guest.lost = True
        transport: Any = secure.transport
        guest = Guest(
            self._reactor, False, lambda address, _: self._build(hooks.plain, address), _nothing, _nothing, _nothing
        )
        if guest.prepare(transport.getPeer()):
            secure.factory.unregisterProtocol(secure)
            transport.protocol = guest
            guest.makeConnection(transport)
            guest.dataReceived(data)
        else:
            transport.loseConnection()
        return True

    def _greeted(self, address: Any, connection: Any) -> Any:
        self._settled()
        return self._build(self._factory, address)

    def _gone(self, reason: Failure) -> None:
        if not self._settled():
            return  # it was the factory that did not want it
        if self._hooks is not None:
            error = reason.value
            if self._late and isinstance(error, ConnectionAborted):
                error = late()
            self._hooks.handshake_failed(self.guest.transport.getPeer(), error)

    def _settled(self) -> bool:
        if self._timer.active():
            self._timer.cancel()
        return self._everybody.discard(self)

    def _timed_out(self) -> None:
        self._late = True
        self.guest.abort()


def _nothing(*_: Any) -> None:
    """Nobody has to be told."""


class _Listening(TwistedTLS):
    """TLS, if the client begins it."""

    _heard = False
    _hello = b""
    _ear: Ear | None = None
    wrappedProtocol: Any
    factory: GreetingFactory

    def dataReceived(self, data: bytes) -> None:
        """What the client sends; its first byte says what it speaks."""
        if not self._heard:
            greeting = self.wrappedProtocol.greeting
            if not self._hello and not begins_tls(data[0]) and greeting.speaks_plainly(self, data):
                return
            self._heard = not self._listens() or self._is_met(greeting, data)
        super().dataReceived(data)

    def _listens(self) -> bool:
        if self._ear is None and getattr(self.factory.tls, "listens", False):
            self._ear = Ear()
        return self._ear is not None

    def _is_met(self, greeting: Greeting, data: bytes) -> bool:
        """Whether the hello is known, or never will be. OpenSSL, which gets this next, cannot act on a part of it."""
        assert self._ear is not None and self._tlsConnection is not None
        self._hello = sent = (self._hello + data)[:MOST_HELLO]
        hello = self._ear.hear(sent)
        if hello is None:
            return False
        self._hello, self._ear = b"", None
        greeting.offered = self.factory.tls.meet(self._tlsConnection, hello)
        return True


class GreetingFactory(TLSMemoryBIOFactory):
    """As Twisted's, for servers, with protocols that listen before they speak. ``tls``: see `server_welcome`.

    ``hooks`` are the `ISecureFactory` of the road's user, if any.
    """

    noisy = False
    protocol = _Listening

    def __init__(self, acceptor: Any, factory: Any, tls: Any, greetings: Greetings, hooks: Any) -> None:
        super().__init__(acceptor, False, factory)
        self.tls = tls
        self._greetings = greetings
        self._hooks = hooks

    def buildProtocol(self, addr: Any) -> Any:
        """``None`` where there is no room for another handshake."""
        return super().buildProtocol(addr) if self._greetings.make_room(self._hooks, addr) else None
