"""What happens in conversations with lanes, and the case that compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.dialogue import GET, GOODBYE, OK, POST, SWITCHING
from tests.listener.lanes import World, agree, warmed

__all__ = [
    "AGAIN", "LARGE", "LIMITS", "PATCH", "Act", "LaneCase", "answers", "asks", "at_once", "backend", "client",
    "healthy", "is_cut", "joined", "passes", "reads", "refused", "replies", "said", "slowly", "stops",
]  # fmt: skip

Act = Callable[[World], Any]

LIMITS = {"head_timeout": 5, "body_timeout": 5, "send_timeout": 5, "keep_alive_timeout": 10}
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"x" * 12000
PATCH = POST.replace(b"POST", b"PATCH")
AGAIN = GET.replace(b"/ ", b"/again ")


def asks(data: bytes = GET, cut: int = 0) -> Act:
    """The client says this, in two pieces if ``cut`` says where."""
    return lambda world: world.people[0].sends(data, cut)


def answers(data: bytes = OK, cut: int = 0) -> Act:
    """The backend that was connected to last says this."""
    return lambda world: world.ends[-1].sends(data, cut)


def at_once(*said: tuple[str, bytes]) -> Act:
    """Client (``c``) and backend (``b``) say these things, and all of it is there when the gateway looks."""

    def act(world: World) -> None:
        for who, data in said:
            (world.people[0] if who == "c" else world.ends[-1]).puts(data)

    return act


def said(before: bytes, line: bytes) -> bytes:
    """The same with another field line."""
    return before[:-2] + line + b"\r\n\r\n"


def replies(data: bytes = SWITCHING, cut: int = 0) -> Act:
    """As `answers`, where a backend was asked."""
    return lambda world: answers(data, cut)(world) if world.ends else None


def slowly(world: World) -> None:
    """From now on connections to backends take a while."""
    world.road.slow = True


def joined(world: World) -> None:
    """Those that are waited for are there."""
    world.road.go_on()


def refused(world: World) -> None:
    """They were refused."""
    world.road.refuses = True
    world.road.go_on()
    world.road.refuses = False


def passes(seconds: float) -> Act:
    return lambda world: world.advance(seconds)


def client(does: str, *arguments: Any) -> Act:
    return lambda world: getattr(world.people[0], does)(*arguments)


def backend(does: str, *arguments: Any) -> Act:
    return lambda world: getattr(world.ends[-1], does)(*arguments)


def reads(whether: bool) -> Act:
    """Whether the client takes what is sent to it."""
    return lambda world: setattr(world.people[0], "reads", whether)


def healthy(whether: bool) -> Act:
    return lambda world: world.pool.set_health(world.pool.backends[0], whether, "as the test wants it")


def stops(world: World) -> None:
    world.shared.stopping = True
    for connection in list(world.factory.connections):
        connection.stop(GOODBYE)


def is_cut(world: World) -> None:
    stops(world)
    for connection in list(world.factory.connections):
        connection.cut()


class LaneCase(SynchronousTestCase):
    """Conversations that are held with lanes and without."""

    def same(self, *acts: Act, ended: int, **options: Any) -> World:
        """After `warmed` and these acts all looks alike; so many exchanges were in the lane to their end."""
        options.setdefault("limits", LIMITS)
        world = agree(self, [warmed, *acts], **options)
        self.assertEqual(ended, world.ended)
        return world
