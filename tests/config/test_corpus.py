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
from gateway.config.writer import write_compact
from gateway.errors import Problem
from gateway.lifecycle.preflight import checks
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
_FINE = re.compile(r"it is in a Key Vault|its data is a placeholder|needs policyType CustomV2")
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
    "118": {"parameters": {"ingressApplicationGateway": True, "custom_vnet": True, "resourceName": "res"}},
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
    "116": {},
    "120": {},
    "136": {"parameters": {"AppGwAfdName": "x"}, "references": {"resourceGroup().location": "westeurope"}},
    "138": {"parameters": {"resourceNames": {"appService": "x"}}},
}  # fmt: skip
"""What a person would have to give for these: values that only a deployment has."""

NO_LISTENERS = {"046", "116", "120", "122"}
"""Those whose listeners are in parameters that have no values, or that have none."""


NO_CERTIFICATES = {"006", "014", "042", "050", "056", "064", "100", "102", "104", "128", "132"}
"""Those with listeners of HTTPS alone, whose certificates are in a vault, or a placeholder, or in such a parameter."""


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
        """All of them load with nothing but their own parameter files, and say what they could not honour."""
        self.assertEqual(len(self.names), 63)
        for name in self.names:
            gateway = self.read(name, None)
            self.assertEqual(gateway.listeners == (), name[:3] in NO_LISTENERS, name)
            self.assertTrue(gateway.not_honoured, name)
            self.assertEqual(self.idle(), name[:3] in NO_LISTENERS | NO_CERTIFICATES, name)
            self.assertEqual(bool(self.missing()), name[:3] in NEEDS, [name, *map(str, self.warnings)])

    def idle(self) -> bool:
        """Whether it is said that nothing is served."""
        return any(warning.severity == "idle" for warning in self.warnings)

    def missing(self) -> list[str]:
        """What the warnings say is not there, but for certificates in vaults, placeholders and suites."""
        said = re.compile(r"until then|is not there|answers 502|left out|is false of|there are no ")
        return [text for text in map(str, self.warnings) if said.search(text) and not _FINE.search(text)]

    def test_with_overrides(self) -> None:
        """Nothing is missing once the values of a deployment are given."""
        for name in self.names:
            if name[:3] in NEEDS and NEEDS[name[:3]]:
                gateway = self.read(name, NEEDS[name[:3]])
                self.assertTrue(gateway.listeners and gateway.rules, name)
                self.assertEqual(self.missing(), [], name)
                placeholder = name[:3] in NO_CERTIFICATES and "certificates" not in NEEDS[name[:3]]
                self.assertEqual(self.idle(), placeholder, name)

    def test_converted(self) -> None:
        """The compact spelling of each loads as an equal model."""
        for name in self.names:
            gateway = self.read(name, None).model_copy(update={"not_honoured": ()})
            path = self.write(write_compact(gateway), "c.yaml")
            self.assertEqual(load(path, checks=checks()).model_copy(update={"not_honoured": ()}), gateway, name)
