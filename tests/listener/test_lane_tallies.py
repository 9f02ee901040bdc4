"""Lanes where numbers will do: what is counted is what is counted of exchanges."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.config.model import PassiveHealth
from gateway.health.passive import Passive
from gateway.interfaces import ITally
from gateway.observe.metrics import Metrics
from tests.dialogue import GET, OK, POST
from tests.listener.lane_acts import AGAIN, LIMITS, Act, answers, asks, backend, client, passes
from tests.listener.lanes import World, warmed

CLOSING = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
FAILED = OK.replace(b"200 OK", b"503 No")


@implementer(ITally)
class _Noted:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def opened(self, outcome: Any) -> None:
        self.told.append("opened")

    def ended(self, outcome: Any) -> None:
        self.told.append(outcome)

    def tally(self, *numbers: Any) -> None:
        self.told.append(numbers)


def _watched(test: SynchronousTestCase, lanes: bool, *observers: Any) -> World:
    """A world with these observers and no others."""
    world = World(test, lanes, limits=LIMITS)
    world.shared.observers = observers
    world.shared.tallies = observers if all(map(ITally.providedBy, observers)) else ()
    warmed(world)
    return world


class TallyTests(SynchronousTestCase):
    """With `Metrics` alone, as without an access log."""

    def test_the_same_counters(self) -> None:
        """After each act, with lanes and without."""
        acts: list[Act] = [
            asks(), passes(0.002), answers(), asks(POST), answers(FAILED), asks(AGAIN), passes(0.3), answers(OK[:-2]),
            passes(0.4), answers(OK[-2:]), asks(GET.replace(b"GET", b"HEAD")), answers(OK[:-5]), asks(),
            backend("closes"), asks(), answers(), asks(CLOSING), answers(), client("closes"),
        ]  # fmt: skip
        pages, counts = [], []
        for lanes in (True, False):
            metrics = Metrics()
            world = _watched(self, lanes, metrics)
            page, count = [], []
            for act in acts:
                act(world)
                world.settle()
                page.append(metrics.exposition())
                (member,) = world.pool.backends
                count.append((member.active, member.leases, member.failures))
            pages.append(page)
            counts.append(count)
            self.assertEqual(4 if lanes else 0, world.ended)
            world.over()
        self.assertEqual(*pages)
        self.assertEqual(*counts)
        self.assertIn('code="5xx"} 1', pages[0][-1])

    def test_numbers(self) -> None:
        noted = _Noted()
        world = _watched(self, True, noted)
        noted.told.clear()
        for act in (asks(POST), passes(0.25), answers()):
            act(world)
        (member,) = world.pool.backends
        ((route, chosen, status, received, sent, seconds),) = noted.told
        self.assertEqual(("web", member, 200, len(POST)), (route.listener, chosen, status, received))
        self.assertEqual((len(world.people[0].raw()), 0.25), (2 * sent, seconds))
        world.over()

    def test_who_wants_an_outcome(self) -> None:
        """Another observer, or whoever judges the backend by it."""
        noted, other = _Noted(), Mock()
        for observers, witness in (((noted, other), False), ((noted,), True)):
            noted.told.clear()
            world = _watched(self, True, *observers)
            if witness:
                Passive(world.pool, PassiveHealth(server_errors=2), world.clock).watch()
            asks()(world)
            answers(FAILED)(world)
            self.assertEqual(1, world.ended)
            self.assertEqual(503, noted.told[-1].status)
            world.over()
        self.assertEqual(503, other.ended.call_args[0][0].status)

    def test_one_that_raises_harms_nobody(self) -> None:
        bad, noted = _Noted(), _Noted()
        self.patch(bad, "tally", lambda *numbers: 1 / 0)
        world = _watched(self, True, bad, noted)
        for _ in range(2):
            asks()(world)
            answers()(world)
        self.assertEqual(2, world.ended)
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(2, len([told for told in noted.told if isinstance(told, tuple)]))
        world.over()
