"""`gateway.pools.least_connections`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import IStrategyFactory
from gateway.pools.least_connections import LeastConnections, factory
from gateway.testing import FakeBackend, SelectorConformance, request_head

HEAD = request_head()


class LeastConnectionsTests(SelectorConformance, SynchronousTestCase):
    """The one that does least."""

    def make_selector(self) -> LeastConnections:
        return factory.build(None, None)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "least-connections")

    def test_least(self) -> None:
        candidates = (FakeBackend("a", active=3), FakeBackend("b", active=1), FakeBackend("c", active=2))
        selector = self.make_selector()
        self.assertEqual({selector.select(candidates, HEAD).host for _ in range(5)}, {"b"})

    def test_ties_rotate(self) -> None:
        candidates = tuple([FakeBackend(name) for name in "abc"])
        selector = self.make_selector()
        self.assertEqual("".join([selector.select(candidates, HEAD).host for _ in range(6)]), "abcabc")

    def test_ties_rotate_past_busy(self) -> None:
        """The neighbour of a busy one does not get its share on top."""
        candidates = (FakeBackend("a"), FakeBackend("b", active=9), FakeBackend("c"), FakeBackend("d"))
        selector = self.make_selector()
        self.assertEqual(Counter([selector.select(candidates, HEAD).host for _ in range(9)]), {"a": 3, "c": 3, "d": 3})

    def test_weights(self) -> None:
        """With weights 2 and 1, three sessions are spread two to one."""
        heavy, light = candidates = (FakeBackend("a", weight=2), FakeBackend("b", weight=1))
        selector = self.make_selector()
        for _ in range(9):
            selector.select(candidates, HEAD).active += 1
        self.assertEqual((heavy.active, light.active), (6, 3))
