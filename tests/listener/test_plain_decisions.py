"""What may be done when a lane asks, and lanes with much to send in one round. Socket pairs, no reactor."""

from __future__ import annotations

from typing import Any

from gateway.http.limits import DEFAULT
from tests.listener.plain import GET, MOST, OK, POST, PREFIX, LaneCase
from tests.transport.loops import TURN
from tests.twins import of_each


class DecisionTests(LaneCase):
    """What `decide` may return or do."""

    def decided(self, found: Any, *told: Any) -> None:
        """Nothing goes to the backend from here when this is what is returned."""
        self.lane.goes = lambda host: found
        self.lane.armed = True
        self.lane.told.clear()
        self.assertEqual(b"", self.asks(POST))
        self.assertEqual(list(told), self.lane.told[1:])
        self.assertEqual((False, False), (self.lane.armed, self.lane.flying))

    def test_an_exchange(self) -> None:
        self.decided(None)

    def test_who_cannot_be_written_to(self) -> None:
        """Python is asked to send it, and has the body."""
        sends = ("send", b"hello")
        for attribute, value in (("connected", False), ("_direct", False), ("_deaf", True)):
            setattr(self.backend, attribute, value)
            self.decided(self.backend, sends)
            setattr(self.backend, attribute, not value)
        self.decided(object(), sends)
        self.decided(self.client, sends)
        self.make(self.backend)
        self.decided(self.backend, sends)
        other, _ = self.another_loop()
        self.decided(other, sends)

    def another_loop(self) -> Any:
        """A stream in a loop of its own."""
        mine, self.loop = self.loop, type(self.loop)()
        try:
            made = self.stream()
            self.loop.remove(made[0]._fd)
            return made
        finally:
            self.loop = mine

    def test_two_clients_and_one_backend(self) -> None:
        """Only one of them may have it at a time."""
        other, somebody = self.stream()
        second = self.make(other)
        second.goes = lambda host: self.backend
        self.assertNotEqual(b"", self.asks())
        somebody.send(GET)
        self.loop.turn(TURN)
        self.assertEqual([("send", b"")], second.told[1:])
        self.assertNotEqual(b"", self.answers())

    def test_it_raises(self) -> None:
        error = ZeroDivisionError("x")

        def fails(head: Any) -> None:
            raise error

        self.lane.goes = fails
        self.assertEqual(b"", self.asks())
        self.assertEqual([error], self.client.told)
        self.assertEqual((False, False), (self.lane.armed, self.lane.flying))

    def test_others_that_raise(self) -> None:
        error = ZeroDivisionError("x")

        def fails() -> None:
            raise error

        self.lane.ends = fails
        self.asks()
        self.assertEqual(self.returned(OK), self.answers())
        self.assertEqual([error], self.backend.told)
        for method, says in (("resume", OK[:9]), ("send", None)):
            self.backend.told.clear()
            self.client.told.clear()
            self.lane.armed = True
            self.patch(self.make, method, lambda lane: lane.detach() or fails())
            self.lane.goes = lambda host, method=method: self.backend if method == "resume" else self.client
            self.asks()
            if says is not None:
                self.assertEqual(b"", self.answers(says))
            self.assertEqual([error], self.backend.told + self.client.told)
            self.assertFalse(self.lane.flying)

    def test_no_methods(self) -> None:
        """A class that is none of ours."""
        self.lane.close()
        self.lane = self.kind()(self.client, b"", PREFIX, DEFAULT, MOST)
        self.assertEqual(b"", self.asks())
        (error,) = self.client.told
        self.assertIsInstance(error, (AttributeError, NotImplementedError))

    def test_it_ends_the_lane(self) -> None:
        def closes(head: Any) -> Any:
            self.lane.close()
            return self.backend

        self.lane.goes = closes
        self.assertEqual(b"", self.asks(POST))
        self.assertEqual([("send", b"hello")], self.lane.told[1:])
        self.assertEqual(b"", self.asks())
        self.assertEqual([GET], self.client.told)

    def test_the_end_of_an_exchange_ends_the_lane(self) -> None:
        self.lane.ends = self.lane.close
        self.asks()
        self.assertEqual(self.returned(OK), self.answers())
        self.assertEqual(b"", self.asks())
        self.assertEqual([GET], self.client.told)

    def test_others_write_meanwhile(self) -> None:
        """What is to be sent, and the body, stay as they are; nothing of what the others write is lost."""
        others = [self.stream() for _ in range(20)]

        def writes(head: Any) -> Any:
            for number, (stream, _) in enumerate(others):
                stream.write(b"%d" % (number % 10) * 30000)
            assert len(self.lane.trace_id) == 32
            return self.backend

        self.lane.goes = writes
        body = b"b" * 9000
        for request in (GET, POST, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + body):
            self.lane.armed = True
            sent = self.asks(request)
            self.assertEqual(self.passed(request), sent)
            for number, (_, peer) in enumerate(others):
                self.assertEqual(b"%d" % (number % 10) * 30000, self.take(peer))
            self.answers()

    def test_what_is_written_first_stays_first(self) -> None:
        """Also if it was written in this round, to the same stream."""
        for size in (5, 9000):
            self.lane.armed = True
            request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size

            def writes(head: Any) -> Any:
                self.backend.write(b"first" * 4000)
                return self.backend

            self.lane.goes = writes
            sent = self.asks(request)
            self.assertEqual(b"first" * 4000 + self.passed(request), sent)
            self.answers()


