"""How WebSocket sessions end, through the whole gateway and over both roads."""

from __future__ import annotations

from gateway.relay import splice
from tests.integration.harness import both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.sessions import MASK, PLAIN, SessionTestCase
from tests.integration.websocket import (
    BINARY,
    CLOSE,
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


class EndTests(SessionTestCase):
    """Every way a session ends leaves nothing behind, and each side learns why."""

    def setUp(self) -> None:
        self.patch(splice, "CLOSING_SECONDS", 0.5)

    async def test_closed_by_the_client(self) -> None:
        session = await self.opened()
        session.client.write(close(1000, "bye", MASK))
        self.assertEqual((1000, "bye", True), await read_close(session.server))
        session.server.write(close(1000, "bye"))
        self.assertEqual((1000, "bye", False), await read_close(session.client))
        session.server.close()  # the server closes TCP first (RFC 6455 §7.1.1)
        self.assertEqual(b"", await session.client.rest())
        self.assertFalse(session.client.was_reset)
        await self.ended(session.gateway, "ok", "client", 1000)

    async def test_closed_by_the_backend(self) -> None:
        session = await self.opened()
        session.server.write(close(4001, "enough"))
        self.assertEqual((4001, "enough", False), await read_close(session.client))
        session.client.write(close(4001, "", MASK))
        self.assertEqual((4001, "", True), await read_close(session.server))
        session.server.close()
        self.assertEqual(b"", await session.client.rest())
        await self.ended(session.gateway, "ok", "backend", 4001)

    async def test_closed_without_a_code(self) -> None:
        session = await self.opened()
        session.client.write(frame(CLOSE, b"", MASK))
        self.assertEqual(b"", (await read_frame(session.server)).payload)
        session.server.write(frame(CLOSE, b""))
        session.server.close()
        self.assertEqual(b"", (await read_frame(session.client)).payload)
        await self.ended(session.gateway, "ok", "client", 1005)

    async def test_close_that_nobody_answers(self) -> None:
        # who has closed properly is answered, if not by the other side
        session = await self.opened()
        session.client.write(close(1000, "", MASK))
        await read_close(session.server)
        self.assertEqual((1000, "", False), await read_close(session.client))
        await session.client.gone()
        self.assertFalse(session.client.was_reset)
        await session.server.gone()
        await self.ended(session.gateway, "ok", "client", 1000)

    async def test_close_that_is_answered_with_an_end(self) -> None:
        for how in ("reset", "close", "half_close"):
            session = await self.opened()
            session.client.write(close(4000, "bye", MASK))
            await read_close(session.server)
            getattr(session.server, how)()
            self.assertEqual((4000, "", False), await read_close(session.client), how)
            self.assertEqual(b"", await session.client.rest(), how)
            self.assertFalse(session.client.was_reset, how)
            await self.ended(session.gateway, "ok", "client", 4000)
            session = await self.opened()
            session.server.write(close(4000, "bye"))
            await read_close(session.client)
            getattr(session.client, how)()
            self.assertEqual((4000, "", True), await read_close(session.server), how)
            session.server.close()
            await self.ended(session.gateway, "ok", "backend", 4000)

    async def test_answer_and_end_at_once(self) -> None:
        # close frame and FIN in one segment, as many servers do
        session = await self.opened()
        session.server.write(frame(TEXT, b"last words") + close(1000, "done"))
        session.server.half_close()
        self.assertEqual(b"last words", (await read_frame(session.client)).payload)
        self.assertEqual((1000, "done", False), await read_close(session.client))
        session.client.write(close(1000, "", MASK))
        await session.client.gone()
        await self.ended(session.gateway, "ok", "backend", 1000)

    async def test_messages_before_a_close_arrive(self) -> None:
        session = await self.opened()
        session.client.stop_reading()
        session.server.write(frame(BINARY, b"x" * (8 * MIB)) + close(1000, "done"))
        await session.gateway.settled(lambda: session.client.total, 0.1)
        session.client.start_reading()
        self.assertEqual(8 * MIB, len((await read_frame(session.client)).payload))
        self.assertEqual(1000, (await read_close(session.client))[0])

    async def test_backend_vanishes(self) -> None:
        for how in ("reset", "close", "half_close"):
            session = await self.opened()
            session.server.write(frame(TEXT, b"before"))
            self.assertEqual(b"before", (await read_frame(session.client)).payload)
            getattr(session.server, how)()
            code, reason, masked = await read_close(session.client)
            self.assertEqual((1011, False), (code, masked), how)
            self.assertNotEqual("", reason)
            session.client.write(close(1011, "", MASK))
            self.assertEqual(b"", await session.client.rest(), how)
            self.assertFalse(session.client.was_reset, how)
            await self.ended(session.gateway, "backend_lost", "backend", 1011)

    async def test_backend_vanishes_within_a_frame(self) -> None:
        # a close frame would become part of the message: better none
        session = await self.opened()
        session.server.write(frame(BINARY, b"half", length=100))
        await session.client.exactly(6)
        session.server.reset()
        self.assertEqual(b"", await session.client.rest())
        await self.ended(session.gateway, "backend_lost", "backend", 1006)

    async def test_client_vanishes(self) -> None:
        for how in ("reset", "close", "half_close"):
            session = await self.opened()
            getattr(session.client, how)()
            code, _, masked = await read_close(session.server)
            self.assertEqual((1001, True), (code, masked), how)
            session.server.write(close(1001))
            await session.server.gone()
            await self.ended(session.gateway, "client_gone", "client", 1006)

    async def test_client_vanishes_within_a_frame(self) -> None:
        session = await self.opened()
        piece = frame(BINARY, b"half", MASK, length=100)
        session.client.write(piece)
        await session.server.exactly(len(piece))
        session.client.reset()
        self.assertEqual(b"", await session.server.rest())
        await self.ended(session.gateway, "client_gone", "client", 1006)

    async def test_both_vanish(self) -> None:
        session = await self.opened()
        session.client.reset()
        session.server.reset()
        await session.gateway.quiet()
        self.assertEqual(1, len(session.gateway.recorder.outcomes))

    async def test_client_vanishes_under_pressure(self) -> None:
        session = await self.opened()
        session.client.stop_reading()
        session.server.write(frame(BINARY, b"", length=32 * MIB))
        session.server.pour(32 * MIB)
        await session.gateway.settled(lambda: session.server.poured, 0.1)
        session.client.reset()
        await session.server.gone()
        await session.gateway.quiet()

    async def test_backend_vanishes_under_pressure(self) -> None:
        session = await self.opened()
        session.server.stop_reading()
        session.client.write(frame(BINARY, b"", PLAIN, length=32 * MIB))
        session.client.pour(32 * MIB)
        await session.gateway.settled(lambda: session.client.poured, 0.1)
        session.server.reset()
        self.assertEqual(1011, (await read_close(session.client))[0])
        await session.gateway.quiet()

    async def test_idle(self) -> None:
        session = await self.opened(settings={"request_timeout": 1})
        code, reason, masked = await read_close(session.client)
        self.assertEqual((1001, False), (code, masked))
        self.assertIn("idle", reason)
        code, _, masked = await read_close(session.server)
        self.assertEqual((1001, True), (code, masked))
        session.client.write(close(1001, "", MASK))
        session.server.write(close(1001))
        self.assertEqual(b"", await session.client.rest())
        self.assertEqual(b"", await session.server.rest())
        await self.ended(session.gateway, "idle_timeout", "gateway", 1001)

    async def test_idle_and_nobody_answers(self) -> None:
        session = await self.opened(settings={"request_timeout": 1})
        await read_close(session.client)
        await session.client.gone()
        await session.server.gone()
        await self.ended(session.gateway, "idle_timeout", "gateway", 1001)

    async def test_traffic_in_one_direction_keeps_it_open(self) -> None:
        session = await self.opened(settings={"request_timeout": 1})
        for source, target, mask in ((session.client, session.server, MASK), (session.server, session.client, None)):
            for _ in range(3):
                await session.gateway.settled(lambda: 0, 0.4)
                source.write(frame(PING, b"", mask))
                self.assertEqual(PING, (await read_frame(target)).opcode)
        self.assertEqual(1, session.gateway.sessions)

    async def test_own_idle_limit(self) -> None:
        session = await self.opened(settings={"request_timeout": 1, "web_socket_idle_timeout": 3600})
        await session.gateway.settled(lambda: 0, 1.3)
        self.assertEqual(1, session.gateway.sessions)
        session = await self.opened(settings={"request_timeout": 3600, "web_socket_idle_timeout": 1})
        self.assertEqual(1001, (await read_close(session.client))[0])

    async def test_shutdown(self) -> None:
        session = await self.opened()
        stopping = session.gateway.service.stopService()
        code, _, masked = await read_close(session.client)
        self.assertEqual((1001, False), (code, masked))
        code, _, masked = await read_close(session.server)
        self.assertEqual((1001, True), (code, masked))
        session.client.write(close(1001, "", MASK))
        session.server.write(close(1001))
        await stopping
        self.assertEqual(b"", await session.client.rest())
        await self.ended(session.gateway, "shutdown", "gateway", 1001)

    async def test_shutdown_within_a_frame(self) -> None:
        # the message in progress is completed before the close frame, in either direction
        session = await self.opened(limits={"shutdown_timeout": 5})
        self.patch(splice, "CLOSING_SECONDS", 5.0)
        begun = frame(BINARY, b"ab", MASK, length=4)
        session.client.write(begun)
        self.assertEqual(begun, await session.server.exactly(len(begun)))
        stopping = session.gateway.service.stopService()
        self.assertEqual(1001, (await read_close(session.client))[0])
        self.assertEqual(b"", bytes(session.server.buffer))
        session.client.write(b"cd" + close(1001, "", MASK))
        self.assertEqual(b"cd", await session.server.exactly(2))
        self.assertEqual((1001, True), (await read_close(session.server))[::2])
        session.server.write(close(1001))
        await stopping
        await session.gateway.quiet()

    async def test_shutdown_with_a_client_that_has_gone(self) -> None:
        # the session waits for its backend's answer to a close frame, and nobody else is there
        session = await self.opened()
        session.client.reset()
        await read_close(session.server)
        await session.gateway.service.stopService()
        self.assertEqual((0, 0), (session.gateway.active, session.gateway.sessions))
        await session.server.gone()

    async def test_shutdown_with_deaf_peers(self) -> None:
        session = await self.opened()
        session.client.stop_reading()
        session.server.stop_reading()
        await session.gateway.service.stopService()
        self.assertEqual((0, 0), (session.gateway.active, session.gateway.sessions))

    async def test_bad_frames_of_the_client(self) -> None:
        for bad in (
            frame(TEXT, b"not masked"),
            frame(3, b"", MASK),
            frame(11, b"", MASK),
            frame(PING, b"x" * 126, MASK),
            frame(PING, b"", MASK, fin=False),
            frame(CONTINUATION, b"x", MASK),
            frame(TEXT, b"a", MASK, fin=False) + frame(TEXT, b"b", MASK),
            b"\x82\xfe\x00\x05" + MASK + b"hello",
            b"\x82\xff" + b"\x80" + b"\x00" * 7 + MASK,
        ):
            session = await self.opened()
            session.client.write(frame(TEXT, b"good", MASK))
            self.assertEqual(b"good", (await read_frame(session.server)).payload)
            session.client.write(bad)
            code, _, masked = await read_close(session.client)
            self.assertEqual((1002, False), (code, masked), bad)
            while (last := await read_frame(session.server)).opcode != CLOSE:
                self.assertEqual((TEXT, b"a"), (last.opcode, last.payload))
            self.assertTrue(last.masked)
            session.server.write(close(1001))
            await session.client.gone()
            await session.server.gone()
            await self.ended(session.gateway, "client_protocol_error", "gateway", 1002)

    async def test_bad_frames_of_the_backend(self) -> None:
        for bad in (frame(TEXT, b"masked", MASK), frame(3, b""), frame(CONTINUATION, b"x")):
            session = await self.opened()
            session.server.write(bad)
            code, _, masked = await read_close(session.client)
            self.assertEqual((1011, False), (code, masked), bad)
            session.client.write(close(1011, "", MASK))
            self.assertEqual((1002, True), (await read_close(session.server))[::2], bad)
            await session.client.gone()
            await session.server.gone()
            await self.ended(session.gateway, "backend_protocol_error", "gateway", 1011)

    async def test_too_big(self) -> None:
        session = await self.opened(limits={"max_message_bytes": 1000})
        session.client.write(frame(BINARY, b"x" * 1000, MASK))
        self.assertEqual(1000, len((await read_frame(session.server)).payload))
        session.client.write(frame(BINARY, b"x" * 600, MASK, fin=False) + frame(CONTINUATION, b"x" * 600, MASK))
        self.assertEqual(1009, (await read_close(session.client))[0])
        await session.server.exactly(608)
        self.assertEqual((1001, "the client sent a message that is too big"), (await read_close(session.server))[:2])
        await session.client.gone()
        await self.ended(session.gateway, "client_message_too_big", "gateway", 1009)

    async def test_data_after_close(self) -> None:
        # what follows a close frame means nothing to anybody (RFC 6455 §5.5.1), and must not keep the session
        for pause in (False, True):
            session = await self.opened()
            session.client.write(close(1000, "", MASK))
            if pause:
                self.assertEqual(1000, (await read_close(session.server))[0])
            session.client.write(frame(TEXT, b"late", MASK) * 100)
            if not pause:
                self.assertEqual(1000, (await read_close(session.server))[0])
            await session.gateway.settled(lambda server=session.server: server.total, 0.05)  # type: ignore[misc]
            self.assertEqual(b"", bytes(session.server.buffer))
            session.server.write(close(1000) + frame(TEXT, b"late"))
            self.assertEqual(1000, (await read_close(session.client))[0])
            self.assertEqual(b"", await session.client.rest())
            session.server.close()
            await self.ended(session.gateway, "ok", "client", 1000)

    async def test_backend_that_pours_on_is_cut(self) -> None:
        # its client has gone: what it sends is read for a while, to hear its close frame, but not without end
        self.patch(splice, "CLOSING_SECONDS", 60.0)
        session = await self.opened()
        session.server.write(frame(BINARY, b"", length=256 * MIB))
        session.server.pour(256 * MIB)
        await session.client.exactly(MIB)
        session.client.reset()
        await session.server.wait(lambda: session.server.reason is not None, "the end")
        self.assertLess(session.server.poured, 200 * MIB)
        await self.ended(session.gateway, "client_gone", "client", 1006)

    async def test_many(self) -> None:
        # half of them end properly, half do not; all are counted while they live and none afterwards
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            wires.append(wire)
            got = await read_frame(wire)
            wire.write(frame(got.opcode, got.payload))
            wire.close()

        backends = [await self.backend(serve), await self.backend(serve)]
        gateway = await self.gateway(model_for(*backends))
        clients = [await self.client(gateway) for _ in range(60)]
        for client in clients:
            client.write(handshake())
        for client in clients:
            self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual((60, 60), (gateway.active, gateway.sessions))
        pool = next(iter(gateway.service.pools.values()))
        self.assertEqual([30, 30], [backend.active for backend in pool.backends])
        for number, client in enumerate(clients):
            if number % 2:
                client.write(close(1000, "", MASK))
            elif number % 4:
                client.reset()
            else:
                client.close()
        await gateway.quiet()
        self.assertEqual(60, len(gateway.recorder.outcomes))


both_roads(globals())
