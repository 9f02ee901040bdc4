"""`gateway.strategies.containment`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import PluginFailed, PluginOff
from gateway.strategies.containment import INSTEAD, Accounts, Containment, Terms, as_exception
from gateway.strategies.groups import GROUPS


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Evil(BaseException):
    """As some libraries' ways out of everything."""


def asked(contained: Containment, function: Any, **others: Any) -> Any:
    """As a strategy that may be waited for is called."""
    return contained.guard(contained.measured(function), **others)


class ContainmentCase(SynchronousTestCase):
    """``contained`` is the account of a stranger; ``timer`` the time of calls, ``clock`` all other."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.clock, self.timer = Clock(), Clock()
        self.contained = self.account(ours=False)

    def account(self, failures: int = 3, **others: Any) -> Containment:
        log = Logger(observer=self.events.append)  # type: ignore[arg-type]
        return Containment(
            "middleware", "x", "the test", log=log, terms=Terms(failures, 30, 0.1), seconds=self.clock.seconds,
            timer=self.timer.seconds, **others,
        )  # fmt: skip

    def lines(self) -> list[str]:
        """What has been logged since the last time."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines


class FailureTests(ContainmentCase):
    """What becomes of exceptions of strategies."""

    def test_bounded(self) -> None:
        error = self.contained.failed(ValueError("x" * 100000))
        self.assertIsInstance(error, PluginFailed)
        self.assertLess(len(str(error)), 300)
        self.assertLessEqual(len(self.events[0]["trace"]), 4000)

    def test_unprintable(self) -> None:
        self.assertIn("cannot be shown", str(self.contained.failed(Unprintable())))
        self.assertNotIn("\n", str(self.contained.failed(ValueError("a\nb\x1b[2J"))))

    def test_first_and_every_hundredth_are_logged(self) -> None:
        contained = self.account(failures=0, ours=False)
        for _ in range(250):
            contained.failed(ValueError("no"))
        self.assertEqual([1, 101, 201], [event["failures"] for event in self.events])
        self.assertEqual((250, False), (contained.failures, contained.off))

    def test_deep_traceback_is_trimmed(self) -> None:
        def deep(level: int) -> None:
            if not level:
                raise ValueError("deep")
            deep(level - 1)

        try:
            deep(50)
        except ValueError as error:
            self.contained.failed(error)
        self.assertIn("deep(level - 1)", self.events[0]["trace"])
        self.assertLess(self.events[0]["trace"].count("in deep"), 6)

    def test_only_frames_of_the_plugin(self) -> None:
        contained = self.account(ours=False, package="tests")
        guarded = asked(contained, lambda: Logger(observer=3, namespace=object()).info(None, a=int("x")))
        try:
            guarded()
        except ValueError as error:
            contained.failed(error)
        trace = self.events[0]["trace"]
        self.assertIn("test_containment.py", trace)
        self.assertNotIn("gateway/strategies/containment.py", trace)

    def test_leaving_is_a_failure(self) -> None:
        """A plugin may not end the process."""

        def leave() -> None:
            raise SystemExit(3)

        self.assertRaises(RuntimeError, asked(self.contained, leave))

    def test_what_is_meant_to_end_more_than_a_call(self) -> None:
        """Whatever is raised is an Exception for the caller; how it is raised makes no difference."""
        cases = (
            (SystemExit(3), "it wanted to end the process"), (KeyboardInterrupt(), "it raised KeyboardInterrupt"),
            (asyncio.CancelledError(), "it raised CancelledError"), (GeneratorExit(), "it raised GeneratorExit"),
            (Evil("no"), "it raised Evil: no"), (ValueError("plain"), "plain"),
        )  # fmt: skip
        for error, text in cases:

            def fail(error: BaseException = error) -> None:
                raise error

            async def late(error: BaseException = error) -> None:
                await succeed(None)
                raise error

            kind = ValueError if isinstance(error, ValueError) else RuntimeError
            raised = self.assertRaises(kind, asked(self.contained, fail))
            failure = self.failureResultOf(asked(self.contained, late)())
            for found in raised, failure.value, as_exception(error):
                self.assertIsInstance(found, kind)
                self.assertEqual(text, str(found))
                self.assertIsNotNone(found.__traceback__)
        self.assertIs(error, as_exception(error))


