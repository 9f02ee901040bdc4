"""Clients that leave, stall, or send what is not HTTP, through the whole gateway and over both roads."""

from __future__ import annotations

from gateway.errors import ClientGone
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, chunked, read_request, read_response
from tests.integration.wire import Wire

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def say_nothing(wire: Wire) -> None:
    """Hear the request and leave it at that."""
    await read_request(wire)
    await wire.gone()


class ClientTests(GatewayTestCase):
    """Clients that leave, stall, or send what is not HTTP."""

    async def waiting(self, request: bytes = GET) -> tuple[Running, RawBackend, Wire]:
        """A client whose request has reached a backend that does not answer."""
        backend = await self.backend(say_nothing)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(request)
        await gateway.until(lambda: gateway.active == 1 and bool(backend.wires), "the request")
        return gateway, backend, client

    async def test_resets_while_it_waits(self) -> None:
        gateway, backend, client = await self.waiting()
        client.reset()
        await gateway.quiet()
        await backend.wires[0].gone()
        outcome = await gateway.outcome()
        self.assertEqual((499, "client_gone"), (outcome.status, outcome.cause))
        self.assertIsInstance(outcome.error, ClientGone)

    async def test_resets_while_it_sends(self) -> None:
        gateway, backend, client = await self.waiting(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        client.reset()
        await gateway.quiet()
        await backend.wires[0].gone()

    async def test_stops_in_the_middle_of_its_body(self) -> None:
        # a FIN within the body: what has been sent must not look like a whole request
        gateway, backend, client = await self.waiting(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        client.half_close()
        await gateway.quiet()
        await backend.wires[0].gone()
        self.assertFalse(bytes(backend.wires[0].buffer).endswith(b"0\r\n\r\n"))

    async def test_resets_while_it_receives(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            wire.pour(64 * MIB)
            await wire.gone()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(GET)
        await client.exactly(MIB)
        client.reset()
        await gateway.quiet()
        await backend.wires[0].gone()
        self.assertEqual("client_gone", (await gateway.outcome()).cause)

    async def test_leaves_while_the_backend_is_stuck(self) -> None:
        # nothing moves in either direction, so the end may not be noticed; then the time limit is what helps
        async def serve(wire: Wire) -> None:
            wire.buffers(receive=65536)
            wire.stop_reading()

        backend = await self.backend(serve)
        gateway = await self.gateway(
            model_for(backend, settings={"request_timeout": 1}, limits={"body_timeout": 1, "send_timeout": 1})
        )
        client = await self.client(gateway)
        client.buffers(send=65536)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        client.pour(64 * MIB)
        await gateway.until(lambda: gateway.active == 1, "the request")
        await gateway.settled(lambda: client.poured)
        client.reset()
        await gateway.quiet()

    async def test_does_not_read(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            wire.pour(64 * MIB)
            await wire.gone()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend, settings={"request_timeout": 1}, limits={"send_timeout": 1}))
        client = await self.client(gateway, receive_buffer=65536)
        client.stop_reading()
        client.write(GET)
        await gateway.until(lambda: gateway.active == 1, "the request")
        await gateway.quiet()
        await backend.wires[0].gone()

    async def test_reads_slowly(self) -> None:
        # slower than the backend's timeout, but steadily: it gets all of it
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (24 * MIB))
            wire.pour(24 * MIB)

        gateway = await self.gateway(
            model_for(await self.backend(serve), settings={"request_timeout": 1}, limits={"send_timeout": 1})
        )
        client = await self.client(gateway, receive_buffer=262_144)
        client.write(GET)
        for _ in range(5):
            client.stop_reading()
            await gateway.settled(lambda: 0, 0.5)
            client.start_reading()
            arrived = client.total
            await client.wait(lambda arrived=arrived: client.total > arrived + MIB, "another MiB")  # type: ignore[misc]
        self.assertEqual(24 * MIB, len((await read_response(client)).body))

    async def test_slow_head(self) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers), limits={"head_timeout": 0.4}))
        for beginning in (b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            client = await self.client(gateway)
            client.write(beginning)
            response = await read_response(client)
            self.assertEqual((408, "close"), (response.status, response.get("Connection")))
            await client.gone()
        self.assertEqual([], answers.requests)

    async def test_trickling_head(self) -> None:
        # a byte now and then does not win more time (slowloris)
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"head_timeout": 0.6}))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(40):
            if client.total:
                break
            client.write(b"X: y\r\n")
            await gateway.settled(lambda: 0, 0.1)
        self.assertEqual(408, (await read_response(client)).status)

    async def test_slow_second_head(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"head_timeout": 0.4}))
        client = await self.client(gateway)
        client.write(GET + b"GET / HTT")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(408, (await read_response(client)).status)
        await client.gone()

    async def test_slow_body(self) -> None:
        backend = await self.backend(say_nothing)
        gateway = await self.gateway(model_for(backend, limits={"body_timeout": 0.4}))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        response = await read_response(client)
        self.assertEqual((408, "close"), (response.status, response.get("Connection")))
        await client.gone()
        await gateway.quiet()
        await backend.wires[0].gone()

    async def test_says_nothing(self) -> None:
        # an idle connection is closed without a word
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"keep_alive_timeout": 0.4}))
        client = await self.client(gateway)
        self.assertEqual(b"", await client.rest())
        client = await self.client(gateway)
        client.write(GET)
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(b"", await client.rest())
        await gateway.until(lambda: len(gateway.recorder.outcomes) == 1, "one outcome")

    async def test_connection_limit(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"max_connections": 2}))
        clients = [await self.client(gateway) for _ in range(2)]
        for client in clients:
            client.write(GET)
            self.assertEqual(200, (await read_response(client)).status)
        refused = await self.client(gateway)
        await refused.gone()
        clients[0].close()
        await clients[0].gone()

        async def admitted() -> bool:
            client = await self.client(gateway)
            client.write(GET)
            await client.wait(lambda: client.eof or client.total > 0, "an answer or the end")
            return client.total > 0

        for _ in range(50):
            if await admitted():
                return
        self.fail("a place that became free is not given to the next client")


