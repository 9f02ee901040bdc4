"""The page `docs/middleware.md`: up to date, complete, and with examples that work."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway import config
from gateway.config.model import Gateway
from gateway.lifecycle.preflight import checks
from gateway.lifecycle.registry import Registry
from gateway.testing import request_head, response_head
from gateway.values import Context, Outcome
from tests.middleware.test_basic_auth import WRONG
from tests.middleware.test_jwt import RSA_KEY, jwk

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_middleware.py"
REST = (
    "\nlisteners: [{name: web, port: 8080}]\npools: [{name: chat, backends: ['127.0.0.1:9001']}]\n"
    "rules: [{listener: web, pool: chat}]\n"
)


class DocumentationTests(SynchronousTestCase):
    """`docs/make_middleware.py`."""

    def setUp(self) -> None:
        spec = importlib.util.spec_from_file_location("make_middleware", SCRIPT)
        assert spec is not None and spec.loader is not None
        self.script: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.script)
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        (self.directory / "users").write_text(f"ann:{WRONG}\n")
        import json

        (self.directory / "keys.json").write_text(json.dumps({"keys": [jwk(RSA_KEY, "RSA", kid="a")]}))

    def load(self, text: str) -> Gateway:
        path = self.directory / "gateway.yaml"
        path.write_text(text.replace("/etc/gateway", str(self.directory)))
        return config.load(path, checks=checks())

    def test_up_to_date(self) -> None:
        """Run ``python docs/make_middleware.py`` where this fails."""
        self.assertEqual(0, self.script.main(["--check"]))

    def test_each_example_is_built(self) -> None:
        for name, traffic, _, example in self.script.ENTRIES:
            model = self.load(example + REST)
            self.assertEqual({name}, {each.strategy for each in model.middleware})
            built = Registry(reactor=Clock()).middleware(model)[()]
            self.assertEqual(", ".join(sorted(built[0].traffic)), traffic, name)

    def test_the_places(self) -> None:
        (example, *_) = re.findall(r"```yaml\n(.*?)```", self.script.INTRODUCTION, re.DOTALL)
        self.assertEqual(4, len(Registry(reactor=Clock()).middleware(self.load(example))))

    def test_one_of_ones_own(self) -> None:
        (source,) = re.findall(r"```python\n(.*?)```", self.script.OWN, re.DOTALL)
        (self.directory / "stamping.py").write_text(source)
        self.patch(sys, "path", [str(self.directory), *sys.path])
        self.addCleanup(sys.modules.pop, "stamping", None)
        clock = Clock()
        (made,) = Registry(reactor=clock).middleware(self.load('middleware: ["stamping:factory"]' + REST))[()]
        context = Context(Outcome(), None, clock.seconds)
        made.request(request_head(), context)
        clock.advance(0.25)
        self.assertEqual("gateway;dur=250.0", made.response(response_head(), context).get("server-timing"))
