"""The health of backends as the admin port reports it, and probes at somebody's request, over real sockets."""

from __future__ import annotations

import json
from typing import Any

from gateway.config.model import Gateway
from tests.integration.harness import PROBE_PATH, GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.wire import Wire

JSON = "Content-Type: application/json\r\n"
ASKED = {
    "backendAddressPool": {"id": "/x/applicationGateways/g/backendAddressPools/POOL"},
    "backendHttpSettings": "settings",
}
ON_DEMAND = "POST /getBackendHealthOnDemand HTTP/1.1\r\nHost: localhost\r\n"


async def named(wire: Wire) -> None:
    """Answer with the Host and the path that were asked for; ``/503`` with that status."""
    request = await read_request(wire)
    body = f"{request.get('host')} {request.target}".encode()
    status = b"503 Service Unavailable" if request.target == "/503" else b"200 OK"
    wire.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))


async def silence(wire: Wire) -> None:
    """Read a request and say nothing."""
    await read_request(wire)


def probed(*backends: RawBackend, settings: dict[str, Any] | None = None, **probe: Any) -> Gateway:
    """A model whose probe is quick."""
    quick = {"name": "probe", "path": PROBE_PATH, "interval": 0.05, "timeout": 2, "unhealthyThreshold": 2, **probe}
    return model_for(*backends, settings=settings, probes=[quick])


