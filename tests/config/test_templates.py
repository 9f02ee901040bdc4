"""Templates as people and tools write them: every part of the language that real ones use, through `load`."""

from __future__ import annotations

import json
from typing import Any

from tests.config.arm import child, deployment, gateway, template
from tests.config.support import ConfigurationTestCase


class WrittenTests(ConfigurationTestCase):
    """Templates written by hand: quickstarts, the portal's export, the CLI."""

    def host(self, document: Any, **keywords: Any) -> str:
        return self.load(document, **keywords).pools[0].members[0].host

    def test_references(self) -> None:
        """Every way to write the id of a child object."""
        for style in ("literal", "resourceId", "concat", "format", "variable"):
            variables = {"gatewayId": "[resourceId('Microsoft.Network/applicationGateways', 'gw')]"}
            loaded = self.load(template([gateway(style)], variables=variables))
            self.assertEqual((loaded.rules[0].pool, loaded.listeners[0].port), ("chat", 80), style)

    def test_portal_export(self) -> None:
        """Names as parameters, ids by concat, empty collections, secrets left out, children of other resources."""
        made = gateway("concat", "[parameters('applicationGateways_gw_name')]")
        text = json.dumps(made).replace(
            "'[parameters('applicationGateways_gw_name')]'", "parameters('applicationGateways_gw_name')"
        )
        made = json.loads(text)
        for key in ("sslCertificates", "trustedRootCertificates", "sslProfiles", "urlPathMaps", "probes", "listeners",
                    "rewriteRuleSets", "redirectConfigurations", "privateLinkConfigurations", "routingRules",
                    "backendSettingsCollection", "loadDistributionPolicies", "entraJWTValidationConfigs"):  # fmt: skip
            made["properties"][key] = []
        vnet = {
            "type": "Microsoft.Network/virtualNetworks",
            "name": "[parameters('virtualNetworks_v_name')]",
            "properties": {"subnets": []},
        }
        subnet = {
            "type": "Microsoft.Network/virtualNetworks/subnets",
            "name": "[concat(parameters('virtualNetworks_v_name'), '/default')]",
            "dependsOn": ["[resourceId('Microsoft.Network/virtualNetworks', parameters('virtualNetworks_v_name'))]"],
        }
        parameters = {
            "applicationGateways_gw_name": {"defaultValue": "gw", "type": "String"},
            "virtualNetworks_v_name": {"type": "String"},
        }
        loaded = self.load(template([vnet, subnet, made], parameters=parameters, variables={}))
        self.assertEqual((loaded.name, len(loaded.not_honoured)), ("gw", 2))

    def test_command_line_export(self) -> None:
        """``az group export``: concat over several lines, words in other cases, nulls."""
        made = gateway("concat")
        rule = made["properties"]["requestRoutingRules"][0]["properties"]
        rule["backendAddressPool"]["id"] = (
            "[concat(\r\n  resourceId('Microsoft.Network/applicationGateways', 'gw'),\n\t'/backendaddresspools/chat')]"
        )
        made["properties"]["httpListeners"][0]["properties"] |= {
            "Protocol": "http", "hostName": None, "sslCertificate": None, "hostNames": None,
        }  # fmt: skip
        del made["properties"]["httpListeners"][0]["properties"]["protocol"]
        self.assertEqual(self.load(template([made])).rules[0].pool, "chat")

    def test_comments_and_lines(self) -> None:
        """Comments, trailing commas, text over several lines, an ``apiProfile``, ``metadata`` everywhere."""
        text = json.dumps(template([gateway(fqdn="FQDN")], apiProfile="latest", metadata={"_generator": {}}), indent=1)
        text = text.replace('"FQDN"', "\"[concat('a',\n    '.',\n 'test')]\"")
        text = "/* a template\n */ " + text.replace('"port": 80\n', '"port": 80, // plain\n')
        self.assertEqual(self.load(text, "t.json").pools[0].members[0].host, "a.test")

    def text_of(self, expression: str, **members: Any) -> str | None:
        """The value of an expression where any text may stand."""
        probes = [child("p", protocol="Http", path="/", interval=30, timeout=30, match={"body": expression})]
        return self.load(template([gateway(probes=probes)], **members)).probes[0].match.body

    def test_text(self) -> None:
        """Formats, escapes, and text that only looks like an expression."""
        for expression, expected in {
            "[format('{0:D2}.{1}.test', 7, toLower('X'))]": "07.x.test",
            "[format('{0}{{x}}', 'a')]": "a{x}",
            "[concat('it''s', '.test')]": "it's.test",
            "[replace(trim(' a_test '), '_', '.')]": "a.test",
            "[join(split('a-test', '-'), '.')]": "a.test",
            "[[a.test]": "[a.test]",
            "[padLeft(string(7), 3, '0')]": "007",
            "[concat(take('abcdef', 1), '.', last(split('x/test', '/')))]": "a.test",
            "[toLower(uri('http://h/a', 'B'))]": "http://h/b",
            "[if(equals(1, 1), 'a.test', reference('nowhere').x)]": "a.test",
            "[if(not(contains('abc', 'z')), 'a.test', listKeys('x', '2020').keys[0])]": "a.test",
            "[coalesce(json('null'), null(), 'a.test')]": "a.test",
            "[dateTimeAdd('2024-01-31T00:00:00Z', 'P1D', 'yyyy-MM-dd')]": "2024-02-01",
        }.items():
            self.assertEqual(self.text_of(expression), expected, expression)

    def test_null_members(self) -> None:
        """``json('null')`` is as if the member was not there."""
        made = gateway(probes="[if(parameters('probe'), variables('probes'), json('null'))]")
        made["properties"]["backendHttpSettingsCollection"][0]["properties"]["probe"] = (
            "[if(parameters('probe'), createObject('id', concat(variables('id'), '/probes/health')), null())]"
        )
        document = template(
            [made],
            parameters={"probe": {"type": "bool", "defaultValue": False}},
            variables={
                "id": "[resourceId('Microsoft.Network/applicationGateways', 'gw')]",
                "probes": [child("health", path="/h", protocol="Http", interval=30, timeout=30)],
            },
        )
        self.assertIsNone(self.load(document).settings[0].probe)
        given = self.write({"parameters": {"probe": {"value": True}}})
        self.assertEqual(self.load(document, parameters=given).settings[0].probe, "health")

    def test_secure_parameters(self) -> None:
        """They work, and their values are never shown, wherever they end up."""
        document = template(
            [gateway(frontendPorts=[child("p80", port="[parameters('secret')]")])],
            parameters={"secret": {"type": "secureString"}},
        )
        given = self.write({"parameters": {"secret": {"value": "hunter2-and-more-than-that"}}})
        problem = self.refused_once(document, parameters=given)
        self.assertNotIn("hunter2", problem)
        self.assertIn("found '(not shown)', expected a whole number", problem)

    def test_user_functions(self) -> None:
        """The ``functions`` section, one using another."""
        functions = [
            {
                "namespace": "contoso",
                "members": {
                    "host": {
                        "parameters": [{"name": "label", "type": "string"}],
                        "output": {"type": "string", "value": "[concat(toLower(parameters('label')), '.test')]"},
                    },
                    "entry": {
                        "parameters": [{"name": "label", "type": "string"}],
                        "output": {
                            "type": "object",
                            "value": {"fqdn": "[contoso.host(parameters('label'))]"},
                        },
                    },
                },
            }
        ]
        self.assertEqual(self.text_of("[contoso.host('A')]", functions=functions), "a.test")
        self.assertEqual(self.text_of("[contoso.entry('A').fqdn]", functions=functions), "a.test")


