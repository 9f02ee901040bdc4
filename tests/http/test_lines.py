"""The memo of field lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.forwarding import request_stays, response_stays
from gateway.http.lines import (
    CONNECTION,
    DATE,
    HOST,
    LENGTH,
    TYPE,
    UPGRADE,
    FieldLines,
    request_lines,
    response_lines,
)

_START = "GET / HTTP/1.1"


class LineTests(SynchronousTestCase):
    """What lines are read as. That this is what the parser makes of them: `tests.listener.test_plain_heads`."""

    def test_passed_on(self) -> None:
        lines = [_START, "X-A:\t b c ", "Keep-Alive: 5", "x:"]
        self.assertEqual("X-A: b c\r\nx: \r\n", request_lines.read(lines)[0])
        self.assertEqual("X-A: b c\r\nx: \r\n", response_lines.read(lines)[0])
        line = "X-Forwarded-For: 1.2.3.4"
        self.assertEqual("", request_lines.read([_START, line])[0])
        self.assertEqual(f"{line}\r\n", response_lines.read([_START, line])[0])

    def test_said(self) -> None:
        _, said = request_lines.read([_START, "HOST: a:80", "Connection: keep-alive, Close", "Content-Length: 70"])
        self.assertEqual(("a:80", True, 70), (said[HOST], said[CONNECTION], said[LENGTH]))
        self.assertEqual("h2c", request_lines.read([_START, "Upgrade: h2c"])[1][UPGRADE])
        _, said = response_lines.read([_START, "Content-Type: a/b ", "Date: x", "connection: , upgrade,Keep-Alive"])
        self.assertEqual(("a/b", "x", False), (said[TYPE], said[DATE], said[CONNECTION]))
        self.assertNotIn(LENGTH, said)

    def test_irregular(self) -> None:
        for line in (
            "", " a: b", "a : b", "a", ": b", "a: \x00", "a: \n", "a: b\r", "a\x80: b", "Content-Length: +1",
            "Content-Length:", "Content-Length: 01", "Content-Length: \xb2", f"Content-Length: {10**18}",
            "Transfer-Encoding: chunked", "Connection: x-a", "Connection: a b",
        ):  # fmt: skip
            for memo in (request_lines, response_lines):
                self.assertIsNone(memo.read([_START, line]), line)
        for line in ("Host:", "Host: a b", "Host: [::1]", "Host: a:", "Host: a:65536", "TE: trailers", "Expect: x"):
            self.assertIsNone(request_lines.read([_START, line]), line)
            self.assertIsNotNone(response_lines.read([_START, line]), line)

    def test_twice(self) -> None:
        for line in ("Host: a", "Connection: close", "Content-Length: 1"):
            self.assertIsNone(request_lines.read([_START, line, line]))
        for line in ("Connection: close", "Content-Length: 1", "Content-Type: a", "Date: x"):
            self.assertIsNone(response_lines.read([_START, line, line]))
        self.assertEqual("A: b\r\nA: b\r\n", request_lines.read([_START, "A: b", "A: b"])[0])


class MemoryTests(SynchronousTestCase):
    """What is remembered comes from anybody."""

    def setUp(self) -> None:
        self.memos = FieldLines(request_stays, {}), FieldLines(response_stays, {})

    def remember(self, *lines: str) -> None:
        """Read these."""
        for memo in self.memos:
            for _ in range(2):
                self.assertEqual("".join([f"{line}\r\n" for line in lines]), memo.read([_START, *lines])[0])

    def test_usual_lines(self) -> None:
        self.remember("X-A: b", "X-A: c")
        for memo in self.memos:
            self.assertEqual(["X-A: b", "X-A: c"], list(memo))

    def test_bounds(self) -> None:
        for number in range(5000):
            self.remember(f"X-A: {number}")
        self.remember("X-A: " + "b" * 300)
        for memo in self.memos:
            self.assertTrue(0 < len(memo) <= 2048, len(memo))
            self.assertLessEqual(max(map(len, memo)), 256)

    def test_secrets(self) -> None:
        self.remember("Cookie: a=b", "authorization: Bearer x", "Set-Cookie: a=b")
        for memo in self.memos:
            self.assertEqual([], list(memo))

    def test_what_is_said_once(self) -> None:
        self.remember("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRb")
        for memo in self.memos:
            self.assertEqual([], list(memo))
