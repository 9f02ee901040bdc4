"""``enableResponseBuffering``: slow clients keep no backend busy. Over both roads."""

from __future__ import annotations

from typing import Any

from gateway.relay.read_ahead import ReadAhead
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, chunked, read_request, read_response
from tests.integration.test_https import Client, https_listener
from tests.integration.wire import Wire

MIB = 1 << 20
LENGTH = 16 * MIB
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = 65536


def big(size: int = LENGTH) -> Answers:
    return Answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


class ReadAheadTests(GatewayTestCase):
    """What the kernel holds for a connection may be a few MiB, so the responses are of 16."""

    async def start(self, serve: Any, limit: int = 2 * LENGTH, on: bool = True, **limits: Any) -> Running:
        self.last: RawBackend = await self.backend(serve)
        return await self.gateway(
            model_for(
                self.last,
                limits={"response_buffer_bytes": limit, **limits},
                global_configuration={"enableResponseBuffering": on},
            )
        )

    async def slow(self, gateway: Running) -> Wire:
        """A client that has asked and does not read."""
        client = await self.client(gateway, receive_buffer=SLOW)
        client.stop_reading()
        client.write(GET)
        return client

    async def test_given_back(self) -> None:
        """The backend is free as soon as its response is complete, and the connection is used again."""
        gateway = await self.start(big())
        client = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the request")
        await gateway.until(lambda: not gateway.active, "the lease to be given back")
        other = await self.client(gateway)
        other.write(GET)
        self.assertEqual(LENGTH, len((await read_response(other)).body))
        self.assertEqual(1, len(self.last.wires), "the idle connection was used")
        client.start_reading()
        for _ in range(2):
            self.assertEqual(LENGTH, len((await read_response(client)).body))
            client.write(GET)

    async def test_chunked(self) -> None:
        body = chunked(*[b"%07d" % number * 10_000 for number in range(LENGTH // 70_000)])
        gateway = await self.start(Answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
        client = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the request")
        await gateway.until(lambda: not gateway.active, "the lease to be given back")
        client.start_reading()
        wanted = b"".join(b"%07d" % number * 10_000 for number in range(LENGTH // 70_000))
        self.assertTrue((await read_response(client)).body == wanted)

    async def test_off(self) -> None:
        gateway = await self.start(big(), on=False)
        client = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the request")
        await gateway.settled(lambda: next(gateway.service.connections())._sent)
        self.assertEqual(1, gateway.active)
        client.start_reading()
        self.assertEqual(LENGTH, len((await read_response(client)).body))

    async def test_bound(self) -> None:
        """What is longer streams from there on."""

        async def serve(wire: Wire) -> None:
            wire.buffers(send=65536)
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * LENGTH))
            wire.pour(2 * LENGTH)
            await wire.gone()

        gateway = await self.start(serve, limit=MIB)
        client = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the request")
        await gateway.settled(lambda: self.last.wires[0].poured)
        (connection,) = gateway.service.connections()
        self.assertTrue(MIB // 2 < connection.transport.queued < MIB + MIB // 2, connection.transport.queued)
        self.assertEqual(1, gateway.active)
        client.start_reading()
        self.assertEqual(2 * LENGTH, len((await read_response(client)).body))

    async def test_all_together(self) -> None:
        """Where there is no room for one more, its response streams; there is room again when another has gone."""
        gateway = await self.start(big())
        gateway.service.shared.read_ahead = room = ReadAhead(2 * LENGTH, 2 * LENGTH)
        first = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the first request")
        await gateway.until(lambda: not gateway.active, "the first lease to be given back")
        second = await self.slow(gateway)
        await gateway.until(lambda: gateway.active == 1, "the second request")
        await gateway.settled(lambda: sum(each._sent for each in gateway.service.connections()))
        self.assertEqual(1, gateway.active)
        first.transport.abortConnection()
        second.start_reading()
        self.assertEqual(LENGTH, len((await read_response(second)).body))
        await gateway.until(lambda: gateway.service.connection_count() == 1, "the first client to be gone")
        self.assertTrue(room.take())

    async def test_client_gone(self) -> None:
        """While it is read ahead; the backend's connection ends with it."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * LENGTH) + b"x" * LENGTH)
            await wire.gone()

        gateway = await self.start(serve)
        client = await self.slow(gateway)
        await gateway.until(lambda: bool(self.last.wires), "the request")
        await gateway.settled(lambda: sum(each._sent for each in gateway.service.connections()))
        client.transport.abortConnection()
        await gateway.quiet()
        self.assertEqual("client_gone", (await gateway.outcome()).cause)

    async def test_client_that_takes_nothing(self) -> None:
        """It is cut after ``sendTimeout``, also when the backend never stops."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * LENGTH)[:-5])
            while wire.reason is None:
                wire.write(b"1\r\nx\r\n")
                await gateway.settled(lambda: 0, 0.02)

        gateway = await self.start(serve, send_timeout=0.5)
        await self.slow(gateway)
        outcome = await gateway.outcome()
        self.assertEqual("the client does not read its response", str(outcome.error))
        await gateway.quiet()

    async def test_tls(self) -> None:
        backend = await self.backend(big())
        model = https_listener(backend)
        gateway = await self.gateway(
            model.model_copy(
                update={"limits": model.limits.model_copy(update={"response_buffer_bytes": 2 * LENGTH})}
            )
        )
        client = await self.client(gateway, "one", tls=Client("one.example", [b"http/1.1"]))
        client.write(GET.replace(b" a", b" one.example"))
        await gateway.until(lambda: bool(backend.wires), "the request")
        client.stop_reading()
        await gateway.until(lambda: not gateway.active, "the lease to be given back")
        client.start_reading()
        self.assertEqual(LENGTH, len((await read_response(client)).body))


both_roads(globals())