class LoopTests(ConfigurationTestCase):
    """Copy loops of every kind."""

    def test_members(self) -> None:
        """Of properties, with an offset, with a name in another case, of nothing, inside each other."""
        pools = {
            "copy": [
                {
                    "name": "backendAddressPools",
                    "count": "[length(parameters('sites'))]",
                    "input": {
                        "name": "[if(equals(copyIndex('BackendAddressPools'), 0), 'chat', concat('pool', copyIndex("
                        "'backendAddressPools')))]",
                        "properties": {
                            "copy": [
                                {
                                    "name": "backendAddresses",
                                    "count": 2,
                                    "input": {
                                        "ipAddress": "[format('10.0.{0}.{1}', copyIndex('backendAddressPools'), "
                                        "copyIndex('backendAddresses', 4))]"
                                    },
                                }
                            ]
                        },
                    },
                },
                {"name": "probes", "count": 0, "input": {"name": "[copyIndex('probes')]"}},
            ]
        }
        made = gateway()
        del made["properties"]["backendAddressPools"]
        made["properties"] |= pools
        loaded = self.load(template([made], parameters={"sites": {"type": "array", "defaultValue": ["a", "b"]}}))
        self.assertEqual([pool.name for pool in loaded.pools], ["chat", "pool1"])
        self.assertEqual([member.host for member in loaded.pools[1].members], ["10.0.1.4", "10.0.1.5"])

    def test_variables(self) -> None:
        """Variables made by copy, at the top and inside a variable."""
        variables = {
            "copy": [
                {"name": "hosts", "count": 3, "input": "[concat('h', copyIndex('hosts', 1), '.test')]"},
            ],
            "nested": {"copy": [{"name": "ports", "count": 2, "input": "[add(8000, copyIndex('ports'))]"}]},
        }
        made = gateway(fqdn="[variables('hosts')[2]]")
        made["properties"]["backendHttpSettingsCollection"][0]["properties"]["port"] = "[variables('nested').ports[1]]"
        loaded = self.load(template([made], variables=variables))
        self.assertEqual((loaded.pools[0].members[0].host, loaded.settings[0].port), ("h3.test", 8001))

    def test_slips(self) -> None:
        """A loop that lacks something is an error where it stands; so is one that stands in no list."""
        for slip, wanted in (
            ({"name": "probes", "cuont": 2, "input": {}}, ".probes: the copy loop of 'probes' has no 'count'; it has "
             "'cuont', did you mean 'count'?"),
            ({"name": "probes", "count": 2}, ".probes: the copy loop of 'probes' has no 'input'"),
            ({"name": "probes", "count": -1, "input": {}}, ".probes: a copy loop of -1 turns; 0 to 1000 are allowed"),
            ({"count": 2, "input": {}}, ": the copy loop has no 'name'"),
            ("probes", ": 'copy' is a list of 2, expected a list of loops {name, count, input}"),
        ):  # fmt: skip
            made = gateway()
            made["properties"]["copy"] = [slip, {"name": "rewriteRuleSets", "count": 0, "input": {}}]
            self.assertIn(f"resources[0].properties{wanted}", self.refused_once(template([made])))
        made["properties"]["copy"] = {"name": "probes", "count": 2, "input": {}}
        problem = self.refused_once(template([made]))
        self.assertIn("properties.probes: a copy loop of members or variables stands in a list: write", problem)
        made = gateway() | {"copy": {"name": "x", "cuont": 2}}
        problem = self.refused_once(template([made]))
        self.assertIn("resources[0].copy: the copy loop of 'x' has no 'count'; it has 'cuont', did you", problem)
        problem = self.refused_once(template([gateway() | {"copy": [1]}]))
        self.assertIn("resources[0].copy: found a list of 1, expected a loop {name, count}", problem)

    def test_slips_of_variables(self) -> None:
        """The same, where a variable is asked for."""
        for given, wanted in (
            ([{"name": "h", "cuont": 2, "input": {}}], "the copy loop of 'h' has no 'count'"),
            ({"name": "h", "count": 2, "input": {}}, "a copy loop of members or variables stands in a list"),
            (5, "'copy' is 5, expected a list of loops {name, count, input}"),
        ):
            problem = self.refused_once(template([gateway(fqdn="[variables('h')[0]]")], variables={"copy": given}))
            self.assertIn(wanted, problem)

    def test_name_from_azure(self) -> None:
        """The name of a loop that cannot be told: one turn is read."""
        made = gateway() | {"copy": {"name": "[createObject('id', reference('x').id)]", "count": 2}}
        self.noted(template([made]), "resources[0].copy: reference() of 'x' is known only in Azure")

    def test_resources(self) -> None:
        """A loop of gateways with a name and batches; the one that the overrides name is read."""
        made = gateway(fqdn="[concat('h', copyIndex('gateways'), '.test')]") | {
            "name": "[format('gw-{0:D2}', copyIndex(1))]",
            "copy": {"name": "gateways", "count": "[parameters('n')]", "mode": "serial", "batchSize": 1},
        }
        document = template([made], parameters={"n": {"type": "int", "defaultValue": 3}})
        self.assertEqual(self.load(document).name, "gw-01")
        self.warned("holds 3 gateways (copies of resources[0]); 'gw-01' is read, not 'gw-02', 'gw-03'; overrides")
        chosen = self.load(document, overrides=self.write("gateway: GW-02"))
        self.assertEqual((chosen.name, chosen.pools[0].members[0].host), ("gw-02", "h1.test"))
        problem = self.refused_once(document, overrides=self.write("gateway: nope"))
        self.assertIn("choose the gateway 'nope', but the document has: gw-01, gw-02, gw-03", problem)


