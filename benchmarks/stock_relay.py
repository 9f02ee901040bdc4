#!/usr/bin/env python3
"""A WebSocket relay as Autobahn's documentation leads to it: its own classes on both legs, message by message.

    python benchmarks/stock_relay.py PORT BACKEND_PORT [--lean]

Each client gets a connection of its own to the backend; the client's 101 waits for the backend's. What one side says
is said to the other.  ``--lean`` switches the UTF-8 check off; no compression is offered either way, as is the default.
Nothing is limited, logged, counted or held back: less than a relay needs in earnest, so that it is as fast as can be.
"""

from __future__ import annotations

import sys
from typing import Any

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from twisted.internet.defer import Deferred

__all__ = ["Relay", "ToBackend", "ToClient"]


class ToClient(WebSocketServerProtocol):
    """The client's leg."""

    factory: Relay
    backend: ToBackend | None = None

    def onConnect(self, request: Any) -> Any:
        """The answer waits for the backend's."""
        self.agreed: Deferred[None] = Deferred()
        self.factory.connect(self)
        return self.agreed

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """To the backend, which is there: the client has been answered."""
        self.backend.sendMessage(payload, isBinary)  # type: ignore[union-attr]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """So it does for the backend."""
        if self.backend is not None:
            self.backend.sendClose()


class ToBackend(WebSocketClientProtocol):
    """The backend's leg."""

    factory: _OneClient

    def onOpen(self) -> None:
        """Now the client can be answered."""
        self.client = self.factory.client
        self.client.backend = self
        self.client.agreed.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """To the client."""
        self.client.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """So it does for the client; one that was never answered is cut."""
        client = self.factory.client
        if client.backend is None:
            client.dropConnection(abort=True)
        else:
            client.sendClose()


class Relay(WebSocketServerFactory):
    """Makes the clients' legs. ``options`` are Autobahn's, for both legs."""

    protocol = ToClient  # type: ignore[assignment]

    def __init__(self, reactor: Any, backend_port: int, **options: Any) -> None:
        super().__init__()
        self.setProtocolOptions(allowNullOrigin=True, **options)
        self._reactor, self._port, self._options = reactor, backend_port, options

    def connect(self, client: ToClient) -> None:
        """Open the other leg."""
        factory = _OneClient(f"ws://127.0.0.1:{self._port}{client.http_request_uri}")
        factory.client = client
        factory.setProtocolOptions(**self._options)
        self._reactor.connectTCP("127.0.0.1", self._port, factory)


class _OneClient(WebSocketClientFactory):
    protocol = ToBackend  # type: ignore[assignment]
    client: ToClient


if __name__ == "__main__":
    from twisted.internet import reactor

    port, backend_port = (int(word) for word in sys.argv[1:3])
    options = {"utf8validateIncoming": False} if "--lean" in sys.argv else {}
    reactor.listenTCP(port, Relay(reactor, backend_port, **options), backlog=1024, interface="127.0.0.1")
    reactor.run()
