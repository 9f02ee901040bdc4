"""The HTTP side of a demo backend: the page, its small API, and the door to the chat.

A plain protocol and not ``twisted.web``: one connection may carry requests and then a WebSocket handshake (a gateway
reuses connections), and not a byte that comes with the handshake may be lost on the way to Autobahn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple, cast

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES

from gateway.demo.chat import ChatFactory
from gateway.demo.room import Room
from gateway.errors import RequestError
from gateway.http.heads import HeadBuffer, parse_request
from gateway.observe.host_guard import may_ask
from gateway.values import RequestHead

__all__ = ["WebFactory", "WebProtocol"]

_IDLE_SECONDS = 120.0
_LARGEST_BODY = 4096

_STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/diagram.js": ("diagram.js", "text/javascript; charset=utf-8"),
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = "application/json"
    allow: str = ""


class WebProtocol(Protocol):
    """One connection from the gateway (or from anybody who looks at a backend directly)."""

    def __init__(self, factory: WebFactory) -> None:
        self._factory = factory
        self._buffer = HeadBuffer()
        self._head: RequestHead | None = None
        self._body = b""
        self._idle: Any = None

    def connectionMade(self) -> None:
        self._factory.connections.add(self)
        self._idle = self._factory.reactor.callLater(_IDLE_SECONDS, self.cut)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._let_go()

    def cut(self) -> None:
        """Let go of the connection at once."""
        cast(ITCPTransport, self.transport).abortConnection()

    def _let_go(self) -> None:
        self._factory.connections.discard(self)
        if self._idle.active():
            self._idle.cancel()

    def dataReceived(self, data: bytes) -> None:
        if self._idle.active():
            self._idle.reset(_IDLE_SECONDS)
        try:
            going_on = True
            while data and going_on:
                data, going_on = self._take_head(data) if self._head is None else self._take_body(data)
        except RequestError as error:
            self._answer(None, _error(error.status, "this request cannot be understood"), close=True)

    def _take_head(self, data: bytes) -> tuple[bytes, bool]:
        """Collect a head; return what follows it, and whether to go on."""
        raw = self._buffer.feed(data)
        if raw is None:
            return b"", True
        rest = self._buffer.rest
        head = parse_request(raw)
        if head.upgrade == "websocket" and head.path == "/chat":
            refusal = self._factory.strange(head)
            if refusal is None:
                self._become_chat(raw + rest)
            else:
                self._answer(head, refusal, close=True)
            return b"", False
        if not 0 <= head.body <= _LARGEST_BODY:
            self._answer(head, _error(413, "the body is too large, or does not say how large it is"), close=True)
            return b"", False
        self._head = head
        # A request without a body is complete already, even if nothing follows.
        return (rest, True) if rest or head.body else self._take_body(b"")

    def _take_body(self, data: bytes) -> tuple[bytes, bool]:
        """Collect the body and answer when it is there; return what follows it, and whether to go on."""
        head = self._head
        assert head is not None
        missing = head.body - len(self._body)
        self._body += data[:missing]
        if len(self._body) < head.body:
            return b"", True
        body, self._body, self._head = self._body, b"", None
        self._answer(head, self._factory.answer(head, body), close=not head.keep_alive)
        return data[missing:], head.keep_alive

    def _become_chat(self, data: bytes) -> None:
        """Hand the connection to Autobahn, with every byte that has arrived."""
        transport = cast(Any, self.transport)
        protocol = cast(Protocol, self._factory.chat.buildProtocol(transport.getPeer()))
        self._let_go()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(data)

    def _answer(self, head: RequestHead | None, answer: _Answer, close: bool) -> None:
        reason = RESPONSES.get(answer.status, b"").decode()
        fields = [
            f"HTTP/1.1 {answer.status} {reason}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"X-Demo-Backend: {self._factory.name}",
        ]
        if answer.content_type.startswith("text/html"):
            fields.append(f"Content-Security-Policy: {_POLICY}")
        if answer.allow:
            fields.append(f"Allow: {answer.allow}")
        if close:
            fields.append("Connection: close")
        elif head is not None and head.version == "1.0":
            fields.append("Connection: keep-alive")
        body = b"" if head is not None and head.method == "HEAD" else answer.body
        transport = self.transport
        assert transport is not None
        transport.write("\r\n".join([*fields, "", ""]).encode("latin-1") + body)
        if close:
            transport.loseConnection()


class WebFactory(Factory):
    """One backend's HTTP server. ``hosts``: names it may be addressed by besides addresses and ``localhost``."""

    noisy = False

    def __init__(self, reactor: Any, room: Room, name: str, hosts: Collection[str] = ()) -> None:
        self.reactor = reactor
        self.room = room
        self.name = name
        self.chat = ChatFactory(reactor, room, name)
        self.connections: set[WebProtocol] = set()
        self._hosts = hosts
        here = Path(__file__).parent
        self._static = {path: _Answer(200, (here / file).read_bytes(), kind) for path, (file, kind) in _STATIC.items()}
        self._pages: dict[str, Callable[[], _Answer]] = {
            "/health": self._health,
            "/api/whoami": lambda: _json(200, {"backend": name}),
            "/api/state": lambda: _json(200, {"backends": self.room.state()}),
        }

    def buildProtocol(self, addr: Any) -> WebProtocol:
        return WebProtocol(self)

    def strange(self, head: RequestHead) -> _Answer | None:
        """Refuse what another site's page does in a visitor's browser: by its Origin, or by a rebound name as Host."""
        if not may_ask(head.host, self._hosts):
            return _error(421, "open the demo by an IP address or as localhost")
        origin = head.get("origin")
        foreign = origin is not None and origin.partition("://")[2].lower() != head.host.lower()
        if foreign or head.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _error(403, "only the demo's own page may do that")
        return None

    def answer(self, head: RequestHead, body: bytes) -> _Answer:
        """The answer to a request that is not a handshake for the chat."""
        path = head.path
        page = self._pages.get(path)
        static = self._static.get(path)
        if page is not None or static is not None:
            if head.method not in ("GET", "HEAD"):
                return _error(405, "only GET and HEAD", "GET, HEAD")
            if page is not None:
                return page()
            assert static is not None
            return static
        if path.startswith("/api/backends/"):
            return self._control(head, path.split("/")[3:])
        if path == "/chat":
            return _error(400, "the chat is a WebSocket")
        return _error(404, "there is nothing here")

    def _health(self) -> _Answer:
        if self.room.failing(self.name):
            return _Answer(503, f"{self.name} was told to fail its probe\n".encode(), "text/plain; charset=utf-8")
        return _Answer(200, f"{self.name} is well\n".encode(), "text/plain; charset=utf-8")

    def _control(self, head: RequestHead, parts: list[str]) -> _Answer:
        if len(parts) != 2 or parts[0] not in self.room.backends or parts[1] not in ("fail", "recover"):
            return _error(404, "it is /api/backends/NAME/fail or /api/backends/NAME/recover")
        if head.method != "POST":
            return _error(405, "only POST", "POST")
        refusal = self.strange(head)
        if refusal is not None:
            return refusal
        if (head.get("content-type") or "").partition(";")[0].strip().lower() != "application/json":
            return _error(415, "Content-Type must be application/json")
        (self.room.fail if parts[1] == "fail" else self.room.recover)(parts[0])
        return _json(200, {"backends": self.room.state()})


def _json(status: int, value: Any) -> _Answer:
    return _Answer(status, (json.dumps(value) + "\n").encode())


def _error(status: int, message: str, allow: str = "") -> _Answer:
    return _json(status, {"error": message})._replace(allow=allow)
