"""The pump's loop and the hot part of its transports, each implementation. Socket pairs, no reactor."""

from __future__ import annotations

import random
import select
import socket
from asyncio import CancelledError
from time import monotonic
from typing import Any

from twisted.internet.error import ConnectionLost

from gateway.transport.loop import Loop
from gateway.transport.stream import Stream
from tests.transport.loops import TURN, LoopCase, Rider
from tests.twins import of_each


class PanicException(BaseException):
    """As pyo3's, by which a panic in Rust arrives."""


class Chosen(LoopCase):
    """What is there, and what is replaced by `of_each`."""

    def kinds(self) -> tuple[Any, Any]:
        return Loop, Stream


class LoopTests(Chosen):
    """Riders and turns."""

    def test_opened_and_closed(self) -> None:
        self.assertEqual(-1, self.loop.fileno())
        for _ in range(2):
            stream, _theirs = self.stream()
            self.assertGreaterEqual(self.loop.fileno(), 0)
            self.assertEqual([stream], self.loop.riders())
            self.loop.remove(stream._sock.fileno())
            self.loop.remove(stream._sock.fileno())
            self.assertEqual(-1, self.loop.fileno())
            self.assertEqual([], self.loop.riders())
        self.assertEqual(["opened", "closed"] * 2, self.loop.told)

    def test_last_rider_leaves_within_a_turn(self) -> None:
        stream, theirs = self.stream()
        stream.answer = lambda data: (self.loop.remove(stream._sock.fileno()), self.assertTrue(self.loop.turning))
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual([b"x"], stream.told)
        self.assertEqual(["opened", "closed"], self.loop.told)
        self.assertFalse(self.loop.turning)

    def test_released(self) -> None:
        """Who goes on with the socket does so alone, though it was closed here: nothing is reported, to nobody."""
        (ours, theirs), other = socket.socketpair(), Rider()
        self._socks += [ours, theirs]
        rider = Rider()
        self.loop.add(ours.fileno(), other)
        self.loop.release(ours.fileno())
        self.loop.release(ours.fileno())
        self.loop.release(1 << 20)
        self.assertEqual([], self.loop.riders())
        beside, _ = self.stream()  # or the whole set would be closed
        self.loop.add(ours.fileno(), rider)
        kept, number = ours.dup(), ours.fileno()
        self._socks.append(kept)
        self.loop.release(number)
        ours.close()
        unrelated, far = socket.socketpair()
        self._socks += [unrelated, far]
        self.assertEqual(number, unrelated.fileno(), "the number is another's now")
        self.loop.add(number, other, select.EPOLLIN)
        self.loop.turn(TURN)
        theirs.close()
        self.loop.turn(TURN)
        self.assertEqual(([], []), (rider.told, other.told))
        self.assertCountEqual([beside, other], self.loop.riders())

    def test_riders_that_are_no_streams(self) -> None:
        ours, theirs = socket.socketpair()
        self._socks += [ours, theirs]
        rider, next_rider = Rider(), Rider()
        self.loop.add(ours.fileno(), rider, select.EPOLLIN)
        self.loop.turn(TURN)
        self.assertEqual([], rider.told)
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual([select.EPOLLIN], rider.told)
        self.loop.hand_over(ours.fileno(), next_rider)
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual(([select.EPOLLIN], [select.EPOLLIN]), (rider.told, next_rider.told))

    def test_nested(self) -> None:
        """Whether another epoll has something is said once, until it is asked for again."""
        for _ in range(2):  # the second time in a new epoll
            stream, theirs = self.stream()
            (ours, far), other = socket.socketpair(), select.epoll()
            self._socks += [ours, far]
            self.addCleanup(other.close)
            other.register(ours, select.EPOLLIN)
            self.loop.nest(other.fileno())
            self.assertIs(False, self.loop.turn(TURN))
            far.send(b"x")
            theirs.send(b"y")
            self.assertIs(True, self.loop.turn(TURN))
            self.assertEqual([b"y"], stream.told)
            self.assertIs(False, self.loop.turn(TURN))
            self.loop.nest(other.fileno())
            self.assertIs(True, self.loop.turn(TURN, 60))
            ours.recv(1)
            self.loop.nest(other.fileno())
            self.assertIs(False, self.loop.turn(TURN))
            self.assertEqual([stream], self.loop.riders())
            self.loop.remove(stream._sock.fileno())
            self.assertEqual(-1, self.loop.fileno())

    def test_nothing_to_nest(self) -> None:
        self.stream()
        self.assertRaises(OSError, self.loop.nest, 1 << 20)

    def test_waiting(self) -> None:
        """A turn begins when something comes, and at the latest when the time is over, never before."""
        stream, theirs = self.stream()
        self.loop.turn(TURN)
        for timeout in 0.0, 0.0004, 0.0101:
            began = monotonic()
            self.loop.turn(TURN, timeout)
            self.assertGreaterEqual(monotonic() - began, timeout)
        for timeout in 60, 1e300, -1:
            theirs.send(b"x")
            self.loop.turn(TURN, timeout)
        self.assertEqual([b"x"] * 3, stream.told)

    def test_turn_within_a_turn(self) -> None:
        """It does nothing, and nobody knows what else there is."""
        stream, theirs = self.stream()
        told: list[bool] = []
        stream.answer = lambda data: told.append(self.loop.turn(TURN, 60))
        theirs.send(b"x")
        self.assertIs(False, self.loop.turn(TURN))
        self.assertEqual([True], told)

    def test_a_rider_that_raises(self) -> None:
        rider = Rider()
        rider.act = lambda: 1 // 0
        self.loop.soon(rider)
        self.loop.turn(TURN)
        wake, (failed, error) = self.loop.told
        self.assertEqual(("wake", rider), (wake, failed))
        self.assertIsInstance(error, ZeroDivisionError)
        self.assertIsNotNone(error.__traceback__)

    def test_whatever_is_raised(self) -> None:
        """It costs the one that has raised it, also what is meant to end more than that; others have their turn."""
        for error in KeyboardInterrupt(), SystemExit(0), GeneratorExit(), CancelledError(), PanicException():
            done: list[str] = []

            def fail(error: BaseException = error) -> None:
                raise error

            riders = [Rider() for _ in range(3)]
            first, second, third = riders
            first.act, second.act, third.act = fail, lambda done=done: done.append("served"), fail
            stream, theirs = self.stream()
            beside, theirs_beside = self.stream()
            stream.answer = beside.answer = lambda data, fail=fail: fail()
            theirs.send(b"x")
            theirs_beside.send(b"x")
            for rider in riders:
                self.loop.soon(rider)
            self.loop.later(fail)
            self.loop.later(lambda done=done: done.append("finished"))
            self.loop.told.clear()
            self.loop.turn(TURN)
            self.assertEqual([error, (first, error), (third, error)], self.loop.told)
            self.assertCountEqual(["finished", "served"], done)
            self.assertEqual([[b"x", error]] * 2, [stream.told, beside.told])
            self.assertFalse(self.loop.turning)
            for each in stream, beside:
                self.loop.remove(each._sock.fileno())

    def test_one_that_cannot_send(self) -> None:
        """What others have written in the round goes out."""

        def fail(error: Exception) -> None:
            raise PanicException

        streams = [self.stream() for _ in range(3)]
        (_, theirs), (broken, theirs_broken), (_, theirs_last) = streams
        broken._write_failed = fail
        for stream, their in streams:
            stream.answer = lambda data, stream=stream: (theirs_broken.close(), stream.write(b"y"))
            their.send(b"x")
        self.loop.told.clear()
        self.loop.turn(TURN)
        self.assertEqual((b"y", b"y"), (self.take(theirs), self.take(theirs_last)))
        ((failed, error),) = self.loop.told
        self.assertIs(broken, failed)
        self.assertIsInstance(error, PanicException)

    def test_soon_is_fair(self) -> None:
        """Who asks again queues up behind the others, however many there are."""
        order: list[int] = []
        riders = [Rider() for _ in range(200)]

        def ask(number: int) -> None:
            order.append(number)
            if order.count(number) < 3:
                self.loop.soon(riders[number])

        for number, rider in enumerate(riders):
            rider.act = lambda number=number: ask(number)
            self.loop.soon(rider)
            self.loop.soon(rider)
        self.assertEqual(["wake"] * 200, self.loop.told)
        self.loop.turn(5.0)
        self.assertEqual([*range(200)] * 3, order)

    def test_a_turn_ends(self) -> None:
        rider = Rider()
        rider.act = lambda: self.loop.soon(rider)
        self.loop.soon(rider)
        self.loop.turn(0.01)
        self.assertGreater(len(rider.told), 10)
        self.assertEqual(["wake"] * 2, self.loop.told, "it wants another turn")

    def test_turns_are_not_nested(self) -> None:
        rider = Rider()
        rider.act = lambda: self.loop.turn(TURN)
        self.loop.soon(rider)
        self.loop.turn(TURN)
        self.assertEqual(["again"], rider.told)

    def test_later(self) -> None:
        """After the events at hand; what raises harms nobody."""
        done: list[str] = []

        def first() -> None:
            done.append("first")
            self.loop.later(lambda: done.append("third"))

        self.loop.later(first)
        self.loop.later(lambda: 1 // 0)
        self.loop.later(lambda: done.append("second"))
        self.assertEqual([], done)
        self.loop.turn(TURN)
        self.assertEqual(["first", "second"], done)
        self.assertIsInstance(self.loop.told[3], ZeroDivisionError)
        self.loop.settle()
        self.assertEqual(["first", "second", "third"], done)

    def test_at_end(self) -> None:
        """Behind all that the events at hand wrote; what raises harms nobody."""
        stream, theirs = self.stream()
        done: list[Any] = []

        def last() -> None:
            done.append(("last", self.take(theirs)))
            self.loop.at_end(lambda: done.append(("next", self.take(theirs))))

        def answer(data: bytes) -> None:
            self.loop.at_end(last)
            self.loop.at_end(lambda: 1 // 0)
            self.loop.later(lambda: (done.append("later"), stream.write(b"b")))
            stream.write(b"a")

        stream.answer = answer
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual([("last", b"a"), "later", ("next", b"b")], done)
        opened, error = self.loop.told
        self.assertIsInstance(error, ZeroDivisionError)
        self.loop.at_end(lambda: done.append("at once"))
        self.assertEqual("at once", done[-1])

    def test_at_end_of_the_last_round(self) -> None:
        """What is asked for then is done in another turn."""
        rider = Rider()
        done: list[str] = []
        at_end = self.loop.at_end
        rider.act = lambda: at_end(lambda: at_end(lambda: done.append("done")))
        self.loop.soon(rider)
        self.loop.turn(0.0)
        self.assertEqual((["wake"] * 2, []), (self.loop.told, done))
        self.loop.turn(TURN)
        self.assertEqual(["done"], done)


class StreamTests(Chosen):
    """Reading and writing."""

    def test_reading(self) -> None:
        stream, theirs = self.stream()
        theirs.send(b"one")
        self.loop.turn(TURN)
        theirs.send(b"two")
        theirs.shutdown(socket.SHUT_WR)
        self.loop.turn(TURN)
        self.assertEqual([b"one", b"two", "ended"], stream.told)

    def test_much_to_read(self) -> None:
        stream, theirs = self.stream()
        received = bytearray()
        stream.answer = received.extend
        payload = random.Random(1).randbytes(3_000_000)
        sent = 0
        while sent < len(payload):
            try:
                sent += theirs.send(payload[sent : sent + 200_000])
            except BlockingIOError:
                self.loop.turn(TURN)
        self.loop.turn(TURN)
        self.assertTrue(received == payload)

    def test_reset(self) -> None:
        for listening in [socket.create_server(("127.0.0.1", 0))]:
            self.addCleanup(listening.close)
            theirs = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        ours.setblocking(False)
        stream, _ = self.stream()
        other = type(stream)(self.loop, ours)
        self._socks.append(ours)
        self.loop.add(ours.fileno(), other)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        self.loop.turn(TURN)
        (reason,) = other.told
        self.assertIsInstance(reason, ConnectionLost)
        self.assertIn("reset", str(reason))

    def test_deaf(self) -> None:
        stream, theirs = self.stream()
        stream._deaf = True
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual([("unread", select.EPOLLIN)], stream.told)

    def test_protocol_raises(self) -> None:
        stream, theirs = self.stream()
        stream.answer = lambda data: 1 // 0
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertIsInstance(stream.told[1], ZeroDivisionError)

    def test_writes_of_a_round_are_sent_at_its_end(self) -> None:
        stream, theirs = self.stream()
        other, far = self.stream()
        seen: list[bytes] = []

        def answer(data: bytes) -> None:
            other.write(b"a")
            other.write(bytearray(b"b"))
            other.write(memoryview(b"cd"))
            other.write(b"")
            seen.append(self.take(far))

        stream.answer = answer
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual(([b""], b"abcd"), (seen, self.take(far)))
        other.write(b"outside")
        self.assertEqual(b"outside", self.take(far))

    def test_forgotten(self) -> None:
        stream, theirs = self.stream()
        stream.answer = lambda data: (stream.write(b"lost"), stream._forget_gathered())
        theirs.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual(b"", self.take(theirs))

    def test_writes_of_many_in_one_round(self) -> None:
        """Whatever is written in a round, in whatever order and size, arrives in order."""
        for seed in range(60):
            self.write_at_random(random.Random(seed))
            self.close()

    def write_at_random(self, chance: random.Random) -> None:
        trigger, theirs = self.stream()
        others = [self.stream() for _ in range(chance.choice([1, 2, 30]))]
        expected = [b""] * len(others)
        most = chance.choice([10, 2000, 33_000, 40_000])

        def answer(data: bytes) -> None:
            for _ in range(chance.randrange(1, 60)):
                number = chance.randrange(len(others))
                piece = chance.randbytes(chance.randrange(most))
                others[number][0].write(piece)
                expected[number] += piece

        trigger.answer = answer
        for _ in range(3):
            theirs.send(b"x")
            self.loop.turn(TURN)
        for (stream, far), whole in zip(others, expected, strict=True):
            got = self.take(far)
            if stream.told:
                # It was refused once. Without a queue of its own that leaves a gap: only what came before is sure.
                self.assertTrue(whole.startswith(got[:1000]))
            else:
                self.assertTrue(got == whole)

    def test_refused(self) -> None:
        """What the kernel does not take is queued."""
        stream, theirs = self.stream()
        payload = random.Random(2).randbytes(5_000_000)
        stream.write(payload)
        ((what, rest),) = stream.told
        self.assertEqual("enqueue", what)
        self.assertTrue(self.take(theirs) + rest == payload)
        stream.told.clear()
        stream._direct = False
        stream.write(b"more")
        self.assertEqual([("enqueue", b"more")], stream.told)

    def test_refused_behind_something_small(self) -> None:
        """Something long is sent together with what was written before it in the round; the rest is queued in order."""
        for size in (100_000, 5_000_000):
            stream, theirs = self.stream()
            payload = random.Random(3).randbytes(size)

            def answer(data: bytes, stream: Any = stream, payload: bytes = payload) -> None:
                stream.write(b"head")
                stream.write(payload)

            stream.answer = answer
            theirs.send(b"x")
            self.loop.turn(TURN)
            queued = b"".join(told[1] for told in stream.told if told[0] == "enqueue")
            self.assertTrue(self.take(theirs) + queued == b"head" + payload)

    def test_flush_when_writable(self) -> None:
        stream, theirs = self.stream()
        self.loop.turn(TURN)
        self.assertEqual([], stream.told)
        stream.queued = 5
        stream.event(select.EPOLLOUT)
        self.assertEqual(["flush"], stream.told)

    def test_write_fails(self) -> None:
        stream, theirs = self.stream()
        theirs.close()
        stream.write(b"x")
        (error,) = stream.told
        self.assertIsInstance(error, BrokenPipeError)

    def test_pull_producer(self) -> None:
        stream, _theirs = self.stream()
        stream._pulls = True
        self.loop.soon(stream)
        self.assertTrue(stream.waiting)
        self.loop.turn(TURN)
        self.assertEqual((["pull"], False), (stream.told, stream.waiting))

    def test_lost_meanwhile(self) -> None:
        """Another look at a connection that has ended is none."""
        stream, theirs = self.stream()
        theirs.send(b"x")
        stream.connected = False
        stream._pulls = True
        stream.again()
        self.assertEqual([], stream.told)

    def test_methods_of_a_subclass(self) -> None:
        """As TLS has them: its own way to read and to send."""
        stream, theirs = self.stream()

        class Other(type(stream)):  # type: ignore[misc]
            def event(self, events: int) -> None:
                self.told.append(("event", bool(events & select.EPOLLIN)))
                self.write(b"answer")

            def _send_now(self, data: bytes) -> None:
                self.told.append(("send", data))

        ours, far = socket.socketpair()
        self._socks += [ours, far]
        other = Other(self.loop, ours)
        self.loop.add(ours.fileno(), other, select.EPOLLIN)
        far.send(b"x")
        self.loop.turn(TURN)
        self.assertEqual([("event", True), ("send", b"answer")], other.told)
        other.again()
        self.assertEqual([("event", True), ("send", b"answer")] * 2, other.told)


of_each(globals())
