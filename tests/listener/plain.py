"""A lane between socket pairs, of whatever implementation, which does what a test says."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway.http.limits import DEFAULT
from tests.transport.loops import TURN, LoopCase
from tests.twins import python

__all__ = ["GET", "KNOWN", "MOST", "OK", "OPEN", "POST", "PREFIX", "SWITCHING", "LaneCase", "some_lane"]

GET = b"GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nDate: x\r\n\r\nok"
OPEN = (
    b"GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX-A: a\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-B: b\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
KNOWN = "X-Known: 1\r\n"
PREFIX = "0123456789abcdef"
MOST = 9000


@cache
def some_lane(base: Any) -> Any:
    """A lane that does what the test says; ``told`` is what it was told. ``goes(host)`` is who gets a request."""

    class SomeLane(base):  # type: ignore[misc]
        def __init__(self, client: Any, limits: Any = DEFAULT, most: int = MOST) -> None:
            super().__init__(client, KNOWN.encode(), PREFIX, limits, most)
            self.told: list[Any] = []
            self.goes: Any = None
            self.ends: Any = lambda: None

        def decide(self, host: str) -> Any:
            self.told.append(self.head())
            return self.goes(host)

        def goes_on(self) -> None:
            self.told.append(("goes on", self.left))

        def ended(self) -> None:
            self.told.append((self.status, self.content_type, self.passed, self.answered))
            self.ends()

        def opened(self, early: bytes) -> None:
            self.told.append((self.status, early, self.passed, self.answered))
            self.ends()

        def send(self) -> None:
            self.told.append(("send", self.body()))

        def resume(self) -> None:
            self.told.append("resume")
            self.detach()

    return SomeLane


class LaneCase(LoopCase):
    """A client with a lane, and a backend. ``implementation``: see `tests.twins.of_each`."""

    implementation: dict[str, Any]

    def kinds(self) -> tuple[Any, Any]:
        return self.implementation["Loop"], self.implementation["Stream"]

    def kind(self) -> Any:
        """The class to test."""
        return self.implementation["Lane"]

    def setUp(self) -> None:
        super().setUp()
        self.make = some_lane(self.kind())
        self.client, self.person = self.stream()
        self.backend, self.server = self.stream()
        self.lane = self.make(self.client)
        self.lane.goes = lambda host: self.backend

    def asks(self, data: bytes = GET) -> bytes:
        """What the backend gets when the client has said this."""
        self.person.send(data)
        self.loop.turn(TURN)
        return self.take(self.server)

    def answers(self, data: bytes = OK) -> bytes:
        """What the client gets when the backend has said this."""
        self.server.send(data)
        self.loop.turn(TURN)
        return self.take(self.person)

    def passed(self, data: bytes, limits: Any = DEFAULT) -> bytes:
        """What Python makes of a request."""
        end = data.index(b"\r\n\r\n") + 4
        head = python["parse_request"](data[:end], limits)
        named = f"X-Original-Host: {head.host}\r\nX-Original-URL: {head.target}\r\nX-AppGW-Trace-Id: "
        added = f"{KNOWN}{named}{self.lane.trace_id}\r\n"
        sent: bytes = python["request_bytes"](head, head.target, head.host, added, head.body, bool(head.upgrade))
        return sent + data[end:]

    def returned(self, data: bytes, method: str = "GET", close: bool = False) -> bytes:
        """What Python makes of a response."""
        end = data.index(b"\r\n\r\n") + 4
        head = python["parse_response"](data[:end], method)
        sent: bytes = python["response_bytes"](head, "1.1", head.body, close, head.status == 101)
        return sent + data[end:]
