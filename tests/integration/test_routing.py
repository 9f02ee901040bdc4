"""Where requests go, through the whole gateway, over both roads."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_response


def named(name: str) -> Answers:
    return Answers(b"HTTP/1.1 200 OK\r\nX-Pool: %s\r\nContent-Length: 0\r\n\r\n" % name.encode())


class RoutingTests(GatewayTestCase):
    """Three pools, ``a``, ``b`` and ``c``, whose backends say which they are."""

    async def serving(self, **others: Any) -> Running:
        pools = []
        for name in "abc":
            backend = await self.backend(named(name))
            pools.append({"name": name, "members": [{"host": "127.0.0.1", "port": backend.port}]})
        return await self.gateway(model_for(pools=pools, **others))

    async def ask(self, gateway: Running, path: str = "/", *fields: str, method: str = "GET") -> Message:
        client = await self.client(gateway)
        lines = "".join([f"{field}\r\n" for field in ("Host: a.test", *fields)])
        client.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        return await read_response(client)

    async def pool(self, gateway: Running, path: str = "/", *fields: str, method: str = "GET") -> str | None:
        return (await self.ask(gateway, path, *fields, method=method)).get("X-Pool")

    async def test_hostile_paths(self) -> None:
        """No spelling of a path gets by its rule, and what servers read differently is refused."""
        gateway = await self.serving(
            rules=[{"name": "rule", "listener": "web", "path_map": "map"}],
            path_maps=[
                {
                    "name": "map", "default_pool": "a", "default_settings": "settings",
                    "path_rules": [
                        {"name": "admin", "paths": ["/admin*"], "pool": "b", "settings": "settings"},
                        {"name": "exact", "paths": ["/exact"], "pool": "c", "settings": "settings"},
                    ],
                }
            ],
        )  # fmt: skip
        for path in (
            "/admin", "/ADMIN", "/%61dmin", "/%41DMIN", "//admin", "/admin/x/../y", "/%2Fadmin", "/admin%2f..%2fadmin",
            "/admin%00", "/admin;x=1", "/;/admin", "/%5Cadmin", "/admin/.",
        ):  # fmt: skip
            response = await self.ask(gateway, path)
            self.assertEqual(response.get("X-Pool"), "b", path)
        for path in ("/exact", "/exact?x", "/%65xact", "//exact", "/exact;x=1", "/exact;x=1?y"):
            self.assertEqual(await self.pool(gateway, path), "c", path)
        for path in ("/exact/", "/adm%2561n", "/%2561dmin", "/xadmin", "/a/../x", "/.git"):
            self.assertEqual(await self.pool(gateway, path), "a", path)
        for path in (
            "/./admin", "/x/../admin", "/x/%2e%2e/admin", "/x%2F..%2fadmin", "/%2e/admin", "/x/.%2E/admin/y?z",
            "/../admin", "/x//..//admin", "/x/..;/admin", "/x/..;y=1/admin", "/x%5c..%5Cadmin", "/x\\..\\admin",
            "/exact/../exact", "/admin/../x", "/admin%2F..%2Fx", "/admin/..;/x", "/admin/..%5Cx",
        ):  # fmt: skip
            self.assertEqual((await self.ask(gateway, path)).status, 400, path)

    async def test_routing_map(self) -> None:
        """Every type of condition."""
        conditions: list[dict[str, Any]] = [
            {"type": "Header", "name": "X-Beta", "values": ["1"]},
            {"type": "QueryString", "name": "v", "matcher": {"pattern": "^2"}},
            {"type": "Path", "values": ["/api/*"]},
            {"type": "Method", "values": ["DELETE"]},
            {"type": "ClientIP", "values": ["127.0.0.0/8"]},
        ]
        names = ("header", "query", "path", "method", "client")
        sets = [{"name": name, "conditions": [one]} for name, one in zip(names, conditions, strict=True)]
        sets.append({"name": "elsewhere", "conditions": [{"type": "ClientIP", "values": ["192.0.2.0/24"]}]})

        def rule(priority: int, name: str, pool: str) -> dict[str, Any]:
            return {"name": name, "priority": priority, "condition_set": name, "pool": pool, "settings": "settings"}

        def routing(*rules: dict[str, Any]) -> dict[str, Any]:
            default = {"default_pool": "a", "default_settings": "settings"}
            return {
                "rules": [{"name": "rule", "listener": "web", "routing_map": "map"}],
                "routing_maps": [{"name": "map", "rules": rules, **default}],
                "condition_sets": sets,
            }

        gateway = await self.serving(
            **routing(rule(4, "method", "b"), rule(1, "header", "b"), rule(2, "query", "c"), rule(3, "path", "b"))
        )
        for path, fields, method, expected in (
            ("/", (), "GET", "a"),
            ("/", ("x-beta: 1",), "GET", "b"),
            ("/?v=20", (), "GET", "c"),
            ("/?v=20", ("X-Beta: 1",), "GET", "b"),
            ("//%41pi/x", (), "GET", "b"),
            ("/", (), "DELETE", "b"),
        ):
            self.assertEqual(await self.pool(gateway, path, *fields, method=method), expected, path)
        gateway = await self.serving(**routing(rule(1, "elsewhere", "b"), rule(2, "client", "c")))
        self.assertEqual(await self.pool(gateway), "c")
        route = (await gateway.outcome()).route
        assert route is not None
        self.assertEqual((route.path_rule, route.pool.name), ("client", "c"))

    async def test_client_behind_a_proxy(self) -> None:
        """The address is that of the client, where the proxy is trusted; a stranger cannot claim another."""
        document = {
            "rules": [{"name": "rule", "listener": "web", "routing_map": "map"}],
            "routing_maps": [{
                "name": "map", "default_redirect": "away",
                "rules": [{"name": "r", "priority": 1, "condition_set": "s", "pool": "b", "settings": "settings"}],
            }],
            "redirects": [{"name": "away", "target_url": "https://a.test/"}],
            "condition_sets": [{"name": "s", "conditions": [{"type": "ClientIP", "values": ["192.0.2.0/24"]}]}],
        }  # fmt: skip
        claim = "X-Forwarded-For: 192.0.2.7"
        self.assertEqual((await self.ask(await self.serving(**document), "/", claim)).status, 301)
        trusting = await self.serving(**document, limits={"trusted_proxies": ["127.0.0.1"]})
        self.assertEqual(await self.pool(trusting, "/", claim), "b")
        self.assertEqual((await self.ask(trusting, "/")).status, 301)

    async def test_distribution(self) -> None:
        """By weight; what is down gets nothing."""
        gateway = await self.serving(
            rules=[{"name": "rule", "listener": "web", "distribution": "d", "settings": "settings"}],
            distributions=[{"name": "d", "targets": [{"pool": "a", "weight": 3}, {"pool": "b", "weight": 1}]}],
        )
        found = Counter([await self.pool(gateway) for _ in range(8)])
        self.assertEqual(found, {"a": 6, "b": 2})
        pool = gateway.service.pools["a", "settings"]
        pool.set_health(pool.backends[0], False, "as the test wants it")
        self.assertEqual({await self.pool(gateway) for _ in range(4)}, {"b"})

    async def test_distribution_by_address(self) -> None:
        gateway = await self.serving(
            rules=[{"name": "rule", "listener": "web", "distribution": "d", "settings": "settings"}],
            distributions=[
                {"name": "d", "algorithm": "IpHash", "targets": [{"pool": "a"}, {"pool": "b"}, {"pool": "c"}]}
            ],
            limits={"trusted_proxies": ["127.0.0.1"]},
        )
        found = {}
        for number in range(12):
            claim = f"X-Forwarded-For: 192.0.2.{number}"
            found[number] = {await self.pool(gateway, "/", claim) for _ in range(3)}
        self.assertTrue(all(len(pools) == 1 for pools in found.values()), found)
        self.assertGreater(len(set().union(*found.values())), 1)

    async def test_redirects(self) -> None:
        """The four kinds, to a URL and to a listener, with path and query or without."""
        for kind, status in (("Permanent", 301), ("Found", 302), ("SeeOther", 303), ("Temporary", 307)):
            for keep, expected in ((True, "https://b.test/new/p%20q?x=1"), (False, "https://b.test/new")):
                gateway = await self.serving(
                    rules=[{"name": "rule", "listener": "web", "redirect": "r"}],
                    redirects=[
                        {
                            "name": "r", "redirect_type": kind, "target_url": "https://b.test/new",
                            "include_path": keep, "include_query_string": keep,
                        }
                    ],
                )  # fmt: skip
                response = await self.ask(gateway, "/p%20q?x=1")
                self.assertEqual((response.status, response.get("Location")), (status, expected))


both_roads(globals())
