"""`gateway.pools.priority`."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member
from gateway.errors import ConfigurationError, Problem
from gateway.interfaces import IStrategyFactory
from gateway.pools.pool import Pool
from gateway.pools.priority import Priority, PriorityOptions, factory
from gateway.pools.round_robin import RoundRobin
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head
from gateway.values import Outcome

HEAD = request_head()


class PriorityTests(SelectorConformance, SynchronousTestCase):
    """Groups."""

    def make_selector(self, **options: Any) -> Priority:
        services = Services(Clock(), Clock(), Random(1), make=lambda name, value: RoundRobin())
        return factory.build(PriorityOptions(**options), services)

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        self.assertEqual(factory.name, "priority")

    def chosen(self, selector: Priority, candidates: Any) -> str:
        return "".join(sorted({selector.select(candidates, HEAD).host for _ in range(12)}))

    def test_failover(self) -> None:
        a, b, c, d = (FakeBackend(name, priority=group) for name, group in zip("abcd", (0, 0, 1, 5), strict=True))
        selector = self.make_selector()
        for candidates, wanted in (
            ((a, b, c, d), "ab"), ((d, c, b), "b"), ((c, d), "c"), ((d,), "d"), ((d, a), "a"), ((a, b, c, d), "ab"),
        ):  # fmt: skip
            self.assertEqual(self.chosen(selector, candidates), wanted)

    def test_least(self) -> None:
        """The next group joins in as soon as the first is too small, and all are used where even that is too few."""
        a, b, c, d = (FakeBackend(name, priority=group) for name, group in zip("abcd", (0, 0, 1, 2), strict=True))
        selector = self.make_selector(least=2)
        for candidates, wanted in (((a, b, c, d), "ab"), ((a, c, d), "ac"), ((c, d), "cd"), ((d,), "d")):
            self.assertEqual(self.chosen(selector, candidates), wanted)

    def test_within_sees_one_object(self) -> None:
        """What changes in a group that is not used is nothing new to the selector within."""
        seen = []

        class Within(RoundRobin):
            def select(self, candidates: Any, head: Any) -> Any:
                seen.append(candidates)
                return super().select(candidates, head)

        a, b, c = FakeBackend("a"), FakeBackend("b"), FakeBackend("c", priority=1)
        selector = Priority(Within)
        for candidates in ((a, b, c), (a, b), (a, b, c)):
            selector.select(candidates, HEAD)
        self.assertEqual(len({id(used) for used in seen}), 1)

    def test_in_step(self) -> None:
        """Exchanges that try the first group in vain take turns in the second."""
        a, b, c = FakeBackend("a"), FakeBackend("b", priority=1), FakeBackend("c", priority=1)
        selector, served = self.make_selector(), []
        for _ in range(6):
            self.assertIs(selector.select((a, b, c), HEAD), a)
            served.append(selector.select((b, c), HEAD).host)
        self.assertEqual("".join(served), "bcbcbc")

    def test_many_priorities(self) -> None:
        """Somebody who invents new ones does not fill the memory."""
        selector = self.make_selector()
        for number in range(200):
            selector.select((FakeBackend("a", priority=number),), HEAD)
        self.assertLessEqual(len(selector._groups), 64)

    def test_first_group_has_inner(self) -> None:
        """What marks clients is what chooses."""
        asked = []

        class Within(RoundRobin):
            def select(self, candidates: Any, head: Any) -> Any:
                asked.append(self)
                return super().select(candidates, head)

        selector = Priority(Within)
        selector.select((FakeBackend("a"), FakeBackend("b", priority=1)), HEAD)
        self.assertEqual([selector.inner], asked)

    def test_nothing_more_than_needed(self) -> None:
        """One group builds one selector, and who invents priorities has a bounded number built."""
        made: list[RoundRobin] = []

        def make() -> RoundRobin:
            made.append(RoundRobin())
            return made[-1]

        selector = Priority(make)
        selector.select((FakeBackend("a"),), HEAD)
        self.assertEqual(1, len(made))
        for number in range(200):
            self.assertEqual("a", selector.select((FakeBackend("a", priority=number),), HEAD).host)
        self.assertEqual(64, len(made))

    def test_cannot_be_built_again(self) -> None:
        """Requests do not fail where the selector of a further group does; it is said once."""
        once = iter([RoundRobin()])

        def make() -> RoundRobin:
            for found in once:
                return found
            raise ConfigurationError([Problem("pools[0].selectorOptions.over", "the database is gone")])

        selector = Priority(make)
        first, second = FakeBackend("a"), FakeBackend("b", priority=1)
        with capturedLogs() as events:
            chosen = [selector.select(those, HEAD).host for those in ((first, second), (second,), (first,), (second,))]
        self.assertEqual("abab", "".join(chosen))
        (event,) = events
        self.assertIn("the database is gone", formatEvent(event))

    def test_in_a_pool(self) -> None:
        """Also within one exchange: the first group was tried, so the second is."""
        members = [Member(host="10.0.0.1"), Member(host="10.0.0.2", priority=1), Member(host="10.0.0.3", priority=1)]
        pool = Pool("pool", BackendSettings(name="settings"), members, Priority(RoundRobin))
        for backend in pool.backends:
            pool.set_health(backend, True, "ok")
        first, second, third = pool.backends
        self.assertIs(pool.lease(HEAD).backend, first)
        self.assertEqual({pool.lease(HEAD, (first,)).backend for _ in range(4)}, {second, third})
        session = pool.lease(HEAD)
        pool.set_health(first, False, "dead")
        self.assertEqual({pool.lease(HEAD).backend for _ in range(4)}, {second, third})
        pool.set_health(first, True, "ok")
        self.assertIs(pool.lease(HEAD).backend, first)
        session.release(Outcome())

    def test_new_priority(self) -> None:
        """A member that stays keeps its object and gets the new priority."""
        pool = Pool("pool", BackendSettings(name="s"), [Member(host="10.0.0.1")], RoundRobin())
        (backend,) = pool.backends
        pool.set_members([Member(host="10.0.0.1", priority=3)])
        self.assertEqual((pool.backends, backend.priority), ((backend,), 3))
