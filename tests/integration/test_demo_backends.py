"""The demo's backends over loopback, with Autobahn as the visitor."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import defer, reactor
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase

from gateway.demo.backends import DemoBackends

_timeout = 10


class _Visitor(WebSocketClientProtocol):
    """Keeps what it hears, and lets a test wait for something."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, Any]] = []
        self.closed: defer.Deferred[tuple[int | None, str | None]] = defer.Deferred()
        self._waiting: list[tuple[Callable[[dict[str, Any]], bool], defer.Deferred[dict[str, Any]]]] = []

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        message = json.loads(payload)
        self.heard.append(message)
        for entry in tuple(self._waiting):
            if entry[0](message):
                self._waiting.remove(entry)
                entry[1].callback(message)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.closed.callback((code, reason))

    def hears(self, kind: str, **values: Any) -> defer.Deferred[dict[str, Any]]:
        """The first message of a kind with these values, also of those that came already."""

        def wanted(message: dict[str, Any]) -> bool:
            return message["type"] == kind and values.items() <= message.items()

        for message in self.heard:
            if wanted(message):
                return defer.succeed(message)
        heard: defer.Deferred[dict[str, Any]] = defer.Deferred()
        self._waiting.append((wanted, heard))
        return heard.addTimeout(_timeout, reactor)

    def says(self, **message: Any) -> None:
        self.sendMessage(json.dumps(message).encode())


class _Answer(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.done: defer.Deferred[bytes] = defer.Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.done.callback(self.data)


class DemoBackendsTests(TestCase):
    async def start(self, count: int = 2) -> list[tuple[str, int]]:
        self.demo = DemoBackends(reactor, count)
        self.addCleanup(self.demo.stop)
        return await self.demo.start()

    async def visit(self, address: tuple[str, int]) -> _Visitor:
        factory = WebSocketClientFactory(f"ws://{address[0]}:{address[1]}/chat", reactor=reactor)
        factory.protocol = _Visitor
        factory.noisy = False
        factory.setProtocolOptions(
            failByDrop=False, openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        visitor = await HostnameEndpoint(reactor, *address).connect(factory)
        self.addCleanup(self.leave, visitor)
        await visitor.hears("hello")
        return visitor

    async def leave(self, visitor: _Visitor) -> None:
        if not visitor.closed.called:
            visitor.transport.loseConnection()
            await visitor.closed

    async def ask(self, address: tuple[str, int], request: str) -> bytes:
        answer = await connectProtocol(HostnameEndpoint(reactor, *address), _Answer())
        answer.transport.write(f"{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return await answer.done.addTimeout(_timeout, reactor)

    async def test_addresses(self) -> None:
        addresses = await self.start(3)
        self.assertEqual(len(set(addresses)), 3)
        self.assertEqual(list(self.demo.names.values()), ["blue", "green", "amber"])
        self.assertEqual(list(self.demo.names), [f"{host}:{port}" for host, port in addresses])
        self.assertIn(b'{"backend": "green"}', await self.ask(addresses[1], "GET /api/whoami HTTP/1.1"))

    def test_count(self) -> None:
        self.assertRaises(ValueError, DemoBackends, reactor, 0)
        self.assertRaises(ValueError, DemoBackends, reactor, 7)

    async def test_one_room_for_both(self) -> None:
        blue_address, green_address = await self.start()
        blue, green = await self.visit(blue_address), await self.visit(green_address)
        self.assertEqual([(await one.hears("hello"))["backend"] for one in (blue, green)], ["blue", "green"])
        green.says(type="say", text="  hello \U0001f44b <b> ")
        message = await blue.hears("message", backend="green")
        self.assertEqual(message["text"], "hello \U0001f44b <b>")
        blue.sendClose(1000)
        self.assertEqual((await blue.closed)[0], 1000)
        await green.hears("left", visitor={"id": message["from"] - 1, "backend": "blue"})

    async def test_control_by_socket(self) -> None:
        addresses = await self.start()
        visitor = await self.visit(addresses[0])
        visitor.says(type="fail", backend="green")
        await visitor.hears("state")
        while not visitor.heard[-1]["backends"][1]["failing"]:
            await self.ask(addresses[0], "GET /health HTTP/1.1")
        self.assertIn(b"HTTP/1.1 503", await self.ask(addresses[1], "GET /health HTTP/1.1"))
        self.assertIn(b"HTTP/1.1 200", await self.ask(addresses[0], "GET /health HTTP/1.1"))

    async def test_pool_changes_are_pushed(self) -> None:
        (address,) = await self.start(1)
        visitor = await self.visit(address)
        seen = {"address": f"{address[0]}:{address[1]}", "state": "down"}
        self.demo.pool_state = lambda: [{"backends": [seen]}]
        await visitor.hears("state")
        visitor.heard.clear()
        self.demo.pool_changed("anything")
        self.assertEqual((await visitor.hears("state"))["backends"][0]["gateway"], seen)

    async def test_close_codes(self) -> None:
        (address,) = await self.start(1)
        for payload, binary, expected in (
            (b"\0", True, 1003),
            (b"not json", False, 1007),
            (b"[" * 3000, False, 1007),
            (b"\xff\xfe", False, 1007),
            (b'"text"', False, 1008),
            (b'{"type":"dance"}', False, 1008),
            (b'{"type":"say","text":7}', False, 1008),
            (b'{"type":"fail","backend":["blue"]}', False, 1008),
            (b"x" * 5000, False, 1009),
        ):
            visitor = await self.visit(address)
            visitor.sendMessage(payload, binary)
            self.assertEqual((await visitor.closed)[0], expected, payload[:20])

    async def test_long_text(self) -> None:
        (address,) = await self.start(1)
        visitor = await self.visit(address)
        visitor.says(type="say", text="x" * 501)
        await visitor.hears("error")
        visitor.says(type="say", text="x" * 500)
        await visitor.hears("message")

    async def test_flood(self) -> None:
        (address,) = await self.start(1)
        visitor = await self.visit(address)
        for _ in range(30):
            visitor.says(type="say", text="me")
        self.assertEqual(await visitor.closed, (1008, "too many messages"))
        self.assertLess(len([message for message in visitor.heard if message["type"] == "message"]), 15)

    async def test_stop(self) -> None:
        addresses = await self.start()
        visitors = [await self.visit(address) for address in addresses]
        await self.demo.stop()
        for visitor in visitors:
            self.assertEqual(await visitor.closed, (1001, "the demo stops"))
