"""`gateway.testing.passing`: middleware that must not pass, for what it does beside what it says."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from gateway.errors import NoRoute
from gateway.http.changes import with_fields
from gateway.interfaces import IBodyEncoder
from gateway.middleware.base import Middleware
from gateway.testing import MiddlewareConformance
from gateway.values import Reply, Route
from tests.testing.trying import TryingCase, tried


@implementer(IBodyEncoder)
class Keeps:
    """An encoder that gives everything in the end."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, data: bytes) -> bytes:
        self.kept += data
        return b""

    def end(self) -> bytes:
        kept, self.kept = self.kept, b""
        return kept


class MiddlewareTests(TryingCase):
    """One wrong method each."""

    def failing(self, more: Any = None, **methods: Any) -> set[str]:
        return tried(MiddlewareConformance, "make_middleware", type("Made", (Middleware,), methods), **(more or {}))

    def test_encoders(self) -> None:
        """One for each body, or one for all of them."""
        one = Keeps()
        self.assertEqual(set(), self.failing(body=lambda self, head, context: Keeps()))
        self.assertEqual({"test_bodies", "test_two_at_a_time"}, self.failing(body=lambda self, head, context: one))

    def test_one_encoder_by_choice(self) -> None:
        """Also where few requests have an encoder at all."""
        one = Keeps()
        found = self.failing(body=lambda self, head, context: one if head.status == 502 else None)
        self.assertIn("test_bodies", found)

    def test_last_one(self) -> None:
        """The response says what the last request was, whosever that was."""

        def request(self: Any, head: Any, context: Any) -> None:
            self.last = head.method

        def response(self: Any, head: Any, context: Any) -> Any:
            return with_fields(head, set=[("X-Method", self.last)])

        self.assertIn("test_two_at_a_time", self.failing(request=request, response=response))

    def test_first_one(self) -> None:
        """It says who the first client was, to everybody."""

        def request(self: Any, head: Any, context: Any) -> None:
            self.first = getattr(self, "first", context.address)
            context.user = self.first

        self.assertIn("test_two_at_a_time", self.failing(request=request))

    def test_last_one_that_waits(self) -> None:
        """The same where it waits in between."""
        waiting: list[Deferred[None]] = []

        async def request(self: Any, head: Any, context: Any) -> Any:
            self.last = context.address
            waiting.append(Deferred())
            await waiting[-1]
            return with_fields(head, set=[("X-Address", self.last)])

        def answer(case: Any) -> None:
            while waiting:
                waiting.pop(0).callback(None)

        self.assertEqual({"test_two_at_a_time", "test_bodies"}, self.failing({"answer": answer}, request=request))

    def test_refuses_others(self) -> None:
        def request(self: Any, head: Any, context: Any) -> None:
            self.count = getattr(self, "count", 0) + 1
            if self.count > 1 and head.method == "POST":
                raise NoRoute("not again")

        self.assertIn("test_two_at_a_time", self.failing(request=request))

    def test_comparable(self) -> None:
        """What differs with good reason can be left out."""
        numbers = iter(range(1000000))

        def response(self: Any, head: Any, context: Any) -> Any:
            return with_fields(head, set=[("X-Id", str(next(numbers)))])

        def comparable(case: Any, found: Any) -> Any:
            return with_fields(found, remove=["x-id"]) if hasattr(found, "fields") else found

        self.assertEqual({"test_two_at_a_time", "test_bodies"}, self.failing(response=response))
        self.assertEqual(set(), self.failing({"comparable": comparable}, response=response))

    def test_changes_heads(self) -> None:
        """Index and lines are shared with everybody else who looks at the exchange."""
        for change in (
            lambda head: head.index.update({"x-a": "b"}),
            lambda head: head.index.clear(),
            lambda head: head.fields.append(("X-A", "b")),
        ):

            def ask(self: Any, head: Any, context: Any, change: Any = change) -> None:
                change(head)

            self.assertIn("test_requests", self.failing(request=ask))
            self.assertIn("test_responses", self.failing(response=ask))
            self.assertIn("test_bodies", self.failing(body=ask))

    def test_changes_later(self) -> None:
        """When it has waited."""
        waiting: list[Deferred[None]] = []

        async def request(self: Any, head: Any, context: Any) -> None:
            waiting.append(Deferred())
            await waiting[-1]
            head.index["x-a"] = "b"

        def answer(case: Any) -> None:
            while waiting:
                waiting.pop(0).callback(None)

        self.assertIn("test_requests", self.failing({"answer": answer}, request=request))

    def test_contexts(self) -> None:
        """What is told, and what may be set, to what makes sense only."""
        nothing: Any = None
        for name, value in (
            ("address", "192.0.2.1"),
            ("backend", "me"),
            ("added", "X-A: b\r\n"),
            ("clock", lambda: 0.0),
            ("route", "elsewhere"),
            ("route", Route("listener", "rule", nothing, nothing)),
            ("user", b"ann"),
            ("ends_at", "soon"),
            ("ends_at", float("nan")),
            ("end_code", 1005),
            ("end_code", "4401"),
            ("end_reason", "a" * 200),
            ("end_reason", b"a"),
        ):

            def ask(self: Any, head: Any, context: Any, name: str = name, value: Any = value) -> None:
                setattr(context, name, value)

            self.assertIn("test_requests", self.failing(request=ask), (name, value))
            self.assertIn("test_responses", self.failing(response=ask), (name, value))

        def outcome(self: Any, head: Any, context: Any) -> None:
            context._outcome.status = 418

        self.assertIn("test_requests", self.failing(request=outcome))

    def test_context_for_use(self) -> None:
        """All that may be set."""

        def request(self: Any, head: Any, context: Any) -> None:
            context.user = "ann"
            context.notes[self] = head
            context.conceal("a")
            context.end_session(context.clock() + 1, 4401, "over")
            if context.route is not None:
                context.route = context.route._replace(rule="other")

        self.assertEqual(set(), self.failing(request=request))

    def test_blocks(self) -> None:
        def ask(_: Any, head: Any, context: Any) -> None:
            self.block()

        async def ask_slowly(_: Any, head: Any, context: Any) -> None:
            self.block()

        def refuse(_: Any, head: Any, context: Any) -> None:
            self.block()
            raise NoRoute("slow")

        class Slow(Keeps):
            def end(_) -> bytes:
                self.block()
                return super().end()

        for request in (ask, ask_slowly, refuse):
            self.assertIn("test_requests", self.failing(request=request))
        self.assertIn("test_responses", self.failing(response=ask))
        self.assertIn("test_bodies", self.failing(body=ask))
        self.assertIn("test_bodies", self.failing(body=lambda self, head, context: Slow()))

    def test_busy_machine(self) -> None:
        """Something else has been going on."""

        def ask(_: Any, head: Any, context: Any) -> None:
            self.block(0.5)

        self.assertEqual(set(), self.failing(request=ask, response=ask, body=ask))

    def test_replies(self) -> None:
        causes = [Reply(403, cause=cause) for cause in ("go away", "a\n", "")]
        for reply in (Reply(204, body=b"a"), *causes):
            found = self.failing(request=lambda self, head, context, reply=reply: reply)
            self.assertIn("test_requests", found, reply)
