"""`gateway.routing.decisions` and `gateway.routing.building`: maps and distributions in a routing table."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import Gateway
from gateway.interfaces import IMiddleware
from gateway.routing.decisions import Chooser
from gateway.routing.rewriting import Rewrites
from gateway.routing.table import RoutingTable, needed_pools
from gateway.testing import FakePool, request_head
from gateway.values import Context, Outcome, Peer, Reply, RequestHead, Route

SETS = [
    {"name": "beta", "conditions": [{"type": "Header", "name": "X-Beta", "values": ["1"]}]},
    {"name": "inner", "conditions": [{"type": "ClientIP", "values": ["10.0.0.0/8"]}]},
]


class _Asked:
    """A middleware that is only there."""

    traffic = frozenset(("http", "upgrade"))


def table(**document: Any) -> RoutingTable:
    base: dict[str, Any] = {
        "listeners": [{"name": "web", "port": 80}],
        "pools": [{"name": name} for name in ("a", "b", "c")],
        "settings": [{"name": "s"}],
        "redirects": [{"name": "away", "target_url": "https://a.test/"}],
        "rewrites": [{"name": "set", "rules": [{"name": "r", "url": {"path": "/x"}}]}],
        "condition_sets": SETS,
    }
    model = Gateway.model_validate({**base, **document})
    settings = model.settings[0]
    pools = {pair: FakePool(pair[0], settings) for pair in needed_pools(model)}
    return RoutingTable(model, pools, {(): (_Asked(),)})  # type: ignore[arg-type]


def routing_map(*rules: dict[str, Any], **default: Any) -> RoutingTable:
    default = default or {"default_pool": "a", "default_settings": "s"}
    return table(
        rules=[{"name": "rule", "listener": "web", "routing_map": "map"}],
        routing_maps=[{"name": "map", "rules": rules, **default}],
    )


class DecisionTests(SynchronousTestCase):
    """Where requests go."""

    def pool(self, made: RoutingTable, head: RequestHead, client: str = "") -> str:
        """The pool that a request gets in the end."""
        found: Any = made.route(head, "web")
        if any(isinstance(each, Chooser) for each in found.middleware):
            outcome = Outcome(peer=Peer(client, 1))
            context = Context(outcome, found if isinstance(found, Route) else None, lambda: 0.0)
            *others, chooser = found.middleware
            self.assertEqual([type(each) for each in others], [_Asked])
            verifyObject(IMiddleware, chooser)
            answered = chooser.request(head, context)
            found = context.route if answered is None else answered
        return found.pool.name if isinstance(found, Route) else str(found.status)

    def test_routing_map(self) -> None:
        """By priority, not as listed."""
        made = routing_map(
            {"name": "late", "priority": 20, "condition_set": "beta", "pool": "c", "settings": "s"},
            {"name": "early", "priority": 10, "condition_set": "beta", "pool": "b", "settings": "s", "rewrite": "set"},
        )
        self.assertEqual(self.pool(made, request_head()), "a")
        beta = request_head(fields=[("X-Beta", "1")])
        self.assertEqual(self.pool(made, beta), "b")
        route = made.route(beta, "web")
        assert isinstance(route, Route)
        self.assertEqual((route.rule, route.path_rule, route.verbatim), ("rule", "early", True))
        self.assertEqual([type(each) for each in route.middleware], [_Asked, Rewrites])

    def test_redirects(self) -> None:
        rule = {"name": "r", "priority": 1, "condition_set": "beta", "redirect": "away"}
        made = routing_map(rule, default_pool="a", default_settings="s")
        self.assertEqual(self.pool(made, request_head(fields=[("X-Beta", "1")])), "301")
        made = routing_map({**rule, "redirect": None, "pool": "b", "settings": "s"}, default_redirect="away")
        self.assertEqual(self.pool(made, request_head()), "301")

    def test_client(self) -> None:
        """A router does not know the client: what is decided by its address is decided by a middleware."""
        rule = {"name": "r", "priority": 1, "condition_set": "inner", "pool": "b", "settings": "s", "rewrite": "set"}
        for default, expected in (
            ({"default_pool": "a", "default_settings": "s", "default_rewrite": "set"}, "a"),
            ({"default_redirect": "away"}, "301"),
        ):
            made = routing_map(rule, **default)
            self.assertEqual(self.pool(made, request_head(), "10.1.1.1"), "b")
            self.assertEqual(self.pool(made, request_head(), "192.0.2.1"), expected)

    def test_client_and_redirect(self) -> None:
        rule = {"name": "r", "priority": 1, "condition_set": "inner", "redirect": "away"}
        made = routing_map(rule)
        self.assertEqual(self.pool(made, request_head(), "10.1.1.1"), "301")
        self.assertEqual(self.pool(made, request_head(), "192.0.2.1"), "a")

    def test_distribution(self) -> None:
        targets = [{"pool": "a", "weight": 2}, {"pool": "b"}]
        made = table(
            rules=[{"name": "rule", "listener": "web", "distribution": "d", "settings": "s"}],
            distributions=[{"name": "d", "targets": targets}],
        )
        self.assertEqual("".join([self.pool(made, request_head()) for _ in range(6)]), "abaaba")

    def test_distribution_by_address(self) -> None:
        """In a path map, with rewrites, which are not asked before it is known where the request goes."""
        made = table(
            rules=[{"name": "rule", "listener": "web", "path_map": "map"}],
            path_maps=[
                {
                    "name": "map", "default_distribution": "d", "default_settings": "s", "default_rewrite": "set",
                    "path_rules": [
                        {"name": "p", "paths": ["/p/*"], "distribution": "d", "settings": "s", "rewrite": "set"}
                    ],
                }
            ],
            distributions=[{"name": "d", "algorithm": "IpHash", "targets": [{"pool": "a"}, {"pool": "b"}]}],
        )  # fmt: skip
        for path in ("/", "/p/x"):
            found = {self.pool(made, request_head(path), f"10.0.0.{number}") for number in range(50)}
            self.assertEqual(found, {"a", "b"})
            same = {self.pool(made, request_head(path), "10.0.0.1") for _ in range(20)}
            self.assertEqual(len(same), 1)

    def test_needed_pools(self) -> None:
        model = Gateway.model_validate({
            "listeners": [{"name": "web", "port": 80}, {"name": "other", "port": 81}],
            "rules": [
                {"name": "one", "listener": "web", "routing_map": "map"},
                {"name": "two", "listener": "other", "distribution": "d", "settings": "t"},
            ],
            "routing_maps": [{
                "name": "map", "default_pool": "a", "default_settings": "s",
                "rules": [{"name": "r", "priority": 1, "condition_set": "beta", "pool": "b", "settings": "s"}],
            }],
            "distributions": [{"name": "d", "targets": [{"pool": "a"}, {"pool": "c"}]}],
        })  # fmt: skip
        self.assertEqual(needed_pools(model), [("b", "s"), ("a", "s"), ("a", "t"), ("c", "t")])

    def test_again_into_a_distribution(self) -> None:
        """A rewrite that has the path rule looked for again knows the client."""
        made = table(
            rules=[{"name": "rule", "listener": "web", "path_map": "map"}],
            path_maps=[
                {
                    "name": "map", "default_pool": "c", "default_settings": "s", "default_rewrite": "again",
                    "path_rules": [{"name": "p", "paths": ["/p/*"], "distribution": "d", "settings": "s"}],
                }
            ],
            rewrites=[{"name": "again", "rules": [{
                "name": "r", "conditions": [{"variable": "var_uri_path", "pattern": "^/q"}],
                "url": {"path": "/p/", "reroute": True},
            }]}],
            distributions=[{"name": "d", "algorithm": "IpHash", "targets": [{"pool": "a"}, {"pool": "b"}]}],
        )  # fmt: skip
        head = request_head("/q")
        found = made.route(head, "web")
        assert isinstance(found, Route)
        context = Context(Outcome(peer=Peer("10.0.0.1", 1)), found, lambda: 0.0)
        self.assertNotIsInstance(found.middleware[-1].request(head, context), Reply)
        assert context.route is not None
        self.assertIn(context.route.pool.name, "ab")
