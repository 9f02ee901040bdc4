"""Conversations that nobody thought of, with lanes and without."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.websocket import frames
from tests.dialogue import GET, HANDSHAKE, SWITCHING, frame
from tests.listener.lane_acts import (
    LIMITS,
    Act,
    LaneCase,
    answers,
    asks,
    at_once,
    backend,
    client,
    healthy,
    is_cut,
    joined,
    passes,
    reads,
    refused,
    replies,
    slowly,
    stops,
)
from tests.listener.lanes import World, agree, warmed

few = settings(max_examples=150, deadline=None, database=None)

NAMES = st.sampled_from(
    [
        b"Accept", b"X-A", b"x-a", b"X_A", b"X.A", b"X-Forwarded-For", b"x-forwarded-proto", b"X-Forwarded-Other",
        b"Forwarded", b"X-Original-URL", b"X-AppGW-Trace-Id", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer",
        b"Upgrade", b"HTTP2-Settings", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Cookie",
        b"Host", b"Date", b"Server", b"Content-Type", b"Set-Cookie", b"n" * 40, b"n" * 41, b"N" * 65, b"N" * 257,
        b"~!#$%&'*+-.^_`|", b"A B", b"A\x80", b"", b" X",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    [
        b"", b"a", b"  a\t ", b"a b", b"\x80\xff", b"a\tb", b"close", b"keep-alive", b"Keep-Alive ,", b"upgrade",
        b"x-a", b"host", b"websocket", b"h2c", b"trailers", b"0", b"5", b"05", b"chunked", b"gzip", b"100-continue",
        b"1, 2", b"a\0b", b"a\x7f", b"a\nb", b"a\rb", b"example.com", b"example.org", b"[::1]", b"a:99999",
        b"\xe4" * 3000, b"a" * 6000,
    ]
)  # fmt: skip
USUAL_NAMES = st.sampled_from([b"Accept", b"X-A", b"x-a", b"X-Forwarded-For", b"X_A", b"Content-Type", b"Date"])
USUAL_VALUES = st.sampled_from([b"", b"a", b" \ta b\t ", b"\x80\xff", b"a" * 300])
LINE = st.builds(b"%s%s%s\r\n".__mod__, st.tuples(NAMES, st.sampled_from([b": ", b":", b":\t ", b" : "]), VALUES))
USUAL_LINE = st.builds(b"%s: %s\r\n".__mod__, st.tuples(USUAL_NAMES, USUAL_VALUES))
LINES = st.one_of(
    st.lists(USUAL_LINE, max_size=4).map(b"".join),
    st.lists(st.one_of(USUAL_LINE, LINE), max_size=4).map(b"".join),
)


@st.composite
def requests(draw: Any) -> bytes:
    """Most of them are well-formed, many are plain."""
    method = draw(st.sampled_from([b"GET", b"GET", b"OPTIONS", b"DELETE", b"HEAD", b"POST", b"PATCH", b"PUT", b"get"]))
    targets = [b"/", b"/", b"/a?b=c", b"/moved/a", b"//x", b"*", b"http://example.com/", b"/a#b", b"/" + b"a" * 3000]
    body = draw(st.sampled_from([b"a", b"x" * 100, b"\r\n\r\n", GET, b"y" * 16000])) if method[:1] == b"P" else b""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    version = draw(st.sampled_from([b"1.1"] * 9 + [b"1.0"]))
    parts = draw(st.permutations([b"Host: example.com\r\n", length, draw(LINES)]))
    head = b"%s %s HTTP/%s\r\n%s\r\n" % (method, draw(st.sampled_from(targets)), version, b"".join(parts))
    return head + body


@st.composite
def responses(draw: Any) -> bytes:
    """Most of them are well-formed, many are plain."""
    others = [b"200", b"404 \xe4\t", b"503 x", b"204 No", b"304 Same", b"426 Up", b"100 Go", b"101 Up"]
    body = draw(st.sampled_from([b"", b"", b"hello", b"x" * 16000]))
    framings = [b"Content-Length: %d\r\n" % len(body)] * 6
    framings += [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    parts = draw(st.permutations([draw(st.sampled_from(framings)), draw(LINES)]))
    version = draw(st.sampled_from([b"1.1"] * 9 + [b"1.0"]))
    return b"HTTP/%s %s\r\n%s\r\n" % (version, draw(st.sampled_from([b"200 OK"] * 6 + others)), b"".join(parts)) + body


def cuts(said: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, int]]:
    """Most are heard at once, some in two pieces."""
    return st.tuples(said, st.one_of(st.just(0), st.just(0), st.integers(1, 400)))


def openings(head: bytes) -> st.SearchStrategy[bytes]:
    """That of a handshake, perhaps with another line, and perhaps with something behind it."""
    behind = st.sampled_from([b"", b"", frame(1, b"hello"), frame(1, b"hello", mask=True), b"\xff"])
    return st.builds(lambda line, rest: head[:-2] + line + b"\r\n" + rest, st.one_of(st.just(b""), LINES), behind)


EVENTS = st.one_of(
    st.just(asks()),
    st.just(answers()),
    cuts(openings(HANDSHAKE)).map(lambda said: asks(*said)),
    cuts(openings(SWITCHING)).map(lambda said: answers(*said)),
    cuts(requests()).map(lambda said: asks(*said)),
    cuts(responses()).map(lambda said: answers(*said)),
    st.tuples(requests(), requests()).map(lambda said: asks(b"".join(said))),
    st.tuples(responses(), requests()).map(lambda said: at_once(("b", said[0]), ("c", said[1]))),
    st.sampled_from(
        [
            client("half_closes"), client("closes"), backend("half_closes"), backend("closes"), passes(1), passes(6),
            passes(11), slowly, joined, refused, stops, is_cut, healthy(False), healthy(True), reads(False),
            reads(True),
        ]
    ),
)  # fmt: skip


def _with_backend(act: Act) -> Act:
    """The same, if there is a backend."""
    return lambda world: act(world) if world.ends else None


class AnyTests(LaneCase):
    """Conversations that nobody thought of."""

    @few
    @given(st.lists(st.tuples(cuts(requests()), cuts(responses())), min_size=1, max_size=4))
    def test_requests_and_responses(self, said: list[tuple[tuple[bytes, int], tuple[bytes, int]]]) -> None:
        acts = [act for request, response in said for act in (asks(*request), answers(*response))]
        agree(self, [warmed, *acts, asks(), answers()], limits=LIMITS)

    @few
    @given(cuts(openings(HANDSHAKE)), cuts(openings(SWITCHING)), st.lists(EVENTS, max_size=6), st.integers(0, 6))
    def test_openings(self, asked: tuple[bytes, int], agreed: tuple[bytes, int], acts: list[Act], at: int) -> None:
        """On a connection that is made for it, while other things happen."""
        self.patch(frames, "masking_key", lambda: bytes(4))  # of close frames

        def begins(world: World) -> None:
            world.connects()
            slowly(world)

        acts = [_with_backend(act) for act in acts]
        acts[at:at] = [joined, replies(*agreed)]
        agree(self, [begins, asks(*asked), *acts], limits=LIMITS, settings={"request_timeout": 7}, used=False)

    @few
    @given(st.lists(EVENTS, min_size=1, max_size=8), st.sampled_from([None, 5000]))
    def test_events(self, acts: list[Act], buffer: int | None) -> None:
        self.patch(frames, "masking_key", lambda: bytes(4))  # of close frames
        agree(self, [warmed, *acts], limits=LIMITS, settings={"request_timeout": 7}, buffer=buffer)
