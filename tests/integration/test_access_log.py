"""What the access log says of traffic over real sockets, over both roads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.config.model import Gateway
from gateway.relay import splice
from gateway.service import GatewayService
from gateway.values import Reply
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.test_https import Client, https_listener
from tests.integration.websocket import BINARY, TEXT, agree, close, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

MIB = 1 << 20
MASK = b"\x12\x34\x56\x78"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class AccessLogTests(GatewayTestCase):
    """Lines in a file."""

    async def logging(self, configuration: Gateway) -> Running:
        """A gateway that logs to ``self.file``."""
        self.file = Path(self.mktemp())
        return await self.gateway(configuration, access_log=str(self.file))

    def lines(self) -> list[dict[str, Any]]:
        """What has been logged."""
        return [json.loads(line) for line in self.file.read_text("ascii").splitlines()]

    async def stopped(self, gateway: Running) -> list[dict[str, Any]]:
        """Stop the gateway; the lines then."""
        await gateway.service.stopService()
        return self.lines()

    async def sessions(self, configuration: Gateway, backend: list[Wire], count: int, **client: Any) -> tuple[Any, Any]:
        """Open sessions of a gateway that logs: the gateway and the clients' ends."""
        gateway = await self.logging(configuration)
        clients = [await self.client(gateway, **client) for _ in range(count)]
        for wire in clients:
            wire.write(handshake())
        for wire in clients:
            self.assertEqual(101, (await read_response(wire)).status)
        await gateway.until(lambda: len(backend) == count, "the backend's ends")
        return gateway, clients

    async def accepting(self) -> tuple[RawBackend, list[Wire]]:
        """A backend that accepts sessions, and its ends of them."""
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            wire.patience = 10
            wires.append(wire)

        return await self.backend(serve), wires

    async def test_sessions_that_the_end_of_the_gateway_ends(self) -> None:
        backend, servers = await self.accepting()
        gateway, clients = await self.sessions(https_listener(backend), servers, 3, listener="one", tls=Client())
        for client, server in zip(clients, servers, strict=True):
            client.write(frame(TEXT, b"hello", MASK))
            self.assertEqual(b"hello", (await read_frame(server)).payload)
            server.write(frame(TEXT, b"hi"))
            self.assertEqual(b"hi", (await read_frame(client)).payload)
        stopping = gateway.service.stopService()
        for wire, mask in (*((client, MASK) for client in clients), *((server, None) for server in servers)):
            self.assertEqual(1001, (await read_close(wire))[0])
            wire.write(close(1001, "", mask))
        await stopping
        lines = self.lines()
        self.assertEqual(["websocket-open"] * 3 + ["websocket-end"] * 3, [line["event"] for line in lines])
        for line in lines:
            self.assertEqual(("on", "TLSv1.3"), (line["sslEnabled"], line["sslProtocol"]))
            self.assertNotEqual("", line["sslCipher"])
        for line in lines[3:]:
            self.assertEqual(("shutdown", "gateway", 1001), (line["cause"], line["closedBy"], line["closeCode"]))
            self.assertEqual((1, 1), (line["messagesIn"], line["messagesOut"]))
            self.assertEqual(clients[0].total, line["sentBytes"])
            self.assertEqual(servers[0].total, line["upstreamSentBytes"])
            self.assertGreater(line["upstreamReceivedBytes"], 100)

    async def test_backend_that_is_lost(self) -> None:
        backend, servers = await self.accepting()
        gateway, (client,) = await self.sessions(model_for(backend), servers, 1)
        servers[0].reset()
        self.assertEqual(1011, (await read_close(client))[0])
        client.close()
        await gateway.quiet()
        line = (await self.stopped(gateway))[-1]
        self.assertEqual(("backend_lost", "backend", 1011), (line["cause"], line["closedBy"], line["closeCode"]))
        self.assertEqual(client.total, line["sentBytes"])

    async def test_bytes_that_a_client_never_took(self) -> None:
        self.patch(splice, "CLOSING_SECONDS", 0.2)
        backend, servers = await self.accepting()
        gateway, (client,) = await self.sessions(model_for(backend), servers, 1, receive_buffer=65536)
        client.stop_reading()
        servers[0].write(frame(BINARY, b"", length=64 * MIB))
        servers[0].pour(64 * MIB)
        await gateway.settled(lambda: servers[0].poured, 0.2)
        client.reset()
        await gateway.quiet()
        line = (await self.stopped(gateway))[-1]
        self.assertEqual("client_gone", line["cause"])
        self.assertLess(line["sentBytes"], line["upstreamReceivedBytes"])

    async def test_response_that_a_client_never_took(self) -> None:
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            wires.append(wire)
            wire.pour(64 * MIB)

        gateway = await self.logging(model_for(await self.backend(serve)))
        client = await self.client(gateway, receive_buffer=65536)
        client.write(GET)
        await client.until(b"\r\n\r\n")
        client.stop_reading()
        await gateway.settled(lambda: wires[0].poured, 0.2)
        client.reset()
        await gateway.quiet()
        (line,) = await self.stopped(gateway)
        self.assertEqual((200, "client_gone"), (line["httpStatus"], line["cause"]))
        self.assertLess(line["sentBytes"], line["upstreamReceivedBytes"])

    async def test_head_that_is_never_complete(self) -> None:
        gateway = await self.logging(model_for(await self.backend(Answers()), limits={"head_timeout": 0.5}))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHo")
        self.assertEqual(408, (await read_response(client)).status)
        (line,) = await self.stopped(gateway)
        self.assertEqual((408, 18), (line["httpStatus"], line["receivedBytes"]))
        self.assertGreaterEqual(line["timeTaken"], 0.5)

    async def test_http_on_an_https_port(self) -> None:
        gateway = await self.logging(https_listener(await self.backend(Answers())))
        client = await self.client(gateway, "one")
        client.write(b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        self.assertEqual(400, (await read_response(client)).status)
        (line,) = await self.stopped(gateway)
        self.assertEqual(("POST", "/a", "b"), (line["httpMethod"], line["requestUri"], line["requestQuery"]))
        self.assertEqual(("exchange", 400, "off"), (line["event"], line["httpStatus"], line["sslEnabled"]))
        self.assertEqual("ERRORINFO_HTTP_TO_HTTPS_PORT", line["error_info"])
        self.assertEqual("http_to_https_port", line["cause"])

    async def test_reply_that_cannot_be_sent(self) -> None:
        class Router:
            def route(self, head: object, listener: str) -> Any:
                return Reply(302, (("Location", "/\r\nSet-Cookie: a=b"),))

        self.patch(GatewayService, "make_router", lambda service: Router())
        gateway = await self.logging(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        client.write(GET)
        response = await read_response(client)
        self.assertEqual((500, None), (response.status, response.get("Set-Cookie")))
        (line,) = await self.stopped(gateway)
        self.assertEqual((500, "plugin_failed"), (line["httpStatus"], line["cause"]))


both_roads(globals())
