"""Bodies through the whole gateway, over both roads: of any size, both ways at once, with bounded memory."""

from __future__ import annotations

import hashlib
import os

from tests.integration.harness import GatewayTestCase, both_roads, model_for
from tests.integration.messages import Answers, chunked, read_request, read_response
from tests.integration.wire import Wire

MIB = 1 << 20
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class StreamingTests(GatewayTestCase):
    """Bodies of any size, both ways at once, with bounded memory."""

    async def test_big_both_ways(self) -> None:
        upload, download = os.urandom(MIB) * 32, os.urandom(MIB) * 32
        digests = []

        async def serve(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(download))
            wire.write(download[:-1])
            digests.append(hashlib.sha256(await wire.exactly(len(upload))).digest())
            wire.write(download[-1:])

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(upload))
        client.write(upload)
        response = await read_response(client)
        self.assertTrue(response.body == download)
        self.assertEqual([hashlib.sha256(upload).digest()], digests)

    async def test_big_chunked_upload(self) -> None:
        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            digest = hashlib.sha256(request.body).hexdigest().encode()
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        body = os.urandom(8 * MIB)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.write(chunked(*(body[start : start + 10_007] for start in range(0, len(body), 10_007))))
        self.assertEqual(hashlib.sha256(body).hexdigest().encode(), (await read_response(client)).body)

    async def test_stalled_client(self) -> None:
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.buffers(send=65536)
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 * MIB))
            wire.pour(32 * MIB)
            wires.append(wire)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway, receive_buffer=65536)
        client.stop_reading()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await gateway.until(lambda: bool(wires), "the request")
        poured = await gateway.settled(lambda: wires[0].poured)
        # what the kernel may hold on its way: the gateway's own two buffers, of a few MiB at most
        self.assertLess(poured, 16 * MIB)
        client.start_reading()
        self.assertEqual(32 * MIB, len((await read_response(client)).body))

    async def test_stalled_backend(self) -> None:
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.buffers(receive=65536)
            wire.stop_reading()
            wires.append(wire)
            await wire.until(b"\r\n\r\n")
            await wire.exactly(32 * MIB)
            wire.write(OK)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.buffers(send=65536)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (32 * MIB))
        client.pour(32 * MIB)
        await gateway.until(lambda: bool(wires), "the request")
        self.assertLess(await gateway.settled(lambda: client.poured), 16 * MIB)
        wires[0].start_reading()
        self.assertEqual(b"ok", (await read_response(client)).body)

    async def test_pipelining_client_that_does_not_read(self) -> None:
        # answers must not pile up in memory because somebody keeps asking
        body = b"x" * MIB
        answers = Answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        gateway = await self.gateway(model_for(await self.backend(answers)))
        client = await self.client(gateway, receive_buffer=65536)
        client.stop_reading()
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 64)
        self.assertLess(await gateway.settled(lambda: len(answers.requests)), 24)
        client.start_reading()
        for _ in range(64):
            self.assertEqual(MIB, len((await read_response(client)).body))

    async def test_early_response(self) -> None:
        # a backend that has heard enough: its answer arrives although the upload is not over
        async def serve(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (32 * MIB))
        client.pour(32 * MIB)
        response = await read_response(client)
        self.assertEqual((413, b"big"), (response.status, response.body))
        await gateway.quiet()

    async def test_echo_while_it_arrives(self) -> None:
        # the response begins before the request ends, and both end: the connection goes on
        async def serve(wire: Wire) -> None:
            for _ in range(2):
                await wire.until(b"\r\n\r\n")
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
                for size in (2, 4):
                    wire.write(await wire.exactly(size))

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab")
            head = await client.until(b"\r\n\r\n")
            self.assertNotIn(b"close", head.lower())
            self.assertEqual(b"ab", await client.exactly(2))
            client.write(b"cdef")
            self.assertEqual(b"cdef", await client.exactly(4))
        self.assertIsNone(client.reason)

    async def test_early_big_response(self) -> None:
        # the answer is complete before the upload, and longer than any buffer: not a byte of it may be lost
        async def serve(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 * MIB))
            wire.pour(16 * MIB)
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        client.pour(64 * MIB)
        self.assertEqual(16 * MIB, len((await read_response(client)).body))
        await gateway.quiet()

    async def test_early_response_to_a_client_that_reads_last(self) -> None:
        # many clients write all of their body before they look for an answer
        async def serve(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.stop_reading()
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (8 * MIB))
        client.pour(8 * MIB)
        await gateway.until(lambda: client.poured == 8 * MIB or client.reason is not None, "the upload")
        client.start_reading()
        self.assertEqual(403, (await read_response(client)).status)

    async def test_parts_arrive_at_once(self) -> None:
        # nothing is held back until a body is complete (server-sent events)
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wires.append(wire)
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(b"\r\n\r\n")
        for number in range(3):
            event = b"data: %d\n\n" % number
            wires[0].write(b"%x\r\n%s\r\n" % (len(event), event))
            self.assertEqual(b"%x\r\n%s\r\n" % (len(event), event), await client.exactly(len(event) + 5))
        wires[0].write(b"0\r\n\r\n")
        self.assertEqual(b"0\r\n\r\n", await client.exactly(5))

    async def test_body_limit(self) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers), limits={"max_body_bytes": 1000}))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        self.assertEqual(413, (await read_response(client)).status)
        self.assertEqual([], answers.requests)
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        self.assertEqual(200, (await read_response(client)).status)


both_roads(globals())
