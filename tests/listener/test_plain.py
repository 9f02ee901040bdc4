"""Lanes, each implementation: plain exchanges, and what else is handed over. Socket pairs, no reactor.

What lanes mean to a gateway: `tests.listener.test_lane`.
"""

from __future__ import annotations

import re

from gateway.http.limits import DEFAULT
from tests.listener.plain import GET, MOST, OK, POST, PREFIX, LaneCase
from tests.transport.loops import TURN
from tests.twins import of_each, python


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

    def test_a_long_answer(self) -> None:
        """It is passed on as it comes, and counted when it is over."""
        long = OK.replace(b": 2", b": 300000")[:-2]
        for _ in range(2):
            del self.lane.told[:]
            self.asks()
            said = self.answers(long + b"ok")
            self.assertEqual((True, 299998, 200), (self.lane.flying, self.lane.left, self.lane.status))
            self.assertEqual(("text/plain", len(long) + 2), (self.lane.content_type, self.lane.answered))
            self.assertEqual(len(said), self.lane.passed)
            for size in (1, 150000, 149996):
                said += self.answers(b"x" * size)
            self.assertEqual((1, True), (self.lane.left, self.lane.flying))
            said += self.answers(b"y")
            self.assertEqual((0, False, True), (self.lane.left, self.lane.flying, self.lane.armed))
            self.assertEqual(self.returned(long) + b"ok" + b"x" * 299997 + b"y", said)
            self.assertEqual((200, "text/plain", len(said), len(long) + 300000), self.lane.told[-1])
            self.assertEqual({("goes on", said[1]) for said in self.lane.told[1:-1]}, set(self.lane.told[1:-1]))
            self.assertGreaterEqual(len(self.lane.told), 6)
        self.assertEqual(([], []), (self.client.told, self.backend.told))

    def test_its_head(self) -> None:
        """It is made when it is asked for: while it is decided where it goes, and until the exchange is over."""
        made = []
        self.lane.goes = lambda host: made.append((host, self.lane.raw, self.lane.head())) or self.backend
        head = python["parse_request"](POST[:-5])
        self.assertRaises(RuntimeError, self.lane.head)
        for _ in range(2):
            self.asks(POST)
            self.assertEqual([("a.example", POST[:-5], head)], made)
            self.assertEqual((POST[:-5], head), (self.lane.raw, self.lane.head()))
            self.assertIsNot(made.pop()[2], self.lane.head())
            self.lane.ends = lambda: made.append(self.lane.raw)
            self.answers()
            self.assertEqual([POST[:-5]], made)
            made.clear()
            self.assertIsNone(self.lane.raw)
            self.assertRaises(RuntimeError, self.lane.head)

    def test_its_head_when_the_exchange_goes_on_without_it(self) -> None:
        self.asks()
        self.lane.detach()
        self.assertIsNone(self.lane.raw)
        self.lane.armed = True
        self.lane.goes = lambda host: None
        self.asks()
        self.assertIsNone(self.lane.raw)

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
        self.assertRegex(said.decode(), "\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n")

    def test_limits(self) -> None:
        for limits in (DEFAULT._replace(head=len(GET) - 1), DEFAULT._replace(fields=0), DEFAULT._replace(target=3)):
            self.lane.close()
            self.lane = self.make(self.client, limits)
            self.lane.goes = lambda host: self.backend
            del self.client.told[:]
            self.assertEqual(b"", self.asks())
            self.assertEqual([GET], self.client.told)
        for size, passes in ((MOST, True), (MOST + 1, False)):
            self.lane.close()
            self.lane = self.make(self.client)
            self.lane.goes = lambda host: self.backend
            sent = self.asks(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            self.assertEqual(passes, sent != b"")


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
        for said in (OK[:9], OK + b"x", b"HTTP/1.1 100 Go\r\n\r\n"):
            self.lane.armed = True
            self.lane.told.clear()
            self.asks()
            self.assertEqual(b"", self.answers(said))
            self.assertEqual((["resume"], [said]), (self.lane.told[1:], self.backend.told))
            self.backend.told.clear()

    def test_more_than_was_promised(self) -> None:
        self.asks()
        self.answers(OK[:-1])
        self.assertEqual(b"", self.answers(b"kx"))
        self.assertEqual((["resume"], [b"kx"]), (self.lane.told[-1:], self.backend.told))
        self.assertEqual((1, len(OK) - 1), (self.lane.left, self.lane.answered))

    def test_a_client_that_stops_taking_it(self) -> None:
        self.asks()
        self.answers(OK[:-1])
        self.client._direct = False
        self.assertEqual(b"", self.answers(b"k"))
        self.assertEqual((["resume"], [b"k"]), (self.lane.told[-1:], self.backend.told))

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

of_each(globals())
