"""`gateway.pools.weighted`."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import IStrategyFactory
from gateway.pools.weighted import Weighted, factory
from gateway.testing import FakeBackend, SelectorConformance, request_head

HEAD = request_head()


class WeightedTests(SelectorConformance, SynchronousTestCase):
    """Exact shares, evenly spread."""

    def make_selector(self) -> Weighted:
        return factory.build(None, None)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "weighted")

    def test_smooth(self) -> None:
        """The example that nginx's authors give."""
        candidates = tuple([FakeBackend(name, weight=weight) for name, weight in zip("abc", (5, 1, 1), strict=True)])
        selector = self.make_selector()
        self.assertEqual("".join([selector.select(candidates, HEAD).host for _ in range(14)]), "aabacaa" * 2)

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    def test_exact(self, weights: list[int]) -> None:
        """In each round everybody has as many turns as its weight."""
        candidates = tuple([FakeBackend(f"b{number}", weight=weight) for number, weight in enumerate(weights)])
        selector = self.make_selector()
        for _ in range(2):
            turns = Counter([selector.select(candidates, HEAD) for _ in range(sum(weights))])
            self.assertEqual([turns[backend] for backend in candidates], weights)

    def test_never_far_behind(self) -> None:
        """At any moment nobody is a whole turn ahead of or behind its share."""
        weights = {"a": 7, "b": 4, "c": 2, "d": 1}
        candidates = tuple([FakeBackend(name, weight=weight) for name, weight in weights.items()])
        selector = self.make_selector()
        turns: Counter[str] = Counter()
        for number in range(1, 141):
            turns[selector.select(candidates, HEAD).host] += 1
            for name, weight in weights.items():
                self.assertLess(abs(turns[name] - number * weight / 14), 1.0, (number, name))

    def test_change_keeps_the_round(self) -> None:
        """A tuple that is new and says the same does not begin with the first again."""
        backends = [FakeBackend(name) for name in "abc"]
        selector = self.make_selector()
        self.assertEqual("".join([selector.select(tuple(backends), HEAD).host for _ in range(6)]), "abcabc")