class SwitchTests(ContainmentCase):
    """Strategies that fail again and again."""

    def setUp(self) -> None:
        super().setUp()
        self.broken = True
        self.asked = 0
        self.guarded = asked(self.contained, self.work, valid=lambda result: result == "done")

    def work(self) -> str:
        self.asked += 1
        if self.broken:
            raise ValueError("broken")
        return "done"

    def call(self, guarded: Any = None) -> str:
        """As a caller does: `PluginOff` is not a failure."""
        try:
            return str((guarded or self.guarded)())
        except PluginOff:
            return "off"
        except Exception as error:
            self.contained.failed(error)
            return "failed"

    def test_off_and_on(self) -> None:
        self.assertEqual(["failed"] * 3 + ["off"] * 2, [self.call() for _ in range(5)])
        self.assertEqual((3, True, 3), (self.asked, self.contained.off, self.contained.calls))
        first, off = self.lines()
        self.assertIn("middleware 'x' of the test failed (1 so far): ValueError", first)
        self.assertIn("is switched off after 3 failures in a row: " + INSTEAD["middleware"], off)
        self.clock.advance(29)
        self.assertEqual("off", self.call())
        self.clock.advance(1)
        self.assertEqual(["failed", "off"], [self.call(), self.call()])
        self.broken = False
        self.clock.advance(30)
        self.assertEqual(["done", "done"], [self.call(), self.call()])
        self.assertEqual(["middleware 'x' of the test works again"], self.lines())
        self.assertEqual((0, False, 4), (self.contained.run, self.contained.off, self.contained.failures))

    def test_a_success_between(self) -> None:
        for _ in range(5):
            self.broken = True
            self.assertEqual(["failed"] * 2, [self.call(), self.call()])
            self.broken = False
            self.call()
        self.assertFalse(self.contained.off)

    def test_one_at_a_time_is_tried(self) -> None:
        """While the trial waits for somebody, all others are refused."""
        waiting: Deferred[str] = Deferred()
        guarded = asked(self.contained, lambda: waiting if self.clock.seconds() else self.work())
        for _ in range(3):
            self.call(guarded)
        self.clock.advance(30)
        self.assertIs(waiting, guarded())
        self.assertRaises(PluginOff, guarded)

    def test_something_else_instead(self) -> None:
        guarded = asked(self.contained, self.work, instead=lambda: "other")
        for _ in range(3):
            self.call(guarded)
        self.assertEqual(["other", "other"], [guarded(), guarded()])
        self.assertTrue(self.contained.off)

    def test_never(self) -> None:
        self.contained = self.account(failures=0, ours=False)
        guarded = asked(self.contained, self.work)
        self.assertEqual({"failed"}, {self.call(guarded) for _ in range(100)})

    def test_ours(self) -> None:
        """Called directly, and never switched off."""
        contained = self.account()
        self.assertEqual((self.work, self.work), (asked(contained, self.work), contained.measured(self.work)))
        for _ in range(100):
            contained.failed(ValueError("a bug"))
        self.assertFalse(contained.off)

    def test_what_happens_instead_is_said_for_every_kind(self) -> None:
        self.assertLessEqual({group.word for group in GROUPS.values()}, set(INSTEAD))


class BudgetTests(ContainmentCase):
    """The time that calls take."""

    def test_over_the_budget(self) -> None:
        guarded = asked(self.contained, self.timer.advance)
        guarded(0.1)
        self.assertEqual([], self.lines())
        for _ in range(3):
            guarded(0.25)
        (line,) = self.lines()
        self.assertIn("middleware 'x' of the test kept everything else waiting for 0.250 s", line)
        self.clock.advance(60)
        guarded(0.25)
        self.assertIn("(4 calls were over it so far)", self.lines()[0])
        self.assertEqual((5, 4, 1.1), (self.contained.calls, self.contained.exceeded, round(self.contained.seconds, 6)))

    def test_a_call_that_raises(self) -> None:
        def slow() -> None:
            self.timer.advance(1)
            raise ValueError("slow")

        self.assertRaises(ValueError, asked(self.contained, slow))
        self.assertEqual((1, 1.0), (self.contained.exceeded, self.contained.seconds))

    def test_steps_of_a_coroutine(self) -> None:
        """What it waits for is not its time; what it does between is."""
        waiting: Deferred[int] = Deferred()

        async def work(start: int) -> int:
            self.timer.advance(0.05)
            try:
                await succeed(None)
                found = await waiting
            finally:
                self.timer.advance(0.5)
            return start + found

        result = asked(self.contained, work)(40)
        self.assertEqual((0.05, 0), (self.contained.seconds, self.contained.exceeded))
        self.timer.advance(1000)
        waiting.callback(2)
        self.assertEqual(42, self.successResultOf(result))
        self.assertEqual((0.55, 1, 1), (self.contained.seconds, self.contained.exceeded, self.contained.calls))

    def test_a_coroutine_that_is_cancelled_or_fails(self) -> None:
        told: list[str] = []

        async def work(waiting: Deferred[None]) -> None:
            try:
                await waiting
            except Exception as error:
                told.append(type(error).__name__)
                raise

        for end, word in (lambda each: each.cancel(), "CancelledError"), (lambda each: None, "KeyError"):
            waiting: Deferred[None] = Deferred()
            result = asked(self.contained, work)(waiting)
            end(result)
            if not waiting.called:
                waiting.errback(KeyError("x"))
            self.failureResultOf(result)
            self.assertEqual([word], told)
            told.clear()

    def test_leaving_in_a_coroutine(self) -> None:
        async def leave() -> None:
            raise SystemExit(3)

        self.failureResultOf(asked(self.contained, leave)(), RuntimeError)

    def test_generators_are_results(self) -> None:
        def generate() -> Generator[int, None, None]:
            yield 1

        self.assertEqual([1], list(asked(self.contained, generate)()))


