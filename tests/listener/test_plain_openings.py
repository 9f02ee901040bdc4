"""Opening handshakes in lanes, each implementation. Socket pairs, no reactor."""

from __future__ import annotations

from tests.listener.plain import GET, OK, OPEN, SWITCHING, LaneCase
from tests.transport.loops import TURN
from tests.twins import of_each, python


class OpeningTests(LaneCase):
    """A request for a WebSocket, and the answer."""

    def test_it_opens(self) -> None:
        sent = self.asks(OPEN)
        self.assertEqual(self.passed(OPEN), sent)
        self.assertIn(b"\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX-Known: 1\r\n", sent)
        self.assertEqual((True, True, False), (self.lane.opening, self.lane.flying, self.lane.armed))
        self.assertEqual((len(OPEN), len(sent), False), (self.lane.received, self.lane.sent, self.lane.closing))
        said = self.answers(SWITCHING)
        self.assertEqual(self.returned(SWITCHING), said)
        told = [python["parse_request"](OPEN), (101, b"", len(said), len(SWITCHING))]
        self.assertEqual((told, [], []), (self.lane.told, self.client.told, self.backend.told))
        self.assertEqual((False, False, OPEN), (self.lane.flying, self.lane.armed, self.lane.raw))

    def test_what_comes_right_behind_it(self) -> None:
        self.asks(OPEN)
        said = self.answers(SWITCHING + b"early")
        self.assertEqual(self.returned(SWITCHING), said)
        self.assertEqual((101, b"early", len(said), len(SWITCHING) + 5), self.lane.told[-1])

    def test_the_streams_are_free_then(self) -> None:
        """What they read goes to their protocols."""
        self.lane.ends = lambda: self.lane.close()
        self.asks(OPEN)
        self.answers(SWITCHING)
        self.assertEqual((b"", b""), (self.asks(b"from client"), self.answers(b"from backend")))
        self.assertEqual(([b"from client"], [b"from backend"]), (self.client.told, self.backend.told))

    def test_another_exchange_before(self) -> None:
        """A plain one is none that opens, and the other way round."""
        self.asks(GET)
        self.assertFalse(self.lane.opening)
        self.answers(OK)
        self.assertEqual((200, "text/plain"), self.lane.told[-1][:2])
        self.asks(OPEN)
        self.assertTrue(self.lane.opening)
        self.answers(OK)
        self.assertEqual(("resume", [OK]), (self.lane.told[-1], self.backend.told))


class WaitingTests(LaneCase):
    """There is no connection for it yet."""

    def setUp(self) -> None:
        super().setUp()
        self.lane.goes = lambda host: self.lane
        self.assertEqual(b"", self.asks(OPEN))
        self.assertEqual((True, False), (self.lane.flying, self.lane.armed))
        del self.lane.told[:]

    def test_it_goes(self) -> None:
        request = self.passed(OPEN)
        self.lane.go(self.backend)
        self.loop.turn(TURN)
        self.assertEqual(request, self.take(self.server))
        self.assertEqual((True, self.returned(SWITCHING)), (self.lane.flying, self.answers(SWITCHING)))

    def test_once(self) -> None:
        self.lane.go(self.backend)
        self.lane.go(self.backend)
        self.loop.turn(TURN)
        self.assertEqual(1, self.take(self.server).count(b"GET"))
        self.assertEqual([], self.lane.told)

    def test_who_cannot_be_written_to(self) -> None:
        self.lane.go(object())
        self.assertEqual([("send", b"")], self.lane.told)
        self.assertFalse(self.lane.flying)

    def test_its_head(self) -> None:
        self.assertEqual((OPEN, python["parse_request"](OPEN)), (self.lane.raw, self.lane.head()))

    def test_the_client_says_more(self) -> None:
        self.asks(b"more")
        self.assertEqual((["resume"], [b"more"], False), (self.lane.told, self.client.told, self.lane.flying))

    def test_nobody_waits_any_more(self) -> None:
        for ends in (self.lane.detach, self.lane.close):
            ends()
            self.assertFalse(self.lane.flying)
            self.lane.go(self.backend)
            self.loop.turn(TURN)
            self.assertEqual((b"", []), (self.take(self.server), self.lane.told))


class OtherwiseTests(LaneCase):
    """What else is asked, and answered, goes to the protocols."""

    def test_requests(self) -> None:
        for wrong in (
            OPEN.replace(b": 13", b": 8"), OPEN.replace(b"==", b"=a"), OPEN.replace(b"dGhl", b"dG_l"),
            OPEN.replace(b"X-A: a", b"Sec-WebSocket-Protocol: a"), OPEN.replace(b"X-A", b"TE"),
            OPEN.replace(b"X-A: a", b"Sec-WebSocket-Version: 13"),
            OPEN.replace(b"X-A: a", b"Content-Length: 0"), OPEN.replace(b"GET", b"HEAD"),
            OPEN.replace(b"WebSocket\r\nX", b"websocket, h2c\r\nX"), OPEN.replace(b": Upgrade", b": close, Upgrade"),
            OPEN.replace(b": Upgrade", b": keep-alive"), OPEN + b"x", OPEN.replace(b"1.1", b"1.0"),
        ):  # fmt: skip
            del self.client.told[:]
            self.lane.armed = True
            self.assertEqual(b"", self.asks(wrong))
            self.assertEqual(([wrong], []), (self.client.told, self.lane.told), wrong)

    def test_answers(self) -> None:
        for wrong in (
            SWITCHING.replace(b"s3p", b"S3p"), SWITCHING.replace(b"-Accept", b"-Except"),
            SWITCHING.replace(b"X-B: b", b"Sec-WebSocket-Protocol: b"),
            SWITCHING.replace(b"X-B: b", b"Sec-WebSocket-Extensions: b"),
            SWITCHING.replace(b"X-B: b", b"Content-Length: 0"),
            SWITCHING.replace(b"X-B: b", b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            SWITCHING.replace(b": Upgrade", b": close, Upgrade"), SWITCHING.replace(b"Upgrade: websocket\r\n", b""),
            SWITCHING.replace(b"101", b"200"), SWITCHING.replace(b"101", b"100"), SWITCHING[:-2], b"\r\n\r\n",
        ):  # fmt: skip
            del self.backend.told[:], self.lane.told[:]
            self.lane.armed = True
            self.asks(OPEN)
            self.assertEqual(b"", self.answers(wrong))
            self.assertEqual((["resume"], [wrong]), (self.lane.told[1:], self.backend.told), wrong)


of_each(globals())
