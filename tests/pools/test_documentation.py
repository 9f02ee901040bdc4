"""The pages on selectors and discovery: complete, and with examples that load."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import load
from gateway.discovery.listing import read_members
from gateway.lifecycle.preflight import checks
from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN

DOCS = Path(__file__).resolve().parents[2] / "docs"


class PagesTests(SynchronousTestCase):
    """`docs/selectors.md` and `docs/discovery.md`."""

    def blocks(self, page: str, kind: str) -> list[str]:
        return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)

    def test_examples(self) -> None:
        for page in ("selectors.md", "discovery.md"):
            examples = self.blocks(page, "yaml")
            self.assertGreaterEqual(len(examples), 3)
            for example in examples:
                path = Path(self.mktemp() + ".yaml")
                path.write_text(example, "utf-8")
                warnings: list[object] = []
                self.assertTrue(load(path, checks=checks(), warnings=warnings).pools)  # type: ignore[arg-type]
                self.assertEqual(warnings, [])

    def test_listing(self) -> None:
        (example,) = self.blocks("discovery.md", "text")
        path = Path(self.mktemp() + ".txt")
        path.write_text(example, "utf-8")
        self.assertEqual([member.weight for member in read_members(str(path))], [1, 3, 1])

    def test_complete(self) -> None:
        """Every strategy of ours is there, and every option of it with its default."""
        factories = Factories(entry_points=lambda group: (), drop_ins=lambda: ((), ()))
        for group, page in (("gateway.selectors", "selectors.md"), ("gateway.discovery", "discovery.md")):
            text = (DOCS / page).read_text("utf-8")
            for name in BUILT_IN[group]:
                self.assertIn(f"\n| `{name}` | ", text)
                options = factories.find(group, name).factory.options
                if options is not None:
                    self.check(name, options, text)

    def check(self, name: str, options: type[BaseModel], text: str) -> None:
        section = text.partition(f"# `{name}`\n")[2].partition("\n#")[0]
        rows = dict(re.findall(r"\n\| `(\w+)` \| ([^|]*) \|", section))
        for attribute, field in options.model_fields.items():
            shown = rows.pop(field.alias or attribute)
            if field.default is PydanticUndefined:
                self.assertEqual(shown, "*required*", (name, attribute))
            elif isinstance(field.default, (bool, int, float)):
                self.assertEqual(shown, f"{field.default:g}" if not isinstance(field.default, bool) else "true")
            elif isinstance(field.default, str):
                self.assertEqual(shown, f"`{field.default}`")
        self.assertEqual(rows, {}, name)
