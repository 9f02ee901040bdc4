"""Sessions whose messages pass through filters, through the whole gateway, over both roads."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame as LibraryFrame
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from tests.integration.harness import Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.sessions import MASK, PLAIN, Library, Opened, SessionTestCase
from tests.integration.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    agree,
    close,
    frame,
    handshake,
    read_close,
    read_frame,
)
from tests.integration.wire import Wire

MIB = 1 << 20


def filtered(*names: str) -> dict[str, Any]:
    """A configuration whose rule has these filters of `tests.integration.filters`."""
    filters = [f"tests.integration.filters:{name}" for name in names]
    rule = {"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "filters": filters}
    return {"rules": [rule]}


class MessageTests(SessionTestCase):
    """What comes through, and what a filter makes of it."""

    async def passes(self, session: Opened, inbound: bytes, outbound: bytes) -> None:
        session.client.write(inbound)
        self.assertTrue(await session.server.exactly(len(inbound)) == inbound)
        session.server.write(outbound)
        self.assertTrue(await session.client.exactly(len(outbound)) == outbound)

    async def test_unchanged(self) -> None:
        session = await self.opened(**filtered("look", "look"))
        for size in (0, 1, 125, 126, 5000):
            payload = os.urandom(size)
            await self.passes(session, frame(BINARY, payload, MASK), frame(BINARY, payload))
        await self.passes(session, frame(TEXT, b"hi", MASK) * 5000, frame(TEXT, b"ho") * 5000)

    async def test_large_ones(self) -> None:
        session = await self.opened(**filtered("look"))
        for size in (65535, 65536, 4 * MIB):
            payload = os.urandom(size)
            session.client.write(frame(BINARY, payload, MASK))
            got = await read_frame(session.server)
            self.assertTrue(got.masked and got.payload == payload)
            session.server.write(frame(BINARY, payload))
            self.assertTrue((await read_frame(session.client)).payload == payload)

    async def test_fragments_and_pings(self) -> None:
        session = await self.opened(**filtered("look"))
        pieces = frame(TEXT, b"one ", MASK, fin=False) + frame(PING, b"?", MASK)
        session.client.write(pieces)
        self.assertEqual((PING, b"?"), (await read_frame(session.server))[2:5:2])
        session.client.write(frame(CONTINUATION, b"two", MASK))
        found = [await read_frame(session.server) for _ in range(2)]
        self.assertEqual([(False, TEXT, b"one "), (True, CONTINUATION, b"two")], [(f[0], f[2], f[4]) for f in found])

    async def test_changed(self) -> None:
        session = await self.opened(**filtered("look", "shout"))
        session.client.write(frame(TEXT, "stra\u00dfe".encode(), MASK))
        self.assertEqual(b"STRASSE", (await read_frame(session.server)).payload)
        session.server.write(frame(TEXT, b"quiet"))
        self.assertEqual(b"quiet", (await read_frame(session.client)).payload)

    async def test_verdicts(self) -> None:
        session = await self.opened(**filtered("talk"))
        for text in (b"drop", b"answer", b"wait", b"last"):
            session.client.write(frame(TEXT, text, MASK))
        self.assertEqual(b"answered", (await read_frame(session.client)).payload)
        self.assertEqual(b"waited", (await read_frame(session.server)).payload)
        self.assertEqual(b"last", (await read_frame(session.server)).payload)
        session.server.write(frame(TEXT, b"close"))
        self.assertEqual((4444, "as asked", False), await read_close(session.client))
        self.assertEqual((4444, "as asked", True), await read_close(session.server))
        session.client.write(close(4444, "", MASK))
        session.server.write(close(4444))
        await session.client.rest()
        await self.ended(session.gateway, "filter", "gateway", 4444)

    async def test_other_protocols_are_not_asked_for(self) -> None:
        """Nobody could look into what they carry, and a backend may speak WebSocket there all the same."""

        async def serve(wire: Wire) -> None:
            while True:
                seen.append(await read_request(wire))
                wire.write(answers.pop(0))

        seen: list[Any] = []
        answers = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket/13\r\nConnection: Upgrade\r\n\r\n",
        ]
        gateway = await self.gateway(model_for(await self.backend(serve), **filtered("look")))
        client = await self.client(gateway)
        for status in 200, 502:
            client.write(handshake().replace(b"Upgrade: websocket", b"Upgrade: websocket/13"))
            response = await read_response(client)
            self.assertEqual(status, response.status)
            self.assertEqual((None, None), (seen[-1].get("Upgrade"), seen[-1].get("Connection")))
        await gateway.quiet()

    async def test_one_that_raises_costs_one_session(self) -> None:
        session = await self.opened(**filtered("talk"))
        other = await self.client(session.gateway)
        other.write(handshake())
        self.assertEqual(101, (await read_response(other)).status)
        session.client.write(frame(TEXT, b"raise", MASK))
        self.assertEqual((1011, "a message filter failed", False), await read_close(session.client))
        self.assertEqual(1011, (await read_close(session.server))[0])
        session.client.write(close(1011, "", MASK))
        session.server.write(close(1011))
        await session.client.rest()
        outcome = await session.gateway.outcome()
        self.assertEqual(("plugin_failed", 1011), (outcome.cause, outcome.close_code))
        other.write(frame(TEXT, b"still", MASK))
        self.assertEqual(b"still", (await read_frame(session.backend.wires[1])).payload)


class BuiltInTests(SessionTestCase):
    """The gateway's own filters, by name and with options."""

    async def test_in_a_row(self) -> None:
        schema = {"type": "object", "required": ["op"]}
        path = self.mktemp()
        filters = [
            {"strategy": "log-tap", "options": {"file": path}},
            {"strategy": "size-limit", "options": {"maxBytes": 100}},
            {"strategy": "rate-limit", "options": {"messages": 50, "burst": 0.02, "then": "delay"}},
            {"strategy": "json-schema", "options": {"schema": schema, "then": "drop"}},
        ]
        rule = {"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "filters": filters}
        session = await self.opened(rules=[rule])
        for payload in (b'{"op": 1}', b"nonsense", b'{"op": 2}'):
            session.client.write(frame(TEXT, payload, MASK))
        self.assertEqual(b'{"op": 1}', (await read_frame(session.server)).payload)
        self.assertEqual(b'{"op": 2}', (await read_frame(session.server)).payload)
        session.server.write(frame(TEXT, b"x" * 200))
        self.assertEqual(b"x" * 200, (await read_frame(session.client)).payload)
        session.client.write(frame(TEXT, b"x" * 200, MASK))
        self.assertEqual((1009, "message too big", False), await read_close(session.client))
        session.client.close()
        session.server.close()
        await session.gateway.quiet()
        with open(path) as lines:
            found = [json.loads(line) for line in lines]
        self.assertEqual(["client", "client", "client", "backend", "client"], [line["sender"] for line in found])


class EndTests(SessionTestCase):
    """Close codes and reasons go on; who breaks the rules is told so."""

    async def test_close_codes_both_ways(self) -> None:
        for code in (1000, 1001, 1011, 1013, 1014, 3000, 4999):
            session = await self.opened(**filtered("look"))
            session.client.write(close(code, "gr\u00fc\u00dfe", MASK))
            self.assertEqual((code, "gr\u00fc\u00dfe", True), await read_close(session.server))
            session.server.write(close(code, "back"))
            self.assertEqual((code, "back", False), await read_close(session.client))
            await session.client.rest()
            await self.ended(session.gateway, "ok", "client", code)

    async def test_who_vanishes(self) -> None:
        session = await self.opened(**filtered("look"))
        session.client.write(frame(TEXT, b"half", MASK)[:7])
        session.client.reset()
        self.assertEqual((1001, "client gone", True), await read_close(session.server))
        session.server.write(close(1001))
        await session.server.gone()
        await self.ended(session.gateway, "client_gone", "client", 1006)

    async def test_who_breaks_the_rules(self) -> None:
        for wrong, code, cause, deed in (
            (frame(TEXT, b"\xff", MASK), 1007, "invalid_payload", "sent an invalid payload"),
            (frame(TEXT, b"x", MASK, reserved=4), 1002, "protocol_error", "broke the protocol"),
            (frame(TEXT, b"x"), 1002, "protocol_error", "broke the protocol"),
            (close(1005, "", MASK), 1002, "protocol_error", "broke the protocol"),
            (frame(BINARY, b"x" * 2000, MASK), 1009, "message_too_big", "sent a message that is too big"),
        ):
            session = await self.opened(**filtered("look"), limits={"max_message_bytes": 1000})
            session.client.write(frame(TEXT, b"ok", MASK) + wrong)
            self.assertEqual(b"ok", (await read_frame(session.server)).payload)
            self.assertEqual(code, (await read_close(session.client))[0])
            self.assertEqual((1001, f"the client {deed}", True), await read_close(session.server))
            session.client.close()
            session.server.close()
            await self.ended(session.gateway, f"client_{cause}", "gateway", code)

    async def test_idle(self) -> None:
        session = await self.opened(**filtered("look"), settings={"web_socket_idle_timeout": 1})
        self.assertEqual(1001, (await read_close(session.client))[0])
        self.assertEqual(1001, (await read_close(session.server))[0])
        session.client.close()
        session.server.close()
        await self.ended(session.gateway, "idle_timeout", "gateway", 1001)

    async def test_shutdown(self) -> None:
        session = await self.opened(**filtered("look"))
        stopped = session.gateway.service.stopService()
        self.assertEqual((1001, "the gateway is shutting down", False), await read_close(session.client))
        self.assertEqual(1001, (await read_close(session.server))[0])
        session.client.write(close(1001, "", MASK))
        session.server.write(close(1001))
        await stopped
        await self.ended(session.gateway, "shutdown", "gateway", 1001)


class PressureTests(SessionTestCase):
    """Somebody who does not read: what is kept for them is bounded."""

    async def bounded(self, session: Opened, source: Wire, target: Wire, mask: bytes | None) -> None:
        """32 MiB in messages of 64 KiB."""
        target.stop_reading()
        target.buffers(receive=65536)
        source.buffers(send=65536)
        message = frame(BINARY, bytes(65536 - (8 if mask else 4)), mask)
        self.assertEqual(65536, len(message))
        source.pour(32 * MIB, message)
        self.assertLess(await session.gateway.settled(lambda: source.poured), 16 * MIB)
        target.write(frame(TEXT, b"still here", None if mask else MASK))
        self.assertEqual(b"still here", (await read_frame(source)).payload)
        target.start_reading()
        for _ in range(512):
            self.assertEqual(65536 - len(message[:8 if mask else 4]), len((await read_frame(target)).payload))

    async def test_a_client_that_does_not_read(self) -> None:
        session = await self.opened(**filtered("look"))
        await self.bounded(session, session.server, session.client, None)

    async def test_a_backend_that_does_not_read(self) -> None:
        session = await self.opened(**filtered("look"))
        await self.bounded(session, session.client, session.server, PLAIN)


class CompressionTests(SessionTestCase):
    """permessage-deflate on each leg, agreed with another library."""

    async def gateway_with(self, extensions: list[Any], **options: Any) -> Running:
        async def serve(wire: Wire) -> None:
            peer = Library(wire, ServerProtocol(extensions=extensions, max_size=None))
            for event in await peer.events():
                peer.protocol.send_response(peer.protocol.accept(event))
            peer.flush()
            while True:
                for event in await peer.events():
                    if isinstance(event, LibraryFrame) and event.opcode in (TEXT, BINARY):
                        peer.protocol.send_binary(bytes(event.data))
                peer.flush()

        settings = {"web_socket_compression": True}
        return await self.gateway(model_for(await self.backend(serve), settings=settings, **options))

    async def test_each_side_may_or_may_not(self) -> None:
        for theirs in ([], [ServerPerMessageDeflateFactory()]):
            gateway = await self.gateway_with(theirs, **filtered("look"))
            for ours in ([], [ClientPerMessageDeflateFactory(client_max_window_bits=True)]):
                protocol = ClientProtocol(parse_uri("ws://chat.example/"), extensions=ours, max_size=None)
                client = Library(await self.client(gateway), protocol)
                protocol.send_request(protocol.connect())
                client.flush()
                await client.events()
                self.assertIsNone(protocol.handshake_exc)
                self.assertEqual(len(ours), len(protocol.extensions))
                for payload in (b"hello", b"", b"again " * 10_000, os.urandom(100_000), b"again " * 10_000):
                    protocol.send_binary(payload)
                    client.flush()
                    echo: list[bytes] = []
                    final = False
                    while not final:
                        for event in await client.events():
                            if isinstance(event, LibraryFrame):
                                echo.append(bytes(event.data))
                                final = event.fin
                    self.assertTrue(payload == b"".join(echo))
                client.wire.reset()

    async def test_a_bomb(self) -> None:
        gateway = await self.gateway_with([], **filtered("look"), limits={"max_message_bytes": MIB})
        wire = await self.client(gateway)
        wire.write(handshake("Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        response = await read_response(wire)
        self.assertEqual("permessage-deflate", response.get("Sec-WebSocket-Extensions"))
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = deflater.compress(bytes(64 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        wire.write(frame(BINARY, bomb[:-4], MASK, reserved=4))
        self.assertEqual((1009, "message too big", False), await read_close(wire))
        wire.close()

    async def test_without_filters_nothing_is_looked_at(self) -> None:
        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            self.assertEqual("x-own", request.get("Sec-WebSocket-Extensions"))
            wire.write(agree(request, "Sec-WebSocket-Extensions: x-own\r\n") + frame(TEXT, b"\xff", reserved=7))
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve), settings={"web_socket_compression": True}))
        client = await self.client(gateway)
        client.write(handshake("Sec-WebSocket-Extensions: x-own\r\n"))
        self.assertEqual("x-own", (await read_response(client)).get("Sec-WebSocket-Extensions"))
        self.assertEqual(b"\xff", (await read_frame(client)).payload)


both_roads(globals())
