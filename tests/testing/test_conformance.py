"""`gateway.testing`: the conformance tests must fail where they should."""

from __future__ import annotations

import unittest
from typing import Any

from pydantic import BaseModel, Field
from twisted.internet import protocol
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings
from gateway.errors import NoHealthyBackend, NoRoute
from gateway.filters.base import Filter
from gateway.http.changes import with_fields
from gateway.interfaces import (
    IAffinity,
    IAsyncRouter,
    IBackend,
    IConversation,
    IDiscovery,
    ILease,
    IOutcomeObserver,
    IPeerSelector,
    IPool,
    IProbe,
    IRoad,
    IRouter,
    ISelector,
)
from gateway.middleware.base import Factory, Middleware, Options
from gateway.testing import (
    AffinityConformance,
    AsyncRouterConformance,
    DiscoveryConformance,
    FactoryConformance,
    FakeBackend,
    FakeConversation,
    FakePool,
    FakeRoad,
    MessageFilterConformance,
    MiddlewareConformance,
    ObserverConformance,
    PeerSelectorConformance,
    ProbeConformance,
    RouterConformance,
    SelectorConformance,
    request_head,
    response_head,
)
from gateway.values import DROP, Answer, Close, NeedsAddress, Outcome, ProbeResult, Reply, Route
from tests.testing.trying import failed, tried


class HeadTests(SynchronousTestCase):
    """Heads as the parser makes them."""

    def test_request(self) -> None:
        head = request_head("/a?b", fields=[("Cookie", "a=1"), ("cookie", "b=2"), ("X-Y", "1"), ("x-y", "2")], body=3)
        self.assertEqual((head.path, head.query, head.body, head.host), ("/a", "b", 3, "example.com"))
        self.assertEqual(head.index, {"host": "example.com", "cookie": "a=1; b=2", "x-y": "1, 2"})
        self.assertEqual(head.fields[0], ("Host", "example.com"))

    def test_response(self) -> None:
        head = response_head(404, "Not Found", [("A", "b")], body=-1)
        self.assertEqual((head.status, head.version, head.get("a"), head.body), (404, "1.1", "b", -1))


class FakeTests(SynchronousTestCase):
    """Fakes provide what they stand for."""

    def test_interfaces(self) -> None:
        backend = FakeBackend(weight=3)
        pool = FakePool(backends=[backend])
        verifyObject(IBackend, backend)
        verifyObject(IPool, pool)
        verifyObject(ILease, pool.lease(request_head()))
        verifyObject(IRoad, FakeRoad())
        self.assertEqual(backend.weight, 3)

    def test_pool(self) -> None:
        pool = FakePool(backends=[FakeBackend("a"), FakeBackend("b")])
        lease = pool.lease(request_head(), (pool.backends[0],))
        self.assertIs(lease.backend, pool.backends[1])
        self.assertRaises(NoHealthyBackend, pool.lease, request_head(), pool.backends)
        lease.release(Outcome())
        self.assertRaises(AssertionError, lease.release, Outcome())

    def test_road(self) -> None:
        road = FakeRoad()
        refused = road.client("a", 1, timeout=2.0).connect(protocol.Factory.forProtocol(protocol.Protocol))
        road.connections[0].fail(ConnectionRefusedError())
        self.failureResultOf(refused, ConnectionRefusedError)
        made = road.client("a", 1).connect(protocol.Factory.forProtocol(protocol.Protocol))
        joined = road.connections[1].succeed()
        self.assertIs(self.successResultOf(made), joined)
        lost: list[Any] = []
        joined.connectionLost = lost.append
        joined.transport.abortConnection()
        road.connections[1].lose()
        lost[0].trap(ConnectionAborted)
        self.assertRaises(NotImplementedError, road.server, "", 0)


class SelectorTests(SynchronousTestCase):
    """Selectors that must not pass."""

    def test_stale(self) -> None:
        """One that holds on to what it once saw."""

        @implementer(ISelector)
        class Stale:
            chosen: Any = None

            def select(self, candidates: Any, head: Any) -> Any:
                self.chosen = self.chosen or candidates[0]
                return self.chosen

        class Case(SelectorConformance, unittest.TestCase):
            def make_selector(self) -> Any:
                return Stale()

        self.assertLessEqual({"test_candidates_change", "test_chooses_candidate"}, failed(Case))

    def test_undeclared(self) -> None:
        class Plain:
            def select(self, candidates: Any, head: Any) -> Any:
                return candidates[0]

        class Case(SelectorConformance, unittest.TestCase):
            def make_selector(self) -> Any:
                return Plain()

        self.assertEqual(failed(Case), {"test_provides_interface"})

    def test_fragile(self) -> None:
        """One that takes a cookie for granted."""

        @implementer(ISelector)
        class Fragile:
            def select(self, candidates: Any, head: Any) -> Any:
                return candidates[len(head.index["cookie"]) % len(candidates)]

        class Case(SelectorConformance, unittest.TestCase):
            def make_selector(self) -> Any:
                return Fragile()

        self.assertIn("test_ordinary_and_odd_requests", failed(Case))


