"""Tests for `gateway.websocket.frames`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.websocket.frames import FrameError, FrameScanner, close_frame, masking_key, ping_frame
from tests.twins import of_each

try:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame, Opcode
    from websockets.protocol import OPEN
    from websockets.server import ServerProtocol
    from websockets.uri import parse_uri
except ImportError:
    Frame = None

# Each test runs for each implementation (`tests.twins`), which Hypothesis takes for a change of the test's executor.
_twice = [HealthCheck.differing_executors]
few = settings(max_examples=100, deadline=None, database=None, suppress_health_check=_twice)

KEY = b"\x11\x22\x33\x44"
STATE = ("frames", "messages", "closed", "close_code", "close_reason", "at_boundary")


def frame(first: int, payload: bytes = b"", masked: bool = False) -> bytes:
    """A frame with this first byte, its length in as few bytes as it needs."""
    size = len(payload)
    if size < 126:
        head = bytes([size])
    elif size < 65536:
        head = bytes([126]) + size.to_bytes(2, "big")
    else:
        head = bytes([127]) + size.to_bytes(8, "big")
    if not masked:
        return bytes([first]) + head + payload
    body = bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))
    return bytes([first, head[0] | 0x80]) + head[1:] + KEY + body


def result(raw: bytes, sizes: list[int], masked: bool, limit: int | None = None) -> dict[str, Any]:
    """What a scanner says of ``raw`` fed in pieces of these sizes."""
    scanner = FrameScanner(masked, limit)
    position = count = 0
    code = None
    try:
        while position < len(raw):
            size = sizes[count % len(sizes)]
            count += 1
            scanner.feed(raw[position : position + size])
            position += size
    except FrameError as error:
        code = error.code
        good = position + error.offset
        return {name: getattr(scanner, name) for name in STATE[:-1]} | {"code": code, "good": good}
    return {name: getattr(scanner, name) for name in STATE} | {"code": code}


class ScannerTests(SynchronousTestCase):
    def scan(self, *frames: bytes, masked: bool = False, limit: int | None = None) -> FrameScanner:
        scanner = FrameScanner(masked, limit)
        scanner.feed(b"".join(frames))
        return scanner

    def fails(self, code: int, *frames: bytes, masked: bool = False, limit: int | None = None) -> FrameError:
        error: FrameError = self.assertRaises(FrameError, self.scan, *frames, masked=masked, limit=limit)
        self.assertEqual(error.code, code, error.reason)
        return error

    def test_counts(self) -> None:
        for masked in (False, True):
            frames = [
                frame(0x81, b"hello", masked),
                frame(0x01, b"a", masked),
                frame(0x89, b"ping", masked),
                frame(0x00, b"b", masked),
                frame(0x80, b"c", masked),
                frame(0x8A, b"", masked),
                frame(0x82, bytes(70000), masked),
                frame(0x82, bytes(200), masked),
            ]
            scanner = self.scan(*frames, masked=masked)
            self.assertEqual((scanner.frames, scanner.messages), (8, 4))
            self.assertTrue(scanner.at_boundary)
            self.assertFalse(scanner.closed)

    def test_nothing_counts_before_its_end(self) -> None:
        scanner = FrameScanner(True)
        data = frame(0x81, b"hello", True)
        scanner.feed(data[:-1])
        self.assertEqual((scanner.frames, scanner.messages, scanner.at_boundary), (0, 0, False))
        scanner.feed(data[-1:])
        self.assertEqual((scanner.frames, scanner.messages, scanner.at_boundary), (1, 1, True))

    def test_close(self) -> None:
        for masked in (False, True):
            scanner = self.scan(frame(0x88, (1001).to_bytes(2, "big") + b"bye", masked), masked=masked)
            self.assertEqual((scanner.closed, scanner.close_code, scanner.close_reason), (True, 1001, b"bye"))
            scanner = self.scan(frame(0x88, b"", masked), masked=masked)
            self.assertEqual((scanner.closed, scanner.close_code, scanner.close_reason), (True, 1005, b""))

    def test_after_close(self) -> None:
        """What follows a close frame is not looked at, whatever it is."""
        scanner = self.scan(frame(0x88), b"\xff\xff\xff")
        scanner.feed(b"\xff")
        self.assertEqual((scanner.frames, scanner.at_boundary, scanner.cut(b"abc")), (1, True, 0))

    def test_how_much_follows_a_close_frame(self) -> None:
        for masked in (False, True):
            whole = frame(0x81, b"x" * 10, masked) + frame(0x88, b"\x03\xe8bye", masked)
            for split in range(len(whole) + 1):
                scanner = FrameScanner(masked)
                scanner.feed(whole[:split])
                self.assertEqual(scanner.after, 0)
                scanner.feed(whole[split:] + b"\xffab")
                self.assertEqual(scanner.after, 3, split)
                scanner.feed(b"12345")
                self.assertEqual(scanner.after, 5)

    def test_close_codes(self) -> None:
        for code in (1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999):
            self.assertEqual(self.scan(frame(0x88, code.to_bytes(2, "big"))).close_code, code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            self.fails(1002, frame(0x88, code.to_bytes(2, "big")))
        self.fails(1002, frame(0x88, b"\x03"))

    def test_mask(self) -> None:
        self.fails(1002, frame(0x81, b"a", False), masked=True)
        self.fails(1002, frame(0x81, b"a", True), masked=False)

    def test_opcodes(self) -> None:
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.fails(1002, frame(0x80 | opcode))
        for first in (0x08, 0x09, 0x0A):
            self.fails(1002, frame(first))

    def test_reserved_bits(self) -> None:
        """Extensions are between the two ends, unless the scanner is told which bits they may use."""
        self.assertEqual(self.scan(frame(0xC1, b"a")).messages, 1)
        for first in (0xC1, 0xA1, 0x91):
            self.assertRaises(FrameError, FrameScanner(False, reserved=0).feed, frame(first))
        FrameScanner(False, reserved=0x40).feed(frame(0xC1))
        self.assertRaises(FrameError, FrameScanner(False, reserved=0x40).feed, frame(0xA1))

    def test_control_frames(self) -> None:
        self.scan(frame(0x89, bytes(125)))
        self.fails(1002, frame(0x89, bytes(126)))
        self.fails(1002, frame(0x88, bytes(126)))

    def test_continuations(self) -> None:
        self.fails(1002, frame(0x80))
        self.fails(1002, frame(0x00))
        self.fails(1002, frame(0x81), frame(0x80))
        self.fails(1002, frame(0x01), frame(0x81))
        self.fails(1002, frame(0x01), frame(0x02))
        self.fails(1002, frame(0x01), frame(0x80), frame(0x80))

    def test_lengths(self) -> None:
        self.fails(1002, b"\x81\x7e\x00\x7d" + bytes(125))
        self.fails(1002, b"\x81\x7f" + (65535).to_bytes(8, "big"))
        self.fails(1002, b"\x81\x7f" + (1 << 63).to_bytes(8, "big"))
        scanner = self.scan(b"\x81\x7f" + ((1 << 63) - 1).to_bytes(8, "big"))
        self.assertFalse(scanner.at_boundary)

    def test_limit(self) -> None:
        self.scan(frame(0x81, bytes(10)), frame(0x81, bytes(10)), limit=10)
        self.scan(frame(0x01, bytes(5)), frame(0x89, bytes(9)), frame(0x80, bytes(5)), frame(0x81, bytes(10)), limit=10)
        self.fails(1009, frame(0x81, bytes(11)), limit=10)
        self.fails(1009, frame(0x01, bytes(5)), frame(0x00, bytes(3)), frame(0x80, bytes(3)), limit=10)
        self.fails(1009, b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), limit=1 << 20)

    def test_offset(self) -> None:
        """An error says what of the chunk may still go through."""
        good = frame(0x81, b"good")
        error = self.fails(1002, good, frame(0x83))
        self.assertEqual(error.offset, len(good))
        scanner = FrameScanner(False)
        scanner.feed(good[:3])
        error = self.assertRaises(FrameError, scanner.feed, good[3:] + b"\xff\xff")
        self.assertEqual((error.offset, scanner.at_boundary), (len(good) - 3, True))
        scanner = FrameScanner(False)
        scanner.feed(good + b"\x81")
        error = self.assertRaises(FrameError, scanner.feed, b"\xff")
        self.assertEqual((error.offset, scanner.at_boundary), (0, False))
        scanner = FrameScanner(False)
        scanner.feed(b"\x88\x02\x00")
        error = self.assertRaises(FrameError, scanner.feed, b"\x00")
        self.assertEqual((error.offset, scanner.at_boundary), (0, False))

    def test_cut(self) -> None:
        """At every split, `cut` finds the end of the frame in progress."""
        for masked in (False, True):
            for size in (0, 5, 126, 70000):
                raw = frame(0x81, bytes(size), masked)
                more = frame(0x89, b"x", masked)
                for position in [*range(16), len(raw) - 1]:
                    if position >= len(raw):
                        continue
                    scanner = FrameScanner(masked)
                    scanner.feed(raw[:position])
                    rest = raw[position:] + more
                    expected = 0 if position == 0 else len(raw) - position
                    self.assertEqual(scanner.cut(rest), expected, (masked, size, position))
                    if position:
                        short = rest[: min(3, len(raw) - position)]
                        self.assertEqual(scanner.cut(short), len(short))
                        self.assertEqual(scanner.cut(b""), 0)
                        scanner.feed(rest[:expected])
                        self.assertTrue(scanner.at_boundary)

    def test_empty_feed(self) -> None:
        scanner = FrameScanner(True)
        scanner.feed(b"")
        raw = frame(0x82, bytes(300), True)
        for byte in raw:
            scanner.feed(bytes([byte]))
            scanner.feed(b"")
        self.assertEqual((scanner.frames, scanner.messages), (1, 1))

    @few
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88, 0x83, 0xC1]),
                st.binary(max_size=4) | st.just(bytes(130)) | st.just(b"\x03\xe8"),
            ),
            max_size=8,
        ),
        st.lists(st.integers(1, 40), min_size=1, max_size=4),
        st.booleans(),
        st.sampled_from([None, 6]),
        st.booleans(),
    )
    def test_split_anywhere(
        self, parts: list[tuple[int, bytes]], sizes: list[int], masked: bool, limit: int | None, right_mask: bool
    ) -> None:
        raw = b"".join([frame(first, payload, masked) for first, payload in parts])
        pieces = result(raw, sizes, masked == right_mask, limit)
        whole = result(raw, [len(raw) or 1], masked == right_mask, limit)
        # Where a frame was torn between two chunks, what may still be forwarded is counted from the later one.
        if whole.get("good") is not None:
            self.assertLessEqual(whole.pop("good"), pieces.pop("good"))
        self.assertEqual(pieces, whole)

    @few
    @given(st.binary(max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.booleans())
    def test_any_bytes(self, raw: bytes, sizes: list[int], masked: bool) -> None:
        pieces, whole = result(raw, sizes, masked), result(raw, [len(raw) or 1], masked)
        pieces.pop("good", None)
        whole.pop("good", None)
        self.assertEqual(pieces, whole)


class MakerTests(SynchronousTestCase):
    def test_close_frame(self) -> None:
        self.assertEqual(close_frame(1001, "bye"), b"\x88\x05\x03\xe9bye")
        self.assertEqual(close_frame(1005), b"\x88\x00")
        for mask in (False, True):
            scanner = FrameScanner(mask)
            scanner.feed(close_frame(1011, "über", mask))
            self.assertEqual((scanner.close_code, scanner.close_reason.decode()), (1011, "über"))

    def test_reason_is_cut_between_characters(self) -> None:
        data = close_frame(1000, "ü" * 100)
        self.assertEqual(data[1], 2 + 122)
        self.assertEqual(data[4:].decode(), "ü" * 61)
        self.assertEqual(close_frame(1000, "\ud800")[4:], b"?")

    def test_masks_differ(self) -> None:
        self.assertNotEqual({close_frame(1000, "", True) for _ in range(8)}, {close_frame(1000, "", True)})

    def test_ping_frame(self) -> None:
        self.assertEqual(ping_frame(), b"\x89\x00")
        self.assertEqual(ping_frame(b"ab"), b"\x89\x02ab")
        for mask in (False, True):
            scanner = FrameScanner(mask)
            scanner.feed(ping_frame(bytes(125), mask))
            self.assertEqual((scanner.frames, scanner.messages, scanner.at_boundary), (1, 0, True))
        self.assertRaises(ValueError, ping_frame, bytes(126))


class MaskingKeyTests(SynchronousTestCase):
    def test_each_is_given_out_once(self) -> None:
        keys = [masking_key() for _ in range(3000)]
        self.assertEqual({4}, {len(key) for key in keys})
        # Of 3000 numbers of 32 bits a pair is equal in one of a thousand runs, two pairs in one of a million.
        self.assertGreater(len(set(keys)), 2998)

    def test_a_forked_process_has_others(self) -> None:
        masking_key()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, b"".join([masking_key() for _ in range(200)]))
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            theirs = pipe.read()
        os.waitpid(child, 0)
        self.assertEqual(800, len(theirs))
        ours = {masking_key() for _ in range(200)}
        self.assertLess(len(ours.intersection([theirs[at : at + 4] for at in range(0, 800, 4)])), 2)


class PeerTests(SynchronousTestCase):
    if Frame is None:
        skip = "websockets is not installed"

    def test_reads_what_websockets_writes(self) -> None:
        raw = b""
        for opcode, payload in (
            (Opcode.TEXT, b"hi"),
            (Opcode.BINARY, bytes(300)),
            (Opcode.PING, b"x"),
            (Opcode.BINARY, bytes(70000)),
        ):
            raw += Frame(opcode, payload).serialize(mask=True)
        raw += Frame(Opcode.CLOSE, b"\x03\xe8end").serialize(mask=True)
        for sizes in ([len(raw)], [1000, 1, 7]):
            found = result(raw, sizes, True)
            self.assertEqual(
                (found["messages"], found["frames"], found["close_code"], found["close_reason"]), (3, 5, 1000, b"end")
            )

    def test_websockets_reads_what_we_write(self) -> None:
        server = ServerProtocol(state=OPEN)
        server.receive_data(ping_frame(b"abc", mask=True) + close_frame(1012, "restart", mask=True))
        ping, close = server.events_received()
        self.assertEqual((ping.opcode, bytes(ping.data)), (Opcode.PING, b"abc"))
        self.assertEqual((server.close_rcvd.code, server.close_rcvd.reason), (1012, "restart"))
        client = ClientProtocol(parse_uri("ws://a/"), state=OPEN)
        client.receive_data(close_frame(1001, "going"))
        self.assertEqual((client.close_rcvd.code, client.close_rcvd.reason), (1001, "going"))


of_each(globals())
