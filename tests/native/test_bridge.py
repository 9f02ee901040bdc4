"""Bridges: what passes without Python, and when Python is called. Socket pairs, no reactor."""

from __future__ import annotations

import gc
import random
import socket
import weakref
from typing import Any

from gateway import _native
from gateway.transport.bridge import bridge
from gateway.websocket.frames import FrameError, close_frame
from tests.native.test_frames import some_frames
from tests.transport.loops import TURN, LoopCase
from tests.twins import SKIP, native, python


class NativeCase(LoopCase):
    """C."""

    skip = SKIP

    def kinds(self) -> tuple[Any, Any]:
        return native["Loop"], native["Stream"]


class BridgeCase(NativeCase):
    """Two streams and their peers."""

    def setUp(self) -> None:
        super().setUp()
        self.source, self.sender = self.stream()
        self.target, self.receiver = self.stream()
        self.reports: list[tuple[bytes, Any]] = []

    def join(self, scanner: Any = None) -> Any:
        return bridge(self.source, self.target, scanner, self)

    def bridge_ended(self, source: Any, data: bytes, error: Any) -> None:
        """What a bridge tells its owner."""
        self.assertIs(self.source, source)
        self.reports.append((data, error))

    def say(self, data: bytes) -> bytes:
        """What the receiver has when the sender has said this."""
        self.sender.send(data)
        self.loop.turn(TURN)
        return self.take(self.receiver)


class BridgeTests(BridgeCase):
    """One direction."""

    def test_bytes_pass(self) -> None:
        joined = self.join()
        began = joined.last
        self.assertEqual(b"one", self.say(b"one"))
        self.assertEqual(b"two", self.say(b"two"))
        self.assertEqual([], self.source.told)
        self.assertEqual(6, joined.count)
        self.assertGreater(joined.last, began)

    def test_stopped(self) -> None:
        joined = self.join()
        joined.stop()
        joined.stop()
        self.assertEqual(b"", self.say(b"one"))
        self.assertEqual([b"one"], self.source.told)
        self.assertEqual(0, joined.count)

    def test_deaf(self) -> None:
        self.join()
        self.source._deaf = True
        self.assertEqual(b"", self.say(b"one"))
        self.source._deaf = False
        self.source.again()
        self.assertEqual(b"one", self.take(self.receiver))

    def test_the_end(self) -> None:
        self.join()
        self.sender.send(b"last")
        self.sender.shutdown(socket.SHUT_WR)
        self.loop.turn(TURN)
        self.assertEqual(b"last", self.take(self.receiver))
        self.assertEqual(["ended"], self.source.told)

    def test_much(self) -> None:
        """More than a read, a round and the arena hold; what is refused is queued by the target."""
        joined = self.join()
        payload = random.Random(3).randbytes(2_000_000)
        sent, received = 0, b""
        for _ in range(3000):
            if len(received) == len(payload):
                break
            try:
                sent += self.sender.send(payload[sent : sent + 150_000])
            except BlockingIOError:
                pass
            self.loop.turn(TURN)
            received += self.take(self.receiver)
            for _, data in self.target.told:
                received += data
            self.target.told.clear()
        self.assertTrue(received == payload)
        self.assertEqual(len(payload), joined.count)

    def test_close_frame(self) -> None:
        """From there on Python has the say."""
        scanner = native["FrameScanner"](False)
        self.join(scanner)
        frame = close_frame(1000, "bye")
        self.assertEqual(b"", self.say(frame))
        self.assertEqual([(frame, None)], self.reports)
        self.assertEqual(b"", self.say(b"more"))
        self.assertEqual([b"more"], self.source.told)

    def test_refused(self) -> None:
        scanner = native["FrameScanner"](False)
        joined = self.join(scanner)
        self.assertEqual(b"\x81\x01a", self.say(b"\x81\x01a"))
        self.assertEqual(b"", self.say(b"\x81\x01b\x83"))
        ((data, error),) = self.reports
        self.assertEqual((b"\x81\x01b\x83", 3, 1002), (data, error.offset, error.code))
        self.assertEqual(7, joined.count)

    def test_the_owner_raises(self) -> None:
        """As if the protocol had."""
        class Owner:
            def bridge_ended(self, source: Any, data: bytes, error: Any) -> None:
                raise ZeroDivisionError

        bridge(self.source, self.target, native["FrameScanner"](False), Owner())
        self.say(b"\x83")
        self.assertIsInstance(self.source.told[0], ZeroDivisionError)

    def test_where_there_is_none(self) -> None:
        """Other transports, another loop, a scanner in Python, two at once: the protocols have to do it."""
        self.assertIsNone(bridge(object(), self.target, None, self))
        self.assertIsNone(bridge(self.source, object(), None, self))
        self.assertIsNone(bridge(self.source, self.target, python["FrameScanner"](True), self))
        self.assertIsNone(bridge(self.source, self.target, object(), self))
        self.assertIsNotNone(self.join())
        self.assertIsNone(self.join())

    def test_same_as_python(self) -> None:
        """Frames split anywhere: what passes, what is reported and what is counted is what a protocol would do."""
        for seed in range(400):
            chance = random.Random(seed)
            masked = chance.random() < 0.5
            limit = chance.choice([None, 200])
            twin, scanner = python["FrameScanner"](masked, limit), native["FrameScanner"](masked, limit)
            joined = self.join(scanner)
            raw, position = b"".join(some_frames(chance, masked) for _ in range(4)), 0
            passed, received = b"", b""
            while position < len(raw):
                piece = raw[position : position + chance.randrange(1, 60)]
                position += len(piece)
                received += self.say(piece)
                try:
                    twin.feed(piece)
                except FrameError as error:
                    ((data, found),) = self.reports
                    self.assertEqual((piece, error.code, error.offset), (data, found.code, found.offset), seed)
                    break
                if twin.closed:
                    self.assertEqual([(piece, None)], self.reports, seed)
                    break
                passed += piece
                self.assertEqual([], self.reports, seed)
            self.assertEqual(passed, received, seed)
            self.assertEqual(position, joined.count, seed)
            self.assertEqual((twin.messages, twin.frames), (scanner.messages, scanner.frames), seed)
            joined.stop()
            self.reports.clear()

    def test_nothing_is_kept(self) -> None:
        """Streams, their bridges and whom they tell go away together."""

        class Watcher:
            """Whom they tell."""

        watcher = Watcher()
        for one, other in ((self.source, self.target), (self.target, self.source)):
            setattr(watcher, f"to_{other._fd}", bridge(one, other, None, watcher))
        gone = weakref.ref(watcher)
        self.source.watcher = watcher
        for stream in (self.source, self.target):
            self.loop.remove(stream._fd)
        del watcher, stream, one, other
        self.source = self.target = None
        gc.collect()
        self.assertIsNone(gone())


