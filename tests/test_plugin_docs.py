"""The pages on plugins and routers: true, complete, and with examples that load."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway import interfaces
from gateway.config import load
from gateway.config.model import Limits
from gateway.errors import GatewayError
from gateway.interfaces import IRouter, IStrategyFactory
from gateway.lifecycle.preflight import checks
from gateway.observe.metrics import Metrics
from gateway.services import Services
from gateway.strategies.containment import INSTEAD
from gateway.strategies.factories import Factories
from gateway.strategies.groups import BUILT_IN, GROUPS
from gateway.testing import request_head

DOCS = Path(__file__).resolve().parents[1] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def blocks(name: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page(name), re.DOTALL)


class RouterPageTests(SynchronousTestCase):
    """`docs/routers.md`."""

    def test_examples(self) -> None:
        examples = blocks("routers.md", "yaml")
        self.assertEqual(3, len(examples))
        for example in examples:
            path = Path(self.mktemp() + ".yaml")
            path.write_text(example, "utf-8")
            warnings: list[Any] = []
            model = load(path, checks=checks(), warnings=warnings)
            self.assertIsNotNone(model.rules[0].router)
            self.assertEqual(([], ()), (warnings, model.not_honoured))

    def test_complete(self) -> None:
        factories = Factories(entry_points=lambda group: (), drop_ins=lambda: ((), ()))
        text = page("routers.md")
        for name in BUILT_IN["gateway.routers"]:
            self.assertIn(f"\n| `{name}` | ", text)
            options = factories.find("gateway.routers", name).factory.options
            if options is None:
                continue
            section = text.partition(f"# `{name}`\n")[2].partition("\n#")[0]
            rows = dict(re.findall(r"\n\| `(\w+)` \| ([^|]*) \|", section))
            self.assertEqual(set(rows), {field.alias or key for key, field in options.model_fields.items()})
            for key, field in options.model_fields.items():
                shown = rows[field.alias or key]
                if field.default is PydanticUndefined:
                    self.assertEqual("*required*", shown)
                elif field.default in (None, ()):
                    self.assertEqual("none", shown)
                else:
                    self.assertEqual(str(field.default), shown.strip("`"))

    def test_one_of_your_own(self) -> None:
        (source,) = blocks("routers.md", "python")
        names: dict[str, Any] = {}
        exec(source, names)  # our own page
        factory = names["factory"]
        verifyObject(IStrategyFactory, factory)
        services = Services(None, None, None, target=lambda pool: pool, otherwise=lambda head: "rule")  # type: ignore[arg-type, return-value]
        router = factory.build(None, services)
        verifyObject(IRouter, router)
        heads = [request_head(fields=[("X-Tenant", tenant)]) for tenant in ("red", "green")]
        self.assertEqual(["tenant-red", "rule"], [router.route(head, "web") for head in heads])


class PluginPagesTests(SynchronousTestCase):
    """`docs/plugins.md` and `docs/upgrade-safety.md`."""

    def test_names(self) -> None:
        """What is named is there."""
        for name in ("plugins.md", "upgrade-safety.md", "routers.md"):
            text = page(name)
            for path in re.findall(r"`(gateway(?:\.\w+)+)`", text):
                if path in GROUPS:
                    continue
                module, _, attribute = path.rpartition(".")
                try:
                    import_module(path)
                except ImportError:
                    self.assertTrue(hasattr(import_module(module), attribute), path)
            for interface in re.findall(r"`(I[A-Z]\w+)`", text):
                self.assertIn(interface, interfaces.__all__)
            for limit in re.findall(r"`limits\.(\w+)`", text):
                self.assertIn(limit, {field.alias for field in Limits.model_fields.values()})
            for link, anchor in re.findall(r"\]\(([\w-]+\.md)(?:#([\w-]+))?\)", text):
                headings = re.findall(r"^#+ (.*)$", page(link), re.MULTILINE)
                self.assertTrue(not anchor or anchor in [each.lower().replace(" ", "-") for each in headings], anchor)

    def test_causes(self) -> None:
        causes = {each.cause for each in _all(GatewayError)}
        self.assertLessEqual(set(re.findall(r"500 `(\w+)`", page("plugins.md"))), causes)

    def test_every_kind(self) -> None:
        text = page("plugins.md").partition("## What failing means")[2]
        for group in GROUPS.values():
            self.assertIn(group.word, INSTEAD)
            self.assertIn(f"\n| {group.word.removesuffix(' strategy').capitalize()} | ", text)

    def test_metrics(self) -> None:
        shown = set(re.findall(r"`(gateway_plugin_\w+)`", page("plugins.md")))
        self.assertEqual(shown, set(re.findall(r"# TYPE (gateway_plugin_\w+) ", Metrics().exposition())))


def _all(cls: type[GatewayError]) -> list[type[GatewayError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _all(sub))]
