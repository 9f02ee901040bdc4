"""`gateway.pools.changes`."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, ConnectionDraining, Member, Probe
from gateway.errors import SessionEnded
from gateway.health.monitor import HealthMonitor
from gateway.observe.sessions import Sessions
from gateway.pools.backend import Loads
from gateway.pools.changes import Changes
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.testing import request_head
from gateway.values import Outcome, ProbeResult, Route

HEAD = request_head()
ONE, TWO, THREE, FOUR = (Member(host=f"10.0.0.{number}") for number in (1, 2, 3, 4))


class Healthy:
    """A probe that finds everybody well; those of ``slow`` when their Deferred fires."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.slow: dict[str, Deferred[ProbeResult]] = {}

    def check(self, backend: Any, deadline: float) -> Any:
        self.checked.append(backend.host)
        return self.slow.get(backend.host) or succeed(ProbeResult(True, "ok"))


class Session:
    """One that ends as soon as it is told to."""

    def __init__(self, case: ChangesCase, pool: Pool) -> None:
        self.case = case
        self.lease = pool.lease(HEAD)
        route = Route("listener", "rule", pool, pool.settings)
        self.outcome = Outcome(route=route, backend=self.lease.backend)
        self.ended: SessionEnded | None = None
        case.sessions.add(self)

    def end(self, error: SessionEnded) -> None:
        self.ended = error
        self.case.sessions.remove(self)
        self.lease.release(self.outcome)


class ChangesCase(SynchronousTestCase):
    """A pool of two that are probed."""

    def setUp(self) -> None:
        self.clock, self.loads = Clock(), Loads()
        self.sessions = Sessions(self.clock, Random(1))
        self.monitor = HealthMonitor(self.clock, Random(1))
        self.forgotten: list[Any] = []
        self.changes = Changes(self.monitor, self.sessions, self.forgotten.append, self.clock)
        self.probe = Healthy()
        self.monitor.start()
        self.addCleanup(self.monitor.stop)
        self.addCleanup(self.changes.stop)

    def pool(self, draining: int | None = 60, name: str = "settings") -> Pool:
        draining_settings = ConnectionDraining(enabled=draining is not None, drain_timeout_in_sec=draining or 30)
        settings = BackendSettings(name=name, connection_draining=draining_settings)
        made = Pool("pool", settings, [ONE, TWO], RoundRobin(), loads=self.loads, seconds=self.clock.seconds)
        self.monitor.watch(made, self.probe, Probe(name="probe", interval=1000, timeout=10))
        self.clock.advance(0)
        return made


