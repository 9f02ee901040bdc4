"""The pages `docs/interfaces/`: up to date, and one for each kind of strategy."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway import testing

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

    def test_conformance(self) -> None:
        """Each kind names what `gateway.testing` has for it, and all of that is named."""
        named = {mixin for page in self.script.STRATEGIES for mixin in page.conformance}
        there = {name for name in testing.__all__ if name.endswith("Conformance")}
        self.assertEqual(named | {"FactoryConformance"}, there)
