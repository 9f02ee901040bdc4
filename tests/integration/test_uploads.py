"""``enableRequestBuffering``: a backend is asked when the whole body is here. Over both roads."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from typing import Any

from gateway.relay import upload
from gateway.relay.upload import PIECE
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, chunked, read_request, read_response
from tests.integration.test_https import Client, https_listener
from tests.integration.wire import Wire

MIB = 1 << 20
BODY = os.urandom(5 * MIB)
ON = {"enableRequestBuffering": True}


async def digesting(wire: Wire) -> None:
    """A backend that answers with what it has got."""
    while True:
        request = await read_request(wire)
        digest = hashlib.sha256(request.body).hexdigest().encode()
        fields = b"Length: %s\r\n" % (request.get("content-length") or "none").encode()
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n" + fields + b"\r\n" + digest)


class Short(io.FileIO):
    """A file on a disk that is full after so many bytes."""

    def __init__(self, room: int, **others: Any) -> None:
        super().__init__(os.memfd_create("upload"), "r+b")
        self._room = room

    def write(self, data: Any) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = super().write(bytes(data)[: self._room]) or 0
        self._room -= count
        return count


class UploadCase(GatewayTestCase):
    """Gateways that wait for bodies."""

    async def start(self, serve: Any = digesting, limit: int = PIECE, **limits: Any) -> Running:
        self.last: RawBackend = await self.backend(serve)
        return await self.gateway(
            model_for(self.last, limits={"request_buffer_bytes": limit, **limits}, global_configuration=ON)
        )

    async def begun(self, gateway: Running, head: str, body: bytes) -> Wire:
        """A client that has sent a head and some of its body, which the gateway has seen."""
        before = set(gateway.service.connections())
        client = await self.client(gateway)
        client.write(f"POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n".encode() + body)

        def seen() -> bool:
            return any(each._received >= len(body) for each in gateway.service.connections() if each not in before)

        await gateway.until(seen, f"{len(body)} bytes of {head}")
        return client

    def assertNothingLeft(self, gateway: Running) -> None:
        self.assertEqual((0, set()), (gateway.service.disk.used, self.files()))

    def setUp(self) -> None:
        self._before = _unnamed()

    def files(self) -> set[str]:
        """Those without a name that were opened in this test and are open."""
        return _unnamed() - self._before

    async def assertGot(self, client: Wire, body: bytes, length: str | None = None) -> None:
        response = await read_response(client)
        self.assertEqual((200, hashlib.sha256(body).hexdigest()), (response.status, response.body.decode()))
        if length is not None:
            self.assertEqual(length, response.get("Length"))


class WholeBodyTests(UploadCase):
    """Of any length."""

    async def test_five_megabytes(self) -> None:
        """In pieces, and the backend sees nobody before the last one."""
        gateway = await self.start()
        for framed in (False, True):
            head = "Transfer-Encoding: chunked" if framed else f"Content-Length: {len(BODY)}"
            pieces = [BODY[at : at + MIB] for at in range(0, len(BODY), MIB)]
            pieces = [chunked(piece)[:-5] for piece in pieces] if framed else pieces
            client = await self.begun(gateway, head, pieces[0])
            for piece in pieces[1:-1]:
                client.write(piece)
            client.write(pieces[-1][:-1])
            await gateway.until(lambda: gateway.service.disk.used > 4.9 * MIB, "the body to be kept")
            self.assertEqual(int(framed), len(self.last.wires))
            self.assertEqual(0, gateway.active, "no backend is kept busy by a slow client")
            self.assertEqual(1, len(self.files()))
            client.write(pieces[-1][-1:] + (b"0\r\n\r\n" if framed else b""))
            await self.assertGot(client, BODY, str(len(BODY)))
            self.assertEqual(1, len(self.last.wires), "the connection is used again")
            self.assertNothingLeft(gateway)

    async def test_over_tls(self) -> None:
        backend = await self.backend(digesting)
        gateway = await self.gateway(https_listener(backend, global_configuration=ON))
        client = await self.client(gateway, "one", tls=Client("one.example"))
        for _ in range(2):
            client.write(b"POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: %d\r\n\r\n" % len(BODY))
            client.write(BODY)
            await self.assertGot(client, BODY, str(len(BODY)))
            self.assertNothingLeft(gateway)

    async def test_in_memory(self) -> None:
        """What fits goes to no file."""
        answers = Answers()
        gateway = await self.start(answers, 1000)
        for head, first, rest in (
            ("Content-Length: 6", b"abc", b"def"),
            ("Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"),
        ):
            client = await self.begun(gateway, head, first)
            await gateway.settled(lambda: len(answers.requests), 0.1)
            self.assertEqual(0, gateway.active)
            self.assertEqual(set(), self.files())
            client.write(rest)
            self.assertEqual(200, (await read_response(client)).status)
            self.assertEqual((b"abcdef", "6"), (answers.requests[-1].body, answers.requests[-1].get("content-length")))

    async def test_expect(self) -> None:
        """Who waits for a 100 would wait for ever, if a backend had to give it."""
        answers = Answers()
        gateway = await self.start(answers)
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(b"HTTP/1.1 100 Continue\r\n\r\n", await client.until(b"\r\n\r\n"))
        self.assertEqual([], self.last.wires)
        client.write(b"abc")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual((b"abc", None), (answers.requests[0].body, answers.requests[0].get("expect")))

    async def test_many(self) -> None:
        """What they take in memory does not depend on how long they are."""
        gateway = await self.start(body_timeout=60)
        body = b"x" * 4 * MIB
        before = _memory()
        clients = []
        for _ in range(30):
            client = await self.client(gateway)
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            client.pour(len(body) - 1)
            clients.append(client)
        await gateway.until(lambda: gateway.service.disk.used >= 30 * (len(body) - 2 * PIECE), "all bodies")
        await gateway.settled(lambda: gateway.service.disk.used, 0.1)
        self.assertEqual([], self.last.wires)
        kept = [len(each._exchange._upload._memory) for each in gateway.service.connections()]
        self.assertLessEqual(max(kept), PIECE)
        self.assertLess(_memory() - before, 40 * MIB)
        for client in clients[:3]:
            client.write(body[-1:])
            await self.assertGot(client, body)
        for client in clients:
            client.reset()
        await gateway.until(lambda: not gateway.service.disk.used, "files to be closed")
        self.assertNothingLeft(gateway)

    async def test_slow_backend(self) -> None:
        """What it does not take stays in the file."""
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.buffers(receive=65536)
            wire.stop_reading()
            wires.append(wire)
            await digesting(wire)

        gateway = await self.start(serve)
        body = BODY * 4
        client = await self.begun(gateway, f"Content-Length: {len(body)}", body[:-1])
        client.write(body[-1:])
        await gateway.until(lambda: bool(wires), "the request")
        (connection,) = gateway.service.connections()
        sent = await gateway.settled(lambda: connection._exchange._upstream.sent)
        self.assertLess(sent, 16 * MIB)
        self.assertLess(connection._exchange._upstream.transport.queued, 4 * PIECE)
        self.assertGreater(gateway.service.disk.used, 19 * MIB)
        wires[0].start_reading()
        await self.assertGot(client, body)
        self.assertNothingLeft(gateway)

    async def test_plain_requests(self) -> None:
        """They take the short way as without."""
        lanes: list[bool] = []

        async def serve(wire: Wire) -> None:
            while True:
                request = await read_request(wire)
                (connection,) = running[0].service.connections()
                lanes.append(connection._lane is not None and connection._lane.flying)
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body) + request.body)

        running = [await self.start(serve)]
        client = await self.client(running[0])
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
        for request in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", post) * 3:
            client.write(request)
            self.assertEqual(request.partition(b"\r\n\r\n")[2], (await read_response(client)).body)
        self.assertEqual([self.transport == "pump"] * 5, lanes[1:], "the first has no connection to go on")


class StreamingOnTests(UploadCase):
    """Where nothing more can be kept; nothing is lost."""

    async def test_no_files(self) -> None:
        """``requestBufferFileBytes: 0``: what is longer than memory is not waited for, or not any more."""
        gateway = await self.start(limit=1000, request_buffer_file_bytes=0)
        for number, (head, first, rest) in enumerate((
            ("Content-Length: 2000", BODY[:10], BODY[10:2000]),
            ("Transfer-Encoding: chunked", b"5dc\r\n" + BODY[:1500] + b"\r\n", chunked(BODY[1500:2000])),
        ), 1):  # fmt: skip
            client = await self.begun(gateway, head, first)
            await gateway.until(lambda: len(self.last.wires) == number or gateway.active, "the backend")  # noqa: B023
            client.write(rest)
            await self.assertGot(client, BODY[:2000])

    async def test_room_of_all(self) -> None:
        gateway = await self.start(request_buffer_file_bytes=6 * MIB)
        first = await self.begun(gateway, "Content-Length: 5000000", BODY[: 4 * MIB])
        known = await self.begun(gateway, "Content-Length: 5000000", BODY[:10])
        await gateway.until(lambda: gateway.active == 1, "a backend for the second, which cannot fit")
        unknown = await self.begun(gateway, "Transfer-Encoding: chunked", b"500000\r\n" + BODY[: 3 * MIB])
        await gateway.until(lambda: gateway.active == 2, "a backend for the third, which has filled the room")
        self.assertLessEqual(gateway.service.disk.used, 6 * MIB)
        unknown.write(BODY[3 * MIB :] + b"\r\n0\r\n\r\n")
        await self.assertGot(unknown, BODY, "none")
        known.write(BODY[10:5000000])
        await self.assertGot(known, BODY[:5000000])
        self.assertGreater(gateway.service.disk.used, 3 * MIB)
        first.write(BODY[4 * MIB : 5000000])
        await self.assertGot(first, BODY[:5000000])
        self.assertNothingLeft(gateway)

    async def test_full_disk(self) -> None:
        """At once, or in the middle. The backend is slow as well."""
        for room in (0, 100_000, 3 * MIB):
            self.patch(upload, "TemporaryFile", lambda room=room, **how: Short(room))
            gateway = await self.start()
            for framed in (False, True):
                head = "Transfer-Encoding: chunked" if framed else f"Content-Length: {len(BODY)}"
                client = await self.client(gateway)
                client.write(f"POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n".encode())
                client.write(chunked(BODY[:-5], BODY[-5:])[:-5] if framed else BODY[:-5])
                await gateway.until(lambda: bool(gateway.active), "a backend to be asked")  # noqa: B023
                client.write(b"0\r\n\r\n" if framed else BODY[-5:])
                await self.assertGot(client, BODY)
                self.assertEqual(0, gateway.service.disk.used)

    async def test_full_device(self) -> None:
        """A real one."""
        self.patch(upload, "TemporaryFile", lambda **how: open("/dev/full", "r+b", buffering=0))
        gateway = await self.start()
        client = await self.begun(gateway, f"Content-Length: {len(BODY)}", BODY[:-5])
        client.write(BODY[-5:])
        await self.assertGot(client, BODY)


class GivenUpTests(UploadCase):
    """No backend is asked, and no file is left."""

    async def test_client_leaves(self) -> None:
        gateway = await self.start()
        for leave in (Wire.close, Wire.reset, Wire.half_close):
            for head in (f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"):
                client = await self.begun(gateway, head, b"500000\r\n" + BODY[:-100])
                self.assertGreater(gateway.service.disk.used, 4 * MIB)
                leave(client)
                await gateway.until(lambda: not gateway.service.disk.used, "the file to be closed")
                self.assertNothingLeft(gateway)
        self.assertEqual([], self.last.wires)
        self.assertEqual({"client_gone"}, {outcome.cause for outcome in gateway.recorder.outcomes})

    async def test_client_stops(self) -> None:
        gateway = await self.start(body_timeout=0.3)
        client = await self.begun(gateway, f"Content-Length: {len(BODY)}", BODY[:-100])
        self.assertEqual(408, (await read_response(client)).status)
        self.assertEqual([], self.last.wires)
        self.assertNothingLeft(gateway)

    async def test_too_long(self) -> None:
        """``maxBodyBytes`` holds as before."""
        gateway = await self.start(max_body_bytes=3 * MIB)
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY))
        self.assertEqual(413, (await read_response(client)).status)
        self.assertEqual([], self.last.wires)
        self.assertNothingLeft(gateway)

    async def test_gateway_stops(self) -> None:
        gateway = await self.start(shutdown_timeout=0.2)
        client = await self.begun(gateway, f"Content-Length: {len(BODY)}", BODY[:-100])
        await gateway.service.stopService()
        self.assertEqual(503, (await read_response(client)).status)
        self.assertNothingLeft(gateway)


class OtherBackendTests(UploadCase):
    """A body that is here can be sent to another one."""

    async def test_retried(self) -> None:
        gone = await self.backend(digesting)
        gateway = await self.gateway(model_for(gone, await self.backend(digesting), global_configuration=ON))
        await gone.refuse()
        for body in (b"abcdef", BODY) * 2:
            client = await self.begun(gateway, f"Content-Length: {len(body)}", body[:-1])
            client.write(body[-1:])
            await self.assertGot(client, body)


class OffTests(GatewayTestCase):
    """Not asked for."""

    async def test_streams(self) -> None:
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        await gateway.until(lambda: bool(backend.wires), "the backend to be asked")


def _unnamed() -> set[str]:
    """The files without a name that this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if name.endswith(" (deleted)"):
            found.add(name)
    return found


def _memory() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


both_roads(globals())
