"""Another configuration while requests and sessions go on, over both roads."""

from __future__ import annotations

import gc
import json
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from zope.interface import implementer

from gateway.config import model
from gateway.errors import ConfigurationError, Problem, ReloadFailed
from gateway.interfaces import IClosing, ILasting, ISelector
from gateway.middleware.base import Middleware
from gateway.service import GatewayService
from gateway.services import Factory
from tests.certificates import TestCA
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.test_discovery import Written
from tests.integration.test_https import Client
from tests.integration.websocket import agree, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Saying:
    """A backend's coroutine: says its name, or echoes frames."""

    def __init__(self, name: str) -> None:
        self._name = name.encode()

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await read_request(wire)
            if request.get("upgrade") is None:
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self._name), self._name))
                continue
            wire.write(agree(request))
            while True:
                message = await read_frame(wire)
                wire.write(frame(message.opcode, message.payload))


@implementer(IClosing)
class Stamp(Middleware):
    """A stranger's middleware: says in a field which one it is."""

    made: list[Stamp] = []
    closed: list[Stamp] = []

    def __init__(self, options: Any, services: Any) -> None:
        self.number = len(self.made)
        self.made.append(self)

    def response(self, head: Any, context: Any) -> Any:
        return head._replace(fields=(*head.fields, ("Stamp", str(self.number))))

    def close(self) -> None:
        self.closed.append(self)


@implementer(ILasting)
class Lasting(Stamp):
    """One that asks to stay."""


@implementer(ILasting, IClosing, ISelector)
class First:
    """A stranger's selector that asks to stay."""

    closed: list[First] = []

    def __init__(self, options: Any, services: Any) -> None:
        """Nothing to have."""

    def select(self, candidates: Any, head: Any) -> Any:
        return None if self in self.closed else candidates[0]

    def close(self) -> None:
        self.closed.append(self)


stamp, lasting = Factory("stamp", None, Stamp), Factory("lasting", None, Lasting)
selecting = Factory("selecting", None, First)


class ReloadCase(GatewayTestCase):
    """Gateways whose next configuration the test says."""

    async def reloading(self, first: model.Gateway, **options: Any) -> Running:
        self.wanted: model.Gateway | BaseException = first
        return await self.gateway(first, source=self._source, **options)

    def _source(self, found: Sequence[Problem] = ()) -> tuple[model.Gateway, tuple[str, ...]]:
        if isinstance(self.wanted, BaseException):
            raise self.wanted
        if found:
            raise ConfigurationError([problem._replace(line=7) for problem in found], "f.yaml")
        return self.wanted, ()

    async def reload(self, gateway: Running, wanted: model.Gateway | Exception) -> list[str]:
        self.wanted = wanted
        return await gateway.service.reload()

    async def said(self, client: Wire) -> bytes:
        """The body of an answer."""
        client.write(_GET)
        response = await read_response(client)
        self.assertEqual(200, response.status)
        return response.body

    async def two(self) -> tuple[RawBackend, RawBackend]:
        return await self.backend(Saying("one")), await self.backend(Saying("two"))

    async def session(self, gateway: Running, listener: str | None = None) -> Wire:
        """A WebSocket that is open."""
        client = await self.client(gateway, listener)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        await self.echo(client)
        return client

    async def echo(self, client: Wire, text: bytes = b"hello") -> None:
        client.write(frame(1, text, mask=b"abcd"))
        self.assertEqual(text, (await read_frame(client)).payload)


