"""`gateway.transport.driving`: who waits for whom. Reactors of Twisted's own, built for each test."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from threading import Thread
from time import monotonic
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.transport.driving import Around, Nested, driver_for
from gateway.transport.pump import Pump

LONG = 5.0
"""Seconds for which nobody waits, if all is well."""


class Ridden:
    """One end of a socket pair in a pump; ``theirs`` is the other end."""

    waiting = False

    def __init__(self, pump: Pump) -> None:
        self.pump = pump
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.heard = b""
        self.act: Callable[[], Any] | None = None
        self.reason: Failure | None = None
        pump.add(self.ours.fileno(), self)

    def event(self, events: int) -> None:
        try:
            self.heard += self.ours.recv(100)
        except BlockingIOError:
            pass
        if self.act is not None:
            self.act()

    def again(self) -> None:
        self.heard += b"!"

    def dropped(self, reason: Failure) -> None:
        self.reason = reason
        self.leave()

    def leave(self) -> None:
        self.pump.remove(self.ours.fileno())
        self.ours.close()
        self.theirs.close()


@implementer(IReadDescriptor)
class Other:
    """Somebody else's descriptor: it takes one byte at a time."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.heard = b""

    def fileno(self) -> int:
        return self.ours.fileno()

    def logPrefix(self) -> str:
        return "other"

    def doRead(self) -> None:
        self.heard += self.ours.recv(1)

    def connectionLost(self, reason: Failure) -> None:
        self.ours.close()
        self.theirs.close()


class DrivenCase(ReactorBuilder, SynchronousTestCase):
    """A reactor that somebody rides on."""

    reactorFactory: Any = EPollReactor

    def setUp(self) -> None:
        super().setUp()
        self.reactor: Any = self.buildReactor()
        self.pump = Pump(self.reactor)
        self.rider = Ridden(self.pump)
        self.addCleanup(self.rider.leave)

    def other(self) -> Other:
        other = Other()
        self.reactor.addReader(other)
        return other

    def until(self, condition: Callable[[], Any]) -> None:
        """Go round, as the reactor's main loop does; nobody waits where something is to be done."""
        for _ in range(1000):
            self.reactor.runUntilCurrent()
            if condition():
                return
            timeout, began = self.reactor.timeout(), monotonic()
            self.reactor.doIteration(LONG if timeout is None else timeout)
            self.assertLess(monotonic() - began, LONG, "nobody was woken")
        self.fail("it does not happen")


