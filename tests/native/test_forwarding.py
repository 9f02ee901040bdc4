"""The C twins in `gateway._native.forwarding` write what the Python ones write."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from gateway.http import forwarding, heads
from gateway.values import CHUNKED, UNTIL_CLOSE
from tests.native.cases import (
    DECLINED,
    EDITS,
    OUTCOME_DECLINED,
    REQUEST_SEEDS,
    RESPONSE_SEEDS,
    Edit,
    edited,
    fresh,
    outcome,
)
from tests.twins import SKIP, python

few = settings(max_examples=400, deadline=None, database=None)

_BODIES = st.sampled_from([0, 1, 123, 999999999999999999, CHUNKED, UNTIL_CLOSE])


class ForwardingTests(SynchronousTestCase):
    """`request_bytes` and `response_bytes`."""

    skip = SKIP

    def setUp(self) -> None:
        self.patch(forwarding, "date_now", lambda: "now")
        self.forwarding = fresh(
            _native.forwarding,
            request_stays=forwarding.request_stays,
            response_stays=forwarding.response_stays,
            date_now=forwarding.date_now,
        )

    def same(self, name: str, *args: Any) -> bool:
        """Both write the same, or C declines; returns whether it did not."""
        expected = outcome(python[name], *args)  # first: it fills the memo of names
        found = outcome(getattr(self.forwarding, name), *args)
        if found == OUTCOME_DECLINED:
            return False
        self.assertEqual(found, expected, args)
        return True

    @few
    @given(st.sampled_from(REQUEST_SEEDS), EDITS, _BODIES, st.sampled_from(["", "X-Added: 1\r\n"]), st.booleans())
    def test_requests(self, raw: bytes, edits: list[Edit], body: int, added: str, upgrade: bool) -> None:
        try:
            head = heads.parse_request(edited(raw, edits))
        except Exception:
            return
        self.same("request_bytes", head, head.target, head.host, added, body, upgrade)
        self.same("request_bytes", head, "/\xe4", "b", added, body)

    @few
    @given(
        st.sampled_from(RESPONSE_SEEDS),
        EDITS,
        _BODIES,
        st.sampled_from(["1.1", "1.0", ""]),
        st.booleans(),
        st.booleans(),
    )
    def test_responses(
        self, raw: bytes, edits: list[Edit], body: int, version: str, close: bool, upgrade: bool
    ) -> None:
        try:
            head = heads.parse_response(edited(raw, edits), "GET")
        except Exception:
            return
        self.same("response_bytes", head, version, body, close, upgrade)
        self.same("response_bytes", head, version, body, close)

    def test_usual_heads_are_taken(self) -> None:
        for raw in REQUEST_SEEDS[1:3]:
            head = heads.parse_request(raw)
            self.assertTrue(self.same("request_bytes", head, head.target, "b", "", head.body, bool(head.upgrade)), raw)
        for raw in RESPONSE_SEEDS[:2]:
            answer = heads.parse_response(raw, "GET")
            self.assertTrue(self.same("response_bytes", answer, "1.1", answer.body, False, bool(answer.upgrade)), raw)

    def test_an_unknown_name_is_asked_for(self) -> None:
        """Whether a line stays is Python's to say: a name that is not in its memo is not written by C."""
        head = heads.parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nNever-Seen-Before: 1\r\n\r\n")
        forwarding.request_stays.pop("Never-Seen-Before", None)
        self.assertEqual(self.forwarding.request_bytes(head, "/", "a", "", 0), DECLINED)
        self.assertTrue(self.same("request_bytes", head, "/", "a", "", 0))

    def test_changed_heads(self) -> None:
        """Heads as plugins may leave them: other types, other shapes."""
        head, answer = heads.parse_request(REQUEST_SEEDS[1]), heads.parse_response(RESPONSE_SEEDS[0], "GET")
        for fields in (
            (), (("A", "b"),), [("A", 1)], [("A",)], [["A", "b"]], [(1, "b")], None, [("A", "\u20ac")],
            [("A", "\ud800")],
        ):  # fmt: skip
            self.same("request_bytes", head._replace(fields=fields), "/", "a", "", 0)
            self.same("response_bytes", answer._replace(fields=fields), "1.1", 0, False)
        for change in (
            {"index": {}}, {"index": None}, {"body": True}, {"body": None}, {"nominated": ("x-a",)}, {"nominated": []},
            {"version": "1.0"}, {"version": None},
        ):  # fmt: skip
            self.same("request_bytes", head._replace(**change), "/", "a", "", 0, True)
            self.same("response_bytes", answer._replace(**change), "1.1", 0, False, True)
        for status in (99, 100, 204, 426, 999, 1000, True, None, 1 << 70):
            self.same("response_bytes", answer._replace(status=status), "1.1", 3, False)
        for body in (1 << 62, 1 << 63, True, None, 1.0):
            self.same("request_bytes", head, "/", "a", "", body)
            self.same("response_bytes", answer, "1.1", body, False)
        odd: tuple[Any, ...]
        for odd in (
            (), (head,), tuple(head), (head, "/", "a", "", 0, 1), (answer, "1.1", 0, None), (answer, None, 0, False)
        ):  # fmt: skip
            self.same("request_bytes", *odd)
            self.same("response_bytes", *odd)
        many = [("A", "b")] * 400
        self.same("request_bytes", head._replace(fields=many), "/", "a", "", 0)

    def test_the_date_is_asked_for_once_a_second(self) -> None:
        """A Date comes from Python, and with the next second a new one; what Python raises there goes through.

        C looks at the real clock, so that this test waits for it.
        """
        answer = heads.parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET")
        asked: list[int] = []
        self.forwarding.bind("date_now", lambda: asked.append(1) or f"number {len(asked)}")
        begin = time.time()
        while time.time() < begin + 2 and len(asked) < 2:
            data = self.forwarding.response_bytes(answer, "1.1", 0, False)
            self.assertIn(b"\r\nDate: number %d\r\n" % len(asked), data)
        self.assertEqual(len(asked), 2)
        failing = fresh(_native.forwarding, response_stays=forwarding.response_stays, date_now=lambda: 1 // 0)
        self.assertRaises(ZeroDivisionError, failing.response_bytes, answer, "1.1", 0, False)
