"""Twisted's TLS with two directions that end one by one, each with a ``close_notify`` (RFC 8446 §6.1).

Twisted ends both with the first.  All that it asks OpenSSL goes through an object that we make for it
(``IOpenSSLServerConnectionCreator``), so that one can keep the peer's end to itself.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides

__all__ = ["MemoryConnection", "TwistedTLS"]

_ALERT = 4096
"""More bytes than ``close_notify`` takes."""


class MemoryConnection(SSL.Connection):
    """A connection over memory; its application data is the `TwistedTLS` that uses it."""

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """As there is nothing to read, where the peer has ended its direction and ours goes on."""
        try:
            return super().recv(bufsiz, flags)
        except SSL.ZeroReturnError:
            if not self.get_app_data().peer_ended():
                raise
        raise SSL.WantReadError()

    def shutdown(self) -> bool:
        """Send ``close_notify``, unless the peer is not to hear it."""
        if self.get_app_data().truncating:
            raise SSL.Error()
        return super().shutdown()


class TwistedTLS(TLSMemoryBIOProtocol):
    """TLS for a `gateway.transport.twisted_transport.SecureGuest`.

    Nothing is aggregated, as Twisted does for clients: what is written is with TCP before ``close_notify`` is.
    ``in_order``: the TCP connection has ended, and not with a reset or another error.
    """

    in_order = truncating = False
    _peer_ended = False
    transport: Any
    wrappedProtocol: Any

    def peer_ended(self) -> bool:
        """The peer's ``close_notify`` is there: whether that leaves our direction as it is."""
        if self.disconnecting or not self.wrappedProtocol.half_closeable:
            return False
        if not self._peer_ended:
            self._peer_ended = True
            # TCP's end, which mostly follows at once, is none of our direction either.
            alsoProvides(self.transport.protocol, IHalfCloseableProtocol)
            self.wrappedProtocol.peer_ended()
        return True

    def readConnectionLost(self) -> None:
        """TCP's end, behind that of TLS."""

    def writeConnectionLost(self) -> None:
        """TCP's directions are not closed one by one from here."""

    def end_writing(self) -> bool:
        """Send ``close_notify``, and read on; whether both directions have ended now."""
        connection = self.getHandle()
        try:
            both = connection.shutdown()
            self.transport.write(connection.bio_read(_ALERT))
        except SSL.Error:
            return False  # broken, which Twisted finds out for itself
        return both

    def truncate(self) -> None:
        """Close without ``close_notify`` when everything is sent and the peer has closed too.

        What it sends until then is read: closing would be a reset otherwise.
        """
        self.truncating = self.disconnecting = True
        self.transport.loseWriteConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The TCP connection is over."""
        self.in_order = bool(reason.check(ConnectionDone))
        super().connectionLost(reason)