class RouterTests(SynchronousTestCase):
    """Routers that must not pass."""

    def test_fickle(self) -> None:
        @implementer(IRouter)
        class Fickle:
            count = 0

            def route(self, head: Any, listener: str) -> Any:
                self.count += 1
                return Reply(200 + self.count)

        class Case(RouterConformance, unittest.TestCase):
            def make_router(self) -> Any:
                return Fickle()

        self.assertEqual(failed(Case), {"test_alone", "test_pure"})

    def test_needs_address(self) -> None:
        """One that wants to know who asks; the pool that it then chooses is looked at, too."""
        pool = FakePool()

        @implementer(IRouter)
        class Asks:
            settings: Any = pool.settings

            def route(self, head: Any, listener: str) -> Any:
                return NeedsAddress(lambda address: Route("listener", "rule", pool, self.settings))

        class Other(Asks):
            settings = BackendSettings(name="others")

        self.assertEqual(set(), tried(RouterConformance, "make_router", Asks))
        wrong = {"test_alone", "test_decides", "test_pure"}
        self.assertEqual(wrong, tried(RouterConformance, "make_router", Other))

    def test_undecided(self) -> None:
        @implementer(IRouter)
        class Undecided:
            def route(self, head: Any, listener: str) -> Any:
                return None

        class Case(RouterConformance, unittest.TestCase):
            def make_router(self) -> Any:
                return Undecided()

        self.assertEqual(failed(Case), {"test_alone", "test_decides", "test_pure"})

    def test_errors(self) -> None:
        """They are raised, also by one that has asked for the address; returned they are nothing."""

        def refuse(*_: Any) -> Any:
            raise NoRoute("nowhere")

        def decides(answer: Any) -> set[str]:
            @implementer(IRouter)
            class Refusing:
                def route(self, head: Any, listener: str) -> Any:
                    return answer()

            return tried(RouterConformance, "make_router", Refusing)

        for answer in refuse, lambda: NeedsAddress(refuse):
            self.assertEqual(set(), decides(answer))
        wrong: list[Any] = [
            lambda: NoRoute, lambda: NoRoute("nowhere"), lambda: Reply, lambda: NeedsAddress(lambda address: NoRoute)
        ]  # fmt: skip
        for answer in wrong:
            self.assertEqual({"test_alone", "test_decides", "test_pure"}, decides(answer))


class ProbeTests(SynchronousTestCase):
    """Probes that must not pass."""

    def run_case(self, answer: Any) -> set[str]:
        checks: list[Any] = []

        @implementer(IProbe)
        class Made:
            def check(self, backend: Any, deadline: float) -> Any:
                checks.append(answer())
                return checks[-1]

        class Case(ProbeConformance, SynchronousTestCase):
            def make_probe(self) -> Any:
                return Made()

            def answer(self, healthy: bool) -> None:
                if isinstance(checks[-1], Deferred) and not checks[-1].called:
                    checks[-1].callback(ProbeResult(healthy, "" if healthy else "refused"))

        return failed(Case)

    def test_good(self) -> None:
        self.assertEqual(self.run_case(Deferred), set())

    def test_blind(self) -> None:
        """One that finds everything healthy."""
        always = {"test_unhealthy", "test_again", "test_two_at_a_time"}
        self.assertEqual(self.run_case(lambda: succeed(ProbeResult(True))), always)

    def test_not_deferred(self) -> None:
        self.assertIn("test_healthy", self.run_case(lambda: ProbeResult(True)))


class ObserverTests(SynchronousTestCase):
    """Observers that must not pass."""

    def test_fragile(self) -> None:
        @implementer(IOutcomeObserver)
        class Fragile:
            def opened(self, outcome: Any) -> None:
                pass

            def ended(self, outcome: Any) -> None:
                outcome.route.rule  # noqa: B018

        class Case(ObserverConformance, unittest.TestCase):
            def make_observer(self) -> Any:
                return Fragile()

        self.assertEqual(failed(Case), {"test_everything", "test_leaves_outcomes_alone"})

    def test_good(self) -> None:
        @implementer(IOutcomeObserver)
        class Good:
            def opened(self, outcome: Any) -> None:
                pass

            def ended(self, outcome: Any) -> None:
                pass

        class Case(ObserverConformance, unittest.TestCase):
            def make_observer(self) -> Any:
                return Good()

        self.assertEqual(failed(Case), set())


