"""The state that the demo backends share."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.demo.room import FAIL_SECONDS, Backend, Room


class _Visitor:
    def __init__(self, room: Room, backend: str = "blue") -> None:
        self.id = room.next_id()
        self.backend = backend
        self.heard: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any]) -> None:
        self.heard.append(message)

    def last(self, kind: str) -> dict[str, Any]:
        return [message for message in self.heard if message["type"] == kind][-1]


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.room = Room(self.clock, lambda: 1700000000.0)
        for number, name in enumerate(("blue", "green")):
            self.room.backends[name] = Backend(name, "127.0.0.1", 9001 + number)

    def test_chat(self) -> None:
        blue, green = _Visitor(self.room), _Visitor(self.room, "green")
        self.room.join(blue)
        self.room.say(blue, "hello")
        self.room.join(green)
        hello = green.heard[0]
        self.assertEqual((hello["type"], hello["id"], hello["backend"]), ("hello", 2, "green"))
        self.assertEqual([message["text"] for message in hello["history"]], ["hello"])
        self.assertEqual(hello["visitors"], [{"id": 1, "backend": "blue"}, {"id": 2, "backend": "green"}])
        self.assertEqual(blue.last("joined")["visitor"], {"id": 2, "backend": "green"})
        self.room.say(green, "<b>hi</b>")
        said = {
            "type": "message",
            "number": 2,
            "from": 2,
            "backend": "green",
            "text": "<b>hi</b>",
            "time": 1700000000000,
        }
        self.assertEqual((blue.last("message"), green.last("message")), (said, said))
        self.room.leave(green)
        self.room.leave(green)
        self.assertEqual(
            [m for m in blue.heard if m["type"] == "left"], [{"type": "left", "visitor": {"id": 2, "backend": "green"}}]
        )

    def test_history_is_bounded(self) -> None:
        speaker, late = _Visitor(self.room), _Visitor(self.room)
        for number in range(80):
            self.room.say(speaker, str(number))
        self.room.join(late)
        self.assertEqual([m["text"] for m in late.heard[0]["history"]], [str(number) for number in range(30, 80)])

    def test_full(self) -> None:
        for _ in range(200):
            self.assertFalse(self.room.full)
            self.room.join(_Visitor(self.room))
        self.assertTrue(self.room.full)

    def test_fail_and_recover(self) -> None:
        visitor = _Visitor(self.room)
        self.room.join(visitor)
        self.room.fail("green")
        self.assertEqual((self.room.failing("blue"), self.room.failing("green")), (False, True))
        state = {backend["name"]: backend for backend in visitor.last("state")["backends"]}
        self.assertEqual((state["green"]["failing"], state["green"]["comesBackIn"]), (True, FAIL_SECONDS))
        self.assertEqual((state["blue"]["failing"], state["blue"]["sockets"]), (False, 1))
        self.room.recover("green")
        self.assertFalse(self.room.failing("green"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(visitor.last("state")["backends"][1]["failing"])

    def test_comes_back_by_itself(self) -> None:
        self.room.fail("blue")
        self.clock.advance(FAIL_SECONDS / 2)
        self.room.fail("blue")
        self.clock.advance(FAIL_SECONDS - 1)
        self.assertTrue(self.room.failing("blue"))
        self.clock.advance(1)
        self.assertFalse(self.room.failing("blue"))

    def test_unknown_backend(self) -> None:
        self.assertRaises(KeyError, self.room.fail, "pink")
        self.assertRaises(KeyError, self.room.recover, "pink")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_view_of_the_gateway(self) -> None:
        member = {"name": "n", "address": "127.0.0.1:9002", "state": "down"}
        self.room.pool_state = lambda: [{"backends": [member]}]
        self.assertEqual([backend["gateway"] for backend in self.room.state()], [None, member])

    def test_failing_view(self) -> None:
        self.room.pool_state = lambda: 1 / 0  # type: ignore[assignment, return-value]
        self.assertEqual([backend["gateway"] for backend in self.room.state()], [None, None])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_close(self) -> None:
        self.room.fail("blue")
        self.room.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
