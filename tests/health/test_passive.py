"""`gateway.health.passive`: from released leases to the state of members, and back."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member, PassiveHealth, Probe
from gateway.errors import BackendClosed, ClientGone, ConnectFailed, OutOfResources
from gateway.health.monitor import HealthMonitor
from gateway.pools.lease import Lease
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.testing import request_head
from gateway.values import Outcome, ProbeResult

HEAD = request_head()
OK, FAILED = {"upstream_status": 200}, {"upstream_status": 503}
REFUSED = {"error": ConnectFailed("refused")}


class PassiveCase(SynchronousTestCase):
    """A watched pool of members that are up."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[Any] = []
        self.good = True
        self.addCleanup(self.finish)

    def start(self, count: int = 3, **rules: Any) -> Pool:
        """A pool with these rules, probed every 1000 s."""
        log = Logger(observer=self.events.append)  # type: ignore[arg-type]
        self.monitor = HealthMonitor(self.clock, Random(0), log)
        members = [Member(host=f"10.0.0.{number}") for number in range(1, count + 1)]
        self.pool = Pool(
            "pool", BackendSettings(name="s"), members, RoundRobin(), log, passive=PassiveHealth(**rules)
        )
        self.monitor.watch(self.pool, self, Probe(name="p", interval=1000, timeout=5, unhealthy_threshold=1))  # type: ignore[arg-type]
        self.monitor.start()
        self.assertEqual(count, len(self.pool.candidates))
        self.events.clear()
        return self.pool

    def check(self, backend: Any, deadline: float) -> Any:
        """It is its own probe."""
        return succeed(ProbeResult(self.good, "the answer was 200" if self.good else "the answer was 500"))

    def ends(self, number: int = 0, times: int = 1, **outcome: Any) -> None:
        """Leases of a member end so."""
        backend = self.pool.backends[number]
        for _ in range(times):
            backend.load.active += 1
            started = outcome.get("started", self.clock.seconds())
            Lease(backend, backend.load).release(Outcome(**{**outcome, "started": started}))

    def states(self) -> list[str]:
        return [backend.state for backend in self.pool.backends]

    def reason(self, number: int = 0) -> str:
        return self.pool.backends[number].reason

    def finish(self) -> None:
        self.monitor.stop()
        self.assertEqual([], self.clock.getDelayedCalls())


class EjectionTests(PassiveCase):
    """Out and in."""

    def test_connect_failures(self) -> None:
        pool = self.start()
        self.ends(times=4, **REFUSED)
        self.assertEqual(["up", "up", "up"], self.states())
        self.ends(**REFUSED)
        self.assertEqual(["down", "up", "up"], self.states())
        self.assertEqual("ejected for 30 s: 5 connect failures in a row", self.reason())
        one = pool.backends[0]
        self.assertEqual((1, False, pool.backends[1:]), (one.ejections, one.healthy, pool.candidates))
        self.assertIn("up -> down: ejected for 30 s", _text(self.events[-1]))
        self.clock.advance(29.9)
        self.assertEqual("down", one.state)
        self.clock.advance(0.1)
        self.assertEqual(("up", "", True), (one.state, one.ejected, one.healthy))
        self.assertEqual("let in again on trial: 30 s are over", one.reason)

    def test_a_good_one_between(self) -> None:
        self.start()
        for bad in (REFUSED, FAILED, {"error": BackendClosed("x")}):
            for _ in range(4):
                self.ends(times=4, **bad)
                self.ends(**OK)
        self.ends(times=20, error=ClientGone("left"))
        self.ends(times=20, error=OutOfResources("no descriptor"))
        self.assertEqual(["up", "up", "up"], self.states())

    def test_sessions(self) -> None:
        self.start()
        lost = {"upstream_status": 101, "closed_by": "backend", "close_code": 1006, "responded": 0.0}
        self.ends(times=5, **lost, ended=100.0)
        self.assertEqual("ejected for 30 s: 5 abnormal closes in a row", self.reason())
        self.ends(1, times=3, **lost, ended=2.0)
        self.assertEqual("ejected for 30 s: 3 sessions that died early in a row", self.reason(1))

    def test_half_open_one_failure_is_enough(self) -> None:
        self.start()
        self.ends(times=5, **FAILED)
        self.clock.advance(30)
        self.ends(**FAILED)
        self.assertEqual("ejected for 60 s: failed answer on trial", self.reason())
        self.clock.advance(59.9)
        self.assertEqual("down", self.states()[0])
        self.clock.advance(0.1)
        self.assertEqual("up", self.states()[0])

    def test_half_open_one_success_is_enough(self) -> None:
        self.start()
        self.ends(times=5, **FAILED)
        self.clock.advance(30)
        self.ends(**OK)
        self.ends(times=4, **FAILED)
        self.assertEqual("up", self.states()[0])
        self.ends(**FAILED)
        self.assertEqual("ejected for 60 s: 5 failed answers in a row", self.reason())

    def test_what_began_before_says_nothing_on_trial(self) -> None:
        self.start()
        self.ends(times=5, **FAILED)
        self.ends(times=5, **FAILED)
        self.clock.advance(30)
        self.ends(started=1.0, **FAILED)
        self.ends(started=1.0, **OK)
        self.assertEqual("up", self.states()[0])
        self.ends(**FAILED)
        self.assertEqual(("down", 2), (self.states()[0], self.pool.backends[0].ejections))

    def test_calm_is_rewarded(self) -> None:
        self.start(max_ejection_seconds=90)
        for seconds in (30, 60, 90, 90):
            self.ends(times=5, **FAILED)
            self.assertIn(f"ejected for {seconds} s", self.reason())
            self.clock.advance(seconds)
            self.ends(**OK)
        self.clock.advance(120)
        self.ends(times=5, **FAILED)
        self.assertIn("ejected for 30 s", self.reason())

    def test_share(self) -> None:
        """Never more than the share, and the last one stays; room that comes is used."""
        pool = self.start(4)
        for number in range(3):
            self.ends(number, times=5, **FAILED)
        self.assertEqual(["down", "down", "up", "up"], self.states())
        self.assertEqual("would be ejected (5 failed answers in a row), but enough of the pool are out", self.reason(2))
        pool.set_health(pool.backends[3], False, "cannot connect")
        self.clock.advance(30)
        self.ends(2, **FAILED)
        self.assertEqual(["up", "up", "down", "down"], self.states())
        self.assertEqual("ejected for 30 s: 6 failed answers in a row", self.reason(2))

    def test_the_last_one_stays(self) -> None:
        pool = self.start(2, max_ejected_percent=100)
        pool.set_health(pool.backends[1], False, "cannot connect")
        self.ends(times=50, **FAILED)
        self.assertEqual((["up", "down"], pool.backends[:1]), (self.states(), pool.candidates))

    def test_off(self) -> None:
        """A pool without rules has no witnesses, and nothing happens to it."""
        pool = Pool("off", BackendSettings(name="s"), [Member(host="10.0.0.1")], RoundRobin())
        self.start()
        self.monitor.watch(pool, self, Probe(name="p", interval=1000, timeout=5))  # type: ignore[arg-type]
        self.assertEqual(("up", None), (pool.backends[0].state, pool.backends[0].witness))


