"""Which backend a request comes to, through the whole gateway, over both roads."""

from __future__ import annotations

from typing import Any

from tests.certificates import TestCA
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Message, read_request, read_response
from tests.integration.test_https import Client
from tests.integration.websocket import agree, handshake
from tests.integration.wire import Wire

CA = TestCA("Test Root")


class Named:
    """A backend that says who it is, and agrees to any WebSocket."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, wire: Wire) -> None:
        while True:
            request = await read_request(wire)
            if request.get("Upgrade"):
                wire.write(agree(request, f"X-Served-By: {self.name}\r\nSet-Cookie: own=1\r\n"))
                return
            fields = f"X-Served-By: {self.name}\r\nSet-Cookie: own=1\r\nContent-Length: 2"
            wire.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok".encode())


class SelectorCase(GatewayTestCase):
    """Backends with names, and clients with cookies."""

    async def backends(self, names: str) -> list[RawBackend]:
        return [await self.backend(Named(name)) for name in names]

    def model(self, backends: list[RawBackend], selector: str, tls: bool = False, **others: Any) -> Any:
        members = [
            {"host": "127.0.0.1", "port": backend.port, **extra}
            for backend, extra in zip(backends, others.pop("members", [{}] * len(backends)), strict=True)
        ]
        options = others.pop("options", {})
        secure: dict[str, Any] = {}
        if tls:
            listener = {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["c"]}
            secure = {"listeners": [listener], "certificates": [CA.issue(names=["a.example"]).certificate("c")]}
        pool = {"name": "pool", "members": members, "selector": selector, "selector_options": options}
        return model_for(*backends, pools=[pool], **secure, **others)

    async def ask(self, gateway: Running, *cookies: str, tls: bool = False, upgrade: bool = False) -> Message:
        client = await self.client(gateway, tls=Client() if tls else None)
        line = f"Cookie: {'; '.join(cookies)}\r\n" if cookies else ""
        client.write(handshake(line) if upgrade else f"GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n".encode())
        response = await read_response(client)
        self.addCleanup(client.reset)
        return response

    async def served(self, gateway: Running, times: int, *cookies: str, **others: Any) -> str:
        """Who served so many requests."""
        return "".join([(await self.ask(gateway, *cookies, **others)).get("X-Served-By") or "?" for _ in range(times)])


class StickyTests(SelectorCase):
    """A cookie ties a client to its backend."""

    async def test_stays(self) -> None:
        gateway = await self.gateway(self.model(await self.backends("abc"), "sticky", options={"cookie": "sid"}))
        first = await self.ask(gateway)
        own, cookie = first.all("Set-Cookie")
        self.assertEqual(own, "own=1")
        self.assertRegex(cookie, r"\Asid=[\w-]{22}; Path=/; HttpOnly; SameSite=Lax\Z")
        again = await self.ask(gateway, "x=y", cookie.partition(";")[0])
        self.assertEqual(again.all("Set-Cookie"), ["own=1"])
        self.assertEqual(await self.served(gateway, 5, cookie.partition(";")[0]), (first.get("X-Served-By") or "") * 5)
        self.assertEqual(sorted(await self.served(gateway, 6)), list("aabbcc"))

    async def test_websocket(self) -> None:
        """The 101 carries the cookie, and the next handshake and request come to the same backend."""
        gateway = await self.gateway(self.model(await self.backends("abc"), "sticky"))
        opened = await self.ask(gateway, upgrade=True)
        self.assertEqual(opened.status, 101)
        own, cookie = opened.all("Set-Cookie")
        value, name = cookie.partition(";")[0], opened.get("X-Served-By") or ""
        self.assertEqual(await self.served(gateway, 3, value, upgrade=True), name * 3)
        self.assertEqual(await self.served(gateway, 3, value), name * 3)

    async def test_over_tls(self) -> None:
        gateway = await self.gateway(self.model(await self.backends("a"), "sticky", tls=True))
        _, cookie = (await self.ask(gateway, tls=True)).all("Set-Cookie")
        self.assertTrue(cookie.endswith("; HttpOnly; Secure; SameSite=Lax"), cookie)

    async def test_backend_gone(self) -> None:
        """Refused connections bring the client to another backend within the request, with another cookie."""
        backends = await self.backends("ab")
        gateway = await self.gateway(self.model(backends, "sticky"))
        first = await self.ask(gateway)
        value = first.all("Set-Cookie")[1].partition(";")[0]
        gone = "ab".index(first.get("X-Served-By") or "")
        await backends[gone].refuse()
        backends[gone].cut()
        moved = await self.ask(gateway, value)
        self.assertEqual(moved.get("X-Served-By"), "ba"[gone])
        self.assertNotEqual(moved.all("Set-Cookie")[1].partition(";")[0], value)

    async def test_no_answer_no_cookie(self) -> None:
        """What the gateway answers itself ties nobody to anything."""
        (backend,) = await self.backends("a")
        gateway = await self.gateway(self.model([backend], "sticky"))
        await backend.refuse()
        response = await self.ask(gateway)
        self.assertEqual((response.status, response.all("Set-Cookie")), (502, []))

    async def test_application_gateway(self) -> None:
        """``cookieBasedAffinity`` over another selector: two cookies, either of which is enough."""
        model = self.model(
            await self.backends("abc"), "least-connections", settings={"cookie_based_affinity": "Enabled"}
        )
        gateway = await self.gateway(model)
        first = await self.ask(gateway)
        _, plain, other = first.all("Set-Cookie")
        self.assertRegex(plain, r"\AApplicationGatewayAffinity=[\w-]{22}; Path=/\Z")
        self.assertRegex(other, r"\AApplicationGatewayAffinityCORS=[\w-]{22}; Path=/; Secure; SameSite=None\Z")
        for cookie in (plain, other):
            self.assertEqual(
                await self.served(gateway, 4, cookie.partition(";")[0]), (first.get("X-Served-By") or "") * 4
            )


class DistributionTests(SelectorCase):
    """Affinity over several pools: the distribution takes the pool that the cookie belongs to."""

    async def start(self, algorithm: str = "RoundRobin") -> tuple[Running, list[RawBackend]]:
        backends = await self.backends("abcd")
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in backends]
        model = model_for(
            settings={"cookie_based_affinity": "Enabled"},
            pools=[{"name": "one", "members": members[:2]}, {"name": "two", "members": members[2:]}],
            rules=[{"name": "rule", "listener": "web", "distribution": "both", "settings": "settings"}],
            distributions=[
                {"name": "both", "algorithm": algorithm, "targets": [{"pool": "one", "weight": 9}, {"pool": "two"}]}
            ],
        )
        return await self.gateway(model), backends

    async def test_stays(self) -> None:
        gateway, _ = await self.start()
        cookies = {}
        for _ in range(40):
            answer = await self.ask(gateway)
            cookies[answer.get("X-Served-By") or ""] = answer.all("Set-Cookie")[1].partition(";")[0]
        self.assertEqual(sorted(cookies), list("abcd"))
        for name, value in cookies.items():
            self.assertEqual(await self.served(gateway, 6, value), name * 6)
            self.assertEqual(await self.served(gateway, 2, value, upgrade=True), name * 2)
            self.assertEqual((await self.ask(gateway, value)).all("Set-Cookie"), ["own=1"])

    async def test_by_address(self) -> None:
        """The cookie comes before the address."""
        gateway, backends = await self.start("IpHash")
        pools = [pool for (name, _), pool in sorted(gateway.service.pools.items())]
        for pool, names in zip(pools, ("ab", "cd"), strict=True):
            for backend, name in zip(pool.backends, names, strict=True):
                value = f"ApplicationGatewayAffinity={pool.selector.value(backend)}"
                self.assertEqual(await self.served(gateway, 3, value), name * 3)

    async def test_gone(self) -> None:
        """Whose member may not be chosen is sent to any, and gets its cookie."""
        gateway, _ = await self.start()
        one, two = [pool for _, pool in sorted(gateway.service.pools.items())]
        value = f"ApplicationGatewayAffinity={two.selector.value(two.backends[0])}"
        for backend in two.backends:
            two.set_draining(backend, True)
        answer = await self.ask(gateway, value)
        self.assertIn(answer.get("X-Served-By"), ("a", "b"))
        self.assertNotIn(value, answer.all("Set-Cookie")[1])


class OtherTests(SelectorCase):
    """Others that need something of the gateway around them."""

    async def test_address(self) -> None:
        """All requests of one address come to one backend; those of clients behind a trusted proxy do not."""
        model = self.model(await self.backends("abcd"), "address-hash")
        self.assertEqual(len(set(await self.served(await self.gateway(model), 6))), 1)
        trusting = self.model(
            await self.backends("abcd"), "address-hash", limits={"trusted_proxies": ["127.0.0.0/8"]}
        )
        gateway = await self.gateway(trusting)
        served = set()
        for number in range(20):
            client = await self.client(gateway)
            client.write(f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.{number}\r\n\r\n".encode())
            served.add((await read_response(client)).get("X-Served-By"))
        self.assertGreater(len(served), 2)

    async def test_failover(self) -> None:
        """The second group is used while the first is out, also within the request that finds that out."""
        backends = await self.backends("abc")
        members = [{}, {"priority": 1}, {"priority": 1}]
        gateway = await self.gateway(self.model(backends, "priority", members=members))
        self.assertEqual(await self.served(gateway, 3), "aaa")
        await backends[0].refuse()
        backends[0].cut()
        self.assertEqual(set(await self.served(gateway, 4)), {"b", "c"})

    async def test_latency(self) -> None:
        """It is measured, from the lease to the response head."""
        gateway = await self.gateway(self.model(await self.backends("ab"), "least-latency"))
        await self.served(gateway, 4)
        (pool,) = gateway.service.pools.values()
        for backend in pool.backends:
            self.assertTrue(0 < backend.latency.mean < 5, backend.latency.mean)


both_roads(globals())
