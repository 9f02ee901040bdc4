"""Tests of `gateway.config.linked`: templates in files beside the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.config.model import Gateway
from gateway.errors import ConfigurationError, Problem
from tests.config.arm import gateway, template
from tests.config.support import ConfigurationTestCase

_BASE = "[uri(deployment().properties.templateLink.uri, 'nested/gateway.json')]"


def linked(link: Any, name: str = "linked", **parameters: Any) -> dict[str, Any]:
    """A deployment of a linked template."""
    given = {key: {"value": value} for key, value in parameters.items()}
    return {
        "type": "Microsoft.Resources/deployments",
        "name": name,
        "properties": {"mode": "Incremental", "templateLink": link, "parameters": given},
    }


class LinkedTests(ConfigurationTestCase):
    """`load` on a template whose gateway is in another file."""

    def main(self, *resources: Any, **files: Any) -> Gateway:
        """Load a template of ``resources``; ``files``: others, ``_`` for a slash, in JSON."""
        directory = Path(self.mktemp())
        for name, document in {"main": template(list(resources)), **files}.items():
            path = directory / (name.replace("_", "/") + ".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document if isinstance(document, str) else json.dumps(document, indent=1), encoding="utf-8")
        self.warnings: list[Problem] = []
        return load(directory / "main.json", warnings=self.warnings)

    def test_relative(self) -> None:
        """By a relative path, which for a template that is linked itself starts from its own file."""
        inner = template([gateway(fqdn="[parameters('host')]")], parameters={"host": {"type": "string"}})
        made = self.main(linked({"relativePath": "nested/gateway.json"}, host="h.test"), nested_gateway=inner)
        self.assertEqual(made.pools[0].members[0].host, "h.test")
        self.assertEqual(self.warnings, [])
        outer = template([linked({"RelativePath": "../deep/gateway.json"}, host="h.test")])
        made = self.main(linked({"relativePath": "nested/all.json"}), nested_all=outer, deep_gateway=inner)
        self.assertEqual(made.pools[0].members[0].host, "h.test")

    def test_made_from_the_templates_own(self) -> None:
        """By a URI that was made from that of the template, as those with an ``_artifactsLocation`` are."""
        made = self.main(linked({"uri": _BASE}), nested_gateway=template([gateway()]))
        self.assertEqual(made.name, "gw")

    def test_outputs(self) -> None:
        """``reference()`` sees the outputs of a linked template."""
        names = template([], outputs={"host": {"type": "string", "value": "out.test"}})
        made = self.main(
            linked({"relativePath": "names.json"}, "names"),
            gateway(fqdn="[reference('names').outputs.host.value]"),
            names=names,
        )
        self.assertEqual(made.pools[0].members[0].host, "out.test")

    def test_places(self) -> None:
        """What is wrong in a linked file has the line of the link, and a path that goes on in the file."""
        inner = template([gateway(fqdn="[parameters('nope')]")])
        with self.assertRaises(ConfigurationError) as caught:
            self.main(linked({"relativePath": "nested/gateway.json"}), nested_gateway=inner)
        self.assertRegex(
            str(caught.exception.problems[0]),
            r"^line \d+: resources\[0\]\.properties\.templateLink\(nested/gateway\.json\)\.resources\[0\]\.properties"
            r"\.backendAddressPools\[0\].*fqdn: the template has no parameter 'nope'",
        )

    def test_not_followed(self) -> None:
        """What is elsewhere, not there, or no template; with no gateway besides it is why there is none."""
        for link, words in (
            ({"uri": "https://elsewhere.test/gateway.json"}, "it is not a file beside this one"),
            ({"uri": "file:///etc/x.json"}, "it is not a file beside this one"),
            ({"relativePath": "/etc/x.json"}, "it is not a file beside this one"),
            ({"relativePath": "secret.key"}, "it is not a file beside this one"),
            ({"relativePath": "none.json"}, "'none.json', cannot read the file"),
            ({"relativePath": "list.json"}, "'list.json', it is not a template"),
            ({"relativePath": "broken.json"}, "'broken.json', "),
            ({"uri": "[parameters('x')]"}, "the template has no parameter 'x'"),
            ({"id": "/templateSpecs/t"}, "it is not a file beside this one"),
        ):
            self.main(linked(link), gateway(), list="[]", broken="{")
            self.warned("a linked template is not followed: ")
            self.warned(words)
            with self.assertRaises(ConfigurationError) as caught:
                self.main(linked(link), list="[]", broken="{")
            self.assertIn(words, str(caught.exception.problems[0]))
            self.assertIn("deploys no Application Gateway", str(caught.exception.problems[-1]))

    def test_bombs(self) -> None:
        """A file that links to itself, twice; more files than anybody has."""
        again = [linked({"relativePath": "main.json"}, "a"), linked({"relativePath": "main.json"}, "b")]
        with self.assertRaises(ConfigurationError) as caught:
            self.main(*again)
        self.assertIn("nested too deeply", str(caught.exception.problems[0]))
        many = {f"f{number}": template([]) for number in range(60)}
        self.main(*[linked({"relativePath": f"{name}.json"}, name) for name in many], gateway(), **many)
        self.warned("more than 50 files are linked")
