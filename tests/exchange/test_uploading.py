"""`gateway.exchange.uploading`: an exchange that waits for its request's body."""

from __future__ import annotations

import os
from typing import Any

from gateway.errors import BackendTimeout
from gateway.middleware.base import Middleware
from gateway.relay.upload import PIECE, Disk
from gateway.values import Reply
from tests.dialogue import OK, POST, Dialogue, DialogueCase, Party
from tests.relay.test_upload import Files, Full

MIB = 1 << 20
BODY = os.urandom(5 * PIECE + 77)
PUT = b"PUT /big HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n" % len(BODY)
CHUNKED = b"PUT /big HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n"


class Refuse(Middleware):
    """Lets nobody in."""

    def request(self, head: Any, context: Any) -> Any:
        return Reply(403)


class UploadingCase(DialogueCase):
    """Gateways that keep 100 bytes in memory; nothing may be left in files."""

    def uploading(self, most: int = MIB, memory: int = 100, make: Any = Full, **options: Any) -> Dialogue:
        self.files = Files(memory, most, Disk(), make)
        return self.gateway(uploads=self.files, **options)

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(0, self.files._disk.used)
        self.assertEqual([], [file for file in self.files.files if not file.closed])

    def answered(self, gateway: Dialogue, client: Party, backend: int = 0) -> None:
        gateway.backend(backend).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")