class BackendHealthTests(GatewayTestCase):
    async def send(self, gateway: Running, request: bytes) -> tuple[int, Any]:
        gateway.ports["admin"] = gateway.service.admin_port or 0
        client = await self.client(gateway, "admin")
        client.write(request)
        response = await read_response(client)
        return response.status, json.loads(response.body)

    async def report(self, gateway: Running) -> dict[str, Any]:
        status, report = await self.send(gateway, b"GET /backendhealth HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(200, status)
        found: dict[str, Any] = report
        return found

    async def servers(self, gateway: Running) -> list[dict[str, str]]:
        report = await self.report(gateway)
        found: list[dict[str, str]] = report["backendAddressPools"][0]["backendHttpSettingsCollection"][0]["servers"]
        return found

    async def ask(self, gateway: Running, body: Any, more: str = JSON) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{ON_DEMAND}Content-Length: {len(data)}\r\n{more}\r\n"
        return await self.send(gateway, head.encode() + data)

    async def probe(self, gateway: Running, **body: Any) -> dict[str, str]:
        status, report = await self.ask(gateway, {**ASKED, **body})
        self.assertEqual(200, status, report)
        found: dict[str, str] = report["backendHealthHttpSettings"]["servers"][0]
        return found

    async def test_shape(self) -> None:
        gateway = await self.gateway(probed(await self.backend(named)), admin="127.0.0.1:0")
        ids = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers/Microsoft.Network/"
        ids += "applicationGateways/gateway/"
        self.assertEqual(
            {
                "backendAddressPools": [
                    {
                        "backendAddressPool": {"id": f"{ids}backendAddressPools/pool"},
                        "backendHttpSettingsCollection": [
                            {
                                "backendHttpSettings": {"id": f"{ids}backendHttpSettingsCollection/settings"},
                                "servers": [
                                    {"address": "127.0.0.1", "health": "Up", "healthProbeLog": "the answer was 200"}
                                ],
                            }
                        ],
                    }
                ]
            },
            await self.report(gateway),
        )

    async def test_down_and_draining(self) -> None:
        backend = await self.backend(named)
        gateway = await self.gateway(probed(backend), admin="127.0.0.1:0")
        pool = next(iter(gateway.service.pools.values()))
        backend.healthy = False
        await gateway.until(lambda: pool.backends[0].state == "down", "the backend to leave")
        (server,) = await self.servers(gateway)
        self.assertEqual(("Down", "the answer was 503, expected 200-399"), (server["health"], server["healthProbeLog"]))
        pool.set_draining(pool.backends[0], True)
        self.assertEqual("Draining", (await self.servers(gateway))[0]["health"])

    async def test_unknown(self) -> None:
        from twisted.internet import reactor

        from gateway.service import GatewayService
        from gateway.testing import Recorder

        backend = await self.backend(silence)
        model = probed(backend, path="/slow")
        service = GatewayService(
            model, reactor=reactor, transport=self.transport, access_log="off", admin="127.0.0.1:0"
        )
        service.privilegedStartService()
        service.startService()
        gateway = Running(service, Recorder(), reactor)
        self.addCleanup(self._gateway_over, gateway)
        (server,) = await self.servers(gateway)
        self.assertEqual(("Unknown", "no probe has succeeded yet"), (server["health"], server["healthProbeLog"]))

    async def test_min_servers(self) -> None:
        """So many members stay in the pool whatever their probes say; that is Partial."""
        backend, other = await self.backend(named), await self.backend(named)
        backend.healthy = other.healthy = False
        gateway = await self.gateway(probed(backend, other, minServers=1), admin="127.0.0.1:0")
        first, second = await self.servers(gateway)
        self.assertEqual(["Partial", "Down"], [first["health"], second["health"]])
        self.assertIn("minServers keeps it there", first["healthProbeLog"])
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)

    async def test_match(self) -> None:
        backend = await self.backend(named)
        for match, health, log in (
            ({"body": "127.0.0.1 /ping"}, "Up", "the answer was 200 with the expected text"),
            ({"body": "pong"}, "Down", "the answer was 200, but its body lacks 'pong'"),
            ({"statusCodes": ["204", "300-399"]}, "Down", "the answer was 200, expected 204, 300-399"),
        ):
            gateway = await self.gateway(probed(backend, path="/ping", match=match), admin="127.0.0.1:0")
            (server,) = await self.servers(gateway)
            self.assertEqual((health, log), (server["health"], server["healthProbeLog"]))

    async def test_port_of_the_probe(self) -> None:
        """Another port is probed; traffic goes to that of the member."""
        backend, page = await self.backend(named), await self.backend(named)
        gateway = await self.gateway(probed(backend, port=page.port), admin="127.0.0.1:0")
        self.assertEqual("Up", (await self.servers(gateway))[0]["health"])
        self.assertEqual((0, True), (backend.probes, page.probes > 0))

    async def test_host_of_the_settings(self) -> None:
        backend = await self.backend(named)
        for probe, settings, host in (
            ({"host": "own.example"}, {"hostName": "app.example"}, "own.example"),
            ({"pickHostNameFromBackendHttpSettings": True}, {"hostName": "app.example"}, "app.example"),
            ({"pickHostNameFromBackendHttpSettings": True}, {"pickHostNameFromBackendAddress": True}, "127.0.0.1"),
        ):
            gateway = await self.gateway(
                probed(backend, settings=settings, path="/x", match={"body": host + " "}, **probe), admin="127.0.0.1:0"
            )
            self.assertEqual("Up", (await self.servers(gateway))[0]["health"], host)

    async def test_on_demand(self) -> None:
        backend = await self.backend(named)
        gateway = await self.gateway(probed(backend, interval=3600), admin="127.0.0.1:0")
        status, report = await self.ask(gateway, ASKED)
        self.assertEqual(200, status)
        self.assertTrue(report["backendAddressPool"]["id"].endswith("/applicationGateways/gateway/backendAddressPools/pool"))
        health = report["backendHealthHttpSettings"]
        self.assertTrue(health["backendHttpSettings"]["id"].endswith("/backendHttpSettingsCollection/settings"))
        self.assertEqual(
            [{"address": "127.0.0.1", "health": "Up", "healthProbeLog": "the answer was 200"}], health["servers"]
        )
        server = await self.probe(gateway, host="h.example", path="/p", match={"body": "h.example /p"})
        self.assertEqual("the answer was 200 with the expected text", server["healthProbeLog"])
        server = await self.probe(gateway, path="/503", match={"statusCodes": ["200-399"]})
        self.assertEqual(("Down", "the answer was 503, expected 200-399"), (server["health"], server["healthProbeLog"]))
        self.assertEqual("Up", (await self.servers(gateway))[0]["health"], "nothing has changed by that")
        server = await self.probe(gateway, protocol="Tcp", path="/503")
        self.assertEqual(("Up", "the connection was made"), (server["health"], server["healthProbeLog"]))

    async def test_on_demand_in_time(self) -> None:
        gateway = await self.gateway(probed(await self.backend(silence)), admin="127.0.0.1:0")
        server = await self.probe(gateway, path="/slow", timeout=0.2)
        self.assertEqual("no answer within the probe's timeout of 0.2 s", server["healthProbeLog"])

    async def test_on_demand_of_many(self) -> None:
        """A few requests at a time; one whose asker leaves makes room again."""
        backend = await self.backend(silence)
        gateway = await self.gateway(probed(backend, interval=3600), admin="127.0.0.1:0")
        gateway.ports["admin"] = gateway.service.admin_port or 0
        body = json.dumps({**ASKED, "path": "/slow", "timeout": 60}).encode()
        head = f"{ON_DEMAND}Content-Length: {len(body)}\r\n{JSON}\r\n"
        clients = [await self.client(gateway, "admin") for _ in range(4)]
        for client in clients:
            client.write(head.encode() + body)
        await gateway.until(lambda: len(backend.wires) == 4, "the probes")
        self.assertEqual(503, (await self.ask(gateway, ASKED))[0])
        clients[0].close()
        await backend.wires[0].gone()
        self.assertEqual(200, (await self.ask(gateway, ASKED))[0])

    async def test_on_demand_refused(self) -> None:
        backend = await self.backend(named)
        gateway = await self.gateway(probed(backend, interval=3600), admin="127.0.0.1:0")
        for body, status, words in (
            ({**ASKED, "backendAddressPool": "other"}, 404, "pool with settings"),
            ({**ASKED, "timeout": 61}, 400, "timeout"),
            ({**ASKED, "timeout": 0}, 400, "timeout"),
            ({**ASKED, "path": "x"}, 400, "path"),
            ({**ASKED, "protocol": "Ftp"}, 400, "protocol"),
            ({**ASKED, "url": "http://169.254.169.254/"}, 400, "url"),
            ({**ASKED, "match": {"statusCodes": ["all"]}}, 400, "'all'"),
            ({}, 400, "backendAddressPool"),
            (b"{", 400, "JSON"),
        ):
            found, answer = await self.ask(gateway, body)
            self.assertEqual(status, found, answer)
            self.assertIn(words, answer["error"])
        self.assertEqual(415, (await self.ask(gateway, ASKED, "Content-Type: text/plain\r\n"))[0])
        self.assertEqual(415, (await self.ask(gateway, ASKED, ""))[0])
        self.assertEqual(403, (await self.ask(gateway, ASKED, JSON + "Origin: http://evil.example\r\n"))[0])
        self.assertEqual(413, (await self.ask(gateway, b" " * 20_000))[0])
        self.assertEqual([], backend.wires)
        for method in (b"GET", b"OPTIONS"):
            request = method + b" /getBackendHealthOnDemand HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.assertEqual(405, (await self.send(gateway, request))[0])
        stranger = b"POST /getBackendHealthOnDemand HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(421, (await self.send(gateway, stranger))[0])


both_roads(globals())
