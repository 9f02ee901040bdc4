"""Tests of `gateway.config.template` and `evaluator`: gateways in ARM templates."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest

from gateway.config.evaluator import Scope, Shared
from gateway.config.expressions import ExpressionError
from gateway.config.lenient_json import read_json
from tests.config.support import ConfigurationTestCase, properties

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def template(resources: Any, **members: Any) -> dict[str, Any]:
    return {"$schema": _SCHEMA, "contentVersion": "1.0.0.0", "resources": resources, **members}


def gateway(name: str = "gw", **members: Any) -> dict[str, Any]:
    return {"type": "microsoft.network/ApplicationGateways", "name": name, "properties": properties(), **members}


class TemplateTests(ConfigurationTestCase):
    """`Template` through `load`."""

    def test_parameters(self) -> None:
        """Default, parameter files (later ones win), overrides; whatever the name's case."""
        document = template(
            [gateway("[parameters('Name')]")], parameters={"name": {"type": "string", "defaultValue": "d"}}
        )
        self.assertEqual(self.load(document).name, "d")
        first = self.write({"parameters": {"NAME": {"value": "f"}}})
        second = self.write({"name": {"value": "g"}})
        self.assertEqual(self.load(document, parameters=first).name, "f")
        self.assertEqual(self.load(document, parameters=[first, second]).name, "g")
        overrides = self.write("parameters: {name: o}")
        self.assertEqual(self.load(document, parameters=[first], overrides=overrides).name, "o")
        self.load(document, parameters=self.write({"nmae": {"value": "f"}}))
        self.warned("the template has no parameter 'nmae'; did you mean 'name'?")

    def test_missing_values(self) -> None:
        """Told at every place that needs them, with what would settle it; names may be made of them."""
        document = template([gateway("[parameters('p')]")], parameters={"p": {"type": "string"}, "q": {"type": "int"}})
        document["resources"][0]["properties"]["frontendPorts"][0]["name"] = "[concat(parameters('p'), '-80')]"
        listener = document["resources"][0]["properties"]["httpListeners"][0]["properties"]
        listener["frontendPort"]["id"] = "[resourceId('A.B/c/frontendPorts', 'g', concat(parameters('p'), '-80'))]"
        self.assertEqual(self.load(document).listeners[0].port, 80)
        document["resources"][0]["properties"]["frontendPorts"][0]["properties"]["port"] = "[parameters('q')]"
        self.noted(document, "resources[0].properties.frontendPorts[0].properties.port: the parameter 'q' has no value")
        self.warned("overrides 'parameters: {q: …}' (in [parameters('q')]); until then listener 'web' is left out")
        vault = self.write({"parameters": {"q": {"reference": {"keyVault": {"id": "v"}, "secretName": "s"}}}})
        self.noted(document, "the parameter 'q' comes from a Key Vault", parameters=vault)

    def test_unused_expressions(self) -> None:
        """What the gateway does not use is not evaluated."""
        document = template([gateway(), {"type": "a", "name": "[nope()]", "properties": "[nope()]"}])
        document["resources"][0]["properties"]["sku"] = {"name": "[nope()]"}
        document["resources"][0]["tags"] = "[nope()]"
        self.load(document)

    def test_condition(self) -> None:
        """A gateway that would not be deployed is read for lack of others; what cannot be decided counts as true."""
        gateways = [gateway(condition=False), gateway(name="other")]
        self.assertEqual(self.load(template(gateways)).name, "other")
        self.assertEqual(self.warnings, [])
        document = template([gateway(condition=False)])
        self.assertEqual(self.noted(document, "condition is false of resources[0] (False)").name, "gw")
        document = template([gateway(condition="[parameters('x')]")], parameters={"x": {"defaultValue": True}})
        self.load(document)
        self.load(template([gateway(condition="[reference('y').z]")]))
        self.warned("the condition is taken as true")

    def test_several(self) -> None:
        """The first is read, the others are named."""
        loaded = self.load(template([gateway("a"), gateway("b")]))
        self.assertEqual(loaded.name, "a")
        self.warned(
            "the document holds 2 gateways; 'a' (resources[0]) is read, not 'b' (resources[1]); overrides "
            "'gateway: b' choose another"
        )

    def test_copies(self) -> None:
        """Copy loops of resources, of properties and of variables."""
        document = template(
            [gateway("[concat('g', copyIndex())]", copy={"name": "loop", "count": 2})],
            variables={"copy": [{"name": "ports", "count": 2, "input": "[add(80, copyIndex('ports'))]"}]},
        )
        inner = document["resources"][0]["properties"]
        del inner["frontendPorts"]
        inner["copy"] = [
            {"name": "frontendPorts", "count": "[length(variables('ports'))]", "input": {
                "name": "[format('p{0}', variables('ports')[copyIndex('frontendPorts')])]",
                "properties": {"port": "[variables('ports')[copyIndex('frontendPorts')]]"}}}
        ]  # fmt: skip
        inner["backendAddressPools"][0]["properties"] = {
            "copy": [
                {
                    "name": "backendAddresses",
                    "count": 3,
                    "input": {"ipAddress": "[concat('10.0.0.', copyIndex('backendAddresses', 4))]"},
                }
            ]
        }
        loaded = self.load(document)
        self.assertEqual((loaded.name, loaded.listeners[0].port), ("g0", 80))
        self.assertEqual([member.host for member in loaded.pools[0].members], ["10.0.0.4", "10.0.0.5", "10.0.0.6"])

    def test_symbolic_names(self) -> None:
        """``languageVersion`` 2.0: resources are a mapping, and may be only mentioned."""
        document = template({"old": gateway(existing=True), "gw": gateway()}, languageVersion="2.0")
        self.assertEqual(self.load(document).name, "gw")

    def test_nested(self) -> None:
        """Deployments inside: expressions of the inner scope see the inner parameters, others the outer ones."""
        for scope, expected in (("inner", "in"), ("outer", "out")):
            nested = template([gateway("[parameters('p')]")], parameters={"p": {"type": "string"}})
            deployment = {
                "type": "Microsoft.Resources/deployments",
                "name": "n",
                "properties": {
                    "expressionEvaluationOptions": {"scope": scope},
                    "parameters": {"p": {"value": "[concat('i', 'n')]"}},
                    "template": nested,
                },
            }
            document = template([deployment], parameters={"p": {"defaultValue": "out"}})
            self.assertEqual(self.load(document).name, expected)

    def test_reference(self) -> None:
        """Given by override, found in the template, or an error that says what would settle it."""
        site = {"type": "Microsoft.Web/sites", "name": "site", "properties": {"host": "[toLower('IN.TEST')]"}}
        document = template([gateway(), site])
        address: dict[str, Any] = {}
        document["resources"][0]["properties"]["backendAddressPools"][0]["properties"]["backendAddresses"] = [address]
        address["fqdn"] = "[reference(resourceId('Microsoft.Web/sites', 'site')).host]"
        self.assertEqual(self.load(document).pools[0].members[0].host, "in.test")
        address["fqdn"] = "[reference(resourceId('Microsoft.Web/sites', 'site')).defaultHostName]"
        words = "'defaultHostName' of 'site' is known only in Azure; give the value with overrides"
        self.assertEqual(self.noted(document, words).pools[0].members[0].host, "site.defaulthostname.invalid")
        self.warned("backendAddresses[0].fqdn")
        for key in ("site", "Microsoft.Web/sites/SITE", address["fqdn"], "reference('site')"):
            if key.startswith("Microsoft"):
                key = (
                    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/resource-group/providers/" + key
                )
            if key.startswith("reference"):
                address["fqdn"] = "[reference('site').x]"
            overrides = self.write({"references": {key: "over.test"}})
            self.assertEqual(self.load(document, overrides=overrides).pools[0].members[0].host, "over.test", key)
        overrides = self.write({"references": {"site": {"x": "deep.test"}, "other": "x"}})
        self.assertEqual(self.load(document, overrides=overrides).pools[0].members[0].host, "deep.test")
        self.warned("the override references: 'other' was not asked for")

    def test_outputs(self) -> None:
        """Outputs of a nested deployment are evaluated where its template is there."""
        nested = template([], outputs={"host": {"value": "[concat(parameters('p'), '.test')]"}}, parameters={"p": {}})
        deployment = {
            "type": "Microsoft.Resources/deployments",
            "name": "n",
            "properties": {
                "expressionEvaluationOptions": {"scope": "inner"},
                "parameters": {"p": {"value": "x"}},
                "template": nested,
            },
        }  # fmt: skip
        document = template([deployment, gateway()])
        document["resources"][1]["properties"]["backendAddressPools"][0]["properties"]["backendAddresses"] = [
            {"fqdn": "[reference('n').outputs.host.value]"}
        ]
        self.assertEqual(self.load(document).pools[0].members[0].host, "x.test")

    def test_whole_properties(self) -> None:
        """``properties`` may be one expression, and so may collections and objects."""
        document = template([gateway()], variables={"p": properties(), "none": "[json('null')]"})
        document["resources"][0]["properties"] = "[union(variables('p'), createObject('probes', variables('none')))]"
        self.assertEqual(self.load(document).listeners[0].name, "web")
        document["variables"]["p"]["frontendPorts"][0]["properties"]["port"] = "x"
        self.assertIn("found 'x', expected a whole number", self.refused_once(document))

    def test_bomb(self) -> None:
        """Doubling variables are stopped, with one error."""
        variables: dict[str, Any] = {"v0": "0123456789"}
        for index in range(1, 40):
            variables[f"v{index}"] = f"[concat(variables('v{index - 1}'), variables('v{index - 1}'))]"
        document = template([gateway()], variables=variables)
        document["resources"][0]["properties"]["frontendPorts"][0]["properties"]["port"] = "[variables('v39')]"
        self.assertIn("make values that are too large", self.refused_once(document))
        lists: dict[str, Any] = {"v0": [1, 1]}
        for index in range(1, 30):
            lists[f"v{index}"] = f"[createArray(variables('v{index - 1}'), variables('v{index - 1}'))]"
        document["variables"] = lists
        document["resources"][0]["properties"]["frontendPorts"][0]["properties"]["port"] = "[string(variables('v29'))]"
        self.assertIn("too many steps", self.refused_once(document))


