"""Conformance of probes, discoveries and observers: those that watch backends and traffic."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from gateway.config.model import Member
from gateway.discovery.membership import believed
from gateway.errors import BackendTimeout
from gateway.interfaces import IDiscovery, IOutcomeObserver, IProbe, ITally
from gateway.testing.cases import Case, ends_with
from gateway.testing.conduct import asked, begun, quick, untouched
from gateway.testing.fakes import FakeBackend, FakePool, FakeRoad, request_head
from gateway.values import Outcome, Peer, ProbeResult, Route

__all__ = ["DiscoveryConformance", "ObserverConformance", "ProbeConformance"]

_OF_THE_END = frozenset(["ended", "messages_in", "messages_out", "close_code", "closed_by"])


class ProbeConformance(Case):
    """What the monitor relies on.

    Override `make_probe`, and `answer` so that checks in progress come to an end with the result asked for.  If
    ``road`` is the `FakeRoad` that it connects through, connections are looked after too.
    """

    def make_probe(self) -> Any:
        """A new probe."""
        raise NotImplementedError

    def make_backend(self) -> Any:
        """What is probed."""
        return FakeBackend()

    def answer(self, healthy: bool) -> None:
        """Let the check that was begun last find the backend ``healthy``, or not."""
        raise NotImplementedError

    def test_provides_interface(self) -> None:
        """It says that it is an `IProbe`, and has its methods."""
        verifyObject(IProbe, self.make_probe())

    def _result(self, healthy: bool, probe: Any = None) -> ProbeResult:
        probe, backend = probe or self.make_probe(), self.make_backend()
        with untouched(self, backend):
            check = begun(self, probe.check, backend, 30.0)
            self.assertIsInstance(check, Deferred)
            check.addErrback(lambda failure: ProbeResult(False, failure.getErrorMessage()))  # as the monitor has it
            with quick(self, "answer"):
                self.answer(healthy)
            result: ProbeResult = self.successResultOf(check)
        self.assertIsInstance(result, ProbeResult)
        self.assertIsInstance(result.healthy, bool)
        self.assertIsInstance(result.reason, str)
        self.assertIsInstance(result.conclusive, bool)
        self.assertIn(type(result.status), (int, type(None)), "the status of a result")
        self.assertIn(type(result.seconds), (int, float), "the seconds of a result")
        return result

    def test_healthy(self) -> None:
        """A good backend is healthy."""
        self.assertTrue(self._result(True).healthy)

    def test_unhealthy(self) -> None:
        """A bad one is not, and there is a reason for the operator."""
        result = self._result(False)
        self.assertFalse(result.healthy)
        self.assertTrue(result.reason)

    def test_again(self) -> None:
        """One check leaves nothing behind that changes the next one of the same probe."""
        probe = self.make_probe()
        wanted = [True, False, True]
        self.assertEqual(wanted, [self._result(healthy, probe).healthy for healthy in wanted])

    def test_two_at_a_time(self) -> None:
        """What it finds out about one backend it does not say of another."""
        probe = self.make_probe()
        other = begun(self, probe.check, self.make_backend(), 30.0)
        known = other.called
        for healthy in (False, True):
            self.assertEqual(healthy, self._result(healthy, probe).healthy)
            self.assertEqual(known, other.called, "it was another check that has ended")
        self.assertEqual(1, len(ends_with(other)))

    def test_cancelled(self) -> None:
        """A check that is cancelled ends in the same turn."""
        check = begun(self, self.make_probe().check, self.make_backend(), 30.0)
        self.assertEqual(1, len(ends_with(check)))
        road = getattr(self, "road", None)
        if isinstance(road, FakeRoad):
            for connection in road.connections:
                closed = connection.transport.disconnecting or connection.transport.aborted
                self.assertTrue(connection.cancelled or closed, "it holds on to its connection")


class DiscoveryConformance(Case):
    """What a pool's membership relies on. Override `make_discovery`, and `answer` where it waits for somebody.

    Set ``clock`` to the `Clock` that it was built with, if it was: then timers are looked after too.
    """

    clock: Any = None

    def make_discovery(self) -> Any:
        """A new discovery."""
        raise NotImplementedError

    def answer(self) -> None:
        """Let the questions that are open now have a good answer."""

    def _start(self) -> tuple[Any, Any, list[tuple[Member, ...]]]:
        discovery = self.make_discovery()
        found: list[tuple[Member, ...]] = []
        self._disbelieved: list[str] = []

        def told(members: Any) -> None:
            try:
                found.append(believed(members))
            except (TypeError, ValueError) as error:
                self._disbelieved.append(str(error))

        first = begun(self, discovery.start, told)
        self.assertTrue(first is None or isinstance(first, Deferred), first)
        return discovery, first, found

    def _stop(self, discovery: Any, timers: int = 0) -> None:
        stopped = begun(self, discovery.stop)
        self.assertTrue(stopped is None or isinstance(stopped, Deferred), stopped)
        self.assertEqual(timers, self._timers(), "it leaves a timer behind, or has stopped another's")

    def _timers(self) -> int:
        return 0 if self.clock is None else len(self.clock.getDelayedCalls())

    def test_provides_interface(self) -> None:
        """It says that it is an `IDiscovery`, and has its methods."""
        verifyObject(IDiscovery, self.make_discovery())

    def test_finds_members(self) -> None:
        """After the first answer it has told who the members are, and that the attempt is over."""
        discovery, first, found = self._start()
        self.answer()
        if first is not None:
            self.assertTrue(first.called, "its first attempt has no end")
        self.assertEqual([], self._disbelieved)
        self.assertTrue(found, "nothing was found")
        self._stop(discovery)

    def test_stops_before_an_answer(self) -> None:
        """It can be stopped at once, and finds nobody afterwards."""
        discovery, first, found = self._start()
        if first is not None:
            first.addErrback(lambda failure: None)
        known = len(found)
        self._stop(discovery)
        self.assertEqual(known, len(found))
        self.answer()
        self.assertEqual(known, len(found), "it still listens to what it has asked before")

    def test_another_one(self) -> None:
        """Two of them do not share anything: stopping one leaves the other at work."""
        one, first, known = self._start()
        if first is not None:
            first.addErrback(lambda failure: None)
        timers, before = self._timers(), len(known)
        two, _, found = self._start()
        self._stop(one, self._timers() - timers)
        self.answer()
        self.assertTrue(found)
        self.assertEqual(before, len(known), "who was stopped is told what another has found")
        self._stop(two)


class ObserverConformance(Case):
    """What the exchange relies on. Override `make_observer`."""

    def make_observer(self) -> Any:
        """A new observer."""
        raise NotImplementedError

    def outcomes(self) -> list[Outcome]:
        """From one that has nothing but defaults to one that has everything."""
        backend = FakeBackend()
        pool = FakePool(backends=[backend])
        route = Route("listener", "rule", pool, pool.settings)
        bare = Outcome()
        refused = Outcome(peer=Peer("192.0.2.1", 4711), status=400, cause="bad_request", started=1.0, ended=1.5)
        failed = Outcome(head=request_head(), route=route, status=504, error=BackendTimeout("no answer"), ended=30.0)
        session = Outcome(
            head=request_head("/chat?\xff", upgrade="websocket"), peer=Peer("2001:db8::1", 4711), route=route,
            backend=backend, status=101, upstream_status=101, started=1.0, connected=1.1, responded=1.2, ended=9.0,
            websocket=True, messages_in=3, messages_out=4, close_code=1000, closed_by="client", listener="listener",
        )  # fmt: skip
        return [bare, refused, failed, session]

    def test_provides_interface(self) -> None:
        """It says that it is an `IOutcomeObserver`, and has its methods."""
        verifyObject(IOutcomeObserver, self.make_observer())

    def _tell(self, observer: Any, outcome: Outcome) -> None:
        if outcome.websocket:
            begun = {name: value for name, value in vars(outcome).items() if name not in _OF_THE_END}
            self.assertIsNone(asked(self, observer.opened, Outcome(**begun)))
        self.assertIsNone(asked(self, observer.ended, outcome))

    def test_everything(self) -> None:
        """It takes every outcome, complete or not, and returns nothing that would be waited for."""
        observer = self.make_observer()
        for outcome in self.outcomes():
            self._tell(observer, outcome)
        if ITally.providedBy(observer):
            backend = FakeBackend()
            pool = FakePool(backends=[backend])
            route = Route("listener", "rule", pool, pool.settings)
            self.assertIsNone(asked(self, observer.tally, route, backend, 200, 100, 200, 0.01))

    def test_leaves_outcomes_alone(self) -> None:
        """Others are told of the same object; also where each is told by itself."""
        for outcome in self.outcomes():
            self._tell(self.make_observer(), outcome)
