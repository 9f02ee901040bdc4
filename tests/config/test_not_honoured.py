"""What is accepted and not done is named, member by member (reference: the table of ``properties`` members)."""

from __future__ import annotations

from typing import Any

from tests.config.arm import child, gateway
from tests.config.support import ConfigurationTestCase

_AT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationGateways/gw/"
_ID = {"id": _AT + "x/x"}
TOP: dict[str, Any] = {
    "autoscaleConfiguration": {"minCapacity": 0, "maxCapacity": 3},
    "reservedCapacity": 2,
    "gatewayIPConfigurations": [child("ip", subnet=_ID)],
    "authenticationCertificates": [child("leaf", data="AAAA")],
    "enableHttp2": True,
    "enableFips": True,
    "forceFirewallPolicyAssociation": True,
    "webApplicationFirewallConfiguration": {"enabled": True, "firewallMode": "Prevention"},
    "firewallPolicy": _ID,
    "entraJWTValidationConfigs": [child("jwt", tenantId="t")],
    "privateLinkConfigurations": [child("link", ipConfigurations=[])],
    "zones": ["1"],
    "identity": {"type": "UserAssigned"},
    "brandNew": True,
}
INSIDE: dict[str, dict[str, Any]] = {
    "httpListeners": {
        "firewallPolicy": _ID,
    },
    "backendHttpSettingsCollection": {
        "authenticationCertificates": [_ID],
    },
    "requestRoutingRules": {
        "entraJWTValidationConfig": _ID,
        "authConfigs": [_ID],
    },
    "pathRules": {"firewallPolicy": _ID},
    "backendAddressPools": {"backendIPConfigurations": [_ID]},
    "sslCertificates": {"hsm": {"keyId": "x"}},
    "frontendIPConfigurations": {"privateLinkConfiguration": _ID},
}
HONOURED: dict[str, dict[str, Any]] = {
    "httpListeners": {"hostNames": ["a.test", "*.b.test"], "requireServerNameIndication": False},
    "backendHttpSettingsCollection": {
        "cookieBasedAffinity": "Disabled", "connectionDraining": {"enabled": False, "drainTimeoutInSec": 1},
        "dedicatedBackendConnection": True, "path": "/x", "hostName": "h.test", "probeEnabled": True,
        "pickHostNameFromBackendAddress": False, "validateCertChainAndExpiry": True, "validateSNI": False,
        "sniName": "s.test", "trustedRootCertificates": [], "authenticationCertificates": [],
    },
    "probes": {
        "minServers": 1, "match": {"statusCodes": ["200-299"], "body": "ok"}, "port": 8080,
        "pickHostNameFromBackendHttpSettings": True, "enableProbeProxyProtocolHeader": False, "unhealthyThreshold": 5,
        "interval": 5, "timeout": 5,
    },
    "sslCertificates": {"data": "AAAA", "password": "x"},
}  # fmt: skip
READ_ONLY = ("provisioningState", "operationalState", "resourceGuid", "privateEndpointConnections",
             "defaultPredefinedSslPolicy", "etag", "tags")  # fmt: skip


def document() -> dict[str, Any]:
    """A gateway with an object in each collection that has members of its own."""
    made = gateway("literal")["properties"]
    backend = {"defaultBackendAddressPool": {"id": _AT + "backendAddressPools/chat"}}
    backend["defaultBackendHttpSettings"] = {"id": _AT + "backendHttpSettingsCollection/plain"}
    path_rule = child(
        "images", paths=["/i/*"], backendAddressPool={"id": _AT + "backendAddressPools/chat"},
        backendHttpSettings={"id": _AT + "backendHttpSettingsCollection/plain"},
    )  # fmt: skip
    made["urlPathMaps"] = [child("map", pathRules=[path_rule], **backend)]
    made["probes"] = [child("health", protocol="Http", path="/", interval=30, timeout=30, unhealthyThreshold=3)]
    made["sslCertificates"] = [child("site", data="AAAA")]
    return made


def place(made: dict[str, Any], collection: str) -> tuple[dict[str, Any], str]:
    """The members of the object of a collection, and its name."""
    owner = made["urlPathMaps"][0]["properties"] if collection == "pathRules" else made
    return owner[collection][0]["properties"], owner[collection][0]["name"]


