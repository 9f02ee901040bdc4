"""`gateway.discovery.membership`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.config.model import Member
from gateway.discovery.membership import MOST_MEMBERS, Membership
from gateway.discovery.static import Static
from gateway.interfaces import IDiscovery
from gateway.strategies.contained import ContainedDiscovery
from gateway.strategies.containment import Containment, Terms
from gateway.testing import FakePool
from tests.plugin_log import PluginLog


@implementer(IDiscovery)
class Told:
    """Finds what the test tells it."""

    def __init__(self) -> None:
        self.first: Deferred[None] = Deferred()
        self.stopping: Deferred[None] = Deferred()
        self.stopped = False

    def start(self, found: Any) -> Deferred[None]:
        self.found = found
        return self.first

    def stop(self) -> Deferred[None]:
        self.stopped = True
        return self.stopping


class Broken(Static):
    """Cannot start, and cannot stop either."""

    def start(self, found: Any) -> None:
        raise RuntimeError("no network")

    def stop(self) -> None:
        raise RuntimeError("no network")


class MembershipTests(SynchronousTestCase):
    """From discoveries to pools."""

    def setUp(self) -> None:
        self.changes: list[tuple[str, list[str]]] = []
        self.told = Told()

    def make(self, *discoveries: Any, names: str = "ab") -> Membership:
        pools = [FakePool(name) for name in names]
        self.membership = Membership(
            dict(zip("ab", discoveries, strict=False)), {"a": [Member(host="listed")]}, lambda: pools, self.change
        )
        self.membership.start()
        return self.membership

    def change(self, pool: Any, members: Any) -> None:
        self.changes.append((pool.name, [member.host for member in members]))

    def test_listed_and_found(self) -> None:
        self.make(self.told, Static())
        self.assertEqual(self.changes, [("b", [])])
        self.told.found(iter([Member(host="x"), Member(host="y")]))
        self.assertEqual(self.changes[1:], [("a", ["listed", "x", "y"])])
        self.told.found(())
        self.assertEqual(self.changes[2:], [("a", ["listed"])])

    def test_all_settings(self) -> None:
        """One discovery for all pools of that name, each of which has settings of its own."""
        self.make(self.told, names="aab")
        self.told.found([Member(host="x")])
        self.assertEqual(self.changes, [("a", ["listed", "x"])] * 2)

    def test_ready(self) -> None:
        membership = self.make(self.told, Static())
        self.assertEqual(membership.waiting, ["a"])
        ready = membership.when_ready()
        self.assertNoResult(ready)
        self.told.first.callback(None)
        self.successResultOf(ready)
        self.assertEqual(membership.waiting, [])
        self.successResultOf(membership.when_ready())

    def test_nonsense(self) -> None:
        """Is logged, and the members stay as they are; it does not come back to the discovery."""
        log = PluginLog(self)
        self.make(self.told)
        many = [Member(host=f"h{number}") for number in range(MOST_MEMBERS + 1)]
        endless = (Member(host=f"h{number}") for number in count())
        unfired: Deferred[Any] = Deferred()  # which gives itself, again and again, where it is iterated
        for nonsense in (None, 7, ["10.0.0.1:80"], [Member(host="x"), None], many, endless, unfired):
            self.told.found(nonsense)
        self.assertEqual(self.changes, [])
        self.assertEqual(7, len(log.lines))
        self.assertIn("discovery 'Told' of pool 'a' failed (1 so far): TypeError", log.lines[0])
        self.assertIn(
            "found() was called with a Deferred: wait for the members, and call it with a list of them", log.lines[-1]
        )

    def test_again_and_again(self) -> None:
        """It counts as switched off; its first good word is heard all the same, for it may be the only one."""
        PluginLog(self)
        contained = Containment("discovery", "told", ours=False, terms=Terms(3, 30, 0.1))
        self.make(ContainedDiscovery(self.told, contained))
        for _ in range(5):
            self.told.found(None)
        self.assertEqual((5, True, []), (contained.failures, contained.off, self.changes))
        self.told.found([Member(host="x")])
        self.assertEqual((False, 1), (contained.off, len(self.changes)))

    def test_broken(self) -> None:
        """One that fails does not stop the others, nor the gateway."""
        log = PluginLog(self)
        membership = self.make(Broken(), Static())
        self.assertEqual(self.changes, [("b", [])])
        self.assertEqual(membership.waiting, [])
        for _, stopped in membership.stop():
            self.successResultOf(stopped)
        self.assertEqual(1, len(log.lines))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))  # it could not be stopped

    def test_failing_to_start(self) -> None:
        """Whatever it does instead of what it should is said, and the members that are listed stay."""
        cases = (
            (lambda: fail(KeyError("x")), "KeyError: 'x'"),
            (lambda: fail(KeyboardInterrupt()), "it raised KeyboardInterrupt"),
            (self.leave, "it wanted to end the process"), (lambda: 42, "start() returned int, not None or a Def"),
            (lambda: "found", "start() returned str, not None or a Deferred"),
        )  # fmt: skip
        for start, text in cases:
            log = PluginLog(self)
            self.told.start = lambda found, start=start: start()  # type: ignore[method-assign,misc]
            membership = self.make(self.told)
            (line,) = log.lines
            self.assertIn("discovery 'Told' of pool 'a' failed (1 so far)", line)
            self.assertIn(text, line)
            self.assertEqual(([], "listed"), (membership.waiting, membership.members("a")[0].host))

    def leave(self) -> None:
        raise SystemExit(0)

    def test_members_that_are_a_generator_that_fails(self) -> None:
        def members() -> Iterator[Member]:
            yield Member(host="x")
            raise KeyboardInterrupt

        log = PluginLog(self)
        self.make(self.told)
        self.told.found(members())
        self.assertEqual(([], 1), (self.changes, len(log.lines)))

    def test_stop(self) -> None:
        membership = self.make(self.told)
        ((what, stopped),) = membership.stop()
        self.assertEqual("stop() of discovery 'Told' of pool 'a'", what)
        self.assertTrue(self.told.stopped)
        self.assertNoResult(stopped)
        self.told.found([Member(host="x")])
        self.told.first.errback(RuntimeError("cancelled"))
        self.assertEqual(self.changes, [])
        self.told.stopping.callback(None)
        self.successResultOf(stopped)
