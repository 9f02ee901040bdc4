"""Routers of rules through the whole gateway, over both roads."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from zope.interface import implementer

from gateway.config.model import BackendSettings
from gateway.errors import ConfigurationError
from gateway.interfaces import IAsyncRouter
from gateway.service import GatewayService
from gateway.values import Reply
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.sessions import MASK
from tests.integration.shell import ROOT
from tests.integration.websocket import TEXT, agree, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire
from tests.plugin_log import PluginLog


class RouterTestCase(GatewayTestCase):
    """Backends ``one`` and ``two``, each alone in a pool of that name; the rule itself leads to ``one``."""

    async def named(self, name: str) -> RawBackend:
        async def serve(wire: Wire) -> None:
            while True:
                request = await read_request(wire)
                if request.get("Upgrade") is not None:
                    wire.write(agree(request))
                    wire.write(frame(TEXT, name.encode()))
                    wire.patience = 10
                    return
                body = f"{name} {request.target}".encode()
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        return await self.backend(serve)

    async def routed(self, router: Any, rule: Any = None, also: Any = None, **others: Any) -> Running:
        self.one, self.two = one, two = await self.named("one"), await self.named("two")
        pools = [
            {"name": name, "members": [{"host": "127.0.0.1", "port": backend.port}]}
            for name, backend in (("one", one), ("two", two))
        ]
        wanted = {"name": "rule", "listener": "web", "pool": "one", "settings": "settings", "router": router}
        model = model_for(pools=pools, rules=[{**wanted, **(rule or {})}], **others)
        if also is not None:
            model = model.model_copy(update={"settings": tuple(map(BackendSettings.model_validate, also))})
        return await self.gateway(model)

    async def ask(self, gateway: Running, path: str = "/", *lines: str) -> str:
        """The body of the answer, or its status."""
        client = await self.client(gateway)
        client.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: a.example", *lines, "\r\n"]).encode())
        response = await read_response(client)
        return response.body.decode() if response.status == 200 else str(response.status)


class BuiltInTests(RouterTestCase):
    """Those that come with the gateway."""

    async def test_prefix(self) -> None:
        settings = [{"name": "settings", "probe": "probe"}, {"name": "deep", "probe": "probe", "path": "/v2/"}]
        router = {"strategy": "prefix", "options": {"prefixes": {"/api": {"pool": "two", "settings": "deep"}}}}
        gateway = await self.routed(router, also=settings)
        self.assertEqual("two /v2/x?y", await self.ask(gateway, "/api/x?y"))
        self.assertEqual("one /apix", await self.ask(gateway, "/apix"))
        # Its pool is probed and listed as all others are.
        self.assertEqual([("one", "settings"), ("two", "deep")], list(gateway.service.pools))
        self.assertEqual((1, 1), (self.one.probes, self.two.probes))
        states = [pool.backends[0].state for pool in gateway.service.pools.values()]
        self.assertEqual(["up", "up"], states)
        self.assertIn('gateway_backend_up{pool="two"', gateway.service.exposition())

    async def test_regex(self) -> None:
        patterns = [{"pattern": r"\.(png|gif)$", "pool": "two"}]
        gateway = await self.routed({"strategy": "regex", "options": {"patterns": patterns}})
        self.assertEqual("two /a.png", await self.ask(gateway, "/a.png"))
        self.assertEqual("one /a.txt", await self.ask(gateway, "/a.txt"))

    async def test_canary(self) -> None:
        options = {"pool": "two", "when": ["header:X-Canary=yes"], "weight": 50, "key": "cookie:id"}
        limits = {"trusted_proxies": ["127.0.0.1"]}
        gateway = await self.routed({"strategy": "canary", "options": options}, limits=limits)
        self.assertEqual("two /", await self.ask(gateway, "/", "X-Canary: yes"))
        for field in ("Cookie: id=%d", "X-Forwarded-For: 192.0.2.%d"):
            found = [await self.ask(gateway, "/", field % number) for number in range(30)]
            self.assertEqual({"one /", "two /"}, set(found))
            self.assertEqual(found, [await self.ask(gateway, "/", field % number) for number in range(30)])

    async def test_canary_of_websockets(self) -> None:
        gateway = await self.routed({"strategy": "canary", "options": {"pool": "two", "weight": 100}})
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual(b"two", (await read_frame(client)).payload)

    async def test_filters(self) -> None:
        """Messages of what its router decides pass through the filters of the rule, too."""
        router = {"strategy": "prefix", "options": {"prefixes": {"/chat": {"pool": "two"}}}}
        limit = {"strategy": "size-limit", "options": {"maxBytes": 4}}
        gateway = await self.routed(router, rule={"filters": [limit]})
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual(b"two", (await read_frame(client)).payload)
        client.write(frame(TEXT, b"hello", MASK))
        self.assertEqual(1009, (await read_close(client))[0])

    async def test_table_and_middleware(self) -> None:
        """The middleware of the rule is for what its router decides, too."""
        keep_out = {"strategy": "address", "options": {"deny": ["127.0.0.1"]}}
        for router in "table", {"strategy": "prefix", "options": {"prefixes": {"/": {"pool": "two"}}}}:
            gateway = await self.routed(router)
            self.assertEqual("one /" if router == "table" else "two /", await self.ask(gateway))
            gateway = await self.routed(router, rule={"middleware": [keep_out]})
            self.assertEqual("403", await self.ask(gateway))

    async def test_rewrites(self) -> None:
        """Those of the rule are for what its router decides, too."""
        rewrites = [{"name": "tidy", "rules": [{"name": "in", "url": {"path": "/in"}}]}]
        router = {"strategy": "prefix", "options": {"prefixes": {"/api": {"pool": "two"}}}}
        gateway = await self.routed(router, rule={"rewrite": "tidy"}, rewrites=rewrites)
        self.assertEqual(["two /in", "one /in"], [await self.ask(gateway, path) for path in ("/api", "/")])

    async def test_distributions(self) -> None:
        """What the rule does otherwise may be anything that a rule can do, also by the client's address."""
        router = {"strategy": "prefix", "options": {"prefixes": {"/api": {"pool": "two"}}}}
        for algorithm in "RoundRobin", "IpHash":
            shares = [{"name": "both", "algorithm": algorithm, "targets": [{"pool": "one"}, {"pool": "two"}]}]
            seen = {"strategy": "headers", "options": {"response": {"set": {"X-Seen": "1"}}}}
            gateway = await self.routed(
                router, rule={"pool": None, "distribution": "both", "middleware": [seen]}, distributions=shares
            )
            self.assertEqual("two /api", await self.ask(gateway, "/api"))
            found = {await self.ask(gateway, "/") for _ in range(8)}
            self.assertEqual(2 if algorithm == "RoundRobin" else 1, len(found))

    async def test_nothing_but_a_router(self) -> None:
        options = {"prefixes": {"/api": {"pool": "two"}}}
        gateway = await self.routed({"strategy": "prefix", "options": options}, rule={"pool": None})
        self.assertEqual(["two /api", "404"], [await self.ask(gateway, path) for path in ("/api", "/")])

    async def test_a_pool_that_is_not_there(self) -> None:
        options = {"prefixes": {"/api": {"pool": "three"}}}
        try:
            await self.routed({"strategy": "prefix", "options": options})
        except ConfigurationError as error:
            (problem,) = error.problems
            self.assertEqual("rules[0].router.options", problem.path)
            self.assertIn("there is no pool 'three'; there are: one, two", problem.message)
        else:
            self.fail("it started")


