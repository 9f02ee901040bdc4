"""The pages `docs/interfaces/`: up to date, and one for each kind of strategy."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway import config, testing
from gateway.lifecycle.preflight import checks
from gateway.lifecycle.registry import Registry
from gateway.pools.backend import Loads

ROOT = Path(__file__).resolve().parents[1]


class PagesTests(SynchronousTestCase):
    """`docs/make_interfaces.py`."""

    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("make_interfaces", ROOT / "docs" / "make_interfaces.py")
        assert spec is not None and spec.loader is not None
        self.script: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.script)

    def test_up_to_date(self) -> None:
        """Run ``python docs/make_interfaces.py`` where this fails."""
        self.assertEqual(0, self.script.main(["--check"]))

    def test_check_can_fail(self) -> None:
        self.script.PAGES = Path(self.mktemp())
        self.assertEqual(1, self.script.main(["--check"]))
        self.script.main([])
        self.assertEqual(0, self.script.main(["--check"]))
        (self.script.PAGES / "more.md").write_text("")
        self.assertEqual(1, self.script.main(["--check"]))
        self.script.main([])
        self.assertEqual(0, self.script.main(["--check"]))

    def test_links(self) -> None:
        """They lead to files."""
        for name, text in self.script.pages().items():
            for target in re.findall(r"\]\(([^)#]+)", text):
                self.assertTrue((self.script.PAGES / target).exists(), f"{name}: {target}")

    def test_readme(self) -> None:
        """The example of the README: twenty lines that work, with the configuration beside them."""
        section = (ROOT / "README.md").read_text("utf-8").partition("\n## Extend it\n")[2].partition("\n## ")[0]
        (source,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        (configuration,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
        self.assertLessEqual(len(source.splitlines()), 20)
        directory = Path(self.mktemp()).absolute()
        directory.mkdir()
        (directory / "homes.py").write_text(source)
        rest = "listeners: [{name: web, port: 80}]\nrules: [{listener: web, pool: application}]\n"
        (directory / "gateway.yaml").write_text(configuration + rest)
        self.patch(sys, "path", [str(directory), *sys.path])
        self.addCleanup(sys.modules.pop, "homes", None)
        model = config.load(directory / "gateway.yaml", checks=checks())
        (pool,) = Registry(reactor=Clock()).pools(model, Loads()).values()
        for backend in pool.backends:
            pool.set_health(backend, True, "as the test wants it")
        acme = testing.request_head(fields=[("X-Tenant", "acme")])
        self.assertEqual([pool.lease(acme).backend.host for _ in range(2)], ["10.0.0.5"] * 2)
        self.assertEqual(pool.lease(testing.request_head()).backend.host, "10.0.0.4")

    def test_conformance(self) -> None:
        """Each kind names what `gateway.testing` has for it, and all of that is named."""
        named = {mixin for page in self.script.STRATEGIES for mixin in page.conformance}
        there = {name for name in testing.__all__ if name.endswith("Conformance")}
        self.assertEqual(named | {"FactoryConformance"}, there)
