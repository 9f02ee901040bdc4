"""Much of a long response or message goes from one socket to the other without being copied; nobody sees a difference.

What becomes of a response where anything else happens: `tests.listener.test_lane_long`.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable

from gateway.websocket.frames import close_frame
from tests.listener.plain import OK
from tests.native.cases import SCANNER_STATE
from tests.native.test_bridge import BridgeCase
from tests.native.test_lane import NativeLaneCase
from tests.transport.loops import TURN
from tests.twins import native, python

LARGE_READ = 96 * 1024
HEAD = OK.replace(b": 2", b": 3000000")[:-2]
BODY = random.Random(7).randbytes(3_000_000)
JUNK = b"junk"


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection through the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


class SpliceTests(NativeLaneCase):
    """From the backend to the client, over TCP. ``said``: what the client has got."""

    def setUp(self) -> None:
        self.patch(socket, "socketpair", tcp_pair)
        super().setUp()

    def begin(self, behind: bytes = b"") -> None:
        """A long response begins, with something behind it."""
        self.asks()
        self.said = self.answers(HEAD + BODY[:1])
        self.rest = memoryview(BODY + behind)[1:]
        del self.lane.told[:]

    def go_on(self, until: Callable[[], object], step: int = 700_000, reads: bool = True) -> None:
        """More of it comes, until something is the case."""
        for _ in range(5000):
            try:
                self.rest = self.rest[self.server.send(self.rest[:step]) :]
            except OSError:
                pass  # the gateway reads slowly, or no more
            self.loop.turn(TURN)
            if reads:
                self.said += self.take(self.person)
            if until():
                return
        self.fail("that never was the case")

    def awaits(self, size: int) -> bytes:
        """What the client has got when it is so much; what the kernel has taken need not be there at once."""
        self.person.settimeout(10)
        while len(self.said) < size and (piece := self.person.recv(1 << 20)):
            self.said += piece
        self.person.setblocking(False)
        return self.said

    def moved(self) -> list[int]:
        """How much was passed on at a time, but for the first time and the last."""
        left = [told[1] for told in self.lane.told if told[0] == "goes on"]
        return [before - after for before, after in zip(left, left[1:], strict=False)]

    def arrived(self) -> bytes:
        """What has been read of the body."""
        return BODY[: len(BODY) - self.lane.left]

    def test_all_of_it(self) -> None:
        for _ in range(3):
            self.begin()
            self.go_on(lambda: not self.lane.flying)
            self.assertEqual(BODY, self.awaits(len(HEAD + BODY))[-len(BODY) :])
            self.assertGreater(max(self.moved()), LARGE_READ, "it was copied")
            self.assertEqual((200, "text/plain", len(self.said), len(HEAD) + len(BODY)), self.lane.told[-1])
            self.assertEqual((0, True), (self.lane.left, self.lane.armed))
        self.assertEqual(([], []), (self.client.told, self.backend.told))

    def test_what_is_behind_it(self) -> None:
        """It belongs to nobody, and is seen before the connection could be used again."""
        for step in (50_000, 700_000):
            self.begin(JUNK)
            self.go_on(lambda: b"".join(self.backend.told).endswith(JUNK), step)
            self.assertEqual("resume", self.lane.told[-1])
            behind = b"".join(self.backend.told)
            said = self.awaits(len(HEAD + BODY + JUNK) - len(behind))
            self.assertEqual(BODY + JUNK, (said + behind)[-len(BODY + JUNK) :])
            self.backend.told.clear()
            self.lane.armed = True

    def test_a_client_that_does_not_read(self) -> None:
        """What its kernel does not take is queued, and that is not much."""
        self.client._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
        self.person.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        self.begin()
        self.go_on(lambda: self.client.told, reads=False)
        queued = [data for name, data in self.client.told if name == "enqueue"]
        self.assertLessEqual(len(queued[0]), LARGE_READ)
        left = sum(map(len, queued))
        self.assertEqual(self.lane.passed, len(self.awaits(self.lane.passed - left)) + left)

    def test_a_client_that_has_left(self) -> None:
        self.begin()
        self.go_on(self.moved)
        self.person.close()
        self.go_on(lambda: self.client.told[1:], reads=False)
        self.assertEqual("ended", self.client.told[0])
        self.assertIsInstance(self.client.told[1], ConnectionError)

    def test_the_end_of_the_backend(self) -> None:
        """What came before it arrives, and then its protocol is told."""
        self.begin()
        self.go_on(self.moved)
        self.server.close()
        self.go_on(lambda: self.backend.told)
        self.assertEqual(["ended"], self.backend.told)
        self.assertEqual(self.arrived(), self.awaits(len(HEAD + self.arrived()))[-len(self.arrived()) :])


class TunnelTests(BridgeCase):
    """From one end of a tunnel to the other."""

    def setUp(self) -> None:
        self.patch(socket, "socketpair", tcp_pair)
        super().setUp()

    def pass_all(self, data: bytes, step: int) -> bytes:
        """What arrives of this; ``jumps``: how much at a time."""
        said, rest = b"", memoryview(data)
        self.jumps = []
        for _ in range(5000):
            try:
                rest = rest[self.sender.send(rest[:step]) :]
            except BlockingIOError:
                pass
            before = self.joined.count
            self.loop.turn(0)
            self.jumps.append(self.joined.count - before)
            said += self.take(self.receiver)
            if len(said) >= len(data) or self.reports:
                return said
        raise AssertionError(f"{len(said)} bytes of {len(data)}")

    def test_bytes(self) -> None:
        for step in (50_000, 700_000):
            self.joined = self.join()
            self.assertEqual(BODY, self.pass_all(BODY, step))
            self.assertEqual(len(BODY), self.joined.count)
            self.joined.stop()
        self.assertGreater(max(self.jumps), LARGE_READ, "it was copied")
        self.assertEqual(([], []), (self.source.told, self.target.told))

    def test_messages(self) -> None:
        """Only their heads are read; long ones, short ones behind them, and a close frame."""
        for masked in (False, True):
            mask = b"mask" if masked else b""
            long = struct.pack(">BBQ", 0x82, 128 * masked + 127, len(BODY)) + mask + BODY
            ping = struct.pack("BB", 0x89, 128 * masked) + mask
            said = long + ping + long + close_frame(1000, mask=masked)
            scanner = native["FrameScanner"](masked)
            self.joined = self.join(scanner)
            passed = self.pass_all(said, 700_000)
            ((reported, error),) = self.reports
            self.reports.clear()
            self.assertEqual((said, None), (passed + reported, error))
            twin = python["FrameScanner"](masked)
            twin.feed(said)
            for name in SCANNER_STATE:
                self.assertEqual(getattr(twin, name), getattr(scanner, name), name)
            self.assertGreater(max(self.jumps), LARGE_READ, "they were copied")
        self.assertEqual(([], []), (self.source.told, self.target.told))


class QueuedTests(NativeLaneCase):
    """Between sockets whose kernel does not tell how much it takes, there may be more under way than that."""

    def test_what_is_not_taken(self) -> None:
        for short in (OK.replace(b": 2", b": 20000")[:-2] + BODY[:20000], HEAD + BODY[:1]):
            self.asks()
            said, sent = self.answers(short), 1
        for _ in range(100):
            sent += self.server.send(BODY[sent:])
            self.loop.turn(TURN)
            if self.client.told:
                break
        ((name, queued),) = self.client.told
        self.assertEqual("enqueue", name)
        said += self.take(self.person) + queued
        self.assertEqual(BODY[:sent], said[-sent:])
        self.assertEqual(len(said), self.lane.passed)
