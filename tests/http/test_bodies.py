"""Tests for `gateway.http.bodies`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.http.bodies import (
    ChunkedDecoder,
    FramingError,
    LengthDecoder,
    UntilCloseDecoder,
    chunk,
    decoder,
    last_chunk,
)
from gateway.http.limits import HeadLimits
from gateway.values import CHUNKED, UNTIL_CLOSE
from tests.http.corpus import CHUNKED_BODIES

few = settings(max_examples=100, deadline=None, database=None)


def decode(raw: bytes, sizes: list[int]) -> tuple[bytes, bytes, list[tuple[str, str]]] | None:
    """Payload, excess and trailers of ``raw`` fed in pieces of these sizes; ``None`` for an error or no end."""
    body = ChunkedDecoder()
    payload = b""
    position = count = 0
    try:
        while position < len(raw) and not body.done:
            size = sizes[count % len(sizes)]
            count += 1
            payload += body.feed(raw[position : position + size])
            position += size
    except FramingError:
        return None
    return (payload, body.excess + raw[position:], list(body.trailers)) if body.close() else None


class LengthTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        body = LengthDecoder(5)
        self.assertEqual(body.feed(b"abc"), b"abc")
        self.assertEqual((body.done, body.remaining, body.close()), (False, 2, False))
        self.assertEqual(body.feed(b"deGET"), b"de")
        self.assertEqual((body.done, body.remaining, body.excess, body.close()), (True, 0, b"GET", True))

    def test_exact(self) -> None:
        body = LengthDecoder(3)
        self.assertEqual(body.feed(b"abc"), b"abc")
        self.assertEqual((body.done, body.excess, tuple(body.trailers)), (True, b"", ()))


class UntilCloseTests(SynchronousTestCase):
    def test_close(self) -> None:
        body = UntilCloseDecoder()
        self.assertEqual(body.feed(b"abc"), b"abc")
        self.assertFalse(body.done)
        self.assertTrue(body.close())
        self.assertTrue(body.done)


class ChunkedTests(SynchronousTestCase):
    def test_corpus(self) -> None:
        """Every body of the corpus, in one piece and in small ones."""
        for case in CHUNKED_BODIES:
            for size in (len(case.raw), 1, 2, 3, 7):
                result = decode(case.raw, [size])
                self.assertEqual(result[:2] if result else None, case.verdict, f"{case.name} by {size}")

    def test_trailers(self) -> None:
        body = ChunkedDecoder()
        raw = b"0\r\nX-Sum: 1 \r\nCookie: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-B:2\r\n\r\n"
        self.assertEqual(body.feed(raw), b"")
        self.assertEqual(body.trailers, [("X-Sum", "1"), ("X-B", "2")])

    def test_empty_feed(self) -> None:
        """Nothing is nothing in every state."""
        body = ChunkedDecoder()
        for byte in b"2\r\nab\r\n0\r\nA: b\r\n\r\n":
            self.assertEqual(body.feed(b""), b"")
            body.feed(bytes([byte]))
        self.assertTrue(body.done)

    def test_large_chunk(self) -> None:
        """Pieces of a large chunk pass as they are."""
        body = ChunkedDecoder()
        self.assertEqual(body.feed(b"10000\r\n"), b"")
        piece = bytes(32768)
        self.assertIs(body.feed(piece), piece)
        self.assertIs(body.feed(piece), piece)
        self.assertEqual(body.feed(b"\r\n0\r\n\r\n"), b"")
        self.assertTrue(body.done)

    def test_early_end(self) -> None:
        """The end of the connection is no end of a chunked body."""
        for raw in (b"", b"5", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"0", b"0\r\n", b"0\r\nA: b\r\n"):
            body = ChunkedDecoder()
            body.feed(raw)
            self.assertFalse(body.close(), raw)

    def test_refused_at_once(self) -> None:
        """A bad chunk is refused without waiting for the end of its line."""
        for raw in (
            b"\n",
            b"5\n",
            b"g",
            b"5;a\n",
            b"5\rx",
            b"\r\n",
            b"1111111111111111",
            b"5 x",
            b"0\r\nA\n",
            b"1\r\nxy",
        ):
            self.assertRaises(FramingError, ChunkedDecoder().feed, raw)

    def test_limits(self) -> None:
        limits = HeadLimits(head=40, fields=2)
        self.assertRaises(FramingError, ChunkedDecoder(limits).feed, b"0\r\nA: b\r\nA: b\r\nA: b\r\n\r\n")
        self.assertRaises(FramingError, ChunkedDecoder(limits).feed, b"0\r\nA: " + b"b" * 40)

    @few
    @given(
        st.lists(st.binary(min_size=1, max_size=40), max_size=5),
        st.lists(st.tuples(st.sampled_from(["X-A", "b"]), st.text("a b", max_size=3).map(str.strip)), max_size=2),
        st.binary(max_size=5),
        st.lists(st.integers(1, 30), min_size=1, max_size=4),
    )
    def test_round_trip(
        self, parts: list[bytes], trailers: list[tuple[str, str]], more: bytes, sizes: list[int]
    ) -> None:
        """What is encoded comes out again, however it is split."""
        raw = b"".join([chunk(part) for part in parts]) + last_chunk(trailers) + more
        self.assertEqual(decode(raw, sizes), (b"".join(parts), more, trailers))

    @few
    @given(
        st.lists(
            st.sampled_from([b"5", b"\r\n", b"hello", b"0", b"\r", b"\n", b";", b" ", b"A: b", b"f"]), max_size=10
        ),
        st.lists(st.integers(1, 6), min_size=1, max_size=4),
    )
    def test_split_anywhere(self, parts: list[bytes], sizes: list[int]) -> None:
        raw = b"".join(parts)
        self.assertEqual(decode(raw, sizes), decode(raw, [len(raw) or 1]))


class FunctionTests(SynchronousTestCase):
    def test_decoder(self) -> None:
        self.assertIsInstance(decoder(CHUNKED), ChunkedDecoder)
        self.assertIsInstance(decoder(UNTIL_CLOSE), UntilCloseDecoder)
        self.assertIsInstance(decoder(7), LengthDecoder)
        self.assertTrue(decoder(0).done)

    def test_chunk(self) -> None:
        self.assertEqual(chunk(b"x" * 17), b"11\r\n" + b"x" * 17 + b"\r\n")
        self.assertEqual(chunk(b""), b"")
        self.assertEqual(last_chunk(), b"0\r\n\r\n")
        self.assertEqual(last_chunk([("A", "b"), ("C", "\xe4")]), b"0\r\nA: b\r\nC: \xe4\r\n\r\n")
