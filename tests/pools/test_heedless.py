"""`gateway.pools.heedless`."""

from __future__ import annotations

from typing import Any

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member
from gateway.pools.heedless import heedless, is_heedless
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.strategies.groups import BUILT_IN
from gateway.testing import build, request_head


class Curious(RoundRobin):
    """Looks at the request although its base does not."""

    def select(self, candidates: Any, head: Any) -> Any:
        assert head.target
        return super().select(candidates, head)


class HeedlessTests(SynchronousTestCase):
    """Who may be given no head, and is."""

    def pool(self, selector: Any) -> Pool:
        pool = Pool("pool", BackendSettings(name="settings"), [Member(host="127.0.0.1")], selector)
        pool.set_health(pool.backends[0], True, "fine")
        return pool

    def test_the_built_in_ones(self) -> None:
        """Those that look at the request do not say that they do not."""
        without = set()
        for name, where in BUILT_IN["gateway.selectors"].items():
            factory = namedAny(where.replace(":", "."))
            if is_heedless(build(factory, {"by": "address"} if name == "hash" else {})):
                without.add(name)
        self.assertEqual({"round-robin", "weighted", "random-of-two", "least-connections", "least-latency"}, without)

    def test_a_pool_needs_no_head_for_them(self) -> None:
        pool = self.pool(RoundRobin())
        self.assertTrue(pool.heedless)
        self.assertIs(pool.backends[0], pool.lease(None).backend)

    def test_a_subclass_that_looks(self) -> None:
        self.assertFalse(is_heedless(Curious()))
        pool = self.pool(Curious())
        self.assertFalse(pool.heedless)
        self.assertIs(pool.backends[0], pool.lease(request_head("/a")).backend)

    def test_a_subclass_that_says_so(self) -> None:
        class Marked(RoundRobin):
            @heedless
            def select(self, candidates: Any, head: Any) -> Any:
                return candidates[0]

        self.assertTrue(is_heedless(Marked()))
