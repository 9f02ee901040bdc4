"""Lanes in C: which requests and responses they take, and what they do with what Python decides.

Socket pairs, no reactor. What lanes mean to a gateway: `tests.listener.test_lane`.
"""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _native
from gateway.errors import BackendError, RequestError
from gateway.http.limits import DEFAULT
from gateway.listener import lane as room
from gateway.transport.bridge import bridge
from tests.native.cases import EDITS, REQUEST_SEEDS, RESPONSE_SEEDS, Edit, edited
from tests.native.test_bridge import NativeCase
from tests.transport.loops import TURN
from tests.twins import python

few = settings(max_examples=300, deadline=None, database=None)

GET = b"GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nDate: x\r\n\r\nok"
KNOWN = "X-Known: 1\r\n"
PREFIX = "0123456789abcdef"
MOST = 9000

_Base: Any = room.Lane.__mro__[1]  # that of C, where it is there; `room` has lent it what it needs


class _Lane(_Base):
    """Does what the test says; ``told`` is what it was told. ``goes(head)`` is who gets a request."""

    goes: Callable[[Any], Any]

    def __init__(self, client: Any, limits: Any = DEFAULT, most: int = MOST) -> None:
        super().__init__(client, KNOWN.encode(), PREFIX, limits, most)
        self.told: list[Any] = []
        self.ends: Callable[[], Any] = lambda: None

    def decide(self, head: Any) -> Any:
        self.told.append(head)
        return self.goes(head)

    def ended(self, *given: Any) -> None:
        self.told.append(given)
        self.ends()

    def send(self) -> None:
        self.told.append(("send", self.body()))

    def resume(self) -> None:
        self.told.append("resume")
        self.detach()


class LaneCase(NativeCase):
    """A client with a lane, and a backend."""

    def setUp(self) -> None:
        super().setUp()
        self.client, self.person = self.stream()
        self.backend, self.server = self.stream()
        self.lane: Any = _Lane(self.client)
        self.lane.goes = lambda head: self.backend

    def asks(self, data: bytes = GET) -> bytes:
        """What the backend gets when the client has said this."""
        self.person.send(data)
        self.loop.turn(TURN)
        return self.take(self.server)

    def answers(self, data: bytes = OK) -> bytes:
        """What the client gets when the backend has said this."""
        self.server.send(data)
        self.loop.turn(TURN)
        return self.take(self.person)

    def passed(self, data: bytes, limits: Any = DEFAULT) -> bytes:
        """What Python makes of a request."""
        end = data.index(b"\r\n\r\n") + 4
        head = python["parse_request"](data[:end], limits)
        named = f"X-Original-Host: {head.host}\r\nX-Original-URL: {head.target}\r\nX-AppGW-Trace-Id: "
        added = f"{KNOWN}{named}{self.lane.trace_id}\r\n"
        sent: bytes = python["request_bytes"](head, head.target, head.host, added, head.body)
        return sent + data[end:]

    def returned(self, data: bytes, method: str = "GET", close: bool = False) -> bytes:
        """What Python makes of a response."""
        end = data.index(b"\r\n\r\n") + 4
        head = python["parse_response"](data[:end], method)
        sent: bytes = python["response_bytes"](head, "1.1", head.body, close)
        return sent + data[end:]


