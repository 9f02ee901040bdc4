"""`gateway.lifecycle.process`."""

from __future__ import annotations

import gc
import os
import platform
import resource
import signal
from math import inf
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from gateway.config.model import Gateway
from gateway.errors import ReloadFailed
from gateway.lifecycle import process
from gateway.lifecycle.process import (
    heed_signals,
    keep_freed_memory,
    limit_clients,
    raise_descriptor_limit,
    reopen_logs_on_signal,
)
from gateway.service import GatewayService


class _Reactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def callFromThread(self, call: object) -> None:
        self.calls.append(call)


class ProcessTests(SynchronousTestCase):
    """What the process does once everything is built."""

    def service(self, access_log: str) -> tuple[_Reactor, GatewayService]:
        reactor = _Reactor()
        return reactor, GatewayService(Gateway(), reactor=reactor, transport="twisted", access_log=access_log)

    def test_the_collector_is_for_the_pump(self) -> None:
        """What rides on it leaves no cycles; Twisted's own transports do."""
        started: list[object] = []
        self.patch(process, "Collector", lambda clock: SimpleNamespace(start=lambda: started.append(clock)))
        for name in (
            "raise_descriptor_limit", "reopen_logs_on_signal", "keep_freed_memory", "heed_signals", "limit_clients",
        ):  # fmt: skip
            self.patch(process, name, lambda *_: None)
        self.addCleanup(gc.unfreeze)
        reactor: Any = Clock()
        for road, times in (("twisted", 0), ("pump", 1)):
            service: Any = SimpleNamespace(road=SimpleNamespace(name=road))
            process.settle(reactor, service)
            self.assertEqual([reactor] * times, started)

    def test_freed_memory(self) -> None:
        """Where malloc is glibc's it takes all that it is told."""
        self.assertEqual(platform.libc_ver()[0] == "glibc", keep_freed_memory())

    def test_descriptor_limit(self) -> None:
        """The soft limit becomes the hard one."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] // 2, before[1]))
        self.assertEqual(before[1], raise_descriptor_limit())
        self.assertEqual((before[1], before[1]), resource.getrlimit(resource.RLIMIT_NOFILE))

    def test_descriptors_for_clients(self) -> None:
        """Who may let in more than there are descriptors for is told once."""
        warned: list[str] = []

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            warned.append(formatEvent(event))

        self.patch(process, "_log", Logger("gateway", observer=observe))
        self.patch(process, "descriptors_in_use", lambda: 16)
        reactor, service = self.service("off")
        for limit, most, paired in ((None, 1, inf), (-1, 1, inf), (64, None, 15), (64, 15, 15), (64, 16, 15)):
            self.assertEqual([], warned)
            service.admission.most = most
            limit_clients(service, limit)
            self.assertEqual(paired, service.admission.paired)
        sentence = "limits.maxConnections is 16, and 64 file descriptors are enough for 15 clients"
        self.assertTrue(warned.pop().startswith(sentence))
        self.patch(process, "descriptors_in_use", lambda: None)  # counted instead
        limit_clients(service, 20_000)
        self.assertTrue(9_000 < service.admission.paired < 9_900, service.admission.paired)

    def test_signal_reopens_the_access_log(self) -> None:
        """A log that was renamed is written under its old name again."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        path = self.mktemp()
        reactor, service = self.service(path)
        reopen_logs_on_signal(reactor, service)
        os.rename(path, path + ".1")
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual([service.reopen_logs], reactor.calls)
        service.reopen_logs()
        self.assertTrue(os.path.exists(path))
        assert service.access_log is not None
        service.access_log.close()

    def test_a_signal_that_is_ignored(self) -> None:
        """Who was told to goes on to do so, as a worker: its parent tells it."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        reopen_logs_on_signal(_Reactor(), _Service())
        self.assertEqual(signal.SIG_IGN, signal.getsignal(signal.SIGUSR1))

    def test_twistd_rotates_its_own_log_as_well(self) -> None:
        """What twistd does for the signal comes first."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        reactor, service = _Reactor(), _Service()
        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread("rotate"))
        reopen_logs_on_signal(reactor, service)
        os.kill(os.getpid(), signal.SIGUSR1)
        self.assertEqual(["rotate", service.reopen_logs], reactor.calls)

    def test_nothing_to_open_again(self) -> None:
        """The signal, which ends a process that does not know it, is harmless."""
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        for where in ("off", "-"):
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            reactor, service = self.service(where)
            reopen_logs_on_signal(reactor, service)
            self.assertTrue(callable(signal.getsignal(signal.SIGUSR1)))
            os.kill(os.getpid(), signal.SIGUSR1)
            for call in reactor.calls:
                call()


class _Service:
    running = 1

    def hurry(self) -> None:
        """Compared, not called."""

    def reopen_logs(self) -> None:
        """Compared, not called."""

    def reload(self) -> Deferred[None]:
        """Fails, as the service's own does: that has been logged."""
        return fail(ReloadFailed(["no"]))


class SignalTests(SynchronousTestCase):
    """`heed_signals`."""

    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.firsts: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self.firsts.append(number))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self.reactor = _Reactor()
        self.service = _Service()

    def heeds(self) -> None:
        heed_signals(self.reactor, self.service)

    def test_the_second_one_hurries(self) -> None:
        """Whichever of the two it is; the reactor sees the first one only."""
        self.heeds()
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(([signal.SIGINT], []), (self.firsts, self.reactor.calls))
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        self.assertEqual(([signal.SIGINT], [self.service.hurry] * 2), (self.firsts, self.reactor.calls))

    def test_a_service_that_stops_anyway(self) -> None:
        self.heeds()
        self.service.running = 0
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(([], [self.service.hurry]), (self.firsts, self.reactor.calls))

    def test_a_hang_up_is_no_reason_to_stop(self) -> None:
        """It asks for a reload; one that fails is no failure of the process."""
        self.heeds()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(([], 1), (self.firsts, len(self.reactor.calls)))
        self.reactor.calls[0]()

    def test_unless_the_terminal_is_gone(self) -> None:
        there = [True, False]
        self.patch(process, "_has_terminal", lambda: there.pop(0))
        self.heeds()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(([signal.SIGTERM], []), (self.firsts, self.reactor.calls))

    def test_nohup(self) -> None:
        """It was told that the end of the terminal is not its own; reading anew ends nothing."""
        there = [True, False]
        self.patch(process, "_has_terminal", lambda: there.pop(0))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.heeds()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(([], 1), (self.firsts, len(self.reactor.calls)))

    def test_what_somebody_else_makes_of_a_hang_up(self) -> None:
        """A worker's parent, for example, reads anew for it."""
        heard: list[int] = []
        signal.signal(signal.SIGHUP, lambda number, frame: heard.append(number))
        self.heeds()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(([signal.SIGHUP], []), (heard, self.reactor.calls))
