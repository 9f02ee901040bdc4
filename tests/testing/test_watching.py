"""`gateway.testing.watching`: probes, discoveries and observers that must not pass, for what they do beside what they
say.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from gateway.config.model import Member
from gateway.interfaces import IDiscovery, IOutcomeObserver, IProbe, ITally
from gateway.testing import DiscoveryConformance, ObserverConformance, ProbeConformance
from gateway.values import ProbeResult
from tests.testing.trying import TryingCase, tried

MEMBERS = (Member(host="10.0.0.1"),)


class ProbeTests(TryingCase):
    """One wrong thing each."""

    def failing(self, check: Any = None, result: Any = None) -> set[str]:
        """Tests that a probe with this ``check`` fails, and those one whose results are made by ``result``."""
        waiting: list[Deferred[Any]] = []

        def begin(made: Any, backend: Any, deadline: float) -> Any:
            waiting.append(Deferred())
            return waiting[-1].addCallback(lambda found: check(made, backend, found) if check is not None else found)

        def answer(case: Any, healthy: bool) -> None:
            waiting.pop().callback((result or (lambda healthy: ProbeResult(healthy, "why")))(healthy))

        made = implementer(IProbe)(type("Made", (), {"check": begin}))
        return tried(ProbeConformance, "make_probe", made, answer=answer)

    def test_results(self) -> None:
        nothing: Any = None
        wrong: Any = b"why"
        text: Any = "200"
        self.assertEqual(set(), self.failing(result=lambda healthy: ProbeResult(healthy, "why", 200, 0.5, True)))
        for result in (
            lambda healthy: ProbeResult(healthy, wrong),
            lambda healthy: ProbeResult(healthy, "why", text),
            lambda healthy: ProbeResult(healthy, "why", 200, nothing),
            lambda healthy: ProbeResult(healthy, "why", 200, 0.5, nothing),
            lambda healthy: ProbeResult(text if healthy else nothing, "why"),
        ):
            self.assertLessEqual({"test_healthy", "test_unhealthy"}, self.failing(result=result), result(True))

    def test_other_ways(self) -> None:
        """One may be a coroutine, and fail where the backend is bad, with the reason."""
        waiting: list[Deferred[bool]] = []

        async def check(made: Any, backend: Any, deadline: float) -> ProbeResult:
            waiting.append(Deferred())
            if not await waiting[-1]:
                raise OSError("it has no answer")
            return ProbeResult(True, "it has")

        def answer(case: Any, healthy: bool) -> None:
            waiting.pop().callback(healthy)

        made = implementer(IProbe)(type("Made", (), {"check": check}))
        self.assertEqual(set(), tried(ProbeConformance, "make_probe", made, answer=answer))

    def test_remembers(self) -> None:
        """It says again what it has found out once."""

        def check(made: Any, backend: Any, found: Any) -> Any:
            made.found = getattr(made, "found", found)
            return made.found

        self.assertEqual({"test_again", "test_two_at_a_time"}, self.failing(check))

    def test_one_for_all(self) -> None:
        """What one check finds ends all that wait."""
        waiting: list[Deferred[Any]] = []

        def check(made: Any, backend: Any, deadline: float) -> Any:
            waiting.append(Deferred())
            return waiting[-1]

        def answer(case: Any, healthy: bool) -> None:
            while waiting:
                each = waiting.pop()
                if not each.called:
                    each.callback(ProbeResult(healthy, "why"))

        made = implementer(IProbe)(type("Made", (), {"check": check}))
        self.assertEqual({"test_two_at_a_time"}, tried(ProbeConformance, "make_probe", made, answer=answer))

    def test_changes_backends(self) -> None:
        def check(made: Any, backend: Any, found: Any) -> Any:
            backend.healthy = found.healthy
            backend.reason = "mine"
            return found

        self.assertLessEqual({"test_healthy", "test_unhealthy"}, self.failing(check))

    def test_blocks(self) -> None:
        def check(made: Any, backend: Any, found: Any) -> Any:
            self.block()
            return found

        self.assertLessEqual({"test_healthy", "test_unhealthy"}, self.failing(check))

        @implementer(IProbe)
        class Slow:
            def check(_, backend: Any, deadline: float) -> Any:
                self.block()
                return succeed(ProbeResult(True))

        found = tried(ProbeConformance, "make_probe", Slow, answer=lambda case, healthy: None)
        self.assertLessEqual({"test_healthy", "test_two_at_a_time"}, found)


class DiscoveryTests(TryingCase):
    """One wrong thing each."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.asking: list[Any] = []

    def failing(self, start: Any, stop: Any) -> set[str]:
        made = implementer(IDiscovery)(type("Made", (), {"start": start, "stop": stop}))
        more = {"clock": self.clock, "answer": lambda case: self.answer()}
        return tried(DiscoveryConformance, "make_discovery", made, **more)

    def answer(self) -> None:
        asking, self.asking = self.asking, []
        for found in asking:
            found(MEMBERS)

    def start(self, made: Any, found: Any) -> None:
        made.found = found
        made.timer = self.clock.callLater(60, found, MEMBERS)
        self.asking.append(found)

    def stop(self, made: Any) -> None:
        made.timer.cancel()
        self.asking = [each for each in self.asking if each is not made.found]

    def test_good(self) -> None:
        self.assertEqual(set(), self.failing(lambda made, found: self.start(made, found), lambda made: self.stop(made)))

    def test_finds_a_deferred(self) -> None:
        """One that has not fired, which would be iterated for ever."""

        def start(made: Any, found: Any) -> None:
            found(Deferred())
            self.start(made, found)

        self.assertIn("test_finds_members", self.failing(start, lambda made: self.stop(made)))

    def test_listens_on(self) -> None:
        """It takes an answer after it was stopped."""

        def stop(made: Any) -> None:
            made.timer.cancel()

        found = self.failing(lambda made, found: self.start(made, found), stop)
        self.assertLessEqual({"test_stops_before_an_answer", "test_another_one"}, found)

    def test_stops_everybody(self) -> None:
        def timers(made: Any) -> None:
            for each in list(self.clock.getDelayedCalls()):
                each.cancel()
            self.asking = [each for each in self.asking if each is not made.found]

        def questions(made: Any) -> None:
            made.timer.cancel()
            self.asking = []

        for stop in (timers, questions):
            found = self.failing(lambda made, found: self.start(made, found), stop)
            self.assertIn("test_another_one", found)

    def test_tells_everybody(self) -> None:
        """Whoever has asked is told what another has found."""
        told: list[Any] = []

        def start(made: Any, found: Any) -> None:
            told.append(found)
            self.start(made, found)
            self.asking[-1] = lambda members: [each(members) for each in told]

        def stop(made: Any) -> None:
            made.timer.cancel()
            self.asking = self.asking[1:]

        self.assertIn("test_another_one", self.failing(start, stop))

    def test_blocks(self) -> None:
        def start(made: Any, found: Any) -> None:
            self.block()
            self.start(made, found)

        def stop(made: Any) -> None:
            self.block()
            self.stop(made)

        self.assertIn("test_finds_members", self.failing(start, lambda made: self.stop(made)))
        self.assertIn("test_finds_members", self.failing(lambda made, found: self.start(made, found), stop))


