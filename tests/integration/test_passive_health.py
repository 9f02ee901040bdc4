"""Passive health over real sockets: what traffic finds takes a member out, and time brings it back."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from tests.certificates import TestCA
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.sessions import MASK
from tests.integration.test_https import Server
from tests.integration.websocket import TEXT, agree, close, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

CA = TestCA("Test Root")


class PassiveTests(GatewayTestCase):
    """Two members, one of which goes bad though its probe says otherwise."""

    def setUp(self) -> None:
        self.broken = False

    async def bad(self, wire: Wire) -> None:
        """Answers with 500 while it is broken."""
        while True:
            await read_request(wire)
            status = b"500 Broken" if self.broken else b"200 OK"
            wire.write(b"HTTP/1.1 %s\r\nContent-Length: 3\r\n\r\nbad" % status)

    async def good(self, wire: Wire) -> None:
        """Answers with 200."""
        while True:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")

    async def pair(self, bad: Any, good: Any, admin: str | None = None, **rules: Any) -> tuple[Running, RawBackend]:
        """A gateway over two backends, and the first of them."""
        first, second = await self.backend(bad), await self.backend(good)
        model = model_for(first, second)
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in (first, second)]
        pool = type(model.pools[0]).model_validate({"name": "pool", "members": members, "passiveHealth": rules})
        return await self.gateway(model.model_copy(update={"pools": (pool,)}), admin=admin), first

    def member(self, gateway: Running) -> Any:
        """The member that goes bad."""
        return next(iter(gateway.service.pools.values())).backends[0]

    async def get(self, gateway: Running, times: int = 1) -> list[int]:
        """The statuses of some requests on one connection."""
        client = await self.client(gateway)
        statuses = []
        for _ in range(times):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            statuses.append((await read_response(client)).status)
        return statuses

    async def test_server_errors(self) -> None:
        gateway, _ = await self.pair(self.bad, self.good, serverErrors=3, baseEjectionSeconds=0.5)
        self.broken = True
        self.assertEqual(3, (await self.get(gateway, 20)).count(500))
        member = self.member(gateway)
        self.assertEqual("down: ejected for 0.5 s: 3 failed answers in a row", f"{member.state}: {member.reason}")
        self.broken = False
        await gateway.until(lambda: member.state == "up", "its time to be over")
        self.assertEqual([200] * 4, await self.get(gateway, 4))

    async def test_connect_failures(self) -> None:
        """Nobody notices but the log: another member is asked in the same request."""
        gateway, bad = await self.pair(self.bad, self.good, connectFailures=2)
        await bad.refuse()
        self.assertEqual([200] * 6, await self.get(gateway, 6))
        self.assertEqual("ejected for 30 s: 2 connect failures in a row", self.member(gateway).reason)

    async def test_names_of_clients(self) -> None:
        """Nobody has healthy members ejected with a Host that their certificates are not for."""
        backends = [await self.backend(self.good, Server(CA.issue(names=["api.example"]))) for _ in range(2)]
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in backends]
        for named, reason in (({}, ""), ({"hostName": "other.example"}, "2 connect failures in a row")):
            model = model_for(
                pools=[{"name": "pool", "members": members, "passiveHealth": {"connectFailures": 2}}],
                settings={"protocol": "Https", "trustedRootCertificates": ["root"], **named},
                trusted_roots=[CA.trusted_root("root")],
                probes=[{"name": "probe", "protocol": "Tcp", "interval": 86400}],
            )
            gateway = await self.gateway(model)
            self.assertEqual([502] * 6, await self.get(gateway, 6))
            reasons = [backend.reason for backend in next(iter(gateway.service.pools.values())).backends]
            self.assertEqual(bool(reason), any(f": {reason}" in each for each in reasons), reasons)
            self.assertEqual("backend_tls_failed", gateway.recorder.outcomes[-1].cause)

    async def test_running_sessions(self) -> None:
        """A server that goes down with 1012 takes all its sessions with it, and gets no new ones."""

        async def restart(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            await read_frame(wire)
            wire.write(close(1012, "restart"))
            await read_close(wire)
            wire.close()

        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            await read_close(wire)
            wire.write(close(1000))
            wire.close()

        gateway, _ = await self.pair(restart, serve, earlyDeaths=2)
        clients = []
        for _ in range(4):
            client = await self.client(gateway)
            client.write(handshake())
            await read_response(client)
            clients.append(client)
        member = self.member(gateway)
        for client in clients[::2]:  # every other one, in turn
            self.assertEqual("up", member.state)
            client.write(frame(TEXT, b"hello", MASK))
            self.assertEqual(1012, (await read_close(client))[0])
            client.write(close(1012, "", MASK))
            await client.rest()
        await gateway.until(lambda: member.state == "down", "the member to leave")
        self.assertEqual("ejected for 30 s: 2 sessions that died early in a row", member.reason)
        for client in clients[1::2]:
            client.write(close(1000, "", MASK))
            await client.rest()

    async def test_the_admin_site_shows_it(self) -> None:
        from twisted.internet import reactor

        gateway, _ = await self.pair(self.bad, self.good, admin="127.0.0.1:0", serverErrors=1)
        self.broken = True
        await self.get(gateway, 2)
        pages = {}
        for path in ("/pools", "/metrics"):
            port = gateway.service.admin_port
            wire = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Wire("admin", reactor))
            wire.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
            pages[path] = (await read_response(wire)).body.decode()
            await wire.rest()
        pools = json.loads(pages["/pools"])["pools"]
        members = [(one["state"], one["ejected"], one["ejections"]) for one in pools[0]["backends"]]
        self.assertEqual([("down", True, 1), ("up", False, 0)], members)
        self.assertEqual(1, pools[0]["healthy"])
        self.assertRegex(pages["/metrics"], r'gateway_backend_ejections_total\{.*backend="[0-9.:]+"\} 1\n')


both_roads(globals())
