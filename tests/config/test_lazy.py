"""Tests of `gateway.config.lazy` and what uses it: values are evaluated only as far as something asks for them."""

from __future__ import annotations

from typing import Any

from tests.config.arm import gateway, ids, template
from tests.config.support import ConfigurationTestCase


class LazyTests(ConfigurationTestCase):
    """What nothing asks for is not evaluated, wherever it stands."""

    def host(self, fqdn: str, **members: Any) -> str:
        return self.load(template([gateway(fqdn=fqdn)], **members)).pools[0].members[0].host

    def test_unused_members(self) -> None:
        """A ``reference()`` in a member that is not used needs no override."""
        unknown = "[reference('nowhere').x]"
        variables = {
            "site": {"host": "a.test", "key": unknown, "[concat('ke', 'y2')]": "b.test"},
            "list": ["a.test", unknown],
            "made": "[createObject('host', 'a.test', 'key', reference('nowhere').x)]",
            "both": "[union(variables('made'), createObject('other', listKeys('x', '1').y))]",
            "chain": "[union(variables('both'), createObject('host', 'c.test'))]",
            "deep": "[union(createObject('a', variables('made')), createObject('a', createObject('host', 'd.test')))]",
        }
        for expression, expected in {
            "[variables('site').host]": "a.test",
            "[variables('site').KEY2]": "b.test",
            "[variables('list')[0]]": "a.test",
            "[variables('made').host]": "a.test",
            "[variables('both')['host']]": "a.test",
            "[variables('chain').host]": "c.test",
            "[variables('deep').a.host]": "d.test",
            "[if(contains(variables('both'), 'other'), 'a.test', 'x')]": "a.test",
            "[concat('h', length(variables('list')))]": "h2",
            "[createArray(reference('nowhere').x, 'a.test')[1]]": "a.test",
            "[if(empty(createObject('a', reference('nowhere'))), 'x', 'a.test')]": "a.test",
        }.items():
            self.assertEqual(self.host(expression, variables=variables), expected, expression)

    def test_unused_properties(self) -> None:
        """Members of a gateway that are not read may hold anything."""
        made = gateway()
        inner = made["properties"]
        made["properties"] = "[union(variables('p'), createObject('sku', reference('nowhere').x))]"
        document = template([made], variables={"p": inner | {"gatewayIPConfigurations": "[reference('nowhere').y]"}})
        self.assertEqual(self.load(document).listeners[0].name, "web")

    def test_used_members(self) -> None:
        """Those that are used are asked for, with place and override."""
        made = gateway()
        made["properties"]["backendAddressPools"] = (
            "[createArray(createObject('name', 'chat', 'properties', createObject('backendAddresses', "
            "createArray(createObject('fqdn', reference('site').host)))))]"
        )
        self.noted(template([made]), "properties.backendAddresses[0].fqdn: reference() of 'site' is known only in")
        self.warned("overrides 'references: {site: …}' (in [createArray(createObject('name', 'chat'")
        overrides = self.write("references: {site: {host: a.test}}")
        self.assertEqual(self.load(template([made]), overrides=overrides).pools[0].members[0].host, "a.test")

    def test_only_in_azure(self) -> None:
        """A property that the template does not set is known only in Azure."""
        address = {
            "type": "Microsoft.Network/publicIPAddresses",
            "name": "[parameters('ip')]",
            "properties": {"dnsSettings": {"domainNameLabel": "[toLower('LABEL')]"}},
        }
        document = template(
            [gateway(fqdn="[reference(parameters('ip')).dnsSettings.fqdn]"), address],
            parameters={"ip": {"type": "string", "defaultValue": "ip1"}},
        )
        self.noted(document, "'fqdn' of 'ip1' is known only in Azure")
        overrides = self.write("references: {ip1: {dnsSettings: {fqdn: a.test}}}")
        self.assertEqual(self.load(document, overrides=overrides).pools[0].members[0].host, "a.test")
        document["resources"][0] = gateway(fqdn="[reference(parameters('ip')).dnsSettings.domainNameLabel]")
        self.assertEqual(self.load(document).pools[0].members[0].host, "label")

    def test_api_version(self) -> None:
        """The version that ``reference()`` is given does not matter, nor can it fail."""
        site = {"type": "Microsoft.Web/sites", "name": "s", "properties": {"host": "a.test"}}
        for version in ("providers('Microsoft.Web', 'sites').apiVersions[0]", "reference('nowhere').x"):
            expression = f"[reference(resourceId('Microsoft.Web/sites', 's'), {version}).host]"
            document = template([site, gateway(fqdn=expression)])
            self.assertEqual(self.load(document).pools[0].members[0].host, "a.test")

    def test_children(self) -> None:
        """Resources inside of resources are found by their full names."""
        child_resource = {"type": "slots", "name": "green", "properties": {"host": "a.test"}}
        site = {"type": "Microsoft.Web/sites", "name": "s", "properties": {}, "resources": [child_resource]}
        for expression in (
            "[reference(resourceId('Microsoft.Web/sites/slots', 's', 'green')).host]",
            "[reference(concat(resourceId('Microsoft.Web/sites', 's'), '/slots/green'), '2020-01-01').host]",
        ):
            document = template([site, gateway(fqdn=expression)])
            self.assertEqual(self.load(document).pools[0].members[0].host, "a.test", expression)

    def test_names_without_values(self) -> None:
        """A resource is found although its name is made of a parameter without a value."""
        site = {"type": "Microsoft.Web/sites", "name": "[concat(parameters('p'), '-s')]", "properties": {"h": "a.test"}}
        document = template(
            [site, gateway(fqdn="[reference(concat(parameters('p'), '-s')).h]")], parameters={"p": {"type": "string"}}
        )
        self.assertEqual(self.load(document).pools[0].members[0].host, "a.test")
        document = template(
            [gateway(fqdn="[concat(parameters('p'), reference('x').y)]")], parameters={"p": {"type": "string"}}
        )
        self.noted(document, "the parameter 'p' has no value")

    def test_cycles(self) -> None:
        """What needs itself is refused at its place."""
        variables = {
            "a": {"x": "[variables('b').x]"},
            "b": "[createObject('x', variables('a').x)]",
        }
        problem = self.refused_once(template([gateway(fqdn="[variables('a').x]")], variables=variables))
        self.assertIn("a value is defined by itself (in [variables('a').x])", problem)

    def test_styles_of_ids_in_variables(self) -> None:
        """Ids that are kept in an object of variables, of which one cannot be made."""
        at = ids("resourceId")
        made = gateway()
        made["properties"]["requestRoutingRules"][0]["properties"]["backendAddressPool"] = "[variables('refs').pool]"
        variables = {
            "refs": {"pool": {"id": at("backendAddressPools", "chat")}, "nic": {"id": "[reference('nic').id]"}}
        }
        self.assertEqual(self.load(template([made], variables=variables)).rules[0].pool, "chat")