class ObserverTests(TryingCase):
    """One wrong method each."""

    def failing(self, interface: Any = IOutcomeObserver, **methods: Any) -> set[str]:
        nothing = {"opened": lambda self, outcome: None, "ended": lambda self, outcome: None}
        made = implementer(interface)(type("Made", (), {**nothing, **methods}))
        return tried(ObserverConformance, "make_observer", made)

    def test_changes(self) -> None:
        """Others are told of the same object, when a session opens and when it ends."""
        self.assertEqual(set(), self.failing())
        for change in (
            lambda outcome: setattr(outcome, "status", 418),
            lambda outcome: setattr(outcome, "mine", True),
            lambda outcome: outcome.head and outcome.head.index.clear(),
            lambda outcome: outcome.backend and setattr(outcome.backend, "healthy", False),
        ):

            def told(self: Any, outcome: Any, change: Any = change) -> None:
                change(outcome)

            self.assertIn("test_leaves_outcomes_alone", self.failing(opened=told))
            self.assertIn("test_leaves_outcomes_alone", self.failing(ended=told))

    def test_not_over(self) -> None:
        """It takes for granted that a session which opens has ended."""

        def opened(self: Any, outcome: Any) -> None:
            outcome.ended - outcome.started

        self.assertIn("test_everything", self.failing(opened=opened))

    def test_tally(self) -> None:
        def tally(self: Any, route: Any, backend: Any, status: int, received: int, sent: int, seconds: float) -> Any:
            return None

        def wrong(self: Any, route: Any, backend: Any, status: int, received: int, sent: int, seconds: float) -> Any:
            backend.active += 1

        self.assertEqual(set(), self.failing(ITally, tally=tally))
        self.assertEqual({"test_everything"}, self.failing(ITally, tally=wrong))

    def test_blocks(self) -> None:
        def told(_: Any, outcome: Any) -> None:
            self.block()

        self.assertIn("test_everything", self.failing(opened=told))
        self.assertIn("test_everything", self.failing(ended=told))

    def test_waits(self) -> None:
        async def told(_: Any, outcome: Any) -> None:
            pass

        for method in ("opened", "ended"):
            self.assertIn("test_everything", self.failing(**{method: lambda self, outcome: succeed(None)}))