class WaitingTests(UploadingCase):
    """Nobody is asked before the body is here."""

    def test_in_memory(self) -> None:
        gateway = self.uploading()
        client = gateway.client()
        client.sends(POST[:-2])
        gateway.connections(0, 0)
        gateway.advance(7)
        client.sends(POST[-2:])
        gateway.backend(0).gets("POST", "Content-Length: 5", body=b"abcde")
        self.answered(gateway, client)
        self.assertEqual([], self.files.files)
        (outcome,) = gateway.recorder.outcomes
        self.assertEqual((1000.0, 1007.0), (outcome.started, outcome.collected), "a slow client is no slow backend")

    def test_in_a_file(self) -> None:
        gateway = self.uploading()
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY[:-1], 3000)
        gateway.connections(0, 0)
        client.is_read()
        client.sends(BODY[-1:])
        gateway.backend(0).gets("PUT", f"Content-Length: {len(BODY)}", body=BODY)
        self.answered(gateway, client)
        client.sends(POST)
        gateway.backend(1).gets("POST", body=b"abcde")
        self.answered(gateway, client, 1)
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        gateway.backend(0).gets("PUT", body=BODY)
        self.answered(gateway, client)
        gateway.connections(1, 1)
        self.assertEqual(2, len(self.files.files), "the connection was used again")

    def test_chunked(self) -> None:
        """A length that is known is told."""
        for size in (1, 99, 101, len(BODY)):
            gateway = self.uploading()
            client = gateway.client()
            client.sends(CHUNKED + b"\r\n%x\r\n" % size + BODY[:size])
            gateway.connections(0, 0)
            client.sends(b"\r\n0\r\n\r\n")
            gateway.backend(0).gets(
                "PUT", f"Content-Length: {size}", body=BODY[:size], without=["Transfer-Encoding"]
            )
            self.answered(gateway, client)

    def test_chunked_in_one_piece(self) -> None:
        gateway = self.uploading()
        client = gateway.client()
        for payload, chunks in ((b"abc", b"3\r\nabc\r\n0\r\n\r\n"), (b"", b"0\r\n\r\n")):
            client.sends(CHUNKED + b"\r\n" + chunks)
            number = len(gateway.recorder.outcomes) % 2
            gateway.backend(number).gets(
                "PUT", f"Content-Length: {len(payload)}", body=payload, without=["Transfer-Encoding"]
            )
            self.answered(gateway, client, number)

    def test_trailers(self) -> None:
        """They need chunks."""
        for size in (3, len(BODY)):
            gateway = self.uploading()
            client = gateway.client()
            client.sends(CHUNKED + b"\r\n%x\r\n" % size + BODY[:size])
            client.sends(b"\r\n0\r\nX-Sum: 1\r\n\r\n")
            backend = gateway.backend(0)
            backend.gets("PUT", "Transfer-Encoding: chunked", without=["Content-Length"])
            for at in range(0, size, PIECE):
                piece = BODY[at : min(size, at + PIECE)]
                backend.gets(b"%x\r\n%s\r\n" % (len(piece), piece))
            backend.gets(b"0\r\nX-Sum: 1\r\n\r\n")
            self.answered(gateway, client)

    def test_trailers_of_what_the_head_says(self) -> None:
        for size in (3, len(BODY)):
            gateway = self.uploading()
            client = gateway.client()
            client.sends(CHUNKED + b"X-User: ann\r\n\r\n%x\r\n" % size + BODY[:size])
            client.sends(b"\r\n0\r\nX-User: eve\r\n\r\n")
            backend = gateway.backend(0)
            backend.gets("PUT", "Transfer-Encoding: chunked")
            for at in range(0, size, PIECE):
                piece = BODY[at : min(size, at + PIECE)]
                backend.gets(b"%x\r\n%s\r\n" % (len(piece), piece))
            backend.gets(b"0\r\n\r\n")
            self.answered(gateway, client)

    def test_expect(self) -> None:
        """The gateway says 100, and the backend is not asked for another one."""
        gateway = self.uploading()
        client = gateway.client()
        for rest in (b"", BODY[:50]):
            client.sends(PUT + b"Expect: 100-continue\r\nX-A: b\r\n\r\n" + rest)
            if not rest:
                client.gets(b"HTTP/1.1 100 Continue\r\n\r\n")
            client.gets_nothing()
            client.sends(BODY[len(rest) :])
            number = len(gateway.recorder.outcomes)
            gateway.backend(number).gets("PUT", "X-A: b", body=BODY, without=["Expect"])
            self.answered(gateway, client, number)

    def test_expect_of_what_is_here(self) -> None:
        """Nobody waits for a 100 then, and the backend would send one."""
        gateway = self.uploading()
        client = gateway.client()
        expecting = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        empty = expecting.replace(b"Length: 5", b"Length: 0").removesuffix(b"abcde")
        for request, body in ((expecting, b"abcde"), (empty, b"")):
            client.sends(request)
            number = len(gateway.recorder.outcomes)
            gateway.backend(number).gets("POST", f"Content-Length: {len(body)}", body=body, without=["Expect"])
            self.answered(gateway, client, number)

    def test_expect_of_an_old_client(self) -> None:
        gateway = self.uploading()
        client = gateway.client()
        client.sends(PUT.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Expect: 100-continue\r\n\r\n")
        client.gets_nothing()
        client.sends(BODY)
        gateway.backend(0).gets("PUT", body=BODY, without=["Expect"])
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_middleware_is_asked_first(self) -> None:
        """Whoever it refuses is not asked for a body."""
        gateway = self.uploading(middleware=[Refuse()])
        client = gateway.client()
        client.sends(PUT + b"Expect: 100-continue\r\n\r\n")
        client.gets("HTTP/1.1 403 ", "Connection: close")
        gateway.recorded("403 reply")
        self.assertEqual([], self.files.files)

    def test_what_does_not_fit_is_not_waited_for(self) -> None:
        gateway = self.uploading(most=1000)
        client = gateway.client()
        client.sends(PUT + b"Expect: 100-continue\r\n\r\n")
        backend = gateway.backend(0)
        backend.gets("PUT", "Expect: 100-continue")
        backend.sends(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.gets(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sends(BODY)
        backend.gets(BODY)
        self.answered(gateway, client)
        self.assertEqual([], self.files.files)


class GivenUpTests(UploadingCase):
    """Every way to the end closes the file."""

    def begun(self, gateway: Dialogue, head: bytes = PUT + b"\r\n", size: int = 200_000) -> Party:
        client = gateway.client()
        client.sends(head + BODY[:size])
        gateway.connections(0, 0)
        self.assertEqual((1, size), (len(self.files.files), self.files._disk.used))
        return client

    def test_client_leaves(self) -> None:
        for end in ("resets", "closes", "half_closes"):
            gateway = self.uploading()
            client = self.begun(gateway)
            getattr(client, end)()
            gateway.connections(0, 0)
            gateway.recorded("499 client_gone")
            self.assertEqual(0, self.files._disk.used)

    def test_client_stops(self) -> None:
        gateway = self.uploading(limits={"body_timeout": 20})
        client = self.begun(gateway)
        gateway.advance(19)
        client.sends(BODY[200_000:200_001])
        gateway.advance(19)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(408, "Connection: close")
        gateway.connections(0, 0)
        gateway.recorded("408 request_timeout")
        self.assertEqual(0, self.files._disk.used)

    def test_too_long(self) -> None:
        gateway = self.uploading(limits={"max_body_bytes": 250_000})
        client = self.begun(gateway, CHUNKED + b"\r\n40000\r\n")
        client.sends(BODY[200_000:260_000])
        client.gets_page(413, "Connection: close")
        gateway.connections(0, 0)
        gateway.recorded("413 content_too_large")

    def test_bad_framing(self) -> None:
        gateway = self.uploading()
        client = self.begun(gateway, CHUNKED + b"\r\n30d40\r\n")
        client.sends(b"nonsense")
        client.gets_page(400, "Connection: close")
        gateway.connections(0, 0)
        gateway.recorded("400 bad_request")

    def test_no_backend(self) -> None:
        gateway = self.uploading(backends=1)
        gateway.place(0).manner = "refuse"
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        client.gets_page(502, without=["Connection"])
        gateway.recorded("502 connect_failed")
        self.assertEqual(0, self.files._disk.used)

    def test_backend_answers_before_it_has_everything(self) -> None:
        """It may do so; its connection is not used again."""
        gateway = self.uploading()
        client, backend = self.stuck(gateway)
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello", without=["Connection"])
        gateway.recorded("200 ok")
        backend.finds("reset")
        backend.gets_something()

    def test_backend_leaves(self) -> None:
        gateway = self.uploading()
        client, backend = self.stuck(gateway)
        backend.resets()
        client.gets_page(502, without=["Connection"])
        gateway.recorded("502 backend_closed")
        backend.gets_something()
        gateway.connections(1, 0)

    def test_client_leaves_while_a_backend_is_stuck(self) -> None:
        gateway = self.uploading()
        client, backend = self.stuck(gateway)
        client.resets()
        gateway.recorded("499 client_gone")
        backend.finds("reset")
        backend.gets_something()

    def test_backend_that_takes_nothing(self) -> None:
        """It has its time for each piece."""
        gateway = self.uploading(settings={"request_timeout": 20})
        client, backend = self.stuck(gateway)
        gateway.advance(19)
        backend.takes(200_000)
        backend.stalls()
        gateway.advance(19)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(504)
        self.assertIsInstance(gateway.recorded("504 backend_timeout").error, BackendTimeout)
        backend.gets_something()

    def test_file_that_cannot_be_read(self) -> None:
        gateway = self.uploading()
        client, backend = self.stuck(gateway)
        self.files.files[0].truncate(0)
        backend.takes()
        client.gets_page(500, without=["Connection"])
        self.assertIn("cannot be read", str(gateway.recorded("500 gateway_error").error))
        backend.finds("reset")
        backend.gets_something()

    def test_switch_before_it_has_everything(self) -> None:
        gateway = self.uploading(backends=1)
        gateway.place(0).manner = "stall"
        client = gateway.client()
        client.sends(PUT + b"Connection: Upgrade\r\nUpgrade: other\r\n\r\n" + BODY, 50_000)
        gateway.backend(0).sends(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
        client.gets_page(502, "Connection: close")
        gateway.recorded("502 backend_protocol_error")
        gateway.backend(0).gets_something()

    def stuck(self, gateway: Dialogue) -> tuple[Party, Party]:
        """A backend that has its head and the first piece to take, and takes nothing."""
        gateway.place(0).manner = "stall"
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        backend = gateway.backend(0)
        self.assertLess(backend.wire.queued, 2 * PIECE)
        return client, backend


class TowardsBackendsTests(UploadingCase):
    """Flow control, other backends, streaming on."""

    def test_slow_backend(self) -> None:
        """What it does not take stays in the file."""
        gateway = self.uploading()
        gateway.place(0).manner = "stall"
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        backend = gateway.backend(0)
        for _ in range(4):
            self.assertLess(backend.wire.queued, 2 * PIECE)
            backend.takes(backend.wire.queued)
        backend.takes()
        backend.gets("PUT", body=BODY)
        self.assertEqual(0, self.files._disk.used)
        self.answered(gateway, client)

    def test_another_backend(self) -> None:
        """Where nothing was sent, all of it is there for the next one."""
        gateway = self.uploading()
        gateway.place(0).manner = "refuse"
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        gateway.backend(1).gets("PUT", body=BODY)
        self.answered(gateway, client, 1)

    def test_an_idle_connection_that_the_backend_has_closed(self) -> None:
        """What is in a file is sent once, and not there."""
        gateway = self.uploading(backends=1)
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        gateway.backend(0).gets("PUT", body=BODY)
        self.answered(gateway, client)
        gateway.backend(0).wire.peer_left = True
        client.sends(PUT + b"\r\n" + BODY, 50_000)
        gateway.connections(2)
        gateway.backend(0).gets("PUT", body=BODY)
        self.answered(gateway, client)

    def test_disk_is_full(self) -> None:
        """The rest streams, behind what was kept; the client waits until the backend has that."""
        for room in (0, 50, 70_000, 300_000):
            for head, framed in ((PUT + b"\r\n", False), (CHUNKED + b"\r\n%x\r\n" % len(BODY), True)):
                gateway = self.uploading(make=lambda: Full(room))  # noqa: B023
                gateway.place(0).manner = "stall"
                client = gateway.client()
                client.sends(head + BODY[:320_000], 20_000)
                gateway.connections(1, 0)
                client.is_held()
                backend = gateway.backend(0)
                backend.takes()
                client.is_read()
                self.assertEqual(0, self.files._disk.used)
                client.sends(BODY[320_000:] + (b"\r\n0\r\n\r\n" if framed else b""), 1000)
                got = backend.gets_something().partition(b"\r\n\r\n")[2]
                self.assertTrue(BODY == (_unchunked(got) if framed else got))
                self.answered(gateway, client)

    def test_the_room_of_all_is_used_up(self) -> None:
        gateway = self.uploading(most=150_000)
        first, second = gateway.client(), gateway.client()
        head = CHUNKED + b"\r\n%x\r\n" % len(BODY)
        first.sends(head + BODY[:140_000], 10_000)
        gateway.connections(0, 0)
        second.sends(head + BODY[:120], 60)
        gateway.connections(0, 0)
        second.sends(BODY[120:20_000], 5000)
        gateway.connections(1, 0)
        second.sends(BODY[20_000:] + b"\r\n0\r\n\r\n")
        self.assertTrue(BODY == _unchunked(gateway.backend(0).gets_something().partition(b"\r\n\r\n")[2]))
        self.answered(gateway, second)
        first.sends(BODY[140_000:] + b"\r\n0\r\n\r\n")
        gateway.backend(1).gets("PUT", f"Content-Length: {len(BODY)}", body=BODY)
        self.answered(gateway, first, 1)

    def test_streaming_client_that_is_slow(self) -> None:
        """Once the backend has what was kept, the client's time counts."""
        gateway = self.uploading(make=lambda: Full(1000), limits={"body_timeout": 20})
        client = gateway.client()
        client.sends(PUT + b"\r\n" + BODY[:2000])
        gateway.backend(0).gets("PUT", body=BODY[:2000])
        gateway.advance(21)
        client.gets_page(408, "Connection: close")
        gateway.recorded("408 request_timeout")


def _unchunked(data: bytes) -> bytes:
    pieces = []
    while data:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        pieces.append(data[:size])
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
        if not size:
            assert not data
    return b"".join(pieces)
