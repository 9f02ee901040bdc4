"""Tests for `gateway.http.heads`: the corpus, what properties say of everything else, and hostile input."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import BackendProtocolError, BadRequest, HeadTooLarge, RequestError, TargetTooLong
from gateway.http import heads
from gateway.http.forwarding import request_bytes, response_bytes
from gateway.http.heads import HeadLimits, index_of, parse_request, parse_response
from gateway.values import CHUNKED, RequestHead
from tests.http.corpus import REQUESTS, RESPONSES
from tests.twins import of_each

try:
    import httptools
except ImportError:
    httptools = None

# Each test runs for each implementation (`tests.twins`), which Hypothesis takes for a change of the test's executor.
_twice = [HealthCheck.differing_executors]
few = settings(max_examples=150, deadline=None, database=None, suppress_health_check=_twice)

_TOKEN = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=8)
_VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12)
_FIELD = st.tuples(
    _TOKEN | st.sampled_from(["Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "TE", "Upgrade"]),
    _VALUE | st.sampled_from(["chunked", "close", "3", "upgrade, x-a", "a.example", "trailers", "websocket"]),
)
_HEAD = st.builds(
    lambda method, target, version, fields: (
        f"{method} {target} HTTP/{version}\r\nHost: a.example\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in fields)
        + "\r\n"
    ).encode("latin-1"),
    st.sampled_from(["GET", "POST", "OPTIONS", "X"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8).map("/".__add__) | st.just("*"),
    st.sampled_from(["1.1", "1.0"]),
    st.lists(_FIELD, max_size=4),
)


class CorpusTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every request of the corpus has a name of its own, and there are enough of them."""
        names = {case.name for case in REQUESTS}
        self.assertEqual(len(names), len(REQUESTS))
        self.assertGreater(len(names), 120)

    def test_requests(self) -> None:
        """Each raw request becomes the head that the corpus says, or is refused with that status."""
        for case in REQUESTS:
            try:
                head = parse_request(case.raw)
            except RequestError as error:
                self.assertEqual(error.status, case.verdict, f"{case.name}: {error}")
                self.assertTrue(str(error), case.name)
                continue
            if isinstance(case.verdict, int):
                self.fail(f"{case.name} was accepted")
            for attribute, expected in case.verdict.items():
                self.assertEqual(getattr(head, attribute), expected, f"{case.name}: {attribute}")

    def test_responses(self) -> None:
        """Each raw response becomes the head that the corpus says, or a `BackendProtocolError`."""
        for case in RESPONSES:
            try:
                head = parse_response(case.raw, case.method)
            except BackendProtocolError as error:
                self.assertIsNone(case.verdict, f"{case.name}: {error}")
                continue
            self.assertIsNotNone(case.verdict, f"{case.name} was accepted")
            for attribute, expected in (case.verdict or {}).items():
                self.assertEqual(getattr(head, attribute), expected, f"{case.name}: {attribute}")

    def test_every_character(self) -> None:
        """One odd byte anywhere in a head either changes nothing else or is refused; never a crash."""
        raw = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nX: y\r\n\r\n"
        for position in range(len(raw)):
            for byte in b'\x00\x01\t\n\x0b\r "#,:;@[\x7f\x80\x85\xa0\xff':
                odd = raw[:position] + bytes([byte]) + raw[position + 1 :]
                try:
                    head = parse_request(odd)
                except RequestError:
                    continue
                self.assertEqual(len(head.method), 4)
                self.assertIn(head.body, (0, 1, 2, 12), odd)


