"""Lanes: with one and without one, everybody sees the same, whatever happens. C alone: `tests.native.test_lane`."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from gateway.errors import NoRoute
from gateway.listener.http1 import ClientConnection
from gateway.listener.lane import Lane
from gateway.values import NeedsAddress, Reply
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, frame
from tests.listener.lanes import World, agree, warmed
from tests.native.cases import fresh

Act = Callable[[World], Any]

LIMITS = {"head_timeout": 5, "body_timeout": 5, "send_timeout": 5, "keep_alive_timeout": 10}
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"x" * 12000
PATCH = POST.replace(b"POST", b"PATCH")
AGAIN = GET.replace(b"/ ", b"/again ")


def asks(data: bytes = GET, cut: int = 0) -> Act:
    """The client says this, in two pieces if ``cut`` says where."""
    return lambda world: world.people[0].sends(data, cut)


def answers(data: bytes = OK, cut: int = 0) -> Act:
    """The backend that was connected to last says this."""
    return lambda world: world.ends[-1].sends(data, cut)


def at_once(*said: tuple[str, bytes]) -> Act:
    """Client (``c``) and backend (``b``) say these things, and all of it is there when the gateway looks."""

    def act(world: World) -> None:
        for who, data in said:
            (world.people[0] if who == "c" else world.ends[-1]).puts(data)

    return act


def passes(seconds: float) -> Act:
    return lambda world: world.advance(seconds)


def client(does: str, *arguments: Any) -> Act:
    return lambda world: getattr(world.people[0], does)(*arguments)


def backend(does: str, *arguments: Any) -> Act:
    return lambda world: getattr(world.ends[-1], does)(*arguments)


def reads(whether: bool) -> Act:
    """Whether the client takes what is sent to it."""
    return lambda world: setattr(world.people[0], "reads", whether)


def healthy(whether: bool) -> Act:
    return lambda world: world.pool.set_health(world.pool.backends[0], whether, "as the test wants it")


def stops(world: World) -> None:
    world.shared.stopping = True
    for connection in list(world.factory.connections):
        connection.stop()


def is_cut(world: World) -> None:
    stops(world)
    for connection in list(world.factory.connections):
        connection.cut()


class LaneCase(SynchronousTestCase):
    """Conversations that are held with lanes and without."""

    if _native.pump is None or _native.heads is None:
        skip = "there are no lanes without the native code"

    def same(self, *acts: Act, ended: int, **options: Any) -> World:
        """After `warmed` and these acts all looks alike; so many exchanges were in the lane to their end."""
        options.setdefault("limits", LIMITS)
        world = agree(self, [warmed, *acts], **options)
        self.assertEqual(ended, world.ended)
        return world


class PlainTests(LaneCase):
    """What a lane is for."""

    def test_methods(self) -> None:
        for request in (GET, GET.replace(b"GET", b"OPTIONS"), GET.replace(b"GET", b"DELETE"), POST, PATCH):
            self.same(asks(request), answers(), asks(request), answers(), ended=2)

    def test_another_parser(self) -> None:
        """A second instance of the module that reads heads comes and goes, and takes nothing of the first one along."""
        fresh(_native.heads)
        gc.collect()
        kept = [b"\xff" * size for size in range(1024, 65536, 64)]
        self.same(asks(GET.replace(b"\r\n\r\n", b"\r\nX-New-Name: 1\r\n\r\n")), answers(), ended=1)
        self.assertTrue(kept)

    def test_other_methods(self) -> None:
        for method in (b"PUT", b"PURGE", b"TRACE", b"get"):
            agree(self, [warmed, asks(GET.replace(b"GET", method)), answers()], used=False)

    def test_the_first_of_a_connection(self) -> None:
        """There may be an idle connection to the backend."""

        def another(world: World) -> None:
            world.connects().sends(GET)

        self.assertEqual(0, agree(self, [warmed]).ended)
        self.same(another, answers(), asks(), answers(), ended=2)

    def test_responses_without_a_body(self) -> None:
        empty = b"HTTP/1.1 %s\r\nX-A: 1\r\n%s\r\n"
        for status in (b"200 OK", b"204 No Content", b"304 Not Modified", b"404 Not Found", b"426 Upgrade", b"100 Go"):
            for fields in (
                b"", b"Content-Length: 0\r\n", b"Content-Length: 12\r\n", b"Content-Length: 012\r\n",
                b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
                b"Content-Length: 1\r\nContent-Length: 1\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n",
            ):  # fmt: skip
                for method in (b"GET", b"HEAD"):
                    for more in (b"", b"hello", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
                        acts = [asks(GET.replace(b"GET", method)), answers(empty % (status, fields) + more)]
                        agree(self, [warmed, *acts, asks(), answers(), passes(31)], limits=LIMITS)
        head = GET.replace(b"GET", b"HEAD")
        self.same(asks(head), answers(OK[:-5]), asks(head), answers(empty % (b"304 Same", b"")), ended=2)
        self.same(asks(), answers(empty % (b"204 None", b"")), asks(), answers(), ended=2)
        self.same(asks(), answers(empty % (b"304 Same", b"Content-Length: 5\r\n")), asks(), answers(), ended=2)

    def test_the_last_of_a_connection(self) -> None:
        """The client says that it is."""
        for request in (GET, POST, GET.replace(b"GET", b"HEAD")):
            last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            said = OK if b"HEAD" not in request else OK[:-5]
            self.same(asks(), answers(), asks(last), answers(said), asks(), passes(60), ended=2)
            for then in (asks(), stops, is_cut, passes(31), client("half_closes"), client("closes"), backend("closes")):
                self.same(asks(last), then, answers(said), ended=0)
            self.same(asks(last), at_once(("b", said), ("c", GET)), passes(60), ended=1)
            self.same(reads(False), asks(last), answers(said), passes(4.8), reads(True), ended=1)
        last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for then in ([passes(5.3)], [passes(4.8), reads(True)], [client("closes")], [stops], [is_cut]):
            self.same(reads(False), asks(last), answers(LARGE), *then, ended=1, buffer=5000)

    def test_statuses(self) -> None:
        for status, ended in (
            (b"200 OK", 2), (b"200", 2), (b"404 \xe4\t ", 2), (b"205 Reset", 2), (b"301 Moved", 2), (b"503 Down", 2),
            (b"204 No Content", 0), (b"304 Not Modified", 0), (b"426 Upgrade Required", 1), (b"600 Odd", 0),
        ):  # fmt: skip
            self.same(asks(), answers(OK.replace(b"200 OK", status)), asks(), answers(), ended=ended)

    def test_bodies(self) -> None:
        for size in (0, 1, 15000, 16384 - len(OK) + 1, 32000, 90000):
            body = b"x" * size
            response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body
            request = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\n" % size + body
            agree(self, [warmed, asks(), answers(response), asks(request), answers(), asks(), answers(response)])

    def test_a_response_that_cannot_be_passed_on_as_it_is(self) -> None:
        for response in (
            OK.replace(b"1.1", b"1.0"),
            OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive, x-a\r\nX-A: 1\r\n\r\n"),
            OK.replace(b": 5", b": 05"),
            OK.replace(b": 5", b": 5, 5"),
            OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
            OK + b"x",
            OK + OK,
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\0b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
            b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
            b"\r\n" + OK,
            SWITCHING,
            b"nonsense\r\n\r\n",
        ):
            self.same(asks(), answers(response), backend("half_closes"), ended=0)

    def test_in_pieces(self) -> None:
        for cut in range(1, len(OK), 5):
            self.same(asks(), answers(OK, cut), asks(), answers(), ended=1)
        for cut in range(1, len(GET), 7):
            self.same(asks(GET, cut), answers(), asks(), answers(), ended=1)
        for cut in range(1, len(POST), 7):
            self.same(asks(POST, cut), answers(), asks(), answers(), ended=1)

    def test_what_observers_are_told(self) -> None:
        """Everything but the trace id; `agree` compares it. A type that is said twice was seen once."""
        for kinds in (b"Content-Type: a/b\r\n", b"content-TYPE:  a/b \r\nContent-Type: c/d\r\n", b"Content-Type:\r\n"):
            self.same(asks(), answers(OK[:-9] + b"\r\n" + kinds + b"\r\nhello"), ended=int(kinds.count(b":") == 1))

    def test_trace_ids_differ(self) -> None:
        world = World(self, True)
        warmed(world)
        for request in (GET, GET, POST, GET.replace(b"GET", b"HEAD"), GET):
            asks(request)(world)
            answers(OK[:-5] if b"HEAD" in request else OK)(world)
        outcomes = world.recorder.outcomes
        said = [line.partition(b": ")[2].decode() for line in world.ends[0].raw().split(b"\r\n") if b"Trace" in line]
        self.assertEqual(6, len(set(said)))
        self.assertEqual(said, [outcome.trace_id for outcome in outcomes])
        self.assertEqual(5, world.ended)
        world.over()

    def test_a_request_that_is_no_plain_one(self) -> None:
        """Whatever is odd has Python's verdict."""
        for request in (
            HANDSHAKE,
            GET.replace(b"\r\n", b"\n"),
            GET.replace(b"Host:", b"Host :"),
            GET.replace(b"example.com", b"exam ple.com"),
            GET.replace(b"example.com", b"example.com/"),
            GET.replace(b"example.com", b"[::1]"),
            GET.replace(b"example.com", b"example.com:"),
            GET.replace(b"example.com", b"user@example.com"),
            GET.replace(b"Host: example.com\r\n", b""),
            GET[:-2] + b"Host: example.com\r\n\r\n",
            GET[:-2] + b"host: example.org\r\n\r\n",
            GET[:-2] + b"X: a\r\n b\r\n\r\n",
            GET[:-2] + b"X: a\0\r\n\r\n",
            GET[:-2] + b"X: a\x7f\r\n\r\n",
            GET[:-2] + b"X: a\rb\r\n\r\n",
            GET[:-2] + b"X: a\nb\r\n\r\n",
            GET[:-2] + b"X\x80: a\r\n\r\n",
            GET[:-2] + b": a\r\n\r\n",
            GET[:-2] + b"X : a\r\n\r\n",
            GET[:-2] + b"X\r\n\r\n",
            GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            GET[:-2] + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
            GET[:-2] + b"Transfer-Encoding: identity\r\n\r\n",
            GET[:-2] + b"Transfer-Encoding:\r\n\r\n",
            GET[:-2] + b"Content-Length: 0\r\n\r\n",
            GET[:-2] + b"Content-Length: 5\r\n\r\nhello",
            GET[:-2] + b"Content-Length: -1\r\n\r\n",
            GET[:-2] + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
            POST.replace(b": 5", b": 05"),
            POST.replace(b": 5", b": +5"),
            POST.replace(b": 5", b": 5 5"),
            POST.replace(b": 5", b": 4"),
            POST.replace(b": 5", b": 6"),
            POST.replace(b": 5", b": 0"),
            POST.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked"),
            POST.replace(b": 5", b": 5\r\nContent-Length: 5"),
            POST.replace(b": 5", b": 5\r\nExpect: 100-continue"),
            POST + b"\r\n",
            POST + GET,
            GET + b"\r\n",
            GET + GET,
            b"\r\n" + GET,
            GET.replace(b"/ ", b"* "),
            GET.replace(b"/ ", b"http://example.com/ "),
            GET.replace(b"/ ", b"http://example.org/ "),
            GET.replace(b"/ ", b"/a#b "),
            GET.replace(b"/ ", b"/\x80 "),
            GET.replace(b"/ ", b"/a b "),
            GET.replace(b"/ ", b"/a  "),
            GET.replace(b"1.1", b"1.0"),
            GET.replace(b"1.1", b"1.2"),
            GET.replace(b"1.1", b"2.0"),
            GET[:-2] + b"Connection: x-a\r\nX-A: 1\r\n\r\n",
            GET[:-2] + b"Connection: cookie\r\n\r\n",
            GET[:-2] + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            GET[:-2] + b"Upgrade: websocket\r\n\r\n",
            GET[:-2] + b"Expect: 100-continue\r\n\r\n",
            GET[:-2] + b"Expect: tea\r\n\r\n",
            GET[:-2] + b"TE: trailers\r\n\r\n",
            GET[:-2] + b"te: gzip\r\n\r\n",
            GET[:-2] + b"X-A: a\r\n" * 200 + b"\r\n",
            GET[:-2] + b"X-A: " + b"a" * 40000 + b"\r\n\r\n",
            GET.replace(b"/ ", b"/" + b"a" * 9000 + b" "),
        ):
            world = agree(self, [warmed, asks(request), answers(), answers()], used=False, limits=LIMITS)
            self.assertEqual(0, world.ended, request)

    def test_field_lines(self) -> None:
        """Those that are not passed on, and those that look like them."""
        for line in (
            b"X-Forwarded-For: 1.2.3.4", b"x-forwarded-for: a\r\nX-Forwarded-For: b", b"X-Forwarded-Anything: 1",
            b"Forwarded: for=1", b"X-Original-URL: /admin", b"X-Original-Host: other", b"X-Original-Other: stays",
            b"X-AppGW-Trace-Id: 00", b"X-AppGW-: 1", b"X-AppGWX: stays", b"Keep-Alive: 5", b"Proxy-Connection: close",
            b"Proxy-Authorization: x", b"HTTP2-Settings: x", b"X_Forwarded_For: 1", b"Content_Length: 5", b"X.A: 1",
            b"!#$%&'*+-.^_`|~: 1", b"Cookie: a\r\nCookie: b", b"Connection: keep-alive", b"Connection: , ,",
            b"Connection: upgrade",
            b"Connection: Keep-Alive , keep-alive", b"X: \x80\xff", b"X:", b"X: \t a\tb \t", b"Trailer: X",
            b"n" * 40 + b": 1", b"n" * 41 + b": 1", b"n" * 64 + b": 1", b"n" * 65 + b": 1", b"n" * 256 + b": 1",
        ):  # fmt: skip
            request = GET[:-2] + line + b"\r\n\r\n"
            response = OK[:-9] + b"\r\n" + line + b"\r\n\r\nhello"
            self.same(asks(request), answers(), asks(), answers(response), asks(request), answers(), ended=3)


