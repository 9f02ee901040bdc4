"""`gateway.http.changes`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.changes import (
    checked_reply,
    checked_request,
    checked_response,
    field_fault,
    said,
    set_since,
    with_fields,
)
from gateway.http.forwarding import request_bytes, response_bytes
from gateway.http.heads import parse_request, parse_response
from gateway.testing import request_head
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

    def test_what_may_not_go_on(self) -> None:
        """What is removed may not, whether it is there or not; what is set or added may, whatever the peer says."""
        before = parse_request(POST)
        self.assertEqual(("x-hop",), with_fields(before, set=[("X-New", "1")], add=[("X-New", "2")]).nominated)
        gone = with_fields(before, remove=["X-One", "X-None", "x-hop"])
        self.assertEqual(("x-hop", "x-one", "x-none"), gone.nominated)
        self.assertEqual(("x-none",), with_fields(gone, set=[("X-Hop", "1")], add=[("X-ONE", "1")]).nominated)
        self.assertEqual((), with_fields(before, set=[("X-Hop", "1")], remove=["X-Hop"]).nominated)
        added = with_fields(before, add=[("x-hop", "2")])
        self.assertEqual(("2", ()), (added.get("x-hop"), added.nominated))
        response = with_fields(parse_response(OK, "GET"), remove=["X-None"])
        self.assertEqual((), checked_response(parse_response(OK, "GET"), response).nominated, "it has a head only")


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

    def test_what_is_set_to_the_same_stays(self) -> None:
        """Nor by sending what the plugin sets."""
        before = parse_request(POST)
        name = before.fields[-1][0]
        self.assertEqual("X-Hop", name)
        left = [(name, value) for name, value in before.fields if name != "X-Hop"]
        again = [*left, ("".join(["X-", "Hop"]), "1")]
        for after in (
            with_fields(before, set=[("X-Hop", "1")]),
            with_fields(before, add=[("X-Hop", "1")]),
            with_fields(before, set=[(name, "1")]),
            before._replace(fields=again),
            before._replace(fields=[*before.fields, again[-1]]),
            before._replace(fields=[*left, (name, "1")], nominated=()),
        ):
            checked = checked_request(before, after)
            sent = request_bytes(checked, "/a", "h", "", CHUNKED)
            self.assertEqual((1, ()), (sent.count(b"X-Hop: 1\r\n"), checked.nominated))
        for after in (before._replace(fields=[*left, (name, "1")]), before._replace(fields=left, nominated=())):
            checked = checked_request(before, after)
            self.assertNotIn(b"X-Hop", request_bytes(checked, "/a", "h", "", CHUNKED))
        beside = checked_request(before, before._replace(fields=[*before.fields, ("X-Hop", "2")]))
        self.assertEqual(["2"], [value for name, value in beside.fields if name == "X-Hop"], "the peer's goes")

    def test_one_letter(self) -> None:
        """Such a name is the same object, whoever says it."""
        before = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nConnection: a\r\n\r\n")
        checked = checked_request(before, with_fields(before, set=[("A", "1")]))
        self.assertIn(b"\r\nA: 1\r\n", request_bytes(checked, "/", "a", "", 0))

    def test_a_response_too(self) -> None:
        before = parse_response(OK[:-2] + b"Connection: x-hop\r\nX-Hop: 1\r\n\r\n", "GET")
        checked = checked_response(before, with_fields(before, set=[("X-Hop", "1")]))
        self.assertEqual(1, response_bytes(checked, "1.1", checked.body, False).count(b"X-Hop: 1\r\n"))

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
        strange = response._replace(status=999)
        self.assertEqual("1", checked_response(strange, with_fields(strange, set=[("X", "1")])).get("x"))

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


class SaidTests(SynchronousTestCase):
    """`said` and `set_since`."""

    made = "X-Forwarded-For: 10.0.0.9:1\r\nX-Forwarded-Proto: http\r\n"

    def says(self, *came: tuple[str, str], by_proxy: bool = True, **changes: Any) -> list[str]:
        """What is said besides what the gateway makes, after a plugin has changed what came."""
        head = request_head(fields=[("Host", "a"), *came])
        more = "".join([f"{name}: {value}\r\n" for name, value in came]) if by_proxy else ""
        lines = said(f"{self.made}{more}", head.fields, with_fields(head, **changes).fields)
        self.assertTrue(lines.endswith("\r\n"))
        return lines.removeprefix(self.made).split("\r\n")[:-1]

    def test_a_line_that_is_left_has_its_name(self) -> None:
        old = [("X-One", "1"), ("X-Two", "2")]
        same = "".join(["X-", "One"])
        self.assertEqual([], set_since(old, [(name, value) for name, value in old]))
        self.assertEqual([(same, "1"), ("X-Two", "3")], set_since(old, [(same, "1"), ("X-Two", "3"), old[0]]))

    def test_nothing_is_changed(self) -> None:
        user = ("X-Forwarded-User", "ann")
        self.assertEqual(["X-Forwarded-User: ann"], self.says(user, set=[("X-Other", "1")]))
        self.assertEqual([], self.says(user, by_proxy=False, set=[("X-Other", "1")]))

    def test_of_a_stranger(self) -> None:
        user, same = ("X-Forwarded-User", "ann"), ("".join(["X-Forwarded", "-User"]), "ann")
        for changes in {"set": [same]}, {"add": [same]}:
            self.assertEqual(["X-Forwarded-User: ann"], self.says(user, by_proxy=False, **changes))
        names = ["X-Forwarded-User", "x-forwarded-proto"]
        self.assertEqual([], self.says(user, ("X-Forwarded-Proto", "http"), by_proxy=False, remove=names))

    def test_of_a_proxy(self) -> None:
        user, host = ("X-Forwarded-User", "ann"), ("X-Forwarded-Host", "shop.test")
        self.assertEqual(["X-Forwarded-Host: shop.test"], self.says(user, host, remove=["X-Forwarded-User"]))
        said_so = self.says(user, host, host, set=[("x-forwarded-host", "b")])
        self.assertEqual(["X-Forwarded-User: ann", "x-forwarded-host: b"], said_so)
        beside = self.says(user, add=[("X-Forwarded-User", "b")])
        self.assertEqual(["X-Forwarded-User: ann", "X-Forwarded-User: b"], beside)

    def test_in_place_of_what_the_gateway_makes(self) -> None:
        lines = said(self.made, (), [("X-FORWARDED-PROTO", "https")])
        self.assertEqual("X-Forwarded-For: 10.0.0.9:1\r\nX-FORWARDED-PROTO: https\r\n", lines)

    def test_in_place_of_what_others_said(self) -> None:
        lines = said(f"{self.made}X-Forwarded-Extra: 1\r\n", (), [("X-Forwarded-Extra", "2")])
        self.assertEqual(f"{self.made}X-Forwarded-Extra: 2\r\n", lines)