class AskingTests(RouterTestCase):
    """`IAsyncRouter`: the example that asks a service. ``answers`` is what the service says next."""

    async def asking(self, **others: Any) -> Running:
        self.questions: list[dict[str, list[str]]] = []
        self.gone = 0

        async def serve(wire: Wire) -> None:
            while True:
                try:
                    request = await read_request(wire)
                except Exception:
                    self.gone += 1
                    raise
                question = parse_qs(request.target.partition("?")[2])
                self.questions.append(question)
                pool = question["path"][0].strip("/")
                if pool == "silent":
                    wire.patience = 10
                    continue
                if pool == "broken":
                    wire.write(b"nonsense\r\n\r\n")
                    wire.close()
                    return
                wire.write(b"HTTP/1.1 200 OK\r\nX-Pool: %s\r\nContent-Length: 2\r\n\r\nok" % pool.encode())

        service = await self.backend(serve)
        examples = str(ROOT / "examples")
        sys.path.insert(0, examples)
        self.addCleanup(sys.path.remove, examples)
        options = {"url": f"http://127.0.0.1:{service.port}/where", "pools": ["one", "two"]}
        return await self.routed({"strategy": "ask_router:factory", "options": options}, **others)

    async def test_waits_and_goes_on(self) -> None:
        gateway = await self.asking()
        asked = ("/two", "/one", "/unknown", "/two")
        expected = ["two /two", "one /one", "one /unknown", "two /two"]
        self.assertEqual(expected, [await self.ask(gateway, path) for path in asked])
        self.assertEqual({"host": ["a.example"], "path": ["/two"]}, self.questions[0])
        self.assertEqual({("one", "settings"), ("two", "settings")}, set(gateway.service.pools))
        text = gateway.service.exposition()
        self.assertIn('gateway_plugin_calls_total{kind="router",name="ask_router:factory"} 4', text)

    async def test_websocket(self) -> None:
        gateway = await self.asking()
        client = await self.client(gateway)
        client.write(handshake(path="/two"))
        self.assertEqual(101, (await read_response(client)).status)
        self.assertEqual(b"two", (await read_frame(client)).payload)

    async def test_fails(self) -> None:
        log = PluginLog(self)
        gateway = await self.asking()
        self.assertEqual(["500", "two /two"], [await self.ask(gateway, path) for path in ("/broken", "/two")])
        outcome = await gateway.outcome()
        self.assertEqual("plugin_failed", outcome.cause)
        self.assertIn("router 'ask_router:factory' of rule 'rule' failed", str(outcome.error))
        self.assertEqual(1, len(log.lines))
        self.assertIn("examples/ask_router.py", log.lines[0])

    async def test_too_slow(self) -> None:
        PluginLog(self)
        gateway = await self.asking(limits={"middleware_timeout": 0.3})
        self.assertEqual("500", await self.ask(gateway, "/silent"))
        self.assertEqual("plugin_timeout", (await gateway.outcome()).cause)
        await gateway.until(lambda: self.gone == 1, "the question to be taken back")
        self.assertEqual("two /two", await self.ask(gateway, "/two"))

    async def test_the_client_leaves(self) -> None:
        gateway = await self.asking()
        client = await self.client(gateway)
        client.write(b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
        await gateway.until(lambda: len(self.questions) == 1, "the question")
        client.transport.abortConnection()
        await gateway.until(lambda: self.gone == 1, "the question to be taken back")
        self.assertEqual("client_gone", (await gateway.outcome()).cause)
        self.assertEqual([0], [each.failures for each in gateway.service.accounts if each.kind == "router"])


@implementer(IAsyncRouter)
class Teapot:
    """For a deployment of one's own."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def route(self, head: Any, listener: str) -> Any:
        """See `IAsyncRouter`."""
        from twisted.internet import reactor

        if head.path == "/tea":
            return Reply(302, [("Location", "/pot"), ("Connection", "close")])
        if head.path == "/split":
            return Reply(302, [("Location", "/\r\nX-Evil: 1")])
        waiting: Deferred[Any] = Deferred()
        reactor.callLater(0, waiting.callback, self._table.route(head, listener))  # type: ignore[attr-defined]
        return waiting


class TeapotService(GatewayService):
    """With a router of its own around the table."""

    def make_router(self) -> Any:
        """See `GatewayService.make_router`."""
        return Teapot(super().make_router())


class SubclassTests(RouterTestCase):
    """A router for the whole gateway, from a subclass of the service."""

    async def test_checked_and_contained(self) -> None:
        log = PluginLog(self)
        backend = await self.named("one")
        gateway = await self.gateway(model_for(backend), kind=TeapotService)
        self.assertEqual("one /x", await self.ask(gateway, "/x"))
        client = await self.client(gateway)
        client.write(b"GET /tea HTTP/1.1\r\nHost: a\r\n\r\nGET /split HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await read_response(client)
        self.assertEqual((302, "/pot", None), (response.status, response.get("Location"), response.get("Connection")))
        self.assertEqual(500, (await read_response(client)).status)
        self.assertIn("router 'Teapot' of the gateway failed", log.lines[0])


both_roads(globals())
