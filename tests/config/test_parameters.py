"""Tests of `gateway.config.parameters`: what a template allows its parameters to be."""

from __future__ import annotations

from typing import Any

from tests.config.arm import deployment, gateway, template
from tests.config.support import ConfigurationTestCase


class ParameterTests(ConfigurationTestCase):
    """Supplied values, from parameter files and overrides."""

    def document(self, **declared: Any) -> dict[str, Any]:
        return template([gateway()], parameters={"x": declared})

    def problem(self, value: Any, **declared: Any) -> str:
        given = self.write({"parameters": {"x": {"value": value}}}, "p.json")
        return self.refused_once(self.document(**declared), parameters=given)

    def test_types(self) -> None:
        for kind, good, bad, words in (
            ("string", "a", 5, "found 5, expected text, for it is declared as string"),
            ("int", 5, "5", "found '5', expected a whole number"),
            ("int", 5.0, 5.5, "found 5.5, expected a whole number"),
            ("bool", False, "false", "found 'false', expected true or false"),
            ("Object", {}, [], "found an empty list, expected an object"),
            ("array", [], "a", "found 'a', expected an array"),
            ("secureString", "hunter2", 12345678, "found a value (not shown), expected text"),
        ):
            self.assertIn(f"the parameter 'x': {words}", self.problem(bad, type=kind))
            self.load(self.document(type=kind), parameters=self.write({"parameters": {"x": {"value": good}}}))

    def test_place(self) -> None:
        """The file and the line; overrides are one such file."""
        self.assertIn("parameters.x: the parameter 'x': found 5", self.problem(5, type="string"))
        self.assertIn("(in p.json, line 3)", self.problem(5, type="string"))
        overrides = self.write("parameters:\n  x: 5\n", "o.yaml")
        found = self.refused_once(self.document(type="string"), overrides=overrides)
        self.assertIn("parameters.x: the parameter 'x': found 5", found)
        self.assertIn("(in the overrides, o.yaml, line 2)", found)

    def test_allowed(self) -> None:
        sizes = {"type": "string", "allowedValues": ["Small", "Large"]}
        self.assertIn("found 'Huge'; allowed are 'Small', 'Large'", self.problem("Huge", **sizes))
        self.load(self.document(**sizes), parameters=self.write({"parameters": {"x": {"value": "small"}}}))
        zones = {"type": "array", "allowedValues": ["1", "2"]}
        self.assertIn("allowed are '1', '2'", self.problem(["1", "3"], **zones))
        self.load(self.document(**zones), parameters=self.write({"parameters": {"x": {"value": ["2"]}}}))
        self.assertIn("allowed are 1, 2", self.problem(True, type="", allowedValues=[1, 2]))

    def test_bounds(self) -> None:
        for value, declared, words in (
            (0, {"minValue": 1}, "found 0; allowed is at least 1"),
            (11, {"maxValue": 10}, "found 11; allowed is at most 10"),
            ("ab", {"minLength": 3}, "found 'ab'; allowed is at least 3 characters"),
            ("abcd", {"maxLength": 3}, "found 'abcd'; allowed is at most 3 characters"),
            ([1], {"minLength": 2}, "found a list of 1; allowed is at least 2 items"),
        ):
            self.assertIn(words, self.problem(value, **declared))

    def test_definitions(self) -> None:
        """User-defined types say it for their parameters."""
        document = self.document(**{"$ref": "#/definitions/size"})
        document["definitions"] = {
            "size": {"$ref": "#/definitions/base", "maxLength": 4},
            "base": {"type": "string", "allowedValues": ["Big", "Enormous"]},
        }
        given = self.write({"parameters": {"x": {"value": "tiny"}}})
        self.assertIn("allowed are 'Big', 'Enormous'", self.refused_once(document, parameters=given))
        given = self.write({"parameters": {"x": {"value": "Enormous"}}})
        self.assertIn("at most 4 characters", self.refused_once(document, parameters=given))

    def test_nested(self) -> None:
        """Values that a deployment gives, when something asks for them."""
        inner = template([gateway(fqdn="[parameters('x')]")], parameters={"x": {"type": "string", "maxLength": 3}})
        found = self.refused_once(template([deployment("d", inner, x="a.test")]))
        self.assertIn("the parameter 'x': found 'a.test'; allowed is at most 3 characters", found)

    def test_null_and_expressions(self) -> None:
        """Null asks for the default; what is allowed may not be known."""
        given = self.write({"parameters": {"x": {"value": None}}})
        self.load(self.document(type="string", defaultValue="a"), parameters=given)
        given = self.write({"parameters": {"x": {"value": "b"}}})
        self.load(self.document(type="string", allowedValues=["[toLower('A')]"]), parameters=given)
