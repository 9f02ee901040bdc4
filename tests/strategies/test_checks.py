"""`gateway.strategies.checks`."""

from __future__ import annotations

from typing import Any

from pydantic import field_validator

from gateway.config.model import Gateway
from gateway.errors import ConfigurationError
from gateway.strategies.checks import check_strategies, checked_options
from tests.lifecycle.test_assembly import THROUGH, gateway, listing
from tests.strangers import SELECTORS, Factory, Options, StrategyCase, point

WITHIN = "pools[0].selectorOptions"


class OptionTests(StrategyCase):
    """Those of one factory."""

    def checked(self, factory: Any, options: Any = None) -> Any:
        self.provide(pick=factory)
        factories = self.factories(point("pick", "pick"))
        return checked_options(factories, factories.find(SELECTORS, "pick"), options or {}, WITHIN)

    def test_good(self) -> None:
        self.assertEqual(self.checked(Factory(options=Options), {"header": "x-y"}), Options(header="x-y"))

    def test_wrong_options(self) -> None:
        """All at once, with their places."""
        error = self.assertRaises(
            ConfigurationError, self.checked, Factory(options=Options), {"header": "x", "size": "big", "colour": 1}
        )
        paths = [problem.path for problem in error.problems]
        self.assertEqual(sorted(paths), [f"{WITHIN}.{name}" for name in ("colour", "header", "size")])
        error = self.assertRaises(ConfigurationError, self.checked, Factory(options=Options), {"heder": "x-y"})
        self.assertIn("unknown option 'heder'; did you mean 'header'?", str(error))

    def test_values_not_shown(self) -> None:
        error = self.assertRaises(
            ConfigurationError, self.checked, Factory(options=Options), {"header": "xy", "size": "s3cret"}
        )
        self.assertNotIn("s3cret", str(error))

    def test_options_that_fail(self) -> None:
        """A validator may raise what pydantic does not catch."""

        for kind in KeyError, SystemExit, KeyboardInterrupt:

            class Broken(Options):
                @field_validator("header")
                @classmethod
                def look(cls, value: str, kind: type[BaseException] = kind) -> str:
                    raise kind(value)

            text = self.problem(self.checked, Factory(options=Broken), {"header": "s3cret"})
            self.assertIn(f"{WITHIN}: selector 'pick' (distribution", text)
            self.assertTrue(text.endswith(f"): its options cannot be checked: {kind.__name__}"), text)

    def test_no_options_taken(self) -> None:
        text = self.problem(self.checked, Factory(), {"a": 1})
        self.assertEqual(text, f"{WITHIN}: selector 'pick' takes no options, found 'a'")


class CheckTests(StrategyCase):
    """All that a configuration names."""

    def test_check(self) -> None:
        """All of them, used or not, and nothing is built."""
        problems = check_strategies(self.factories(), gateway("round-robin", "smtp", colour="red"))
        self.assertEqual([problem.path for problem in problems], ["pools[1].selectorOptions", "probes[0].strategy"])
        self.assertEqual(check_strategies(self.factories(), gateway()), [])

    def test_only_middleware_is_optional(self) -> None:
        optional = {"strategy": THROUGH, "optional": True}
        document = listing().model_dump(mode="json")
        document["middleware"] = [optional]
        document["observers"] = [optional]
        document["rules"][0] |= {"router": optional, "filters": [optional]}
        document["pools"] = [{"name": "p", "discovery": optional}]
        problems = check_strategies(self.factories(), Gateway.model_validate(document))
        found = [problem.path for problem in problems if problem.path.endswith(".optional")]
        expected = ["rules[0].filters[0]", "observers[0]", "rules[0].router", "pools[0].discovery"]
        self.assertEqual(sorted(f"{place}.optional" for place in expected), sorted(found))

    def test_routers_and_observers_are_checked(self) -> None:
        model = Gateway.model_validate(
            {
                "observers": ["none-such"],
                "rules": [
                    {"name": "a", "listener": "l", "router": "none-such"},
                    {"name": "b", "listener": "l", "router": {"strategy": "prefix", "options": {"prefixes": {}}}},
                ],
            }
        )
        problems = check_strategies(self.factories(), model)
        expected = ["observers[0]", "rules[0].router", "rules[1].router.options.prefixes"]
        self.assertEqual(expected, [problem.path for problem in problems])
