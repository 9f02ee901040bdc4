"""The functions of the ARM expression language that name things in Azure; registered when imported.

Nothing is asked of Azure: subscription, tenant and resource group are stand-ins.  Identifiers built from them are only
ever compared by their last two segments.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from gateway.config.expressions import ExpressionError
from gateway.config.functions import Budget, function, integer, text
from gateway.config.tree import show

__all__ = ["GROUP", "SUBSCRIPTION", "TEMPLATE_BASE", "join_id"]

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP = "resource-group"
TEMPLATE_BASE = "https://template.invalid/"
"""What ``deployment().properties.templateLink.uri`` begins with: files beside the document."""
_LOCATION = "local"

_ENVIRONMENT = {
    "name": "AzureCloud",
    "gallery": "https://gallery.azure.com/",
    "graph": "https://graph.windows.net/",
    "portal": "https://portal.azure.com",
    "graphAudience": "https://graph.windows.net/",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "batch": "https://batch.core.windows.net/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/"
    "quickstart-templates/aliases.json",
    "resourceManager": "https://management.azure.com/",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.com/",
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": "common",
        "identityProvider": "AAD",
    },
    "suffixes": {
        "acrLoginServer": ".azurecr.io",
        "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
        "azureFrontDoorEndpointSuffix": "azurefd.net",
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}
"""Of global Azure, as the reference of ``environment()`` shows it."""


def join_id(base: str, kind: str, names: list[str], name: str) -> str:
    """``base/providers/Namespace/type/name/subtype/subname`` from ``Namespace/type/subtype`` and the names."""
    parts = kind.strip("/").split("/")
    types = parts[1:]
    flat = [segment for entry in names for segment in entry.split("/")] if len(names) != len(types) else names
    if not types or len(flat) != len(types):
        raise ExpressionError(f"{name}(): the type {show(kind)} needs {len(types)} names, {len(names)} were given")
    pairs = "/".join(f"{part}/{entry}" for part, entry in zip(types, flat, strict=True))
    return f"{base}/providers/{parts[0]}/{pairs}"


def _split(values: tuple[Any, ...], name: str) -> tuple[list[str], str, list[str]]:
    """What stands before the resource type (subscription, group), the type, and the names after it."""
    words = [text(value, name) for value in values]
    for index, word in enumerate(words[:3]):
        if "/" in word and "." in word.split("/")[0]:
            return words[:index], word, words[index + 1 :]
    raise ExpressionError(
        f"{name}(): no resource type such as 'Microsoft.Network/applicationGateways' among the arguments"
    )


@function("resourceid", 2, None)
def _resource_id(budget: Budget, *values: Any) -> Any:
    before, kind, names = _split(values, "resourceId")
    group = before[-1] if before else GROUP
    subscription = before[0] if len(before) > 1 else SUBSCRIPTION
    return join_id(f"/subscriptions/{subscription}/resourceGroups/{group}", kind, names, "resourceId")


@function("subscriptionresourceid", 2, None)
def _subscription_resource_id(budget: Budget, *values: Any) -> Any:
    before, kind, names = _split(values, "subscriptionResourceId")
    return join_id(f"/subscriptions/{before[0] if before else SUBSCRIPTION}", kind, names, "subscriptionResourceId")


@function("tenantresourceid", 2, None)
def _tenant_resource_id(budget: Budget, *values: Any) -> Any:
    _, kind, names = _split(values, "tenantResourceId")
    return join_id("", kind, names, "tenantResourceId")


@function("managementgroupresourceid", 2, None)
def _management_group_resource_id(budget: Budget, *values: Any) -> Any:
    _, kind, names = _split(values, "managementGroupResourceId")
    return join_id("/providers/Microsoft.Management/managementGroups/group", kind, names, "managementGroupResourceId")


@function("extensionresourceid", 3, None)
def _extension_resource_id(budget: Budget, base: Any, kind: Any, *names: Any) -> Any:
    words = [text(name, "extensionResourceId") for name in names]
    return join_id(text(base, "extensionResourceId"), text(kind, "extensionResourceId"), words, "extensionResourceId")


@function("resourcegroup", 0)
def _resource_group(budget: Budget) -> Any:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}",
        "name": GROUP,
        "type": "Microsoft.Resources/resourceGroups",
        "location": _LOCATION,
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }


@function("subscription", 0)
def _subscription(budget: Budget) -> Any:
    return {
        "id": f"/subscriptions/{SUBSCRIPTION}",
        "subscriptionId": SUBSCRIPTION,
        "tenantId": SUBSCRIPTION,
        "displayName": "subscription",
    }


@function("tenant", 0)
def _tenant(budget: Budget) -> Any:
    return {"tenantId": SUBSCRIPTION, "displayName": "tenant", "countryCode": "", "id": f"/tenants/{SUBSCRIPTION}"}


@function("deployment", 0)
def _deployment(budget: Budget) -> Any:
    link = {"id": "", "uri": f"{TEMPLATE_BASE}azuredeploy.json"}
    return {
        "name": "deployment",
        "location": _LOCATION,
        "properties": {"templateLink": link, "parameters": {}, "mode": "Incremental"},
    }


@function("deployer", 0)
def _deployer(budget: Budget) -> Any:
    return {"tenantId": SUBSCRIPTION, "objectId": SUBSCRIPTION, "userPrincipalName": ""}


@function("environment", 0)
def _environment(budget: Budget) -> Any:
    return _ENVIRONMENT


@function("pickzones", 3, 5)
def _pick_zones(budget: Budget, *values: Any) -> Any:
    count = integer(values[3], "pickZones") if len(values) > 3 else 1
    return [str(zone + 1) for zone in range(max(0, min(count, 3)))]


def _network(value: Any, name: str) -> Any:
    try:
        return ipaddress.ip_network(text(value, name), strict=False)
    except ValueError as error:
        raise ExpressionError(f"{name}(): {error}") from None


@function("cidrhost", 2)
def _cidr_host(budget: Budget, network: Any, index: Any) -> Any:
    parsed = _network(network, "cidrHost")
    number = integer(index, "cidrHost") + 1
    if not 0 <= number < parsed.num_addresses:
        raise ExpressionError(f"cidrHost(): {show(network)} has no host {number - 1}")
    return str(parsed[number])


@function("cidrsubnet", 3)
def _cidr_subnet(budget: Budget, network: Any, prefix: Any, index: Any) -> Any:
    parsed = _network(network, "cidrSubnet")
    length, number = integer(prefix, "cidrSubnet"), integer(index, "cidrSubnet")
    if not parsed.prefixlen <= length <= parsed.max_prefixlen or not 0 <= number < 1 << (length - parsed.prefixlen):
        raise ExpressionError(f"cidrSubnet(): {show(network)} has no subnet {number} of length {length}")
    start = int(parsed.network_address) + (number << (parsed.max_prefixlen - length))
    return f"{ipaddress.ip_address(start) if parsed.version == 4 else ipaddress.IPv6Address(start)}/{length}"


@function("parsecidr", 1)
def _parse_cidr(budget: Budget, network: Any) -> Any:
    parsed = _network(network, "parseCidr")
    usable = parsed.num_addresses > 2
    return {
        "network": str(parsed.network_address),
        "netmask": str(parsed.netmask),
        "broadcast": str(parsed.broadcast_address),
        "firstUsable": str(parsed[1] if usable else parsed[0]),
        "lastUsable": str(parsed[-2] if usable else parsed[-1]),
        "cidr": parsed.prefixlen,
    }


@function("managementgroup", 0)
def _management_group(budget: Budget) -> Any:
    return {"id": "/providers/Microsoft.Management/managementGroups/group", "name": "group", "properties": {}}


@function("providers", 1, 2)
def _providers(budget: Budget, namespace: Any, kind: Any = None) -> Any:
    """Versions are only ever given to ``reference()``, which does not look at them."""
    entry = {"resourceType": kind, "locations": [_LOCATION], "apiVersions": ["2000-01-01"]}
    return entry if kind is not None else {"namespace": namespace, "resourceTypes": []}


@function("tologicalzone", 3)
def _to_logical_zone(budget: Budget, subscription: Any, location: Any, zone: Any) -> Any:
    return text(zone, "toLogicalZone")


@function("tophysicalzone", 3)
def _to_physical_zone(budget: Budget, subscription: Any, location: Any, zone: Any) -> Any:
    return text(zone, "toPhysicalZone")


@function("tologicalzones", 3)
def _to_logical_zones(budget: Budget, subscription: Any, location: Any, zones: Any) -> Any:
    return zones


@function("tophysicalzones", 3)
def _to_physical_zones(budget: Budget, subscription: Any, location: Any, zones: Any) -> Any:
    return zones
