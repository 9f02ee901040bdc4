"""`gateway.lifecycle.collector`."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.lifecycle.collector import Collector

_SECONDS = 0.25


class _Gc:
    """Notes what is asked of the garbage collector."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.threshold = (700, 10, 10)

    def collect(self, generation: int = 2) -> int:
        self.calls.append(f"collect {generation}")
        return 0

    def freeze(self) -> None:
        self.calls.append("freeze")

    def unfreeze(self) -> None:
        self.calls.append("unfreeze")

    def get_threshold(self) -> tuple[int, int, int]:
        return self.threshold

    def set_threshold(self, first: int, second: int, third: int) -> None:
        self.threshold = (first, second, third)

    def said(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


_EVERYTHING = ["unfreeze", "collect 2", "freeze"]
_YOUNG = ["collect 1", "freeze"]


class CollectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.gc = _Gc()
        self.blocks = 300_000
        self.collector = Collector(self.clock, self.gc, lambda: self.blocks)

    def test_what_is_young_and_what_is_not(self) -> None:
        """Everything at the start, then only what has come since the last time."""
        self.collector.start()
        self.assertEqual(_EVERYTHING, self.gc.said())
        self.assertEqual((700, 10), self.gc.threshold[:2])
        self.assertGreater(self.gc.threshold[2], 1_000_000)
        self.clock.pump([_SECONDS] * 200)
        self.assertEqual(_YOUNG * 200, self.gc.said())

    def test_growth(self) -> None:
        """Everything, soon after memory has grown much above the least that it was; and then not again."""
        self.collector.start()
        self.blocks = 1_000_000
        self.clock.pump([_SECONDS] * 100)
        self.blocks = 250_000
        self.clock.pump([_SECONDS] * 100)
        self.assertEqual(_YOUNG * 200, self.gc.said()[3:])
        self.blocks = 1_600_000
        self.clock.pump([_SECONDS] * 100)
        calls = self.gc.said()
        self.assertEqual(1, calls.count("collect 2"))
        self.assertEqual(99, calls.count("collect 1"))

    def test_stop(self) -> None:
        """The interpreter has it back."""
        self.collector.start()
        self.collector.stop()
        self.collector.stop()
        self.assertEqual([*_EVERYTHING, "unfreeze"], self.gc.said())
        self.assertEqual((700, 10, 10), self.gc.threshold)
        self.clock.advance(10)
        self.assertEqual([], self.gc.said())

    def test_with_the_real_one(self) -> None:
        """What survives is set aside, and a cycle that dies later is found when memory has grown."""

        class Cycle:
            def __init__(self) -> None:
                self.me = self

        gone: list[int] = []
        collector = Collector(self.clock, blocks=lambda: self.blocks)
        collector.start()
        self.addCleanup(collector.stop)
        cycle = Cycle()
        before = gc.get_freeze_count()
        self.clock.advance(_SECONDS)
        self.assertGreater(gc.get_freeze_count(), before)
        weakref.finalize(cycle, gone.append, 1)
        del cycle
        gc.collect()
        self.assertEqual([], gone)
        self.blocks *= 10
        self.clock.pump([_SECONDS] * 40)
        self.assertEqual([1], gone)
