"""Tries an implementation, right or wrong, with the conformance tests of its interface."""

from __future__ import annotations

import unittest
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.testing import conduct

__all__ = ["TryingCase", "failed", "tried"]


def failed(case: Any) -> set[str]:
    """The tests of a case that do not pass."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return {test.id().rpartition(".")[2] for test, _ in [*result.failures, *result.errors]}


def tried(conformance: type, maker: str, made: Any, **more: Any) -> set[str]:
    """The tests of ``conformance`` that what ``made`` makes does not pass."""
    return failed(type("Case", (conformance, SynchronousTestCase), {maker: lambda self: made(), **more}))


class TryingCase(SynchronousTestCase):
    """Time passes for calls only where they say so: ``block()`` is a long time."""

    def setUp(self) -> None:
        self.calls = Clock()
        self.patch(conduct, "_seconds", self.calls.seconds)

    def block(self, seconds: float = 1.0) -> None:
        """Keep everybody waiting."""
        self.calls.advance(seconds)
