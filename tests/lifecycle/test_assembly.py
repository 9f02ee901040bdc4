"""`gateway.lifecycle.assembly`."""

from __future__ import annotations

from random import Random
from typing import Any

from pydantic import BaseModel
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from gateway.config.model import BackendSettings, Gateway, HttpListener, Member, Pool, Probe, Rule
from gateway.errors import ConfigurationError
from gateway.health.monitor import HealthMonitor
from gateway.interfaces import IMiddleware, IStrategyFactory
from gateway.lifecycle.registry import Registry
from gateway.pools.backend import Loads
from gateway.pools.least_connections import LeastConnections
from gateway.pools.random_of_two import RandomOfTwo
from gateway.pools.sticky import Sticky
from gateway.strategies.checks import check_strategies
from gateway.strategies.factories import Factories
from gateway.testing import FakeRoad


def gateway(selector: str = "least-connections", probe: str = "http", **options: object) -> Gateway:
    return Gateway(
        listeners=(HttpListener(name="web", port=80), HttpListener(name="two", port=81)),
        rules=(
            Rule(name="a", listener="web", pool="site", settings="plain"),
            Rule(name="b", listener="two", pool="site", settings="slow"),
        ),
        pools=(
            Pool(name="unused"),
            Pool(name="site", members=(Member(host="10.0.0.1"),), selector=selector, selector_options=options),
        ),
        settings=(BackendSettings(name="plain"), BackendSettings(name="slow", probe="own")),
        probes=(Probe(name="own", strategy=probe, min_servers=1, interval=5, path="/health"),),
    )


class AssemblyTests(SynchronousTestCase):
    """From a model to pools that are probed."""

    def setUp(self) -> None:
        self.clock = Clock()
        factories = Factories(entry_points=lambda group: (), drop_ins=lambda: ((), ()))
        self.registry = Registry(reactor=self.clock, random=Random(), factories=factories)

    def test_pools(self) -> None:
        loads = Loads()
        pools = self.registry.pools(gateway(), loads)
        self.assertEqual(list(pools), [("site", "plain"), ("site", "slow")])
        one, two = pools.values()
        self.assertEqual((one.strategy, one.min_servers, two.min_servers), ("least-connections", 0, 1))
        self.assertIs(one.backends[0].load, two.backends[0].load)
        self.assertEqual(len(two.candidates), 1)

    def test_affinity(self) -> None:
        """``cookieBasedAffinity`` makes the pool's own selector sticky, under these settings only."""
        model = gateway()
        plain, slow = model.settings
        tied = plain.model_copy(update={"cookie_based_affinity": "Enabled"})
        one, two = self.registry.pools(model.model_copy(update={"settings": (tied, slow)}), Loads()).values()
        self.assertIsInstance(one.selector, Sticky)
        self.assertIsInstance(one.selector.inner, LeastConnections)
        self.assertIsInstance(two.selector, LeastConnections)

    def test_selectors(self) -> None:
        """Every one that there is can be built by name, over others where it is made for that."""
        options: dict[str, dict[str, object]] = {"hash": {"by": "address"}}
        for name in self.registry.factories.names("gateway.selectors"):
            for pool in self.registry.pools(gateway(name, **options.get(name, {})), Loads()).values():
                self.assertEqual(pool.strategy, name)
        within = {"strategy": "slow-start", "options": {"seconds": 5, "over": "random-of-two"}}
        nested = {"strategy": "priority", "options": {"over": within}}
        pool, _ = self.registry.pools(gateway("sticky", over=nested), Loads()).values()
        self.assertIsInstance(pool.selector.inner.inner.inner, RandomOfTwo)

    def test_watch(self) -> None:
        model, road = gateway(), FakeRoad()
        pools = self.registry.pools(model, Loads())
        monitor = HealthMonitor(self.clock, Random())
        checks = self.registry.checks(model, pools, road, {})
        for pair, pool in pools.items():
            monitor.watch(pool, *checks[pair])
        monitor.start()
        self.addCleanup(monitor.stop)
        for connection in road.connections:
            connection.succeed()
        asked = [connection.transport.value().split(b" ")[1] for connection in road.connections]
        self.assertEqual(asked, [b"/", b"/health"])

    def test_wrong_selector(self) -> None:
        """Each problem once, though two pools have it."""
        error = self.assertRaises(ConfigurationError, self.registry.pools, gateway("fastest"), Loads())
        self.assertEqual([problem.path for problem in error.problems], ["pools[1].selector"])

    def test_wrong_probe(self) -> None:
        model = gateway(probe="smtp")
        pools = self.registry.pools(model, Loads())
        error = self.assertRaises(ConfigurationError, self.registry.checks, model, pools, FakeRoad(), {})
        self.assertEqual([problem.path for problem in error.problems], ["probes[0].strategy"])


