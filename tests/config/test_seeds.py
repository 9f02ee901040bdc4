"""The snippets of the documents this project grew from: listeners and rules for WebSocket, as they stand there."""

from __future__ import annotations

import base64

from tests.config.support import ConfigurationTestCase

# The ids are unbalanced, and end in stray quotes and brackets, exactly as published.
LISTENERS = """\
"httpListeners": [
        {
            "name": "appGatewayHttpsListener",
            "properties": {
                "FrontendIPConfiguration": {
                    "Id": "/subscriptions/{subscriptionId/resourceGroups/{resourceGroupName/providers/Microsoft.Network/applicationGateways/{applicationGatewayName/frontendIPConfigurations/DefaultFrontendPublicIP"
                },
                "FrontendPort": {
                    "Id": "/subscriptions/{subscriptionId/resourceGroups/{resourceGroupName/providers/Microsoft.Network/applicationGateways/{applicationGatewayName/frontendPorts/appGatewayFrontendPort443'"
                },
                "Protocol": "Https",
                "SslCertificate": {
                    "Id": "/subscriptions/{subscriptionId/resourceGroups/{resourceGroupName/providers/Microsoft.Network/applicationGateways/{applicationGatewayName/sslCertificates/appGatewaySslCert1'"
                },
            }
        },
        {
            "name": "appGatewayHttpListener",
            "properties": {
                "FrontendIPConfiguration": {
                    "Id": "/subscriptions/{subscriptionId/resourceGroups/{resourceGroupName/providers/Microsoft.Network/applicationGateways/{applicationGatewayName/frontendIPConfigurations/appGatewayFrontendIP'"
                },
                "FrontendPort": {
                    "Id": "/subscriptions/{subscriptionId/resourceGroups/{resourceGroupName/providers/Microsoft.Network/applicationGateways/{applicationGatewayName/frontendPorts/appGatewayFrontendPort80'"
                },
                "Protocol": "Http",
            }
        }
    ],
"""  # noqa: E501

_RULE = """{
    "name": "<ruleName%d>",
    "properties": {
        "RuleType": "Basic",
        "httpListener": {
            "id": "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Network/applicationGateways/{applicationGatewayName}/httpListeners/%s')]"
        },
        "backendAddressPool": {
            "id": "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Network/applicationGateways/{applicationGatewayName}/backendAddressPools/ContosoServerPool')]"
        },
        "backendHttpSettings": {
            "id": "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Network/applicationGateways/{applicationGatewayName}/backendHttpSettingsCollection/appGatewayBackendHttpSettings')]"
        }
    }

}"""  # noqa: E501
RULES = f'"requestRoutingRules": [{_RULE % (1, "appGatewayHttpsListener")}, {_RULE % (2, "appGatewayHttpListener")}]'

DOCUMENT = """{
"frontendIPConfigurations": [{"name": "DefaultFrontendPublicIP"}, {"name": "appGatewayFrontendIP"}],
"frontendPorts": [
  {"name": "appGatewayFrontendPort443", "properties": {"Port": 443}},
  {"name": "appGatewayFrontendPort80", "properties": {"Port": 80}}
],
"sslCertificates": [{"name": "appGatewaySslCert1", "properties": {"data": "%s", "password": "p"}}],
"backendAddressPools": [{"name": "ContosoServerPool", "properties": {"backendAddresses": [{"ipAddress": "10.0.0.4"}]}}],
"backendHttpSettingsCollection": [
  {"name": "appGatewayBackendHttpSettings", "properties": {"Port": 80, "Protocol": "Http", "requestTimeout": 40}}
],
%s
%s
}"""


class SeedTests(ConfigurationTestCase):
    """Both snippets between the sections they need."""

    def test_loads(self) -> None:
        data = base64.b64encode(b"pfx").decode()
        gateway = self.load(DOCUMENT % (data, LISTENERS, RULES), "seed.json")
        self.assertEqual(
            [(item.name, item.port, item.protocol, item.certificates) for item in gateway.listeners],
            [
                ("appGatewayHttpsListener", 443, "Https", ("appGatewaySslCert1",)),
                ("appGatewayHttpListener", 80, "Http", ()),
            ],
        )
        self.assertEqual(
            [(rule.listener, rule.pool, rule.settings) for rule in gateway.rules],
            [
                (name, "ContosoServerPool", "appGatewayBackendHttpSettings")
                for name in ("appGatewayHttpsListener", "appGatewayHttpListener")
            ],
        )
        self.assertEqual(len(self.warnings), 1)
        self.warned("certificate 'appGatewaySslCert1' is not there: its data is a placeholder and no certificate")

    def test_snippet_alone(self) -> None:
        """Without what it refers to, every missing part is named; the snippet itself is read."""
        gateway = self.noted(LISTENERS, "there is no frontend port 'appGatewayFrontendPort443'", "snippet.json")
        self.warned("until then listener 'appGatewayHttpsListener' is left out, and its rule")
        self.assertEqual(gateway.listeners, ())

    def test_on_a_laptop(self) -> None:
        """Ports and backends mapped."""
        document = DOCUMENT % ("cGZ4", LISTENERS, RULES)
        gateway = self.load(
            document, "seed.json", map_ports=["443=8443", "80=8080"], map_backends=["10.0.0.4=127.0.0.1:9001"]
        )
        self.assertEqual([item.port for item in gateway.listeners], [8443, 8080])
        self.assertEqual(gateway.pools[0].members[0].connect_port, 9001)