class FlightTests(LaneCase):
    """A request is on its way in the lane, and something happens."""

    def test_the_client_asks_on(self) -> None:
        for more in (GET, GET + AGAIN, POST, GET[:10], b"\r\n", b"\r\n" + GET, b"nonsense\r\n\r\n", HANDSHAKE):
            self.same(asks(), asks(more), answers(), answers(), answers(), asks(), ended=0)

    def test_in_the_same_round(self) -> None:
        for request in (GET, POST):
            self.same(at_once(("c", request), ("b", OK)), answers(), ended=1)
            self.same(asks(request), at_once(("b", OK), ("c", AGAIN)), answers(), ended=2)
            self.same(asks(request), at_once(("c", AGAIN), ("b", OK)), answers(), asks(), answers(), ended=1)

    def test_the_client_half_closes(self) -> None:
        self.same(asks(), client("half_closes"), answers(), ended=0)
        self.same(asks(POST), client("half_closes"), passes(100), ended=0)
        self.same(asks(), answers(), client("half_closes"), ended=1)

    def test_the_client_leaves(self) -> None:
        self.same(asks(), client("closes"), ended=0)
        self.same(asks(), client("closes"), answers(), ended=0)
        self.same(asks(POST), answers(), client("closes"), ended=1)

    def test_the_client_resets(self) -> None:
        """With something unread in its socket, that is what closing is."""
        self.same(asks(), reads(False), answers(), asks(AGAIN), client("closes"), ended=1)

    def test_the_backend_closes(self) -> None:
        """One without a body is sent again, on a new connection, once."""
        self.same(asks(), backend("half_closes"), answers(), ended=0)
        self.same(asks(), backend("closes"), answers(), asks(), answers(), ended=1)
        self.same(asks(), backend("closes"), backend("closes"), ended=0)
        self.same(asks(POST), backend("half_closes"), answers(), ended=0)
        self.same(asks(PATCH), backend("closes"), answers(), ended=0)

    def test_a_stale_connection(self) -> None:
        """It was closed while nobody looked."""
        for request in (GET, POST):
            for closes in ("shutdown", "close"):

                def is_left(world: World, closes: str = closes, request: bytes = request) -> None:
                    sock = world.ends[-1].sock
                    if closes == "close":
                        sock.close()
                    else:
                        sock.shutdown(1)
                    world.people[0].puts(request)

                self.same(is_left, answers(), asks(), answers(), ended=1)

    def test_nobody_is_there_when_it_is_sent_again(self) -> None:
        self.same(
            asks(), lambda world: setattr(world.road, "refuses", True), backend("closes"),
            lambda world: setattr(world.road, "refuses", False), asks(), answers(), ended=0,
        )  # fmt: skip

    def test_the_backend_closes_after_a_byte(self) -> None:
        for said in (OK[:1], OK[:30], OK[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"):
            self.same(asks(), answers(said), backend("half_closes"), asks(), answers(), ended=0)
            self.same(asks(), answers(said), backend("closes"), ended=0)
        self.same(asks(), at_once(("b", OK)), backend("half_closes"), asks(), answers(), ended=1)

    def test_the_backend_says_more_afterwards(self) -> None:
        self.same(asks(), answers(), answers(), asks(), answers(), ended=1)

    def test_the_backend_spoke_before_it_was_asked(self) -> None:
        self.same(answers(), asks(), answers(), ended=0, backends=1)
        self.same(at_once(("b", OK), ("c", GET)), answers(), ended=0)

    def test_the_backend_is_slow(self) -> None:
        settings = {"request_timeout": 7}
        self.same(asks(), passes(6.9), answers(), passes(0.05), asks(), answers(), settings=settings, ended=2)
        self.same(asks(), passes(7.2), answers(), asks(), answers(), settings=settings, ended=0)
        self.same(asks(), answers(OK[:20]), passes(6.9), answers(OK[20:]), settings=settings, ended=0)
        self.same(asks(), answers(OK[:20]), passes(7.2), settings=settings, ended=0)
        self.same(asks(), answers(OK[:-1]), passes(7.2), settings=settings, ended=0)

    def test_the_backend_does_not_read(self) -> None:
        large = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
        settings = {"request_timeout": 7}

        def stops_reading(world: World) -> None:
            world.ends[-1].reads = False

        for then, ended in (
            ([answers()], 0), ([passes(20)], 0), ([backend("closes")], 0), ([client("half_closes"), answers()], 0),
            ([client("closes")], 0), ([asks(), answers(), answers()], 1), ([answers(OK[:9]), passes(7.2)], 0),
        ):  # fmt: skip
            begins = [asks(large), answers(), stops_reading, asks(large)]  # the first of them is not read at once
            self.same(*begins, *then, asks(), answers(), ended=ended, buffer=5000, settings=settings)

    def test_the_gateway_stops(self) -> None:
        for request in (GET, POST):
            self.same(asks(request), stops, answers(), ended=0)
            self.same(asks(request), answers(), stops, ended=1)
            self.same(asks(request), is_cut, answers(), ended=0)
            self.same(asks(request), stops, passes(40), ended=0)

    def test_a_backend_that_goes_away_meanwhile(self) -> None:
        def leaves(world: World) -> None:
            world.upstreams[world.pool.backends[0]].close()

        self.same(asks(), healthy(False), answers(), asks(), healthy(True), asks(), answers(), ended=2)
        self.same(asks(), leaves, answers(), asks(), answers(), ended=1)


class TimeTests(LaneCase):
    """Deadlines that follow an exchange in the lane."""

    def test_keep_alive(self) -> None:
        """Closed when its time has come, not earlier; `agree` compares the deadlines themselves."""
        for request in (GET, POST):
            self.same(passes(8), asks(request), passes(3), answers(), passes(9.8), asks(), answers(), ended=2)
            world = World(self, True, limits=LIMITS)
            person = warmed(world)
            for act in (passes(8), asks(request), passes(3), answers(), passes(9.9)):
                act(world)
            person.takes()
            self.assertEqual("", person.ending)
            passes(0.4)(world)
            person.takes()
            self.assertEqual("eof", person.ending)
            world.over()

    def test_a_head_that_does_not_end(self) -> None:
        self.same(asks(), answers(), asks(GET[:9]), passes(4.8), asks(GET[9:]), answers(), ended=1)
        self.same(asks(), answers(), asks(GET[:9]), passes(5.3), ended=1)
        self.same(asks(), answers(), asks(POST[:-2]), passes(5.3), ended=1)

    def test_a_client_that_does_not_read(self) -> None:
        """What is kept for it is bounded, and so is the time."""
        acts = [act for _ in range(20) for act in (asks(), answers(LARGE))]
        for then in ([passes(4.8), reads(True), asks(), answers()], [passes(5.3)], [client("closes")]):
            agree(self, [warmed, reads(False), *acts, *then], limits=LIMITS, buffer=5000)
        world = World(self, True, limits=LIMITS, buffer=5000)
        warmed(world)
        for act in (reads(False), *acts):
            act(world)
        (left,) = world.factory.connections
        self.assertTrue(left.stuck)
        self.assertLess(left.transport.queued, 2 * len(LARGE))
        world.over()

    def test_a_client_that_is_found_stuck_when_it_has_asked_on(self) -> None:
        """It is the backend who is waited for then."""
        settings = {"request_timeout": 7}
        begins = [reads(False), asks(), at_once(("b", LARGE), ("c", AGAIN))]
        for then in (
            [passes(5.5), answers(), reads(True), asks(), answers()],
            [passes(7.3), reads(True)],
            [reads(True), passes(1), passes(7.3)],
            [answers(), passes(5.3)],
        ):
            agree(self, [warmed, *begins, *then], limits=LIMITS, settings=settings, buffer=5000)


class _Router:
    """Routes as another does, after ``first(head)``, which may answer instead or raise."""

    def __init__(self, first: Callable[[Any], Any]) -> None:
        self._first = first
        self.other: Any = None

    def route(self, head: Any, listener: str) -> Any:
        found = self._first(head) if head.target == "/again" else None
        other = self.other.route(head, listener)
        return other if found is None else found(other) if callable(found) else found


class DecisionTests(LaneCase):
    """What routers, selectors and pools may say to the second request of a connection."""

    def routed(self, first: Callable[[Any], Any], *acts: Act, ended: int = 1, **options: Any) -> None:
        """With a router that does this with the request for ``/again``; others are plain."""

        def begins(world: World) -> None:
            router = _Router(first)
            router.other, world.shared.router = world.shared.router, router

        self.same(begins, asks(AGAIN), *acts, asks(), answers(), ended=ended, **options)

    def test_replies(self) -> None:
        self.routed(lambda head: Reply(403, (), b"no"))
        self.routed(lambda head: Reply(204))
        self.routed(lambda head: Reply(200, (("X-A", "a\r\nb"),), b""))
        self.flushLoggedErrors()

    def test_errors(self) -> None:
        def fails(error: Exception) -> Callable[[Any], Any]:
            def route(head: Any) -> None:
                raise error

            return route

        self.routed(fails(NoRoute("no rule")))
        self.routed(fails(ZeroDivisionError("x")))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_oddities(self) -> None:
        self.routed(lambda head: "nonsense")
        self.routed(lambda head: lambda other: NeedsAddress(lambda address: other), answers())
        self.routed(lambda head: lambda other: other._replace(verbatim=False), answers())
        self.routed(lambda head: lambda other: other._replace(middleware=(_Stamp(),)), answers())

    def test_later(self) -> None:
        waiting: list[Deferred[Any]] = []

        def later(head: Any) -> Deferred[Any]:
            waiting.append(Deferred())
            return waiting[-1]

        self.routed(later, lambda world: waiting.pop().callback(Reply(403)))
        self.routed(later, lambda world: waiting.pop().errback(NoRoute("no rule")))
        self.routed(later, lambda world: waiting.clear(), passes(31), limits={})
        self.routed(later, asks(), lambda world: waiting.pop().callback(Reply(403)), answers(), ended=1)

    def test_selectors(self) -> None:
        def selects(what: Any) -> Act:
            def act(world: World) -> None:
                before = world.pool._select

                def select(candidates: Any, head: Any) -> Any:
                    if head.target != "/again":
                        return before(candidates, head)
                    if isinstance(what, Exception):
                        raise what
                    return what

                world.pool._select = select

            return act

        for what in (None, "nobody", ZeroDivisionError("x")):
            self.same(selects(what), asks(AGAIN), asks(), answers(), ended=1)
        self.flushLoggedErrors()

    def test_no_backend(self) -> None:
        self.same(healthy(False), asks(), healthy(True), asks(), answers(), ended=1)

    def test_another_backend(self) -> None:
        """Each has its turn; there is no idle connection to the second."""
        begins = [asks(), answers(), asks(), lambda world: world.ends[0].sends(OK)]
        self.same(*begins, asks(), answers(), backends=2, ended=2)

    def test_another_host(self) -> None:
        self.same(asks(GET.replace(b"example.com", b"example.net")), asks(), answers(), ended=1)

    def test_a_way_that_fails(self) -> None:
        """Something foreign raises: it costs the connection, and the lease comes back."""

        def breaks(world: World) -> None:
            def upstream_for(route: Any, backend: Any) -> Any:
                raise ZeroDivisionError("no way")

            world.shared.upstream_for = upstream_for

        self.same(breaks, asks(), ended=0)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_middleware_on_one_path(self) -> None:
        """One connection, a rule with middleware and one without."""

        def some(world: World) -> None:
            router = _Router(lambda head: lambda other: other._replace(middleware=(_Stamp(),)))
            router.other, world.shared.router = world.shared.router, router

        plain, stamped = [asks(), answers()], [asks(AGAIN), answers()]
        self.same(some, *plain, *stamped, *plain, *stamped, *stamped, *plain, ended=3)

    def test_dedicated_connections(self) -> None:
        settings = {"dedicated_backend_connection": True}
        self.same(asks(), answers(), asks(POST), answers(), settings=settings, ended=0)

    def test_hosts_and_paths_that_are_changed(self) -> None:
        for settings in ({"host_name": "other.example"}, {"path": "/x/"}):
            self.same(asks(), answers(), settings=settings, ended=0)

    def test_trusted_proxies(self) -> None:
        said = GET[:-2] + b"X-Forwarded-For: 198.51.100.1\r\nX-AppGW-Trace-Id: " + b"a" * 32 + b"\r\n\r\n"
        agree(self, [warmed, asks(said), answers()], used=False, trusted=["203.0.113.0/24"])

    def test_the_limit_for_bodies(self) -> None:
        for most, ended in ((4, 0), (5, 1)):
            world = agree(self, [warmed, asks(POST), answers()], used=False, limits={"max_body_bytes": most})
            self.assertEqual(ended, world.ended)


class _Stamp:
    """Middleware that leaves a mark."""

    traffic = frozenset({"http"})

    def request(self, head: Any, context: Any) -> None:
        """Let it pass."""

    def response(self, head: Any, context: Any) -> Any:
        return head._replace(fields=[*head.fields, ("X-Stamp", "1")])

    def body(self, head: Any, context: Any) -> None:
        """Not changed."""


class EndTests(LaneCase):
    """Nothing is left of a lane."""

    def test_a_websocket_after_it(self) -> None:
        acts = [asks(), answers(), asks(HANDSHAKE), answers(SWITCHING)]
        acts += [asks(frame(1, b"hi", mask=True)), answers(frame(1, b"ho"))]
        self.same(*acts, ended=1)
        world = World(self, True)
        warmed(world)
        gc.disable()
        self.addCleanup(gc.enable)
        for act in acts:
            act(world)
        self.assertEqual([], _left(world, Lane))
        world.over()

    def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        endings: list[list[Act]] = [
            [client("closes")],
            [client("half_closes")],
            [asks(), client("closes")],
            [asks(), client("half_closes"), answers()],
            [asks(), answers(OK[:20]), client("closes")],
            [asks(POST), backend("closes")],
            [asks(), asks(AGAIN), answers(), answers()],
            [asks(HANDSHAKE), answers(SWITCHING), client("closes")],
            [passes(80)],
        ]
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for acts in endings:
            world = World(self, True)
            warmed(world)
            for act in (asks(), answers(), asks(POST), answers(), *acts):
                act(world)
            client("closes")(world)
            world.advance(40)
            del world.lost[:]
            self.assertEqual(2, world.ended)
            self.assertEqual([], _left(world, Lane, ClientConnection))
            world.over()


def _left(world: World, *kinds: type) -> list[Any]:
    return [each for each in gc.get_objects() if isinstance(each, kinds) and each._shared is world.shared]
