"""Gateways as Azure gives them back: `az network application-gateway show` and `list`, REST answers."""

from __future__ import annotations

from typing import Any

from tests.config.arm import child, gateway, template
from tests.config.support import ConfigurationTestCase

_BASE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationGateways/"
_ABSENT = {
    "httpListeners": ("hostName", "sslCertificate", "sslProfile", "firewallPolicy", "customErrorConfigurations"),
    "requestRoutingRules": ("urlPathMap", "redirectConfiguration", "rewriteRuleSet", "loadDistributionPolicy",
                            "advancedRoutingMap", "entraJWTValidationConfig"),
    "backendHttpSettingsCollection": ("probe", "hostName", "path", "affinityCookieName", "connectionDraining",
                                      "authenticationCertificates", "trustedRootCertificates", "sniName"),
    "backendAddressPools": ("backendIPConfigurations",),
}  # fmt: skip
_TOP_ABSENT = (
    "autoscaleConfiguration", "identity", "zones", "firewallPolicy", "webApplicationFirewallConfiguration", "tags",
    "customErrorConfigurations", "enableFips", "enableHttp2", "sslPolicy", "globalConfiguration", "urlPathMaps",
    "forceFirewallPolicyAssociation", "defaultPredefinedSslPolicy",
)  # fmt: skip


def shown(name: str = "gw") -> dict[str, Any]:
    """A gateway as ``az … show`` prints it: no ``properties``, and null for what is not there."""
    resource = gateway("literal", name)
    result: dict[str, Any] = {key: resource[key] for key in ("name", "type", "location")}
    result |= {"id": _BASE + name, "etag": 'W/"1"', "resourceGroup": "g", "provisioningState": "Succeeded"}
    result |= {"operationalState": "Running", "resourceGuid": "0", "privateEndpointConnections": []}
    result |= dict.fromkeys(_TOP_ABSENT)
    for key, value in resource["properties"].items():
        if not isinstance(value, list):
            result[key] = value
            continue
        result[key] = [
            {
                "id": f"{_BASE}{name}/{key}/{item['name']}",
                "name": item["name"],
                "etag": 'W/"1"',
                "type": f"Microsoft.Network/applicationGateways/{key}",
                "resourceGroup": "g",
                "provisioningState": "Succeeded",
                **item["properties"],
                **{absent: None for absent in _ABSENT.get(key, ())},
            }
            for item in value
        ]
    return result


def answered(name: str = "gw") -> dict[str, Any]:
    """A gateway as REST answers with it."""
    resource = gateway("literal", name)
    properties = resource["properties"] | {"provisioningState": "Succeeded", "operationalState": "Running"}
    for key, value in properties.items():
        for item in value if isinstance(value, list) else ():
            item |= {"id": f"{_BASE}{name}/{key}/{item['name']}", "etag": 'W/"1"'}
            item["properties"]["provisioningState"] = "Succeeded"
    listener = properties["httpListeners"][0]["properties"]
    listener["requestRoutingRules"] = [{"id": f"{_BASE}{name}/requestRoutingRules/rule"}]
    return resource | {"id": _BASE + name, "etag": 'W/"1"', "tags": {}, "properties": properties}


