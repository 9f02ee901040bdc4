"""What is about to go is used nowhere: see ``tests/__init__.py``."""

from __future__ import annotations

import re
import unittest
import warnings
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import twisted
from gateway import values
from tests import refuse_deprecated


def errors(act: Callable[[], object]) -> int:
    """How many errors a test that does this has."""

    class Acts(SynchronousTestCase):
        def test_acts(self) -> None:
            act()

    result = unittest.TestResult()
    with warnings.catch_warnings():
        warnings.showwarning = lambda *_, **__: None
        refuse_deprecated()  # before what trial has put in front of it for the test that calls this
        Acts("test_acts").run(result)
    return len(result.errors)


class DeprecationTests(SynchronousTestCase):
    """A test in which the gateway is warned fails; one in which others are does not."""

    def warn(self, kind: type[Warning], path: str) -> None:
        warnings.warn_explicit("it goes", kind, path, 1)

    def test_ours(self) -> None:
        self.assertEqual(1, errors(lambda: self.warn(DeprecationWarning, values.__file__)))
        self.assertEqual(0, errors(lambda: self.warn(UserWarning, values.__file__)))

    def test_others(self) -> None:
        self.assertEqual(0, errors(lambda: self.warn(DeprecationWarning, twisted.__file__)))

    def test_always(self) -> None:
        """It is so in every test."""
        refused = [
            module.pattern
            for action, _, category, module, _ in warnings.filters
            if (action, category) == ("error", DeprecationWarning) and isinstance(module, re.Pattern)
        ]
        self.assertIn(r"gateway(\.|$)", refused)

    def test_callback(self) -> None:
        """Twisted says whose callback it was, from far away."""

        def callback(_: object) -> object:
            return deferred

        callback.__module__ = values.__name__
        deferred: Deferred[object] = Deferred()
        deferred.addCallback(callback)
        self.assertEqual(1, errors(lambda: deferred.callback(None)))