class RefusedRequestTests(GatewayTestCase):
    """Requests that reach no backend (RFC 9112 §11.2, §11.1)."""

    async def refused(self, gateway: Running, request: bytes) -> int:
        """The status of the answer; after it the connection is closed, whatever followed the request."""
        client = await self.client(gateway)
        client.write(request + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await read_response(client)
        self.assertEqual("close", response.get("Connection"), request[:80])
        self.assertEqual(b"", await client.rest(), request[:80])
        return response.status

    async def all_refused(self, *cases: tuple[int, bytes]) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        wrong = []
        for expected, request in cases:
            status = await self.refused(gateway, request)
            if status != expected:
                wrong.append((expected, status, request[:80]))
        self.assertEqual([], wrong)
        self.assertEqual([], answers.requests)
        self.assertEqual(len(cases), len(gateway.recorder.outcomes))
        await gateway.quiet()

    async def test_too_large(self) -> None:
        await self.all_refused(
            (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n"),
            (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
            (414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        )

    async def test_endless_head(self) -> None:
        # refused while it arrives, not when it ends
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.pour(8 * MIB)
        self.assertEqual(431, (await read_response(client)).status)

    async def test_not_http(self) -> None:
        await self.all_refused(
            (400, b"BROKEN\r\n\r\n"),
            (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32),
            (400, b"\x80\x00\x00\x00\r\n\r\n"),
            (400, b"GET /\r\n\r\n"),
            (400, b"GET / HTTP/1.1 extra\r\nHost: a\r\n\r\n"),
            (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET / http/1.1\r\nHost: a\r\n\r\n"),
            (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
            (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        )

    async def test_hosts(self) -> None:
        await self.all_refused(
            (400, b"GET / HTTP/1.1\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
        )

    async def test_methods(self) -> None:
        await self.all_refused(
            (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
            (405, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GE T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        )

    async def test_smuggling(self) -> None:
        chunks = b"0\r\n\r\n"

        def post(*lines: bytes) -> bytes:
            return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", *lines, b"", b""])

        await self.all_refused(
            (400, post(b"Content-Length: 5", b"Transfer-Encoding: chunked") + chunks),
            (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 5") + chunks),
            (400, post(b"Content-Length: 5", b"Content-Length: 6") + b"hello"),
            (400, post(b"Content-Length: 5, 6") + b"hello"),
            (400, post(b"Content-Length: +5") + b"hello"),
            (400, post(b"Content-Length: -5") + b"hello"),
            (400, post(b"Content-Length: 0x5") + b"hello"),
            (400, post(b"Content-Length: 5 5") + b"hello"),
            (400, post(b"Content-Length: ") + b"hello"),
            (400, post(b"Content-Length: 99999999999999999999999") + b"hello"),
            (400, post(b"Content-Length: \xb2") + b"hello"),
            (400, post(b"Content-Length : 5") + b"hello"),
            (400, post(b"Transfer-Encoding : chunked") + chunks),
            (400, post(b" Transfer-Encoding: chunked") + chunks),
            (400, post(b"X: y", b"\tTransfer-Encoding: chunked") + chunks),
            (400, post(b"Transfer-Encoding: chunked, chunked") + chunks),
            (400, post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + chunks),
            (400, post(b"Transfer-Encoding: chunked, identity") + chunks),
            (501, post(b"Transfer-Encoding: gzip, chunked") + chunks),
            (501, post(b"Transfer-Encoding: xchunked") + chunks),
            (501, post(b"Transfer-Encoding: identity") + chunks),
            (400, post(b"Transfer-Encoding: chunked;q=1") + chunks),
            (400, post(b"Transfer-Encoding: \x0bchunked") + chunks),
            (400, post(b"Transfer-Encoding:\n chunked") + chunks),
            (400, post(b"X: y\nTransfer-Encoding: chunked") + chunks),
            (400, post(b"X: y\rTransfer-Encoding: chunked") + chunks),
            (400, post(b"X: y\x00z")),
            (400, post(b"X\x00: y")),
            (400, post(b": y")),
            (400, post(b"NoColon")),
            (400, post(b"Tr\xe4nsfer: y")),
            (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks),
            (400, b"GET / HTTP/1.1\nHost: a\n\n"),
            (400, b"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        )

    async def test_refused_head(self) -> None:
        """What asks with HEAD gets no body, also where it is no request (RFC 9110 §9.3.2)."""
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        for status, pieces in (
            (400, [b"HEAD / HTTP/1.1\r\n\r\n"]),
            (400, [b"HE", b"AD / HTTP/1.1\r\nHo", b"st : a\r\n\r\n"]),
            (417, [b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: y\r\n\r\n"]),
            (414, [b"HEAD /" + b"x" * 20_000]),
            (501, [b"HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"]),
        ):
            client = await self.client(gateway)
            for piece in pieces:
                client.write(piece)
                await gateway.settled(lambda: 0, 0.02)
            response = await read_response(client, "HEAD")
            self.assertEqual((status, b""), (response.status, await client.rest()), pieces)
            self.assertNotEqual("0", response.get("Content-Length"))

    async def test_bad_chunks(self) -> None:
        # found while the backend is being asked: it must not get an end of the body that was not sent
        for body in (b"zz\r\n", b"3\r\nabcX", b"3\nabc\r\n", b"-3\r\n", b"0x3\r\n", b"3 \x00\r\n", b"f" * 17 + b"\r\n"):
            backend = await self.backend(say_nothing)
            gateway = await self.gateway(model_for(backend))
            client = await self.client(gateway)
            client.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc")[:-5] + body
            )
            response = await read_response(client)
            self.assertEqual((400, "close"), (response.status, response.get("Connection")), body)
            await gateway.quiet()
            for wire in backend.wires:
                await wire.gone()
                self.assertFalse(bytes(wire.buffer).endswith(b"0\r\n\r\n"), body)


both_roads(globals())