class RoundTests(LaneCase):
    """Many in one round: more than the pump puts together."""

    def crowd(self, count: int) -> list[tuple[Any, Any, Any, Any]]:
        """Clients with lanes, their peers, and a backend and its peer for each, all of which read much at once."""
        made = []
        for _ in range(count):
            (client, person), (backend, server) = self.stream(), self.stream()
            lane = self.make(client, most=100000)
            lane.goes = lambda host, backend=backend: backend.write(b"first") or backend
            lane.armed = False
            for peer in (person, server):
                peer.send(b"x" * 16384)  # the next read is a large one
            self.loop.turn(TURN)
            lane.armed = True
            made.append((lane, person, server, client))
            client.told.clear()
            backend.told.clear()
        return made

    def test_large_bodies(self) -> None:
        for size in (100, 14000, 31500, 60000):
            people = self.crowd(40)
            body = b"b" * size
            for _, person, _, _ in people:
                person.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
            self.loop.turn(TURN)
            for lane, _, server, client in people:
                self.lane = lane
                request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body
                self.assertEqual([], client.told)
                self.assertEqual(b"first" + self.passed(request), self.take(server))
                server.send(b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 60000\r\n\r\n" + b"r" * 60000)
            self.loop.turn(TURN)
            for lane, person, _, client in people:
                said = self.take(person)
                self.assertEqual((60000, []), (said.count(b"r"), client.told))
                self.assertEqual(200, lane.told[-1][0])

    def test_who_does_not_take_it(self) -> None:
        """What the kernel refuses is queued, in order, and the rest of the round is not harmed."""
        people = self.crowd(30)
        for number, (_, _, _, client) in enumerate(people):
            if number % 3 == 0:
                while self.fills(client):
                    pass
        request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"q" * 20000
        for _, person, _, _ in people:
            person.send(request)
        self.loop.turn(TURN)
        response = b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 40000\r\n\r\n" + b"r" * 40000
        for _, _, server, _ in people:
            self.assertEqual(20000, self.take(server).count(b"q"))
            server.send(response)
        self.loop.turn(TURN)
        for number, (_, person, _, client) in enumerate(people):
            said = b"".join([told[1] for told in client.told if isinstance(told, tuple) and told[0] == "enqueue"])
            if number % 3 == 0:
                self.assertEqual(40000, said.count(b"r"))
                self.assertTrue(said.startswith(b"HTTP/1.1 200 OK\r\n"))
            else:
                self.assertEqual((b"", 40000), (said, self.take(person).count(b"r")))

    def test_others_write_when_it_is_not_taken(self) -> None:
        """What they write in this round stays as it is, too."""
        (lane, person, server, client), (_, asking, _, third) = self.crowd(2)
        other, somebody = self.stream()
        while self.fills(client):
            pass
        self.patch(type(client), "_enqueue", lambda stream, data, sent=0: other.write(b"other" * 100))
        person.send(GET)
        self.loop.turn(TURN)
        server.send(b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 40000\r\n\r\n" + b"r" * 40000)
        asking.send(b"y" * 60000)  # is read in the same round, afterwards
        self.loop.turn(TURN)
        self.assertEqual(200, lane.told[-1][0])
        said = self.take(somebody)
        self.assertEqual(b"", said.replace(b"other" * 100, b""))
        self.assertTrue(said)
        self.assertEqual([b"y" * 60000], third.told)

    def fills(self, stream: Any) -> int:
        """Fill the kernel's buffer."""
        try:
            sent: int = stream._sock.send(b"x" * 4096)
        except BlockingIOError:
            return 0
        return sent


of_each(globals())
