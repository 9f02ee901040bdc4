"""Tests for `gateway.http.forwarding`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http import forwarding
from gateway.http.forwarding import date_now, error_reply, reply_bytes, request_bytes, response_bytes
from gateway.http.heads import parse_request, parse_response
from gateway.values import CHUNKED, UNTIL_CLOSE, Reply, RequestHead, ResponseHead
from tests.twins import of_each


def request(*lines: str, start: str = "GET / HTTP/1.1") -> RequestHead:
    """A parsed request with a Host and these field lines."""
    return parse_request("\r\n".join([start, "Host: a.example", *lines, "", ""]).encode("latin-1"))


def response(*lines: str, start: str = "HTTP/1.1 200 OK", method: str = "GET") -> ResponseHead:
    """A parsed response with these field lines."""
    return parse_response("\r\n".join([start, *lines, "", ""]).encode("latin-1"), method)


class RequestTests(SynchronousTestCase):
    def sent(self, head: RequestHead, body: int | None = None, added: str = "", upgrade: bool = False) -> list[str]:
        """Field lines of what is forwarded, without Host."""
        data = request_bytes(head, head.target, "b", added, head.body if body is None else body, upgrade)
        lines = data.decode("latin-1").split("\r\n")
        self.assertEqual(lines[0], f"{head.method} {head.target} HTTP/1.1")
        self.assertEqual(lines[1], "Host: b")
        self.assertEqual(lines[-2:], ["", ""])
        return lines[2:-2]

    def test_whole(self) -> None:
        head = request("X-A: 1", "accept: */*", start="GET /x HTTP/1.1")
        self.assertEqual(
            request_bytes(head, "/y?z", "b:81", "X-Forwarded-For: 1.2.3.4:5\r\n", 0),
            b"GET /y?z HTTP/1.1\r\nHost: b:81\r\nX-A: 1\r\naccept: */*\r\nX-Forwarded-For: 1.2.3.4:5\r\n\r\n",
        )

    def test_order_and_bytes(self) -> None:
        """Order, case, repetition and odd bytes stay."""
        lines = ["b: 2", "A: 1", "Cookie: x", "B: \xe4\xff", "Cookie: y", "E:"]
        self.assertEqual(self.sent(request(*lines)), [*lines[:-1], "E: "])

    def test_hop_by_hop(self) -> None:
        lines = [
            "Connection: close, X-Mine, te",
            "x-mine: 1",
            "Keep-Alive: 5",
            "Proxy-Connection: a",
            "Proxy-Authorization: b",
            "Proxy-Authenticate: c",
            "TE: gzip",
            "Upgrade: foo",
            "HTTP2-Settings: x",
            "Trailer: X-Sum",
            "Kept: 1",
        ]
        self.assertEqual(self.sent(request(*lines)), ["Trailer: X-Sum", "Kept: 1"])

    def test_trailers_may_come(self) -> None:
        self.assertEqual(self.sent(request("TE: Trailers", "Connection: TE")), ["TE: trailers", "Connection: TE"])

    def test_strangers(self) -> None:
        """Fields in which the gateway speaks, and names that other servers read as those, are dropped."""
        lines = [
            "X-Forwarded-For: 1",
            "x-forwarded-proto: https",
            "X-FORWARDED-HOST: e",
            "X-Original-Host: e",
            "X-Original-URL: /",
            "x-original-uri: /",
            "X-Original-Proto: https",
            "X-AppGW-Trace-Id: 0",
            "Forwarded: for=e",
            "X_Forwarded_For: 1",
            "Content_Length: 5",
            "a.b: 1",
            "a~b: 1",
            "X-Ok: 1",
        ]
        self.assertEqual(self.sent(request(*lines)), ["X-Ok: 1"])

    def test_framing(self) -> None:
        sized = request("Content-Length: 5", start="POST / HTTP/1.1")
        chunked = request("Transfer-Encoding: CHUNKED", start="POST / HTTP/1.1")
        self.assertEqual(self.sent(sized), ["Content-Length: 5"])
        self.assertEqual(self.sent(chunked), ["Transfer-Encoding: chunked"])
        self.assertEqual(self.sent(chunked, 7), ["Content-Length: 7"])
        self.assertEqual(self.sent(sized, CHUNKED), ["Transfer-Encoding: chunked"])
        self.assertEqual(self.sent(chunked, 0), ["Content-Length: 0"])
        for method in ("POST", "PUT", "PATCH"):
            self.assertEqual(self.sent(request(start=f"{method} / HTTP/1.1")), ["Content-Length: 0"])
        self.assertEqual(self.sent(request(start="DELETE / HTTP/1.1")), [])
        self.assertEqual(self.sent(request("Content-Length: 0")), ["Content-Length: 0"])

    def test_framing_of_changed_heads(self) -> None:
        """A plugin that changes the fields and forgets the index still cannot say how long the body is."""
        fields = [("Content-Length", "9"), ("transfer-encoding", "chunked"), ("HOST", "evil"), ("A", "b")]
        self.assertEqual(self.sent(request()._replace(fields=fields)), ["A: b"])

    def test_upgrade(self) -> None:
        head = request("Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Key: k", "TE: trailers")
        self.assertEqual(
            self.sent(head, upgrade=True), ["Sec-WebSocket-Key: k", "Connection: Upgrade", "Upgrade: WebSocket"]
        )
        self.assertNotIn("Upgrade: WebSocket", self.sent(head))

    def test_upgrade_to_one_of_several(self) -> None:
        """The backend is asked for the one that the gateway would let it choose."""
        for asked, wanted in ("bar, foo", "bar"), ("foo,WebSocket", "websocket"), (" , foo/1 ,", "foo/1"):
            head = request("Connection: Upgrade", f"Upgrade: {asked}")
            self.assertEqual(self.sent(head, upgrade=True), ["Connection: Upgrade", f"Upgrade: {wanted}"])

    def test_expect(self) -> None:
        lines = ["Expect: 100-continue", "Content-Length: 1"]
        self.assertIn(lines[0], self.sent(request(*lines, start="PUT / HTTP/1.1")))
        self.assertNotIn(lines[0], self.sent(request(*lines, start="PUT / HTTP/1.0")))

    def test_memo_is_bounded(self) -> None:
        """Invented names do not make memory grow, and the answer for a known name stays right."""
        memo = forwarding.request_stays
        for number in range(memo._most + 10):
            self.assertTrue(memo[f"x-{number}"])
        self.assertLessEqual(len(memo), memo._most)
        self.assertFalse(memo["Connection"])
        long = "x" * 1000
        self.assertTrue(memo[long])
        self.assertNotIn(long, memo)


class ResponseTests(SynchronousTestCase):
    def sent(
        self, head: ResponseHead, body: int, version: str = "1.1", close: bool = False, upgrade: bool = False
    ) -> list[str]:
        """Field lines of what the client gets, without a Date made here."""
        lines = response_bytes(head, version, body, close, upgrade).decode("latin-1").split("\r\n")
        self.assertEqual(lines[0], f"HTTP/1.1 {head.status} {head.reason}")
        self.assertEqual(lines[-2:], ["", ""])
        return [line for line in lines[1:-2] if not line.startswith("Date")]

    def test_whole(self) -> None:
        head = response("Date: x", "Set-Cookie: a", "Content-Length: 3", "Set-Cookie: b", "Server: s_1", "a_b: 1")
        self.assertEqual(
            response_bytes(head, "1.1", 3, False),
            b"HTTP/1.1 200 OK\r\nDate: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: s_1\r\na_b: 1\r\n"
            b"Content-Length: 3\r\n\r\n",
        )

    def test_date_is_added(self) -> None:
        data = response_bytes(response("Content-Length: 0"), "1.1", 0, False)
        self.assertRegex(data, rb"\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n")
        self.assertNotIn(b"Server", data)
        data = response_bytes(response("Connection: Date", "Date: 1994", "Content-Length: 0"), "1.1", 0, False)
        self.assertEqual((1, 0), (data.count(b"\r\nDate: "), data.count(b"1994")))

    def test_hop_by_hop(self) -> None:
        head = response(
            "Connection: keep-alive, X-Mine",
            "X-Mine: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Authenticate: Basic",
            "Upgrade: h2c",
            "Proxy-Connection: x",
            "Content-Length: 1",
            "X-Ok: 1",
        )
        self.assertEqual(self.sent(head, 1), ["X-Ok: 1", "Content-Length: 1"])

    def test_framing(self) -> None:
        chunked = response("Transfer-Encoding: chunked")
        self.assertEqual(self.sent(chunked, CHUNKED), ["Transfer-Encoding: chunked"])
        self.assertEqual(self.sent(chunked, UNTIL_CLOSE, "1.0"), ["Connection: close"])
        self.assertEqual(self.sent(chunked, 7), ["Content-Length: 7"])
        self.assertEqual(self.sent(response(), UNTIL_CLOSE), ["Connection: close"])
        self.assertEqual(self.sent(response(), CHUNKED), ["Transfer-Encoding: chunked"])
        self.assertEqual(self.sent(response("Content-Length: 5"), 0), ["Content-Length: 0"])

    def test_length_without_body(self) -> None:
        """HEAD and 304 keep the length of what they stand for; 204 and 1xx never have one."""
        self.assertEqual(self.sent(response("Content-Length: 5", method="HEAD"), 0), ["Content-Length: 5"])
        self.assertEqual(self.sent(response("Content-Length: 05", method="HEAD"), 0), ["Content-Length: 5"])
        self.assertEqual(self.sent(response(method="HEAD"), 0), [])
        self.assertEqual(self.sent(response("Transfer-Encoding: chunked", method="HEAD"), 0), [])
        self.assertEqual(self.sent(response("Content-Length: 5", start="HTTP/1.1 304 x"), 0), ["Content-Length: 5"])
        self.assertEqual(self.sent(response("Content-Length: 5", start="HTTP/1.1 204 x"), 0), [])
        self.assertEqual(
            response_bytes(response("A: b", start="HTTP/1.1 103 x"), "1.1", 0, False), b"HTTP/1.1 103 x\r\nA: b\r\n\r\n"
        )

    def test_connection(self) -> None:
        head = response("Content-Length: 1")
        self.assertEqual(self.sent(head, 1, close=True)[1:], ["Connection: close"])
        self.assertEqual(self.sent(head, 1, "1.0")[1:], ["Connection: keep-alive"])
        self.assertEqual(self.sent(head, 1, "1.0", close=True)[1:], ["Connection: close"])

    def test_upgrade(self) -> None:
        head = response("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x", start="HTTP/1.1 101 S")
        self.assertEqual(
            self.sent(head, 0, upgrade=True), ["Sec-WebSocket-Accept: x", "Connection: Upgrade", "Upgrade: websocket"]
        )

    def test_upgrade_required(self) -> None:
        """A 426 says what to upgrade to."""
        head = response("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 0", start="HTTP/1.1 426 U")
        self.assertIn("Upgrade: websocket", self.sent(head, 0))

    def test_framing_of_changed_heads(self) -> None:
        fields = [("Content-Length", "9"), ("transfer-encoding", "chunked"), ("A", "b")]
        head = response("Content-Length: 1")._replace(fields=fields)
        self.assertEqual(self.sent(head, 1), ["A: b", "Content-Length: 1"])


class ReplyTests(SynchronousTestCase):
    def test_reply(self) -> None:
        data = reply_bytes(Reply(302, (("Location", "/x"),)), "GET", "1.1", False, "s")
        head = parse_response(data, "GET")
        self.assertEqual((head.status, head.reason, head.body), (302, "Found", 0))
        self.assertEqual((head.get("location"), head.get("server")), ("/x", "s"))
        self.assertIsNotNone(head.get("date"))

    def test_body(self) -> None:
        reply = error_reply(502)
        data = reply_bytes(reply, "GET", "1.1", True)
        head, _, body = data.partition(b"\r\n\r\n")
        parsed = parse_response(head + b"\r\n\r\n", "GET")
        self.assertEqual((parsed.body, parsed.keep_alive, parsed.get("content-type")), (len(body), False, "text/html"))
        self.assertIn(b"502 Bad Gateway", body)
        without = reply_bytes(reply, "HEAD", "1.1", True)
        self.assertTrue(without.endswith(b"\r\n\r\n"))
        self.assertIn(b"Content-Length: %d\r\n" % len(body), without)
        self.assertIn(b"Connection: keep-alive\r\n", reply_bytes(reply, "GET", "1.0", False))
        self.assertNotIn(b"Server", reply_bytes(reply, "GET", "1.1", False, ""))

    def test_own_fields(self) -> None:
        data = reply_bytes(
            Reply(200, (("content-type", "text/plain"), ("Content-Length", "99")), b"x"), "GET", "1.1", False
        )
        head = parse_response(data[:-1], "GET")
        self.assertEqual((head.get("content-type"), head.body), ("text/plain", 1))

    def test_without_content(self) -> None:
        self.assertNotIn(b"Content-Length", reply_bytes(Reply(204), "GET", "1.1", False))

    def test_no_injection(self) -> None:
        for value in ("/x\r\nSet-Cookie: a", "/x\n", "\r"):
            self.assertRaises(ValueError, reply_bytes, Reply(302, (("Location", value),)), "GET", "1.1", False)

    def test_page_escapes(self) -> None:
        self.assertIn(b"&lt;b&gt;", error_reply(400, "<b>").body)
        self.assertIn(b"799 Unknown", error_reply(799).body)

    def test_date(self) -> None:
        self.assertEqual(len(date_now()), 29)


of_each(globals())