class TypeTests(NativeCase):
    """What must not crash."""

    def test_before_init(self) -> None:
        stream = _native.pump.Stream.__new__(_native.pump.Stream)
        self.assertRaises(RuntimeError, stream.write, b"x")
        self.assertRaises(RuntimeError, stream.event, 1)
        self.assertRaises(RuntimeError, stream.again)
        self.assertIsNone(bridge(stream, stream, None, None))

    def test_odd_arguments(self) -> None:
        stream, theirs = self.stream()
        self.assertRaises(TypeError, stream.write, "text")
        self.assertRaises(RuntimeError, stream.__init__, self.loop, theirs)
        self.assertRaises(TypeError, type(stream), object(), theirs)
        self.assertRaises(OSError, self.loop.add, -1, stream)
        self.assertRaises(ValueError, self.loop.hand_over, -1, stream)
        self.loop.remove(-1)
        self.loop.remove(1 << 20)
        self.assertRaises(TypeError, self.loop.turn, None)
        self.assertRaises(AttributeError, self.loop.soon, object())
        self.assertRaises(TypeError, _native.pump.Bridge)

    def test_without_a_protocol(self) -> None:
        stream, theirs = self.stream()
        del stream.protocol
        theirs.send(b"x")
        self.loop.turn(TURN)
        ((rider, error),) = [told for told in self.loop.told if isinstance(told, tuple)]
        self.assertIs(rider, stream)
        self.assertIsInstance(error, AttributeError)