class MoreSelectorTests(SynchronousTestCase):
    """Selectors with more to them, that must not pass."""

    def test_counting(self) -> None:
        """One that counts in the backends."""

        @implementer(IPeerSelector)
        class Counting:
            def select(self, candidates: Any, head: Any) -> Any:
                candidates[0].active += 1
                return candidates[0]

            def select_for(self, candidates: Any, head: Any, peer: Any) -> Any:
                return int(peer.host.replace(".", "")) and candidates[0]

        found = tried(PeerSelectorConformance, "make_selector", Counting)
        self.assertIn("test_leaves_backends_alone", found)
        self.assertIn("test_chooses_candidate", found)  # not every peer has such an address

    def test_forgetful(self) -> None:
        """Its mark leads nowhere, and may not be sent."""

        @implementer(IAffinity)
        class Forgetful:
            def select(self, candidates: Any, head: Any) -> Any:
                return candidates[0]

            def mark(self, backend: Any, head: Any, secure: bool) -> Any:
                return [("Set-Cookie", "a=1\r\n")]

        self.assertEqual(
            tried(AffinityConformance, "make_selector", Forgetful),
            {"test_marks_apart", "test_marks_may_be_sent", "test_mark_leads_back"},
        )


class AsyncRouterTests(SynchronousTestCase):
    """Routers that wait."""

    def test_good(self) -> None:
        waiting: list[Deferred[Any]] = []

        @implementer(IAsyncRouter)
        class Good:
            def route(self, head: Any, listener: str) -> Any:
                waiting.append(Deferred())
                return waiting[-1].addCallback(lambda _: Reply(204))

        def answer(case: Any) -> None:
            for each in waiting:
                None if each.called else each.callback(None)

        self.assertEqual(set(), tried(AsyncRouterConformance, "make_router", Good, answer=answer))
        self.assertEqual(
            {"test_alone", "test_decides", "test_cancelled"}, tried(AsyncRouterConformance, "make_router", Good)
        )

    def test_not_waiting(self) -> None:
        """It may know the answer at once, as the gateway takes it; but not say it in words that are none."""

        def decides(answer: Any) -> set[str]:
            @implementer(IAsyncRouter)
            class Quick:
                def route(self, head: Any, listener: str) -> Any:
                    return answer()

            return tried(AsyncRouterConformance, "make_router", Quick)

        def refuse() -> Any:
            raise NoRoute("nowhere")

        for answer in (lambda: Reply(204), lambda: succeed(Reply(204)), refuse, lambda: fail(NoRoute("nowhere"))):
            self.assertEqual(set(), decides(answer))
        for answer in (lambda: None, lambda: NoRoute, lambda: succeed(NoRoute), lambda: fail(KeyError())):
            self.assertIn("test_decides", decides(answer))


class MiddlewareTests(SynchronousTestCase):
    """Middleware that must not pass, and what does."""

    def failing(self, **methods: Any) -> set[str]:
        return tried(MiddlewareConformance, "make_middleware", type("Made", (Middleware,), methods))

    def test_good(self) -> None:
        self.assertEqual(set(), self.failing())
        self.assertEqual(set(), self.failing(request=lambda self, head, context: succeed(Reply(403))))

    def test_traffic(self) -> None:
        for traffic in (frozenset(), frozenset({"https"}), {"http"}):
            self.assertIn("test_provides_interface", self.failing(traffic=traffic))

    def test_line_break(self) -> None:
        def request(self: Any, head: Any, context: Any) -> Any:
            return with_fields(head, set=[("X-Path", head.path + "\n")])

        self.assertIn("test_requests", self.failing(request=request))

    def test_takes_things_for_granted(self) -> None:
        """A host, a route, a backend."""
        for use in (
            lambda head, context: head.index["host"],
            lambda head, context: context.route.rule,
        ):
            self.assertIn("test_requests", self.failing(request=lambda self, head, context, use=use: use(head, context)
                                                        and None))  # fmt: skip
        self.assertIn(
            "test_responses", self.failing(response=lambda self, head, context: context.backend.name and None)
        )

    def test_mixes_up(self) -> None:
        """What belongs to one exchange is kept in the middleware."""

        def request(self: Any, head: Any, context: Any) -> None:
            self.now = head

        def response(self: Any, head: Any, context: Any) -> None:
            del self.now

        self.assertEqual({"test_two_at_a_time", "test_bodies"}, self.failing(request=request, response=response))

    def test_nonsense(self) -> None:
        self.assertIn("test_requests", self.failing(request=lambda self, head, context: False))
        self.assertIn("test_responses", self.failing(response=lambda self, head, context: Reply(200)))
        self.assertIn("test_requests", self.failing(request=lambda self, head, context: Deferred()))

    def test_bodies(self) -> None:
        class Encoder:
            def feed(self, data: bytes) -> Any:
                return data.decode("latin-1")

            def end(self) -> bytes:
                return b""

        found = self.failing(body=lambda self, head, context: Encoder())
        self.assertEqual({"test_bodies", "test_two_at_a_time"}, found)


