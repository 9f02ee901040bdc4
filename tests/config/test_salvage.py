"""Tests of `gateway.config.salvage`: references of ARM documents that lead nowhere."""

from __future__ import annotations

from typing import Any

from gateway.config.model import Gateway
from gateway.config.tls_policies import policy_of
from gateway.lifecycle.preflight import checks
from gateway.listener.certificate_checks import load_terms
from tests.config.arm import child
from tests.config.support import ConfigurationTestCase, properties


class SalvageTests(ConfigurationTestCase):
    """Each is a warning that says what is done; everything else works."""

    def rule(self, **changed: Any) -> dict[str, Any]:
        document = properties()
        document["requestRoutingRules"][0]["properties"] |= changed
        return document

    def leads_nowhere(self, document: Any, words: str) -> Gateway:
        gateway = self.noted(document, words)
        (rule,) = gateway.rules
        self.assertEqual((rule.pool, rule.settings, rule.redirect, rule.path_map), ("unavailable",) * 2 + (None, None))
        self.assertEqual(gateway.pools[-1].name, "unavailable")
        self.assertFalse(any("pool 'unavailable'" in problem.message for problem in self.warnings))
        return gateway

    def test_targets(self) -> None:
        """A rule whose pool, settings, redirect or path map is not there, and one that has none."""
        gone = {"id": "/x/gone"}
        self.leads_nowhere(self.rule(backendAddressPool=gone), "rule 'rule' answers 502: there is no pool 'gone'")
        self.leads_nowhere(self.rule(backendHttpSettings=gone), "rule 'rule' answers 502: there is no settings 'gone'")
        self.leads_nowhere(self.rule(ruleType="PathBasedRouting", urlPathMap=gone), "there is no path map 'gone'")
        document = self.rule(redirectConfiguration=gone)
        for key in ("backendAddressPool", "backendHttpSettings"):
            del document["requestRoutingRules"][0]["properties"][key]
        self.leads_nowhere(document, "there is no redirect 'gone'")
        nothing = self.rule(backendAddressPool=None, backendHttpSettings=None)
        self.leads_nowhere(nothing, "rule 'rule' answers 502: it leads nowhere")
        self.leads_nowhere(self.rule(backendHttpSettings=None), "it has a pool but no settings")

    def test_name_taken(self) -> None:
        """A pool of one's own with the name of the stand-in keeps it."""
        document = self.rule(backendAddressPool={"id": "gone"})
        document["backendAddressPools"][0]["name"] = "unavailable"
        gateway = self.load(document)
        self.assertEqual(gateway.rules[0].pool, "unavailable-")

    def test_path_maps(self) -> None:
        """Path rules and defaults, each by itself."""
        document = self.rule(ruleType="PathBasedRouting", urlPathMap={"id": "map"})
        at = {"backendAddressPool": {"id": "chat"}, "backendHttpSettings": {"id": "plain"}}
        lost = at | {"backendAddressPool": {"id": "gone"}}
        document["urlPathMaps"] = [
            child("map", pathRules=[child("a", paths=["/a/*"], **at), child("b", paths=["/b/*"], **lost)])
        ]
        gateway = self.noted(document, "path rule 'b' answers 502: there is no pool 'gone'")
        self.warned("the default of path map 'map' answers 502: it leads nowhere")
        (path_map,) = gateway.path_maps
        self.assertEqual(path_map.default_pool, "unavailable")
        self.assertEqual([rule.pool for rule in path_map.path_rules], ["chat", "unavailable"])

    def test_rules_without_listener(self) -> None:
        document = self.rule(httpListener={"id": "gone"})
        gateway = self.noted(document, "rule 'rule' is left out: there is no listener 'gone' (there are: web)")
        self.warned("there are no rules, so nothing is served")
        self.assertEqual([listener.name for listener in gateway.listeners], ["web"])

    def test_redirects(self) -> None:
        document = self.rule(redirectConfiguration={"id": "away"})
        for key in ("backendAddressPool", "backendHttpSettings"):
            del document["requestRoutingRules"][0]["properties"][key]
        document["redirectConfigurations"] = [child("away", redirectType="Found", targetListener={"id": "gone"})]
        self.leads_nowhere(document, "redirect 'away' is left out, and what leads to it answers 502: there is no")
        self.warned("rule 'rule' answers 502: redirect 'away' is left out")

    def test_certificates(self) -> None:
        """None of that name, none at all, and roots."""
        document = properties()
        document["httpListeners"][0]["properties"] |= {"protocol": "Https", "sslCertificate": {"id": "site"}}
        gateway = self.noted(document, "handshakes of listener 'web' that need it fail: there is no certificate 'site'")
        self.warned("httpListeners[0].properties.sslCertificate.id: ")
        self.assertEqual([problem for problem in self.warnings if problem.path.startswith("certificates")], [])
        self.assertEqual(gateway.certificates[0].name, "site")
        del document["httpListeners"][0]["properties"]["sslCertificate"]
        gateway = self.noted(document, "httpListeners[0]: listener 'web' is Https and has no certificate: its TLS")
        self.assertEqual(gateway.listeners[0].certificates, ("unavailable",))
        document = properties()
        document["backendHttpSettingsCollection"][0]["properties"] |= {
            "protocol": "Https",
            "trustedRootCertificates": [{"id": "root"}],
        }
        gateway = self.noted(document, "trustedRootCertificates[0].id: backends that are verified against it are down:")
        self.warned("there is no trusted root 'root' (there are none); correct the id, add what it names or let")
        self.assertEqual(gateway.settings[0].trusted_root_certificates, ("root",))

    def secure(self, **members: Any) -> dict[str, Any]:
        document = properties() | members
        document["httpListeners"][0]["properties"] |= {"protocol": "Https", "sslProfile": {"id": "profile"}}
        return document

    def test_profiles(self) -> None:
        """A profile that is not there trusts nobody, rather than everybody; so does one whose authorities are not."""
        gateway = self.noted(self.secure(), "answers 400, for the profile says who is trusted: there is no profile")
        (profile,), (authority,) = gateway.ssl_profiles, gateway.trusted_client_certificates
        self.assertEqual(profile.trusted_client_certificates, (authority.name,))
        self.assertIsNotNone(authority.unavailable)
        profiles = [child("profile", trustedClientCertificates=[{"id": "ca"}])]
        gateway = self.noted(
            self.secure(sslProfiles=profiles),
            "clients with certificates of it get 400 where profile 'profile' applies: there is no trusted client "
            "certificate 'ca'",
        )
        self.assertEqual(gateway.ssl_profiles[0].trusted_client_certificates, ("ca",))
        self.assertIsNotNone(load_terms(gateway, {})["web"].authorities)
        placeholder = [child("ca", data="****")]
        gateway = self.load(self.secure(sslProfiles=profiles, trustedClientCertificates=placeholder), checks=checks())
        reason = gateway.trusted_client_certificates[0].unavailable
        self.assertEqual(reason, "its data is a placeholder and no certificate")

    def test_long_names(self) -> None:
        """What nothing has may have a longer name than anything can have."""
        name = "n" * 90
        document = self.secure(sslProfiles=[child("profile", trustedClientCertificates=[{"id": name}])])
        document["httpListeners"][0]["properties"]["sslCertificate"] = {"id": name}
        document["backendHttpSettingsCollection"][0]["properties"]["trustedRootCertificates"] = [{"id": name}]
        gateway = self.noted(document, f"there is no certificate '{name[:80]}…' (there are none); correct the id, add")
        self.warned(f"there is no trusted root '{name[:80]}…'")
        self.warned(f"there is no trusted client certificate '{name[:80]}…'")
        self.assertEqual(gateway.listeners[0].certificates, ("unavailable",))
        self.assertEqual(gateway.settings[0].trusted_root_certificates, ("unavailable",))
        self.assertEqual(gateway.ssl_profiles[0].trusted_client_certificates, ("unavailable",))
        document["httpListeners"][0]["properties"]["sslProfile"] = {"id": name}
        gateway = self.noted(document, "for the profile says who is trusted: there is no profile 'nn")
        self.assertEqual(gateway.listeners[0].ssl_profile, "unavailable")
        self.assertEqual(gateway.ssl_profiles[1].trusted_client_certificates, ("unavailable",))

    def test_policies(self) -> None:
        """Without a name the policy is the usual one; suites that cannot be agreed on are left out."""
        document = properties() | {"sslPolicy": {"disabledSslProtocols": ["TLSv1_0"]}}
        self.assertIsNone(self.noted(document, "sslPolicy: no policy is named: the gateway's own applies").ssl_policy)
        document["sslPolicy"]["disabledSslProtocols"] = ["TLSv1_0", "TLSv1_1", "TLSv1_2"]
        self.assertIn("sslPolicy.disabledSslProtocols: all of TLSv1_0, TLSv1_1 and", self.refused_once(document))
        for least, disabled, told, versions in (
            ("TLSv1_2", [], "the gateway's own policy applies", None),
            ("TLSv1_0", ["TLSv1_0"], "the gateway's own policy applies", None),
            ("TLSv1_3", [], "only TLS 1.3 is spoken", ("TLSv1_3", "TLSv1_3")),
        ):
            document["sslPolicy"] = {"minProtocolVersion": least, "disabledSslProtocols": disabled}
            made = self.noted(document, f"sslPolicy: neither policyType nor policyName is given: {told}").ssl_policy
            self.assertEqual(versions, made and policy_of(made)[:2])
        document["sslPolicy"] = {"minProtocolVersion": "TLSv1_2", "disabledSslProtocols": ["TLSv1_2"]}
        self.assertIn("sslPolicy.policyName: it is missing", "".join(self.refused(document)))
        suites = ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]
        custom = {"policyType": "Custom", "minProtocolVersion": "TLSv1_2", "cipherSuites": suites}
        document["sslPolicy"] = custom
        gateway = self.noted(document, "sslPolicy.cipherSuites: TLS_AES_128_GCM_SHA256: left out, for TLS 1.3 needs")
        self.assertEqual(gateway.ssl_policy and gateway.ssl_policy.cipher_suites, (suites[1],))
        document["sslPolicy"] = {"policyName": "AppGwSslPolicy2022"}
        self.assertIn("did you mean 'AppGwSslPolicy20220101'?", self.refused_once(document))

    def test_same_requests(self) -> None:
        """Of two listeners that would get the same requests the first is kept, with its rule."""
        document = properties()
        document["httpListeners"].append(properties()["httpListeners"][0] | {"name": "again"})
        rule = self.rule(httpListener={"id": "again"}, priority=20)["requestRoutingRules"][0] | {"name": "second"}
        document["requestRoutingRules"].append(rule)
        gateway = self.noted(document, "listener 'again' is left out: listener 'web' has port 80 too")
        self.warned("rule 'second' is left out: listener 'again' is left out")
        self.assertEqual([item.name for item in gateway.rules], ["rule"])
        document["httpListeners"][1]["properties"] = document["httpListeners"][1]["properties"] | {"hostName": "a.test"}
        self.assertEqual(len(self.load(document).listeners), 2)

    def test_places(self) -> None:
        """What comes after something that is left out is still shown where it stands."""
        document = properties()
        document["httpListeners"].insert(0, properties()["httpListeners"][0] | {"name": "again"})
        document["httpListeners"][1]["properties"] = document["httpListeners"][1]["properties"] | {"hostName": "a b"}
        document["httpListeners"].insert(1, properties()["httpListeners"][0] | {"name": "twin"})
        found = self.refused(document)
        self.assertTrue(any("httpListeners[2].properties.hostName: found 'a b'" in text for text in found), found)

    def test_own_yaml(self) -> None:
        """All of this is an error in one's own compact YAML; that there is nothing to serve is not, if it says so."""
        text = """\
listeners: [{name: web, port: 80}, {name: tls, port: 443, protocol: Https}]
pools: [{name: chat, backends: [a.test]}]
rules: [{listener: web, pool: gone}]
"""
        problems = "\n".join(self.refused(text))
        self.assertIn("there is no pool 'gone'", problems)
        self.assertIn("listener 'tls' is Https and has no certificate", problems)
        self.assertIn("there are no listeners", self.refused_once("pools: []"))
        self.assertIn("there are no listeners", self.refused_once("listeners:\npools: []"))
        self.noted("listeners: []\nrules: []", "there are no listeners, so nothing is served")