class MemberTests(ChangesCase):
    """Coming and going."""

    def test_probes_follow(self) -> None:
        pool = self.pool()
        self.assertEqual(self.probe.checked, ["10.0.0.1", "10.0.0.2"])
        self.changes.apply(pool, [TWO, THREE])
        self.clock.advance(0)
        self.assertEqual(self.probe.checked, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        self.assertEqual([backend.host for backend in pool.candidates], ["10.0.0.2", "10.0.0.3"])
        self.clock.advance(1200)
        self.assertEqual(sorted(self.probe.checked[3:]), ["10.0.0.2", "10.0.0.3"])

    def test_connections_of_who_went(self) -> None:
        pool = self.pool()
        one, _ = pool.backends
        self.changes.apply(pool, [TWO, THREE])
        self.assertEqual(self.forgotten, [one])

    def test_same_members(self) -> None:
        pool = self.pool()
        before = pool.backends
        self.changes.apply(pool, [ONE, TWO])
        self.assertEqual((pool.backends, self.forgotten), (before, []))


class HandoverTests(ChangesCase):
    """All that can be chosen go."""

    def setUp(self) -> None:
        super().setUp()
        self.chosen = self.pool()
        for member in (THREE, FOUR):
            self.probe.slow[member.host] = Deferred()

    def members(self) -> list[int]:
        self.clock.advance(0.1)
        return [int(backend.host[-1]) for backend in self.chosen.backends]

    def test_one_that_comes_takes_over(self) -> None:
        self.changes.apply(self.chosen, [THREE, FOUR])
        self.assertEqual([3, 4, 1, 2], self.members())
        self.assertEqual(["10.0.0.1", "10.0.0.2"], [backend.host for backend in self.chosen.candidates])
        self.clock.advance(5)
        self.assertEqual([3, 4, 1, 2], self.members())
        self.probe.slow[FOUR.host].callback(ProbeResult(True, "ok"))
        self.assertEqual([3, 4], self.members())
        self.assertEqual(["10.0.0.1", "10.0.0.2"], [backend.host for backend in self.forgotten])
        self.assertEqual(["10.0.0.4"], [backend.host for backend in self.chosen.candidates])

    def test_nobody_can_take_over(self) -> None:
        self.changes.apply(self.chosen, [THREE, FOUR])
        self.probe.slow[FOUR.host].callback(ProbeResult(False, "refused"))
        self.assertEqual([3, 4, 1, 2], self.members())
        self.probe.slow[THREE.host].callback(ProbeResult(False, "refused"))
        self.assertEqual([3, 4], self.members())

    def test_not_for_ever(self) -> None:
        self.probe.check = lambda backend, deadline: Deferred()  # type: ignore[method-assign]
        self.monitor.stop()
        self.changes.apply(self.chosen, [THREE])
        self.clock.advance(29)
        self.assertEqual([3, 1, 2], self.members())
        self.clock.advance(1)
        self.assertEqual([3], self.members())

    def test_somebody_stays(self) -> None:
        self.changes.apply(self.chosen, [TWO, THREE])
        self.assertEqual([2, 3], self.members())

    def test_nobody_comes(self) -> None:
        self.changes.apply(self.chosen, [])
        self.assertEqual([], self.members())

    def test_who_is_down_goes(self) -> None:
        self.chosen.set_health(self.chosen.backends[0], False, "down")
        self.changes.apply(self.chosen, [THREE])
        self.assertEqual([3, 2], self.members())

    def test_another_change_meanwhile(self) -> None:
        """Also one that says the same again, as of a discovery; and one that brings back who was to go."""
        for _ in range(2):
            self.changes.apply(self.chosen, [THREE])
            self.assertEqual([3, 1, 2], self.members())
        self.changes.apply(self.chosen, [FOUR])
        self.assertEqual([4, 1, 2], self.members())
        self.changes.apply(self.chosen, [ONE, FOUR])
        self.assertEqual([1, 4], self.members())
        self.clock.advance(60)
        self.assertEqual([1, 4], self.members())

    def test_stop(self) -> None:
        self.changes.apply(self.chosen, [THREE])
        self.changes.stop()
        self.monitor.stop()
        self.assertEqual([], [call for call in self.clock.getDelayedCalls() if "look" in str(call.func)])


class DrainingTests(ChangesCase):
    """Sessions of members that have gone."""

    def open(self, pool: Pool, count: int = 4) -> list[Session]:
        return [Session(self, pool) for _ in range(count)]

    def test_ended(self) -> None:
        """After the time, with 1001, and only those of that member."""
        pool = self.pool(60)
        sessions = self.open(pool)
        gone = [session for session in sessions if session.lease.backend.host == "10.0.0.1"]
        self.changes.apply(pool, [TWO])
        self.clock.advance(59.9)
        self.assertEqual({session.ended for session in sessions}, {None})
        self.assertEqual(self.changes.draining, 1)
        self.clock.pump([0.1] * 20)
        self.assertEqual([session for session in sessions if session.ended], gone)
        self.assertEqual({(session.ended.code, session.ended.cause) for session in gone}, {(1001, "drained")})
        self.assertEqual((self.changes.draining, self.flushWarnings()), (0, []))

    def test_paced(self) -> None:
        """A thousand clients that come back in one instant are a flood: it takes ten seconds, evenly."""
        pool = self.pool(60)
        sessions = self.open(pool, 2000)
        self.changes.apply(pool, [TWO])
        self.clock.advance(60)
        left = []
        for _ in range(12):
            self.clock.pump([0.002] * 500)
            left.append(sum(session.ended is None for session in sessions) - 1000)
        self.assertEqual(left, sorted(left, reverse=True))
        self.assertTrue(400 < left[4] < 600, left)
        self.assertEqual(left[-1], 0)

    def test_not_enabled(self) -> None:
        """Then they stay as long as they like."""
        pool = self.pool(None)
        sessions = self.open(pool)
        self.changes.apply(pool, [TWO])
        self.clock.advance(3600)
        self.assertEqual({session.ended for session in sessions}, {None})

    def test_back_in_time(self) -> None:
        """A member that is there again keeps its sessions, before the time and while they are being ended."""
        pool = self.pool(60)
        sessions = self.open(pool, 400)
        self.changes.apply(pool, [TWO])
        self.clock.advance(59)
        self.changes.apply(pool, [ONE, TWO])
        self.clock.advance(60)
        self.assertEqual({session.ended for session in sessions}, {None})
        self.changes.apply(pool, [TWO])
        self.clock.advance(60)
        self.clock.pump([0.02] * 50)
        self.changes.apply(pool, [ONE, TWO])
        ended = sum(session.ended is not None for session in sessions)
        self.assertTrue(0 < ended < 200)
        self.clock.advance(60)
        self.assertEqual(sum(session.ended is not None for session in sessions), ended)
        self.assertEqual(self.changes.draining, 0)
        self.assertEqual(pool.backends[0].active, 200 - ended)  # and they are counted

    def test_nothing_to_wait_for(self) -> None:
        pool = self.pool(60)
        self.changes.apply(pool, [TWO])
        self.assertEqual(self.changes.draining, 0)

    def test_sessions_end_by_themselves(self) -> None:
        pool = self.pool(60)
        sessions = self.open(pool, 2)
        self.changes.apply(pool, [TWO])
        for session in sessions:
            session.end(SessionEnded(1000, "", "ok"))
        self.clock.advance(60)
        self.assertEqual(self.changes.draining, 0)

    def test_each_settings(self) -> None:
        """The time is that of the settings that the session came by."""
        quick, slow = self.pool(10, "quick"), self.pool(100, "slow")
        first, second = Session(self, quick), Session(self, slow)
        for pool in (quick, slow):
            self.changes.apply(pool, [THREE])
        self.clock.pump([0.1, 10, 0.1, 0.1])
        self.assertEqual((first.ended is not None, second.ended is not None), (True, False))
        self.clock.pump([90, 0.1, 0.1])
        self.assertIsNotNone(second.ended)

    def test_stop(self) -> None:
        pool = self.pool(60)
        self.open(pool, 400)
        self.changes.apply(pool, [TWO])
        self.changes.stop()
        self.changes.apply(pool, [THREE])
        self.clock.advance(60)
        self.changes.stop()
        self.monitor.stop()
        self.assertEqual((self.changes.draining, self.clock.getDelayedCalls()), (0, []))