class ScopeTests(unittest.SynchronousTestCase):
    """`Scope`: names, cycles, functions of the template."""

    def scope(self, text: str) -> Scope:
        return Scope(read_json(text), {}, Shared())

    def test_cycles(self) -> None:
        scope = self.scope('{"variables": {"a": "[variables(\'b\')]", "b": "[variables(\'A\')]"}}')
        with self.assertRaises(ExpressionError) as caught:
            scope.evaluate("[variables('a')]")
        self.assertIn("is defined by itself", str(caught.exception))

    def test_depth(self) -> None:
        members = ", ".join(f'"v{i}": "[variables(\'v{i + 1}\')]"' for i in range(200))
        with self.assertRaises(ExpressionError) as caught:
            self.scope('{"variables": {' + members + ', "v200": 1}}').evaluate("[variables('v0')]")
        self.assertIn("too deeply", str(caught.exception))

    def test_user_functions(self) -> None:
        """They see their parameters and nothing else."""
        scope = self.scope(
            """{"functions": [{"namespace": "my", "members": {"twice": {
            "parameters": [{"name": "x", "type": "string"}],
            "output": {"type": "string", "value": "[concat(parameters('x'), parameters('x'))]"}}}}]}"""
        )
        self.assertEqual(scope.evaluate("[my.twice('a')]"), "aa")
        with self.assertRaises(ExpressionError):
            scope.evaluate("[my.twice()]")

    def test_user_functions_that_are_none(self) -> None:
        written = '{"functions": [{"namespace": "my", "members": {"f": %s}}]}'
        for text, wanted in (
            ('{"functions": 5}', "the template's 'functions' are 5, expected a list of namespaces"),
            (written % '{"parameters": [], "output": "[add(1, 2)]"}', "the output of my.f() is written"),
            (written % '{"parameters": ["x"], "output": {"value": 1}}', "the parameters of my.f() are written"),
            (written % '{"parameters": 7, "output": {"value": 1}}', "the parameters of my.f() are written"),
        ):
            with self.assertRaises(ExpressionError) as caught:
                self.scope(text).evaluate("[my.f()]")
            self.assertIn(wanted, str(caught.exception))

    def test_deployment(self) -> None:
        """It knows its template, as that stands."""
        scope = self.scope('{"contentVersion": "1.2.0.0", "variables": {"v": "[nope()]"}}')
        self.assertEqual(scope.evaluate("[deployment().properties.template.contentVersion]"), "1.2.0.0")
        self.assertEqual(scope.evaluate("[deployment().properties.template.variables.v]"), "[nope()]")

    def test_unknown_names(self) -> None:
        scope = self.scope('{"variables": {"port": 1}, "parameters": {"host": {"defaultValue": 1}}}')
        for expression, hint in (("[variables('prot')]", "'port'"), ("[parameters('hots')]", "'host'")):
            with self.assertRaises(ExpressionError) as caught:
                scope.evaluate(expression)
            self.assertIn(f"did you mean {hint}?", str(caught.exception))

    def test_copy_bound(self) -> None:
        scope = self.scope('{"variables": {"copy": [{"name": "c", "count": 100000, "input": 1}]}}')
        with self.assertRaises(ExpressionError) as caught:
            scope.evaluate("[variables('c')]")
        self.assertIn("a copy loop of 100000 turns", str(caught.exception))
