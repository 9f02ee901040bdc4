"""The C twins in `gateway._native.heads` read what the Python ones read, in the same way."""

from __future__ import annotations

import gc
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from gateway.errors import BadRequest
from gateway.http import heads
from gateway.http.limits import DEFAULT, HeadLimits
from gateway.values import RequestHead, ResponseHead
from tests.http.corpus import REQUESTS, RESPONSES
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


class HeadTests(SynchronousTestCase):
    """`parse_request` and `parse_response`."""

    skip = SKIP

    def setUp(self) -> None:
        self.heads = fresh(_native.heads)

    def same(self, name: str, *args: Any) -> bool:
        """Both say the same, whether C declines or not; returns whether it did not."""
        expected = outcome(python[name], *args)
        self.assertEqual(outcome(getattr(_native.heads, name), *args), expected, args)
        found = outcome(getattr(self.heads, name), *args)
        if found == OUTCOME_DECLINED:
            return False
        self.assertEqual(found, expected, args)
        return True

    def test_corpus(self) -> None:
        """What C takes, it takes as Python does; and it takes most of what is well-formed."""
        taken = sum(self.same("parse_request", case.raw) for case in REQUESTS)
        taken += sum(self.same("parse_response", case.raw, case.method) for case in RESPONSES)
        good = sum(not isinstance(case.verdict, int) for case in REQUESTS)
        good += sum(case.verdict is not None for case in RESPONSES)
        self.assertGreater(taken, good / 2)

    def test_usual_heads_are_taken(self) -> None:
        """The first seeds are what browsers and servers send."""
        for raw in REQUEST_SEEDS[:4]:
            self.assertTrue(self.same("parse_request", raw), raw)
        for raw in RESPONSE_SEEDS[:2]:
            self.assertTrue(self.same("parse_response", raw, "GET"), raw)

    @few
    @given(st.sampled_from(REQUEST_SEEDS), EDITS, st.sampled_from([DEFAULT, HeadLimits(120, 3, 6)]))
    def test_almost_requests(self, raw: bytes, edits: list[Edit], limits: HeadLimits) -> None:
        self.same("parse_request", edited(raw, edits), limits)

    @few
    @given(st.sampled_from(RESPONSE_SEEDS), EDITS, st.sampled_from(["GET", "HEAD"]))
    def test_almost_responses(self, raw: bytes, edits: list[Edit], method: str) -> None:
        self.same("parse_response", edited(raw, edits), method, DEFAULT)

    def test_every_byte_everywhere(self) -> None:
        """One byte replaced, left out or put in, at each place of two short heads."""
        request = b"PUT /a HTTP/1.1\r\nHost: a:1\r\nX: y\r\n\r\n"
        response = b"HTTP/1.1 200 O\r\nContent-Length: 1\r\n\r\n"
        for raw, name, others in ((request, "parse_request", ()), (response, "parse_response", ("GET",))):
            for position in range(len(raw)):
                self.same(name, raw[:position] + raw[position + 1 :], *others)
                self.same(name, raw[:position], *others)
                for byte in range(256):
                    self.same(name, raw[:position] + bytes([byte]) + raw[position + 1 :], *others)

    def test_limits(self) -> None:
        """At each limit, one below it and one above it."""
        raw = b"GET /abc HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n"
        for change in (-1, 0, 1):
            for limits in (
                HeadLimits(len(raw) + change), HeadLimits(fields=3 + change), HeadLimits(target=4 + change)
            ):  # fmt: skip
                self.assertEqual(self.same("parse_request", raw, limits), change >= 0)
        for count in (126, 127, 128, 200):
            many = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * count + b"\r\n"
            self.same("parse_request", many)
            self.same("parse_request", many, HeadLimits(fields=999))

    def test_odd_arguments(self) -> None:
        """Whatever is not as usual goes to the Python twin as it is."""
        raw = REQUEST_SEEDS[0]
        for args in ((), (raw, DEFAULT, 1), ("x",), (bytearray(raw),)):
            self.assertFalse(self.same("parse_request", *args))
        for limits in ((1, 2), (1 << 80, 9, 9), (-1, 9, 9), None, [9, 9, 9]):
            self.assertFalse(self.same("parse_request", raw, limits))
        self.assertFalse(self.same("parse_response", RESPONSE_SEEDS[0], None))
        self.assertEqual(self.heads.parse_request(raw, limits=DEFAULT), DECLINED)
        self.assertEqual(heads.parse_request(data=raw, limits=DEFAULT), python["parse_request"](raw))
        self.assertRaises(BadRequest, heads.parse_request, b"", limits=DEFAULT)
        self.assertRaises(ValueError, self.heads.bind, "nothing", len)
        self.assertRaises(TypeError, self.heads.bind, 1)

    def test_memo_of_names(self) -> None:
        """More names than it has places, in all spellings, do not change what is said, nor make memory grow."""

        def round_of_names(start: int) -> None:
            for number in range(start, start + 3000):
                lines = b"X-%d: 1\r\nx-%d: 2\r\n" % (number, number)
                self.assertTrue(self.same("parse_request", b"GET / HTTP/1.1\r\nHost: a\r\n%s\r\n" % lines))

        round_of_names(0)
        gc.collect()
        before = sys.getallocatedblocks()
        round_of_names(3000)
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - before, 500)

    def test_nothing_leaks(self) -> None:
        """Heads that are taken, left and refused, many times."""
        def many() -> None:
            for _ in range(300):
                for raw in REQUEST_SEEDS[:20]:
                    outcome(_native.heads.parse_request, raw)
                for raw in RESPONSE_SEEDS[:20]:
                    outcome(_native.heads.parse_response, raw, "GET")

        many()
        gc.collect()
        blocks, types = sys.getallocatedblocks(), (sys.getrefcount(RequestHead), sys.getrefcount(ResponseHead))
        many()
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - blocks, 200)
        self.assertEqual((sys.getrefcount(RequestHead), sys.getrefcount(ResponseHead)), types)
