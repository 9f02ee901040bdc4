"""The C twin in `gateway._native.frames` says of every sequence of chunks what the Python one says."""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from gateway.websocket.frames import FrameError, close_frame
from tests.native.cases import SCANNER_STATE, fresh, outcome
from tests.twins import SKIP, native, python

__all__ = ["compare", "some_frames"]

_FIRSTS = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88, 0xC1, 0x83, 0x08]
_USUAL = [40, 30, 10, 5, 12, 12, 10, 5, 2, 2, 1, 1]
_SIZES = [0, 1, 2, 5, 124, 125, 126, 127, 300]


def some_frames(chance: random.Random, masked: bool) -> bytes:
    """Frames, nearly all right; with now and then a wrong bit, a wrong length, or an end in the middle."""
    raw = bytearray()
    for first in chance.choices(_FIRSTS, _USUAL, k=chance.randrange(1, 8)):
        size = chance.choice(_SIZES) if first < 0x88 else chance.choice(_SIZES[:6])
        payload = chance.randbytes(size)
        if first == 0x88 and chance.random() < 0.8:
            payload = chance.choice([b"", b"\x03\xe8", b"\x03\xe9bye", b"\x03\xed", b"\x10\x00"])
        wide = chance.random() < 0.05
        if len(payload) < 126 and not wide:
            header = bytes([len(payload)])
        elif chance.random() < 0.9:
            header = b"\x7e" + len(payload).to_bytes(2, "big")
        else:
            header = b"\x7f" + (len(payload) | chance.choice([0, 1 << 40, 1 << 63, 1 << 16])).to_bytes(8, "big")
        raw += bytes([first, header[0] | (0x80 if masked else 0)]) + header[1:]
        if masked:
            key = chance.randbytes(4)
            raw += key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
        else:
            raw += payload
    if chance.random() < 0.2:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(raw)


def _said(scanner: Any, data: bytes) -> Any:
    try:
        result = scanner.feed(data)
    except FrameError as error:
        result = (error.code, error.reason, error.offset)
    return result, [getattr(scanner, name) for name in SCANNER_STATE]


def compare(chance: random.Random, kinds: tuple[Any, Any]) -> str:
    """Feed both implementations the same chunks; returns the first difference, empty if there is none."""
    masked = chance.random() < 0.5
    options = (masked, chance.choice([None, None, 200, 1 << 20]), chance.choice([0x70, 0x70, 0, 0x40]))
    first, second = kinds[0](*options), kinds[1](*options)
    raw = some_frames(chance, masked if chance.random() < 0.97 else not masked)
    most = chance.choice([1, 2, 3, 12, 200, 2000])
    position = 0
    while position < len(raw):
        size = chance.randrange(0, most + 1)
        data = raw[position : position + size]
        position += size
        for ahead in (data, raw[position:], b""):
            if first.cut(ahead) != second.cut(ahead):
                return f"{options} cut({ahead!r}) at {position} of {raw!r}"
        said = _said(first, data)
        if said != _said(second, data):
            return f"{options} feed({data!r}) at {position} of {raw!r}: {said} and {_said(second, b'')}"
        if said[0] is not None:
            break
    return ""


class FrameTests(SynchronousTestCase):
    """`FrameScanner`."""

    skip = SKIP

    def setUp(self) -> None:
        self.native, self.python = native["FrameScanner"], python["FrameScanner"]

    def test_same_at_every_step(self) -> None:
        """Attributes, errors and `cut`, after every chunk."""
        chance = random.Random(7)
        for _ in range(3000):
            self.assertEqual(compare(chance, (self.native, self.python)), "")

    def test_every_header(self) -> None:
        """All pairs of first bytes, in both directions, whole and split."""
        tail = b"\x00\x7e" + bytes(140)
        for masked in (False, True):
            for first in range(256):
                for second in (0, 1, 2, 125, 126, 127, 128, 129, 130, 253, 254, 255):
                    raw = bytes([first, second]) + tail
                    for split in (1, 2, 3, 9, len(raw)):
                        said = []
                        for kind in (self.native, self.python):
                            scanner = kind(masked, 1000)
                            said.append([_said(scanner, raw[:split])])
                            if said[-1][0][0] is None:
                                said[-1].append(_said(scanner, raw[split:]))
                        self.assertEqual(said[0], said[1], (masked, raw, split))

    def test_arguments(self) -> None:
        """The same are possible, the same are not."""
        for args in ((), (True, -5), (True, "x"), (True, None, 1), (True, None, -1), (1, 1 << 80), (0, 1 << 62, 0x10)):
            for data in (b"\x81\x80\x00\x00\x00\x00", b"\x01\x05"):
                said = []
                for kind in (self.native, self.python):
                    try:
                        said.append(_said(kind(*args), data))
                    except (TypeError, KeyError) as error:
                        said.append(type(error))
                if args != (True, "x"):  # C looks at it at once
                    self.assertEqual(said[0], said[1], args)
        scanner = self.native(masked=False, reserved=0)
        for data in (bytearray(b"\x81\x01a"), memoryview(b"\x81\x01a")):
            scanner.feed(data)
        self.assertEqual((scanner.messages, scanner.cut(memoryview(b"x"))), (2, 0))
        for wrong in ("x", None, 1):
            self.assertRaises(TypeError, scanner.feed, wrong)
            self.assertRaises(TypeError, scanner.cut, wrong)
        with self.assertRaises(AttributeError):
            scanner.frames = 1

    def test_begun_again(self) -> None:
        """Whatever it had read, and for a subclass too, with what that keeps."""

        class Kept(self.native):  # type: ignore[misc, name-defined]
            __slots__ = ("mark",)

        for raw in (close_frame(1000, "bye", mask=True), close_frame(1000, "bye", mask=True)[:9], b"\x01\x85", b"\x81"):
            scanner = Kept(True, 5)
            scanner.mark = scanner
            scanner.feed(raw)
            scanner.__init__(False)
            self.assertIs(scanner, scanner.mark)
            for name in SCANNER_STATE:
                self.assertEqual(getattr(scanner, name), getattr(self.python(False), name))
            self.assertEqual([], [step for step in (b"\x81", b"\x01a") if scanner.feed(step)])
            self.assertEqual(1, scanner.messages)
        self.assertEqual((1009, "message too big", 0), _said(Kept(False, 5), b"\x81\x06")[0])
        with self.assertRaises(FrameError):
            Kept.__new__(Kept).feed(b"\x01\x05")  # one that was never begun takes nothing

    def test_without_its_error(self) -> None:
        """An extension that was not told what to raise says so."""
        self.assertEqual(outcome(fresh(_native.frames).FrameScanner(False).feed, b"\xff")[0], RuntimeError)

    def test_nothing_leaks(self) -> None:
        """Scanners that end in the middle of anything, also of a close frame."""
        chance = random.Random(3)
        chunks = [some_frames(chance, False) for _ in range(50)] + [close_frame(1000, "bye" * 30)[:20]]

        def many() -> None:
            for _ in range(200):
                for chunk in chunks:
                    scanner = self.native(False)
                    outcome(scanner.feed, chunk[:7])
                    if not scanner.closed:
                        outcome(scanner.feed, chunk[7:])

        many()
        gc.collect()
        blocks, references = sys.getallocatedblocks(), sys.getrefcount(self.native)
        many()
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - blocks, 200)
        self.assertEqual(sys.getrefcount(self.native), references)
