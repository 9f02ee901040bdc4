"""Opening handshakes of WebSockets in lanes: everybody sees the same as without one."""

from __future__ import annotations

from typing import Any

from gateway.websocket import frames
from tests.dialogue import GET, HANDSHAKE, OK, SWITCHING, frame
from tests.listener.lane_acts import (
    LIMITS,
    Act,
    LaneCase,
    answers,
    asks,
    at_once,
    backend,
    client,
    is_cut,
    joined,
    passes,
    refused,
    replies,
    said,
    slowly,
    stops,
)
from tests.listener.lanes import World, agree, warmed
from tests.listener.test_lane_reload import another
from tests.messages.test_session import Filter

CLOSE = frame(8, b"\x03\xe8bye", mask=True)
CLOSED = frame(8, b"\x03\xe8bye")
TEXT = frame(1, b"hello", mask=True)


class OpeningCase(LaneCase):
    """`agree` compares what is said, what is logged and how long is waited."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(frames, "masking_key", lambda: bytes(4))  # of close frames

    def opens(self, *acts: Act, opened: int = 1, **options: Any) -> World:
        """A client that comes only for that; so many sessions began in the lane."""
        options.setdefault("limits", LIMITS)
        world = agree(self, [lambda world: world.connects(), *acts], **options)
        self.assertEqual(opened, world.opened)
        self.assertEqual(0, world.ended)
        return world


class SessionTests(OpeningCase):
    """Openings that stay in the lane."""

    def test_a_session(self) -> None:
        talk = [asks(TEXT), answers(frame(1, b"yes")), asks(CLOSE), answers(CLOSED)]
        for wait in ([], [slowly]):
            self.opens(*wait, asks(HANDSHAKE), joined, answers(SWITCHING), *talk)
            self.opens(*wait, asks(HANDSHAKE), joined, answers(SWITCHING), backend("closes"))
            self.opens(*wait, asks(HANDSHAKE), joined, answers(SWITCHING), client("closes"))

    def test_on_a_connection_that_is_there(self) -> None:
        world = agree(self, [warmed, asks(HANDSHAKE), answers(SWITCHING), asks(TEXT), client("closes")], limits=LIMITS)
        self.assertEqual((1, 0, 1), (world.opened, world.ended, len(world.ends)))

    def test_what_comes_right_behind_it(self) -> None:
        self.opens(asks(HANDSHAKE), answers(SWITCHING + frame(1, b"hello") * 3), asks(TEXT), answers(CLOSED))
        self.opens(asks(HANDSHAKE), answers(SWITCHING + CLOSED), asks(CLOSE))
        self.opens(asks(HANDSHAKE), answers(SWITCHING + b"\xff\xff"))
        self.opens(asks(HANDSHAKE), answers(SWITCHING + frame(1, b"a" * 12000)), asks(TEXT), passes(1))
        self.opens(asks(HANDSHAKE), at_once(("b", SWITCHING), ("c", TEXT)))
        self.opens(slowly, asks(HANDSHAKE), joined, answers(SWITCHING + frame(1, b"x")), asks(TEXT))

    def test_fields(self) -> None:
        for line in (
            b"Origin: http://example.com", b"Cookie: a=b", b"Sec-WebSocket-Extensions: permessage-deflate", b"X_A: 1",
            b"X-Forwarded-For: 1.2.3.4",
        ):  # fmt: skip
            self.opens(asks(said(HANDSHAKE, line)), answers(SWITCHING), asks(TEXT))
        for line in (b"Server: x", b"Date: y", b"Set-Cookie: a=b", b"Keep-Alive: 5"):
            self.opens(asks(HANDSHAKE), answers(said(SWITCHING, line)), asks(TEXT))
        self.opens(asks(HANDSHAKE.replace(b"Upgrade: websocket", b"UPGRADE:  WebSocket ")), answers(SWITCHING))
        self.opens(asks(HANDSHAKE.replace(b": Upgrade", b": keep-alive, upgrade")), answers(SWITCHING))
        self.opens(asks(HANDSHAKE), answers(SWITCHING.replace(b"websocket", b"WebSocket")))
        self.opens(asks(HANDSHAKE), answers(SWITCHING.replace(b"101 ", b"101 Why not ")))

    def test_several_backends_and_a_choosy_selector(self) -> None:
        def chooses(world: World) -> None:
            world.pool.heedless = False

        self.opens(asks(HANDSHAKE), answers(SWITCHING), lambda world: world.connects(), backends=3)
        self.opens(chooses, asks(HANDSHAKE), answers(SWITCHING), asks(TEXT), backends=2)

    def test_while_it_stops(self) -> None:
        self.opens(asks(HANDSHAKE), answers(SWITCHING), stops, passes(1), is_cut)
        self.opens(asks(HANDSHAKE), stops, answers(SWITCHING), passes(1), opened=0)
        self.opens(slowly, asks(HANDSHAKE), stops, joined, answers(SWITCHING), passes(1), opened=0)
        world = self.opens(slowly, asks(HANDSHAKE), is_cut, joined, opened=0)
        self.assertEqual(1, world.road.given_up)
        self.opens(stops, asks(HANDSHAKE), answers(SWITCHING), opened=0, used=False)

    def test_after_a_reload(self) -> None:
        self.opens(asks(HANDSHAKE), another(), answers(SWITCHING), asks(TEXT), opened=0)
        self.opens(slowly, asks(HANDSHAKE), another(), joined, answers(SWITCHING), asks(TEXT), opened=0)
        self.opens(asks(HANDSHAKE), answers(SWITCHING), another(), asks(TEXT))


class OtherwiseTests(OpeningCase):
    """What is not plain, at whatever point."""

    def test_requests(self) -> None:
        for wrong in (
            HANDSHAKE.replace(b": 13", b": 12"), HANDSHAKE.replace(b"Sec-WebSocket-Version: 13\r\n", b""),
            HANDSHAKE.replace(b"==", b"="), HANDSHAKE.replace(b"==", b"==="), HANDSHAKE.replace(b"==", b"=a"),
            said(HANDSHAKE, b"Sec-WebSocket-Version: 13"), said(HANDSHAKE, b"Sec-WebSocket-Key: " + b"A" * 22 + b"=="),
            said(HANDSHAKE, b"Sec-WebSocket-Protocol: chat"), said(HANDSHAKE, b"Sec-WebSocket-Protocol: a, a"),
            said(HANDSHAKE, b"Content-Length: 0"), said(HANDSHAKE, b"Content-Length: 1") + b"x",
            said(HANDSHAKE, b"Transfer-Encoding: chunked") + b"0\r\n\r\n", said(HANDSHAKE, b"TE: trailers"),
            said(HANDSHAKE, b"Expect: 100-continue"), HANDSHAKE.replace(b"GET", b"POST"),
            HANDSHAKE.replace(b"1.1", b"1.0"), HANDSHAKE.replace(b": Upgrade", b": close, Upgrade"),
            HANDSHAKE.replace(b": Upgrade", b": Upgrade, Sec-WebSocket-Key"),
            HANDSHAKE.replace(b": Upgrade", b": close"), HANDSHAKE.replace(b": websocket", b": h2c"),
            HANDSHAKE.replace(b": websocket", b": websocket, h2c"),
            said(HANDSHAKE, b"Upgrade: websocket"), HANDSHAKE.replace(b": Upgrade", b": x-a, Upgrade"),
        ):  # fmt: skip
            self.opens(asks(wrong), replies(), asks(TEXT), passes(1), opened=0, used=False)
        self.opens(asks(HANDSHAKE + TEXT), answers(SWITCHING), opened=0, used=False)
        self.opens(asks(HANDSHAKE, 20), answers(SWITCHING), opened=0, used=False)

    def test_answers(self) -> None:
        accept = b"Sec-WebSocket-Accept: "
        for wrong in (
            OK, b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 426 Up\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 No\r\nContent-Length: 3\r\nWWW-Authenticate: x\r\n\r\nno!", b"nonsense\r\n\r\n",
            b"HTTP/1.1 100 Go\r\n\r\n" + SWITCHING, b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + SWITCHING,
            SWITCHING.replace(accept, accept + b"x"), SWITCHING.replace(accept, b"X-Accept: "),
            said(SWITCHING, accept + b"again"), said(SWITCHING, b"Content-Length: 0"),
            said(SWITCHING, b"Transfer-Encoding: chunked"), said(SWITCHING, b"Sec-WebSocket-Protocol: chat"),
            said(SWITCHING, b"Sec-WebSocket-Extensions: permessage-deflate"),
            SWITCHING.replace(b"Upgrade: websocket\r\n", b""), SWITCHING.replace(b": websocket", b": h2c"),
            SWITCHING.replace(b": Upgrade", b": close, Upgrade"), SWITCHING.replace(b": Upgrade", b": Server, Upgrade"),
            SWITCHING.replace(b"1.1", b"1.0"), SWITCHING.replace(b"\r\n\r\n", b"\r\nX: a\0b\r\n\r\n"),
        ):  # fmt: skip
            self.opens(asks(HANDSHAKE), answers(wrong), asks(TEXT), passes(1), opened=0)
        offered = said(HANDSHAKE, b"Sec-WebSocket-Extensions: permessage-deflate")
        agreed = said(SWITCHING, b"Sec-WebSocket-Extensions: permessage-deflate")
        self.opens(asks(offered), answers(agreed), asks(TEXT), answers(b"\xc1\x00"), opened=0)
        for cut in (1, 30, len(SWITCHING) - 1):
            self.opens(asks(HANDSHAKE), answers(SWITCHING, cut), asks(TEXT), opened=0)

    def test_the_backend_fails(self) -> None:
        again = [joined, answers(SWITCHING), asks(TEXT)]
        for wait in ([], [slowly]):
            self.opens(*wait, asks(HANDSHAKE), joined, backend("closes"), *again, opened=0)
            self.opens(*wait, asks(HANDSHAKE), joined, backend("half_closes"), *again, opened=0)
            self.opens(*wait, asks(HANDSHAKE), joined, backend("closes"), joined, backend("closes"), opened=0)
            self.opens(*wait, asks(HANDSHAKE), joined, passes(31), opened=0)

    def test_it_is_refused(self) -> None:
        self.opens(slowly, asks(HANDSHAKE), refused, opened=0)
        self.opens(slowly, asks(HANDSHAKE), refused, joined, answers(SWITCHING), asks(TEXT), opened=0, backends=2)
        self.opens(slowly, asks(HANDSHAKE), refused, refused, refused, opened=0, backends=3)

        def refuses(world: World) -> None:
            world.road.refuses = True

        self.opens(refuses, asks(HANDSHAKE), opened=0, backends=2)

    def test_the_client_does_something_while_there_is_no_connection(self) -> None:
        self.opens(slowly, asks(HANDSHAKE), passes(20), joined, answers(SWITCHING), asks(TEXT))
        for act in (asks(TEXT), asks(GET), asks(b"x" * 20000), client("half_closes"), another()):
            self.opens(slowly, asks(HANDSHAKE), act, joined, replies(), asks(TEXT), opened=0)
            self.opens(slowly, asks(HANDSHAKE), act, refused, opened=0)
        self.opens(slowly, asks(HANDSHAKE), client("closes"), opened=0)

    def test_the_client_does_something_before_the_answer(self) -> None:
        self.opens(asks(HANDSHAKE), passes(5), answers(SWITCHING), asks(TEXT))
        for act in (asks(TEXT), asks(GET), client("half_closes")):
            self.opens(asks(HANDSHAKE), act, answers(SWITCHING), asks(TEXT), opened=0)
        self.opens(asks(HANDSHAKE), client("closes"), opened=0)

    def test_there_is_no_backend(self) -> None:
        def fails(world: World) -> None:
            world.pool.set_health(world.pool.backends[0], False, "as the test wants it")

        self.opens(fails, asks(HANDSHAKE), opened=0)

    def test_messages_are_looked_at(self) -> None:
        self.opens(asks(HANDSHAKE), answers(SWITCHING), asks(TEXT), opened=0, filters=[Filter()])

    def test_connections_of_its_own(self) -> None:
        own = {"dedicated_backend_connection": True}
        self.opens(asks(HANDSHAKE), answers(SWITCHING), asks(TEXT), opened=0, settings=own)

    def test_another_request_after_a_refusal(self) -> None:
        """What was noted of the opening is not taken for the next exchange's."""
        no = b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nno!"
        acts = [asks(HANDSHAKE), answers(no), asks(), answers(), asks(), client("closes")]
        agree(self, [lambda world: world.connects(), *acts], limits=LIMITS)