class SameForBoth(DrivenCase):
    """What a reactor does with a pump, whichever of both is nested."""

    def test_rider(self) -> None:
        for data in b"a", b"b":
            self.rider.heard = b""
            self.rider.theirs.send(data)
            self.until(lambda data=data: self.rider.heard == data)

    def test_others(self) -> None:
        """They are served as before: again and again, while they leave something."""
        other = self.other()
        other.theirs.send(b"123")
        self.until(lambda: other.heard == b"123")
        self.reactor.iterate(0)
        other.theirs.send(b"45")
        self.rider.theirs.send(b"x")
        self.until(lambda: (other.heard, self.rider.heard) == (b"12345", b"x"))

    def test_timers(self) -> None:
        done: list[int] = []
        for number in 2, 1:
            self.reactor.callLater(number / 100, done.append, number)
        self.reactor.callLater(0.03, self.reactor.stop)
        self.runReactor(self.reactor)
        self.assertEqual([1, 2], done)

    def test_a_timer_that_is_begun_in_a_turn(self) -> None:
        self.rider.act = lambda: self.reactor.callLater(0, self.reactor.stop)
        self.rider.theirs.send(b"x")
        self.runReactor(self.reactor)

    def test_threads(self) -> None:
        """Nobody waits on when one has called."""
        done: list[str] = []
        thread = Thread(target=self.reactor.callFromThread, args=(done.append, "called"))
        thread.start()
        self.until(lambda: done)
        thread.join()

    def test_signals(self) -> None:
        """The reactor's handler is asked at once, and ends it."""
        number: list[int] = []
        self.reactor.addSystemEventTrigger("before", "shutdown", lambda: number.append(self.reactor._exitSignal))
        self.reactor.callWhenRunning(os.kill, os.getpid(), signal.SIGTERM)
        self.runReactor(self.reactor)
        self.assertEqual([signal.SIGTERM], number)

    def test_woken(self) -> None:
        """Who asks outside of a turn has one, though nothing comes; and who asks in one that has lasted long enough."""
        done: list[str] = []
        self.pump.later(lambda: done.append("called"))
        self.pump.soon(self.rider)
        self.until(lambda: done and self.rider.heard == b"!")

    def test_woken_alone(self) -> None:
        """Also while nobody rides."""
        self.rider.leave()
        done: list[str] = []
        self.pump.later(lambda: done.append("called"))
        self.until(lambda: done)

    def test_woken_by_another_driver(self) -> None:
        """Who asks while nobody rides has a turn of whoever drives then; what that finds of the reactor's is served."""
        other = self.other()
        done: list[str] = []
        for _ in range(2):
            self.pump.soon(self.rider)
            self.rider.leave()
            self.pump.later(lambda: done.append("called"))
            self.rider = Ridden(self.pump)
            other.heard = b""
            other.theirs.send(b"1")
            self.until(lambda: other.heard and done)
            other.theirs.send(b"2")
            self.until(lambda: other.heard == b"12")

    def test_the_end(self) -> None:
        """All are told when the reactor stops, and it is as before."""
        self.reactor.callWhenRunning(self.reactor.stop)
        self.runReactor(self.reactor)
        self.assertIsNotNone(self.rider.reason)
        self.assertEqual(-1, self.pump.fileno())
        self.assertNotIn("doIteration", vars(self.reactor))

    def test_opened_again(self) -> None:
        for _ in range(3):
            driver = self.pump.driver
            self.assertIn(driver, self.reactor.getReaders())
            self.rider.leave()
            self.assertNotIn(driver, self.reactor.getReaders())
            self.assertNotIn("doIteration", vars(self.reactor))
            self.rider = Ridden(self.pump)
            self.test_rider()

    def test_a_turn_that_fails(self) -> None:
        """What is left is done some time later, and others are served meanwhile."""
        other = self.other()
        failing = self.patch(self.pump, "turn", lambda *_: 1 // 0)
        self.pump.soon(self.rider)
        self.rider.theirs.send(b"x")
        other.theirs.send(b"1")
        self.until(lambda: other.heard)
        failing.restore()
        self.assertLess(len(self.flushLoggedErrors(ZeroDivisionError)), 9)
        self.until(lambda: self.rider.heard in (b"!x", b"x!"))

    def test_a_reactor(self) -> None:
        verifyObject(IReadDescriptor, self.pump.driver)
        self.assertEqual("pump", self.pump.driver.logPrefix())  # type: ignore[attr-defined]


class AroundTests(SameForBoth):
    """The reactor is nested in the pump."""

    def test_chosen(self) -> None:
        self.assertIsInstance(self.pump.driver, Around)
        self.assertIn("doIteration", vars(self.reactor))
        self.reactor.removeReader(self.pump.driver)
        self.reactor.addReader(self.pump.driver)  # it has a descriptor that is never readable
        self.reactor.iterate(0)
        self.pump.driver.doRead()  # type: ignore[attr-defined]
        self.rider.leave()
        self.assertNotIn("doIteration", vars(self.reactor))

    def test_two(self) -> None:
        """Only one can be around a reactor; the other is nested in it, and both are served."""
        second = Pump(self.reactor)
        rider = Ridden(second)
        self.addCleanup(rider.leave)
        self.assertIsInstance(second.driver, Nested)
        for one in self.rider, rider:
            one.theirs.send(b"x")
            self.until(lambda one=one: one.heard)
        self.rider.leave()
        rider.theirs.send(b"y")
        self.until(lambda: rider.heard == b"xy")

    def test_no_descriptors(self) -> None:
        def none(*_: int) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        self.rider.leave()
        self.patch(os, "eventfd", none)
        self.rider = Ridden(self.pump)
        self.assertIsInstance(self.pump.driver, Nested)
        self.test_rider()


class NestedTests(SameForBoth):
    """The pump is nested in the reactor, as in any that it does not know."""

    class reactorFactory(EPollReactor):
        """Somebody's own."""

    def test_chosen(self) -> None:
        self.assertIsInstance(self.pump.driver, Nested)

    def test_which(self) -> None:
        for reactor in Clock(), SelectReactor.__new__(SelectReactor), object():
            self.assertIsInstance(driver_for(self.pump, reactor), Nested)


del SameForBoth, DrivenCase, ReactorBuilder  # cases without a reactor of their own
