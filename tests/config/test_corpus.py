"""Real templates and resources, where they are at hand: a directory beside the project that is not part of it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from twisted.trial import unittest

from gateway.config import load
from gateway.config.model import Gateway
from gateway.errors import ConfigurationError, Problem
from gateway.preflight import checks
from tests.certificates import TestCA
from tests.config.support import ConfigurationTestCase, properties

_AROUND = [parent / "shared" / "corpus" / "arm" for parent in Path(__file__).resolve().parents[3:]]
CORPUS = next((path for path in _AROUND if path.exists()), _AROUND[0])

_CERTIFICATE = {
    "certData": "AAAA",
    "certPassword": "x",
    "backendIpAddress1": "10.0.0.1",
    "backendIpAddress2": "10.0.0.2",
}
_PFX = {"pfxFile": "x.pfx", "password": "x"}
_PLACEHOLDERS = {"pools": {"xx": ["10.0.0.1"]}, "settings": {"yy": {}}}
NEEDS: dict[str, dict[str, Any]] = {
    "046": {
        "parameters": {
            "applicationGatewayName": "g",
            "frontendPorts": [{"name": "p", "properties": {"port": 80}}],
            "backendAddressPools": [{"name": "b", "properties": {"backendAddresses": [{"fqdn": "b.test"}]}}],
            "backendHttpSettingsCollection": [{"name": "s", "properties": {"port": 80, "protocol": "Http"}}],
            "httpListeners": [{"name": "l", "properties": {"frontendPort": {"id": "p"}, "protocol": "Http"}}],
            "requestRoutingRules": [
                {
                    "name": "r",
                    "properties": {
                        "ruleType": "Basic",
                        "httpListener": {"id": "l"},
                        "backendAddressPool": {"id": "b"},
                        "backendHttpSettings": {"id": "s"},
                    },
                }
            ],
            "probes": [],
        }
    },
    "022": {"references": {"wordpress-containerinstance": "10.0.0.1"}},
    "038": {"references": {"HelloWorld": "10.0.0.1"}},
    "044": {"references": {"UNIQUESiteName00001": "app.test"}},
    "056": {
        "references": {"Services_NetworkInterface": "10.0.0.1"},
        "certificates": {"appGatewayFrontendCertificate": _PFX},
    },
    "084": {
        "pools": {"xx": "10.0.0.1"},
        "settings": {"yy": {"port": 80}},
        "certificates": {"ssl-certificate": _PFX, "root-certificate": {"certificateFile": "x.pem"}},
    },
    "088": _PLACEHOLDERS,
    "092": _PLACEHOLDERS,
    "098": _PLACEHOLDERS,
    "100": {"parameters": _CERTIFICATE},
    "102": {"parameters": _CERTIFICATE},
    "104": {"parameters": _CERTIFICATE},
    "114": {"references": {"variables('deployAppGw')": True}},
    "118": {"parameters": {"ingressApplicationGateway": True, "custom_vnet": True, "resourceName": "r"}},
    "128": {
        "parameters": {"mailFqdn": "mail.test", "autodiscoverFqdn": "auto.test", "backendServers": ["10.0.0.1"]},
        "certificates": {"exchange-cert": _PFX},
    },
    "130": {"parameters": {"sslCertData": "AAAA"}},
    "132": {
        "parameters": {
            "networkSettings": {"subnet": {"loadBalancerIp": "10.0.0.1"}, "namespacePrefix": "n"},
            "applicationGatewaySettings": {
                "certBlob": "AAAA", "certPassword": "x", "backendProtocol": "Https", "backendCert": "", "tier": "WAF",
            },
        }
    },
    "122": {
        "parameters": {
            "applicationGateways": [
                {"name": "g", "properties": properties(), "location": "x", "zones": [], "resourceGroupName": "r"}
            ]
        }
    },
    "134": {
        "parameters": {
            "appGatewaySSLCertificateData": "AAAA", "appGatewaySSLCertificatePassword": "x", "appGatewayName": "g",
        },
        "pools": {"myGatewayBackendPool": ["10.0.0.1:9001"]},
    },
    "136": {"parameters": {"AppGwAfdName": "x"}},
    "138": {"parameters": {"resourceNames": {"appService": "x"}}},
}  # fmt: skip
"""What a person would have to give for these: values that only a deployment has."""

REFUSED = {
    "116": "there are no listeners, so nothing would be served; add httpListeners and requestRoutingRules to it",
    "120": "there are no listeners, so nothing would be served; add httpListeners and requestRoutingRules to it",
}
"""Those that are no gateway by themselves, and why."""


class CorpusTests(ConfigurationTestCase):
    """All files that hold a gateway."""

    def setUp(self) -> None:
        if not (CORPUS / "SOURCES.tsv").exists():
            raise unittest.SkipTest(f"the corpus of templates is not at {CORPUS}")
        issued = TestCA().issue(names=["site.test"])
        self.pfx, self.pem = base64.b64decode(issued.pkcs12("x")), issued.cert_pem
        rows = [line.split("\t") for line in (CORPUS / "SOURCES.tsv").read_text(encoding="utf-8").splitlines()]
        self.names = [row[0] for row in rows if re.search(r"gateways:\d", "\t".join(row))]

    def read(self, name: str, given: dict[str, Any] | None) -> Gateway:
        parameters = CORPUS / name.replace(".json", ".parameters.json")
        overrides = None
        if given is not None:
            overrides = Path(self.write(json.dumps(given), "overrides.json"))
            (overrides.parent / "x.pfx").write_bytes(self.pfx)
            (overrides.parent / "x.pem").write_bytes(self.pem)
        self.warnings: list[Problem] = []
        return load(
            CORPUS / name,
            parameters=parameters if parameters.exists() else None,
            overrides=overrides,
            warnings=self.warnings,
            checks=checks(),
        )

    def test_as_they_stand(self) -> None:
        """At least forty load with nothing but their own parameter files."""
        loaded = []
        for name in self.names:
            try:
                loaded.append(self.read(name, None))
            except ConfigurationError as error:
                self.assertIn(name[:3], NEEDS.keys() | REFUSED.keys(), str(error))
        self.assertGreaterEqual(len(loaded), 40)
        for gateway in loaded:
            self.assertTrue(gateway.listeners and gateway.rules)

    def test_with_overrides(self) -> None:
        """Those that need values of a deployment load once they are given."""
        for name in self.names:
            if name[:3] in NEEDS:
                gateway = self.read(name, NEEDS[name[:3]])
                self.assertTrue(gateway.listeners and gateway.rules, name)

    def test_refused(self) -> None:
        """The others say why."""
        for name in self.names:
            if name[:3] in REFUSED:
                with self.assertRaises(ConfigurationError) as caught:
                    self.read(name, None)
                self.assertIn(REFUSED[name[:3]], str(caught.exception))
