"""`docs/messages.md`: its filters are put to work, and its table says what the options are."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.load import load
from gateway.filters.base import SideOptions
from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN
from tests.integration.harness import both_roads
from tests.integration.sessions import MASK, Opened, SessionTestCase
from tests.integration.shell import ROOT
from tests.integration.websocket import TEXT, frame, read_close, read_frame

PAGE = (ROOT / "docs" / "messages.md").read_text("utf-8")
SHOUTING, QUOTA = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


class PageTests(SessionTestCase):
    """Through a gateway, as a reader would do it."""

    async def opened_with(self, name: str, source: str) -> Opened:
        module = ModuleType(name)
        exec(compile(source, name, "exec"), module.__dict__)
        sys.modules[name] = module
        self.addCleanup(sys.modules.pop, name)
        filters = [{"strategy": f"{name}:factory"}]
        rule = {"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "filters": filters}
        return await self.opened(rules=[rule])

    async def test_the_first_filter(self) -> None:
        session = await self.opened_with("shouting", SHOUTING)
        self.assertLessEqual(len(SHOUTING.splitlines()), 15)
        for text in (b"hello", b"secret", b"/time", b"/quit"):
            session.client.write(frame(TEXT, text, MASK))
        self.assertEqual(b"HELLO", (await read_frame(session.server)).payload)
        self.assertEqual(b"late", (await read_frame(session.client)).payload)
        self.assertEqual((4000, "bye", False), await read_close(session.client))
        self.assertEqual((4000, "bye", True), await read_close(session.server))
        session.client.close()
        session.server.close()
        await self.ended(session.gateway, "filter", "gateway", 4000)

    async def test_the_one_that_keeps_something(self) -> None:
        session = await self.opened_with("quota", QUOTA)
        said: list[Any] = []
        sys.modules["quota"].print = lambda *words: said.append(words)  # type: ignore[attr-defined]
        session.client.write(frame(TEXT, b"x", MASK) * 101)
        for _ in range(100):
            await read_frame(session.server)
        self.assertEqual((1008, "enough, ", False), await read_close(session.client))
        session.client.close()
        session.server.close()
        await self.ended(session.gateway, "filter", "gateway", 1008)
        self.assertEqual([("", "left with", 1008)], said)


class TableTests(SynchronousTestCase):
    """What is in the code is on the page."""

    def test_options(self) -> None:
        rows: dict[tuple[str, str], tuple[str, str]] = {}
        name = ""
        for line in PAGE.partition("## Built-in filters")[2].splitlines():
            cells = [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
            if len(cells) == 4:
                name = cells[0] or name
                rows[name, cells[1]] = cells[2], line.split("|")[-2].strip()
        for name in BUILT_IN["gateway.filters"]:
            options = Factories().find("gateway.filters", name).factory.options
            for field, info in options.model_fields.items():
                if field in SideOptions.model_fields:
                    continue
                default, text = rows[name, info.alias]
                self.assertEqual("" if info.is_required() or info.default is None else str(info.default), default)
                self.assertEqual(info.description, text)

    def test_the_configuration_loads(self) -> None:
        (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
        path = Path(self.mktemp() + ".yaml")
        path.write_text(block)
        (rule,) = load(str(path)).rules
        self.assertEqual(["size-limit", "rate-limit", "shouting:factory"], [each.strategy for each in rule.filters])


both_roads(globals())
