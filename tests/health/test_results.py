"""`gateway.health.results`, and what the monitor makes of it."""

from __future__ import annotations

import json
from http import HTTPStatus
from random import Random
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member, Probe
from gateway.health.monitor import HealthMonitor
from gateway.health.results import checked
from gateway.observe.listings import pools_listing
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.strategies.containment import Containment
from gateway.values import ProbeResult


class Mute:
    """Neither its text nor its truth can be had."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __bool__ = __str__  # type: ignore[assignment]


class CheckedTests(SynchronousTestCase):
    """What is made fit, and what is not."""

    def test_stays(self) -> None:
        for result in ProbeResult(True, "well", 200, 0.5), ProbeResult(False, "é", None, 0.0, False):
            self.assertEqual(result, checked(result))

    def test_made_fit(self) -> None:
        cases: list[tuple[Any, Any]] = [
            (ProbeResult(1, ValueError("no"), HTTPStatus.OK, 2), ProbeResult(True, "no", 200, 2.0)),  # type: ignore[arg-type]
            (ProbeResult(False, "a\nb\x1b[31m"), ProbeResult(False, r"a\nb\x1b[31m")),
            (ProbeResult(True, "\ud800"), ProbeResult(True, r"\ud800")),
            (ProbeResult(True, "\n" * 999), ProbeResult(True, r"\n" * 250)),
            (ProbeResult(True, "", None, float("nan")), ProbeResult(True)),
            (ProbeResult(True, "", None, float("inf")), ProbeResult(True)),
            (ProbeResult(True, "", None, -1.5), ProbeResult(True)),
        ]
        for given, made in cases:
            found = checked(given)
            self.assertEqual((made, [type(each) for each in made]), (found, [type(each) for each in found]))

    def test_refused(self) -> None:
        cases: list[tuple[Any, type[BaseException], str]] = [
            ("well", TypeError, "check() gave 'str' instead of a ProbeResult"),
            (ProbeResult(True, "", b"200"), TypeError, "status is bytes; it is a number or None"),  # type: ignore[arg-type]
            (ProbeResult(True, "", 10**5000), TypeError, "status is int"),
            (ProbeResult(True, "", 200, "fast"), TypeError, "seconds are str; they are a number"),  # type: ignore[arg-type]
            (ProbeResult(True, Mute()), KeyboardInterrupt, ""),  # type: ignore[arg-type]
            (ProbeResult(Mute(), ""), KeyboardInterrupt, ""),  # type: ignore[arg-type]
        ]
        for given, kind, text in cases:
            self.assertIn(text, str(self.assertRaises(kind, checked, given)))


class MonitorTests(SynchronousTestCase):
    """A probe that gives nonsense has failed, and every page can still be made."""

    def test_nonsense(self) -> None:
        cases: list[tuple[Any, int]] = [
            (ProbeResult(True, "ok", b"200"), 1), (ProbeResult(True, "ok", 200, "fast"), 1),  # type: ignore[arg-type]
            (ProbeResult(True, Mute()), 1), (ProbeResult(True, "ok", 200, float("nan")), 0),  # type: ignore[arg-type]
        ]  # fmt: skip
        for result, failures in cases:

            class Giving:
                def check(self, backend: Any, deadline: float, result: Any = result) -> Any:
                    return succeed(result)

            clock, contained = Clock(), Containment("probe strategy", "x", ours=False)
            monitor = HealthMonitor(clock, Random(1))
            pool = Pool("pool", BackendSettings(name="s"), [Member(host="10.0.0.1")], RoundRobin())
            monitor.watch(pool, Giving(), Probe(name="p", interval=5, timeout=5), contained)
            monitor.start()
            self.addCleanup(monitor.stop)
            (backend,) = pool.backends
            self.assertEqual((failures, not failures), (contained.failures, backend.healthy))
            if failures:
                self.assertIn("the probe failed: ", backend.reason)
            listing = pools_listing("gw", [pool], monitor)
            with self.assertRaises(StopIteration) as stopped:
                next(listing)
            page = json.loads(stopped.exception.value, parse_constant=self.fail)
            self.assertEqual(not failures, page["pools"][0]["backends"][0]["state"] == "up")