class BicepTests(ConfigurationTestCase):
    """What the Bicep compiler makes."""

    def host(self, document: Any, **keywords: Any) -> str:
        return self.load(document, **keywords).pools[0].members[0].host

    def test_symbolic_names(self) -> None:
        """``languageVersion`` 2.0, resources that only exist, conditions, types with definitions."""
        document = template(
            {
                "vault": {
                    "existing": True,
                    "type": "Microsoft.KeyVault/vaults",
                    "apiVersion": "2023-07-01",
                    "name": "[parameters('name')]",
                },
                "other": gateway(name="other") | {"existing": True},
                "never": gateway(name="never") | {"condition": "[parameters('isProduction')]"},
                "appGateway": gateway(fqdn="[coalesce(tryGet(parameters('site'), 'host'), 'a.test')]")
                | {"dependsOn": ["vault"]},
            },
            languageVersion="2.0",
            definitions={
                "siteType": {
                    "type": "object",
                    "properties": {"host": {"type": "string", "nullable": True}},
                    "nullable": True,
                }
            },
            parameters={
                "site": {"$ref": "#/definitions/siteType"},
                "name": {"type": "string"},
                "isProduction": {"type": "bool", "defaultValue": False},
                "tags": {"type": "object", "nullable": True},
            },
        )
        loaded = self.load(document)
        self.assertEqual((loaded.name, loaded.pools[0].members[0].host), ("gw", "a.test"))
        given = self.write({"parameters": {"site": {"value": {"host": "b.test"}}}})
        self.assertEqual(self.host(document, parameters=given), "b.test")

    def test_made_of_secrets(self) -> None:
        """Objects, what functions make of a secret, also by way of a variable or a nested deployment."""
        secure = {"s": {"type": "secureString", "defaultValue": "Hunter2-Hunter2"},
                  "o": {"type": "secureObject", "defaultValue": {"in": {"k": "Nested Words 99"}}},
                  "t": {"type": "secureString", "defaultValue": ""}}  # fmt: skip
        variables = {"u": "[toUpper(parameters('s'))]", "v": {"w": "[base64(parameters('o').in.k)]"}}
        for expression, hidden in (
            ("[concat(parameters('o').in.k, ' x')]", "'(not shown) x'"),
            ("[concat(variables('u'), ' x')]", "'(not shown) x'"),
            ("[concat('a b', variables('v').w)]", "'a b(not shown)'"),
            ("[concat(substring(parameters('s'), 0, 9), ' x')]", "'(not shown) x'"),
            ("[int(base64(concat('u:', parameters('s'))))]", "found '(not shown)'"),
            ("[concat(if(equals(parameters('s'), ''), 'some', 'other words'), ' x')]", "'other words x'"),
            ("[concat('https:// ', toUpper(concat('words', parameters('t'))))]", "'https:// WORDS'"),
        ):
            made = gateway(fqdn=expression)
            problem = "\n".join(self.refused(template([made], parameters=secure, variables=variables)))
            self.assertIn(hidden, problem, expression)
            for word in ("Hunter2", "HUNTER2", "Words 99", "TmVzdGVk", "SHVudGV"):
                self.assertNotIn(word, problem.partition(" (from")[0])
        for function in ("parameters('p').in.k", "my.f(parameters('p').in.k)"):
            inner = template(
                [gateway(fqdn=f"[concat({function}, ' x')]")],
                parameters={"p": {"type": "secureObject"}},
                functions=[{"namespace": "my", "members": {"f": {
                    "parameters": [{"name": "x"}], "output": {"value": "[toLower(parameters('x'))]"}}}}],
            )  # fmt: skip
            outer = deployment("d", inner, p="[parameters('o')]")
            problem = self.refused_once(template([outer], parameters=secure))
            self.assertIn("found '(not shown) x'", problem)

    def test_secure_type(self) -> None:
        """A parameter is secure where its type is."""
        document = template(
            [gateway(frontendPorts=[child("p80", port="[parameters('s')]")])],
            definitions={"secret": {"type": "secureString"}},
            parameters={"s": {"$ref": "#/definitions/secret", "defaultValue": "hunter2!"}},
        )
        self.assertNotIn("hunter2", self.refused_once(document))

    def test_module(self) -> None:
        """A module with defaults of its own: null asks for them; parameters may be whole expressions."""
        inner = template(
            {"gw": gateway(fqdn="[parameters('host')]") | {"name": "[parameters('name')]"}},
            languageVersion="2.0",
            parameters={
                "name": {"type": "string"},
                "host": {"type": "string", "defaultValue": "default.test"},
                "extra": {"type": "array", "nullable": True},
            },
        )
        for host, expected in (
            ({"value": "[parameters('site')]"}, "a.test"),
            ({"value": None}, "default.test"),
            ("[if(true(), createObject('value', 'b.test'), createObject('value', null()))]", "b.test"),
            ("[if(empty(parameters('site')), createObject('value', 'x'), createObject('value', null()))]",
             "default.test"),
        ):  # fmt: skip
            module = deployment("[format('{0}-gw', uniqueString(deployment().name))]", inner, name="m")
            module["properties"]["parameters"]["host"] = host
            document = template({"module": module}, parameters={"site": {"type": "string", "defaultValue": "a.test"}})
            self.assertEqual(self.host(document), expected, host)

    def test_vault_parameter(self) -> None:
        """A secret that a module gets from a vault is asked for by name."""
        inner = template([gateway(fqdn="[parameters('host')]")], parameters={"host": {"type": "securestring"}})
        vault = {"reference": {"keyVault": {"id": "/vaults/v"}, "secretName": "s"}}
        for given in (vault, "[createObject('reference', createObject('keyVault', 'x'))]"):
            module = deployment("m", inner)
            module["properties"]["parameters"]["host"] = given
            self.noted(template([module]), "the parameter 'host' comes from a Key Vault")

    def test_module_outputs(self) -> None:
        """Outputs of one module are parameters of another, by name, id, symbol, and through copies."""
        site = template(
            [],
            parameters={"label": {"type": "string"}},
            outputs={
                "host": {"type": "string", "value": "[format('{0}.test', parameters('label'))]"},
                "hosts": {"type": "array", "copy": {"count": 2, "input": "[concat('h', copyIndex(), '.test')]"}},
                "unknown": {"type": "string", "value": "[reference('nowhere').x]"},
            },
        )
        inner = template([gateway(fqdn="[parameters('host')]")], parameters={"host": {"type": "string"}})
        for expression, expected in {
            "[reference('site').outputs.host.value]": "a.test",
            "[reference(resourceId('Microsoft.Resources/deployments', 'site-deployment')).outputs.host.value]": (
                "a.test"
            ),
            "[reference(extensionResourceId(resourceGroup().id, 'Microsoft.Resources/deployments', 'site-deployment'), "
            "'2022-09-01').outputs['host'].value]": "a.test",
            "[reference('site', '2022-09-01', 'full').properties.outputs.host.value]": "a.test",
            "[reference('site').outputs.hosts.value[1]]": "h1.test",
            "[first(reference('site').outputs.hosts.value)]": "h0.test",
            "[tryGet(reference('site').outputs, 'host').value]": "a.test",
            "[references('many')[1].outputs.host.value]": "s1.test",
            "[reference('many[0]').outputs.host.value]": "s0.test",
            "[map(references('many'), lambda('m', lambdaVariables('m').outputs.host.value))[1]]": "s1.test",
        }.items():
            document = template(
                {
                    "site": deployment("site-deployment", site, label="a"),
                    "many": deployment("[concat('many-', copyIndex())]", site, label="[concat('s', copyIndex())]")
                    | {"copy": {"name": "many", "count": "[length(range(0, 2))]"}},
                    "gw": deployment("gw", inner, host=expression),
                },
                languageVersion="2.0",
            )
            self.assertEqual(self.host(document), expected, expression)

    def test_outer_scope(self) -> None:
        """Expressions of a deployment without a scope of its own see the names around it."""
        inner = template([gateway(fqdn="[variables('host')]")], variables={"host": "inner.test"})
        module = deployment("m", inner, "outer")
        self.assertEqual(self.host(template([module], variables={"host": "outer.test"})), "outer.test")
        del module["properties"]["expressionEvaluationOptions"]
        self.assertEqual(self.host(template([module], variables={"host": "outer.test"})), "outer.test")

    def test_deep(self) -> None:
        """Modules in modules, each passing a parameter on."""
        inner = template([gateway(fqdn="[parameters('p')]")], parameters={"p": {"type": "string"}})
        for number in range(5):
            module = deployment(f"m{number}", inner, p=f"[concat(parameters('p'), '{number}')]")
            inner = template([module], parameters={"p": {"type": "string", "defaultValue": "h"}})
        self.assertEqual(self.host(inner), "h43210")

    def test_lambdas(self) -> None:
        """Collections that are made by map, filter, reduce, sort, toObject, items."""
        made = gateway(
            backendAddressPools="[map(filter(parameters('pools'), lambda('p', "
            "not(empty(lambdaVariables('p').hosts)))), lambda('p', "
            "createObject('name', lambdaVariables('p').name, 'properties', createObject('backendAddresses', "
            "map(lambdaVariables('p').hosts, lambda('h', createObject('fqdn', lambdaVariables('h'))))))))]"
        )
        made["properties"]["backendHttpSettingsCollection"][0]["properties"]["port"] = (
            "[reduce(createArray(1, 2), 8000, lambda('a', 'b', add(lambdaVariables('a'), lambdaVariables('b'))))]"
        )
        made["properties"]["frontendPorts"] = (
            "[map(items(createObject('p80', 80)), lambda('i', createObject('name', lambdaVariables('i').key, "
            "'properties', createObject('port', lambdaVariables('i').value))))]"
        )
        pools = [{"name": "none", "hosts": []}, {"name": "chat", "hosts": ["a.test", "b.test"]}]
        loaded = self.load(template([made], parameters={"pools": {"type": "array", "defaultValue": pools}}))
        self.assertEqual([(pool.name, len(pool.members)) for pool in loaded.pools], [("chat", 2)])
        self.assertEqual((loaded.settings[0].port, loaded.listeners[0].port), (8003, 80))

    def test_built_properties(self) -> None:
        """All of ``properties`` from union and createObject, as the registry's modules have it."""
        made = gateway()
        names = [key for key in made["properties"] if key != "sku"]
        parameters = {key: {"type": "array", "defaultValue": made["properties"][key]} for key in names}
        pairs = ", ".join(f"'{key}', parameters('{key}')" for key in names)
        made["properties"] = (
            f"[union(createObject({pairs}, 'sslPolicy', if(not(equals(parameters('policy'), 'Predefined')), "
            "createObject('policyType', 'CustomV2', 'minProtocolVersion', 'TLSv1_3'), null()), 'firewallPolicy', "
            "if(false(), createObject('id', 'x'), "
            "null())), if(parameters('fips'), createObject('enableFips', true()), createObject()))]"
        )
        parameters |= {
            "policy": {"type": "string", "defaultValue": "Predefined"},
            "fips": {"type": "bool", "defaultValue": False},
        }
        loaded = self.load(template([made], parameters=parameters))
        self.assertEqual(loaded.rules[0].settings, "plain")
        self.assertIsNone(loaded.ssl_policy)
        given = self.write({"parameters": {"policy": {"value": "Custom"}, "fips": {"value": True}}})
        loaded = self.load(template([made], parameters=parameters), parameters=given)
        self.assertEqual("TLSv1_3", loaded.ssl_policy and loaded.ssl_policy.min_protocol_version)
        self.assertIn("enableFips: ", str(loaded.not_honoured))


