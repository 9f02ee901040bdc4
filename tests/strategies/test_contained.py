"""`gateway.strategies.contained`, and what strategies of every kind do that fail."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Member, Probe
from gateway.errors import BadRequest, NoHealthyBackend, PluginFailed
from gateway.health.monitor import HealthMonitor
from gateway.http.changes import with_fields
from gateway.interfaces import IAffinity, IMiddleware, IOutcomeObserver, IProbe, ISelector, ITally
from gateway.pools.affinity import Affinity
from gateway.pools.pool import Pool
from gateway.strategies.contained import ContainedMiddleware, ContainedObserver
from gateway.strategies.containment import Containment, Terms
from gateway.testing import request_head
from gateway.values import Context, Outcome, ProbeResult, Reply
from tests.dialogue import GET, HANDSHAKE, OK, Dialogue, DialogueCase
from tests.exchange.test_passage import Doubling, Scripted
from tests.plugin_log import PluginLog


def account(kind: str, seconds: Callable[[], float], failures: int = 3) -> Containment:
    return Containment(kind, "x", "the test", ours=False, terms=Terms(failures, 30, 0.1), seconds=seconds)


class MiddlewareTests(DialogueCase):
    """Middleware that fails again and again; ``answers`` is what it does next, then it lets everything pass."""

    def setUp(self) -> None:
        super().setUp()
        self.log = PluginLog(self)
        self.answers: list[Any] = []

    def asks(self, method: str = "request", optional: bool = False, **others: Any) -> Dialogue:
        def answer(head: Any, context: Any) -> Any:
            found = self.answers.pop(0) if self.answers else None
            if isinstance(found, BaseException):
                raise found
            return found(head) if callable(found) else found

        self.inner = Scripted("x", **{method: answer, **others})
        self.contained = account("middleware", lambda: gateway.clock.seconds())
        wrapped = ContainedMiddleware(self.inner, self.contained, optional)
        verifyObject(IMiddleware, wrapped)
        gateway = self.gateway(middleware=[wrapped], backends=1)
        return gateway

    def ask(self, gateway: Dialogue, client: Any, status: int, body: bytes = b"hello") -> str:
        client.sends(GET)
        if gateway.place(0).wires and gateway.backend(0).wire.taken:
            gateway.backend(0).gets("GET / HTTP/1.1")
            gateway.backend(0).sends(OK)
        if status == 200:
            client.gets("HTTP/1.1 200 OK", body=body)
        else:
            client.gets_page(status)
        outcome = gateway.recorder.outcomes[-1]
        gateway._unnamed = len(gateway.recorder.outcomes)
        return str(outcome.cause)

    def test_ours_is_called_directly(self) -> None:
        inner = Scripted("x")
        wrapped = ContainedMiddleware(inner, Containment("middleware", "x"))
        self.assertEqual((inner.request, inner.response, inner.body), (wrapped.request, wrapped.response, wrapped.body))

    def test_fails_closed(self) -> None:
        gateway = self.asks()
        client = gateway.client()
        self.answers = [CancelledError(), "nonsense", lambda head: fail(KeyboardInterrupt())]
        causes = [self.ask(gateway, client, 500) for _ in range(5)]
        self.assertEqual(["plugin_failed"] * 3 + ["plugin_off"] * 2, causes)
        self.assertEqual(3, len(self.inner.calls))
        gateway.connections(0)
        gateway.advance(30)
        self.assertEqual("ok", self.ask(gateway, client, 200))
        self.assertEqual("middleware 'x' of the test works again", self.log.flush()[-1])

    def test_optional(self) -> None:
        """Requests go on without it, one by one, and when it is off."""
        gateway = self.asks(optional=True)
        client = gateway.client()
        self.answers = [RuntimeError("no"), "nonsense", lambda head: fail(ValueError("late")), AssertionError()]
        self.assertEqual(["ok"] * 5, [self.ask(gateway, client, 200) for _ in range(5)])
        self.assertEqual((3, True), (self.contained.failures, self.contained.off))
        self.assertEqual(1, len(self.answers))

    def test_optional_on_the_way_out(self) -> None:
        for method in "response", "body":
            gateway = self.asks(method, optional=True)
            client = gateway.client()
            self.answers = [RuntimeError("no")] * 4
            self.assertEqual(["ok"] * 5, [self.ask(gateway, client, 200) for _ in range(5)])
            self.assertEqual((3, True, 1), (self.contained.failures, self.contained.off, len(self.answers)))

    def test_an_answer_is_no_failure(self) -> None:
        """Also that of an optional one."""
        for answer, status in (BadRequest("no"), 400), (lambda head: fail(BadRequest("no")), 400):
            gateway = self.asks(optional=True)
            client = gateway.client()
            self.answers = [answer] * 9
            for _ in range(4):
                client = gateway.client()
                self.ask(gateway, client, status)
            self.assertEqual(0, self.contained.failures)

    def test_good_ones_between(self) -> None:
        """Whatever a good answer is, it ends a run of failures."""
        good: list[Any] = [
            None, Reply(200, (), b"hello"), lambda head: with_fields(head, set=[("X-A", "b")]), succeed,
            lambda head: succeed(None), lambda head: succeed(Reply(200, (), b"hello")),
        ]  # fmt: skip
        gateway = self.asks()
        client = gateway.client()
        for answer in good:
            self.answers = [RuntimeError("no"), RuntimeError("no"), answer]
            for status in 500, 500, 200:
                self.ask(gateway, client, status)
            self.assertEqual(0, self.contained.run)
        self.assertFalse(self.contained.off)

    def test_what_it_sets(self) -> None:
        """What makes no sense in its context is a failure as what it returns is, and changes nothing."""
        naive = datetime(2030, 1, 1)
        wrong: list[tuple[Callable[[Context], object], str]] = [
            (lambda to: setattr(to, "route", "nowhere"), "context.route is set to str"),
            (lambda to: setattr(to, "route", to.route._replace(pool=None)), "context.route is set to a Route without"),
            (lambda to: setattr(to, "user", b"x"), "context.user is set to bytes; it takes text"),
            (lambda to: setattr(to, "ends_at", "soon"), "context.ends_at is set to str; it takes seconds of"),
            (lambda to: setattr(to, "ends_at", naive), "context.ends_at is set to datetime"),
            (lambda to: setattr(to, "ends_at", float("nan")), "context.ends_at is set to nan"),
            (lambda to: setattr(to, "ends_at", float("-inf")), "context.ends_at is set to -inf"),
            (lambda to: setattr(to, "end_code", "4401"), "context.end_code is set to str; it takes a close code"),
            (lambda to: setattr(to, "end_code", 4000.0), "context.end_code is set to float"),
            (lambda to: setattr(to, "end_code", 1005), "1005 is no close code that may be sent"),
            (lambda to: setattr(to, "end_reason", b"x"), "context.end_reason is set to bytes"),
            (lambda to: to.end_session(naive), "context.ends_at is set to datetime"),  # type: ignore[arg-type]
            (lambda to: to.end_session(1e9, 1006), "1006 is no close code"),
            (lambda to: to.end_session(1e9, 4000, 5), "context.end_reason is set to int"),  # type: ignore[arg-type]
            (lambda to: to.conceal(5), "context.conceal() is given int"),  # type: ignore[arg-type]
        ]
        for number, (set_it, text) in enumerate(wrong):
            with self.subTest(number=number):
                contained = account("middleware", int)
                gateway = self.gateway(
                    middleware=[ContainedMiddleware(Scripted(request=lambda head, to, do=set_it: do(to)), contained)]
                )
                client = gateway.client()
                client.sends(HANDSHAKE)
                client.gets_page(500)
                self.assertIn(text, str(gateway.recorded("500 plugin_failed").error))
                self.assertEqual(1, contained.failures)
                gateway.connections(0, 0)

    def test_what_an_optional_one_sets(self) -> None:
        """It is gone on without, where the request was to go before."""

        def lose(head: Any, context: Context) -> None:
            context.route = None
            context.ends_at = "soon"  # type: ignore[assignment]

        contained = account("middleware", int)
        gateway = self.gateway(middleware=[ContainedMiddleware(Scripted(request=lose), contained, optional=True)])
        client, backend = gateway.opens_websocket()
        client.resets()
        backend.gets_something()
        backend.closes()
        gateway.recorded("101 client_gone")
        self.assertEqual(1, contained.failures)

    def test_what_it_may_set(self) -> None:
        def set_all(head: Any, context: Context) -> None:
            context.user = None
            context.ends_at = context.clock() + 9
            context.ends_at = None
            context.end_session(10**6)
            context.ends_at = float("inf")
            self.assertEqual(("", float("inf"), 4401), (context.user, context.ends_at, context.end_code))

        gateway = self.gateway(middleware=[ContainedMiddleware(Scripted(request=set_all), account("middleware", int))])
        client, backend = gateway.opens_websocket()
        client.resets()
        backend.gets_something()
        backend.closes()
        gateway.recorded("101 client_gone")

    def test_a_time_limit_is_a_failure(self) -> None:
        gateway = self.asks()
        client = gateway.client()
        self.answers = [lambda head: Deferred()]
        client.sends(GET)
        gateway.advance(32)
        client.gets_page(500)
        outcome = gateway.recorded("500 plugin_timeout")
        self.assertEqual("middleware 'x' of the test had no answer after 30 s", str(outcome.error))
        self.assertEqual(1, self.contained.failures)

    def test_a_client_that_leaves_is_none(self) -> None:
        gateway = self.asks()
        client = gateway.client()
        self.answers = [lambda head: Deferred()]
        client.sends(GET)
        client.resets()
        gateway.recorded("499 client_gone")
        self.assertEqual(0, self.contained.failures)

    def test_encoders(self) -> None:
        """One that has begun goes on, also when its middleware is switched off meanwhile."""
        gateway = self.asks("body")
        client = gateway.client()
        self.answers = [lambda head: Doubling()]
        client.sends(GET)
        gateway.backend(0).gets("GET / HTTP/1.1")
        gateway.backend(0).sends(OK[:-2])
        for _ in range(3):
            self.contained.failed(RuntimeError("elsewhere"))
        gateway.backend(0).sends(OK[-2:])
        self.assertIn(b"helhel", b"".join(client.gets_something().split(b"\r\n")[-8:]))
        gateway.recorded("200 ok")
        self.assertGreaterEqual(self.contained.calls, 4)

    def test_an_encoder_that_gives_nonsense(self) -> None:
        class Broken:
            def feed(self, data: bytes) -> str:
                return "text"

            end = feed

        gateway = self.asks("body", optional=True)
        client = gateway.client()
        self.answers = [lambda head: Broken()]
        self.assertEqual("plugin_failed", self.ask(gateway, client, 500))


@implementer(ISelector)
class Choosing:
    """Does what it is told."""

    choose: Callable[..., Any] = staticmethod(lambda candidates: candidates[0])
    asked = 0

    def select(self, candidates: Any, head: Any) -> Any:
        """See `ISelector`."""
        self.asked += 1
        return self.choose(candidates)


class SelectorTests(SynchronousTestCase):
    """Selectors."""

    def setUp(self) -> None:
        self.log = PluginLog(self)
        self.clock = Clock()
        self.selector = Choosing()
        self.contained = account("selector", self.clock.seconds)
        self.pool = Pool(
            "pool", BackendSettings(name="s"), [Member(host=f"10.0.0.{number}") for number in range(3)], self.selector,
            contained=self.contained,
        )  # fmt: skip
        for backend in self.pool.backends:
            self.pool.set_health(backend, True, "well")

    def lease(self) -> str:
        try:
            return self.pool.lease(request_head()).backend.host
        except PluginFailed:
            return "failed"

    def test_round_robin_instead(self) -> None:
        def broken(candidates: Any) -> Any:
            raise KeyError("tenant")

        for choose in broken, lambda candidates: "nonsense", lambda candidates: Choosing():
            self.setUp()
            self.selector.choose = choose
            first = [self.lease() for _ in range(3)]
            self.assertEqual((["failed"] * 3, True), (first, self.contained.off))
            self.assertEqual(["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.0"], [self.lease() for _ in range(4)])
            self.assertEqual(3, self.selector.asked)
            self.assertIn("round robin chooses", self.log.flush()[-1])
            self.clock.advance(30)
            self.assertEqual(["failed", "10.0.0.1"], [self.lease(), self.lease()])
            self.selector.choose = lambda candidates: candidates[2]
            self.clock.advance(30)
            self.assertEqual(["10.0.0.2"] * 3, [self.lease() for _ in range(3)])

    def test_to_refuse_is_no_failure(self) -> None:
        self.contained.failed(ValueError())
        self.selector.choose = lambda candidates: None
        self.assertRaises(NoHealthyBackend, self.pool.lease, request_head())
        self.assertEqual(0, self.contained.run)

    def test_the_pool_cannot_be_changed_while_it_chooses(self) -> None:
        pool = self.pool
        backend = pool.backends[0]
        attempts: list[Callable[[], Any]] = [
            lambda: pool.lease(request_head()), lambda: pool.set_members(()), pool.close,
            lambda: pool.set_health(backend, False, ""), lambda: pool.set_draining(backend, True),
            lambda: pool.eject(backend, "x"), lambda: pool.let_in(backend, "x"),
        ]  # fmt: skip
        for attempt in attempts:
            self.contained.succeeded()
            self.selector.choose = lambda candidates, attempt=attempt: attempt() or candidates[0]
            error = self.assertRaises(PluginFailed, pool.lease, request_head())
            self.assertIn("called back into pool 'pool' while it was choosing", str(error))
        self.selector.choose = lambda candidates: candidates[0]
        self.assertEqual((3, "10.0.0.0"), (len(pool.candidates), self.lease()))


@implementer(IProbe)
class Probing:
    """Gives ``answer()``."""

    answer: Callable[[], Any] = staticmethod(lambda: succeed(ProbeResult(True, "well")))
    asked = 0

    def check(self, backend: Any, deadline: float) -> Any:
        """See `IProbe`."""
        self.asked += 1
        return self.answer()


class ProbeTests(SynchronousTestCase):
    """Probes."""

    def test_unhealthy_with_a_reason(self) -> None:
        log, clock, probe = PluginLog(self), Clock(), Probing()
        contained = account("probe strategy", clock.seconds)
        pool = Pool("pool", BackendSettings(name="s"), [Member(host="10.0.0.1")], Choosing())
        monitor = HealthMonitor(clock, Random(1))
        monitor.watch(pool, probe, Probe(name="p", interval=5, timeout=5, unhealthy_threshold=1), contained)
        monitor.start()
        self.addCleanup(monitor.stop)
        backend = pool.backends[0]
        self.assertEqual("up", backend.state)
        answers: tuple[tuple[Callable[[], Any], str], ...] = (
            (lambda: succeed("nonsense"), "TypeError: check() gave 'str' instead of a ProbeResult"),
            (lambda: fail(KeyError("x")), "KeyError: 'x'"), (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        )  # fmt: skip
        for answer, words in answers:
            probe.answer = answer  # type: ignore[assignment]
            clock.pump([0.5] * 12)
            self.assertEqual("down", backend.state)
            self.assertIn(f"the probe failed: {words}", backend.reason)
        clock.pump([0.5] * 30)
        self.assertTrue(contained.off)
        self.assertRegex(backend.reason, "^probe strategy 'x' of the test is switched off after . failures in a row")
        asked = probe.asked
        clock.pump([0.5] * 12)
        self.assertEqual(asked, probe.asked)
        self.assertIn("what it probes is unhealthy", log.flush()[1])
        probe.answer = Probing.answer
        clock.pump([0.5] * 80)
        self.assertEqual(("up", "well", False), (backend.state, backend.reason, contained.off))


    def test_exceptions_that_are_none(self) -> None:
        """What has no text, or is meant to end more than a check, is said as what it is."""

        class Unprintable(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        def cancelling(_: object) -> None:
            raise CancelledError

        for answer, reason in (
            (lambda: fail(Unprintable()), "the probe failed: Unprintable: (its text cannot be shown)"),
            (lambda: fail(CancelledError()), "the probe failed: RuntimeError: it raised CancelledError"),
            (lambda: fail(SystemExit(0)), "the probe failed: RuntimeError: it wanted to end the process"),
            (lambda: Deferred(cancelling), "no answer within the probe's timeout of 1 s"),
        ):
            log, clock, probe = PluginLog(self), Clock(), Probing()
            probe.answer = answer  # type: ignore[assignment]
            pool = Pool("pool", BackendSettings(name="s"), [Member(host="10.0.0.1")], Choosing())
            contained = account("probe strategy", clock.seconds)
            monitor = HealthMonitor(clock, Random(1))
            monitor.watch(pool, probe, Probe(name="p", interval=5, timeout=1, unhealthy_threshold=1), contained)
            monitor.start()
            clock.pump([0.5] * 4)
            self.assertEqual((reason, 1, 1), (pool.backends[0].reason, contained.failures, len(log.lines)))
            monitor.stop()


@implementer(IOutcomeObserver)
class Observing:
    """Fails while it is broken."""

    broken = True
    asked = 0

    def opened(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        self.asked += 1
        if self.broken:
            raise RuntimeError("full")

    ended = opened


class ObserverTests(SynchronousTestCase):
    """Observers."""

    def test_dropped(self) -> None:
        log, clock, inner = PluginLog(self), Clock(), Observing()
        observer = ContainedObserver(inner, account("observer", clock.seconds))
        verifyObject(IOutcomeObserver, observer)
        for _ in range(5):
            observer.opened(Outcome())
            observer.ended(Outcome())
        self.assertEqual((3, 2), (inner.asked, len(log.lines)))
        self.assertIn("it is not told anything", log.lines[1])
        inner.broken = False
        clock.advance(30)
        for _ in range(5):
            observer.ended(Outcome())
        self.assertEqual(8, inner.asked)

    def test_tally(self) -> None:
        """One that wants no more than numbers is told no more, and contained in that as well."""

        @implementer(ITally)
        class Tallying(Observing):
            def tally(self, *numbers: Any) -> None:
                self.numbers = numbers
                self.ended(Outcome())

        self.assertFalse(ITally.providedBy(ContainedObserver(Observing(), account("observer", Clock().seconds))))
        log, clock, inner = PluginLog(self), Clock(), Tallying()
        observer = ContainedObserver(inner, account("observer", clock.seconds))
        verifyObject(ITally, observer)
        for _ in range(5):
            observer.tally("route", "backend", 200, 3, 4, 0.5)
        self.assertEqual((3, 2), (inner.asked, len(log.lines)))
        self.assertEqual(("route", "backend", 200, 3, 4, 0.5), inner.numbers)

    def test_one_that_would_be_waited_for(self) -> None:
        """Nobody waits for an observer: `async def` is a failure each time, and a failed Deferred makes no noise."""

        class Late(Observing):
            async def opened(self, outcome: Outcome) -> None:  # type: ignore[override]
                raise AssertionError("it is not run")

            def ended(self, outcome: Outcome) -> Deferred[None]:  # type: ignore[override]
                return fail(RuntimeError("late"))

        for method, kind in ("opened", "coroutine"), ("ended", "Deferred"):
            log, contained = PluginLog(self), account("observer", Clock().seconds)
            observer = ContainedObserver(Late(), contained)
            for _ in range(5):
                getattr(observer, method)(Outcome())
            self.assertEqual((3, 3, True, 2), (contained.calls, contained.failures, contained.off, len(log.lines)))
            self.assertIn(f"{method}() returned a {kind}, and nobody waits for one there", log.lines[0])
            self.assertEqual([], self.flushWarnings())


class WaitingTests(DialogueCase):
    """What nobody waits for, in places where it once was lost."""

    def setUp(self) -> None:
        super().setUp()
        self.log = PluginLog(self)

    def fails(self, middleware: Any, why: str) -> None:
        """It costs the request whose response it was asked about, and the log says ``why``."""
        gateway = self.gateway(middleware=[middleware], backends=1)
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets_page(500)
        gateway.recorded("500 plugin_failed")
        self.assertIn(why, self.log.flush()[0])

    def test_middleware(self) -> None:
        async def late(head: Any, context: Any) -> None:
            """Not run."""

        for method in "response", "body":
            contained = account("middleware", int)
            self.fails(ContainedMiddleware(Scripted(**{method: late}), contained), "returned a coroutine")
            self.assertEqual((1, []), (contained.failures, self.flushWarnings()))

    def test_affinity(self) -> None:
        """A mark is wanted at once."""

        @implementer(IAffinity)
        class Late(Choosing):
            async def mark(self, backend: Any, head: Any, secure: bool) -> Any:
                return ()

        self.fails(Affinity(Late(), account("selector", int)), "mark() returned a coroutine")

    def test_selector(self) -> None:
        selector = Choosing()
        selector.choose = lambda candidates: fail(RuntimeError("late"))
        pool = Pool(
            "pool", BackendSettings(name="s"), [Member(host="10.0.0.1")], selector, contained=account("selector", int)
        )
        pool.set_health(pool.backends[0], True, "well")
        error = self.assertRaises(PluginFailed, pool.lease, request_head())
        self.assertIn("select() returned a Deferred", str(error))
