"""The factory behind one bound port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from zope.interface import implementer

from gateway.http.heads import HeadLimits
from gateway.interfaces import ISecureFactory
from gateway.listener.admission import Admission
from gateway.listener.handshakes import finding
from gateway.listener.http1 import ClientConnection
from gateway.listener.refusals import PlainFactory, RefusedConnection
from gateway.observe.troubles import Troubles

if TYPE_CHECKING:
    from gateway.errors import SessionEnded
    from gateway.exchange.surroundings import Surroundings
    from gateway.http.forwarded import TrustedProxies
    from gateway.relay.flow import FlowProtocol
    from gateway.relay.sides import ClientSide

__all__ = ["ListenerFactory"]


@implementer(ISecureFactory)
class ListenerFactory(Factory):
    """Makes a `ClientConnection` for each client and knows those that are open.

    ``listener`` is the name of the first listener on the port, ``port`` the port clients see.  ``admission`` is
    asked before each connection; without one all are let in, and who is not gets a 503.  ``connections`` are those
    that were let in, ``refused`` those that were not and are still there.  ``plain`` makes the protocols of clients
    that forget the TLS.
    ``troubles`` counts those that never make a request.  ``goodbye``: nobody listens any more, and what connections are
    told whose TLS handshake was in progress then.
    """

    noisy = False
    goodbye: SessionEnded | None = None
    protocol = ClientConnection  # type: ignore[assignment]

    def __init__(
        self,
        listener: str,
        port: int,
        shared: Surroundings,
        trusted: TrustedProxies,
        *,
        tls: bool = False,
        admission: Admission | None = None,
        lost: Callable[[ClientConnection], None] = lambda connection: None,
        troubles: Troubles | None = None,
    ) -> None:
        self.port = port
        self.tls = tls
        self.scheme = "https" if tls else "http"
        self.connections: set[ClientConnection | ClientSide] = set()
        self.use(listener, shared, trusted)
        self.refused: set[RefusedConnection] = set()
        self.lost = lost
        self._admission = admission or Admission(lambda: 0)
        self.troubles = troubles or Troubles(shared.seconds)

    @property
    def plain(self) -> PlainFactory:
        """Made for whoever asks: it and this would keep each other, and a generation, when nobody listens any more."""
        return PlainFactory(self)

    def use(self, listener: str, shared: Surroundings, trusted: TrustedProxies) -> None:
        """From now on; connections that are open follow with their next request."""
        limits = shared.limits
        self.listener = listener
        self.trusted = trusted
        self.head_limits = HeadLimits(limits.max_head_bytes, limits.max_fields, limits.max_target_bytes)
        self.shared = shared
        for connection in self.connections:
            connection.outdated()

    def buildProtocol(self, addr: IAddress | None) -> FlowProtocol | None:
        refusal = self._admission.admit()
        return self.protocol(self) if refusal is None else self._refused(refusal)

    def admit(self, kind: Callable[[ListenerFactory], ClientConnection]) -> FlowProtocol | None:
        """A protocol of this kind, or one that refuses the client; ``None`` if there are too many of those too."""
        refusal = self._admission.admit()
        return kind(self) if refusal is None else self._refused(refusal)

    def _refused(self, refusal: str) -> RefusedConnection | None:
        self.troubles.refused_connection(self.listener, "" if self.shared.stopping else refusal)
        return RefusedConnection(self) if len(self.refused) < self._admission.most_refused else None

    def has_room(self, handshakes: int) -> bool:
        """See `ISecureFactory`: as many as may be refused afterwards are more than may be let in."""
        return self._admission.refusal(handshakes - self._admission.most_refused) is None

    def handshake_failed(self, peer: Any, error: BaseException) -> None:
        """See `ISecureFactory`."""
        reason, sentence = finding(error)
        self.troubles.failed_handshake(self.listener, getattr(peer, "host", "?"), reason, sentence)