class ReloadTests(ReloadCase):
    """What goes on and what does not."""

    async def test_connections_and_sessions_stay(self) -> None:
        """The next request of an open connection is the new configuration's, the session stays the old one's."""
        one, two = await self.two()
        gateway = await self.reloading(model_for(one))
        client, session = await self.client(gateway), await self.session(gateway)
        self.assertEqual(b"one", await self.said(client))
        port = gateway.port
        changed = await self.reload(gateway, model_for(two))
        self.assertEqual([f"pools: ~pool (+127.0.0.1:{two.port}, -127.0.0.1:{one.port})"], changed)
        await gateway.service.when_ready()
        self.assertEqual(b"two", await self.said(client))
        self.assertEqual(b"two", await self.said(await self.client(gateway)))
        await self.echo(session)
        self.assertEqual(port, gateway.ports["web"])

    async def test_settings(self) -> None:
        """Members keep verdict, count and connections where only a time changes; no probe is waited for."""
        one, _ = await self.two()
        gateway = await self.reloading(model_for(one))
        client, session = await self.client(gateway), await self.session(gateway)
        await self.said(client)
        (pool,) = gateway.service.pools.values()
        (backend,) = pool.backends
        await self.reload(gateway, model_for(one, settings={"request_timeout": 7}))
        (after,) = gateway.service.pools.values()
        self.assertIsNot(pool, after)
        self.assertEqual(((backend,), 7, "up", 1),
                         (after.backends, after.settings.request_timeout, backend.state, backend.active))
        await self.said(client)
        await self.echo(session)

    async def test_nothing_changed(self) -> None:
        """All parts are the ones that there were, idle connections to backends among them."""
        one, _ = await self.two()
        gateway = await self.reloading(model_for(one))
        client = await self.client(gateway)
        await self.said(client)
        service = gateway.service
        before, pools, built = len(one.wires), list(service.pools.values()), service.registry.built
        probes = one.probes
        self.assertEqual([], await self.reload(gateway, model_for(one)))
        self.assertEqual(list(map(id, pools)), list(map(id, service.pools.values())))
        self.assertEqual(list(map(id, built)), list(map(id, service.registry.built)))
        await self.said(client)
        self.assertEqual((before, probes), (len(one.wires), one.probes))

    async def test_bad_ones_change_nothing(self) -> None:
        """Neither a file that is wrong, nor a port that is taken, nor a strategy that refuses."""
        one, two = await self.two()
        gateway = await self.reloading(model_for(one))
        client = await self.client(gateway)
        problem = Problem("pools[0].name", "is missing", 3)
        failed = await self.assertFailure(self.reloads(gateway, ConfigurationError([problem], "f.yaml")), ReloadFailed)
        self.assertEqual((("line 3: pools[0].name: is missing",), "f.yaml"), (failed.problems, failed.source))

        other = {"name": "taken", "address": "127.0.0.1", "port": two.port}
        free = {"name": "free", "address": "127.0.0.1", "port": 0}
        listeners = [{"name": "web", "address": "127.0.0.1", "port": 0}, free, other]
        taken = model_for(two, listeners=listeners)
        ports = dict(gateway.ports)
        failed = await self.assertFailure(self.reloads(gateway, taken), ReloadFailed)
        self.assertIn(f"listener 'taken': cannot listen on 127.0.0.1:{two.port}: Address already in use", str(failed))
        self.assertEqual(ports, gateway.ports)

        wrong = model_for(two, middleware=[{"strategy": "rate-limit", "options": {"requests": 0}}])
        failed = await self.assertFailure(self.reloads(gateway, wrong), ReloadFailed)
        self.assertEqual("f.yaml", failed.source)
        self.assertIn("line 7: middleware[0].options.requests", str(failed))
        for error in SystemExit(0), KeyboardInterrupt(), GeneratorExit():
            failed = await self.assertFailure(self.reloads(gateway, error), ReloadFailed)
            self.assertIn(type(error).__name__, str(failed))
            self.assertEqual(1, len(self.flushLoggedErrors(type(error))))
        self.assertEqual(b"one", await self.said(client))
        self.assertEqual((0, 6, False), (gateway.service.reloading.done, gateway.service.reloading.failed,
                                         gateway.service.reloading.good))
        self.assertEqual(1, two.probes, "who would be new is asked before the change, and then no more")
        self.assertIn('gateway_reloads_total{result="failed"} 6', gateway.service.exposition())

    def reloads(self, gateway: Running, wanted: model.Gateway | BaseException) -> Any:
        self.wanted = wanted
        return gateway.service.reload()

    async def test_the_interpreter_is_shared_fairly_meanwhile(self) -> None:
        """The thread that reads may not keep it as long as usual; afterwards, good or bad, all is as before."""
        (one, _), seen = await self.two(), []
        gateway = await self.reloading(model_for(one))

        def source() -> Any:
            seen.append((sys.getswitchinterval(), gc.get_threshold()[2]))
            raise ConfigurationError([Problem("x", "is wrong", 1)], "f.yaml")

        before = sys.getswitchinterval(), gc.get_threshold()
        await self.assertFailure(gateway.service.reloading.take(source), ReloadFailed)
        ((interval, collections),) = seen
        self.assertLess(interval, before[0] / 10)
        self.assertGreater(collections, 1_000_000)
        self.assertEqual(before, (sys.getswitchinterval(), gc.get_threshold()))

    async def test_ports(self) -> None:
        """A new one serves, one that is gone finishes what it has and refuses others, one that stays knows nothing."""
        one, two = await self.two()
        both = [{"name": name, "address": "127.0.0.1", "port": 0} for name in ("web", "old")]
        rules = [{"name": name, "listener": name, "pool": "pool", "settings": "settings"} for name in ("web", "old")]
        gateway = await self.reloading(model_for(one, listeners=both, rules=rules))
        idle, session = await self.client(gateway, "old"), await self.session(gateway, "old")
        await self.said(idle)
        stays = await self.session(gateway, "web")
        old = gateway.ports["old"]
        listeners = [both[0], {"name": "new", "address": "127.0.0.1", "port": 0}]
        rules[1] = {**rules[1], "name": "new", "listener": "new"}
        changed = await self.reload(gateway, model_for(one, listeners=listeners, rules=rules))
        self.assertEqual(["listeners: +new, -old", "rules: +new, -old"], changed)
        self.assertEqual(b"one", await self.said(await self.client(gateway, "new")))
        await idle.gone()
        self.assertEqual(1001, (await read_close(session))[0])
        session.transport.loseConnection()
        await self.echo(stays)
        with socket.socket() as late:
            self.assertRaises(ConnectionRefusedError, late.connect, ("127.0.0.1", old))
        await gateway.until(lambda: len(gateway.service._ports.factories) == 2, "the old port to be forgotten")

    async def test_another_protocol(self) -> None:
        """A port that becomes a TLS port keeps its socket; old connections finish."""
        issued = TestCA("Test Root").issue(names=["a.example"])
        one, _ = await self.two()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        plain: dict[str, Any] = {"name": "web", "address": "127.0.0.1", "port": port}
        gateway = await self.reloading(model_for(one, listeners=[plain]))
        client = await self.client(gateway)
        await self.said(client)
        secure = {**plain, "protocol": "Https", "certificates": ["c"]}
        await self.reload(gateway, model_for(one, listeners=[secure], certificates=[issued.certificate("c")]))
        await client.gone()
        self.assertEqual(b"one", await self.said(await self.client(gateway, tls=Client("a.example"))))

    async def test_certificates(self) -> None:
        """New connections see the new one; those that are open stay."""
        authority = TestCA("Test Root")
        one, _ = await self.two()

        def configured(name: str) -> model.Gateway:
            issued = authority.issue([name], common_name=name)
            return model_for(
                one,
                listeners=[{"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https",
                            "certificates": ["c"]}],
                certificates=[issued.certificate("c")],
            )

        gateway = await self.reloading(configured("old.example"))
        before, after = Client(), Client()
        client = await self.client(gateway, tls=before)
        await self.said(client)
        self.assertEqual(["certificates: ~c"], await self.reload(gateway, configured("new.example")))
        await self.said(client)
        await self.said(await self.client(gateway, tls=after))
        self.assertEqual(("CN=old.example", "CN=new.example"), (before.shown, after.shown))

    async def test_removed_pool(self) -> None:
        """Its sessions stay, or end with 1001 where it drains; its requests go elsewhere at once."""
        one, two = await self.two()
        drain = {"connection_draining": {"enabled": True, "drain_timeout_in_sec": 1}}
        for settings, ends in ({}, False), (drain, True):
            gateway = await self.reloading(model_for(one, settings=settings))
            session = await self.session(gateway)
            members = [{"host": "127.0.0.1", "port": two.port}]
            rules = [{"name": "rule", "listener": "web", "pool": "other", "settings": "settings"}]
            await self.reload(
                gateway, model_for(pools=[{"name": "other", "members": members}], rules=rules, settings=settings)
            )
            self.assertEqual(b"two", await self.said(await self.client(gateway)))
            if ends:
                self.assertEqual(1001, (await read_close(session))[0])
            else:
                await self.echo(session)
            session.transport.loseConnection()

    async def test_a_request_in_progress(self) -> None:
        """It ends as it began, with the time-out and the member that it had."""
        seen: list[Wire] = []

        async def slow(wire: Wire) -> None:
            await read_request(wire)
            seen.append(wire)

        one, two = await self.backend(slow), await self.backend(Saying("two"))
        gateway = await self.reloading(model_for(one))
        client = await self.client(gateway)
        client.write(_GET)
        await gateway.until(lambda: bool(seen), "the request to arrive")
        await self.reload(gateway, model_for(two))
        self.assertEqual(1, len(gateway.service.reloading.leaving))
        seen[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
        self.assertEqual(b"one", (await read_response(client)).body)
        gateway.service.reloading.retire()
        self.assertEqual([], gateway.service.reloading.leaving)

    async def test_strategies(self) -> None:
        """They are made anew, and the old ones closed when their last exchange is over; some ask to last."""
        Stamp.made.clear()
        Stamp.closed.clear()
        one, two = await self.two()
        listed = [{"strategy": f"{__name__}:stamp"}]
        gateway = await self.reloading(model_for(one, middleware=listed))
        session = await self.session(gateway)
        client = await self.client(gateway)
        await self.reload(gateway, model_for(two, middleware=listed))
        client.write(_GET)
        await gateway.service.when_ready()
        self.assertEqual("1", (await read_response(client)).get("stamp"))
        gateway.service.reloading.retire()
        self.assertEqual((2, []), (len(Stamp.made), Stamp.closed))  # the session was opened through it
        session.transport.loseConnection()
        await gateway.quiet()
        gateway.service.reloading.retire()
        self.assertEqual(Stamp.made[:1], Stamp.closed)

    async def test_lasting(self) -> None:
        """It stays while its options do, wherever the rest goes, and knows where it is used."""
        Stamp.made.clear()
        Stamp.closed.clear()
        one, _ = await self.two()
        listed = [{"strategy": f"{__name__}:lasting"}]
        rule = {"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "middleware": listed}
        gateway = await self.reloading(model_for(one, rules=[rule]))
        other = {**rule, "name": "another", "listener": "other"}
        listeners = [{"name": name, "address": "127.0.0.1", "port": 0} for name in ("other", "web")]
        limits = {"plugin_failures": 3, "plugin_pause": 4, "plugin_budget": 5}
        await self.reload(gateway, model_for(one, listeners=listeners, rules=[other, rule], limits=limits))
        self.assertEqual((2, []), (len(Stamp.made), Stamp.closed))
        self.assertEqual({(3, 4, 5)}, {each.terms for each in gateway.service.accounts})
        places = [each.where for each in gateway.service.accounts if each.kind == "middleware"]
        self.assertEqual(["rules[0].middleware[0]", "rules[1].middleware[0]"], sorted(places))
        await self.reload(gateway, model_for(one, listeners=listeners, rules=[other]))
        self.assertEqual(Stamp.made[:1], Stamp.closed)

    async def test_what_a_selector_builds_later(self) -> None:
        """Its pool stays, and so does that; it is closed with the pool, once."""
        First.closed.clear()
        one, two = await self.two()
        ports = enumerate((one.port, two.port))
        members = [{"host": "127.0.0.1", "port": port, "priority": number} for number, port in ports]
        pool = {"name": "pool", "selector": "priority", "selector_options": {"over": f"{__name__}:selecting"}}
        gateway = await self.reloading(model_for(pools=[{**pool, "members": members}]))
        self.assertEqual(b"one", await self.said(await self.client(gateway)))
        await self.reload(gateway, model_for(pools=[{**pool, "members": members[1:]}]))
        self.assertEqual(b"two", await self.said(await self.client(gateway)))  # which takes another selector
        await self.reload(gateway, model_for(pools=[{**pool, "members": members[1:]}], limits={"max_connections": 99}))
        gateway.service.reloading.retire()
        self.assertEqual((b"two", []), (await self.said(await self.client(gateway)), First.closed))
        await self.reload(gateway, model_for(two))
        await gateway.quiet()
        gateway.service.reloading.retire()
        self.assertEqual((2, 2), (len(First.closed), len(set(First.closed))))

    async def test_admin_port(self) -> None:
        """POST /reload, in words; not from other places of the web, and not by a GET."""
        one, two = await self.two()
        gateway = await self.reloading(model_for(one), admin="127.0.0.1:0")

        async def posted(more: str = "Content-Type: application/json\r\n", method: str = "POST") -> tuple[int, Any]:
            gateway.ports["admin"] = gateway.service.admin_port or 0
            client = await self.client(gateway, "admin")
            body = "{}" if method == "POST" else ""
            head = f"{method} /reload HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
            client.write((head + body).encode())
            response = await read_response(client)
            return response.status, json.loads(response.body)

        self.wanted = model_for(two)
        for found in (await posted(""), await posted(method="GET"),
                      await posted("Content-Type: application/json\r\nOrigin: http://evil.example\r\n")):
            self.assertIn(found[0], (403, 405, 415))
        self.assertEqual(0, gateway.service.reloading.done)
        changed = f"pools: ~pool (+127.0.0.1:{two.port}, -127.0.0.1:{one.port})"
        self.assertEqual((200, {"reloaded": True, "changed": [changed]}), await posted())
        self.wanted = ConfigurationError([Problem("rules[0].pool", "'x' is not a pool", 7)], "f.yaml")
        status, answer = await posted()
        self.assertEqual((409, ["line 7: rules[0].pool: 'x' is not a pool"]), (status, answer["problems"]))

    async def test_discoveries(self) -> None:
        """One that stays keeps what it has found; one that takes its place does so when it has found something."""
        one, two = await self.two()
        listed = Written(self.mktemp())
        listed.write(one)
        pools = [{"name": "pool", "discovery": listed.discovery}]
        gateway = await self.reloading(model_for(pools=pools))
        client = await self.client(gateway)
        self.assertEqual(b"one", await self.said(client))
        before = dict(gateway.service.now.discoveries)
        await self.reload(gateway, model_for(pools=pools, settings={"request_timeout": 3}))
        self.assertEqual(before, gateway.service.now.discoveries)
        self.assertEqual(b"one", await self.said(client))
        members = [{"host": "127.0.0.1", "port": two.port}]
        await self.reload(gateway, model_for(pools=[{**pools[0], "members": members}]))
        (pool,) = gateway.service.pools.values()
        self.assertEqual([two.port, one.port], [backend.port for backend in pool.backends])
        await self.reload(gateway, model_for(pools=[{"name": "pool", "members": members}]))
        self.assertEqual([two.port], [backend.port for backend in pool.backends])

    async def test_ejected(self) -> None:
        """Who traffic has taken out stays out, whatever else changes; who is new starts as at the start."""

        async def broken(wire: Wire) -> None:
            while True:
                await read_request(wire)
                wire.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")

        good, bad = await self.backend(Saying("good")), await self.backend(broken)
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in (good, bad)]
        pools = [{"name": "pool", "members": members, "passiveHealth": {"serverErrors": 1, "baseEjectionSeconds": 600,
                                                                        "maxEjectionSeconds": 600}}]
        gateway = await self.reloading(model_for(pools=pools))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(_GET)
            await read_response(client)
        for number in range(3):
            await self.reload(gateway, model_for(pools=pools, settings={"request_timeout": 5 + number}))
            (pool,) = gateway.service.pools.values()
            self.assertEqual(["up", "down"], [backend.state for backend in pool.backends])
            self.assertIn("ejected for 600 s", pool.backends[1].reason)
            self.assertEqual(b"good", await self.said(client))
        await gateway.service.when_ready()
        await self.reload(gateway, model_for(pools=[{"name": "pool", "members": members}]))
        (pool,) = gateway.service.pools.values()
        self.assertEqual(["up", "up"], [backend.state for backend in pool.backends])

    async def test_one_after_another(self) -> None:
        """Those that are asked for while one is in progress are one, and see the file as it is then."""
        one, two = await self.two()
        gateway = await self.reloading(model_for(one))
        self.wanted = model_for(two)
        asked = [gateway.service.reload() for _ in range(5)]
        self.assertEqual([1, 0, 0, 0, 0], [len(await each) for each in asked])
        self.assertEqual(2, gateway.service.reloading.done)

    async def test_under_load(self) -> None:
        """Reloads with requests and sessions all the while: none fails, and none is lost.

        Also where all members are replaced, or the pool is.
        """
        one, two = await self.two()
        gateway = await self.reloading(model_for(one, two))
        clients = [await self.client(gateway) for _ in range(4)]
        sessions = [await self.session(gateway) for _ in range(4)]
        going, counts = [True], [0]

        async def ask(client: Wire, what: Callable[[Wire], Awaitable[Any]]) -> None:
            while going:
                await what(client)
                counts[0] += 1

        from twisted.internet.defer import Deferred, gatherResults

        asking = [Deferred.fromCoroutine(ask(client, self.said)) for client in clients]
        asking += [Deferred.fromCoroutine(ask(session, self.echo)) for session in sessions]
        other: dict[str, Any] = {
            "pools": [{"name": "other", "members": [{"host": "127.0.0.1", "port": two.port}]}],
            "rules": [{"name": "rule", "listener": "web", "pool": "other", "settings": "settings"}],
        }
        configurations = [
            model_for(one, two), model_for(one), model_for(one, settings={"request_timeout": 9}),
            model_for(one, two, limits={"max_body_bytes": 1000}), model_for(one), model_for(two), model_for(**other),
        ]  # fmt: skip
        for number in range(21):
            before = counts[0]
            await self.reload(gateway, configurations[number % len(configurations)])
            await gateway.until(lambda before=before: counts[0] > before + 10, "more requests")  # type: ignore[misc]
        going.clear()
        await gatherResults(asking)
        self.assertEqual((21, 0), (gateway.service.reloading.done, gateway.service.reloading.failed))
        self.assertEqual([200], sorted({each.status for each in gateway.recorder.outcomes}))

    async def test_nothing_is_left(self) -> None:
        """What is replaced is gone without the help of a collector, after any number of reloads."""
        one, two = await self.two()
        gateway = await self.reloading(model_for(one))
        client = await self.client(gateway)
        await self.said(client)
        service = gateway.service
        cert, key = TestCA("Test Root").issue(["a.example"]).pem_files(self.mktemp())
        certificates = [{"name": "c", "certificate_file": cert, "key_file": key}]
        seen: list[Any] = []
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for number in range(50):
            owned = service.shared.router, service.shared, service.now, service._renewal, *service.pools.values()
            seen += map(weakref.ref, (*owned, *service._ports.factories[1:]))
            del owned
            listeners = [
                {"name": "web", "address": "127.0.0.1", "port": 0},
                {"name": f"plain{number}", "address": "127.0.0.1", "port": 0},
                {"name": f"secure{number}", "address": "127.0.0.1", "port": 0, "protocol": "Https",
                 "certificates": ["c"]},
            ]  # fmt: skip
            settings = {"request_timeout": 10 + number % 3}
            await self.reload(
                gateway, model_for(one, two, settings=settings, listeners=listeners, certificates=certificates)
            )
            self.assertIn(await self.said(client), (b"one", b"two"))
            service.reloading.retire()
            gateway.recorder.outcomes.clear()
        await gateway.until(lambda: len(service._ports.factories) == 3, "the old ports to be forgotten")
        self.assertEqual([], [type(each()).__name__ for each in seen if each() is not None])
        self.assertEqual([], service.reloading.leaving)
        self.assertEqual(2, len(service.loads))


class SubclassTests(ReloadCase):
    """A service of one's own."""

    async def test_its_router_is_asked_again(self) -> None:
        asked: list[int] = []

        class Own(GatewayService):
            def make_router(self) -> Any:
                asked.append(self.model.settings[0].request_timeout)
                return super().make_router()

        backend = await self.backend(Answers())
        first = model_for(backend)
        self.wanted = first
        gateway = await self.gateway(first, Own, source=self._source)
        await self.reload(gateway, model_for(backend, settings={"request_timeout": 4}))
        self.assertEqual([30, 4], asked)

    async def test_no_source(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        failed = await self.assertFailure(gateway.service.reload(), ReloadFailed)
        self.assertIn("no configuration that could be read again", str(failed))


both_roads(globals())
