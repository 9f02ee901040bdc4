"""`gateway.routing.table`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import BackendSettings, Gateway, HttpListener, PathMap, PathRule, Redirect, Rule
from gateway.errors import NoRoute
from gateway.interfaces import IStrategyFactory
from gateway.routing.table import RoutingTable, factory, needed_pools
from gateway.services import Services
from gateway.testing import FakePool, RouterConformance, request_head
from gateway.values import Reply, Route

POOLS = {
    (pool, settings): FakePool(pool, BackendSettings(name=settings))
    for pool in ("chat", "images", "site")
    for settings in ("plain", "slow")
}


def rule(listener: str, pool: str | None = "site", name: str = "", **others: Any) -> Rule:
    settings = "plain" if pool else None
    return Rule(name=name or f"to-{listener}", listener=listener, pool=pool, settings=settings, **others)


def listener(name: str, *hosts: str, port: int = 80, **others: Any) -> HttpListener:
    return HttpListener(name=name, port=port, host_names=hosts, **others)


PATHS = PathMap(
    name="paths",
    default_pool="site",
    default_settings="plain",
    path_rules=(
        PathRule(name="pictures", paths=("/images/*", "/pictures*"), pool="images", settings="slow"),
        PathRule(name="old", paths=("/old/*",), redirect="new"),
    ),
)
REDIRECTS = (
    Redirect(name="new", target_url="https://new.example", include_query_string=False),
    Redirect(name="secure", target_listener="secure", redirect_type="Found"),
)


def table(*rules: Rule, listeners: tuple[HttpListener, ...]) -> RoutingTable:
    return RoutingTable(Gateway(listeners=listeners, rules=rules, path_maps=(PATHS,), redirects=REDIRECTS), POOLS)


class ConformanceTests(RouterConformance, SynchronousTestCase):
    """A table with everything in it."""

    listener = "web"

    def make_router(self) -> RoutingTable:
        return table(
            rule("web", None, path_map="paths"),
            rule("other", None, redirect="secure"),
            listeners=(listener("web"), listener("other", "example.com", "*.org"), listener("secure", port=443)),
        )


class TableTests(SynchronousTestCase):
    """Where requests go."""

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, factory)
        head = request_head("/x")
        services = Services(None, None, None, otherwise=lambda asked: asked)  # type: ignore[arg-type]
        self.assertIs(head, factory.build(None, services).route(head, "web"))

    def test_basic(self) -> None:
        """The same prebuilt route for everything."""
        router = table(rule("web", name="main"), listeners=(listener("web"),))
        route = router.route(request_head("/x"), "web")
        pool = POOLS["site", "plain"]
        self.assertEqual(route, Route("web", "main", pool, pool.settings, verbatim=True))
        self.assertIs(router.route(request_head("/y", host="other"), "web"), route)

    def test_hosts(self) -> None:
        router = table(
            rule("a"), rule("b", "chat"),
            listeners=(listener("a", "a.example"), listener("b", "b.example", "*.b.example")),
        )  # fmt: skip
        for host, name in (("a.example", "a"), ("A.example:80", "a"), ("b.example.", "b"), ("x.b.example", "b")):
            for _ in range(2):
                route = router.route(request_head(host=host), "a")
                assert isinstance(route, Route)
                self.assertEqual((route.listener, route.pool.name), (name, "chat" if name == "b" else "site"))

    def test_no_route(self) -> None:
        router = table(rule("a"), listeners=(listener("a", "a.example"),))
        error = self.assertRaises(NoRoute, router.route, request_head(host="x" * 9999), "a")
        self.assertEqual(error.status, 404)
        self.assertLess(len(str(error)), 300)
        self.assertRaises(NoRoute, router.route, request_head(host=""), "a")

    def test_listener_without_rule(self) -> None:
        """It is bound, and answers nothing; others on its port do."""
        router = table(rule("b"), listeners=(listener("a"), listener("b", "b.example"), listener("c", port=81)))
        self.assertRaises(NoRoute, router.route, request_head(host="a.example"), "a")
        self.assertIsInstance(router.route(request_head(host="b.example"), "a"), Route)
        self.assertRaises(NoRoute, router.route, request_head(), "c")

    def test_hosts_remembered_are_bounded(self) -> None:
        router = table(rule("a"), listeners=(listener("a", "*.example"),))
        for number in range(3000):
            router.route(request_head(host=f"{number}.example"), "a")
        router.route(request_head(host="a.example:" + "0" * 300), "a")
        remembered = router._hosts["a"]
        self.assertLessEqual(len(remembered), 1024)
        self.assertLess(max(map(len, remembered)), 263)

    def test_hosts_that_need_no_more_than_that(self) -> None:
        """`route_of` says what `route` has said, or nothing."""
        router = table(
            rule("a"), rule("b", None, path_map="paths"), rule("c", None, redirect="secure"), rule("d"),
            listeners=(
                listener("a", "a.example"), listener("b", "b.example"), listener("c", "c.example"),
                listener("d", port=81), listener("secure", port=443),
            ),
        )  # fmt: skip
        for host, port, known in (
            ("a.example", "a", True), ("A.example:80", "a", True), ("b.example", "a", False), ("c.example", "a", False),
            ("d.example", "d", True), ("", "d", True),
        ):  # fmt: skip
            self.assertIs(port == "d", router.route_of(host, port) is not None, "the host has not been asked for yet")
            found = router.route(request_head(host=host), port)
            self.assertIs(found if known else None, router.route_of(host, port))
        for host in ("", "x.example"):
            self.assertIsNone(router.route_of(host, "a"))

    def test_path_map(self) -> None:
        router = table(rule("web", None, name="main", path_map="paths"), listeners=(listener("web"),))
        for target, pool, path_rule, matched in (
            ("/images/a.png", "images", "pictures", "/images/"),
            ("/PICTURES", "images", "pictures", "/pictures"),
            ("/other", "site", "", ""),
        ):
            route = router.route(request_head(target), "web")
            assert isinstance(route, Route)
            self.assertEqual(
                (route.rule, route.pool.name, route.path_rule, route.matched), ("main", pool, path_rule, matched)
            )

    def test_path_redirect(self) -> None:
        router = table(rule("web", None, path_map="paths"), listeners=(listener("web"),))
        reply = router.route(request_head("/old/x?y"), "web")
        assert isinstance(reply, Reply)
        self.assertEqual((reply.status, reply.fields), (301, (("Location", "https://new.example/old/x"),)))

    def test_default_redirect(self) -> None:
        model = Gateway(
            listeners=(listener("web"),),
            rules=(rule("web", None, path_map="m"),),
            path_maps=(PathMap(name="m", default_redirect="new"),),
            redirects=REDIRECTS,
        )
        reply = RoutingTable(model, {}).route(request_head("/x"), "web")
        assert isinstance(reply, Reply)
        self.assertEqual(reply.status, 301)

    def test_listener_redirect(self) -> None:
        router = table(
            rule("web", None, redirect="secure"), rule("secure"),
            listeners=(listener("web"), listener("secure", port=8443, protocol="Https")),
        )  # fmt: skip
        reply = router.route(request_head("/x?y", host="example.com:80"), "web")
        assert isinstance(reply, Reply)
        self.assertEqual((reply.status, reply.fields), (302, (("Location", "https://example.com:8443/x?y"),)))

    def test_ports_apart(self) -> None:
        """The same host on another port is another listener."""
        router = table(rule("a"), rule("b", "chat"), listeners=(listener("a"), listener("b", port=81)))
        for name, pool in (("a", "site"), ("b", "chat")):
            route = router.route(request_head(), name)
            assert isinstance(route, Route)
            self.assertEqual(route.pool.name, pool)

    def test_two_rules_for_a_listener(self) -> None:
        router = table(
            rule("a", name="late", priority=20), rule("a", "chat", "early", priority=10), listeners=(listener("a"),)
        )
        route = router.route(request_head(), "a")
        assert isinstance(route, Route)
        self.assertEqual(route.rule, "early")


class NeededPoolsTests(SynchronousTestCase):
    """Only what is used is made and probed."""

    def test_pairs(self) -> None:
        model = Gateway(
            listeners=(listener("a"), listener("b", port=81), listener("c", port=82)),
            rules=(
                rule("a", None, path_map="paths"),
                rule("b"),
                rule("c", None, redirect="new"),
                rule("nowhere", "chat"),
            ),
            path_maps=(PATHS,),
            redirects=REDIRECTS,
        )
        self.assertEqual(needed_pools(model), [("images", "slow"), ("site", "plain")])


class MiddlewareTests(SynchronousTestCase):
    """What requests pass through."""

    def test_order(self) -> None:
        """Gateway, listener, rule, path rule; also for redirects."""
        one: dict[tuple[str, ...], Any] = {
            (): ("gateway",),
            ("listener", "web"): ("listener",),
            ("listener", "other"): ("other",),
            ("rule", "r"): ("rule 1", "rule 2"),
            ("path", "paths", "0"): ("pictures",),
            ("path", "paths", "1"): ("old",),
        }
        model = Gateway(
            listeners=(listener("web"), listener("other", port=81)),
            rules=(rule("web", None, "r", path_map="paths"), rule("other", "site", "s")),
            path_maps=(PATHS,),
            redirects=REDIRECTS,
        )
        router = RoutingTable(model, POOLS, one)
        outer = ("gateway", "listener", "rule 1", "rule 2")
        for target, expected in {"/": outer, "/images/a": (*outer, "pictures"), "/old/x": (*outer, "old")}.items():
            self.assertEqual(expected, router.route(request_head(target), "web").middleware)
        self.assertEqual(("gateway", "other"), router.route(request_head("/"), "other").middleware)
        self.assertEqual((), RoutingTable(model, POOLS).route(request_head("/"), "other").middleware)


class FilterTests(SynchronousTestCase):
    """What messages pass through."""

    def test_order(self) -> None:
        """Rule, path rule; those of middleware's other places do not exist."""
        one: dict[tuple[str, ...], Any] = {("rule", "r"): ("rule",), ("path", "paths", "0"): ("pictures",)}
        model = Gateway(
            listeners=(listener("web"), listener("other", port=81)),
            rules=(rule("web", None, "r", path_map="paths"), rule("other", "site", "s")),
            path_maps=(PATHS,),
            redirects=REDIRECTS,
        )
        router = RoutingTable(model, POOLS, None, one)
        for target, expected in {"/": ("rule",), "/images/a": ("rule", "pictures")}.items():
            self.assertEqual(expected, router.route(request_head(target), "web").filters.filters)
        self.assertIsNone(router.route(request_head("/"), "other").filters)