class LimitTests(SynchronousTestCase):
    limits = HeadLimits(head=100, fields=2, target=20)

    def refused(self, raw: bytes, error: type[Exception]) -> None:
        self.assertRaises(error, parse_request, raw, self.limits)

    def test_limits(self) -> None:
        self.refused(b"GET /" + b"a" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", TargetTooLong)
        self.refused(b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", TargetTooLong)
        self.refused(b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nB: c\r\n\r\n", HeadTooLarge)
        self.refused(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 80 + b"\r\n\r\n", HeadTooLarge)
        parse_request(b"GET /" + b"a" * 19 + b" HTTP/1.1\r\nHost: a\r\n\r\n", self.limits)

    def test_response_limits(self) -> None:
        for raw in (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 3, b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100 + b"\r\n"):
            self.assertRaises(BackendProtocolError, parse_response, raw + b"\r\n", "GET", self.limits)

    def test_remembered_hosts_are_bounded(self) -> None:
        """A stranger who invents hosts does not make memory grow."""
        for number in range(heads._MOST_HOSTS + 10):
            parse_request(b"GET / HTTP/1.1\r\nHost: h%d\r\n\r\n" % number)
        self.assertLessEqual(len(heads._hosts), heads._MOST_HOSTS)

    def test_linear(self) -> None:
        """Heads of 200 kB that are made to be slow take milliseconds; anything quadratic would take minutes."""

        def check(raw: bytes) -> None:
            begin = time.process_time()
            for parse in (parse_request, lambda data, limits: parse_response(data, "GET", limits)):
                try:
                    parse(raw, HeadLimits(1 << 20, 1 << 20, 1 << 20))
                except (RequestError, BackendProtocolError):
                    pass
            self.assertLess(time.process_time() - begin, 2, raw[:60])

        size = 200_000
        start = b"GET / HTTP/1.1\r\nHost: a\r\n"
        for filling in (
            b"a",
            b" ",
            b":",
            b"a:",
            b"\t ",
            b"\n",
            b"\r",
            b"\r\n",
            b"a: b\r\n ",
            b"A: \t \r\n",
            b",",
            b"a\x00",
            b"\xff",
        ):
            hostile = filling * (size // len(filling))
            check(start + hostile)
            check(start + b"X: " + hostile + b"\r\n\r\n")
            check(hostile)
            check(b"GET /" + hostile + b" HTTP/1.1\r\n\r\n")
            check(b"HTTP/1.1 200 OK\r\nX: " + hostile + b"\r\n\r\n")
        for name in (b"Connection", b"Transfer-Encoding", b"Host", b"Upgrade", b"Expect"):
            for filling in (b",", b" ", b"a,", b", ,"):
                check(start + name + b": " + filling * (size // len(filling)) + b"\r\n\r\n")


class PropertyTests(SynchronousTestCase):
    @few
    @given(_HEAD)
    def test_what_is_accepted_is_forwarded_as_meant(self, raw: bytes) -> None:
        """The head that goes to a backend parses again, with the same framing and the same end-to-end fields."""
        try:
            head = parse_request(raw)
        except RequestError:
            return
        sent = request_bytes(head, head.target, head.host, "X-Added: 1\r\n", head.body)
        again = parse_request(sent)
        self.assertEqual(
            (again.method, again.target, again.host, again.body), (head.method, head.target, head.host, head.body)
        )
        self.assertEqual(again.upgrade, "")
        self.assertTrue(again.keep_alive)
        self.assertEqual(again.get("x-added"), "1")
        self.assertEqual(sent.count(b"\r\n\r\n"), 1)
        self.assertLessEqual(set(again.index), set(head.index) | {"x-added", "content-length", "connection"})

    @few
    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data: bytes, framed: bool) -> None:
        """Whatever comes, it is a head or a named refusal."""
        raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n" if framed else data
        try:
            head = parse_request(raw)
        except RequestError:
            pass
        else:
            self.assertIsInstance(head, RequestHead)
        try:
            parse_response(raw.replace(b"GET / HTTP/1.1", b"HTTP/1.1 200 OK"), "GET")
        except BackendProtocolError:
            pass

    @few
    @given(st.lists(_FIELD, max_size=4), st.sampled_from([200, 204, 304, 404, 103]), st.sampled_from(["GET", "HEAD"]))
    def test_response_round_trip(self, fields: list[tuple[str, str]], status: int, method: str) -> None:
        """A response that is accepted and sent on means the same to the client."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        raw = f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode("latin-1")
        try:
            head = parse_response(raw, method)
        except BackendProtocolError:
            return
        again = parse_response(response_bytes(head, "1.1", head.body, False), method)
        self.assertEqual((again.status, again.reason, again.body), (head.status, head.reason, head.body))
        if status == 304 or (method == "HEAD" and status not in (103, 204)):
            self.assertEqual(again.get("content-length"), head.get("content-length"))

    @few
    @given(st.lists(_FIELD, max_size=6))
    def test_index(self, fields: list[tuple[str, str]]) -> None:
        """The index has every name once, with all values."""
        index = index_of(fields)
        self.assertEqual(set(index), {name.lower() for name, _ in fields})
        for name, value in fields:
            self.assertIn(value, index[name.lower()])


class PeerTests(SynchronousTestCase):
    """What we accept, another strict parser accepts as well, and reads in the same way."""

    if httptools is None:
        skip = "httptools is not installed"

    def test_against_httptools(self) -> None:
        class Seen:
            def __init__(self) -> None:
                self.target = b""
                self.fields: list[tuple[str, str]] = []
                self.keep_alive = False

            def on_headers_complete(self) -> None:
                self.keep_alive = parser.should_keep_alive()

            def on_url(self, url: bytes) -> None:
                self.target += url

            def on_header(self, name: bytes, value: bytes) -> None:
                self.fields.append((name.decode("latin-1"), value.decode("latin-1")))

        compared = 0
        for case in REQUESTS:
            if isinstance(case.verdict, int):
                continue
            head = parse_request(case.raw)
            if head.upgrade or head.method not in ("GET", "POST", "OPTIONS") or "\t" in str(head.fields):
                continue
            if b"://" in case.raw or b"HTTP/1.1\r" not in case.raw and b"HTTP/1.0\r" not in case.raw:
                continue  # there we say another Host than what was sent, and know later minor versions
            seen = Seen()
            parser = httptools.HttpRequestParser(seen)
            try:
                parser.feed_data(case.raw)
            except httptools.HttpParserUpgrade:
                pass
            except httptools.HttpParserError:
                # llhttp is strict where we are not only with targets that are no URI.
                self.assertNotRegex(head.target, r"^/[A-Za-z0-9/?=]*$", case.name)
                continue
            trimmed = [(name, value.rstrip(" \t")) for name, value in seen.fields]
            self.assertEqual(trimmed, head.fields, case.name)
            self.assertEqual(seen.keep_alive, head.keep_alive, case.name)
            compared += 1
        self.assertGreater(compared, 40)


class FaultTests(SynchronousTestCase):
    """Refusals say what is wrong, and never a value."""

    def said(self, raw: bytes) -> str:
        return str(self.assertRaises(BadRequest, parse_request, raw))

    def test_words(self) -> None:
        start = b"GET / HTTP/1.1\r\nHost: a\r\n"
        self.assertIn("folded", self.said(start + b"A: b\r\n c\r\n\r\n"))
        self.assertIn("NUL", self.said(start + b"A: \x00\r\n\r\n"))
        self.assertIn("CR without LF", self.said(start + b"A: \r.\r\n\r\n"))
        self.assertIn("LF without CR", self.said(start + b"A: \n.\r\n\r\n"))
        self.assertIn("0x01", self.said(start + b"A: \x01\r\n\r\n"))
        self.assertIn("white space between", self.said(start + b"A : b\r\n\r\n"))
        self.assertIn("without colon", self.said(start + b"Abc\r\n\r\n"))
        self.assertIn("empty line", self.said(start + b"\r\nA: b\r\n\r\n"))
        self.assertIn("does not end", self.said(start))
        self.assertIn("Host", self.said(b"GET / HTTP/1.1\r\n\r\n"))

    def test_no_secrets(self) -> None:
        for line in (
            b"Authorization: s3cret\x00",
            b"Cookie: s3cret\r\n folded",
            b"Content-Length: s3cret",
            b"Expect: s3cret",
        ):
            raw = b"GET /?s3cret HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n"
            self.assertNotIn("s3cret", str(self.assertRaises(RequestError, parse_request, raw)))
        raw = b"GET /s3cret\x00 HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertNotIn("s3cret", self.said(raw))

    def test_codings(self) -> None:
        raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(parse_request(raw).body, CHUNKED)


of_each(globals())
