"""What has ended is gone at once, whatever it was; nothing waits for `gateway.lifecycle.collector`."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from gateway.config.model import Gateway, Member
from gateway.middleware.base import Middleware
from gateway.middleware.passwords import hash_password
from gateway.services import Factory
from tests.certificates import TestCA
from tests.integration.harness import PROBE_PATH, GatewayTestCase, Running, model_for
from tests.integration.messages import chunked, read_request, read_response
from tests.integration.sessions import MASK
from tests.integration.test_https import Client
from tests.integration.websocket import CLOSE, agree, close, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Waiting(Middleware):
    """Waits, then lets requests pass, or fails where their path says so."""

    traffic = frozenset({"http", "upgrade"})

    def __init__(self, options: None, services: Any) -> None:
        self._clock = services.clock

    async def request(self, head: Any, context: Any) -> Any:
        await deferLater(self._clock, 0.01)
        if head.path == "/fails":
            raise RuntimeError("as asked")
        return head._replace(fields=(*head.fields, ("Passed", "1")))


waiting = Factory("waiting", None, _Waiting)


async def _serve(wire: Wire) -> None:
    while True:
        request = await read_request(wire)
        if request.get("Upgrade") is not None:
            wire.write(agree(request))
            while (message := await read_frame(wire)).opcode != CLOSE:
                wire.write(frame(message.opcode, message.payload))
            wire.write(close(1000))
            wire.close()
            return
        if request.target == "/breaks":
            wire.write(_CHUNKED + b"5\r\nhel")
            wire.close()
            return
        wire.write(_CHUNKED + chunked(b"a", b"b") if request.target == "/chunked" else _SHORT)


class GarbageTests(GatewayTestCase):
    """On the pump; Twisted's own transports have cycles of their own."""

    transport = "pump"

    @contextmanager
    def nothing_left(self) -> Iterator[None]:
        """In this block nothing of the gateway's may become garbage that only a collector finds."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        kinds = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        gc.garbage.clear()
        self.assertEqual([], sorted(kind for kind in kinds if kind.startswith("gateway.")))

    async def over(self, gateway: Running) -> None:
        """All clients have gone, and everybody knows."""
        factories = gateway.service._ports.factories
        await gateway.until(lambda: not any(factory.connections for factory in factories), "connections to end")
        await gateway.quiet()
        gateway.recorder.outcomes.clear()

    async def asked(self, gateway: Running, request: bytes, tls: Any = None) -> int:
        """The status of the answer to a client that comes for this and leaves."""
        client = await self.client(gateway, "secure" if tls else None, tls=tls)
        client.write(request)
        try:
            return (await read_response(client)).status
        finally:
            client.transport.abortConnection()
            await client.gone()

    async def running(self, **others: Any) -> Running:
        issued = TestCA("Test Root").issue(["a.example"])
        listeners = [
            {"name": "web", "address": "127.0.0.1", "port": 0},
            {"name": "secure", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["c"]},
        ]
        rules = [
            {"name": f"to {name}", "listener": name, "pool": "pool", "settings": "settings"}
            for name in ("web", "secure")
        ]
        return await self.gateway(
            model_for(
                await self.backend(_serve),
                **{"listeners": listeners, "rules": rules, "certificates": [issued.certificate("c")], **others},
            )
        )

    async def test_exchanges(self) -> None:
        """Those that go well, break off, are refused, with bodies that are chunked."""
        gateway = await self.running(limits={"max_body_bytes": 10})
        post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        with self.nothing_left():
            for tls in None, Client("a.example"):
                for path, status in (b"/", 200), (b"/chunked", 200):
                    request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path
                    self.assertEqual(status, await self.asked(gateway, request, tls))
                self.assertEqual(200, await self.asked(gateway, post + chunked(b"hello"), tls))
                self.assertEqual(413, await self.asked(gateway, post + chunked(b"hello" * 3), tls))
                self.assertEqual(400, await self.asked(gateway, b"GET / HTTP/1.1\r\n\r\n", tls))
                broken = self.asked(gateway, b"GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n", tls)
                await self._fails(broken)
            await self.over(gateway)

    async def _fails(self, asked: Awaitable[int]) -> None:
        try:
            status = await asked
        except Exception:
            return
        self.fail(f"a whole response of status {status}")

    async def test_no_backend(self) -> None:
        """Where nobody answers, plainly and with TLS."""
        backend = await self.backend(_serve)
        await backend.refuse()
        for others in {}, {"protocol": "Https", "host_name": "a.example"}:
            gateway = await self.gateway(model_for(backend, settings=others))
            with self.nothing_left():
                for _ in range(3):
                    self.assertIn(await self.asked(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (502, 503))
                await self.over(gateway)

    async def test_probes(self) -> None:
        """Probes that go well, and some that do not."""
        backend = await self.backend(_serve)
        with self.nothing_left():
            for healthy, protocol in (True, "Http"), (False, "Http"), (True, "Https"):
                backend.healthy = healthy
                probe = {"name": "probe", "path": PROBE_PATH, "interval": 86400, "timeout": 1, "protocol": protocol,
                         "host": "a"}  # fmt: skip
                gateway = await self.gateway(model_for(backend, probes=[probe]))
                backend.cut()  # it waits for more after an end
                await gateway.until(lambda: not backend._open, "probes to end")

    async def test_middleware(self) -> None:
        """One that takes its time, passes on, and fails."""
        gateway = await self.running(middleware=["tests.integration.test_garbage:waiting"])
        with self.nothing_left():
            for path, status in (b"/", 200), (b"/chunked", 200), (b"/fails", 500):
                self.assertEqual(status, await self.asked(gateway, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path))
            await self.over(gateway)

    async def test_rewrites(self) -> None:
        """Of requests and responses."""
        rules = [{"name": "r", "request_headers": [{"name": "A", "value": "{var_client_ip}"}],
                  "response_headers": [{"name": "B", "value": "{var_host}"}]}]  # fmt: skip
        gateway = await self.running(
            rewrites=[{"name": "set", "rules": rules}],
            rules=[{"name": "rule", "listener": "web", "pool": "pool", "settings": "settings", "rewrite": "set"}],
        )
        with self.nothing_left():
            for path in b"/", b"/chunked":
                self.assertEqual(200, await self.asked(gateway, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path))
            await self.over(gateway)

    async def test_strategies(self) -> None:
        """Middleware of the gateway's own, for requests that get through, that do not, and for sessions."""
        secret = Path(self.mktemp())
        secret.write_text("x" * 32)
        strategies: list[Any] = [
            {"strategy": "address", "options": {"allow": ["127.0.0.0/8"]}}, "compress", "security-headers",
            {"strategy": "cors", "options": {"origins": ["https://a.test"]}},
            {"strategy": "forward-auth", "options": {"url": f"http://127.0.0.1:{(await self.backend(_serve)).port}/a"}},
            {"strategy": "headers", "options": {"response": {"add": {"X-A": "b"}}}},
            {"strategy": "origin", "options": {"origins": ["https://a.test"]}},
            {"strategy": "rate-limit", "options": {"requests": 10, "per": 60, "burst": 6}},
            {"strategy": "basic-auth", "options": {"users": {"ann": hash_password(b"a")}}},
            {"strategy": "jwt", "options": {"algorithms": ["HS256"], "secretFile": str(secret)}},
        ]
        for strategy in strategies:
            gateway = await self.running(middleware=[strategy])
            with self.nothing_left():
                for path in b"/", b"/chunked", b"/?a":
                    client = await self.client(gateway)
                    client.write(b"GET %b HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n" % path)
                    await read_response(client)
                    client.transport.abortConnection()
                    await client.gone()
                client = await self.client(gateway)
                client.write(handshake("Origin: https://a.test\r\n"))
                if (await read_response(client)).status == 101:
                    client.write(close(1000, mask=MASK))
                    self.assertEqual(1000, (await read_close(client))[0])
                client.transport.abortConnection()
                await client.gone()
                await self.over(gateway)

    async def test_members(self) -> None:
        """That leave: after probes, traffic, and with both still in progress."""
        one, two = await self.backend(_serve), await self.backend(_serve)
        gateway = await self.gateway(model_for(one))
        service = gateway.service
        (pool,) = service.pools.values()
        with self.nothing_left():
            for backend in two, one, two:
                service.change_members(pool, [Member(host="127.0.0.1", port=backend.port)])
                self.assertEqual(200, await self.asked(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            service.change_members(pool, [Member(host="127.0.0.1", port=port) for port in (one.port, two.port)])
            service.change_members(pool, [Member(host="127.0.0.1", port=one.port)])
            await service.when_ready()
            service.ways.sweep()
            await self.over(gateway)

    async def test_reloads(self) -> None:
        """Of what takes the place of other members, settings, and the whole."""
        one, two = await self.backend(_serve), await self.backend(_serve)
        wanted = [model_for(one)]
        gateway = await self.gateway(wanted[0], source=lambda found=(): (wanted[0], ()))
        with self.nothing_left():
            for wanted[0] in (
                model_for(two), model_for(two, settings={"request_timeout": 3}), model_for(two, one, probes=[
                    {"name": "probe", "strategy": "tcp", "interval": 86400, "timeout": 5}]),
                model_for(one, two, settings={"cookie_based_affinity": "Enabled", "affinity_cookie_name": "a"}),
                model_for(one),
            ):  # fmt: skip
                await gateway.service.reload()
                self.assertEqual(200, await self.asked(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            await self.over(gateway)
            gateway.service._sweep()

    async def test_pools(self) -> None:
        """That are replaced, whatever chooses among their members."""
        one, two = await self.backend(_serve), await self.backend(_serve)
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in (one, two)]

        def with_selector(name: str, **options: Any) -> Gateway:
            pool = {"name": "pool", "members": members, "selector": name, "selector_options": options}
            return model_for(pools=[{**pool, "passive_health": {}}])

        wanted = [with_selector("round-robin")]
        gateway = await self.gateway(wanted[0], source=lambda found=(): (wanted[0], ()))
        with self.nothing_left():
            for name in entry_points(group="gateway.selectors").names:
                wanted[0] = with_selector(name, **({"by": "header:x-a"} if name == "hash" else {}))
                await gateway.service.reload()
                self.assertEqual(200, await self.asked(gateway, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
            wanted[0] = with_selector("round-robin")
            await gateway.service.reload()
            await self.over(gateway)
            gateway.service._sweep()

    async def test_sessions(self) -> None:
        """With middleware and a filter."""
        gateway = await self.running(
            middleware=["tests.integration.test_garbage:waiting"],
            rules=[{"name": "rule", "listener": "web", "pool": "pool", "settings": "settings",
                    "filters": ["tests.integration.filters:talk"]}],
        )  # fmt: skip
        with self.nothing_left():
            client = await self.client(gateway)
            client.write(handshake())
            self.assertEqual(101, (await read_response(client)).status)
            for text in b"hello", b"wait":
                client.write(frame(1, text, mask=MASK))
                await read_frame(client)
            client.write(close(1000, mask=MASK))
            self.assertEqual(1000, (await read_close(client))[0])
            await client.gone()
            await self.over(gateway)

    async def test_handshakes(self) -> None:
        """Those that fail, and a client that forgets the TLS."""
        gateway = await self.running()
        with self.nothing_left():
            for data in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16":
                client = await self.client(gateway, "secure")
                client.write(data)
                client.transport.loseWriteConnection()
                await client.gone()
            await self.over(gateway)
