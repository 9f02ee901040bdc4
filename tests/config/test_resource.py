"""Tests of `gateway.config.resource`, `cursor` and `arm_tables`: one gateway as Azure writes it."""

from __future__ import annotations

import re
from typing import Any

from gateway.config.model import BackendSettings, Gateway, HttpListener, Member, Pool, Rule
from gateway.config.references import reference_name
from tests.config.support import ConfigurationTestCase, properties, reference


def _flatten(value: Any) -> Any:
    """As the Azure CLI prints it: ``properties`` spread into the object, nulls and outputs beside them."""
    if isinstance(value, list):
        return [_flatten(item) for item in value]
    if isinstance(value, dict):
        flat = {key: _flatten(item) for key, item in value.items() if key != "properties"}
        return flat | (_flatten(value["properties"]) if "properties" in value else {})
    return value


class ResourceTests(ConfigurationTestCase):
    """`ResourceReader` through `load`."""

    def expected(self, name: str = "gateway") -> Gateway:
        return Gateway(
            name=name,
            listeners=(HttpListener(name="web", port=80),),
            pools=(Pool(name="chat", members=(Member(host="10.0.0.4"), Member(host="b.test"))),),
            settings=(BackendSettings(name="plain", port=8000, request_timeout=60),),
            rules=(Rule(name="rule", priority=10, listener="web", pool="chat", settings="plain"),),
        )

    def test_bare_properties(self) -> None:
        self.assertEqual(self.load(properties()), self.expected())

    def test_exported(self) -> None:
        """With envelope, and flattened as ``az network application-gateway show`` prints it."""
        document = {"name": "gw", "id": "/x", "location": "l", "properties": properties(), "etag": "e"}
        self.assertEqual(self.load(document), self.expected("gw"))
        flat = _flatten(document) | {"resourceGroup": "g", "sslPolicy": None, "probes": [], "provisioningState": "S"}
        flat["httpListeners"][0]["frontendPort"]["resourceGroup"] = "g"
        self.assertEqual(self.load(flat), self.expected("gw"))

    def test_any_case(self) -> None:
        """Keys, enum values, id segments and names in any case; numbers and booleans as text."""
        document = properties()
        listener = document["httpListeners"][0]["properties"]
        listener["FRONTENDPORT"] = {"Id": "/x/frontEndPorts/P80"}
        del listener["frontendPort"]
        listener["Protocol"] = listener.pop("protocol").upper()
        listener["RequireServerNameIndication"] = "true"
        document["BackendHttpSettingsCollection"] = document.pop("backendHttpSettingsCollection")
        document["frontendPorts"][0]["properties"]["Port"] = str(document["frontendPorts"][0]["properties"].pop("port"))
        rule = document["requestRoutingRules"][0]["properties"]
        rule["backendHttpSettings"] = {"id": "/x/backendHttpSettingsList/PLAIN"}
        rule["priority"] = "10"
        gateway = self.load(document)
        self.assertEqual(gateway.listeners, (HttpListener(name="web", port=80, require_server_name_indication=True),))
        self.assertEqual(gateway.rules, self.expected().rules)

    def test_reference_names(self) -> None:
        """Stray quotes and brackets after ids, as in the documentation."""
        for identifier in ("/a/pools/x", "/a/pools/x'", "/a/pools/x')]", '/a/pools/x"', "x", "/a/pools/x/ "):
            self.assertEqual(reference_name(identifier), "x")

    def test_id_of_another_collection(self) -> None:
        """Both collections are named; those that are one here are one."""
        document = properties()
        rule = document["requestRoutingRules"][0]["properties"]
        rule["backendAddressPool"] = reference("probes", "chat")
        problem = self.refused_once(document)
        self.assertIn("backendAddressPool.id: this is the id of something in probes, expected one of backendA", problem)
        rule["backendAddressPool"] = reference("backendAddressPools", "chat")
        rule["httpListener"] = reference("listeners", "web")
        rule["backendHttpSettings"] = reference("backendSettingsCollection", "plain")
        self.load(document)
        document["httpListeners"][0]["properties"]["frontendPort"] = reference("httpListeners", "p80")
        self.assertIn("something in httpListeners, expected one of frontendPorts", self.refused(document)[0])

    def test_names_with_brackets(self) -> None:
        """A name that itself ends in a bracket is found by its exact spelling."""
        document = properties()
        document["backendAddressPools"][0]["name"] = "{pool}"
        document["requestRoutingRules"][0]["properties"]["backendAddressPool"] = {"id": "/a/backendAddressPools/{pool}"}
        self.assertEqual(self.load(document).rules[0].pool, "{pool}")

    def test_everything(self) -> None:
        """Probes, redirects, path maps, draining, trusted roots, host names."""
        document = properties()
        document["probes"] = [
            {"name": "p", "properties": {"protocol": "http", "path": "/h", "host": "", "interval": 5, "timeout": 3,
             "unhealthyThreshold": 2, "minServers": 1, "match": {"statusCodes": ["200-299", 404], "body": ""}}}
        ]  # fmt: skip
        settings = document["backendHttpSettingsCollection"][0]["properties"]
        settings["probe"] = reference("probes", "p")
        settings["connectionDraining"] = {"enabled": True, "drainTimeoutInSec": 60}
        settings["trustedRootCertificates"] = [reference("trustedRootCertificates", "root")]
        settings["affinityCookieName"] = "c"
        document["trustedRootCertificates"] = [{"name": "root", "properties": {"data": "AAAA"}}]
        document["redirectConfigurations"] = [
            {
                "name": "r",
                "properties": {"redirectType": "permanent", "targetUrl": "https://x.test", "includePath": True},
            }
        ]
        document["urlPathMaps"] = [
            {"name": "m", "properties": {
                "defaultBackendAddressPool": reference("backendAddressPools", "chat"),
                "defaultBackendHttpSettings": reference("backendHttpSettingsCollection", "plain"),
                "pathRules": [{"name": "a", "properties": {
                    "paths": ["/a/*"], "redirectConfiguration": reference("redirectConfigurations", "r")}}]}}
        ]  # fmt: skip
        rule = document["requestRoutingRules"][0]["properties"]
        rule.update(ruleType="PathBasedRouting", urlPathMap=reference("urlPathMaps", "m"))
        document["httpListeners"][0]["properties"]["hostNames"] = ["a.test", "*.b.test"]
        gateway = self.load(document)
        (probe,), (made,), (redirect,), (path_map,) = (
            gateway.probes,
            gateway.settings,
            gateway.redirects,
            gateway.path_maps,
        )
        self.assertEqual(
            (probe.protocol, probe.host, probe.match.status_codes, probe.match.body),
            ("Http", None, ("200-299", "404"), None),
        )
        self.assertEqual(
            (made.probe, made.connection_draining.enabled, made.trusted_root_certificates), ("p", True, ("root",))
        )
        self.assertEqual((redirect.include_path, redirect.include_query_string), (True, False))
        self.assertEqual(
            (path_map.default_pool, path_map.path_rules[0].paths, path_map.path_rules[0].redirect),
            ("chat", ("/a/*",), "r"),
        )
        self.assertEqual((gateway.rules[0].path_map, gateway.rules[0].pool), ("m", None))
        self.assertEqual(gateway.listeners[0].host_names, ("a.test", "*.b.test"))

    def test_not_honoured(self) -> None:
        """What is accepted and not done is named, in one sentence each, with the objects it is at."""
        document = properties()
        document.update(
            sku={"name": "WAF_v2"}, enableHttp2=True, firewallPolicy={"id": "x"}, sslProfiles=[], somethingNew=1
        )
        document["requestRoutingRules"][0]["properties"]["authConfigs"] = [{"id": "x"}]
        sentences = self.load(document).not_honoured
        self.assertIn("sku: capacity and size are those of this machine.", sentences)
        self.assertIn("enableHttp2: clients are served HTTP/1.1.", sentences)
        self.assertIn("authConfigs (rule): tokens are not validated.", sentences)
        self.assertIn("somethingNew: this member is not known here and has no effect.", sentences)
        self.assertFalse(any("sslProfiles" in sentence for sentence in sentences))

    def test_empty_pools(self) -> None:
        """Empty pools, and pools of network cards, are warned of with what would help."""
        document = properties()
        document["backendAddressPools"][0] = {"name": "chat"}
        self.load(document)
        self.warned("pool 'chat' has no members: requests that rule 'rule' sends to it get 502; list its backends")
        document["backendAddressPools"][0]["properties"] = {"backendIPConfigurations": [{"id": "/nic"}]}
        gateway = self.load(document)
        self.assertTrue(any("members that are network interfaces" in text for text in gateway.not_honoured))

    def test_network_cards(self) -> None:
        """Those that join pools by their own resource are named: a pool may have members besides."""
        joining = {"applicationGatewayBackendAddressPools": [reference("backendAddressPools", "chat")]}
        card = {"ipConfigurations": [{"properties": {"privateIPAddress": "10.1.1.4"} | joining}]}
        inside = {"networkProfile": {"networkInterfaceConfigurations": [{"properties": card}]}}
        document = {
            "resources": [
                {"type": "Microsoft.Network/applicationGateways", "name": "g", "properties": properties()},
                {"type": "Microsoft.Network/networkInterfaces", "name": "n", "properties": card},
                {
                    "type": "Microsoft.Compute/virtualMachineScaleSets", "name": "s",
                    "properties": {"virtualMachineProfile": inside},
                },
                {"type": "Microsoft.Network/networkInterfaces", "name": "o", "properties": {"ipConfigurations": []}},
            ]
        }  # fmt: skip
        self.assertIn(
            "applicationGatewayBackendAddressPools (networkInterfaces, virtualMachineScaleSets): members that are "
            "network interfaces are known only in Azure; give them with overrides 'pools'.",
            self.load(document).not_honoured,
        )
        self.assertFalse([text for text in self.load(properties()).not_honoured if "interfaces" in text])

    def test_frontends(self) -> None:
        """Listeners that differ only in their frontend address: one is bound, the other named."""
        document = properties()
        document["frontendIPConfigurations"].append({"name": "private"})
        twin = properties()["httpListeners"][0]
        twin["name"] = "inside"
        twin["properties"]["frontendIPConfiguration"] = reference("frontendIPConfigurations", "private")
        document["httpListeners"].append(twin)
        rule = properties()["requestRoutingRules"][0]
        rule["name"] = "second"
        rule["properties"].update(priority=20, httpListener=reference("httpListeners", "inside"))
        document["requestRoutingRules"].append(rule)
        gateway = self.load(document)
        self.assertEqual([item.name for item in gateway.listeners], ["web"])
        self.assertEqual([item.name for item in gateway.rules], ["rule"])
        self.assertIn("listener 'inside' is left out", gateway.not_honoured[-1])
        gateway = self.load(document, map_ports=["inside=8081"])
        self.assertEqual([(item.name, item.port) for item in gateway.listeners], [("web", 80), ("inside", 8081)])

    def test_errors(self) -> None:
        """Each with the path and line in the user's own file."""
        document = properties()
        document["frontendPorts"][0]["properties"]["port"] = 99999
        document["httpListeners"][0]["properties"]["protocol"] = "Htps"
        document["backendHttpSettingsCollection"][0]["properties"]["requestTimeuot"] = 5
        document["requestRoutingRules"][0]["properties"]["ruleType"] = "Simple"
        found = self.refused(document)
        self.assertEqual(len(found), 4, found)
        for expected in (
            r"line \d+: frontendPorts\[0\]\.properties\.port: found 99999, expected a whole number from 0 to 65535",
            r"line \d+: httpListeners\[0\]\.properties\.protocol: found 'Htps', expected one of Http, "
            r"Https, Tcp, Tls; did you mean 'Https'\?",
            r"line \d+: backendHttpSettingsCollection\[0\]\.properties\.requestTimeuot: unknown key "
            r"'requestTimeuot'; did you mean 'requestTimeout'\?",
            r"line \d+: requestRoutingRules\[0\]\.properties\.ruleType: found 'Simple', expected one of "
            r"Basic, PathBasedRouting",
        ):
            self.assertTrue(any(re.match(expected, text) for text in found), (expected, found))

    def test_shapes(self) -> None:
        """Wrong types are told, none ends in a traceback."""
        for path, value, message in (
            (("httpListeners",), 5, "httpListeners: found 5, expected a list"),
            (("httpListeners",), [5], "httpListeners[0]: found 5, expected a mapping"),
            (("httpListeners", 0, "properties"), "x", "expected a mapping"),
            (("httpListeners", 0, "name"), {}, "as name, expected text"),
            (("httpListeners", 0, "properties", "frontendPort"), {"id": 5}, "found 5, expected the id of an object"),
            (("httpListeners", 0, "properties", "frontendPort"), {"name": "x"}, "a reference is written"),
            (("httpListeners", 0, "properties", "protocol"), "Tls", "that belongs into 'listeners'"),
            (("httpListeners", 0, "properties", "hostName"), ["a", 5, {}], "expected text"),
            (
                ("requestRoutingRules", 0, "properties", "priority"),
                "x",
                "found 'x', expected a whole number from 1 to 20000",
            ),
            (("requestRoutingRules", 0, "properties", "priority"), True, "found 'true', expected a whole number"),
            (("backendAddressPools", 0, "properties", "backendAddresses"), [{"ipAddress": 5.5e9}], "not an IPv4"),
        ):
            document: Any = properties()
            owner = document
            for part in path[:-1]:
                owner = owner[part]
            owner[path[-1]] = value
            found = self.refused(document)
            self.assertTrue(any(message in text for text in found), (message, found))
