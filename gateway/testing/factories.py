"""Conformance of factories: what the registry and ``gatewayctl plugins`` rely on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from zope.interface.verify import verifyObject

from gateway.interfaces import IStrategyFactory
from gateway.services import Services
from gateway.strategies.groups import GROUPS
from gateway.testing.cases import Case
from gateway.testing.fakes import build, fake_services

__all__ = ["FactoryConformance"]


class FactoryConformance(Case):
    """A strategy's factory and its options, each of which has a description: ``gatewayctl plugins`` shows it.

    ``factory`` and ``group`` (``gateway.selectors``, say) have to be set.  ``good`` and ``bad`` are options as a
    configuration spells them; ``services`` are what it is built with.
    """

    factory: Any = None
    group = ""
    good: Sequence[Mapping[str, Any]] = ({},)
    bad: Sequence[Mapping[str, Any]] = ()

    def services(self) -> Services:
        """What it is built with."""
        return fake_services()

    def test_factory(self) -> None:
        """It says that it is an `IStrategyFactory`; its name is a word that can be written in a configuration."""
        verifyObject(IStrategyFactory, self.factory)
        self.assertTrue(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.factory.name), self.factory.name)

    def test_options(self) -> None:
        """All are described, and there are no others: a word that is spelled wrong must not be ignored."""
        options = self.factory.options
        if options is None:
            self.assertRaises(ValueError, build, self.factory, {"noSuchOption": 1}, self.services())
            return
        self.assertTrue(issubclass(options, BaseModel))
        for name, field in options.model_fields.items():
            self.assertTrue(field.description, f"the option {name!r} has no description")
        for good in self.good:
            self.assertRaises(ValidationError, options.model_validate, {**good, "noSuchOption": 1})

    def test_good_options(self) -> None:
        """With good options it makes what its group wants; each time another one."""
        for good in self.good:
            made = build(self.factory, good, self.services())
            self.assertIsNot(made, build(self.factory, good, self.services()))
            _, interface, instead = GROUPS[self.group]
            verifyObject(instead if instead is not None and instead.providedBy(made) else interface, made)

    def test_bad_options(self) -> None:
        """Bad options are refused before anything starts."""
        for bad in self.bad:
            self.assertRaises(ValueError, build, self.factory, bad, self.services())
