"""Clients that are answered and not served: those above the limit, and those that forget the TLS of a port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gateway.errors import PlainHTTP
from gateway.http.forwarding import reply_bytes
from gateway.listener.http1 import ClientConnection
from gateway.relay.flow import FlowProtocol
from gateway.values import Reply, RequestHead

if TYPE_CHECKING:
    from gateway.listener.factory import ListenerFactory

__all__ = ["MistakenConnection", "PlainFactory", "RefusedConnection"]

_SECONDS = 2.0
_RETRY_AFTER = "5"
_FULL = Reply(503, (("Retry-After", _RETRY_AFTER),))


class RefusedConnection(FlowProtocol):
    """A client that is not let in: it gets a 503 at once, and two seconds to read it.

    ``deadline`` and ``review`` belong to `Deadlines`.
    """

    deadline = review = float("inf")

    def __init__(self, factory: ListenerFactory) -> None:
        self.factory: Any = factory

    def connectionMade(self) -> None:
        """Answer without waiting for the request; it is read and dropped, for unread bytes would cause a reset."""
        factory = self.factory
        factory.refused.add(self)
        self.transport.write(reply_bytes(_FULL, "GET", "1.1", True, factory.shared.server))
        self.transport.loseWriteConnection()
        shared = factory.shared
        shared.deadlines.set(self, shared.seconds() + _SECONDS)

    def expired(self, now: float) -> None:
        """It has had its time."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.factory.refused.discard(self)
        self.factory.shared.deadlines.clear(self)


class MistakenConnection(ClientConnection):
    """A client that speaks HTTP without TLS to an HTTPS port: its first request is answered with 400."""

    scheme = "http"

    def _begin(self, request: RequestHead, size: int, data: bytes, end: int) -> None:
        if end < len(data):
            self._ahead, self._at = data, end
        self._bad_head(PlainHTTP("HTTP without TLS on a port that speaks HTTPS"), size, request)


class PlainFactory(Factory):
    """Makes the protocols for those connections of an HTTPS port that begin without TLS."""

    noisy = False

    def __init__(self, factory: ListenerFactory) -> None:
        self._factory = factory

    def buildProtocol(self, addr: IAddress | None) -> FlowProtocol | None:
        return self._factory.admit(MistakenConnection)
