"""`gateway.pools.round_robin`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import IStrategyFactory
from gateway.pools.round_robin import RoundRobin, factory
from gateway.testing import FakeBackend, SelectorConformance, request_head

HEAD = request_head()


class RoundRobinTests(SelectorConformance, SynchronousTestCase):
    """Each in turn."""

    def make_selector(self) -> RoundRobin:
        return factory.build(None, None)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "round-robin")

    def test_in_turn(self) -> None:
        a, b, c = candidates = tuple([FakeBackend(name) for name in "abc"])
        selector = self.make_selector()
        self.assertEqual([selector.select(candidates, HEAD) for _ in range(6)], [a, b, c, a, b, c])

    def test_weights(self) -> None:
        """Shares are exact, and the heavy one does not come in a row."""
        candidates = tuple([FakeBackend(name, weight=weight) for name, weight in (("a", 4), ("b", 2), ("c", 1))])
        selector = self.make_selector()
        chosen = "".join([selector.select(candidates, HEAD).host for _ in range(28)])
        self.assertEqual(Counter(chosen), {"a": 16, "b": 8, "c": 4})
        self.assertNotIn("aaaa", chosen)

    def test_retries_keep_shares(self) -> None:
        """The other tuples of retries do not bring the rotation back to its start."""
        candidates = tuple([FakeBackend(name, weight=weight) for name, weight in (("a", 3), ("b", 1))])
        selector = self.make_selector()
        chosen = []
        for _ in range(40):
            chosen.append(selector.select(candidates, HEAD).host)
            chosen.append(selector.select(tuple(list(candidates)), HEAD).host)
        self.assertEqual(Counter(chosen), {"a": 60, "b": 20})
