"""`gateway.testing`: the conformance tests must fail where they should."""

from __future__ import annotations

import unittest
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.errors import NoHealthyBackend
from gateway.interfaces import IBackend, ILease, IOutcomeObserver, IPool, IProbe, IRoad, IRouter, ISelector
from gateway.testing import (
    FakeBackend,
    FakePool,
    FakeRoad,
    ObserverConformance,
    ProbeConformance,
    RouterConformance,
    SelectorConformance,
    request_head,
    response_head,
)
from gateway.values import Outcome, ProbeResult, Reply


def failed(case: Any) -> set[str]:
    """The tests of a case that do not pass."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return {test.id().rpartition(".")[2] for test, _ in [*result.failures, *result.errors]}


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
        refused = road.client("a", 1, timeout=2.0).connect(Factory.forProtocol(Protocol))
        road.connections[0].fail(ConnectionRefusedError())
        self.failureResultOf(refused, ConnectionRefusedError)
        made = road.client("a", 1).connect(Factory.forProtocol(Protocol))
        protocol = road.connections[1].succeed()
        self.assertIs(self.successResultOf(made), protocol)
        lost: list[Any] = []
        protocol.connectionLost = lost.append
        protocol.transport.abortConnection()
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

        self.assertEqual(failed(Case), {"test_pure"})

    def test_undecided(self) -> None:
        @implementer(IRouter)
        class Undecided:
            def route(self, head: Any, listener: str) -> Any:
                return None

        class Case(RouterConformance, unittest.TestCase):
            def make_router(self) -> Any:
                return Undecided()

        self.assertEqual(failed(Case), {"test_decides"})


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
        self.assertEqual(self.run_case(lambda: succeed(ProbeResult(True))), {"test_unhealthy", "test_again"})

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

        self.assertEqual(failed(Case), {"test_everything"})

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
