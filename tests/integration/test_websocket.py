"""WebSocket through the whole gateway, over both roads: handshakes, frames, and every way a session can end."""

from __future__ import annotations

import os

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame as LibraryFrame
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from tests.integration.harness import Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_request, read_response
from tests.integration.sessions import MASK, PLAIN, Library, Opened, SessionTestCase
from tests.integration.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
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


class HandshakeTests(SessionTestCase):
    """RFC 6455 §4: checked on both sides, passed on untouched."""

    async def answered(
        self, request: bytes, answer: bytes | None = None, extra: str = ""
    ) -> tuple[Message, list[Message], Running]:
        """What the client gets for a handshake, and what reached the backend. ``answer``: instead of agreeing."""
        heard: list[Message] = []

        async def serve(wire: Wire) -> None:
            while True:
                asked = await read_request(wire)
                heard.append(asked)
                wire.write(agree(asked, extra) if answer is None else answer)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        self.peer = client = await self.client(gateway)
        client.write(request)
        return await read_response(client), heard, gateway

    async def test_untouched(self) -> None:
        response, heard, _ = await self.answered(
            handshake(
                "Origin: https://page.example\r\nCookie: a=1; b=2\r\nSec-WebSocket-Protocol: chat, superchat\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\nX-Own: 1\r\n"
            ),
            extra="Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
            "Set-Cookie: c=3\r\n",
        )
        request = heard[0]
        for name, value in (
            ("Host", "chat.example"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Origin", "https://page.example"),
            ("Cookie", "a=1; b=2"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-other"),
            ("X-Own", "1"),
            ("X-Original-Host", "chat.example"),
        ):
            self.assertEqual(value, request.get(name), name)
        self.assertIsNotNone(request.get("X-Forwarded-For"))
        self.assertEqual(101, response.status)
        for name, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Protocol", "superchat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Set-Cookie", "c=3"),
        ):
            self.assertEqual(value, response.get(name), name)
        for name in ("Content-Length", "Transfer-Encoding"):
            self.assertIsNone(response.get(name), name)

    async def test_forms_that_browsers_send(self) -> None:
        for old, new in (
            (b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
            (b"Upgrade: websocket", b"Upgrade: WebSocket"),
            (b"Connection: Upgrade", b"connection: upgrade"),
        ):
            response, _, _ = await self.answered(handshake().replace(old, new))
            self.assertEqual(101, response.status, new)

    async def test_refused_by_the_backend(self) -> None:
        for answer in (
            b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 6\r\n\r\nlog in',
            b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 6\r\n\r\nlog in",
            b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nlog in\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlog in",
        ):
            response, heard, gateway = await self.answered(handshake(), answer)
            self.assertEqual(answer.split(b"\r\n")[0].decode(), response.line)
            self.assertEqual(b"log in", response.body)
            if response.status == 302:
                self.assertEqual("https://login.example/", response.get("Location"))
            await gateway.quiet()
            self.assertEqual([], gateway.recorder.begun)
            # it was plain HTTP after all, and goes on as such
            self.peer.write(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(b"log in", (await read_response(self.peer)).body)
            self.assertEqual("/next", heard[-1].target)

    async def test_not_a_handshake(self) -> None:
        good = handshake()
        cases = [
            (400, good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short")),
            (400, good.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"!GhlIHNhbXBsZSBub25jZQ==")),
            (400, good.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"")),
            (400, good.replace(b"Sec-WebSocket-Version: 13\r\n", b"")),
            (400, good.replace(b"GET", b"POST")),
            (426, good.replace(b"Version: 13", b"Version: 12")),
            (426, good.replace(b"Version: 13", b"Version: 8")),
        ]
        for status, request in cases:
            response, heard, gateway = await self.answered(request)
            self.assertEqual(status, response.status, request)
            self.assertEqual([], heard)
            if status == 426:
                self.assertEqual("13", response.get("Sec-WebSocket-Version"))
            await gateway.quiet()

    async def test_wrong_agreement(self) -> None:
        good = agree(Message("", [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], b"", [], b""))
        for answer in (
            good.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo"),
            good.replace(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", b""),
            good.replace(b"Upgrade: websocket\r\n", b""),
            good.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
            good.replace(b"Connection: Upgrade\r\n", b""),
            good[:-2] + b"Sec-WebSocket-Protocol: not-offered\r\n\r\n",
            good[:-2] + b"Sec-WebSocket-Extensions: x-not-offered\r\n\r\n",
        ):
            response, _, gateway = await self.answered(handshake(), answer)
            self.assertEqual(502, response.status, answer)
            await gateway.quiet()
            self.assertEqual("backend_protocol_error", (await gateway.outcome()).cause)

    async def test_bytes_behind_the_agreement(self) -> None:
        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)) + frame(TEXT, b"early") + frame(TEXT, b"bird"))
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual(b"early", (await read_frame(client)).payload)
        self.assertEqual(b"bird", (await read_frame(client)).payload)

    async def test_bytes_behind_the_request(self) -> None:
        # against the rules, but known from clients that save a round trip; at least they must not be lost or smuggled
        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            wire.write(agree(request))
            got = await read_frame(wire)
            wire.write(frame(TEXT, got.payload))
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(handshake() + frame(TEXT, b"eager", MASK))
        self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual(b"eager", (await read_frame(client)).payload)

    async def test_backend_that_refuses_connections(self) -> None:
        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            await wire.gone()

        bad, good = await self.backend(Answers()), await self.backend(serve)
        gateway = await self.gateway(model_for(bad, good))
        await bad.refuse()
        for _ in range(2):
            client = await self.client(gateway)
            client.write(handshake())
            self.assertEqual(101, (await read_response(client)).status)

    async def test_no_answer(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve), settings={"request_timeout": 1}))
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(504, (await read_response(client)).status)
        await gateway.quiet()

    async def test_client_that_leaves_during_it(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            await wire.gone()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(handshake())
        await gateway.until(lambda: bool(backend.wires), "the handshake")
        client.reset()
        await gateway.quiet()
        await backend.wires[0].gone()
        self.assertEqual([], gateway.recorder.begun)

    async def test_other_protocol(self) -> None:
        # an upgrade that is not WebSocket: opaque bytes, also half-closed
        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            self.assertEqual(("echo/1", "Upgrade"), (request.get("Upgrade"), request.get("Connection")))
            wire.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo/1\r\nConnection: Upgrade\r\n\r\nhello ")
            wire.write(await wire.rest())
            wire.close()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\n")
        self.assertEqual(101, (await read_response(client)).status)
        client.write(b"\x00\xffwor")
        client.write(b"ld")
        client.half_close()
        self.assertEqual(b"hello \x00\xffworld", await client.rest())
        await gateway.quiet()


class FrameTests(SessionTestCase):
    """What passes through a session that is open."""

    async def passes(self, session: Opened, inbound: bytes, outbound: bytes) -> None:
        """Bytes go through verbatim, both ways."""
        session.client.write(inbound)
        self.assertTrue(await session.server.exactly(len(inbound)) == inbound)
        session.server.write(outbound)
        self.assertTrue(await session.client.exactly(len(outbound)) == outbound)

    async def test_verbatim(self) -> None:
        session = await self.opened()
        for size in (0, 1, 125, 126, 65535, 65536, MIB):
            payload = os.urandom(size)
            await self.passes(session, frame(BINARY, payload, MASK), frame(BINARY, payload))

    async def test_fragments_with_control_frames_between(self) -> None:
        session = await self.opened()

        def fragments(mask: bytes | None) -> bytes:
            return (
                frame(TEXT, b"one ", mask, fin=False)
                + frame(PING, b"?", mask)
                + frame(CONTINUATION, b"", mask, fin=False)
                + frame(PONG, b"", mask)
                + frame(CONTINUATION, b"two", mask)
            )

        await self.passes(session, fragments(MASK), fragments(None))

    async def test_any_split(self) -> None:
        session = await self.opened()
        for piece in (frame(BINARY, b"x" * 200, MASK), frame(TEXT, b"y" * 70_000, MASK)):
            for start in (*range(16), len(piece)):
                session.client.write(piece[start : start + 1] if start < 15 else piece[15:] if start == 15 else b"")
                await session.gateway.settled(lambda: 0, 0.002)
            self.assertEqual(piece, await session.server.exactly(len(piece)))

    async def test_extension_bits(self) -> None:
        # compressed frames are the business of the two ends, if they have agreed on them (RFC 6455 §5.2)
        session = await self.opened("permessage-deflate")
        await self.passes(session, frame(TEXT, b"z", MASK, reserved=4), frame(TEXT, b"z", reserved=4))
        session.client.write(frame(TEXT, b"z", MASK, reserved=2))
        self.assertEqual(1002, (await read_close(session.client))[0])

    async def test_extension_bits_without_an_extension(self) -> None:
        session = await self.opened()
        session.server.write(frame(TEXT, b"z", reserved=4))
        self.assertEqual((1002, "reserved bits or opcode"), (await read_close(session.server))[:2])
        self.assertEqual((1011, "the backend broke the protocol"), (await read_close(session.client))[:2])

    async def test_many_at_once(self) -> None:
        session = await self.opened()
        await self.passes(session, frame(TEXT, b"hi", MASK) * 5000, frame(TEXT, b"ho") * 5000)

    async def test_counters(self) -> None:
        session = await self.opened()
        await self.passes(session, frame(TEXT, b"a", MASK) * 3 + frame(PING, b"", MASK), frame(TEXT, b"b") * 2)
        session.client.write(close(1000, "", MASK))
        await session.server.exactly(8)
        session.server.write(close(1000))
        session.server.close()
        await session.client.rest()
        await session.gateway.quiet()
        outcome = await session.gateway.outcome()
        self.assertEqual((3, 2), (outcome.messages_in, outcome.messages_out))
        self.assertGreater(outcome.received_bytes, len(handshake()) + 4 * 6)

    async def test_compressing_library(self) -> None:
        # two strangers who speak permessage-deflate to each other
        async def serve(wire: Wire) -> None:
            peer = Library(wire, ServerProtocol(extensions=[ServerPerMessageDeflateFactory()], subprotocols=["chat"]))  # type: ignore[list-item]
            for event in await peer.events():
                peer.protocol.send_response(peer.protocol.accept(event))
            peer.flush()
            while True:
                for event in await peer.events():
                    if isinstance(event, LibraryFrame) and event.opcode in (TEXT, BINARY):
                        peer.protocol.send_binary(bytes(event.data))
                peer.flush()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        wire = await self.client(gateway)
        client = Library(
            wire,
            ClientProtocol(
                parse_uri("ws://chat.example/"),
                extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
                subprotocols=["other", "chat"],  # type: ignore[list-item]
            ),
        )
        client.protocol.send_request(client.protocol.connect())
        client.flush()
        await client.events()
        self.assertIsNone(client.protocol.handshake_exc)
        self.assertEqual("chat", client.protocol.subprotocol)
        self.assertEqual(1, len(client.protocol.extensions))
        for payload in (b"hello", b"again " * 10_000, os.urandom(100_000)):
            client.protocol.send_binary(payload)
            client.flush()
            echo = [event for event in await client.events() if isinstance(event, LibraryFrame)]
            self.assertEqual(payload, b"".join(bytes(event.data) for event in echo))

    async def assertBounded(self, session: Opened, source: Wire, target: Wire, mask: bytes | None) -> None:
        """One message of 32 MiB to somebody who does not read."""
        target.stop_reading()
        target.buffers(receive=65536)
        source.buffers(send=65536)
        head = frame(BINARY, b"", mask, length=32 * MIB)
        source.write(head)
        source.pour(32 * MIB)
        self.assertLess(await session.gateway.settled(lambda: source.poured), 16 * MIB)
        # the other direction is not concerned
        target.write(frame(TEXT, b"still here", None if mask else MASK))
        self.assertEqual(b"still here", (await read_frame(source)).payload)
        target.start_reading()
        self.assertEqual(head, await target.exactly(len(head)))
        self.assertEqual(32 * MIB, len(await target.exactly(32 * MIB)))

    async def test_backpressure_to_the_client(self) -> None:
        session = await self.opened()
        await self.assertBounded(session, session.server, session.client, None)

    async def test_backpressure_to_the_backend(self) -> None:
        session = await self.opened()
        await self.assertBounded(session, session.client, session.server, PLAIN)


both_roads(globals())
