"""Helpers of the configuration tests: documents given as text, and what comes of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from twisted.trial import unittest

from gateway.config import load
from gateway.config.model import Gateway
from gateway.errors import ConfigurationError, Problem

__all__ = ["ConfigurationTestCase", "properties", "reference"]


def reference(collection: str, name: str) -> dict[str, str]:
    """A reference as an exported gateway has it."""
    base = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationGateways/gw"
    return {"id": f"{base}/{collection}/{name}"}


_PROPERTIES: dict[str, Any] = {
    "frontendIPConfigurations": [{"name": "public", "properties": {}}],
    "frontendPorts": [{"name": "p80", "properties": {"port": 80}}],
    "backendAddressPools": [
        {"name": "chat", "properties": {"backendAddresses": [{"ipAddress": "10.0.0.4"}, {"fqdn": "b.test"}]}}
    ],
    "backendHttpSettingsCollection": [
        {"name": "plain", "properties": {"port": 8000, "protocol": "Http", "requestTimeout": 60}}
    ],
    "httpListeners": [
        {
            "name": "web",
            "properties": {
                "frontendIPConfiguration": reference("frontendIPConfigurations", "public"),
                "frontendPort": reference("frontendPorts", "p80"),
                "protocol": "Http",
            },
        }
    ],
    "requestRoutingRules": [
        {
            "name": "rule",
            "properties": {
                "ruleType": "Basic",
                "priority": 10,
                "httpListener": reference("httpListeners", "web"),
                "backendAddressPool": reference("backendAddressPools", "chat"),
                "backendHttpSettings": reference("backendHttpSettingsCollection", "plain"),
            },
        }
    ],
}


def properties() -> dict[str, Any]:
    """A fresh copy of a small, complete ``properties`` document: one listener, one pool, one rule."""
    return copy.deepcopy(_PROPERTIES)


class ConfigurationTestCase(unittest.SynchronousTestCase):
    """`load` on documents given as text or as values."""

    def write(self, document: Any, name: str = "") -> str:
        """Write a document to a file of its own; values become JSON."""
        text = document if isinstance(document, str) else json.dumps(document, indent=1)
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        path = directory / (name or ("c.yaml" if isinstance(document, str) else "c.json"))
        path.write_text(text, encoding="utf-8")
        return str(path)

    def load(self, document: Any, name: str = "", **keywords: Any) -> Gateway:
        self.warnings: list[Problem] = []
        return load(self.write(document, name), warnings=self.warnings, **keywords)

    def refused(self, document: Any, name: str = "", **keywords: Any) -> list[str]:
        """The errors of a document that must not load, as a person reads them."""
        with self.assertRaises(ConfigurationError) as caught:
            self.load(document, name, **keywords)
        return [str(problem) for problem in caught.exception.problems]

    def refused_once(self, document: Any, name: str = "", **keywords: Any) -> str:
        """The only error of a document."""
        problems = self.refused(document, name, **keywords)
        self.assertEqual(len(problems), 1, problems)
        return problems[0]

    def noted(self, document: Any, words: str, name: str = "", **keywords: Any) -> Gateway:
        """The gateway of a document that loads, with one warning that has these words."""
        gateway = self.load(document, name, **keywords)
        found = [text for text in map(str, self.warnings) if words in text]
        self.assertEqual(len(found), 1, (words, [*map(str, self.warnings)]))
        return gateway

    def warned(self, words: str) -> None:
        """There is a warning with these words."""
        self.assertTrue(any(words in str(problem) for problem in self.warnings), [*map(str, self.warnings)])
