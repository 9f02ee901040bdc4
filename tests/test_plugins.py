"""`gateway.plugins`: a file dropped into a directory on ``sys.path`` is a strategy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import gateway
from gateway import plugins

DROP_IN = """
from twisted.plugin import IPlugin
from zope.interface import implementer

from gateway.interfaces import ISelector, IStrategyFactory


@implementer(ISelector)
class Last:
    def select(self, candidates, head):
        return candidates[-1]


@implementer(IPlugin, IStrategyFactory)
class Factory:
    group = "gateway.selectors"
    name = "last"
    options = None

    def build(self, options, services):
        return Last()


factory = Factory()
"""

ASK = """
from gateway.lifecycle.registry import Registry
from gateway.services import Services
registry = Registry()
selector = registry.build("gateway.selectors", "last", {}, Services(None, None, None))
print(registry.factories.find("gateway.selectors", "last").source, selector.select("abc", None))
"""


DOCUMENTED = """
from gateway.lifecycle.registry import Registry
from gateway.services import Services
registry = Registry()
selector = registry.build("gateway.selectors", "first", {}, Services(None, None, None))
print(registry.factories.find("gateway.selectors", "first").source, selector.select("abc", None))
"""


ELSEWHERE = """
from gateway.pools.round_robin import RoundRobin
from gateway.services import Factory

factory = Factory("last", None, lambda options, services: RoundRobin(), group="gateway.selectors")
factory.__module__ = RoundRobin.__module__
"""

BLAMED = """
from gateway.strategies.factories import Factories
factories = Factories()
print(factories.find("gateway.selectors", "last").source, end=" ")
print(*[each.where.rpartition("/")[2][:1] for each in factories.listed("gateway.selectors") if not each.version])
"""


class DropInTests(SynchronousTestCase):
    """In a process of its own, because the directories are looked up when the package is imported."""

    def test_found(self) -> None:
        self.check(DROP_IN, ASK, "c")

    def test_documented(self) -> None:
        """The file that the docstring of `gateway.plugins` shows."""
        assert plugins.__doc__ is not None
        example = plugins.__doc__.partition("::\n")[2].partition("\nAnything")[0]
        self.check(textwrap.dedent(example), DOCUMENTED, "a")

    def test_a_factory_of_a_class_elsewhere(self) -> None:
        """Who has put it there is to blame, and is listed."""
        own = ELSEWHERE.replace("lambda options, services: RoundRobin()", "RoundRobin").rpartition("factory.")[0]
        for source in ELSEWHERE, own:
            self.check(source, BLAMED, "o")

    def check(self, source: str, ask: str, chosen: str) -> None:
        directory = Path(self.mktemp()) / "gateway" / "plugins"
        directory.mkdir(parents=True)
        (directory / "of_our_own.py").write_text(source)
        checkout = Path(gateway.__file__).parent.parent
        path = os.pathsep.join([str(checkout), str(directory.parent.parent.resolve())])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, timeout=60)
        expected = f"drop-in gateway.plugins.of_our_own {chosen}\n"
        self.assertEqual((done.stdout, done.returncode), (expected, 0), done.stderr)
