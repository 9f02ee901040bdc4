"""Tests of `gateway.config.unknown`: values that only a deployment has, of every kind of member."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import Gateway
from gateway.config.texts import host_problem
from gateway.config.unknown import stand_in_host
from tests.config.arm import child, gateway, template
from tests.config.support import ConfigurationTestCase

X = "[parameters('x')]"


class UnknownTests(ConfigurationTestCase):
    """One member of a gateway is not known."""

    def unknown(self, words: str, *, variables: Any = None, **properties: Any) -> Gateway:
        document = template([gateway(**properties)], parameters={"x": {"type": "string"}}, variables=variables or {})
        made = self.noted(document, words)
        self.warned("the parameter 'x' has no value and no default")
        return made

    def listener(self, **changed: Any) -> list[Any]:
        made = gateway()["properties"]["httpListeners"]
        made[0]["properties"] |= changed
        return made

    def rule(self, **changed: Any) -> list[Any]:
        made = gateway()["properties"]["requestRoutingRules"]
        made[0]["properties"] |= changed
        return made

    def test_members(self) -> None:
        """A member whose address is not known is there, and down; it can be mapped."""
        name = "[concat('H_', parameters('x'), '.test')]"
        made = self.unknown("the member is 'h-x.test.invalid', which is down", fqdn=name)
        self.assertEqual(made.pools[0].members[0].host, "h-x.test.invalid")
        document = template([gateway(fqdn=X)], parameters={"x": {"type": "string"}})
        made = self.load(document, map_backends=["x.invalid=127.0.0.1:9001"])
        self.assertEqual(made.pools[0].members[0].connect_port, 9001)
        pool = [child("chat", backendAddresses=X)]
        self.assertEqual(self.unknown("it is as if it was not given", backendAddressPools=pool).pools[0].members, ())
        self.warned("pool 'chat' has no members")
        pool = [child("chat", backendAddresses=[X, {"fqdn": "a.test", "port": X}])]
        made = self.unknown("this member is left out", backendAddressPools=pool)
        self.assertEqual([(member.host, member.port) for member in made.pools[0].members], [("a.test", None)])

    def test_hosts(self) -> None:
        """Hosts of listeners and settings are names that nobody asks for."""
        made = self.unknown("'x.invalid' stands for it", httpListeners=self.listener(hostName=X))
        self.assertEqual(made.listeners[0].host_names, ("x.invalid",))
        names = ["a.test", "[concat('b.', parameters('x'))]"]
        made = self.unknown("'b.x.invalid' stands for it", httpListeners=self.listener(hostNames=names))
        self.assertEqual(made.listeners[0].host_names, ("a.test", "b.x.invalid"))
        settings = [child("plain", port=80, protocol="Http", hostName=X)]
        made = self.unknown("'x.invalid' stands for it", backendHttpSettingsCollection=settings)
        self.assertEqual(made.settings[0].host_name, "x.invalid")

    def test_what_decides(self) -> None:
        """Ports, protocols and paths are not made up: what needs them is left out, or answers 502."""
        made = self.unknown("listener 'web' is left out, and its rule", frontendPorts=[child("p80", port=X)])
        self.assertEqual((made.listeners, made.rules), ((), ()))
        self.assertEqual(self.unknown("'web' is left out, and", httpListeners=self.listener(protocol=X)).listeners, ())
        for key in ("port", "protocol", "path"):
            settings = [child("plain", **({"port": 80, "protocol": "Http"} | {key: X}))]
            made = self.unknown(
                "settings 'plain' is left out, and what leads to it answers 502", backendHttpSettingsCollection=settings
            )
            self.warned("rule 'rule' answers 502: settings 'plain' is left out")
            self.assertEqual((made.rules[0].pool, made.rules[0].settings), ("unavailable", "unavailable"))
            self.assertEqual(made.pools[-1].members, ())

    def test_what_does_not(self) -> None:
        """Everything else is as usual."""
        settings = [child("plain", port=80, protocol="Http", requestTimeout=X, cookieBasedAffinity=X)]
        document = template(
            [gateway(backendHttpSettingsCollection=settings)], parameters={"x": {"type": "string"}}
        )
        made = self.load(document)
        self.assertEqual(made.settings[0].request_timeout, 30)
        self.assertEqual(sum("as if it was not given" in item.message for item in self.warnings), 2)

    def test_probes(self) -> None:
        """A probe that cannot be made is the default one."""
        settings = [child("plain", port=80, protocol="Http", probe={"id": "health"})]
        probes = [child("health", protocol="Http", path=X, interval=30, timeout=30)]
        made = self.unknown(
            "probe 'health' is left out, and the default probe is used",
            backendHttpSettingsCollection=settings,
            probes=probes,
        )
        self.assertIsNone(made.settings[0].probe)
        self.warned("the default probe is used: probe 'health' is left out")

    def test_certificates(self) -> None:
        certificates = [child("site", data=X, password="x")]
        listener = self.listener(protocol="Https", sslCertificate={"id": "site"})
        made = self.unknown("its data is not known here", httpListeners=listener, sslCertificates=certificates)
        self.assertEqual((made.certificates[0].data, made.certificates[0].password), (None, None))

    def test_trust(self) -> None:
        """Who is trusted is not made up: nobody is."""
        odd = "[createObject('id', split(parameters('x'), '-')[3])]"
        settings = [child("plain", port=80, protocol="Https", trustedRootCertificates=[odd])]
        made = self.unknown("nothing is trusted in its place", backendHttpSettingsCollection=settings)
        self.assertEqual(made.settings[0].trusted_root_certificates, ("x",))
        self.assertIsNotNone(made.trusted_roots[0].unavailable)
        listener = self.listener(protocol="Https", sslProfile=odd)
        made = self.unknown("nothing is trusted in its place", httpListeners=listener)
        self.assertEqual((made.listeners[0].ssl_profile, made.ssl_profiles[0].name), ("x", "x"))

    def test_rules(self) -> None:
        """Priority comes last; what the rule is for is read."""
        twice = [*self.listener(), child("tls", frontendPort={"id": "p81"}, protocol="Http")]
        ports = [child("p80", port=80), child("p81", port=81)]
        rules = [*self.rule(priority=X), *self.rule(httpListener={"id": "tls"}, priority=7)]
        rules[1]["name"] = "second"
        made = self.unknown(
            "it is as if it was not given", httpListeners=twice, frontendPorts=ports, requestRoutingRules=rules
        )
        self.assertEqual([rule.priority for rule in made.rules], [8, 7])
        made = self.unknown("everything that the rule leads to is read", requestRoutingRules=self.rule(ruleType=X))
        self.assertEqual(made.rules[0].pool, "chat")

    def test_path_rules(self) -> None:
        at = {"backendAddressPool": {"id": "chat"}, "backendHttpSettings": {"id": "plain"}}
        path_map = child(
            "map",
            defaultBackendAddressPool={"id": "chat"},
            defaultBackendHttpSettings={"id": "plain"},
            pathRules=[child("a", paths=["/a/*"], **at), child("b", paths=X, **at), X],
        )
        rule = self.rule(ruleType="PathBasedRouting", urlPathMap={"id": "map"})
        made = self.unknown("path rule 'b' is left out", urlPathMaps=[path_map], requestRoutingRules=rule)
        self.warned("until then this path rule is left out")
        self.assertEqual([item.name for item in made.path_maps[0].path_rules], ["a"])

    def test_collections(self) -> None:
        """A collection, an item of one, and all of the gateway."""
        self.assertEqual(self.unknown("nothing of it is read", httpListeners=X).listeners, ())
        self.warned("there are no listeners, so nothing is served")
        items = [*self.listener(), X]
        self.assertEqual(len(self.unknown("it is left out", httpListeners=items).listeners), 1)
        document = template([gateway()], parameters={"x": {"type": "object"}})
        document["resources"][0]["properties"] = X
        self.assertEqual(self.noted(document, "nothing of it is read").listeners, ())

    def test_copies(self) -> None:
        """A loop that turns nobody knows how often turns once."""
        loop = {"name": "c", "count": "[length(parameters('x'))]"}
        document = template(
            [gateway("literal") | {"name": "[concat('g', copyIndex())]", "copy": loop}],
            parameters={"x": {"type": "array"}},
        )
        self.assertEqual(self.noted(document, "one turn of this loop is read until then").name, "g0")

    def test_names(self) -> None:
        """Names of which not even a stand-in can be made."""
        odd = "[split(parameters('x'), '-')[3]]"
        made = self.unknown("until then it is called 'x-1'", probes=[child(odd, protocol="Http", path="/")])
        self.assertEqual(made.probes[0].name, "x-1")
        document = template([gateway("literal") | {"name": odd}], parameters={"x": {"type": "string"}})
        self.assertEqual(self.noted(document, "until then it is called 'gateway'").name, "gateway")

    def test_property_copies(self) -> None:
        """Only the collection that such a loop makes is not known."""
        loop = {"name": "probes", "count": "[length(parameters('x'))]", "input": child("p", path="/")}
        document = template([gateway(copy=[loop])], parameters={"x": {"type": "array"}})
        made = self.noted(document, "resources[0].properties.probes: the parameter 'x' has no value")
        self.warned("until then nothing of it is read")
        self.assertEqual(len(made.rules), 1)

    def test_of_the_deployment(self) -> None:
        """Location, tags, tenant: made up in names, unknown elsewhere; overrides give one, or the whole object."""
        for expression, path, stand_in in (
            ("[concat('a.', resourceGroup().location, '.test')]", "resourceGroup().location", "a.local.test.invalid"),
            ("[concat(resourceGroup().name, '.test')]", "resourceGroup().name", "resource-group.test.invalid"),
            ("[concat(resourceGroup().tags.env, '.test')]", "resourceGroup().tags.env", None),
            ("[concat('a.', subscription().tenantId, '.test')]", "subscription().tenantId", None),
            ("[concat('a.', tenant().tenantId, '.test')]", "tenant().tenantId", None),
            ("[concat('a.', deployment().location, '.test')]", "deployment().location", "a.local.test.invalid"),
        ):
            document = template([gateway(fqdn=expression)])
            loaded = self.noted(document, f"{path} is known only to a deployment; give it with overrides 'references:")
            host = loaded.pools[0].members[0].host
            self.assertTrue(host.endswith(".invalid") and stand_in in (None, host), host)
            owner, _, member = path.partition(".")
            inner, _, last = member.partition(".")
            whole = {owner: {inner: {last: "dev"} if last else "dev"}}
            for references in ({path: "dev"}, whole):
                loaded = self.load(document, overrides=self.write(json.dumps({"references": references})))
                self.assertIn("dev", loaded.pools[0].members[0].host)
                self.assertEqual(self.warnings, [])
        for silent in (
            "[concat(uniqueString(resourceGroup().id, resourceGroup().location, resourceGroup().name), '.test')]",
            "[concat(guid(subscription().subscriptionId), '.test')]",
            "[concat('a', string(contains(resourceGroup().tags, 'x')), '.test')]",
        ):
            pools = [child("[concat('p-', resourceGroup().location)]", backendAddresses=[{"fqdn": silent}])]
            made = gateway(backendAddressPools=pools)
            rule = made["properties"]["requestRoutingRules"][0]["properties"]
            rule["backendAddressPool"]["id"] = "[concat('/pools/p-', resourceGroup().location)]"
            self.assertEqual(self.load(template([made])).rules[0].pool, "p-local")
            self.assertEqual(self.warnings, [])
        self.noted(template([gateway(fqdn="[concat(uniqueString(parameters('p')), '.test')]")],
                            parameters={"p": {"type": "string"}}), "the parameter 'p' has no value")  # fmt: skip

    def test_mistakes(self) -> None:
        """What is wrong stays wrong: names that are not declared, functions that are not there, types."""
        for expression, words in {
            "[parameters('y')]": "the template has no parameter 'y'",
            "[nope('x')]": "the function nope() is not known",
            "[variables('v')]": "the template has no variable 'v'",
            "[concat('a'": "an expression without its end",
            "[add('a', 1)]": "wants a whole number",
        }.items():
            document = template([gateway(fqdn=expression)], parameters={"x": {"type": "string"}})
            self.assertIn(words, self.refused_once(document))

    def test_lists_inside(self) -> None:
        """Rewrite rules, header actions, error pages and targets of which too little is known are left out."""
        known = {"headerName": "B", "headerValue": "2"}
        rules = [
            {"name": "a", "conditions": [{"variable": "var_host", "pattern": X}],
             "actionSet": {"requestHeaderConfigurations": [known]}},
            {"name": "b", "actionSet": {"requestHeaderConfigurations": [{"headerName": "A", "headerValue": X}, known]}},
        ]  # fmt: skip
        made = self.unknown("until then rewrite rule 'a' is left out", rewriteRuleSets=[child("r", rewriteRules=rules)])
        self.warned("until then this header action is left out")
        self.assertEqual([rule.name for rule in made.rewrites[0].rules], ["b"])
        self.assertEqual([header.name for header in made.rewrites[0].rules[0].request_headers], ["B"])
        pages = [{"statusCode": "HttpStatus403", "customErrorPageUrl": X},
                 {"statusCode": "HttpStatus502", "customErrorPageUrl": "https://a.test/502"}]  # fmt: skip
        made = self.unknown("until then this error page is left out", customErrorConfigurations=pages)
        self.assertEqual([page.status for page in made.error_pages], ["502"])

    def test_routing_maps(self) -> None:
        """A routing rule whose conditions are not known is left out, a distribution goes without unknown pools."""
        condition = {"conditionType": "Header", "propertyName": X, "propertyValues": ["a"]}
        leads = {"backendAddressPool": {"id": "/x/chat"}, "backendHttpSettings": {"id": "/x/plain"}}
        rules = [child("r", priority=1, advancedRoutingConditionSet={"id": "/x/c"}, **leads)]
        defaults = {"defaultBackendAddressPool": {"id": "/x/chat"}, "defaultBackendHttpSettings": {"id": "/x/plain"}}
        made = self.unknown(
            "routing rule 'r' is left out: condition set 'c' is left out",
            advancedRoutingConditionSets=[child("c", routingConditions=[condition])],
            advancedRoutingMaps=[child("m", advancedRoutingRules=rules, **defaults)],
        )
        self.assertEqual((made.condition_sets, made.routing_maps[0].rules), ((), ()))
        for pools, left in ((["/x/chat", X], ["chat"]), ([X], [])):
            targets = [child("t", weightPerServer=1, backendAddressPool={"id": pool}) for pool in pools]
            shared = gateway(
                loadDistributionPolicies=[child("d", loadDistributionTargets=targets)],
                requestRoutingRules=self.rule(ruleType="Basic", loadDistributionPolicy={"id": "/x/d"}),
            )
            document = template([shared], parameters={"x": {"type": "string"}})
            made = self.noted(document, "distribution 'd' goes without this target: there is no pool 'x'")
            self.assertEqual([target.pool for item in made.distributions for target in item.targets], left)
        self.warned("rule 'rule' answers 502: distribution 'd' is left out")

    @given(st.text(max_size=200))
    def test_stand_ins(self, text: str) -> None:
        """They are hosts, whatever they are made from."""
        made = stand_in_host(text)
        self.assertIsNone(host_problem(made))
        self.assertTrue(made.endswith("invalid"))
