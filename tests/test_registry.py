"""`gateway.registry`."""

from __future__ import annotations

import sys
from importlib import metadata
from random import Random
from types import ModuleType
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides, implementer

from gateway.config.model import Strategy
from gateway.errors import ConfigurationError
from gateway.groups import BUILT_IN, GROUPS
from gateway.interfaces import IAffinity, ISelector, IStrategyFactory
from gateway.pools.round_robin import RoundRobin
from gateway.registry import Registry
from gateway.services import Services

MODULE = "gateway_test_strategies"
WITHIN = "pools[0].selectorOptions"
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


class RegistryCase(SynchronousTestCase):
    """A registry with a distribution of the test's own."""

    def setUp(self) -> None:
        self.module = ModuleType(MODULE)
        sys.modules[MODULE] = self.module
        self.addCleanup(sys.modules.pop, MODULE)
        self.services = Services(Clock(), Clock(), Random())

    def registry(self, *points: metadata.EntryPoint, drop_ins: Any = ()) -> Registry:
        return Registry(
            entry_points=lambda group: [found for found in points if found.group == group], drop_ins=lambda: drop_ins
        )

    def provide(self, **attributes: Any) -> None:
        vars(self.module).update(attributes)

    def problem(self, function: Any, *arguments: Any, **named: Any) -> str:
        error = self.assertRaises(ConfigurationError, function, *arguments, **named)
        self.assertEqual(len(error.problems), 1)
        return str(error.problems[0])


class FindTests(RegistryCase):
    """By name."""

    def test_entry_point(self) -> None:
        self.provide(pick=Factory())
        registry = self.registry(point("pick", "pick"))
        found = registry.find(SELECTORS, "pick")
        self.assertEqual((found.factory, found.source), (vars(self.module)["pick"], "distribution acme 1.2"))
        self.assertIs(registry.find(SELECTORS, "pick"), found)
        self.assertEqual(registry.names(SELECTORS), sorted([*BUILT_IN[SELECTORS], "pick"]))

    def test_loaded_when_used(self) -> None:
        """A broken strategy that nobody names harms nobody."""
        registry = self.registry(point("broken", "nothing"))
        registry.find(SELECTORS, "round-robin")
        text = self.problem(registry.find, SELECTORS, "broken", "pools[1].selector")
        self.assertTrue(
            text.startswith("pools[1].selector: selector 'broken' (distribution acme 1.2) cannot be loaded: Attr")
        )

    def test_built_in_without_metadata(self) -> None:
        """As in a checkout that was never installed."""
        for group, names in BUILT_IN.items():
            for name in names:
                self.assertEqual(self.registry().find(group, name).factory.name, name)

    def test_built_in_with_metadata(self) -> None:
        """Our own entry points are no second claim."""
        points = [
            metadata.EntryPoint(name, value, group)
            for group, names in BUILT_IN.items()
            for name, value in names.items()
        ]
        for found in points:
            vars(found)["dist"] = Distribution("gateway", "0.1.0")
        self.assertEqual(self.registry(*points).find(SELECTORS, "round-robin").source, "the gateway itself")

    def test_as_installed(self) -> None:
        """The registry as it is outside tests finds the built-in strategies."""
        for group, names in BUILT_IN.items():
            self.assertLessEqual(set(names), set(Registry().names(group)))
        self.assertLessEqual(set(BUILT_IN), set(GROUPS))

    def test_unknown(self) -> None:
        text = self.problem(self.registry().find, SELECTORS, "least-connection", "pools[0].selector")
        self.assertEqual(
            text,
            "pools[0].selector: there is no selector 'least-connection', there are: "
            f"{', '.join(sorted(BUILT_IN[SELECTORS]))}; did you mean 'least-connections'?",
        )

    def test_claimed_twice(self) -> None:
        self.provide(pick=Factory())
        registry = self.registry(point("pick", "pick"), point("pick", "pick", "other"))
        self.assertIn(
            "claimed by distribution acme 1.2 and distribution other 1.2",
            self.problem(registry.find, SELECTORS, "pick"),
        )
        registry.find(SELECTORS, "round-robin")

    def test_claims_built_in(self) -> None:
        registry = self.registry(point("round-robin", "pick"))
        self.assertIn("the gateway itself and distribution acme", self.problem(registry.find, SELECTORS, "round-robin"))

    def test_seen_twice(self) -> None:
        """The same distribution in two places of sys.path is one claim."""
        self.provide(pick=Factory())
        self.registry(point("pick", "pick"), point("pick", "pick")).find(SELECTORS, "pick")


