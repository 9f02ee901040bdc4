"""`gateway.testing.messages`: filters that must not pass, for what they do beside what they say."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from gateway.filters.base import Filter
from gateway.testing import MessageFilterConformance
from gateway.values import DROP
from tests.testing.trying import TryingCase, tried


class FilterTests(TryingCase):
    """One wrong method each."""

    def failing(self, more: Any = None, **methods: Any) -> set[str]:
        return tried(MessageFilterConformance, "make_filter", type("Made", (Filter,), methods), **(more or {}))

    def test_one_behind(self) -> None:
        """Each message is followed by the one before, whosever that was; a session that opens hides it."""

        def open(self: Any, conversation: Any) -> Any:
            self.before = None
            return self

        def message(self: Any, payload: Any, from_client: bool) -> Any:
            payload, self.before = self.before, payload
            return payload

        self.assertEqual({"test_sessions_apart"}, self.failing(open=open, message=message))

    def test_counts(self) -> None:
        """All sessions together, from the time when the last was opened."""

        def open(self: Any, conversation: Any) -> Any:
            self.count = 0
            return self

        def message(self: Any, payload: Any, from_client: bool) -> Any:
            self.count += 1
            return DROP if self.count > 20 else None

        self.assertEqual({"test_sessions_apart"}, self.failing(open=open, message=message))

    def test_waits(self) -> None:
        """What one has waited for another is told."""
        waiting: list[Deferred[None]] = []

        async def message(self: Any, payload: Any, from_client: bool) -> Any:
            self.last = payload
            waiting.append(Deferred())
            await waiting[-1]
            return self.last

        def answer(case: Any) -> None:
            while waiting:
                waiting.pop(0).callback(None)

        self.assertEqual({"test_sessions_apart"}, self.failing({"answer": answer}, message=message))

    def test_conversations(self) -> None:
        """They are the gateway's."""

        def become(self: Any, conversation: Any) -> Any:
            conversation.user = "root"
            return self

        def add(self: Any, conversation: Any) -> Any:
            conversation.head.index["x-a"] = "b"
            return self

        for open in (become, add):
            self.assertIn("test_every_session", self.failing(open=open))

    def test_ends(self) -> None:
        """It ends a session in a way that cannot be said."""
        for code, reason, good in ((4000, "over", True), (1005, "", False), (1000, "a" * 124, False)):

            def open(self: Any, conversation: Any, code: int = code, reason: str = reason) -> Any:
                conversation.end(code, reason)
                return self

            self.assertEqual(good, "test_every_session" not in self.failing(open=open))

    def test_outcomes(self) -> None:
        def closed(self: Any, outcome: Any) -> None:
            outcome.cause = "mine"

        self.assertIn("test_every_session", self.failing(closed=closed))
        self.assertIn("test_every_session", self.failing(closed=lambda self, outcome: succeed(None)))

    def test_blocks(self) -> None:
        def open(made: Any, conversation: Any) -> Any:
            self.block()
            return made

        def message(made: Any, payload: Any, from_client: bool) -> None:
            self.block()

        async def steps(made: Any, payload: Any, from_client: bool) -> None:
            self.block()

        def closed(made: Any, outcome: Any) -> None:
            self.block()

        self.assertIn("test_every_session", self.failing(open=open))
        self.assertIn("test_messages", self.failing(message=message))
        self.assertIn("test_messages", self.failing(message=steps))
        self.assertIn("test_every_session", self.failing(closed=closed))
