"""Strategies and factories of the tests' own, good and bad ones, and where they are found."""

from __future__ import annotations

import sys
from importlib import metadata
from random import Random
from types import ModuleType
from typing import Any

from pydantic import BaseModel, Field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.errors import ConfigurationError
from gateway.interfaces import ISelector, IStrategyFactory
from gateway.services import Services
from gateway.strategies.drop_ins import Offered
from gateway.strategies.factories import Factories

MODULE = "gateway_test_strategies"
SELECTORS = "gateway.selectors"


class Options(BaseModel, extra="forbid"):
    """Options of the test's strategy."""

    header: str = Field(min_length=2)
    size: int = 10


@implementer(ISelector)
class Pick:
    """A good selector."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def select(self, candidates: Any, head: Any) -> Any:
        return candidates[0]


@implementer(IStrategyFactory)
class Factory:
    """A factory with a name and a product of the test's choice."""

    def __init__(self, name: Any = "pick", options: Any = None, product: Any = Pick, group: str | None = None) -> None:
        self.name = name
        self.options = options
        self._product = product
        if group is not None:
            self.group = group

    def build(self, options: Any, services: Any) -> Any:
        return self._product(options)


class Distribution:
    """What an entry point knows of the distribution it comes from."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


def point(name: str, attribute: str, distribution: str = "acme", group: str = SELECTORS) -> metadata.EntryPoint:
    found = metadata.EntryPoint(name, f"{MODULE}:{attribute}", group)
    vars(found)["dist"] = Distribution(distribution, "1.2")
    return found


class StrategyCase(SynchronousTestCase):
    """Factories with a distribution of the test's own."""

    def setUp(self) -> None:
        self.module = ModuleType(MODULE)
        sys.modules[MODULE] = self.module
        self.addCleanup(sys.modules.pop, MODULE)
        self.services = Services(Clock(), Clock(), Random())

    def factories(self, *points: metadata.EntryPoint, drop_ins: Any = (), broken: Any = ()) -> Factories:
        return Factories(
            entry_points=lambda group: [found for found in points if found.group == group],
            drop_ins=lambda: ([Offered(each.__module__, each) for each in drop_ins], broken),
        )

    def provide(self, **attributes: Any) -> None:
        vars(self.module).update(attributes)

    def problem(self, function: Any, *arguments: Any, **named: Any) -> str:
        error = self.assertRaises(ConfigurationError, function, *arguments, **named)
        self.assertEqual(len(error.problems), 1)
        return str(error.problems[0])
