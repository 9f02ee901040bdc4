"""`gateway.strategies.factories`."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.logger import formatEvent, globalLogPublisher
from zope.interface import implementer

from gateway.interfaces import IStrategyFactory
from gateway.strategies.drop_ins import LeftOut
from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN, GROUPS
from tests import strangers
from tests.strangers import MODULE, SELECTORS, Distribution, Factory, StrategyCase, point


class FindTests(StrategyCase):
    """By name."""

    def test_entry_point(self) -> None:
        self.provide(pick=Factory())
        factories = self.factories(point("pick", "pick"))
        found = factories.find(SELECTORS, "pick")
        self.assertEqual((found.factory, found.source), (vars(self.module)["pick"], "distribution acme 1.2"))
        self.assertIs(factories.find(SELECTORS, "pick"), found)
        self.assertEqual(factories.names(SELECTORS), sorted([*BUILT_IN[SELECTORS], "pick"]))

    def test_loaded_when_used(self) -> None:
        """A broken strategy that nobody names harms nobody."""
        factories = self.factories(point("broken", "nothing"))
        factories.find(SELECTORS, "round-robin")
        text = self.problem(factories.find, SELECTORS, "broken", "pools[1].selector")
        self.assertTrue(
            text.startswith("pools[1].selector: selector 'broken' (distribution acme 1.2) cannot be loaded: Attr")
        )

    def test_built_in_without_metadata(self) -> None:
        """As in a checkout that was never installed."""
        for group, names in BUILT_IN.items():
            for name in names:
                self.assertEqual(self.factories().find(group, name).factory.name, name)

    def test_built_in_with_metadata(self) -> None:
        """Our own entry points are no second claim."""
        points = [
            metadata.EntryPoint(name, value, group)
            for group, names in BUILT_IN.items()
            for name, value in names.items()
        ]
        for found in points:
            vars(found)["dist"] = Distribution("gateway", "0.1.0")
        self.assertEqual(self.factories(*points).find(SELECTORS, "round-robin").source, "the gateway itself")

    def test_as_installed(self) -> None:
        """As they are outside tests, the built-in strategies are among them."""
        for group, names in BUILT_IN.items():
            self.assertLessEqual(set(names), set(Factories().names(group)))
        self.assertLessEqual(set(BUILT_IN), set(GROUPS))

    def test_unknown(self) -> None:
        text = self.problem(self.factories().find, SELECTORS, "least-connection", "pools[0].selector")
        self.assertEqual(
            text,
            "pools[0].selector: there is no selector 'least-connection', there are: "
            f"{', '.join(sorted(BUILT_IN[SELECTORS]))}; did you mean 'least-connections'?",
        )

    def test_claimed_twice(self) -> None:
        self.provide(pick=Factory())
        factories = self.factories(point("pick", "pick"), point("pick", "pick", "other"))
        self.assertIn(
            "claimed by distribution acme 1.2 and distribution other 1.2",
            self.problem(factories.find, SELECTORS, "pick"),
        )
        factories.find(SELECTORS, "round-robin")

    def test_claims_built_in(self) -> None:
        factories = self.factories(point("round-robin", "pick"))
        self.assertIn(
            "the gateway itself and distribution acme", self.problem(factories.find, SELECTORS, "round-robin")
        )

    def test_seen_twice(self) -> None:
        """The same distribution in two places of sys.path is one claim."""
        self.provide(pick=Factory())
        self.factories(point("pick", "pick"), point("pick", "pick")).find(SELECTORS, "pick")


class DropInTests(StrategyCase):
    """From gateway.plugins."""

    def test_found(self) -> None:
        factories = self.factories(drop_ins=[Factory(group=SELECTORS)])
        self.assertEqual(factories.find(SELECTORS, "pick").source, f"drop-in {strangers.__name__}")

    def test_conflict(self) -> None:
        self.provide(pick=Factory())
        factories = self.factories(point("pick", "pick"), drop_ins=[Factory(group=SELECTORS)])
        self.assertIn(f"acme 1.2 and drop-in {strangers.__name__}", self.problem(factories.find, SELECTORS, "pick"))

    def test_left_out(self) -> None:
        """With the reason, and nobody else is harmed; it is logged once, however often they are looked at."""
        cases = (
            (Factory(), "has no group; there are: gateway.routers, gateway.middleware,"),
            (Factory(group="gateway.selector"), "has the group 'gateway.selector'; did you mean 'gateway.selectors'?"),
            (Factory(group=[SELECTORS]), "has the group ['gateway.selectors']; did you mean 'gateway.selectors'?"),
            (Factory(["pick"], group=SELECTORS), "is left out: the name of its factory is ['pick'], not a text"),
            (Factory("", group=SELECTORS), "is left out: the name of its factory is '', not a text"),
        )  # fmt: skip
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        broken = LeftOut("/gone.py", "cannot be loaded: ImportError")
        for factory, text in cases:
            for _ in range(2):
                factories = self.factories(drop_ins=[Factory("fine", group=SELECTORS), factory], broken=[broken])
                for group in GROUPS:
                    self.assertNotIn("pick", factories.names(group))
                first, second = factories.left_out()
                self.assertEqual((broken, strangers.__file__), (first, second.where))
                self.assertIn(text, second.problem)
                self.assertEqual("fine", factories.find(SELECTORS, "fine").factory.name)
            problem = self.problem(factories.find, SELECTORS, "pick")
            self.assertIn("; drop-in /gone.py cannot be loaded: ImportError; drop-in", problem)
            self.assertIn(text, problem)
        said = [event for event in events if event.get("log_namespace") == "gateway.strategies.factories"]
        logged = [formatEvent(event) for event in said]
        self.assertEqual(len(cases) + 1, len(logged))
        self.assertEqual("drop-in /gone.py cannot be loaded: ImportError", logged[0])


class PathTests(StrategyCase):
    """``module:object``."""

    def test_found(self) -> None:
        self.provide(inner=ModuleType("inner"))
        vars(vars(self.module)["inner"])["pick"] = Factory("any name")
        found = self.factories().find(SELECTORS, f"{MODULE}:inner.pick")
        self.assertEqual(found.factory.name, "any name")

    def test_wrong(self) -> None:
        factories = self.factories()
        for name in (":", "a:", ":b"):
            self.assertIn("is not module:object", self.problem(factories.find, SELECTORS, name))
        for name in ("no_such_module:x", f"{MODULE}:nothing"):
            self.assertIn("cannot be loaded", self.problem(factories.find, SELECTORS, name))

    def test_one_that_wants_to_end_the_process(self) -> None:
        """Or whatever else it does at its import: it is said."""
        directory = Path(self.mktemp())
        directory.mkdir()
        self.patch(sys, "path", [str(directory.resolve()), *sys.path])
        cases = (
            ("exits", "sys.exit('usage: none')", "SystemExit: usage: none"),
            ("exits_well", "sys.exit(0)", "SystemExit: 0"),
            ("interrupts", "raise KeyboardInterrupt", "KeyboardInterrupt"),
        )  # fmt: skip
        for name, line, text in cases:
            (directory / f"gateway_{name}.py").write_text(f"import sys\n{line}\n")
            problem = self.problem(self.factories().find, SELECTORS, f"gateway_{name}:factory")
            self.assertEqual(f"selector 'gateway_{name}:factory' cannot be loaded: {text}", problem)


class VerificationTests(StrategyCase):
    """Interfaces are checked once, and the fault has a name."""

    def find(self, factory: Any) -> str:
        self.provide(pick=factory)
        return self.problem(self.factories(point("pick", "pick")).find, SELECTORS, "pick")

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
