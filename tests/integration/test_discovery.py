"""Members that come and go while traffic flows, through the whole gateway, over both roads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.names import dns
from twisted.names.error import DNSServerError
from zope.interface import implementer

from gateway.config.model import Member
from gateway.discovery.resolver import NameServers
from gateway.interfaces import IDiscovery, IStrategyFactory
from gateway.service import GatewayService
from tests.discovery.test_lookup import NameServer
from tests.integration.harness import PROBE_PATH, GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Message, read_request, read_response
from tests.integration.test_selectors import Named
from tests.integration.websocket import TEXT, agree, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

MASK = b"\x12\x34\x56\x78"


class DiscoveryCase(GatewayTestCase):
    """A pool whose members something else knows."""

    services: list[GatewayService]

    def setUp(self) -> None:
        """Keep every service that is made, also before it is ready."""
        self.services = services = []
        began = GatewayService.startService

        def start(service: GatewayService) -> None:
            services.append(service)
            began(service)

        self.patch(GatewayService, "startService", start)

    def model(self, discovery: Any, settings: dict[str, Any] | None = None, members: Any = ()) -> Any:
        pool = {"name": "pool", "members": members, "discovery": discovery}
        return model_for(settings=settings, pools=[pool])

    async def ask(self, gateway: Running) -> Message:
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return await read_response(client)

    async def served(self, gateway: Running, times: int = 6) -> str:
        """Who serves, each once."""
        return "".join(sorted({(await self.ask(gateway)).get("X-Served-By") or "?" for _ in range(times)}))

    async def members(self, gateway: Running, count: int) -> None:
        """Wait until so many members are healthy, and there are no others."""
        (pool,) = gateway.service.pools.values()
        await gateway.until(lambda: len(pool.candidates) == len(pool.backends) == count, f"{count} healthy members")


class Written:
    """A file of members."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self.discovery = {"strategy": "file", "options": {"path": str(self.path), "interval": 0.05}}

    def write(self, *backends: RawBackend) -> None:
        other = self.path.with_suffix(".new")
        other.write_text("".join([f"127.0.0.1:{backend.port}\n" for backend in backends]) or "# nobody\n", "utf-8")
        os.replace(other, self.path)


class FileTests(DiscoveryCase):
    """A watched file."""

    async def test_members(self) -> None:
        one, two, three = [await self.backend(Named(name)) for name in "abc"]
        listed = Written(self.mktemp())
        listed.write(one, two)
        gateway = await self.gateway(self.model(listed.discovery))
        self.assertEqual(await self.served(gateway), "ab")
        (pool,) = gateway.service.pools.values()
        idle = [wire for wire in one.wires if wire.reason is None]
        listed.write(two, three)
        await gateway.until(lambda: [b.port for b in pool.candidates] == [two.port, three.port], "the new members")
        self.assertEqual(await self.served(gateway), "bc")
        for wire in idle:
            await wire.gone()  # connections to who has left are closed
        listed.write()
        await deferLater(gateway.service.reactor, 0.15)
        self.assertEqual(await self.served(gateway), "bc")

    async def test_beside_those_that_are_listed(self) -> None:
        one, two = [await self.backend(Named(name)) for name in "ab"]
        listed = Written(self.mktemp())
        listed.write(two)
        gateway = await self.gateway(self.model(listed.discovery, members=[{"host": "127.0.0.1", "port": one.port}]))
        self.assertEqual(await self.served(gateway), "ab")


class DrainTests(DiscoveryCase):
    """A member leaves while sessions are open."""

    async def session(self, gateway: Running) -> Wire:
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual((await read_response(client)).status, 101)
        return client

    async def begin(self, draining: dict[str, Any]) -> tuple[Running, Written, Wire, RawBackend]:
        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            wire.write(agree(request))
            while True:
                wire.write(frame(TEXT, (await read_frame(wire)).payload))

        backend, other = await self.backend(serve), await self.backend(Named("b"))
        listed = Written(self.mktemp())
        listed.write(backend)
        gateway = await self.gateway(self.model(listed.discovery, settings={"connection_draining": draining}))
        client = await self.session(gateway)
        listed.write(other)
        (pool,) = gateway.service.pools.values()
        await gateway.until(lambda: [b.port for b in pool.candidates] == [other.port], "the change")
        return gateway, listed, client, backend

    async def echoes(self, client: Wire) -> None:
        client.write(frame(TEXT, b"hello", MASK))
        self.assertEqual((await read_frame(client)).payload, b"hello")

    async def test_ended(self) -> None:
        """The session goes on, new requests go elsewhere, and after the time there is a close frame."""
        gateway, _, client, backend = await self.begin({"enabled": True, "drain_timeout_in_sec": 1})
        await self.echoes(client)
        self.assertEqual(await self.served(gateway, 3), "b")
        self.assertEqual((await read_close(client))[:2], (1001, "the backend is going away"))
        client.write(frame(8, (1001).to_bytes(2, "big"), MASK))
        backend.cut()
        outcome = await gateway.outcome(3)
        self.assertEqual((outcome.cause, outcome.closed_by, outcome.close_code), ("drained", "gateway", 1001))

    async def test_not_enabled(self) -> None:
        gateway, _, client, _ = await self.begin({"enabled": False})
        await self.echoes(client)
        self.assertEqual((gateway.sessions, gateway.service.changes.draining), (1, 0))

    async def test_back_again(self) -> None:
        """A member that comes back keeps its session, and counts it."""
        gateway, listed, client, backend = await self.begin({"enabled": True, "drain_timeout_in_sec": 1})
        listed.write(backend)
        (pool,) = gateway.service.pools.values()
        await gateway.until(lambda: [b.port for b in pool.candidates] == [backend.port], "the change")
        await deferLater(gateway.service.reactor, 1.2)
        await self.echoes(client)
        self.assertEqual(gateway.active, 1)


