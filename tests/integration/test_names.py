"""Members that are names, looked up at a name server, through the whole gateway over both roads."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.names import dns
from twisted.names.error import DNSServerError

from tests.discovery.test_lookup import NameServer
from tests.integration.harness import PROBE_PATH, GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import read_response
from tests.integration.test_selectors import Named
from tests.integration.wire import Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def once(wire: Wire) -> None:
    """A backend whose connections are used once."""
    await wire.until(b"\r\n\r\n")
    wire.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Served-By: a\r\nContent-Length: 0\r\n\r\n")
    wire.close()


class NamesTests(GatewayTestCase):
    """One member ``chat.test``, whose two backends differ by address and not by port; probed ten times a second."""

    async def start(self, ttl: int | None) -> Running:
        from twisted.internet import reactor

        self.server = NameServer()
        where = self.server.listen(reactor)
        self.addCleanup(self.server.stop)
        self.one = await self.backend(Named("a"))
        self.two = RawBackend(Named("b"), reactor)
        self.two._listening = await TCP4ServerEndpoint(reactor, self.one.port, interface="127.0.0.2").listen(self.two)
        self._backends.append(self.two)
        self.addCleanup(self._backend_over, self.two)
        if ttl is not None:
            self.tell("127.0.0.1", ttl)
        self.wanted = self.model(where)
        return await self.gateway(self.wanted, source=lambda: (self.wanted, ()))

    def model(self, where: str) -> Any:
        return model_for(
            pools=[{"name": "pool", "members": [{"host": "chat.test", "port": self.one.port}]}],
            probes=[{"name": "probe", "path": PROBE_PATH, "interval": 0.1, "timeout": 5}],
            resolver={"nameservers": [where], "least_interval": 0.1, "timeout": 0.3},
        )

    def tell(self, address: str, ttl: int) -> None:
        self.server.records = {dns.A: [dns.Record_A(address, ttl)]}

    async def served(self, client: Wire) -> str | None:
        client.write(GET)
        return (await read_response(client)).get("X-Served-By")

    async def test_moves(self) -> None:
        """Connections that are used all the time go on at the new address, and no request fails."""
        gateway = await self.start(ttl=0)
        client = await self.client(gateway)
        self.assertEqual(await self.served(client), "a")
        (old,) = self.one.wires
        self.tell("127.0.0.2", 0)
        await old.gone()
        self.assertEqual([await self.served(client) for _ in range(2)], ["b", "b"])
        self.assertIsNone(client.reason)

    async def test_moves_during_an_exchange(self) -> None:
        """It ends where it began; its connection is not used again."""
        gateway = await self.start(ttl=0)

        async def slow(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 200 OK\r\nX-Served-By: a\r\nContent-Length: 2\r\n\r\no")
            await gateway.until(lambda: self.two.probes > 1, "probes at the new address")
            wire.write(b"k")
            await wire.gone()

        self.one.serve = slow
        client = await self.client(gateway)
        client.write(GET)
        await client.until(b"\r\n\r\n")
        self.tell("127.0.0.2", 0)
        self.assertEqual(await client.exactly(2), b"ok")
        self.assertEqual(await self.served(client), "b")

    async def test_other_name_servers(self) -> None:
        """After a reload those are asked, as soon as the last answer is too old."""
        from twisted.internet import reactor

        gateway = await self.start(ttl=0)
        other = NameServer()
        self.addCleanup(other.stop)
        other.records = {dns.A: [dns.Record_A("127.0.0.2", 60)]}
        self.wanted = self.model(other.listen(reactor))
        await gateway.service.reload()
        await gateway.until(lambda: self.two.probes > 0, "a probe at the new address")
        self.assertEqual(await self.served(await self.client(gateway)), "b")

    async def test_fresh(self) -> None:
        """While the TTL lasts nobody asks, however many connections are made."""
        gateway = await self.start(ttl=60)
        asked = len(self.server.asked)
        self.one.serve = once
        probes = self.one.probes
        await gateway.until(lambda: self.one.probes > probes + 2, "probes")
        for _ in range(5):
            self.assertEqual(await self.served(await self.client(gateway)), "a")
        self.assertEqual(len(self.server.asked), asked)

    async def test_name_server_fails(self) -> None:
        """The last good addresses are used, whether it fails, knows nothing or is silent."""
        gateway = await self.start(ttl=0)
        names = gateway.service.road.names
        self.one.serve = once
        for trouble in (DNSServerError(dns.Message()), []):
            self.server.records = {dns.A: trouble, dns.AAAA: trouble}
            for name in names._names.values():
                name.until = 0.0
            before = len(self.server.asked)
            await gateway.until(lambda: len(self.server.asked) > before, "a question")  # noqa: B023
            self.assertEqual(await self.served(await self.client(gateway)), "a")
        await self.server.stop()
        for name in names._names.values():
            name.until = 0.0
        for _ in range(3):
            self.assertEqual(await self.served(await self.client(gateway)), "a")

    async def test_no_such_name(self) -> None:
        """The gateway starts, answers 502, and uses the member as soon as its name is known."""
        gateway = await self.start(ttl=None)
        client = await self.client(gateway)
        client.write(GET)
        self.assertEqual((await read_response(client)).status, 502)
        (pool,) = gateway.service.pools.values()
        self.assertIn("the name cannot be resolved", pool.backends[0].reason)
        self.tell("127.0.0.1", 60)
        for name in gateway.service.road.names._names.values():
            name.until = 0.0
        await gateway.until(lambda: bool(pool.candidates), "a good probe")
        self.assertEqual(await self.served(client), "a")


both_roads(globals())
