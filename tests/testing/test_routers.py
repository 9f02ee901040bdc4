"""`gateway.testing.routers`: routers that must not pass, for what they do beside what they say."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer

from gateway.errors import NoRoute
from gateway.interfaces import IAsyncRouter, IRouter
from gateway.testing import AsyncRouterConformance, RouterConformance, fake_services
from gateway.values import Reply
from tests.testing.trying import TryingCase, tried


class RouterTests(TryingCase):
    """One wrong method each."""

    def failing(self, route: Any) -> set[str]:
        return tried(RouterConformance, "make_router", implementer(IRouter)(type("Made", (), {"route": route})))

    def test_good(self) -> None:
        class Good:
            def __init__(self) -> None:
                self.target = fake_services().target

            def route(self, head: Any, listener: str) -> Any:
                assert self.target is not None
                return self.target(head.method.lower())

        self.assertEqual(set(), tried(RouterConformance, "make_router", implementer(IRouter)(Good)))

    def test_remembers(self) -> None:
        """The first decision for a host is the one for all that come."""

        def route(self: Any, head: Any, listener: str) -> Any:
            self.known = getattr(self, "known", {})
            return self.known.setdefault(head.host, Reply(302, (("Location", head.target[:9]),)))

        self.assertEqual({"test_alone"}, self.failing(route))

    def test_changes_heads(self) -> None:
        def index(self: Any, head: Any, listener: str) -> Any:
            head.index["x-a"] = "b"
            return Reply(200)

        def fields(self: Any, head: Any, listener: str) -> Any:
            head.fields.append(("X-A", "b"))
            return Reply(200)

        for route in (index, fields):
            self.assertEqual({"test_alone", "test_decides", "test_pure"}, self.failing(route))

    def test_blocks(self) -> None:
        def route(_: Any, head: Any, listener: str) -> Any:
            self.block()
            return Reply(200)

        def refuse(_: Any, head: Any, listener: str) -> Any:
            self.block()
            raise NoRoute("slow")

        self.assertIn("test_decides", self.failing(route))
        self.assertIn("test_decides", self.failing(refuse))

    def test_replies(self) -> None:
        self.assertEqual(set(), self.failing(lambda self, head, listener: Reply(204, cause="no_content-here2")))
        nothing: Any = None
        for reply in (
            Reply(204, body=b"a"), Reply(304, body=b"a"), Reply(200, cause="two words"), Reply(200, cause="end\n"),
            Reply(200, cause="Loud"), Reply(200, cause=""), Reply(200, cause=nothing),
        ):  # fmt: skip
            self.assertIn("test_decides", self.failing(lambda self, head, listener, reply=reply: reply), reply)


class AsyncRouterTests(TryingCase):
    """The same where it waits."""

    def failing(self, **methods: Any) -> set[str]:
        self.waiting: list[Deferred[Any]] = []
        made = implementer(IAsyncRouter)(type("Made", (), methods))
        return tried(AsyncRouterConformance, "make_router", made, answer=lambda case: self.answer())

    def answer(self) -> None:
        while self.waiting:
            waiting = self.waiting.pop(0)
            if not waiting.called:
                waiting.callback(None)

    def wait(self) -> Deferred[None]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def test_good(self) -> None:
        async def route(_: Any, head: Any, listener: str) -> Any:
            await self.wait()
            return Reply(204)

        def refuse(_: Any, head: Any, listener: str) -> Any:
            raise NoRoute("at once")

        self.assertEqual(set(), self.failing(route=route))
        self.assertEqual(set(), self.failing(route=refuse))

    def test_remembers(self) -> None:
        async def route(made: Any, head: Any, listener: str) -> Any:
            await self.wait()
            made.known = getattr(made, "known", {})
            return made.known.setdefault(head.host, Reply(302, (("Location", head.target[:9]),)))

        self.assertLessEqual({"test_alone"}, self.failing(route=route))

    def test_takes_it_ill(self) -> None:
        """Who has been given up once is refused from then on."""

        async def route(made: Any, head: Any, listener: str) -> Any:
            if getattr(made, "left", False):
                return Reply(403)
            try:
                await self.wait()
            except CancelledError:
                made.left = True
                raise
            return Reply(204)

        self.assertEqual({"test_cancelled"}, self.failing(route=route))

    def test_changes_heads(self) -> None:
        async def late(_: Any, head: Any, listener: str) -> Any:
            await self.wait()
            head.index["x-a"] = "b"
            return Reply(204)

        def early(_: Any, head: Any, listener: str) -> Any:
            head.index["x-a"] = "b"
            return succeed(Reply(204))

        for route in (late, early):
            self.assertIn("test_decides", self.failing(route=route))

    def test_blocks(self) -> None:
        async def route(_: Any, head: Any, listener: str) -> Any:
            self.block()
            return Reply(204)

        self.assertIn("test_decides", self.failing(route=route))

    def test_replies(self) -> None:
        async def route(_: Any, head: Any, listener: str) -> Any:
            return Reply(204, body=b"a")

        self.assertIn("test_decides", self.failing(route=route))
