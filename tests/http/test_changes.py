"""`gateway.http.changes`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.changes import checked_reply, checked_request, checked_response, field_fault, with_fields
from gateway.http.forwarding import request_bytes, response_bytes
from gateway.http.heads import parse_request, parse_response
from gateway.values import CHUNKED, Reply

POST = (
    b"POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nCookie: a=1\r\nCookie: b=2\r\n"
    b"X-One: 1\r\nx-one: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"


class WithFieldsTests(SynchronousTestCase):
    """`with_fields`."""

    def test_request(self) -> None:
        head = with_fields(parse_request(POST), set=[("X-ONE", "3")], add=[("Cookie", "c=3")], remove=["x-none"])
        self.assertEqual(("3", "a=1; b=2; c=3", CHUNKED), (head.get("x-one"), head.get("cookie"), head.body))
        self.assertEqual([("X-ONE", "3")], [field for field in head.fields if field[0].lower() == "x-one"])

    def test_response(self) -> None:
        head = with_fields(parse_response(OK, "GET"), remove=["set-cookie"])
        self.assertEqual([("Content-Length", "5")], list(head.fields))


class CheckedTests(SynchronousTestCase):
    """What a plugin made of a head."""

    def test_unchanged(self) -> None:
        request, response = parse_request(POST), parse_response(OK, "GET")
        self.assertEqual(request, checked_request(request, request))
        self.assertEqual(response, checked_response(response, response))

    def test_framing_is_the_gateways(self) -> None:
        before = parse_request(POST)
        after = with_fields(
            before, set=[("Content-Length", "1"), ("Connection", "close")], remove=["Transfer-Encoding"]
        )
        checked = checked_request(before, after._replace(body=1, version="1.0", nominated=(), keep_alive=False))
        self.assertEqual(
            request_bytes(before, "/a", "h", "", CHUNKED), request_bytes(checked, "/a", "h", "", checked.body)
        )
        one = parse_response(OK, "GET")
        other = checked_response(one, with_fields(one, set=[("Content-Length", "1"), ("Date", "now")])._replace(body=1))
        self.assertIn(b"Content-Length: 5\r\n", response_bytes(other, "1.1", other.body, False))

    def test_what_is_set_stays(self) -> None:
        """A peer cannot have a field dropped that a plugin sets by calling it hop-by-hop."""
        before = parse_request(POST)
        for value, nominated in (("2", before.nominated), ("1", ())):
            after = with_fields(before, set=[("X-Hop", value)])._replace(nominated=nominated)
            sent = request_bytes(checked_request(before, after), "/a", "h", "", CHUNKED)
            self.assertIn(b"X-Hop: %s\r\n" % value.encode(), sent)
        other = with_fields(before, set=[("X-Other", "1")])
        self.assertNotIn(b"X-Hop", request_bytes(checked_request(before, other), "/a", "h", "", CHUNKED))

    def test_what_cannot_be_forwarded(self) -> None:
        before = parse_request(POST)
        changes: list[dict[str, Any]] = [
            {"method": "CONNECT"}, {"method": "TRACE"}, {"method": "A B"}, {"method": "HEAD"}, {"target": "x"},
            {"target": "/a b"}, {"target": "/a\r\n"}, {"target": "/#"}, {"target": "/\xe4"}, {"host": "a/b"},
            {"host": ""}, {"fields": [("a b", "c")]}, {"fields": [("a", "b\nc")]}, {"fields": [("a", "\0")]},
            {"fields": [("a", "\u20ac")]},
            {"fields": [("a", "b")] * 513}, {"fields": [("a", "b" * 300000)]},
        ]  # fmt: skip
        for change in changes:
            self.assertRaises(ValueError, checked_request, before, before._replace(**change))
        response = parse_response(OK, "GET")
        for change in (
            {"status": 204}, {"status": 304}, {"status": 101}, {"status": 600}, {"status": "200"}, {"reason": "a\r\n"},
        ):  # fmt: skip
            self.assertRaises(ValueError, checked_response, response, response._replace(**change))  # type: ignore[arg-type]

    def test_what_can(self) -> None:
        before = parse_request(POST)
        changed = checked_request(before, before._replace(method="PUT", target="/b?c=%20", host="[::1]:8080"))
        self.assertEqual(("PUT", "/b?c=%20", "[::1]:8080"), changed[:2] + (changed.host,))
        response = parse_response(OK, "GET")
        self.assertEqual(503, checked_response(response, response._replace(status=503, reason="Busy")).status)

    def test_reply(self) -> None:
        reply = checked_reply(Reply(401, [("A", "b"), ("Transfer-Encoding", "chunked"), ("content-length", "9")], b"x"))
        self.assertEqual(Reply(401, (("A", "b"),), b"x"), reply)
        for wrong in (
            Reply(101),
            Reply("200"),
            Reply(200, (("A:", "b"),)),
            Reply(200, (("A", "\r"),)),
            Reply(200, (), "x"),
        ):  # type: ignore[arg-type]
            self.assertRaises(ValueError, checked_reply, wrong)

    def test_field_fault_quotes_no_value(self) -> None:
        self.assertEqual("", field_fault("A", "b\tc \xe4"))
        self.assertNotIn("secret", field_fault("A", "secret\n"))
        self.assertIn("'A B'", field_fault("A B", ""))