class ImmediateTests(ContainmentCase):
    """What nobody waits for."""

    def refused(self, function: Any) -> str:
        call = self.contained.guard(self.contained.immediate(function), valid=lambda *_: True)
        error = self.assertRaises(TypeError, call)
        self.assertEqual((1, 0), (self.contained.calls, len(self.events)))
        return str(error)

    def test_a_coroutine(self) -> None:
        """It is not run: what it did would be nobody's."""
        ran: list[int] = []

        async def ended() -> None:
            ran.append(1)

        self.assertIn("ended() returned a coroutine, and nobody waits for one there: it has to be", self.refused(ended))
        self.assertEqual(([], []), (ran, self.flushWarnings()))

    def test_a_deferred(self) -> None:
        """Whether it waits, has failed, or does not let go: nothing is heard of it any more."""
        told: list[str] = []

        def stubborn(_: object) -> None:
            told.append("cancelled")
            raise KeyboardInterrupt

        def chained() -> Deferred[None]:
            return succeed(None).addCallback(lambda _: Deferred(stubborn))

        for make in (lambda: fail(KeyError("x")), lambda: Deferred(), lambda: Deferred(stubborn), chained):
            self.assertIn("<lambda>() returned a Deferred" if make is not chained else "chained()", self.refused(make))
            self.contained = self.account(ours=False)
        self.assertEqual(["cancelled", "cancelled"], told)
        gc.collect()
        self.assertEqual([], self.flushLoggedErrors())

    def test_what_is_immediate(self) -> None:
        for result in (None, 0, "x", (), iter(())):
            self.assertIs(result, self.contained.immediate(lambda found: found)(result))

    def test_ours(self) -> None:
        self.assertEqual(self.lines, self.account().immediate(self.lines))


class AccountsTests(SynchronousTestCase):
    """All of them."""

    def test_open(self) -> None:
        accounts = Accounts(Terms(1, 5, 1))
        one = accounts.open("router", "a", "rule 'r'", self, ours=False)
        two = accounts.open("selector", "b", "", self, ours=True)
        self.assertEqual([one, two], list(accounts))
        self.assertEqual(("router 'a' of rule 'r'", "selector 'b'"), (one.subject, two.subject))
        one.failed(ValueError())
        self.assertTrue(one.off)

    def test_closed(self) -> None:
        """What has been counted is not lost with its account; kinds and names bound what is kept."""
        accounts = Accounts(Terms(1, 5, 1))
        for _ in range(3):
            opened = [accounts.open("router", "a", "", self, ours=False) for _ in range(2)]
            ours, unknown = [accounts.open("router", name, "", self, ours=True) for name in "bc"]
            for each in (*opened, ours):
                each.failed(ValueError())
            opened[0].measured(lambda: None)()
            opened[0].spent(2.0)
            accounts.close([*opened, ours, unknown])
        self.assertEqual([], list(accounts))
        kept = accounts.counted()
        found = [(each.name, each.ours, each.calls, each.failures, each.exceeded, each.off) for each in kept]
        self.assertEqual([("a", False, 3, 6, 3, False), ("b", True, 0, 3, 0, False)], found)
        self.assertLessEqual(6, kept[0].seconds)
