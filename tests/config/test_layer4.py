"""Listeners, settings and rules of plain TCP and TLS in both spellings."""

from __future__ import annotations

from typing import Any

from gateway.config.model import Probe
from gateway.config.writer import write_compact
from tests.config.arm import child
from tests.config.support import ConfigurationTestCase, properties, reference

COMPACT: dict[str, Any] = {
    "listeners": [{"name": "db", "port": 5432, "protocol": "Tcp"}],
    "pools": [{"name": "db", "members": [{"host": "10.0.0.4"}]}],
    "settings": [{"name": "db", "port": 5432, "protocol": "Tcp"}],
    "rules": [{"name": "db", "listener": "db", "pool": "db", "settings": "db"}],
}


def document() -> dict[str, Any]:
    """A gateway for HTTP, and beside it one for TLS whose objects have the same names."""
    made = properties()
    made["frontendPorts"].append(child("p5432", port=5432))
    made["sslCertificates"] = [child("site", data="AAAA", password="x")]
    made["probes"] = [
        child(
            "db", protocol="Tls", interval=5, pickHostNameFromBackendSettings=True, enableProbeProxyProtocolHeader=True
        )
    ]  # fmt: skip
    made["listeners"] = [
        child(
            "web", frontendPort=reference("frontendPorts", "p5432"), protocol="tls", hostNames=["db.test", "*.db.test"],
            sslCertificate=reference("sslCertificates", "site"),
            frontendIPConfiguration=reference("frontendIPConfigurations", "public"),
        )
    ]  # fmt: skip
    made["backendSettingsCollection"] = [
        child(
            "plain", port=5433, protocol="Tls", timeout=900, hostName="db.internal", probe=reference("probes", "db"),
            enableL4ClientIpPreservation=True,
        )
    ]  # fmt: skip
    made["routingRules"] = [
        child(
            "rule", ruleType="Basic", priority=20, listener=reference("listeners", "web"),
            backendAddressPool=reference("backendAddressPools", "chat"),
            backendSettings=reference("backendSettingsCollection", "plain"),
        )
    ]  # fmt: skip
    return made


class ReadingTests(ConfigurationTestCase):
    def test_resource(self) -> None:
        """What has the name of its twin for HTTP gets another, and references find it."""
        gateway = self.load(document())
        self.assertEqual([], [each for each in gateway.not_honoured if "layer" in each or "istener" in each])
        web, db = gateway.listeners
        self.assertEqual(("Http", "web"), (web.protocol, web.name))
        self.assertEqual(
            ("Tls", 5432, ("db.test", "*.db.test"), ("site",)), (db.protocol, db.port, db.host_names, db.certificates)
        )
        settings = gateway.settings[1]
        self.assertEqual(("Tls", 5433, 900), (settings.protocol, settings.port, settings.request_timeout))
        self.assertEqual(("db.internal", "db", True), (
            settings.host_name, settings.probe, settings.enable_l4_client_ip_preservation
        ))  # fmt: skip
        rule = gateway.rules[1]
        self.assertEqual((db.name, "chat", settings.name, 20), (rule.listener, rule.pool, rule.settings, rule.priority))
        self.assertEqual(("web", "plain"), (gateway.rules[0].listener, gateway.rules[0].settings))
        (probe,) = gateway.probes
        self.assertEqual(("tcp", "Tls"), (probe.strategy, probe.protocol))
        self.assertTrue(probe.enable_probe_proxy_protocol_header)
        self.assertTrue(probe.pick_host_name_from_backend_http_settings)

    def test_converted(self) -> None:
        gateway = self.load(document())
        again = self.load(write_compact(gateway))
        self.assertEqual(gateway.model_copy(update={"not_honoured": ()}), again)

    def test_defaults(self) -> None:
        """A protocol that is not said is plain TCP in these collections."""
        made = document()
        for collection in ("listeners", "backendSettingsCollection"):
            del made[collection][0]["properties"]["protocol"]
        del made["listeners"][0]["properties"]["hostNames"]
        made["backendSettingsCollection"][0]["properties"] |= {"hostName": "", "probe": None}
        made["probes"] = []
        gateway = self.load(made)
        self.assertEqual(("Tcp", "Tcp"), (gateway.listeners[1].protocol, gateway.settings[1].protocol))

    def test_compact(self) -> None:
        gateway = self.load(
            "listeners: [{port: 5432, protocol: tcp}]\n"
            "pools: [{name: db, backends: ['10.0.0.4:5432']}]\n"
            "settings: [{name: db, protocol: tcp, timeout: 900}]\n"
            "rules: [{listener: listener1, pool: db, settings: db}]\n"
        )
        self.assertEqual(("Tcp", 900), (gateway.listeners[0].protocol, gateway.settings[0].request_timeout))

    def test_wrong_collection(self) -> None:
        for collection, protocol, words in (
            ("listeners", "Https", "'web' of 'listeners' is Https; that belongs into 'httpListeners'"),
            ("backendSettingsCollection", "Http", "that belongs into 'backendHttpSettingsCollection'"),
            ("backendHttpSettingsCollection", "Tls", "that belongs into 'backendSettingsCollection'"),
        ):
            made = document()
            made[collection][0]["properties"]["protocol"] = protocol
            self.assertTrue(any(words in each for each in self.refused(made)), words)

    def test_out_of_range(self) -> None:
        for collection, key, value, words in (
            ("backendSettingsCollection", "timeout", 0, "expected a whole number from 1 to 86400"),
            ("backendSettingsCollection", "timeout", 86401, "expected a whole number from 1 to 86400"),
            ("backendSettingsCollection", "port", 70000, "expected a whole number from 1 to 65535"),
            ("routingRules", "priority", 20001, "expected a whole number from 1 to 20000"),
            ("listeners", "protocol", "Udp", "expected one of Http, Https, Tcp, Tls"),
        ):
            made = document()
            made[collection][0]["properties"][key] = value
            self.assertTrue(any(words in each for each in self.refused(made)), (key, words))

    def test_priority(self) -> None:
        made = document()
        del made["routingRules"][0]["properties"]["priority"]
        self.assertTrue(any("rule 'rule' has no 'priority'" in each for each in self.refused(made)))

    def test_name_from_the_address(self) -> None:
        made = document()
        made["backendSettingsCollection"][0]["properties"] |= {"pickHostNameFromBackendAddress": True, "hostName": ""}
        found = self.refused_once(made)
        self.assertIn("ApplicationGatewayBackendSettingsPickHostNameFromBackendAddressNotAllowed", found)

    def test_strategy_of_a_probe(self) -> None:
        self.assertEqual("tcp", Probe.model_validate({"name": "p", "protocol": "Tls"}).strategy)
        self.assertEqual("http", Probe.model_validate({"name": "p"}).strategy)
        own = Probe.model_validate({"name": "p", "protocol": "Tcp", "strategy": "websocket"})
        self.assertEqual("websocket", own.strategy)


class SalvagedTests(ConfigurationTestCase):
    def test_missing_pool(self) -> None:
        """A rule of connections that leads nowhere does not stop the others."""
        made = document()
        made["routingRules"][0]["properties"]["backendAddressPool"] = reference("backendAddressPools", "gone")
        gateway = self.load(made)
        rule = gateway.rules[1]
        (settings,) = (item for item in gateway.settings if item.name == rule.settings)
        (pool,) = (item for item in gateway.pools if item.name == rule.pool)
        self.assertEqual(("Tcp", ()), (settings.protocol, pool.members))
        self.warned("there is no pool 'gone'")
