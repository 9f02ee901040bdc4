"""The admin site over real sockets."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_response
from tests.integration.wire import Wire


class AdminTests(GatewayTestCase):
    """What load balancers and browsers ask it."""

    async def site(self, **configuration: Any) -> Running:
        """A gateway with an admin site and one backend that is down."""
        backend = await self.backend(Answers())
        backend.healthy = False
        gateway = await self.gateway(model_for(backend, **configuration), admin="127.0.0.1:0")
        gateway.ports["admin"] = gateway.service.admin_port or 0
        return gateway

    async def ask(self, gateway: Running, request: bytes) -> tuple[Message, Wire]:
        """The answer to some bytes."""
        client = await self.client(gateway, "admin")
        client.write(request)
        return await read_response(client), client

    async def test_ready_without_a_backend(self) -> None:
        gateway = await self.site()
        answer, _ = await self.ask(gateway, b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(503, answer.status)
        self.assertEqual("no pool has a backend that may be chosen: pool (settings settings)", _json(answer)["reason"])

    async def test_ready_by_min_servers(self) -> None:
        probe = {"name": "probe", "path": "/_probe", "interval": 86400, "timeout": 5, "minServers": 1}
        gateway = await self.site(probes=[probe])
        answer, _ = await self.ask(gateway, b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(200, answer.status)
        answer, _ = await self.ask(gateway, b"GET /pools HTTP/1.1\r\nHost: localhost\r\n\r\n")
        (pool,) = _json(answer)["pools"]
        self.assertEqual((0, 1, 1), (pool["healthy"], pool["serving"], pool["total"]))
        self.assertTrue(pool["backends"][0]["serving"])

    async def test_strangers(self) -> None:
        gateway = await self.site()
        for host in (b"evil.example", b"0.0.0.0", b"[::]"):
            answer, _ = await self.ask(gateway, b"GET /pools HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
            self.assertEqual("HTTP/1.1 421 Misdirected Request", answer.line)

    async def test_bodies_are_not_waited_for(self) -> None:
        gateway = await self.site()
        for head, status in (
            (b"POST /pools HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", 405),
            (b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 405),
            (b"PUT /pools HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 405),
            (b"GET /pools HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n", 413),
        ):
            answer, client = await self.ask(gateway, head)
            self.assertEqual((status, "GET, HEAD"), (answer.status, answer.get("Allow")))
            self.assertEqual("close", answer.get("Connection"))
            if b"chunked" in head:
                client.write(b"0\r\n\r\n")
                self.assertEqual(b"", await client.rest())
            elif b"Length: 5" in head:
                client.write(b"12345")
                self.assertEqual(b"", await client.rest())
            else:
                client.pour(8 << 20)
                await client.gone()
                self.assertLess(client.total, 2000)


def _json(answer: Message) -> Any:
    return json.loads(answer.body)


both_roads(globals())
