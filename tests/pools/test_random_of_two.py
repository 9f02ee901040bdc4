"""`gateway.pools.random_of_two`."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import IStrategyFactory
from gateway.pools.random_of_two import RandomOfTwo, factory
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head
from tests.pools.statistics import chi_square, limit

HEAD = request_head()


class RandomOfTwoTests(SelectorConformance, SynchronousTestCase):
    """Two are drawn, the better one is taken."""

    def make_selector(self) -> RandomOfTwo:
        return factory.build(None, Services(Clock(), Clock(), Random(1)))

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "random-of-two")

    def test_all_pairs(self) -> None:
        """With equal loads everybody has the same share, and the first of two drawn wins a tie."""
        candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(7)])
        selector = self.make_selector()
        counts = Counter([selector.select(candidates, HEAD) for _ in range(14000)])
        self.assertLess(chi_square(counts, dict.fromkeys(candidates, 1.0)), limit(7))

    def test_better_of_two(self) -> None:
        """The busiest is never chosen, the second busiest only against it: shares are those of the pairs, 0:1:2:3."""
        actives = {"a": 9, "b": 6, "c": 3, "d": 0}
        candidates = tuple([FakeBackend(name, active=active) for name, active in actives.items()])
        selector = self.make_selector()
        counts = Counter([selector.select(candidates, HEAD).host for _ in range(12000)])
        self.assertEqual(counts["a"], 0)
        self.assertLess(chi_square(counts, {"b": 1, "c": 2, "d": 3}), limit(3))

    def test_weights(self) -> None:
        """Long-lived sockets end up in proportion to weights."""
        candidates = tuple([FakeBackend(f"b{number}", weight=1 + number % 3) for number in range(9)])
        selector = self.make_selector()
        for _ in range(1800):
            selector.select(candidates, HEAD).active += 1
        for backend in candidates:
            self.assertLess(abs(backend.active - 100 * backend.weight), 12, backend)

    def test_fuller_than_average(self) -> None:
        """A thousand sockets on a hundred backends: the fullest has 3 more than its share; chance alone gives 10."""
        candidates = tuple([FakeBackend(f"b{number}") for number in range(100)])
        selector, chance = self.make_selector(), Random(1)
        alone = Counter([chance.randrange(100) for _ in range(1000)])
        for _ in range(1000):
            selector.select(candidates, HEAD).active += 1
        self.assertLessEqual(max(backend.active for backend in candidates), 13)
        self.assertGreaterEqual(max(alone.values()), 18)
