"""The page `docs/configuration.md`: made from the model, up to date, and with examples that load."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import yaml

from gateway.config import load
from gateway.config.overrides_file import OverridesFile
from gateway.lifecycle.preflight import checks
from gateway.routing.variables import SERVER_VARIABLES
from tests.config.support import ConfigurationTestCase

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_configuration.py"


class DocumentationTests(ConfigurationTestCase):
    """`docs/make_configuration.py`."""

    def script(self) -> Any:
        spec = importlib.util.spec_from_file_location("make_configuration", SCRIPT)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_up_to_date(self) -> None:
        """Run ``python docs/make_configuration.py`` where this fails."""
        self.assertEqual(self.script().main(["--check"]), 0)

    def test_server_variables(self) -> None:
        """Each has its line."""
        self.assertEqual(sorted([*SERVER_VARIABLES, "cookie_NAME"]), sorted(self.script().VARIABLES))

    def test_every_example(self) -> None:
        """The sections' examples together are one configuration."""
        path = Path(self.write("\n".join(self.script().EXAMPLES.values())))
        for name in ("site.pem", "site.key", "internal.pem", "sorry.html"):
            (path.parent / name).write_text("x")
        self.assertEqual(len(load(path).rules), 3)

    def test_overrides_example(self) -> None:
        page = self.script().page()
        (example,) = re.findall(r"```yaml\n(ports: .*?)```", page, re.DOTALL)
        document = {key: value for key, value in yaml.safe_load(example).items()}
        document["ports"] = {str(key): value for key, value in document["ports"].items()}
        self.assertEqual(OverridesFile.model_validate(document).ports, {"80": 8080, "443": 8443})

    def test_what_templates_cannot_say(self) -> None:
        """The second example of an overrides file, on a configuration that has the objects it names."""
        (example,) = re.findall(r"```yaml\n(pools:\n  chat:.*?)```", self.script().page(), re.DOTALL)
        text = (
            "listeners: [{name: web, port: 80}]\npools: [{name: chat, members: [h]}]\n"
            "pathMaps: [{name: main-map, defaultPool: chat, pathRules: [{name: feed, paths: /feed, pool: chat}]}]\n"
            "rules: [{name: chat-rule, listener: web, pathMap: main-map}]\n"
        )
        loaded = self.load(text, overrides=self.write(example), checks=checks())
        self.assertEqual([problem for problem in self.warnings if "override" in problem.message], [])
        self.assertEqual((loaded.rules[0].middleware[0].strategy, loaded.limits.max_connections), ("origin", 10000))

    def test_first_example(self) -> None:
        (example, *_) = re.findall(r"```yaml\n(.*?)```", self.script().page(), re.DOTALL)
        self.assertEqual(self.load(example).listeners[0].port, 8080)
