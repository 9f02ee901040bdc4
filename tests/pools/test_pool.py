"""`gateway.pools.pool` and `gateway.pools.lease`."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member
from gateway.errors import BackendClosed, ClientGone, NoHealthyBackend, PluginFailed
from gateway.interfaces import ILease, IPeerSelector, IPool
from gateway.pools.backend import Backend, Loads
from gateway.pools.least_connections import LeastConnections
from gateway.pools.least_latency import LeastLatency
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.testing import request_head
from gateway.values import Outcome, Peer

HEAD = request_head()
SETTINGS = BackendSettings(name="settings")


class Choose:
    """A selector made of a function."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.seen: list[Any] = []

    def select(self, candidates: Any, head: Any) -> Any:
        self.seen.append(candidates)
        return self.function(candidates)


def first(candidates: Any) -> Any:
    return candidates[0]


def make(count: int = 3, selector: Any = None, up: bool = True, **others: Any) -> Pool:
    members = [Member(host=f"10.0.0.{number}") for number in range(1, count + 1)]
    pool = Pool("pool", others.pop("settings", SETTINGS), members, selector or RoundRobin(), **others)
    for backend in pool.backends if up else ():
        pool.set_health(backend, True, "ok")
    return pool


class LeaseTests(SynchronousTestCase):
    """Choosing, counting, giving back."""

    def test_interfaces(self) -> None:
        pool = make()
        verifyObject(IPool, pool)
        verifyObject(ILease, pool.lease(HEAD))

    def test_counts(self) -> None:
        pool = make(1)
        one, two = pool.lease(HEAD), pool.lease(HEAD)
        self.assertEqual(pool.backends[0].active, 2)
        one.release(Outcome())
        two.release(Outcome())
        self.assertEqual((pool.backends[0].active, pool.backends[0].leases), (0, 2))

    def test_released_quietly(self) -> None:
        """Counted down as ever; refused where somebody wants the outcome."""
        pool = make(1)
        backend = pool.backends[0]
        lease, other = pool.lease(HEAD), pool.lease(HEAD)
        self.assertIs(True, lease.release_quietly())
        self.assertEqual((1, 2), (backend.active, backend.leases))
        self.assertIs(False, lease.release_quietly())
        backend.witness = Mock()
        self.assertIs(False, other.release_quietly())
        self.assertEqual(1, backend.active)
        outcome = Outcome()
        other.release(outcome)
        backend.witness.ended.assert_called_once_with(outcome)
        self.assertEqual(0, backend.active)
        timed = make(1, LeastLatency(float)).lease(HEAD)
        self.assertIs(False, timed.release_quietly())
        timed.release(outcome)

    def test_released_twice(self) -> None:
        """The second time changes nothing and is reported."""
        pool = make(1)
        lease, _ = pool.lease(HEAD), pool.lease(HEAD)
        lease.release(Outcome())
        lease.release(Outcome())
        self.assertEqual(pool.backends[0].active, 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failures(self) -> None:
        """Only what is the backend's fault counts as its failure."""
        pool = make(1)
        for error in (None, ClientGone("left"), BackendClosed("reset")):
            pool.lease(HEAD).release(Outcome(error=error))
        self.assertEqual(pool.backends[0].failures, 1)

    def test_tried(self) -> None:
        pool = make(3)
        one, two, three = pool.backends
        self.assertIs(pool.lease(HEAD, (one, three)).backend, two)
        error = self.assertRaises(NoHealthyBackend, pool.lease, HEAD, (one, two, three))
        self.assertIn("already tried: 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80", str(error))

    def test_tried_chosen_again(self) -> None:
        """A selector that remembers backends cannot bring one back that this exchange has tried."""
        pool = make(2, Choose(lambda candidates: pool.backends[0]))
        self.assertRaises(PluginFailed, pool.lease, HEAD, (pool.backends[0],))

    def test_peer(self) -> None:
        """Told to those that ask for it, where it is known."""

        @implementer(IPeerSelector)
        class Asks(Choose):
            def select_for(self, candidates: Any, head: Any, peer: Peer) -> Any:
                self.seen.append(peer)
                return candidates[0]

        selector = Asks(first)
        pool = make(2, selector)
        pool.lease(HEAD, (), Outcome(peer=Peer("192.0.2.1", 4711)))
        self.assertEqual(selector.seen, [Peer("192.0.2.1", 4711)])
        pool.lease(HEAD)
        self.assertEqual(selector.seen[1:], [pool.candidates])

    def test_same_tuple(self) -> None:
        """Candidates are the same object until something changes."""
        selector = Choose(first)
        pool = make(2, selector)
        pool.lease(HEAD)
        pool.lease(HEAD)
        pool.set_health(pool.backends[1], False, "timeout")
        pool.lease(HEAD)
        self.assertIs(selector.seen[0], selector.seen[1])
        self.assertEqual(selector.seen[2], (pool.backends[0],))

    def test_verdicts_together(self) -> None:
        """As one after another, but for what is logged: those that are up in one line if they are many."""
        for count in 3, 20:
            events: list[Any] = []
            pool = make(count, up=False, log=Logger(observer=events.append))
            told: list[Any] = []

            def tell(pool: Pool, backend: Backend, *change: Any, told: list[Any] = told) -> None:
                told.append((backend, len(pool.candidates), *change))

            pool.subscribe(tell)
            healthy = pool.backends[1:]
            pool.set_verdicts([(backend, backend in healthy, "so") for backend in pool.backends])
            self.assertEqual((*healthy,), pool.candidates)
            up, down = (count - 1, "unknown", "up", "so"), (count - 1, "unknown", "down", "so")
            self.assertEqual([(each, *(up if each in healthy else down)) for each in pool.backends], told)
            lines = [formatEvent(event) for event in events]
            self.assertEqual(count if count == 3 else 2, len(lines))
            self.assertIn("pool pool, backend 10.0.0.1:80, settings settings: unknown -> down: so", lines)
            if count > 3:
                self.assertIn("pool pool, settings settings: 19 backends are up now, 10.0.0.2:80, ", lines[0])

    @given(st.lists(st.integers(0, 3), max_size=30), st.booleans())
    @settings(max_examples=25, deadline=None)
    def test_balance(self, steps: list[int], least: bool) -> None:
        """Whatever happens in whatever order, the counts are those of the leases that are out."""
        pool = make(3, LeastConnections() if least else RoundRobin())
        out: list[Any] = []
        for step in steps:
            if step == 3 and out:
                out.pop(0).release(Outcome())
            else:
                out.append(pool.lease(HEAD))
        for backend in pool.backends:
            self.assertEqual(backend.active, sum(lease.backend is backend for lease in out))


class SharedTests(SynchronousTestCase):
    """Counts across settings and reloads."""

    def test_other_settings(self) -> None:
        loads = Loads()
        one = make(2, loads=loads)
        two = make(2, loads=loads, settings=BackendSettings(name="other"))
        lease = one.lease(HEAD)
        self.assertEqual([backend.active for backend in two.backends], [backend.active for backend in one.backends])
        self.assertEqual(sum(backend.active for backend in two.backends), 1)
        lease.release(Outcome())
        self.assertEqual([backend.active for backend in two.backends], [0, 0])

    def test_survives_replacement(self) -> None:
        """Least connections counts a session that was there before the pool was."""
        loads = Loads()
        old = make(2, LeastConnections(), loads=loads)
        session = old.lease(HEAD)
        old.close()
        new = make(2, LeastConnections(), loads=loads)
        busy = new.find(session.backend.name)
        assert busy is not None
        self.assertEqual(busy.active, 1)
        self.assertIsNot(new.lease(HEAD).backend, busy)
        session.release(Outcome())
        self.assertEqual(busy.active, 0)


class HealthTests(SynchronousTestCase):
    """Who may be chosen."""

    def test_out_until_first_success(self) -> None:
        pool = make(2, up=False)
        error = self.assertRaises(NoHealthyBackend, pool.lease, HEAD)
        self.assertIn("pool 'pool' (settings 'settings')", str(error))
        self.assertIn("10.0.0.1:80 is unknown: no probe has succeeded yet", str(error))
        pool.set_health(pool.backends[1], True, "ok")
        self.assertIs(pool.lease(HEAD).backend, pool.backends[1])

    def test_empty(self) -> None:
        error = self.assertRaises(NoHealthyBackend, make(0).lease, HEAD)
        self.assertIn("the pool is empty", str(error))

    def test_explanation_bounded(self) -> None:
        pool = make(500)
        for backend in pool.backends:
            pool.set_health(backend, False, "x" * 10000)
        text = str(self.assertRaises(NoHealthyBackend, pool.lease, HEAD))
        self.assertLess(len(text), 2000)
        self.assertIn("and 492 more", text)

    def test_explanation_is_new(self) -> None:
        pool = make(1, up=False)
        self.assertRaises(NoHealthyBackend, pool.lease, HEAD)
        pool.note(pool.backends[0], "connection refused")
        self.assertIn("connection refused", str(self.assertRaises(NoHealthyBackend, pool.lease, HEAD)))

    def test_draining(self) -> None:
        pool = make(2)
        held = pool.lease(HEAD)
        pool.set_draining(held.backend, True)
        self.assertEqual(held.backend.state, "draining")
        for _ in range(4):
            self.assertIsNot(pool.lease(HEAD).backend, held.backend)
        pool.set_health(held.backend, True, "the answer was 200")
        self.assertEqual(held.backend.state, "draining")
        pool.set_draining(held.backend, False)
        self.assertEqual(held.backend.state, "up")
        self.assertEqual(len(pool.candidates), 2)

    def test_min_servers(self) -> None:
        """That many are candidates whatever the probes say; draining ones are not among them."""
        pool = make(4, up=False, min_servers=2)
        one, two, three, four = pool.backends
        self.assertEqual(pool.candidates, (one, two))
        pool.set_health(four, True, "ok")
        self.assertEqual(pool.candidates, (one, four))
        pool.set_draining(one, True)
        self.assertEqual(pool.candidates, (two, four))
        pool.set_health(three, True, "ok")
        self.assertEqual(pool.candidates, (three, four))


class SelectorFailureTests(SynchronousTestCase):
    """A strategy costs one request, not the process."""

    def fail(self, function: Any) -> tuple[Pool, PluginFailed, list[dict[str, Any]]]:  # type: ignore[override]
        events: list[dict[str, Any]] = []
        pool = make(2, Choose(function), log=Logger(observer=events.append), strategy="odd")  # type: ignore[arg-type]
        events.clear()
        error = self.assertRaises(PluginFailed, pool.lease, HEAD)
        self.assertEqual(error.status, 500)
        self.assertIn("selector 'odd' of pool 'pool'", str(error))
        self.assertEqual([backend.active for backend in pool.backends], [0, 0])
        return pool, error, events

    def test_raises(self) -> None:
        def broken(candidates: Any) -> Any:
            raise KeyError("tenant")

        pool, error, events = self.fail(broken)
        self.assertIn("KeyError: 'tenant'", str(error))
        self.assertIn("in broken", events[0]["trace"])
        for _ in range(99):
            self.assertRaises(PluginFailed, pool.lease, HEAD)
        self.assertEqual(len(events), 1)
        self.assertRaises(PluginFailed, pool.lease, HEAD)
        self.assertEqual((len(events), events[1]["failures"]), (2, 101))

    def test_nonsense(self) -> None:
        for value in ("10.0.0.1:80", [], object(), Backend(Member(host="10.0.0.1"), SETTINGS)):
            self.fail(lambda candidates, value=value: value)

    def test_refuses(self) -> None:
        error = self.assertRaises(
            NoHealthyBackend, make(2, Choose(lambda candidates: None), strategy="odd").lease, HEAD
        )
        self.assertIn("selector 'odd' refused all candidates", str(error))

    def test_reentered(self) -> None:
        """A selector that calls the pool fails, and the pool works on."""
        calls: list[Any] = [lambda: pool.lease(HEAD), lambda: None]

        def choose(candidates: Any) -> Any:
            calls.pop(0)()
            return candidates[0]

        pool = make(2, Choose(choose), log=Logger(observer=lambda event: None))  # type: ignore[arg-type]
        error = self.assertRaises(PluginFailed, pool.lease, HEAD)
        self.assertIn("called back into pool", str(error))
        pool.lease(HEAD)
        self.assertEqual(pool.backends[0].active, 1)


class TransitionTests(SynchronousTestCase):
    """Those who listen, and the log."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.pool = make(2, up=False, log=Logger(observer=self.events.append))  # type: ignore[arg-type]
        self.seen: list[Any] = []

    def listen(self, *transition: Any) -> None:
        self.seen.append(transition)

    def test_told(self) -> None:
        backend = self.pool.backends[0]
        unsubscribe = self.pool.subscribe(self.listen)
        self.pool.set_health(backend, True, "the answer was 200")
        self.pool.set_health(backend, True, "the answer was 204")
        self.assertEqual(self.seen, [(self.pool, backend, "unknown", "up", "the answer was 200")])
        self.assertEqual(backend.reason, "the answer was 204")
        unsubscribe()
        self.pool.set_health(backend, False, "timeout")
        self.assertEqual(len(self.seen), 1)

    def test_logged(self) -> None:
        self.pool.set_health(self.pool.backends[0], True, "the answer was 200")
        self.pool.set_health(self.pool.backends[0], False, "cannot connect")
        states = [(event["old_state"], event["new_state"], event["log_level"].name) for event in self.events]
        self.assertEqual(states, [("unknown", "up", "info"), ("up", "down", "warn")])
        self.assertEqual(
            (self.events[1]["pool"], self.events[1]["backend"], self.events[1]["reason"]),
            ("pool", "10.0.0.1:80", "cannot connect"),
        )

    def test_listener_fails(self) -> None:
        """The others are told all the same."""
        self.pool.subscribe(lambda *transition: 1 / 0)
        self.pool.subscribe(self.listen)
        self.pool.set_health(self.pool.backends[0], True, "ok")
        self.assertEqual(len(self.seen), 1)
        self.assertIn("log_failure", self.events[-1])


class MembershipTests(SynchronousTestCase):
    """Members come and go."""

    def test_change(self) -> None:
        pool = make(2)
        one, two = pool.backends
        lease = pool.lease(HEAD)
        came, went = pool.set_members([Member(host="10.0.0.2", weight=5), Member(host="10.0.0.9")])
        self.assertEqual([backend.name for backend in came], ["10.0.0.9:80"])
        self.assertEqual(went, (one,))
        self.assertIs(pool.backends[0], two)
        self.assertEqual((two.weight, two.state, pool.candidates), (5, "up", (two,)))
        lease.release(Outcome())
        self.assertEqual(lease.backend.active, one.active)

    def test_moved(self) -> None:
        """The same name at another place has to prove itself again."""
        pool = make(1)
        came, went = pool.set_members([Member(host="10.0.0.1", connect_host="127.0.0.1")])
        self.assertEqual((len(came), len(went), pool.candidates), (1, 1, ()))

    def test_doubled(self) -> None:
        pool = make(0)
        pool.set_members([Member(host="a"), Member(host="a", port=80), Member(host="a", port=81)])
        self.assertEqual([backend.name for backend in pool.backends], ["a:80", "a:81"])
        pool.set_members([Member(host="a"), Member(host="a")])
        self.assertEqual(len(pool.backends), 1)

    def test_find(self) -> None:
        pool = make(2)
        self.assertIs(pool.find("10.0.0.2:80"), pool.backends[1])
        self.assertIsNone(pool.find("10.0.0.3:80"))
        self.assertIn("2 of 2", repr(pool))
