"""A backend to put behind the gateway: python backend.py PORT

    GET /           says which backend it is
    GET /health     200, or 503 between POST /out and POST /in
    ws  /echo       says which backend it is, then sends every message back
"""

from __future__ import annotations

import sys

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class Echo(WebSocketServerProtocol):
    """One WebSocket session."""

    def onOpen(self) -> None:
        """Greet."""
        self.sendMessage(f"you talk to {self.factory.backend.name}".encode())

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it back as it came."""
        self.sendMessage(payload, isBinary)


class Backend(Resource):
    """All paths but /echo."""

    isLeaf = False

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.healthy = True
        sockets = WebSocketServerFactory()
        sockets.protocol = Echo
        sockets.backend = self
        self.putChild(b"echo", WebSocketResource(sockets))

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Everything else is answered here."""
        return self

    def render_GET(self, request: Request) -> bytes:
        """The page, or the answer to a probe."""
        request.setHeader("Content-Type", "text/plain")
        if request.path == b"/health":
            request.setResponseCode(200 if self.healthy else 503)
            return b"fine\n" if self.healthy else b"out\n"
        return f"hello from {self.name}\n".encode()

    def render_POST(self, request: Request) -> bytes:
        """Go out of the pool, or come back."""
        self.healthy = request.path != b"/out"
        return b"in\n" if self.healthy else b"out\n"


if __name__ == "__main__":
    port = int(sys.argv[1])
    reactor.listenTCP(port, Site(Backend(f"backend {port}")), interface="127.0.0.1")
    reactor.run()
