"""`gateway.pools.contain`."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import PluginFailed
from gateway.pools.contain import Containment


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class ContainmentTests(SynchronousTestCase):
    """What becomes of exceptions of strategies."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.contained = Containment(Logger(observer=self.events.append), "strategy 'x'")  # type: ignore[arg-type]

    def test_bounded(self) -> None:
        error = self.contained.failed(ValueError("x" * 100000))
        self.assertIsInstance(error, PluginFailed)
        self.assertLess(len(str(error)), 300)
        self.assertLessEqual(len(self.events[0]["trace"]), 4000)

    def test_unprintable(self) -> None:
        self.assertIn("cannot be shown", str(self.contained.failed(Unprintable())))

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