class MessageFilterTests(SynchronousTestCase):
    """Message filters that must not pass, and what does."""

    def failing(self, **methods: Any) -> set[str]:
        return tried(MessageFilterConformance, "make_filter", type("Made", (Filter,), methods))

    def test_good(self) -> None:
        verifyObject(IConversation, FakeConversation())
        self.assertEqual(set(), self.failing())
        for verdict in (DROP, Answer("no"), Close(1008, "no"), "other", b"other", succeed(None)):
            self.assertEqual(set(), self.failing(message=lambda self, payload, from_client, it=verdict: it), verdict)

    def test_verdicts(self) -> None:
        """Close codes that cannot be sent, reasons that are too long, no verdicts at all, ones that never come."""
        nothing: Any = None
        for verdict in (Close(1006), Close(1000, "a" * 124), Answer(nothing), False, bytearray(b"a"), "\ud800"):
            found = self.failing(message=lambda self, payload, from_client, it=verdict: it)
            self.assertIn("test_messages", found, verdict)
        self.assertIn("test_messages", self.failing(message=lambda self, payload, from_client: Deferred()))

    def test_text_only(self) -> None:
        self.assertIn(
            "test_messages", self.failing(message=lambda self, payload, from_client: payload.encode() and None)
        )

    def test_shared(self) -> None:
        """A quota that all sessions use up together."""

        def message(self: Any, payload: Any, from_client: bool) -> Any:
            self.count = getattr(self, "count", 0) + 1
            return Close(1008) if self.count > 10 else None

        self.assertEqual({"test_sessions_apart"}, self.failing(message=message))

    def test_takes_a_user_for_granted(self) -> None:
        def open(self: Any, conversation: Any) -> Any:
            return conversation.user[0] and self

        self.assertIn("test_every_session", self.failing(open=open))

    def test_not_told(self) -> None:
        """What is opened has to be closed, too."""

        class Half:
            def message(self, payload: Any, from_client: bool) -> None:
                return None

        self.assertIn("test_messages", self.failing(open=lambda self, conversation: Half()))


class DiscoveryTests(SynchronousTestCase):
    """Discoveries that must not pass."""

    def test_each(self) -> None:
        clock = Clock()

        @implementer(IDiscovery)
        class Restless:
            """Leaves its timer behind."""

            def start(self, found: Any) -> None:
                found(())
                clock.callLater(1, found, ())

            def stop(self) -> None:
                pass

        @implementer(IDiscovery)
        class Silent:
            def start(self, found: Any) -> Any:
                return Deferred()

            def stop(self) -> None:
                pass

        @implementer(IDiscovery)
        class Names:
            """Finds what is no member."""

            def start(self, found: Any) -> None:
                found(["a.test"])

            def stop(self) -> None:
                pass

        restless = tried(DiscoveryConformance, "make_discovery", Restless, clock=clock)
        self.assertEqual({"test_finds_members", "test_stops_before_an_answer", "test_another_one"}, restless)
        for wrong in (Silent, Names):
            self.assertEqual(
                {"test_finds_members", "test_another_one"}, tried(DiscoveryConformance, "make_discovery", wrong)
            )


class FactoryTests(SynchronousTestCase):
    """Factories that must not pass."""

    def test_each(self) -> None:
        class Loose(BaseModel):
            colour: str = "red"

        class Strict(Options):
            colour: str = Field(default="red", description="Of the house.")

        def failing(
            name: str, options: Any, make: Any = lambda options, services: Middleware(), **more: Any
        ) -> set[str]:
            factory = Factory(name, options, make)
            return failed(
                type(
                    "Case",
                    (FactoryConformance, SynchronousTestCase),
                    {"factory": factory, "group": "gateway.middleware", **more},
                )
            )

        self.assertEqual(set(), failing("good", Strict, good=[{"colour": "blue"}], bad=[{"colour": 1}]))
        self.assertEqual(set(), failing("good", None))
        self.assertEqual({"test_factory"}, failing("not good", None))
        self.assertEqual({"test_options"}, failing("loose", Loose))
        self.assertEqual({"test_bad_options"}, failing("good", Strict, bad=[{"colour": "blue"}]))
        one = Middleware()
        self.assertEqual({"test_good_options"}, failing("one", None, lambda options, services: one))
        self.assertEqual({"test_good_options"}, failing("wrong", None, lambda options, services: object()))