class DropInTests(RegistryCase):
    """From gateway.plugins."""

    def test_found(self) -> None:
        registry = self.registry(drop_ins=[Factory(group=SELECTORS)])
        self.assertEqual(registry.find(SELECTORS, "pick").source, f"drop-in {__name__}")

    def test_conflict(self) -> None:
        self.provide(pick=Factory())
        registry = self.registry(point("pick", "pick"), drop_ins=[Factory(group=SELECTORS)])
        self.assertIn(f"acme 1.2 and drop-in {__name__}", self.problem(registry.find, SELECTORS, "pick"))

    def test_without_group(self) -> None:
        self.assertNotIn("pick", self.registry(drop_ins=[Factory(), Factory(group="nonsense")]).names(SELECTORS))


class PathTests(RegistryCase):
    """``module:object``."""

    def test_found(self) -> None:
        self.provide(inner=ModuleType("inner"))
        vars(vars(self.module)["inner"])["pick"] = Factory("any name")
        found = self.registry().find(SELECTORS, f"{MODULE}:inner.pick")
        self.assertEqual(found.factory.name, "any name")

    def test_wrong(self) -> None:
        registry = self.registry()
        for name in (":", "a:", ":b"):
            self.assertIn("is not module:object", self.problem(registry.find, SELECTORS, name))
        for name in ("no_such_module:x", f"{MODULE}:nothing"):
            self.assertIn("cannot be loaded", self.problem(registry.find, SELECTORS, name))


class VerificationTests(RegistryCase):
    """Interfaces are checked once, and the fault has a name."""

    def find(self, factory: Any) -> str:
        self.provide(pick=factory)
        return self.problem(self.registry(point("pick", "pick")).find, SELECTORS, "pick")

    def test_no_factory(self) -> None:
        self.assertIn("(distribution acme 1.2) is not an IStrategyFactory", self.find(object()))
        self.assertIn("is not an IStrategyFactory", self.find(Factory))

    def test_missing_method(self) -> None:
        @implementer(IStrategyFactory)
        class Half:
            name = "pick"
            options = None

        text = self.find(Half())
        self.assertIn("build", text)
        self.assertNotIn("\n", text)

    def test_wrong_signature(self) -> None:
        @implementer(IStrategyFactory)
        class Short:
            name = "pick"
            options = None

            def build(self, options: Any) -> Any:
                return None

        self.assertIn("build", self.find(Short()))

    def test_other_name(self) -> None:
        self.assertIn("calls itself 'other'", self.find(Factory("other")))

    def test_options_class(self) -> None:
        self.assertIn("must be a pydantic model class", self.find(Factory(options=dict)))


class BuildTests(RegistryCase):
    """Options and products."""

    def build(self, factory: Any, options: Any = None) -> Any:
        self.provide(pick=factory)
        registry = self.registry(point("pick", "pick"))
        return registry.build(
            SELECTORS, "pick", options or {}, self.services, "pools[0].selector", "pools[0].selectorOptions"
        )

    def test_built_in(self) -> None:
        self.assertIsInstance(self.registry().build(SELECTORS, "round-robin", {}, self.services), RoundRobin)

    def test_options(self) -> None:
        self.assertEqual(self.build(Factory(options=Options), {"header": "x-y"}).options, Options(header="x-y"))

    def test_wrong_options(self) -> None:
        """All at once, with their places."""
        error = self.assertRaises(
            ConfigurationError, self.build, Factory(options=Options), {"header": "x", "size": "big", "colour": 1}
        )
        paths = [problem.path for problem in error.problems]
        self.assertEqual(sorted(paths), [f"pools[0].selectorOptions.{name}" for name in ("colour", "header", "size")])

    def test_values_not_shown(self) -> None:
        error = self.assertRaises(
            ConfigurationError, self.build, Factory(options=Options), {"header": "xy", "size": "s3cret"}
        )
        self.assertNotIn("s3cret", str(error))

    def test_options_that_fail(self) -> None:
        """A validator may raise what pydantic does not catch."""

        class Broken(Options):
            @field_validator("header")
            @classmethod
            def look(cls, value: str) -> str:
                raise KeyError(value)

        text = self.problem(self.build, Factory(options=Broken), {"header": "s3cret"})
        self.assertIn("pools[0].selectorOptions: selector 'pick' (distribution", text)
        self.assertTrue(text.endswith("): its options cannot be checked: KeyError"), text)

    def test_no_options_taken(self) -> None:
        text = self.problem(self.build, Factory(), {"a": 1})
        self.assertEqual(text, "pools[0].selectorOptions: selector 'pick' takes no options, found 'a'")

    def test_value_error(self) -> None:
        def refuse(options: Any) -> Any:
            raise ValueError("the file cannot be read")

        text = self.problem(self.build, Factory(product=refuse))
        self.assertIn("selector 'pick' (distribution acme 1.2): the file cannot be read", text)

    def test_other_error(self) -> None:
        text = self.problem(self.build, Factory(product=lambda options: {}["x"]))
        self.assertIn("selector 'pick' (distribution acme 1.2): build() failed: KeyError: 'x'", text)

    def test_more_than_it_can(self) -> None:
        """What a product says of itself is checked as well: the pool would call it."""
        alsoProvides(product := Pick(None), IAffinity)
        text = self.problem(self.build, Factory(product=lambda options: product))
        self.assertIn("(distribution acme 1.2): build() did not return an IAffinity", text)

    def test_wrong_product(self) -> None:
        text = self.problem(self.build, Factory(product=lambda options: object()))
        self.assertIn("(distribution acme 1.2): build() did not return an ISelector", text)


