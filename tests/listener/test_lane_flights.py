"""A request is in a lane, and something happens: everybody sees the same as without one."""

from __future__ import annotations

from tests.dialogue import GET, HANDSHAKE, OK, POST
from tests.listener.lane_acts import (
    AGAIN,
    LARGE,
    LIMITS,
    PATCH,
    LaneCase,
    answers,
    asks,
    at_once,
    backend,
    client,
    healthy,
    is_cut,
    passes,
    reads,
    stops,
)
from tests.listener.lanes import World, agree, warmed


class FlightTests(LaneCase):
    """A request is on its way in the lane, and something happens."""

    def test_the_client_asks_on(self) -> None:
        for more in (GET, GET + AGAIN, POST, GET[:10], b"\r\n", b"\r\n" + GET, b"nonsense\r\n\r\n", HANDSHAKE):
            self.same(asks(), asks(more), answers(), answers(), answers(), asks(), ended=0)

    def test_in_the_same_round(self) -> None:
        for request in (GET, POST):
            self.same(at_once(("c", request), ("b", OK)), answers(), ended=1)
            self.same(asks(request), at_once(("b", OK), ("c", AGAIN)), answers(), ended=2)
            self.same(asks(request), at_once(("c", AGAIN), ("b", OK)), answers(), asks(), answers(), ended=1)

    def test_the_client_half_closes(self) -> None:
        self.same(asks(), client("half_closes"), answers(), ended=0)
        self.same(asks(POST), client("half_closes"), passes(100), ended=0)
        self.same(asks(), answers(), client("half_closes"), ended=1)

    def test_the_client_leaves(self) -> None:
        self.same(asks(), client("closes"), ended=0)
        self.same(asks(), client("closes"), answers(), ended=0)
        self.same(asks(POST), answers(), client("closes"), ended=1)

    def test_the_client_resets(self) -> None:
        """With something unread in its socket, that is what closing is."""
        self.same(asks(), reads(False), answers(), asks(AGAIN), client("closes"), ended=1)

    def test_the_backend_closes(self) -> None:
        """One without a body is sent again, on a new connection, once."""
        self.same(asks(), backend("half_closes"), answers(), ended=0)
        self.same(asks(), backend("closes"), answers(), asks(), answers(), ended=1)
        self.same(asks(), backend("closes"), backend("closes"), ended=0)
        self.same(asks(POST), backend("half_closes"), answers(), ended=0)
        self.same(asks(PATCH), backend("closes"), answers(), ended=0)

    def test_a_stale_connection(self) -> None:
        """It was closed while nobody looked."""
        for request in (GET, POST):
            for closes in ("shutdown", "close"):

                def is_left(world: World, closes: str = closes, request: bytes = request) -> None:
                    sock = world.ends[-1].sock
                    if closes == "close":
                        sock.close()
                    else:
                        sock.shutdown(1)
                    world.people[0].puts(request)

                self.same(is_left, answers(), asks(), answers(), ended=1)

    def test_nobody_is_there_when_it_is_sent_again(self) -> None:
        self.same(
            asks(), lambda world: setattr(world.road, "refuses", True), backend("closes"),
            lambda world: setattr(world.road, "refuses", False), asks(), answers(), ended=0,
        )  # fmt: skip

    def test_the_backend_closes_after_a_byte(self) -> None:
        for said in (OK[:1], OK[:30], OK[:-1], b"HTTP/1.1 100 Continue\r\n\r\n"):
            self.same(asks(), answers(said), backend("half_closes"), asks(), answers(), ended=0)
            self.same(asks(), answers(said), backend("closes"), ended=0)
        self.same(asks(), at_once(("b", OK)), backend("half_closes"), asks(), answers(), ended=1)

    def test_the_backend_says_more_afterwards(self) -> None:
        self.same(asks(), answers(), answers(), asks(), answers(), ended=1)

    def test_the_backend_spoke_before_it_was_asked(self) -> None:
        self.same(answers(), asks(), answers(), ended=0, backends=1)
        self.same(at_once(("b", OK), ("c", GET)), answers(), ended=0)

    def test_the_backend_is_slow(self) -> None:
        settings = {"request_timeout": 7}
        self.same(asks(), passes(6.9), answers(), passes(0.05), asks(), answers(), settings=settings, ended=2)
        self.same(asks(), passes(7.2), answers(), asks(), answers(), settings=settings, ended=0)
        self.same(asks(), answers(OK[:20]), passes(6.9), answers(OK[20:]), settings=settings, ended=0)
        self.same(asks(), answers(OK[:20]), passes(7.2), settings=settings, ended=0)
        self.same(asks(), answers(OK[:-1]), passes(7.2), settings=settings, ended=0)

    def test_the_backend_does_not_read(self) -> None:
        large = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
        settings = {"request_timeout": 7}

        def stops_reading(world: World) -> None:
            world.ends[-1].reads = False

        for then, ended in (
            ([answers()], 0), ([passes(20)], 0), ([backend("closes")], 0), ([client("half_closes"), answers()], 0),
            ([client("closes")], 0), ([asks(), answers(), answers()], 1), ([answers(OK[:9]), passes(7.2)], 0),
        ):  # fmt: skip
            begins = [asks(large), answers(), stops_reading, asks(large)]  # the first of them is not read at once
            self.same(*begins, *then, asks(), answers(), ended=ended, buffer=5000, settings=settings)

    def test_the_gateway_stops(self) -> None:
        for request in (GET, POST):
            self.same(asks(request), stops, answers(), ended=0)
            self.same(asks(request), answers(), stops, ended=1)
            self.same(asks(request), is_cut, answers(), ended=0)
            self.same(asks(request), stops, passes(40), ended=0)

    def test_a_backend_that_goes_away_meanwhile(self) -> None:
        def leaves(world: World) -> None:
            world.upstreams[world.pool.backends[0]].close()

        self.same(asks(), healthy(False), answers(), asks(), healthy(True), asks(), answers(), ended=2)
        self.same(asks(), leaves, answers(), asks(), answers(), ended=1)