class ModuleTests(ConfigurationTestCase):
    """Modules in loops, as Bicep compiles them."""

    def test_unknown_items(self) -> None:
        """What is not known of one item is not known of that one only; resources are told apart by their names."""
        site = {"type": "Microsoft.Web/sites", "name": "[parameters('n')]", "properties": {}}
        module = template(
            {"site": site}, languageVersion="2.0", parameters={"n": {"type": "string"}},
            outputs={"host": {"type": "string", "value": "[reference('site').defaultHostName]"}},
        )  # fmt: skip
        made = gateway()
        made["properties"]["backendAddressPools"][0]["properties"]["backendAddresses"] = (
            "[map(filter(parameters('hosts'), lambda('h', not(empty('x')))), "
            "lambda('h', createObject('fqdn', lambdaVariables('h'))))]"
        )
        inner = template({"gw": made}, languageVersion="2.0", parameters={"hosts": {"type": "array"}})
        names = ["[reference('web[0]').outputs.host.value]", "[reference('web[1]').outputs.host.value]", "c.test"]
        web = deployment("[format('web-{0}', copyIndex())]", module, n="[format('s{0}', copyIndex())]")
        document = template(
            {"web": web | {"copy": {"name": "web", "count": 2}}, "agw": deployment("agw", inner, hosts=names)},
            languageVersion="2.0",
        )
        hosts = [member.host for member in self.load(document).pools[0].members]
        self.assertEqual(hosts, ["s0.defaulthostname.invalid", "s1.defaulthostname.invalid", "c.test"])
        overrides = self.write({"references": {"s0": {"defaultHostName": "zero.test"}, "s1": "one.test"}})
        hosts = [member.host for member in self.load(document, overrides=overrides).pools[0].members]
        self.assertEqual((hosts, self.warnings), (["zero.test", "one.test", "c.test"], []))

    def test_deployed_again(self) -> None:
        """A module that a loop deploys several times under the same name is one gateway."""
        again = deployment("[format('d{0}', copyIndex())]", template([gateway()]))
        self.load(template([again | {"copy": {"name": "c", "count": 2}}]))
        self.assertEqual(self.warnings, [])

    def test_parameters_without_value(self) -> None:
        """What a deployment gives is an object with a value; a list of them, or a loop of them, is none."""
        inner = template([gateway(fqdn="[parameters('ip')]")], parameters={"ip": {"type": "string"}})
        for slip in ("[parameters('site')]", 5, ["a"], {"valeu": 5}):
            made = deployment("d", inner)
            made["properties"]["parameters"] = {"ip": slip}
            document = template([made], parameters={"site": {"type": "string", "defaultValue": "a.test"}})
            problem = self.refused_once(document)
            self.assertIn(".fqdn: resources[0].properties.parameters.ip (line ", problem)
            self.assertIn("has no 'value'; a deployment gives its parameters as 'ip: {\"value\": …}'", problem)
        made["properties"]["parameters"] = 5
        self.assertIn("resources[0].properties.parameters: the parameters of this deployment: found 5, expected",
                      self.refused(template([made]))[0])  # fmt: skip
        made["properties"]["parameters"] = {"copy": [{"name": "ip", "count": "[x", "input": {}}]}
        self.assertIn("copy() wants a whole number, found '[x'", self.refused_once(template([made])))
