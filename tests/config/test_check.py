"""Tests of `gateway.config.check`; of each concern in `tests.config.checks`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from gateway.config import checks
from gateway.config.check import CHECKS, check
from gateway.config.model import Gateway
from tests.config.checks.support import CheckCase, gateway, host


class CheckTests(CheckCase):
    """All together."""

    def test_clean(self) -> None:
        self.assertEqual(check(gateway()), [])

    def test_nothing(self) -> None:
        self.says(Gateway(), "there are no listeners")
        self.says(Gateway(listeners=(host("l"),)), "there are no rules")

    def test_all_are_made(self) -> None:
        """What a module of the package finds is shown, and once."""
        modules = [import_module(f"{checks.__name__}.{found.name}") for found in iter_modules(checks.__path__)]
        found = [value for module in modules for name, value in vars(module).items() if name.startswith("find")]
        self.assertCountEqual(found, CHECKS)
