"""Say something over a WebSocket and print what comes back: python talk.py ws://127.0.0.1:8080/echo hello

Prints the greeting and one answer for each word, closes, and ends with status 0; with 1 where the connection was
refused or lost.
"""

from __future__ import annotations

import sys

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from twisted.internet import reactor
from twisted.internet.ssl import CertificateOptions


class Talk(WebSocketClientProtocol):
    """One session: a word, its answer, the next word."""

    def onOpen(self) -> None:
        """Begin with the greeting, which comes by itself."""
        self.words = sys.argv[2:]

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Print it and say the next word."""
        print(payload.decode(), flush=True)
        if self.words:
            self.sendMessage(self.words.pop(0).encode())
        else:
            self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The end, wanted or not."""
        if code != 1000:
            print(f"closed with {code}: {reason}", file=sys.stderr)
        self.factory.status = 0 if code == 1000 else 1
        if reactor.running:
            reactor.stop()


if __name__ == "__main__":
    factory = WebSocketClientFactory(sys.argv[1])
    factory.protocol = Talk
    factory.status = 1
    unverified = CertificateOptions(verify=False) if factory.isSecure else None  # the tutorial's own certificate
    connectWS(factory, unverified)
    reactor.run()
    sys.exit(factory.status)
