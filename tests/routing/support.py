"""What routers are built with in tests."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock

from gateway.config.model import BackendSettings, Rule
from gateway.errors import NoRoute
from gateway.routing.rule_router import Targets
from gateway.services import Services
from gateway.testing import FakePool
from gateway.values import RequestHead, Route

__all__ = ["Built"]


class Built:
    """``router`` as a factory makes it for a rule with settings ``plain``; pools are ``a``, ``b`` and ``own``."""

    def __init__(self, factory: Any, **options: Any) -> None:
        self.pools: dict[tuple[str, str], FakePool] = {}
        rule = Rule(name="rule", listener="web", settings="plain")
        self.own = self._route("own", "plain", "", "")
        self.targets = Targets(rule, (("a", "b"), ("plain", "slow")), self._route, lambda pool, settings: None)
        clock = Clock()
        services = Services(clock, clock, Random(1), rule=rule, target=self.targets, otherwise=self._otherwise)
        self.router = factory.build(factory.options.model_validate(options), services)
        self.targets.closed = True

    def _route(self, pool: str, settings: str, name: str, matched: str) -> Route:
        made = self.pools.setdefault((pool, settings), FakePool(pool, BackendSettings(name=settings)))
        return Route("web", "rule", made, made.settings, name, matched)

    def _otherwise(self, head: RequestHead) -> Route:
        if head.method == "DELETE":
            raise NoRoute("nothing is deleted here")
        return self.own

    def where(self, head: RequestHead) -> str:
        """The pool that a request goes to."""
        found = self.router.route(head, "web")
        assert isinstance(found, Route), found
        return found.pool.name