class DnsTests(DiscoveryCase):
    """A name server on loopback."""

    async def server(self) -> tuple[NameServer, dict[str, Any]]:
        from twisted.internet import reactor

        server = NameServer()
        where = server.listen(reactor)
        self.addCleanup(server.stop)
        return server, {"name": "chat.test", "nameservers": [where], "leastInterval": 0.1, "timeout": 1}

    async def test_services(self) -> None:
        """SRV records give hosts and ports; they change, and then the name server fails."""
        one, two = [await self.backend(Named(name)) for name in "ab"]
        server, options = await self.server()

        def tell(*backends: RawBackend) -> None:
            server.records[dns.SRV] = [dns.Record_SRV(0, 1, each.port, b"127.0.0.1", ttl=0) for each in backends]

        tell(one)
        discovery = {"strategy": "dns", "options": {**options, "records": "srv"}}
        gateway = await self.gateway(self.model(discovery))
        self.assertEqual(await self.served(gateway), "a")
        tell(one, two)
        await self.members(gateway, 2)
        self.assertEqual(await self.served(gateway), "ab")
        server.records[dns.SRV] = DNSServerError(dns.Message())
        asked = len(server.asked)
        await gateway.until(lambda: len(server.asked) > asked + 2, "two failures")
        self.assertEqual(await self.served(gateway), "ab")
        tell(two)
        await self.members(gateway, 1)
        self.assertEqual(await self.served(gateway), "b")

    async def test_addresses(self) -> None:
        one = await self.backend(Named("a"))
        server, options = await self.server()
        server.records[dns.A] = [dns.Record_A("127.0.0.1", ttl=60)]
        discovery = {"strategy": "dns", "options": {**options, "port": one.port}}
        gateway = await self.gateway(self.model(discovery))
        self.assertEqual(await self.served(gateway), "a")
        self.assertEqual({kind for _, kind in server.asked}, {dns.A, dns.AAAA})

    async def test_nothing_known(self) -> None:
        """The gateway starts, is ready, and answers 502 with the reason in its log."""
        _, options = await self.server()
        gateway = await self.gateway(self.model({"strategy": "dns", "options": options}))
        self.assertEqual((await self.ask(gateway)).status, 502)
        self.assertIn("the pool is empty", str((await gateway.outcome()).error))


@implementer(IDiscovery)
class Slow:
    """Takes its time for the first attempt."""

    def start(self, found: Any) -> Deferred[None]:
        self.first: Deferred[None] = Deferred()
        self.found = found
        return self.first

    def stop(self) -> None:
        """Nothing to let go of."""


@implementer(IStrategyFactory)
class SlowFactory:
    """Named ``module:object`` in the configuration."""

    name = "slow"
    options = None

    def build(self, options: None, services: Any) -> Slow:
        self.given = services
        self.made = Slow()
        return self.made


slow = SlowFactory()


class ReadyTests(DiscoveryCase):
    """When the gateway may be sent traffic."""

    async def test_not_before_the_first_attempt(self) -> None:
        backend = await self.backend(Named("a"))
        starting = ensureDeferred(self.gateway(self.model(f"{__name__}:slow")))
        members = slow.made
        service = self.services[-1]
        given = slow.given
        self.assertEqual((service.road, service.model, "pool"), (given.road, given.model, given.pool))
        self.assertEqual(service.readiness(), (False, "the members of pool pool are not known yet"))
        members.found([Member(host="127.0.0.1", port=backend.port)])
        members.first.callback(None)
        gateway = await starting
        self.assertEqual(service.readiness(), (True, "all backends have been probed"))
        self.assertEqual(await self.served(gateway), "a")


class NameTests(DiscoveryCase):
    """A member that is a name: its addresses are looked up now and then, and kept when that fails."""

    async def test_last_good_addresses(self) -> None:
        asked: list[str] = []
        answers: list[list[IPv4Address]] = []

        class Resolver:
            def resolveHostName(self, receiver: Any, host: str, port: int, *others: Any) -> None:
                asked.append(host)
                receiver.resolutionBegan(self)
                for address in answers.pop(0) if answers else []:
                    receiver.addressResolved(address)
                receiver.resolutionComplete()

        from twisted.internet import reactor

        installed: Any = reactor
        before = installed.installNameResolver(Resolver())
        self.addCleanup(installed.installNameResolver, before)
        self.patch(NameServers, "_servers", lambda servers, name: ())  # this machine's are nobody's business here
        backend = await self.backend(Named("a"))
        answers.append([IPv4Address("TCP", "127.0.0.1", backend.port)])
        model = model_for(
            pools=[{"name": "pool", "members": [{"host": "backend.test", "port": backend.port}]}],
            probes=[{"name": "probe", "path": PROBE_PATH, "interval": 86400, "timeout": 5}],
        )
        gateway = await self.gateway(model)
        now = gateway.service.road.names._seconds
        for seconds in (0, 0, 10, 20):
            self.patch(gateway.service.road.names, "_seconds", lambda ahead=seconds: now() + ahead)
            backend.cut()  # so that the next request needs a connection
            await gateway.until(lambda: not backend._open, "the end of idle connections")
            self.assertEqual(await self.served(gateway, 1), "a")
        self.assertEqual(asked, ["backend.test"] * 3)


both_roads(globals())
