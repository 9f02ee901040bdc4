"""Pieces of ARM templates for tests, in the words of those who write them: quickstarts, Bicep, portal, CLI."""

from __future__ import annotations

from typing import Any

__all__ = ["child", "deployment", "gateway", "ids", "template"]

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_GATEWAYS = "Microsoft.Network/applicationGateways"


def template(resources: Any, **members: Any) -> dict[str, Any]:
    return {"$schema": _SCHEMA, "contentVersion": "1.0.0.0", **members, "resources": resources}


def ids(style: str, name: str = "gw") -> Any:
    """How references are written: a function of the collection and the name of a child."""
    base = f"/subscriptions/s/resourceGroups/g/providers/{_GATEWAYS}/{name}"
    return {
        "literal": lambda kind, child: f"{base}/{kind}/{child}",
        "resourceId": lambda kind, child: f"[resourceId('{_GATEWAYS}/{kind}', '{name}', '{child}')]",
        "concat": lambda kind, child: f"[concat(resourceId('{_GATEWAYS}', '{name}'), '/{kind}/{child}')]",
        "format": lambda kind, child: f"[format('{{0}}/{kind}/{{1}}', resourceId('{_GATEWAYS}', '{name}'), '{child}')]",
        "variable": lambda kind, child: f"[concat(variables('gatewayId'), '/{kind}/', '{child}')]",
    }[style]


def child(name: str, /, **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties}


def gateway(style: str = "resourceId", name: str = "gw", fqdn: str = "a.test", **changed: Any) -> dict[str, Any]:
    """A gateway resource: port 80, one listener ``web``, one pool ``chat`` with one member, one rule."""
    at = ids(style, name)
    properties: dict[str, Any] = {
        "sku": {"name": "Standard_v2", "tier": "Standard_v2", "capacity": 2},
        "frontendIPConfigurations": [child("public", publicIPAddress={"id": "x"})],
        "frontendPorts": [child("p80", port=80)],
        "backendAddressPools": [child("chat", backendAddresses=[{"fqdn": fqdn}])],
        "backendHttpSettingsCollection": [child("plain", port=8000, protocol="Http", requestTimeout=60)],
        "httpListeners": [
            child(
                "web",
                frontendIPConfiguration={"id": at("frontendIPConfigurations", "public")},
                frontendPort={"id": at("frontendPorts", "p80")},
                protocol="Http",
            )
        ],
        "requestRoutingRules": [
            child(
                "rule",
                ruleType="Basic",
                priority=100,
                httpListener={"id": at("httpListeners", "web")},
                backendAddressPool={"id": at("backendAddressPools", "chat")},
                backendHttpSettings={"id": at("backendHttpSettingsCollection", "plain")},
            )
        ],
    }
    properties.update(changed)
    return {"type": _GATEWAYS, "apiVersion": "2023-09-01", "name": name, "location": "x", "properties": properties}


def deployment(name: str, inner: Any, /, scope: str = "inner", **parameters: Any) -> dict[str, Any]:
    """A nested deployment; ``parameters``: values."""
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": name,
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": scope},
            "parameters": {key: {"value": value} for key, value in parameters.items()},
            "template": inner,
        },
    }
