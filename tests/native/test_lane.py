"""Lanes in C: who keeps whom. What they do: `tests.listener.test_plain`."""

from __future__ import annotations

import gc
import sys
import weakref

from gateway import _native
from gateway.http.limits import DEFAULT
from gateway.transport.bridge import bridge
from tests.listener.plain import GET, MOST, OK, OPEN, POST, PREFIX, SWITCHING, LaneCase
from tests.native.cases import fresh
from tests.transport.loops import TURN
from tests.twins import SKIP, native


class NativeLaneCase(LaneCase):
    """C."""

    skip = SKIP
    implementation = native


class LifeTests(NativeLaneCase):
    """Who keeps whom."""

    def test_what_cannot_be_made(self) -> None:
        stream, _ = self.stream()
        make = _native.pump.Lane
        bare = self.kinds()[1].__new__(self.kinds()[1])
        for client, prefix in ((object(), PREFIX), (self.client, PREFIX), (stream, PREFIX[1:]), (bare, PREFIX)):
            with self.assertRaises(ValueError):
                make(client, b"", prefix, DEFAULT, MOST)
        for wrong in ((), (stream, "", PREFIX, DEFAULT, MOST), (stream, b"", PREFIX, (1, 2), MOST)):
            with self.assertRaises(TypeError):
                make(*wrong)
        with self.assertRaises(ValueError):
            self.lane.__init__(stream)
        made = make.__new__(make)
        self.assertEqual((False, False, b""), (made.armed, made.flying, made.body()))
        made.close()
        made.detach()

    def test_it_goes_with_its_client(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for ends in ("stream", "close"):
            stream, _ = self.stream()
            lane = self.make(stream)
            gone = weakref.ref(lane)
            if ends == "close":
                lane.close()
                lane.close()
            del lane
            self.assertEqual(ends == "stream", gone() is not None)
            self.loop.remove(stream._fd)
            stream.protocol = None
            del stream
            self.assertIsNone(gone())

    def test_it_keeps_its_backend(self) -> None:
        """For as long as it needs it."""
        backend, _ = self.stream()
        self.lane.goes = lambda host, backend=backend: backend
        self.asks()
        gone = weakref.ref(backend)
        self.loop.remove(backend._fd)
        backend.protocol = None
        self.lane.goes = lambda host: self.backend
        del backend
        self.assertIsNotNone(gone())
        self.lane.detach()
        self.lane.detach()
        gc.collect()
        self.assertIsNone(gone())

    def test_another_head_parser_that_is_gone(self) -> None:
        """A second instance of the module comes and goes, and takes nothing of the first one along."""
        fresh(_native.heads)
        gc.collect()
        filled = [b"\xff" * size for size in range(1024, 65536, 64)]
        request = GET.replace(b"\r\n\r\n", b"\r\nX-New-Name: 1\r\n\r\n")
        sent = self.asks(request)
        self.assertEqual(self.passed(request), sent)
        self.assertTrue(filled)

    def test_a_client_that_is_gone(self) -> None:
        """Whoever keeps the lane: what its backend says goes to the protocol."""
        stream, person = self.stream()
        lane = self.make(stream)
        lane.goes = lambda host: self.backend
        person.send(GET)
        self.loop.turn(TURN)
        self.assertTrue(lane.flying)
        self.loop.remove(stream._fd)
        stream.protocol = None
        del stream
        self.assertFalse(lane.flying)
        self.take(self.server)
        self.assertEqual(b"", self.answers())
        self.assertEqual(([OK], []), (self.backend.told, lane.told[1:]))

    def test_all_of_it_is_garbage(self) -> None:
        """In the middle of an exchange, in a circle: the collector takes it apart in whatever order."""
        for _ in range(3):
            client, person = self.stream()
            backend, server = self.stream()
            lane = self.make(client)
            lane.goes = lambda host, backend=backend: backend
            lane.circle = (client, backend, lane)
            person.send(GET)
            self.loop.turn(TURN)
            self.assertTrue(lane.flying)
            gone = [weakref.ref(each) for each in (client, backend, lane)]
            for stream in (client, backend):
                self.loop.remove(stream._fd)
            del client, backend, lane, stream
            gc.collect()
            self.assertEqual([None] * 3, [each() for each in gone])

    def test_one_that_waits_is_garbage(self) -> None:
        """Its client has left, and nobody makes the connection that its request waits for."""
        for ends in ("detach", "close", "go", ""):
            client, person = self.stream()
            lane = self.make(client)
            lane.goes = lambda host, lane=lane: lane
            person.send(OPEN)
            self.loop.turn(TURN)
            self.assertTrue(lane.waiting)
            gone = [weakref.ref(each) for each in (client, lane)]
            if ends == "go":
                lane.go(self.backend)
                self.assertIn(b"Upgrade", self.take_sent())
            elif ends:
                getattr(lane, ends)()
            self.loop.remove(client._fd)
            del client, lane
            gc.collect()
            self.assertEqual([None] * 2, [each() for each in gone], ends)

    def take_sent(self) -> bytes:
        """What the backend gets in this round."""
        self.loop.turn(TURN)
        return self.take(self.server)

    def test_nothing_is_kept(self) -> None:
        """Reference counts after many exchanges are those before."""
        def counts() -> list[int]:
            return [sys.getrefcount(each) for each in (self.client, self.backend, self.lane, self.loop)]

        self.asks()
        self.answers()
        before = counts()
        for _ in range(50):
            self.asks(POST)
            self.answers()
            self.asks()
            self.answers(OK[:-1])
            self.answers(OK[-1:])
            self.lane.told.clear()
        self.assertEqual(before, counts())
        for step in range(50):
            self.lane.armed = True
            self.lane.goes = lambda host, step=step: self.lane if step % 2 else self.backend
            self.asks(OPEN)
            self.assertEqual(step % 2, self.lane.waiting)
            self.lane.go(self.backend)
            self.loop.turn(TURN)
            self.take(self.server)
            self.answers(SWITCHING if step % 3 else OK)
            self.lane.told.clear()
            self.backend.told.clear()
        self.lane.goes = None
        self.assertEqual(before, counts())

    def test_a_backend_with_a_bridge(self) -> None:
        """It is busy: Python is asked to send."""
        target, _ = self.stream()
        joined = bridge(self.backend, target, None, lambda data, error: None)
        self.assertEqual(b"", self.asks(POST))
        self.assertEqual([("send", b"hello")], self.lane.told[1:])
        joined.stop()
