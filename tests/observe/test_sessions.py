"""The registry of open sessions, and ending them."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import SessionEnded
from gateway.observe.sessions import Sessions
from tests.observe.examples import Pool, Session, route

GOING = SessionEnded(1001, "going away", "shutdown")


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(self.clock)

    def test_add_and_remove(self) -> None:
        first, second = Session(), Session()
        self.assertEqual((self.sessions.add(first), self.sessions.add(second)), (1, 2))
        self.assertEqual(self.sessions.add(first), 1)
        self.assertEqual((self.sessions.count, list(self.sessions)), (2, [first, second]))
        self.assertIn(first, self.sessions)
        self.sessions.remove(first)
        self.sessions.remove(first)
        self.assertNotIn(first, self.sessions)
        self.assertEqual(self.sessions.add(first), 3)

    def test_removal_while_iterating(self) -> None:
        for _ in range(3):
            self.sessions.add(Session())
        for session in self.sessions:
            self.sessions.remove(session)
        self.assertEqual(self.sessions.count, 0)

    def test_by_pool(self) -> None:
        for name, websocket in (("a", True), ("a", False), ("b", True)):
            self.sessions.add(Session(route=route(Pool(name)), websocket=websocket))
        self.assertEqual(self.sessions.by_pool(), {"a": 2, "b": 1})
        self.assertEqual(self.sessions.by_pool(websocket=True), {"a": 1, "b": 1})

    def test_newest(self) -> None:
        known = [Session() for _ in range(5)]
        for session in known:
            self.sessions.add(session)
        self.assertEqual(self.sessions.newest(2), [(5, known[4]), (4, known[3])])
        self.assertEqual(len(self.sessions.newest(99)), 5)

    def test_refresh(self) -> None:
        """A few at once; many with turns for others in between, in which some may end."""
        known = [Session() for _ in range(5)]
        for session in known:
            self.sessions.add(session)
        self.successResultOf(self.sessions.refresh())
        self.assertEqual([1] * 5, [session.snapshots for session in known])
        known += [Session() for _ in range(300)]
        for session in known:
            self.sessions.add(session)
        done = self.sessions.refresh()
        self.assertNoResult(done)
        self.sessions.remove(known[-1])
        self.clock.advance(0)
        self.successResultOf(done)
        self.assertEqual([2] * 5 + [1] * 299 + [0], [session.snapshots for session in known])


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(self.clock, Random(1))

    def open(self, count: int, stubborn: bool = False) -> list[Session]:
        opened = [Session(self.sessions, stubborn) for _ in range(count)]
        for session in opened:
            self.sessions.add(session)
        return opened

    def told(self, sessions: list[Session]) -> int:
        return sum(len(session.ended) for session in sessions)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sessions._endings, [])

    def test_none_open(self) -> None:
        self.assertEqual(self.successResultOf(self.sessions.end_all(GOING, rate=10, limit=5)), 0)

    def test_all_at_once(self) -> None:
        opened = self.open(1000)
        self.assertEqual(self.successResultOf(self.sessions.end_all(GOING)), 0)
        self.assertEqual({tuple(session.ended) for session in opened}, {(GOING,)})

    def test_waits_for_the_last(self) -> None:
        first, second = self.open(2, stubborn=True)
        done = self.sessions.end_all(GOING)
        self.sessions.remove(first)
        self.assertNoResult(done)
        self.sessions.remove(second)
        self.assertEqual(self.successResultOf(done), 0)

    def test_limit(self) -> None:
        opened = self.open(3, stubborn=True)
        done = self.sessions.end_all(GOING, limit=10)
        self.sessions.remove(opened[0])
        self.clock.advance(9.9)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(done), 2)

    def test_paced(self) -> None:
        opened = self.open(100)
        done = self.sessions.end_all(GOING, rate=10)
        self.assertEqual(self.told(opened), 1)
        self.clock.pump([0.05] * 100)
        self.assertTrue(35 <= self.told(opened) <= 65, self.told(opened))
        self.clock.pump([0.05] * 200)
        self.assertEqual(self.successResultOf(done), 0)
        self.assertEqual(self.told(opened), 100)

    def test_fast_pace(self) -> None:
        """Rates above the step's own are kept by ending several in one step."""
        opened = self.open(3000)
        done = self.sessions.end_all(GOING, rate=1000)
        self.clock.pump([0.01] * 100)
        self.assertTrue(800 <= self.told(opened) <= 1200, self.told(opened))
        self.clock.pump([0.01] * 300)
        self.assertEqual(self.successResultOf(done), 0)

    def test_gone_sessions_do_not_take_a_turn(self) -> None:
        opened = self.open(3)
        done = self.sessions.end_all(GOING, rate=1)
        self.sessions.remove(opened[1])
        self.clock.advance(1.5)
        self.assertEqual(self.successResultOf(done), 0)
        self.assertEqual([len(session.ended) for session in opened], [1, 0, 1])

    def test_late_arrival(self) -> None:
        stubborn = self.open(1, stubborn=True)
        done = self.sessions.end_all(GOING)
        late = self.open(1)
        self.assertEqual(self.told(late), 0)
        self.clock.advance(0)
        self.assertEqual(self.told(late), 1)
        self.assertNoResult(done)
        self.sessions.remove(stubborn[0])
        self.assertEqual(self.successResultOf(done), 0)

    def test_where(self) -> None:
        kept, ended = self.open(2)
        done = self.sessions.end_all(GOING, where=lambda session: session is ended)
        self.assertEqual(self.successResultOf(done), 0)
        self.assertEqual((self.told([kept]), self.told([ended])), (0, 1))

    def test_one_that_raises(self) -> None:
        opened = self.open(3)
        opened[0].end = None  # type: ignore[assignment, method-assign]
        done = self.sessions.end_all(GOING)
        self.assertEqual(self.told(opened), 2)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.sessions.remove(opened[0])
        self.assertEqual(self.successResultOf(done), 0)

    def test_cancelled(self) -> None:
        opened = self.open(10)
        done = self.sessions.end_all(GOING, rate=1, limit=60)
        done.addErrback(lambda _: None)
        done.cancel()
        self.clock.advance(100)
        self.assertEqual(self.told(opened), 1)
