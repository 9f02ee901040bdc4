"""`gateway.health.monitor` and `gateway.health.target`."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.config.model import BackendSettings, Member, Probe
from gateway.health.monitor import HealthMonitor
from gateway.interfaces import IProbe
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.values import ProbeResult

GOOD = ProbeResult(True, "the answer was 200", 200, 0.25)
BAD = ProbeResult(False, "cannot connect")


class Middle(Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@implementer(IProbe)
class Scripted:
    """Answers what the test says: ``answer(backend)`` gives a value, a Deferred, or raises."""

    def __init__(self, answer: Any = lambda backend: succeed(GOOD)) -> None:
        self.answer = answer
        self.calls: list[str] = []

    def check(self, backend: Any, deadline: float) -> Any:
        self.calls.append(backend.name)
        return self.answer(backend)


class MonitorCase(SynchronousTestCase):
    """A monitor on a clock, with one pool."""

    probe = Probe(name="p", interval=10, timeout=4, unhealthy_threshold=3)

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        log = Logger(observer=self.events.append)  # type: ignore[arg-type]
        self.monitor = HealthMonitor(self.clock, Middle(), log, wall=lambda: 1700000000.0 + self.clock.seconds())
        self.addCleanup(self.finish)

    def finish(self) -> None:
        """However a test went, stopping leaves nothing on the clock."""
        self.monitor.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def pool(self, count: int = 1, name: str = "pool", settings: str = "settings") -> Pool:
        members = [Member(host=f"h{number}") for number in range(count)]
        return Pool(name, BackendSettings(name=settings), members, RoundRobin())

    def begin(self, answer: Any, probe: Probe | None = None, pool: Pool | None = None) -> tuple[Scripted, Any]:
        strategy = Scripted(answer)
        pool = pool or self.pool()
        self.monitor.watch(pool, strategy, probe or self.probe)
        self.monitor.start()
        return strategy, pool.backends[0] if pool.backends else None


class SeriesTests(MonitorCase):
    """When checks are made."""

    def test_at_once_then_every_interval(self) -> None:
        strategy, _ = self.begin(lambda backend: succeed(GOOD))
        self.assertEqual(len(strategy.calls), 1)
        self.clock.advance(9.9)
        self.assertEqual(len(strategy.calls), 1)
        self.clock.advance(0.2)
        self.assertEqual(len(strategy.calls), 2)
        self.clock.pump([10.0] * 5)
        self.assertEqual(len(strategy.calls), 7)

    def test_jitter(self) -> None:
        """Pauses differ, within ten per cent of the interval."""
        self.monitor = HealthMonitor(self.clock, Random(1))
        times: list[float] = []

        def note(backend: Any) -> Any:
            times.append(self.clock.seconds())
            return succeed(GOOD)

        self.begin(note)
        self.clock.pump([0.05] * 4000)
        pauses = [after - before for before, after in zip(times, times[1:], strict=False)]
        self.assertTrue(all(8.9 < pause < 11.1 for pause in pauses), pauses)
        self.assertGreater(max(pauses) - min(pauses), 0.5)

    def test_never_two_at_once(self) -> None:
        waiting: list[Deferred[Any]] = []

        def wait(backend: Any) -> Any:
            waiting.append(Deferred())
            return waiting[-1]

        probe = Probe(name="p", interval=2, timeout=60)
        self.begin(wait, probe)
        self.clock.pump([1.0] * 30)
        self.assertEqual(len(waiting), 1)
        waiting[0].callback(GOOD)
        self.clock.advance(0.2)
        self.assertEqual(len(waiting), 2)

    def test_slow_checks_do_not_skip_intervals(self) -> None:
        """With the default probe, whose timeout is its interval, a silent backend is asked again soon."""
        probe = Probe(name="p", interval=30, timeout=30)
        strategy, _ = self.begin(lambda backend: Deferred(), probe)
        self.clock.pump([1.0] * 100)
        self.assertEqual(len(strategy.calls), 4)

    def test_small_sets_at_once(self) -> None:
        strategy, _ = self.begin(lambda backend: succeed(GOOD), pool=self.pool(40))
        self.assertEqual(len(strategy.calls), 40)

    def test_large_sets_spread(self) -> None:
        strategy, _ = self.begin(lambda backend: succeed(GOOD), pool=self.pool(200))
        self.assertEqual(len(strategy.calls), 50)
        self.clock.pump([0.1] * 4)
        self.assertEqual(len(strategy.calls), 200)

    def test_large_sets_that_come_later(self) -> None:
        """They are spread as well, also behind others that wait; who has left meanwhile is not checked."""
        pool, other = self.pool(), self.pool(70, name="other")
        strategy, _ = self.begin(lambda backend: succeed(GOOD), pool=pool)
        pool.set_members([Member(host=f"n{number}") for number in range(120)])
        self.monitor.follow(pool)
        self.clock.advance(0)
        self.assertEqual(len(strategy.calls), 1 + 50)
        pool.set_members([Member(host=f"n{number}") for number in range(100)])
        self.monitor.follow(pool)
        self.monitor.watch(other, strategy, self.probe)
        for counted in 100, 130, 170, 170:
            self.clock.advance(0.1)
            self.assertEqual(len(strategy.calls), 1 + counted)
        self.assertEqual(["up"] * 100, [backend.state for backend in pool.backends])

    def test_ready(self) -> None:
        """Good or bad, the first result of each counts."""
        answers = {"h0:80": Deferred(), "h1:80": Deferred(), "h2:80": Deferred()}
        self.begin(lambda backend: answers[backend.name], pool=self.pool(3))
        ready = self.monitor.when_ready()
        answers["h0:80"].callback(GOOD)
        answers["h1:80"].callback(BAD)
        self.assertNoResult(ready)
        self.clock.advance(4)
        self.assertIsNone(self.successResultOf(ready))
        self.assertIsNone(self.successResultOf(self.monitor.when_ready()))

    def test_members_of_some_pools(self) -> None:
        """Their first results; nobody waits for ever."""
        pool = self.pool()
        answer: Deferred[ProbeResult] = Deferred()
        self.begin(lambda backend: answer, pool=pool)
        known, late = self.monitor.when_known([pool], 3), self.monitor.when_known([pool], 1)
        self.clock.advance(1)
        self.assertNoResult(known)
        self.assertIsNone(self.successResultOf(late))
        answer.callback(GOOD)
        self.assertIsNone(self.successResultOf(known))
        self.assertIsNone(self.successResultOf(self.monitor.when_known([pool], 5)))

    def test_ready_without_targets(self) -> None:
        self.successResultOf(self.monitor.start())

    def test_stop(self) -> None:
        """What is in progress is cancelled, who waits is told."""
        cancelled: list[Any] = []
        pool = self.pool()
        self.monitor.watch(pool, Scripted(lambda backend: Deferred(cancelled.append)), self.probe)
        ready = self.monitor.start()
        self.monitor.stop()
        self.monitor.stop()
        self.successResultOf(ready)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(pool.backends[0].state, "unknown")

    def test_stop_before_spread_ones_began(self) -> None:
        strategy, _ = self.begin(lambda backend: succeed(GOOD), pool=self.pool(120))
        self.monitor.stop()
        self.clock.advance(10)
        self.assertEqual(len(strategy.calls), 50)


class VerdictTests(MonitorCase):
    """What becomes of results."""

    def test_life(self) -> None:
        """Up at once, down after three failures in a row, back with one success."""
        answers = [GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, BAD, GOOD]
        states: list[str] = []
        _, backend = self.begin(lambda backend: succeed(answers[len(states)]))
        for _ in answers:
            states.append(backend.state)
            if len(states) < len(answers):
                self.clock.advance(10)
        self.assertEqual(states, ["up", "up", "up", "up", "up", "up", "down", "down", "up"])

    def test_reasons(self) -> None:
        answers = [GOOD, BAD]
        _, backend = self.begin(lambda backend: succeed(answers.pop(0)))
        self.clock.advance(10)
        self.assertEqual(backend.reason, "cannot connect (failure 1 of 3 before it is down)")

    def test_a_check_that_could_not_be_made(self) -> None:
        """It leaves a backend what it is, but does not make one known."""
        unmade = ProbeResult(False, "too many open files", conclusive=False)
        answers = [unmade, GOOD] + [unmade] * 5
        _, backend = self.begin(lambda backend: succeed(answers.pop(0)))
        self.assertEqual("down", backend.state)
        self.clock.pump([10.0] * 6)
        self.assertEqual(("up", "too many open files", []), (backend.state, backend.reason, answers))

    def test_timeout(self) -> None:
        cancelled: list[Any] = []
        _, backend = self.begin(lambda backend: Deferred(cancelled.append))
        self.clock.advance(3.9)
        self.assertEqual((backend.state, cancelled), ("unknown", []))
        self.clock.advance(0.2)
        self.assertEqual((backend.state, len(cancelled)), ("down", 1))
        self.assertIn("no answer within the probe's timeout of 4 s", backend.reason)

    def test_history(self) -> None:
        pool = self.pool()
        _, backend = self.begin(lambda backend: succeed(GOOD), pool=pool)
        self.clock.pump([10.0] * 14)
        history = self.monitor.history(pool, backend)
        self.assertEqual(len(history), 10)
        self.assertEqual(history[-1], (1700000140.0, GOOD))
        self.assertLess(history[0][0], history[1][0])

    def test_seconds_measured(self) -> None:
        """Where the probe does not say how long it took, the monitor does."""
        answer: Deferred[Any] = Deferred()
        pool = self.pool()
        _, backend = self.begin(lambda backend: answer, pool=pool)
        self.clock.advance(1.5)
        answer.callback(ProbeResult(True, "x" * 9999))
        _, result = self.monitor.history(pool, backend)[0]
        self.assertEqual((result.seconds, len(result.reason)), (1.5, 500))


class ContainmentTests(MonitorCase):
    """Whatever a probe does, the series goes on."""

    def survives(self, answer: Any, text: str) -> None:
        good = [False]
        strategy, backend = self.begin(lambda backend: succeed(GOOD) if good[0] else answer(backend))
        self.clock.advance(4)
        self.assertEqual(backend.state, "down")
        self.assertIn(text, backend.reason)
        good[0] = True
        self.clock.pump([2.0] * 5)
        self.assertEqual(backend.state, "up")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_raises(self) -> None:
        self.survives(lambda backend: 1 / 0, "the probe failed: ZeroDivisionError")
        self.assertEqual(len([event for event in self.events if "trace" in event]), 1)

    def test_fails(self) -> None:
        self.survives(lambda backend: fail(KeyError("x")), "the probe failed: KeyError: 'x'")

    def test_nonsense(self) -> None:
        self.survives(lambda backend: succeed(True), "gave 'bool' instead of a ProbeResult")

    def test_not_deferred(self) -> None:
        self.survives(lambda backend: None, "gave 'NoneType' instead of a ProbeResult")

    def test_cancel_raises(self) -> None:
        def canceller(_: Any) -> None:
            raise RuntimeError("stubborn")

        stuck: list[Deferred[Any]] = []

        def answer(backend: Any) -> Any:
            stuck.append(Deferred(canceller))
            return stuck[-1]

        _, backend = self.begin(answer)
        self.clock.pump([2.0] * 10)
        self.assertEqual(backend.state, "down")
        self.assertEqual(len(stuck), 1)
        self.assertIn("has not let go", backend.reason)
        stuck[0].callback(GOOD)
        self.assertEqual(backend.state, "down")
        self.clock.pump([2.0] * 10)
        self.assertEqual(len(stuck), 2)

    def test_late_result(self) -> None:
        """What comes after the time limit is not a result any more."""
        late: list[Deferred[Any]] = []

        def answer(backend: Any) -> Any:
            inner: Deferred[Any] = Deferred(lambda _: late.append(Deferred()) or inner.callback(late[0]))  # type: ignore[func-returns-value]
            return inner

        _, backend = self.begin(answer)
        self.clock.advance(4)
        self.assertEqual(backend.state, "down")
        late[0].callback(GOOD)
        self.assertEqual(backend.state, "down")

    def test_coroutine(self) -> None:
        async def check(backend: Any) -> ProbeResult:
            return GOOD

        _, backend = self.begin(check)
        self.assertEqual(backend.state, "up")


class MembershipTests(MonitorCase):
    """Pools that come, go and change."""

    def test_shared(self) -> None:
        """Pools with the same settings share the series of a member; other settings have their own."""
        strategy = Scripted()
        one, two, other = self.pool(1, "one"), self.pool(1, "two"), self.pool(1, "one", "other")
        for pool in (one, two, other):
            self.monitor.watch(pool, strategy, self.probe)
        self.monitor.start()
        self.assertEqual(len(strategy.calls), 2)
        self.assertEqual([pool.backends[0].state for pool in (one, two, other)], ["up"] * 3)
        self.monitor.unwatch(one)
        self.clock.advance(10)
        self.assertEqual(len(strategy.calls), 4)
        self.monitor.unwatch(two)
        self.clock.advance(10)
        self.assertEqual(len(strategy.calls), 5)

    def test_added_later(self) -> None:
        """A new pool is probed at once; with a known member it knows at once."""
        strategy, _ = self.begin(lambda backend: succeed(GOOD))
        late, known = self.pool(1, "late", "other"), self.pool(1, "known")
        self.monitor.watch(late, strategy, self.probe)
        self.monitor.watch(known, strategy, self.probe)
        self.assertEqual(known.backends[0].state, "up")
        self.clock.advance(0)
        self.assertEqual((late.backends[0].state, len(strategy.calls)), ("up", 2))

    def test_added_and_removed_at_once(self) -> None:
        strategy, _ = self.begin(lambda backend: succeed(GOOD))
        late = self.pool(1, "late", "other")
        self.monitor.watch(late, strategy, self.probe)
        self.monitor.unwatch(late)
        self.clock.advance(0)
        self.assertEqual(len(strategy.calls), 1)

    def test_members_change(self) -> None:
        pool = self.pool(2)
        strategy, _ = self.begin(lambda backend: succeed(GOOD), pool=pool)
        pool.set_members([Member(host="h1"), Member(host="h2")])
        self.monitor.watch(pool, strategy, self.probe)
        self.clock.advance(0)
        self.assertEqual(strategy.calls, ["h0:80", "h1:80", "h2:80"])
        self.clock.advance(10)
        self.assertEqual(sorted(strategy.calls[3:]), ["h1:80", "h2:80"])
        self.assertEqual(self.monitor.history(pool, pool.backends[0])[0][1], GOOD)

    def test_unknown(self) -> None:
        pool = self.pool()
        self.monitor.unwatch(pool)
        self.assertEqual(self.monitor.history(pool, pool.backends[0]), [])