class TimeTests(LaneCase):
    """Deadlines that follow an exchange in the lane."""

    def test_keep_alive(self) -> None:
        """Closed when its time has come, not earlier; `agree` compares the deadlines themselves."""
        for request in (GET, POST):
            self.same(passes(8), asks(request), passes(3), answers(), passes(9.8), asks(), answers(), ended=2)
            world = World(self, True, limits=LIMITS)
            person = warmed(world)
            for act in (passes(8), asks(request), passes(3), answers(), passes(9.9)):
                act(world)
            person.takes()
            self.assertEqual("", person.ending)
            passes(0.4)(world)
            person.takes()
            self.assertEqual("eof", person.ending)
            world.over()

    def test_a_head_that_does_not_end(self) -> None:
        self.same(asks(), answers(), asks(GET[:9]), passes(4.8), asks(GET[9:]), answers(), ended=1)
        self.same(asks(), answers(), asks(GET[:9]), passes(5.3), ended=1)
        self.same(asks(), answers(), asks(POST[:-2]), passes(5.3), ended=1)

    def test_a_client_that_does_not_read(self) -> None:
        """What is kept for it is bounded, and so is the time."""
        acts = [act for _ in range(20) for act in (asks(), answers(LARGE))]
        for then in ([passes(4.8), reads(True), asks(), answers()], [passes(5.3)], [client("closes")]):
            agree(self, [warmed, reads(False), *acts, *then], limits=LIMITS, buffer=5000)
        world = World(self, True, limits=LIMITS, buffer=5000)
        warmed(world)
        for act in (reads(False), *acts):
            act(world)
        (left,) = world.factory.connections
        self.assertTrue(left.stuck)
        self.assertLess(left.transport.queued, 2 * len(LARGE))
        world.over()

    def test_a_client_that_is_found_stuck_when_it_has_asked_on(self) -> None:
        """It is the backend who is waited for then."""
        settings = {"request_timeout": 7}
        begins = [reads(False), asks(), at_once(("b", LARGE), ("c", AGAIN))]
        for then in (
            [passes(5.5), answers(), reads(True), asks(), answers()],
            [passes(7.3), reads(True)],
            [reads(True), passes(1), passes(7.3)],
            [answers(), passes(5.3)],
        ):
            agree(self, [warmed, *begins, *then], limits=LIMITS, settings=settings, buffer=5000)
