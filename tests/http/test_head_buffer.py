"""Tests for `gateway.http.head_buffer`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import BackendProtocolError, BadRequest, GatewayError, HeadTooLarge, TargetTooLong
from gateway.http.head_buffer import HeadBuffer
from gateway.http.heads import parse_request, parse_response
from gateway.http.limits import HeadLimits
from tests.http.corpus import REQUESTS, RESPONSES

few = settings(max_examples=200, deadline=None, database=None)

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SMALL = HeadLimits(head=60, fields=4, target=20)


def collect(raw: bytes, sizes: list[int], buffer: HeadBuffer) -> tuple[object, bytes]:
    """Feed ``raw`` in pieces of these sizes, over and over; the head or the class of the error, and the rest."""
    position = count = 0
    try:
        while position < len(raw):
            size = sizes[count % len(sizes)]
            count += 1
            head = buffer.feed(raw[position : position + size])
            position += size
            if head is not None:
                return head, buffer.rest + raw[position:]
    except GatewayError as error:
        return type(error), b""
    return None, b""


class HeadBufferTests(SynchronousTestCase):
    def test_whole(self) -> None:
        buffer = HeadBuffer()
        self.assertEqual(buffer.feed(HEAD + b"body"), HEAD)
        self.assertEqual(buffer.rest, b"body")

    def test_pieces_and_reuse(self) -> None:
        buffer = HeadBuffer()
        for _ in range(2):
            self.assertFalse(buffer.started)
            for position in range(len(HEAD) - 1):
                self.assertIsNone(buffer.feed(HEAD[position : position + 1]))
                self.assertTrue(buffer.started)
            self.assertEqual(buffer.feed(HEAD[-1:] + b"GET"), HEAD)
            self.assertEqual(buffer.rest, b"GET")

    def test_empty_lines(self) -> None:
        """Two empty lines may come before a request, and are not the begin of one."""
        buffer = HeadBuffer()
        for byte in b"\r\n\r\n":
            self.assertIsNone(buffer.feed(bytes([byte])))
            self.assertFalse(buffer.started)
        self.assertEqual(buffer.feed(HEAD), HEAD)
        self.assertRaises(BadRequest, HeadBuffer().feed, b"\r\n\r\n\r\n" + HEAD)
        self.assertRaises(BadRequest, HeadBuffer().feed, b"\n" + HEAD)
        self.assertRaises(BackendProtocolError, HeadBuffer(error=BackendProtocolError).feed, b"\r\nHTTP/1.1 200 OK\r\n")

    def test_refused_at_once(self) -> None:
        """What can never become a request is refused before its end, if it ever comes."""
        for data in (
            b"\x16\x03\x01\x02\x00\x01",
            b"\x00",
            b"GET /\r\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nA: b\n",
            b"GET\t",
            b"{",
            b"GET / HTTP/1.1\r\nA: b\rc",
            b"GET / HTTP/1.1\r\nA: \x00",
            b"SSH-2.0-x\r\n",
            b"G" * 65,
            b" GET",
            b"GET / FTP/1.1\r\n",
            b"GET / HTTP/1.1 x\r\n",
            b"GET / HTTP/0.9\r\n",
        ):
            self.assertRaises(BadRequest, HeadBuffer().feed, data)
        error = self.assertRaises(BadRequest, HeadBuffer().feed, b"\x16\x03\x01")
        self.assertIn("TLS", str(error))

    def test_body_is_not_looked_at(self) -> None:
        buffer = HeadBuffer()
        self.assertEqual(buffer.feed(HEAD + b"\n\x00\r"), HEAD)

    def test_limits(self) -> None:
        self.assertRaises(TargetTooLong, HeadBuffer(SMALL).feed, b"GET /" + b"a" * 100)
        self.assertRaises(HeadTooLarge, HeadBuffer(SMALL).feed, b"GET / HTTP/1.1\r\nA: " + b"b" * 100)
        exact = b"GET / HTTP/1.1\r\nHost: a\r\nB: " + b"b" * 30 + b"\r\n\r\n"
        self.assertEqual(len(exact), 62)
        self.assertRaises(HeadTooLarge, HeadBuffer(SMALL).feed, exact)
        self.assertEqual(HeadBuffer(SMALL._replace(head=62)).feed(exact), exact)

    def test_responses(self) -> None:
        buffer = HeadBuffer(SMALL, BackendProtocolError)
        self.assertIsNone(buffer.feed(b"HTTP/1.1 200 OK\r\n"))
        self.assertEqual(buffer.feed(b"\r\nx"), b"HTTP/1.1 200 OK\r\n\r\n")
        for data in (b"x", b"HTTP/2", b"SSH-2.0", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 " + b"x" * 60):
            self.assertRaises(BackendProtocolError, HeadBuffer(SMALL, BackendProtocolError).feed, data)

    def test_same_verdict_as_the_parser(self) -> None:
        """Early refusal never refuses what the parser accepts, and gives no other answer than it does in one piece."""
        for case in REQUESTS:
            whole = collect(case.raw, [len(case.raw)], HeadBuffer())
            if not isinstance(case.verdict, int):
                self.assertEqual(whole, (case.raw, b""), case.name)
                parse_request(case.raw)
            for sizes in ([1], [7], [13, 2]):
                self.assertEqual(collect(case.raw, sizes, HeadBuffer()), whole, case.name)
        for answer in RESPONSES:
            if answer.verdict is not None:
                self.assertEqual(collect(answer.raw, [3], HeadBuffer(error=BackendProtocolError)), (answer.raw, b""))
                parse_response(answer.raw, answer.method)

    @few
    @given(
        st.lists(
            st.sampled_from([b"\r\n", b"GET / HTTP/1.1", b"A: b", b"\n", b"\r", b" ", b"x" * 30, b"\x00"]), max_size=8
        ),
        st.lists(st.integers(1, 20), min_size=1, max_size=4),
    )
    def test_split_anywhere(self, parts: list[bytes], sizes: list[int]) -> None:
        raw = b"".join(parts)
        self.assertEqual(collect(raw, sizes, HeadBuffer(SMALL)), collect(raw, [len(raw) or 1], HeadBuffer(SMALL)))