class ExchangeTests(LaneCase):
    """Plain ones."""

    def test_plain(self) -> None:
        for request in (GET, POST, GET.replace(b"GET", b"OPTIONS"), POST.replace(b"POST", b"PATCH")):
            del self.lane.told[:]
            sent = self.asks(request)
            self.assertEqual(self.passed(request), sent)
            self.assertTrue(self.lane.flying)
            self.assertFalse(self.lane.armed)
            self.assertEqual((len(request), len(sent)), (self.lane.received, self.lane.sent))
            self.assertEqual(self.returned(OK), self.answers())
            self.assertFalse(self.lane.flying)
            self.assertTrue(self.lane.armed)
            head = python["parse_request"](request.partition(b"hello")[0])
            self.assertEqual([head, (200, "text/plain", len(self.returned(OK)), len(OK))], self.lane.told)
        self.assertEqual(([], []), (self.client.told, self.backend.told))

    def test_what_ends_the_connection(self) -> None:
        self.asks(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.assertEqual(self.returned(OK, close=True), self.answers())
        self.assertEqual((True, False), (self.lane.closing, self.lane.armed))
        self.assertEqual(b"", self.asks())
        self.assertEqual([GET], self.client.told)

    def test_the_answer_to_head(self) -> None:
        self.asks(GET.replace(b"GET", b"HEAD"))
        self.assertEqual(self.returned(OK[:-2], "HEAD"), self.answers(OK[:-2]))
        self.asks(GET.replace(b"GET", b"HEAD"))
        self.assertEqual(b"", self.answers())
        self.assertEqual(["resume"], self.lane.told[-1:])
        self.assertEqual([OK], self.backend.told)

    def test_trace_ids(self) -> None:
        """They count up, and never are those that Python makes."""
        found = []
        for _ in range(3):
            sent = self.asks()
            (said,) = re.findall(rb"Trace-Id: ([0-9a-f]{32})\r\n", sent)
            self.assertEqual(self.lane.trace_id, said.decode())
            self.assertTrue(said.startswith(PREFIX.encode()))
            found.append(int(said[16:], 16))
            self.answers()
        self.assertEqual([found[0], found[0] + 1, found[0] + 2], found)
        self.assertGreater(found[0], 1 << 63)

    def test_date(self) -> None:
        self.asks()
        said = self.answers(OK.replace(b"Date: x\r\n", b""))
        self.assertRegex(said.decode(), "\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n\r\nok")

    def test_limits(self) -> None:
        for limits in (DEFAULT._replace(head=len(GET) - 1), DEFAULT._replace(fields=0), DEFAULT._replace(target=3)):
            self.lane.close()
            self.lane = _Lane(self.client, limits)
            self.lane.goes = lambda head: self.backend
            del self.client.told[:]
            self.assertEqual(b"", self.asks())
            self.assertEqual([GET], self.client.told)
        for size, passes in ((MOST, True), (MOST + 1, False)):
            self.lane.close()
            self.lane = _Lane(self.client)
            self.lane.goes = lambda head: self.backend
            sent = self.asks(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            self.assertEqual(passes, sent != b"")


class SameTests(LaneCase):
    """What is passed on is what Python passes on; whatever is not is handed over as it came."""

    @few
    @given(st.sampled_from([*REQUEST_SEEDS, GET, POST]), EDITS)
    def test_almost_requests(self, raw: bytes, edits: list[Edit]) -> None:
        request = edited(raw, edits)
        if not 0 < len(request) < 8000:
            return
        self.lane.armed = True
        sent = self.asks(request)
        delivered = b"".join(self.client.told)
        self.client.told.clear()
        if not sent:
            self.assertEqual(request, delivered)
            return
        self.assertEqual(b"", delivered)
        try:
            expected = self.passed(request)
        except RequestError as error:
            raise AssertionError(f"passed on, and to be refused ({error}): {request!r}") from error
        self.assertEqual(expected, sent, request)
        self.lane.detach()

    @few
    @given(st.sampled_from([*RESPONSE_SEEDS, OK]), EDITS, st.sampled_from([b"GET", b"HEAD"]), st.booleans())
    def test_almost_responses(self, raw: bytes, edits: list[Edit], method: bytes, close: bool) -> None:
        response = edited(raw, edits)
        if not 0 < len(response) < 8000:
            return
        self.lane.armed = True
        connection = b"\r\nConnection: close" if close else b""
        self.asks(GET.replace(b"GET", method).replace(b"\r\n\r\n", connection + b"\r\n\r\n"))
        said = self.answers(response)
        delivered = b"".join(self.backend.told)
        self.backend.told.clear()
        if not said:
            self.assertEqual((response, "resume"), (delivered, self.lane.told[-1]))
            return
        try:
            expected = self.returned(response, method.decode(), close)
        except BackendError as error:
            raise AssertionError(f"passed on, and to be refused ({error}): {response!r}") from error
        dates = re.compile(rb"(?<=\r\nDate: )[A-Z][a-z]{2}, [^\r]* GMT(?=\r\n\r\n)")
        self.assertEqual((dates.sub(b"", expected), b""), (dates.sub(b"", said), delivered), response)
        end = response.index(b"\r\n\r\n") + 4
        head = python["parse_response"](response[:end], method.decode())
        self.assertEqual(head.body, len(response) - end, "not all of it, or more than that")
        self.assertTrue(head.keep_alive)
        kind = head.index.get("content-type", "")
        self.assertEqual((head.status, kind, len(said), len(response)), self.lane.told[-1])

    def test_every_byte_everywhere(self) -> None:
        """One byte replaced, left out or put in, at each place of a short head."""
        get = b"GET /a HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\n"
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
        for raw in (get, post):
            for place in range(len(raw)):
                for byte in (b"", *[bytes([byte]) for byte in range(256)]):
                    for end in {place, place + 1}:
                        request = raw[:place] + byte + raw[end:]
                        self.lane.armed = True
                        sent = self.asks(request)
                        delivered = b"".join(self.client.told)
                        self.client.told.clear()
                        if sent:
                            self.assertEqual((self.passed(request), b""), (sent, delivered), request)
                        else:
                            self.assertEqual(request, delivered)
                        self.lane.detach()
            self.lane.told.clear()


class DecisionTests(LaneCase):
    """What `decide` may return or do."""

    def decided(self, found: Any, *told: Any) -> None:
        """Nothing goes to the backend from here when this is what is returned."""
        self.lane.goes = lambda head: found
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
        target, _ = self.stream()
        joined = bridge(self.backend, target, None, lambda data, error: None)
        self.decided(self.backend, sends)
        joined.stop()
        _Lane(self.backend)
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
        second = _Lane(other)
        second.goes = lambda head: self.backend
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
            self.patch(_Lane, method, lambda lane: lane.detach() or fails())
            self.lane.goes = lambda head, method=method: self.backend if method == "resume" else self.client
            self.asks()
            if says is not None:
                self.assertEqual(b"", self.answers(says))
            self.assertEqual([error], self.backend.told + self.client.told)
            self.assertFalse(self.lane.flying)

    def test_no_methods(self) -> None:
        """A class that is none of ours."""
        self.lane.close()
        self.lane = _native.pump.Lane(self.client, b"", PREFIX, DEFAULT, MOST)
        self.assertEqual(b"", self.asks())
        self.assertEqual([AttributeError], [type(error) for error in self.client.told])

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
            lane = _Lane(client, most=100000)
            lane.goes = lambda head, backend=backend: backend
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
        for size in (100, 14000, 20000):
            people = self.crowd(40)
            body = b"b" * size
            for _, person, _, _ in people:
                person.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body)
            self.loop.turn(TURN)
            for lane, _, server, client in people:
                self.lane = lane
                request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + body
                self.assertEqual([], client.told)
                self.assertEqual(self.passed(request), self.take(server))
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

    def fills(self, stream: Any) -> int:
        """Fill the kernel's buffer."""
        try:
            sent: int = stream._sock.send(b"x" * 4096)
        except BlockingIOError:
            return 0
        return sent


class HandedOverTests(LaneCase):
    """Whatever is not plain goes to the protocols."""

    def test_before_it_began(self) -> None:
        self.asks(GET[:-2])
        self.asks(GET[-2:])
        self.asks()
        self.assertEqual([GET[:-2], GET[-2:], GET], self.client.told)
        self.assertEqual([], self.lane.told)

    def test_from_the_client(self) -> None:
        self.asks()
        self.assertEqual(b"", self.asks())
        self.assertEqual((["resume"], [GET]), (self.lane.told[1:], self.client.told))
        self.answers()
        self.assertEqual([OK], self.backend.told)

    def test_from_the_backend(self) -> None:
        for said in (OK[:9], OK + b"x", OK[:-1], b"HTTP/1.1 100 Go\r\n\r\n"):
            self.lane.armed = True
            self.lane.told.clear()
            self.asks()
            self.assertEqual(b"", self.answers(said))
            self.assertEqual((["resume"], [said]), (self.lane.told[1:], self.backend.told))
            self.backend.told.clear()

    def test_a_client_that_does_not_take_it(self) -> None:
        self.asks()
        self.client._direct = False
        self.assertEqual(b"", self.answers())
        self.assertEqual((["resume"], [OK]), (self.lane.told[1:], self.backend.told))
        self.lane.armed = True
        self.assertEqual(b"", self.asks())
        self.assertEqual([GET], self.client.told)

    def test_nobody_is_there(self) -> None:
        """The end is the streams' own business."""
        self.asks()
        self.server.close()
        self.loop.turn(TURN)
        self.assertIn("ended", self.backend.told)
        self.person.close()
        self.loop.turn(TURN)
        self.assertIn("ended", self.client.told)
        self.assertEqual([], self.lane.told[1:])


class LifeTests(LaneCase):
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
            lane = _Lane(stream)
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
        self.lane.goes = lambda head, backend=backend: backend
        self.asks()
        gone = weakref.ref(backend)
        self.loop.remove(backend._fd)
        backend.protocol = None
        self.lane.goes = lambda head: self.backend
        del backend
        self.assertIsNotNone(gone())
        self.lane.detach()
        self.lane.detach()
        gc.collect()
        self.assertIsNone(gone())

    def test_all_of_it_is_garbage(self) -> None:
        """In the middle of an exchange, in a circle: the collector takes it apart in whatever order."""
        for _ in range(3):
            client, person = self.stream()
            backend, server = self.stream()
            lane = _Lane(client)
            lane.goes = lambda head, backend=backend: backend
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
            self.lane.told.clear()
        self.assertEqual(before, counts())