class ExportTests(ConfigurationTestCase):
    """Exported gateways through `load`."""

    def test_show(self) -> None:
        """Flattened, with nulls; nothing but the size and the address is left to say."""
        loaded = self.load(shown())
        self.assertEqual((loaded.name, loaded.listeners[0].port), ("gw", 80))
        self.assertEqual((loaded.rules[0].pool, loaded.rules[0].priority), ("chat", 100))
        self.assertEqual(self.warnings, [])
        said = [sentence.split(":")[0] for sentence in loaded.not_honoured]
        self.assertEqual(said, ["sku", "frontendIPConfigurations (public)"])

    def test_same(self) -> None:
        """All spellings of one gateway are equal."""
        expected = self.load(gateway("literal"))
        for document in (
            shown(),
            answered(),
            [shown()],
            {"value": [answered()]},
            {"name": "gw", "properties": answered()["properties"]},
            {"properties": {"name": "gw", **answered()["properties"]}},
        ):
            self.assertEqual(self.load(document), expected)
            self.assertEqual(self.warnings, [])

    def test_brackets(self) -> None:
        """Text of what Azure answers with is never an expression; in a template it is, unless a bracket is doubled."""
        conditions = [{"variable": "http_req_X-A", "pattern": text} for text in ("[0-9]", "[[:alpha:]]")]
        headers = [{"headerName": "X-A", "headerValue": "[concat('a','b')]"}]
        rules = [{"name": "r", "conditions": conditions, "actionSet": {"requestHeaderConfigurations": headers}}]
        alone = shown() | {"etag": None, "rewriteRuleSets": [{"name": "w", "rewriteRules": rules}]}
        del alone["provisioningState"]
        whole = answered()
        whole["properties"]["rewriteRuleSets"] = [child("w", rewriteRules=rules)]
        for document in (alone, whole, [alone]):
            rule = self.load(document).rewrites[0].rules[0]
            self.assertEqual([condition.pattern for condition in rule.conditions], ["[0-9]", "[[:alpha:]]"])
            self.assertEqual(rule.request_headers[0].value, "[concat('a','b')]")
        made = gateway()
        made["properties"]["rewriteRuleSets"] = [child("w", rewriteRules=rules)]
        problem = self.refused_once(template([made]))
        self.assertIn("conditions[0].pattern: expected the end, but found '-9' at character 3 of the exp", problem)
        self.assertIn("; if it is no expression but just text, write '[[0-9]' (in [0-9])", problem)

    def test_list(self) -> None:
        """Of several the first is read; they are named, and the overrides choose."""
        for document in ([shown("a"), shown("b")], {"value": [answered("a"), answered("b")], "nextLink": None}):
            self.assertEqual(self.load(document).name, "a")
            self.warned("the document holds 2 gateways; 'a' (")
            self.warned("overrides 'gateway: b' choose another")
            self.assertEqual(self.load(document, overrides=self.write("gateway: b")).name, "b")
            self.assertEqual(self.warnings, [])

    def test_empty_list(self) -> None:
        for document in ([], {"value": []}):
            self.assertIn("no gateway found in this document", self.refused_once(document))

    def test_name_of_the_id(self) -> None:
        """What has no name beside its id is called as that says (AGIC's dumps, queries of the resource graph)."""
        document = answered()
        del document["name"]
        self.assertEqual(self.load({"count": 1, "data": [document]}).name, "gw")

    def test_power_shell(self) -> None:
        """``ConvertTo-Json``: names begin with a capital, and all there is comes once more as text."""

        def printed(value: Any) -> Any:
            if isinstance(value, list):
                return [printed(item) for item in value]
            if not isinstance(value, dict):
                return value
            made = {key[:1].upper() + key[1:]: printed(item) for key, item in value.items()}
            return made | {f"{key}Text": str(item) for key, item in made.items() if isinstance(item, (dict, list))}

        document = printed(shown()) | {"ResourceGroupName": "g", "Tag": {}, "TagsTable": "Name Value"}
        expected = self.load(shown())
        loaded = self.load(document)
        same = loaded.model_copy(update={"not_honoured": expected.not_honoured})
        self.assertEqual(same, expected)
        self.assertEqual(self.warnings, [])
        self.assertEqual(len(loaded.not_honoured), 2)
        document["BackendAddressPools"][0] = "@{Name=chat; BackendAddresses=System.Object[]}"
        self.assertIn("export with 'ConvertTo-Json -Depth 20'", self.refused(document)[0])

    def test_terraform(self) -> None:
        """Terraform's spelling is named, with what to do."""
        for document in (
            {"values": {"root_module": {"resources": [{"type": "azurerm_application_gateway", "values": {}}]}}},
            {"resource": {"azurerm_application_gateway": {"main": {"http_listener": []}}}},
        ):
            self.assertIn("az network application-gateway show", self.refused_once(document))

    def test_languages(self) -> None:
        """Files that are neither JSON nor YAML are known by their names, and what makes JSON of them is told."""
        for name, remedy in (
            ("main.bicep", "az bicep build --file"),
            ("main.BICEPPARAM", "az bicep build-params --file"),
            ("main.tf", "az network application-gateway show"),
        ):
            self.assertIn(remedy, self.refused_once("param location string = 'here'\n", name))

    def test_templates_in_documents(self) -> None:
        """A template inside of something else is read with its own parameters and variables."""
        inner = template(
            [gateway("literal") | {"name": "[variables('n')]"}],
            parameters={"host": {"type": "string"}},
            variables={"n": "inside"},
        )
        pool = inner["resources"][0]["properties"]["backendAddressPools"][0]
        pool["properties"]["backendAddresses"][0]["fqdn"] = "[parameters('host')]"
        for value, host in (("given.test", "given.test"), ("[field('name')]", "host.invalid")):
            body = {"template": inner, "parameters": {"host": {"value": value}}}
            for document in ({"properties": body}, {"kind": "template", "properties": body}, [{"properties": body}]):
                loaded = self.load(document)
                self.assertEqual((loaded.name, loaded.pools[0].members[0].host), ("inside", host))
        loaded = self.load({"properties": {"mainTemplate": inner}}, overrides=self.write("parameters: {host: o.test}"))
        self.assertEqual(loaded.pools[0].members[0].host, "o.test")
        body = {"template": inner, "parameters": {"host": {"reference": {"secretName": "s"}}}}
        self.noted({"properties": body}, "the parameter 'host' comes from a Key Vault")
