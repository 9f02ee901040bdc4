"""`gateway.pools.slow_start`."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member
from gateway.interfaces import IBackend, IStrategyFactory
from gateway.pools.least_connections import LeastConnections
from gateway.pools.pool import Pool
from gateway.pools.random_of_two import RandomOfTwo
from gateway.pools.rendezvous import Rendezvous
from gateway.pools.round_robin import RoundRobin
from gateway.pools.slow_start import SlowStart, SlowStartOptions, factory
from gateway.pools.weighted import Weighted
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head
from gateway.values import Outcome

HEAD = request_head()
SETTINGS = BackendSettings(name="settings")


class SlowStartTests(SelectorConformance, SynchronousTestCase):
    """A share that grows."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)

    def make_selector(self, within: Any = None, **options: Any) -> SlowStart:
        services = Services(self.clock, self.clock, Random(1), make=lambda name, value: within or RoundRobin())
        return factory.build(SlowStartOptions(**options), services)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "slow-start")

    def test_stand_ins(self) -> None:
        """What the selector within sees are backends in every respect."""
        seen: list[Any] = []

        class Within(RoundRobin):
            def select(self, candidates: Any, head: Any) -> Any:
                seen.extend(candidates)
                return super().select(candidates, head)

        backend = FakeBackend("a", since=1000.0, active=7)
        chosen = self.make_selector(Within()).select((backend,), HEAD)
        self.assertIs(chosen, backend)
        verifyObject(IBackend, seen[0])
        self.assertEqual((seen[0].name, seen[0].active), ("a:80", 7))

    def test_weights_are_whole(self) -> None:
        """As `IBackend` says: 1 or more, also where the share is less than a hundredth."""
        seen: list[Any] = []

        class Within(RoundRobin):
            def select(self, candidates: Any, head: Any) -> Any:
                seen.append([candidate.weight for candidate in candidates])
                return super().select(candidates, head)

        candidates = FakeBackend("a", weight=3), FakeBackend("new", since=1000.0), FakeBackend("b", 80, since=999.9)
        selector = self.make_selector(Within(), seconds=30, least=0.001)
        for _ in range(20):
            selector.select(candidates, HEAD)
            self.clock.advance(0.777)
        self.assertEqual([300, 1, 1], seen[0])
        self.assertEqual({int}, {type(weight) for weights in seen for weight in weights})

    def share(self, selector: SlowStart, candidates: Any, turns: int = 2000) -> float:
        counts = Counter([selector.select(candidates, HEAD) for _ in range(turns)])
        return counts[candidates[-1]] / turns

    def test_shares(self) -> None:
        """Of four, one came back: a tenth of a share, half of one, a whole one; for every selector with weights."""
        for within in (RoundRobin(), Weighted()):
            clock_at = self.clock.seconds()
            candidates = (*[FakeBackend(name) for name in "abc"], FakeBackend("new", since=clock_at))
            selector = self.make_selector(within, seconds=20)
            for seconds, part in ((0, 0.1), (5, 0.25), (5, 0.5), (5, 0.75), (5, 1.0), (60, 1.0)):
                self.clock.advance(seconds)
                self.assertLess(abs(self.share(selector, candidates) - part / (3 + part)), 0.01, (within, part))

    def test_grows_all_the_time(self) -> None:
        candidates = (FakeBackend("a"), FakeBackend("new", since=1000.0))
        selector = self.make_selector(seconds=20)
        shares = []
        for _ in range(20):
            shares.append(self.share(selector, candidates, 400))
            self.clock.advance(1)
        self.assertEqual(shares, sorted(shares))
        self.assertLess(max(after - before for before, after in zip(shares, shares[1:], strict=False)), 0.06)

    def test_sockets_that_stay(self) -> None:
        """Least connections would give a new one everything that comes, until it has as many sockets as the others."""
        candidates = (*[FakeBackend(name, active=100) for name in "abc"], FakeBackend("new", since=1000.0))
        for within, least, most in ((LeastConnections(), 10, 14), (RandomOfTwo(Random(2)), 10, 26)):
            candidates[-1].active = 0
            selector = self.make_selector(within, seconds=20)
            for _ in range(40):
                selector.select(candidates, HEAD).active += 1
            self.assertTrue(least <= candidates[-1].active <= most, candidates[-1].active)

    def test_hash(self) -> None:
        """Keys come to the new one little by little, and none moves between the others."""

        class ByPath:
            def __init__(self) -> None:
                self.find = Rendezvous().find

            def select(self, candidates: Any, head: Any) -> Any:
                return self.find(candidates, head.target)

        candidates = (*[FakeBackend(name) for name in "abc"], FakeBackend("new", since=1000.0))
        selector = self.make_selector(ByPath(), seconds=20)
        heads = [request_head(f"/{number}") for number in range(1000)]
        before = [ByPath().select(candidates[:3], head) for head in heads]
        moved = -1
        for _ in range(5):
            after = [selector.select(candidates, head) for head in heads]
            changed = [new for old, new in zip(before, after, strict=True) if new is not old]
            self.assertEqual({backend.host for backend in changed}, {"new"})
            self.assertGreater(len(changed), moved)
            moved = len(changed)
            self.clock.advance(5)
        self.assertLess(abs(moved - 250), 40)

    def test_in_a_pool(self) -> None:
        """``since`` is when it became healthy; a new member starts slowly as well."""
        members = [Member(host=f"10.0.0.{number}") for number in range(3)]
        selector = SlowStart(Weighted(), self.clock.seconds, 10)
        pool = Pool("pool", SETTINGS, members, selector, seconds=self.clock.seconds)
        for backend in pool.backends:
            pool.set_health(backend, True, "ok")
        self.assertEqual(self.counts(pool, 30), [10, 10, 10])  # all begin together
        self.clock.advance(10)
        last = pool.backends[-1]
        pool.set_health(last, False, "dead")
        pool.set_health(last, True, "ok")
        self.assertEqual(self.counts(pool, 210), [100, 100, 10])
        self.clock.advance(10)
        self.assertEqual(self.counts(pool, 30), [10, 10, 10])
        pool.set_members([*members, Member(host="10.0.0.9")])
        pool.set_health(pool.backends[-1], True, "ok")
        self.assertEqual(self.counts(pool, 310), [100, 100, 100, 10])

    def counts(self, pool: Pool, turns: int) -> list[int]:
        before = [backend.leases for backend in pool.backends]
        for _ in range(turns):
            pool.lease(HEAD).release(Outcome())
        return [backend.leases - old for backend, old in zip(pool.backends, before, strict=True)]