class NotHonouredTests(ConfigurationTestCase):
    """`load` on one member at a time."""

    def setUp(self) -> None:
        self.usual = self.load(document()).not_honoured
        names = sorted(item.split(":")[0] for item in self.usual)
        self.assertEqual(names, ["frontendIPConfigurations (public)", "sku"])

    def said(self, made: dict[str, Any]) -> list[str]:
        """The sentences that are not always there."""
        sentences = self.load(made).not_honoured
        self.assertLessEqual(set(self.usual), set(sentences))
        return [item for item in sentences if item not in self.usual]

    def test_at_the_top(self) -> None:
        """One sentence each, which begins with the member and says what happens instead."""
        for key, value in TOP.items():
            found = self.said(document() | {key: value})
            self.assertEqual(len(found), 1, (key, found))
            self.assertRegex(found[0], rf"^{key}: \w.{{10,}}\.$")
            self.assertEqual(self.said(document() | {key: None}), [], key)

    def test_inside(self) -> None:
        """One sentence each, with the name of the object."""
        for collection, members in INSIDE.items():
            for key, value in members.items():
                made = document()
                owner, name = place(made, collection)
                owner[key] = value
                found = self.said(made)
                self.assertEqual(len(found), 1, (collection, key, found))
                self.assertRegex(found[0], rf"^{key} \({name}\): \w.{{10,}}\.$")

    def test_spellings(self) -> None:
        """Objects that spell a member differently share a sentence."""
        made = document()
        second = child("second", **made["httpListeners"][0]["properties"])
        second["properties"]["hostName"] = "b.test"
        made["httpListeners"].append(second)
        made["httpListeners"][0]["properties"] |= {"FirewallPolicy": _ID, "hostName": "a.test"}
        made["httpListeners"][1]["properties"]["firewallPolicy"] = _ID
        (found,) = self.said(made)
        self.assertTrue(found.startswith("FirewallPolicy (web, second): "), found)

    def test_all_at_once(self) -> None:
        """No sentence swallows another."""
        made = document() | TOP
        for collection, members in INSIDE.items():
            place(made, collection)[0].update(members)
        names = [sentence.split(":")[0].split(" ")[0] for sentence in self.said(made)]
        expected = {*TOP, *(key for members in INSIDE.values() for key in members)}
        self.assertEqual(set(names), expected)

    def test_honoured(self) -> None:
        """What is done, what is switched off, and what Azure only reports, is not named."""
        made = document() | dict.fromkeys(READ_ONLY, "x")
        made |= {"enableHttp2": False, "webApplicationFirewallConfiguration": {"enabled": False}}
        made["globalConfiguration"] = {"enableRequestBuffering": False, "enableResponseBuffering": "false"}
        for collection, members in HONOURED.items():
            place(made, collection)[0].update(members)
        self.assertEqual(self.said(made), [])

    def test_global_configuration(self) -> None:
        """What is done is not named. What is not said is as in Azure, but for requests."""
        (found,) = self.said(document() | {"globalConfiguration": {"new": True}})
        self.assertEqual("globalConfiguration.new: this member is not known here and has no effect.", found)
        asked = {"EnableRequestBuffering": "true", "enableResponseBuffering": "False"}
        asked |= {"disableDefaultServerHeaderInResponse": True}
        self.assertEqual([], self.said(document() | {"globalConfiguration": asked}))
        made = self.load(document() | {"globalConfiguration": asked}).global_configuration
        self.assertTrue(made.enable_request_buffering and made.disable_default_server_header_in_response)
        self.assertFalse(made.enable_response_buffering)
        silent = self.load(document()).global_configuration
        self.assertEqual((False, True), (silent.enable_request_buffering, silent.enable_response_buffering))

    def test_listener_for_streams(self) -> None:
        """A listener of plain TCP among those of HTTP is an error: it belongs to others."""
        made = document()
        made["httpListeners"][0]["properties"]["protocol"] = "Tcp"
        self.assertIn("'web' of 'httpListeners' is Tcp; that belongs into 'listeners'", self.refused_once(made))
