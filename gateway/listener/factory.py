"""The factory behind one bound port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from gateway.http.heads import HeadLimits
from gateway.listener.http1 import ClientConnection

if TYPE_CHECKING:
    from gateway.exchange import Surroundings
    from gateway.listener.forwarded import TrustedProxies

__all__ = ["ListenerFactory"]


class ListenerFactory(Factory):
    """Makes a `ClientConnection` for each client and knows those that are open.

    ``listener`` is the name of the first listener on the port, ``port`` the port clients see.  ``admits`` is asked
    before each connection; where it says no the connection is closed at once.
    """

    noisy = False
    protocol = ClientConnection  # type: ignore[assignment]

    def __init__(
        self,
        listener: str,
        port: int,
        shared: Surroundings,
        trusted: TrustedProxies,
        *,
        tls: bool = False,
        admits: Callable[[], bool] = lambda: True,
        lost: Callable[[ClientConnection], None] = lambda connection: None,
    ) -> None:
        limits = shared.limits
        self.listener = listener
        self.port = port
        self.shared = shared
        self.trusted = trusted
        self.tls = tls
        self.scheme = "https" if tls else "http"
        self.head_limits = HeadLimits(limits.max_head_bytes, limits.max_fields, limits.max_target_bytes)
        self.connections: set[ClientConnection] = set()
        self.lost = lost
        self._admits = admits

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection | None:  # type: ignore[override]
        if not self._admits():
            return None
        return self.protocol(self)
