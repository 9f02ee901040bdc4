"""Gateways as Azure gives them back: `az network application-gateway show` and `list`, REST answers."""

from __future__ import annotations

from typing import Any

from tests.config.arm import gateway
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
