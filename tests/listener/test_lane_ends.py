"""Nothing is left of a lane."""

from __future__ import annotations

import gc
from typing import Any

from gateway.listener.http1 import ClientConnection
from gateway.listener.lane import Lane
from gateway.values import RequestHead
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, frame
from tests.listener.lane_acts import (
    AGAIN,
    LARGE,
    LIMITS,
    Act,
    LaneCase,
    answers,
    asks,
    backend,
    client,
    passes,
    reads,
    stops,
)
from tests.listener.lanes import World, agree, warmed


class EndTests(LaneCase):
    """Nothing is left of a lane."""

    def test_a_websocket_after_it(self) -> None:
        acts = [asks(), answers(), asks(HANDSHAKE), answers(SWITCHING)]
        acts += [asks(frame(1, b"hi", mask=True)), answers(frame(1, b"ho"))]
        self.same(*acts, ended=1)
        world = World(self, True)
        warmed(world)
        gc.disable()
        self.addCleanup(gc.enable)
        for act in acts:
            act(world)
        self.assertEqual([], _left(world, Lane))
        world.over()

    def test_the_gateway_stops_before_the_first_request(self) -> None:
        """That is still answered, by an exchange, and the last."""
        world = agree(self, [World.connects, stops, asks(), answers(), asks()], used=False, limits=LIMITS)
        self.assertEqual((0, "eof"), (world.decided, world.people[0].ending))
        self.assertIn(b"Connection: close", world.people[0].raw())

    def test_the_gateway_stops_behind_a_response_that_is_not_taken(self) -> None:
        """What is left of it has the time that responses have; it is the last."""
        begin = [warmed, reads(False), asks(), answers(LARGE), passes(1), stops, passes(3.5)]
        world = agree(self, [*begin, reads(True), passes(0.1)], limits=LIMITS, buffer=5000)
        self.assertEqual((True, "eof"), (world.people[0].raw().endswith(LARGE[-12000:]), world.people[0].ending))
        world = agree(self, [*begin, passes(1.8), reads(True)], limits=LIMITS, buffer=5000)
        self.assertLess(len(world.people[0].raw()), len(LARGE))

    def test_an_idle_client_keeps_nothing_of_its_request(self) -> None:
        """There may be very many of them."""
        world = World(self, True)
        warmed(world)
        asks(GET.replace(b"/ ", b"/kept "))(world)
        answers()(world)
        self.assertEqual(1, world.ended)
        world.recorder.outcomes.clear()
        self.assertEqual([], [each for each in gc.get_objects() if _is_head(each)])
        world.over()

    def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        endings: list[list[Act]] = [
            [client("closes")],
            [client("half_closes")],
            [asks(), client("closes")],
            [asks(), client("half_closes"), answers()],
            [asks(), answers(OK[:20]), client("closes")],
            [asks(POST), backend("closes")],
            [asks(), asks(AGAIN), answers(), answers()],
            [asks(HANDSHAKE), answers(SWITCHING), client("closes")],
            [passes(80)],
        ]
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for acts in endings:
            world = World(self, True)
            warmed(world)
            for act in (asks(), answers(), asks(POST), answers(), *acts):
                act(world)
            client("closes")(world)
            world.advance(40)
            del world.lost[:]
            self.assertEqual(2, world.ended)
            self.assertEqual([], _left(world, Lane, ClientConnection))
            world.over()


def _is_head(thing: object) -> bool:
    return isinstance(thing, RequestHead) and thing.target == "/kept"


def _left(world: World, *kinds: type) -> list[Any]:
    return [each for each in gc.get_objects() if isinstance(each, kinds) and each._shared is world.shared]