class Within(Options):
    """Options that name selectors themselves."""

    header: str = "xx"
    over: Annotated[Strategy, "gateway.selectors"] = Strategy(strategy="round-robin")
    others: Annotated[tuple[Strategy, ...], "gateway.selectors"] = ()


@implementer(IStrategyFactory)
class Outer:
    """Makes a selector that knows the ones its options name."""

    name = "outer"
    options = Within

    def build(self, options: Any, services: Any) -> Any:
        made = Pick(options)
        vars(made).update(
            over=services.make("over", options.over), others=[services.make("others", one) for one in options.others]
        )
        return made


class NestedTests(RegistryCase):
    """Strategies that are made of others."""

    def setUp(self) -> None:
        super().setUp()
        self.provide(outer=Outer(), pick=Factory(options=Options))
        self.found = self.registry(point("outer", "outer"), point("pick", "pick"))

    def build(self, **options: Any) -> Any:
        return self.found.build(SELECTORS, "outer", options, self.services, "pools[0].selector", WITHIN)

    def test_default(self) -> None:
        self.assertIsInstance(self.build().over, RoundRobin)

    def test_options(self) -> None:
        made = self.build(
            over={"strategy": "outer", "options": {"over": {"strategy": "pick", "options": {"header": "abc"}}}},
            others=["round-robin", "round-robin"],
        )
        self.assertEqual(made.over.over.options.header, "abc")
        self.assertEqual([type(one) for one in made.others], [RoundRobin, RoundRobin])

    def paths(self, **options: Any) -> list[str]:
        """Where the problem is; the same whether it is looked for or run into."""
        checked = self.assertRaises(
            ConfigurationError, self.found.options, self.found.find(SELECTORS, "outer"), options, WITHIN
        )
        built = self.assertRaises(ConfigurationError, lambda: self.build(**options))
        self.assertEqual(checked.problems, built.problems)
        return [problem.path for problem in checked.problems]

    def test_wrong_name(self) -> None:
        self.assertEqual(self.paths(over="nope"), [f"{WITHIN}.over"])
        self.assertEqual(self.paths(others=["round-robin", "nope"]), [f"{WITHIN}.others[1]"])

    def test_wrong_options(self) -> None:
        self.assertEqual(
            sorted(self.paths(over={"strategy": "pick", "options": {"header": "x", "size": "big"}})),
            [f"{WITHIN}.over.options.header", f"{WITHIN}.over.options.size"],
        )
        deep = {"strategy": "outer", "options": {"over": {"strategy": "pick", "options": {}}}}
        self.assertEqual(self.paths(over=deep), [f"{WITHIN}.over.options.over.options.header"])

    def test_wrong_shape(self) -> None:
        self.assertEqual(self.paths(over=7), [f"{WITHIN}.over"])


class KeptTests(RegistryCase):
    """What is closed when the gateway stops."""

    def test_only_what_is_used_until_then(self) -> None:
        """A probe on demand, say, is not: there may be any number of them."""
        registry = self.registry()
        kept = registry.build(SELECTORS, "round-robin", {}, self.services)
        registry.build(SELECTORS, "round-robin", {}, self.services, keep=False)
        registry.build(SELECTORS, "priority", {}, self.services, keep=False)
        self.assertEqual([kept], registry.built)
