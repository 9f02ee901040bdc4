"""`gateway.routing.rule_router`: routers of others, in whole dialogues."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Rule
from gateway.errors import NoRoute
from gateway.interfaces import IAsyncRouter, IRouter
from gateway.middleware.base import Middleware
from gateway.routing.rule_router import ContainedRouter, Otherwise, Targets, nowhere
from gateway.strategies.containment import Containment, Terms
from gateway.testing import FakePool, request_head
from gateway.values import NeedsAddress, Reply, RequestHead, Route
from tests.dialogue import GET, HANDSHAKE, OK, SWITCHING, Dialogue, DialogueCase
from tests.plugin_log import PluginLog

UPLOAD = b"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 6\r\n\r\nabc"


@implementer(IAsyncRouter)
class Asking:
    """Gives what ``answer`` says; a callable gets the head."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.listeners: list[str] = []

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IAsyncRouter`."""
        self.listeners.append(listener)
        return self.answer(head) if callable(self.answer) else self.answer


class RouterCase(DialogueCase):
    """A gateway with one router; ``contained`` is its account."""

    def setUp(self) -> None:
        super().setUp()
        self.log = PluginLog(self)

    def asks(self, answer: Any, chain: Any = (), **options: Any) -> Dialogue:
        """``answer`` may be ``"route"``: the pool of the dialogue."""
        self.contained = Containment("router", "ask", "rule 'rule'", ours=False, terms=Terms(3, 30, 0.1))
        self.contained._now = lambda: gateway.clock.seconds()
        patience = options.get("limits", {}).get("middleware_timeout", 30)
        router = ContainedRouter(
            Asking(lambda head: self.route() if answer == "route" else answer(head) if callable(answer) else answer),
            self.contained, chain, "web", patience, lambda: gateway.clock.seconds(),
        )  # fmt: skip
        gateway = self.dialogue = self.gateway(router=router, **options)
        return gateway

    def route(self, *chain: Any) -> Route:
        pool = self.dialogue.pool
        return Route("web", "rule", pool, pool.settings, "", "", True, chain)

    def served(self, gateway: Dialogue, client: Any, number: int = 0) -> None:
        gateway.backend(number).gets("GET / HTTP/1.1")
        gateway.backend(number).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")


class WaitingTests(RouterCase):
    """`IAsyncRouter`."""

    def test_interfaces(self) -> None:
        verifyObject(IAsyncRouter, Asking(None))
        verifyObject(IRouter, ContainedRouter(Asking(None), Containment("router", "x")))

    def test_waits(self) -> None:
        """The client's body is not read meanwhile."""
        waiting: Deferred[Any] = Deferred()
        gateway = self.asks(waiting)
        client = gateway.client()
        client.sends(UPLOAD)
        client.is_held()
        gateway.connections(0, 0)
        gateway.advance(29)
        waiting.callback(self.route())
        gateway.turn.run()
        client.is_read()
        gateway.backend(0).gets("POST / HTTP/1.1", body=b"abc")
        client.sends(b"def")
        gateway.backend(0).gets(b"def")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_at_once(self) -> None:
        gateway = self.asks(lambda head: succeed(self.route()))
        client = gateway.client()
        client.sends(GET)
        self.served(gateway, client)

    def test_coroutine(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def decide(head: RequestHead) -> Route:
            await waiting
            return self.route()

        gateway = self.asks(decide)
        client = gateway.client()
        client.sends(GET)
        gateway.connections(0, 0)
        waiting.callback(None)
        gateway.turn.run()
        self.served(gateway, client)
        self.assertEqual(1, self.contained.calls)

    def test_upgrade(self) -> None:
        waiting: Deferred[Any] = Deferred()
        gateway = self.asks(waiting)
        client = gateway.client()
        client.sends(HANDSHAKE)
        waiting.callback(self.route())
        gateway.turn.run()
        gateway.backend(0).gets("GET /chat HTTP/1.1", "Upgrade: websocket")
        gateway.backend(0).sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols")
        client.resets()
        gateway.backend(0).gets_something()
        gateway.backend(0).closes()
        gateway.recorded("101 client_gone")

    def test_failing(self) -> None:
        waiting: Deferred[Any] = Deferred()
        gateway = self.asks(waiting)
        client = gateway.client()
        client.sends(GET)
        waiting.errback(RuntimeError("nobody there"))
        gateway.turn.run()
        client.gets_page(500)
        client.finds("open")
        outcome = gateway.recorded("500 plugin_failed")
        self.assertEqual("router 'ask' of rule 'rule' failed: RuntimeError: nobody there", str(outcome.error))
        self.assertEqual((1, 1), (self.contained.failures, len(self.log.flush())))

    def test_failing_with_what_is_no_exception(self) -> None:
        """It is this request's all the same."""
        cases = (CancelledError(), "it raised CancelledError"), (SystemExit(), "it wanted to end the process")
        for error, text in cases:
            gateway = self.asks(lambda head, error=error: fail(error))
            client = gateway.client()
            client.sends(GET)
            client.gets_page(500)
            failed = gateway.recorded("500 plugin_failed").error
            self.assertEqual(f"router 'ask' of rule 'rule' failed: RuntimeError: {text}", str(failed))
            self.assertEqual((1, 1), (self.contained.failures, len(self.log.flush())))

    def test_cancelled_when_the_client_leaves(self) -> None:
        cancelled: list[Any] = []
        gateway = self.asks(lambda head: Deferred(cancelled.append))
        client = gateway.client()
        client.sends(GET)
        gateway.advance(29)
        client.resets()
        self.assertEqual(1, len(cancelled))
        gateway.recorded("499 client_gone")
        self.assertEqual(0, self.contained.failures)

    def test_time_limit(self) -> None:
        cancelled: list[Any] = []
        for limits, seconds in ({}, 30), ({"middleware_timeout": 2}, 2):
            gateway = self.asks(lambda head: Deferred(cancelled.append), limits=limits)
            client = gateway.client()
            client.sends(GET)
            gateway.advance(seconds - 0.5)
            client.gets_nothing()
            gateway.advance(1.5)
            client.gets_page(500)
            gateway.recorded("500 plugin_timeout")
            self.assertEqual(1, self.contained.failures)
        self.assertEqual(2, len(cancelled))

    def test_an_answer_that_comes_too_late(self) -> None:
        waiting: Deferred[Any] = Deferred(lambda _: None)
        gateway = self.asks(waiting)
        client = gateway.client()
        client.sends(GET)
        gateway.advance(32)
        client.gets_page(500)
        gateway.recorded("500 plugin_timeout")
        waiting.addErrback(lambda _: None)
        gateway.connections(0, 0)


class AnswerTests(RouterCase):
    """What a router may give."""

    def test_no_route(self) -> None:
        """An error of the gateway's is an answer, and no failure."""

        def refuse(head: RequestHead) -> Any:
            raise NoRoute("not for you")

        for answer in refuse, lambda head: fail(NoRoute("not for you")):
            gateway = self.asks(answer)
            client = gateway.client()
            client.sends(GET)
            client.gets_page(404)
            gateway.recorded("404 no_route")
            self.assertEqual(0, self.contained.failures)

    def test_nonsense(self) -> None:
        def broken(head: RequestHead) -> Any:
            raise KeyError("x")

        other = FakePool("other")
        nonsense: list[Any] = [
            None, "pool", 7, broken, lambda head: succeed(None), lambda head: self.route()._replace(pool=None),
            lambda head: self.route()._replace(settings=other.settings), lambda head: Reply(99),
            lambda head: Reply(302, [("Location", "/\r\nSet-Cookie: a=b")]), lambda head: Reply(200, (), "text"),
            lambda head: fail(ValueError("late")), lambda head: NeedsAddress(7), lambda head: NeedsAddress(broken),
        ]  # fmt: skip
        for answer in nonsense:
            gateway = self.asks(answer)
            client = gateway.client()
            client.sends(GET)
            client.gets_page(500)
            client.finds("open")
            gateway.recorded("500 plugin_failed")
            self.assertEqual(1, self.contained.failures)

    def test_reply(self) -> None:
        """It cannot frame itself."""
        reply = Reply(200, [("X-A", "b"), ("Content-Length", "99"), ("Connection", "upgrade")], b"hi")
        gateway = self.asks(reply)
        client = gateway.client()
        client.sends(GET)
        client.gets("HTTP/1.1 200 OK", "X-A: b", "Content-Length: 2", body=b"hi", without=["Upgrade"])
        gateway.recorded("200 reply")

    def test_middleware_cannot_be_passed_by(self) -> None:
        guard = Middleware()
        gateway = self.asks(lambda head: self.route(), chain=[guard])
        client = gateway.client()
        client.sends(GET)
        client.gets_page(500)
        gateway.recorded("500 plugin_failed")
        self.assertIn("goes round the rule's middleware", self.log.flush()[0])
        gateway = self.asks(lambda head: self.route(guard, Middleware()), chain=[guard])
        client = gateway.client()
        client.sends(GET)
        self.served(gateway, client)

    def test_replies_pass_through_the_middleware_of_the_rule(self) -> None:
        class Marking(Middleware):
            def request(self, head: RequestHead, context: Any) -> Any:
                return Reply(403)

        gateway = self.asks(Reply(200), chain=[Marking()])
        client = gateway.client()
        client.sends(GET)
        client.gets("HTTP/1.1 403 Forbidden")
        gateway.recorded("403 reply")

    def test_address(self) -> None:
        """That of the client; behind a trusted proxy the one that the proxy names."""
        seen: list[str] = []

        def decide(address: str) -> Any:
            seen.append(address)
            return succeed(self.route()) if len(seen) > 1 else self.route()

        for trusted in (), ("203.0.113.0/24",):
            gateway = self.asks(lambda head: NeedsAddress(decide), trusted=trusted)
            client = gateway.client()
            client.sends(GET[:-2] + b"X-Forwarded-For: 192.0.2.7\r\n\r\n")
            self.served(gateway, client)
        self.assertEqual(["203.0.113.7", "192.0.2.7"], seen)

    def test_switched_off(self) -> None:
        answers: list[Any] = [None, None, None]
        gateway = self.asks(lambda head: answers.pop() if answers else self.route())
        client = gateway.client()
        for cause in ("plugin_failed",) * 3 + ("plugin_off",) * 2:
            client.sends(GET)
            client.gets_page(500)
            gateway.recorded(f"500 {cause}")
        self.assertIn("its requests get 500. It is tried again every 30 s", self.log.flush()[1])
        gateway.advance(30)
        client.sends(GET)
        self.served(gateway, client)
        self.assertFalse(self.contained.off)


class TargetsTests(SynchronousTestCase):
    """``target`` of the services."""

    def setUp(self) -> None:
        self.needed: list[tuple[str, str]] = []
        pool = FakePool("a", BackendSettings(name="plain"))
        self.rule = Rule(name="rule", listener="web")
        self.targets = Targets(
            self.rule,
            (("a", "b"), ("plain",)),
            lambda *names: Route("web", "rule", pool, pool.settings, names[2], names[3]),
            lambda *pair: self.needed.append(pair),  # type: ignore[arg-type]
        )

    def test_made_once(self) -> None:
        one = self.targets("a", "plain", matched="/x", name="y")
        self.assertEqual(("/x", "y"), (one.matched, one.path_rule))
        self.targets.closed = True
        self.assertIs(one, self.targets("a", "plain", matched="/x", name="y"))
        self.assertEqual([("a", "plain")], self.needed)

    def test_refused(self) -> None:
        for names in ("a",), ("c", "plain"), ("a", "slow"):
            self.assertRaises(ValueError, self.targets, *names)
        self.targets.closed = True
        error = self.assertRaises(ValueError, self.targets, "b", "plain")
        self.assertIn("when the router was built", str(error))
        self.assertEqual([], self.needed)

    def test_otherwise(self) -> None:
        head = request_head("/")
        self.assertIs(head, Otherwise(lambda asked: asked).route(head, "web"))
        self.assertRaises(NoRoute, Otherwise(nowhere(self.rule)).route, head, "web")
