"""`gateway.pools.least_latency`, and the measuring that it asks the pool for."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member
from gateway.errors import ClientGone, ConnectFailed
from gateway.interfaces import ILatencyAware, IStrategyFactory
from gateway.pools.latency import Latency
from gateway.pools.least_latency import LatencyOptions, LeastLatency, factory
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head
from gateway.values import Outcome

HEAD = request_head()
SETTINGS = BackendSettings(name="settings")


def known(name: str, seconds: float, **others: Any) -> FakeBackend:
    latency = Latency(10.0)
    latency.add(seconds, 0.0)
    return FakeBackend(name, latency=latency, **others)


class LeastLatencyTests(SelectorConformance, SynchronousTestCase):
    """The choice."""

    def make_selector(self) -> LeastLatency:
        return factory.build(LatencyOptions(), Services(Clock(), Clock(), Random(1)))

    def test_interfaces(self) -> None:
        verifyObject(IStrategyFactory, factory)
        verifyObject(ILatencyAware, self.make_selector())
        self.assertEqual(factory.build(LatencyOptions(decay=3), Services(Clock(), Clock(), Random(1))).decay, 3)

    def test_fastest(self) -> None:
        candidates = (known("a", 0.3), known("b", 0.1), known("c", 0.2))
        self.assertEqual({self.make_selector().select(candidates, HEAD).host for _ in range(5)}, {"b"})

    def test_until_it_is_busy(self) -> None:
        """Three times as fast: it gets three times as much, counting sockets that stay."""
        fast, slow = candidates = known("a", 0.1), known("b", 0.3)
        selector = self.make_selector()
        for _ in range(40):
            selector.select(candidates, HEAD).active += 1
        self.assertEqual((fast.active, slow.active), (30, 10))

    def test_weights(self) -> None:
        heavy, light = candidates = known("a", 0.1, weight=3), known("b", 0.1)
        selector = self.make_selector()
        for _ in range(40):
            selector.select(candidates, HEAD).active += 1
        self.assertEqual((heavy.active, light.active), (30, 10))

    def test_unknown(self) -> None:
        """A new one is asked, but is not trampled."""
        candidates = (known("a", 0.1, active=3), FakeBackend("new"))
        selector = self.make_selector()
        chosen = Counter[str]()
        for _ in range(8):
            backend = selector.select(candidates, HEAD)
            backend.active += 1
            chosen[backend.host] += 1
        self.assertEqual(chosen, {"a": 3, "new": 5})  # 6 and 5 in progress then

    def test_ties_rotate(self) -> None:
        candidates = tuple([FakeBackend(name) for name in "abc"])
        selector = self.make_selector()
        self.assertEqual("".join([selector.select(candidates, HEAD).host for _ in range(6)]), "abcabc")


class MeasuringTests(SynchronousTestCase):
    """What the pool measures, in a whole pool."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = self.make(LeastLatency(self.clock.seconds))

    def make(self, selector: Any, size: int = 2) -> Pool:
        members = [Member(host=f"10.0.0.{number}") for number in range(size)]
        pool = Pool("pool", SETTINGS, members, selector, seconds=self.clock.seconds)
        for backend in pool.backends:
            pool.set_health(backend, True, "ok")
        return pool

    def mean(self, backend: Any) -> Any:
        return backend.latency.mean

    def test_not_without(self) -> None:
        pool = self.make(RoundRobin())
        pool.lease(HEAD).release(Outcome(responded=1.0))
        self.assertEqual([backend.latency for backend in pool.backends], [None, None])

    def test_answer(self) -> None:
        """From the lease to the response head, however long the body takes."""
        lease = self.pool.lease(HEAD)
        self.clock.advance(9.0)
        lease.release(Outcome(responded=0.25, upstream_status=200))
        self.assertEqual(self.mean(lease.backend), 0.25)

    def test_failure(self) -> None:
        for outcome in (Outcome(error=ConnectFailed("refused")), Outcome(responded=0.0, upstream_status=503)):
            lease = self.make(LeastLatency(self.clock.seconds)).lease(HEAD)
            lease.release(outcome)
            self.assertEqual(self.mean(lease.backend), 1.0)

    def test_client_gone(self) -> None:
        """Says nothing of the backend."""
        lease = self.pool.lease(HEAD)
        lease.release(Outcome(error=ClientGone("left")))
        self.assertIsNone(self.mean(lease.backend))

    def test_answer_of_another_attempt(self) -> None:
        """An outcome may have been through other backends before this one."""
        self.clock.advance(5.0)
        lease = self.pool.lease(HEAD)
        lease.release(Outcome(responded=3.0, upstream_status=200))
        self.assertIsNone(self.mean(lease.backend))

    def test_released_twice(self) -> None:
        """Measured once."""
        lease = self.pool.lease(HEAD)
        lease.release(Outcome(responded=0.5))
        lease.release(Outcome(responded=0.1))
        self.assertEqual(self.mean(lease.backend), 0.5)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_shares(self) -> None:
        """Backends that take 10, 20 and 40 ms a request, one at a time, under 100 requests a second.

        Taking turns drowns the slowest, which can do 25; here the fastest does most, and a request takes 20 ms.
        """
        simulated = {selector: self.simulate(selector) for selector in ("turns", "latency")}
        shares, mean = simulated["latency"]
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertGreater(shares[-1], 100)
        self.assertLess(mean, 0.03)
        self.assertGreater(simulated["turns"][1], 1.0)

    def simulate(self, kind: str) -> tuple[list[int], float]:
        """4000 requests, 100 a second at random; each backend works on them one after another."""
        clock, random, number = Clock(), Random(7), count()
        self.clock = clock
        pool = self.make(LeastLatency(clock.seconds) if kind == "latency" else RoundRobin(), 3)
        service = dict(zip(pool.backends, (0.01, 0.02, 0.04), strict=True))
        free = dict.fromkeys(pool.backends, 0.0)
        ends: list[Any] = []
        times = []
        for _ in range(4000):
            start = clock.seconds() + random.expovariate(100)
            while ends and ends[0][0] <= start:
                end, _, lease = heappop(ends)
                clock.advance(end - clock.seconds())
                lease.release(Outcome(responded=end, upstream_status=200))
            clock.advance(start - clock.seconds())
            lease = pool.lease(HEAD)
            end = free[lease.backend] = max(free[lease.backend], start) + service[lease.backend]
            times.append(end - start)
            heappush(ends, (end, next(number), lease))
        return [backend.leases for backend in pool.backends], sum(times) / len(times)
