"""Lanes: with one and without one, everybody sees the same. Its base alone: `tests.listener.test_plain`."""

from __future__ import annotations

from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING
from tests.listener.lane_acts import (
    LARGE,
    LIMITS,
    PATCH,
    LaneCase,
    answers,
    asks,
    at_once,
    backend,
    client,
    is_cut,
    passes,
    reads,
    stops,
)
from tests.listener.lanes import World, agree, warmed


class PlainTests(LaneCase):
    """What a lane is for."""

    def test_methods(self) -> None:
        for request in (GET, GET.replace(b"GET", b"OPTIONS"), GET.replace(b"GET", b"DELETE"), POST, PATCH):
            self.same(asks(request), answers(), asks(request), answers(), ended=2)

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
            (b"204 No Content", 0), (b"304 Not Modified", 0), (b"426 Upgrade Required", 1), (b"600 Odd", 1),
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
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            OK.replace(b"1.1", b"1.2"),
            b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
            b"\r\n" + OK,
            SWITCHING,
            b"nonsense\r\n\r\n",
        ):
            self.same(asks(), answers(response), backend("half_closes"), ended=0)

    def test_in_pieces(self) -> None:
        for cut in range(1, len(OK), 5):
            self.same(asks(), answers(OK, cut), asks(), answers(), ended=1 + (cut >= len(OK) - 5))
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