class ProbeTests(PassiveCase):
    """With probes beside it."""

    def test_a_good_probe_changes_nothing_by_default(self) -> None:
        self.start(base_ejection_seconds=5000, max_ejection_seconds=5000)
        self.ends(times=5, **FAILED)
        self.clock.advance(1200)
        self.assertEqual("down", self.states()[0])
        self.assertIn("ejected for 5000 s", self.reason())

    def test_a_good_probe_ends_it_where_that_is_wanted(self) -> None:
        self.start(base_ejection_seconds=5000, max_ejection_seconds=5000, readmit="probe")
        self.ends(times=5, **FAILED)
        self.clock.advance(1200)
        self.assertEqual("up", self.states()[0])
        self.ends(**FAILED)
        self.assertIn("on trial", self.reason())

    def test_a_backend_that_probes_find_bad_is_not_let_in(self) -> None:
        self.start(base_ejection_seconds=1500, max_ejection_seconds=1500)
        self.ends(times=5, **FAILED)
        self.good = False
        self.clock.advance(1200)
        self.assertIn("ejected for 1500 s", self.reason())
        self.clock.advance(300)
        self.assertEqual(("down", "the answer was 500"), (self.states()[0], self.reason()))
        self.good = True
        self.clock.advance(1100)
        self.assertEqual(("up", "the answer was 200"), (self.states()[0], self.reason()))

    def test_what_is_down_is_not_ejected(self) -> None:
        pool = self.start()
        pool.set_health(pool.backends[0], False, "cannot connect")
        self.ends(times=50, **FAILED)
        self.assertEqual(("cannot connect", 0), (self.reason(), pool.backends[0].ejections))

    def test_draining_shows(self) -> None:
        pool = self.start()
        pool.set_draining(pool.backends[0], True)
        self.ends(times=5, **FAILED)
        self.assertEqual("draining", self.states()[0])
        pool.set_draining(pool.backends[0], False)
        self.assertIn("ejected for 30 s", self.reason())


class MembershipTests(PassiveCase):
    """Members come and go, and so does the watch."""

    def test_members_change(self) -> None:
        pool = self.start()
        one, two, _ = pool.backends
        self.ends(times=5, **FAILED)
        pool.set_members([Member(host="10.0.0.1"), Member(host="10.0.0.9")])
        self.monitor.watch(pool, self, Probe(name="p", interval=1000, timeout=5))  # type: ignore[arg-type]
        self.assertEqual(("down", None), (one.state, two.witness))
        self.assertIsNotNone(pool.backends[1].witness)
        two.load.active += 1
        Lease(two, two.load).release(Outcome(**FAILED))
        self.clock.advance(30)
        self.assertEqual("up", one.state)

    def test_a_member_that_left_has_no_timer(self) -> None:
        pool = self.start()
        self.ends(times=5, **FAILED)
        pool.set_members([Member(host="10.0.0.9")])
        self.monitor.watch(pool, self, Probe(name="p", interval=1000, timeout=5))  # type: ignore[arg-type]
        self.clock.advance(30)
        self.assertEqual(["up"], self.states())

    def test_unwatch_ends_ejections(self) -> None:
        pool = self.start()
        self.ends(times=5, **FAILED)
        self.monitor.unwatch(pool)
        self.assertEqual(("up", None), (self.states()[0], pool.backends[0].witness))


def _text(event: dict[str, Any]) -> str:
    return f"{event['old_state']} -> {event['new_state']}: {event['reason']}"