@implementer(IMiddleware)
class Through:
    """Lets everything pass."""

    traffic = frozenset({"http"})

    def __init__(self, options: Any, services: Any) -> None:
        self.options = options
        self.services = services

    def request(self, head: Any, context: Any) -> None:
        """See `IMiddleware`."""

    response = body = request


class _Options(BaseModel):
    size: int = 1


@implementer(IStrategyFactory)
class ThroughFactory:
    """Makes them."""

    name = "through"
    options = _Options

    def build(self, options: Any, services: Any) -> Through:
        """See `IStrategyFactory`."""
        return Through(options, services)


through = ThroughFactory()


class Wordy(Through):
    """Its traffic is a word."""

    traffic = "http"  # type: ignore[assignment]


class WordyFactory(ThroughFactory):
    """Makes it."""

    def build(self, options: Any, services: Any) -> Through:
        """See `IStrategyFactory`."""
        return Wordy(options, services)


wordy = WordyFactory()


THROUGH = f"{__name__}:through"


def listing(*broken: object) -> Gateway:
    """A gateway with middleware everywhere, ``broken`` at its rule."""
    return Gateway.model_validate(
        {
            "middleware": [THROUGH, {"strategy": THROUGH, "options": {"size": 2}}],
            "listeners": [{"name": "web", "port": 80, "middleware": [THROUGH]}],
            "rules": [{"name": "r", "listener": "web", "path_map": "m", "middleware": list(broken)}],
            "path_maps": [{"name": "m", "path_rules": [{"name": "p", "paths": ["/"], "middleware": [THROUGH]}]}],
        }
    )


class MiddlewareTests(SynchronousTestCase):
    """Lists of middleware."""

    def test_each_is_built_once(self) -> None:
        model = listing()
        made: Any = Registry(reactor=Clock()).middleware(model)
        self.assertEqual([(), ("listener", "web"), ("path", "m", "0")], list(made))
        self.assertEqual([1, 2], [each.inner.options.size for each in made[()]])
        self.assertIs(model, made[()][0].inner.services.model)

    def test_all_that_is_wrong(self) -> None:
        model = listing("none-such", {"strategy": THROUGH, "options": {"size": "x"}})
        registry = Registry(reactor=Clock())
        error = self.assertRaises(ConfigurationError, registry.middleware, model)
        expected = ["rules[0].middleware[0]", "rules[0].middleware[1].options.size"]
        self.assertEqual(expected, [problem.path for problem in error.problems])
        self.assertEqual(expected, [problem.path for problem in check_strategies(registry.factories, model)])

    def test_traffic_is_checked(self) -> None:
        """A word instead of a set of words would match parts of words."""
        model = Gateway.model_validate({"middleware": [f"{__name__}:wordy"]})
        error = self.assertRaises(ConfigurationError, Registry(reactor=Clock()).middleware, model)
        self.assertEqual(["middleware[0]"], [problem.path for problem in error.problems])


class FilterTests(SynchronousTestCase):
    """Lists of message filters."""

    def model(self, *filters: object) -> Gateway:
        limit = {"strategy": "size-limit", "options": {"maxBytes": 7}}
        return Gateway.model_validate(
            {
                "rules": [{"name": "r", "listener": "web", "path_map": "m", "filters": list(filters)}],
                "path_maps": [{"name": "m", "path_rules": [{"name": "p", "paths": ["/"], "filters": [limit]}]}],
            }
        )

    def test_each_has_its_name_and_its_place(self) -> None:
        model = self.model("log-tap")
        registry = Registry(reactor=Clock())
        made = registry.filters(model)
        self.assertEqual([("rule", "r"), ("path", "m", "0")], list(made))
        (tap,), (limit,) = made.values()
        self.assertEqual(("log-tap", "size-limit"), (tap.name, limit.name))
        self.assertEqual([], check_strategies(registry.factories, model))

    def test_all_that_is_wrong(self) -> None:
        model = self.model("none-such", {"strategy": "size-limit", "options": {"maxBytes": 0}}, "size-limit")
        registry = Registry(reactor=Clock())
        error = self.assertRaises(ConfigurationError, registry.filters, model)
        expected = [f"rules[0].filters{rest}" for rest in ("[0]", "[1].options.maxBytes", "[2].options")]
        self.assertEqual(expected, [problem.path for problem in error.problems])
        self.assertEqual(expected, [problem.path for problem in check_strategies(registry.factories, model)])
