"""Connections through the whole gateway, over both roads: which live on, in which order answers come, 1xx."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SkipTest

from gateway.listener.http1 import ClientConnection
from tests.integration.harness import GatewayTestCase, both_roads, model_for
from tests.integration.messages import Answers, chunked, read_request, read_response
from tests.integration.wire import Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ConnectionTests(GatewayTestCase):
    """Which connections live on, on both sides."""

    async def test_pipelining(self) -> None:
        async def serve(wire: Wire) -> None:
            while True:
                request = await read_request(wire)
                body = request.target.encode() + request.body
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        requests = []
        for number in range(10):
            if number % 3 == 2:
                requests.append(f"POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n+b{number}")
            else:
                requests.append(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")
        client.write("".join(requests).encode())
        for number in range(10):
            expected = f"/{number}+b{number}" if number % 3 == 2 else f"/{number}"
            self.assertEqual(expected.encode(), (await read_response(client)).body)
        await gateway.quiet()

    async def test_pipelining_deep(self) -> None:
        # more than a stack could hold if each request called the next
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
        for _ in range(3000):
            self.assertEqual(b"ok", (await read_response(client)).body)

    async def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        """Who comes with a new connection each time would leave it much to do, and its long runs stop everybody."""
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        if gateway.service.road.name != "pump":
            raise SkipTest("Twisted's own transports have cycles of their own")
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(3):
            client = await self.client(gateway)
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await read_response(client)
            client.transport.loseConnection()
        (factory,) = gateway.service._ports.factories
        await gateway.until(lambda: not factory.connections, "the connections have ended")
        left = [each for each in gc.get_objects() if isinstance(each, ClientConnection) and each.factory is factory]
        self.assertEqual([], left)

    async def test_pipelined_errors(self) -> None:
        # answers that need no backend keep their turn too
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        client = await self.client(gateway)
        client.write(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nBROKEN\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(400, (await read_response(client)).status)
        self.assertEqual(b"", await client.rest())
        self.assertEqual(["/1"], [request.target for request in answers.requests])

    async def test_backend_connection_is_used_again(self) -> None:
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend))
        for _ in range(3):
            client = await self.client(gateway)
            for _ in range(2):
                client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertEqual(200, (await read_response(client)).status)
            client.close()
            await client.gone()
        self.assertEqual(1, len(backend.wires))

    async def test_backend_that_closes(self) -> None:
        backend = await self.backend(Answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        for _ in range(3):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            response = await read_response(client)
            self.assertNotEqual("close", response.get("Connection"))  # that is between backend and gateway
        self.assertEqual(3, len(backend.wires))

    async def test_a_backend_that_closes_is_not_reset(self) -> None:
        """It closes its half and reads on, as an ended socket of Node.js does: a reset would be an error."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            wire.transport.loseWriteConnection()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        for fields in (b"", b"Connection: Upgrade\r\nUpgrade: test\r\n"):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
            self.assertEqual(401, (await read_response(client)).status)
            wire = backend.wires[-1]
            await wire.gone()
            self.assertFalse(wire.was_reset)

    async def test_concurrent_requests_have_connections_of_their_own(self) -> None:
        started: list[Wire] = []

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            started.append(wire)
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        clients = [await self.client(gateway) for _ in range(3)]
        for client in clients:
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await gateway.until(lambda: len(started) == 3, "three requests at once")
        self.assertEqual(3, gateway.active)
        for wire in started:
            wire.write(OK)
        for client in clients:
            self.assertEqual(200, (await read_response(client)).status)

    async def test_close_asked_for(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        response = await read_response(client)
        self.assertEqual("close", response.get("Connection"))
        self.assertEqual(b"", await client.rest())

    async def test_a_client_that_sends_more_than_its_last_request(self) -> None:
        """It said that it would not, and has its response all the same."""
        for size in (2, 300_000):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            gateway = await self.gateway(model_for(await self.backend(Answers(head + b"x" * size))))
            for more in (b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000):
                client = await self.client(gateway)
                client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + more)
                self.assertEqual(size, len((await read_response(client)).body))

    async def test_half_closed_client(self) -> None:
        # "nc" and HTTP/1.0 scripts send FIN after the request and wait for the answer
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.half_close()
        self.assertEqual(b"ok", (await read_response(client)).body)
        await client.gone()

    async def test_http10(self) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        response = await read_response(client)
        self.assertEqual((200, b"ok"), (response.status, response.body))
        self.assertEqual(b"", await client.rest())
        self.assertEqual("GET / HTTP/1.1", answers.requests[0].line)

    async def test_http10_without_host(self) -> None:
        answers = Answers()
        gateway = await self.gateway(model_for(await self.backend(answers)))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertIn("127.0.0.1", answers.requests[0].get("Host") or "")

    async def test_http10_keep_alive(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            response = await read_response(client)
            self.assertEqual("keep-alive", (response.get("Connection") or "").lower())
            self.assertEqual(b"ok", response.body)

    async def test_http10_never_sees_chunks(self) -> None:
        response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(
            b"abc", b"def", trailers="X-T: 1\r\n"
        )
        gateway = await self.gateway(model_for(await self.backend(Answers(response))))
        for keep_alive in (b"", b"Connection: keep-alive\r\n"):
            client = await self.client(gateway)
            client.write(b"GET / HTTP/1.0\r\nHost: a\r\n" + keep_alive + b"\r\n")
            received = await read_response(client)
            self.assertIsNone(received.get("Transfer-Encoding"))
            self.assertEqual(b"abcdef", received.body)
            self.assertEqual(b"", await client.rest())

    async def test_http10_backend(self) -> None:
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await wire.gone()

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual("HTTP/1.1 200 OK", (await read_response(client)).line)
        self.assertEqual(2, len(backend.wires))

    async def test_outcomes(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        client = await self.client(gateway)
        request = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        client.write(request)
        response = await read_response(client)
        outcome = await gateway.outcome()
        self.assertEqual(
            (200, 200, "ok", 1), (outcome.status, outcome.upstream_status, outcome.cause, outcome.attempts)
        )
        self.assertEqual(len(request), outcome.received_bytes)
        self.assertEqual(len(response.raw_head) + 2, outcome.sent_bytes)
        self.assertEqual(client.transport.getHost().port, outcome.peer.port)
        assert outcome.route is not None
        self.assertEqual(("web", "rule"), (outcome.listener, outcome.route.rule))


class InformationalTests(GatewayTestCase):
    """1xx responses (RFC 9110 §15.2)."""

    async def test_continue(self) -> None:
        async def serve(wire: Wire) -> None:
            head = await wire.until(b"\r\n\r\n")
            self.assertIn(b"\r\nexpect: 100-continue\r\n", head.lower())
            self.assertEqual(b"", bytes(wire.buffer))
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.assertEqual(b"body", await wire.exactly(4))
            wire.write(OK)

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(100, (await read_response(client)).status)
        client.write(b"body")
        self.assertEqual(b"ok", (await read_response(client)).body)

    async def test_continue_refused(self) -> None:
        # the body never comes: the connection cannot be used again
        async def serve(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            await wire.gone()

        gateway = await self.gateway(model_for(await self.backend(serve)))
        client = await self.client(gateway)
        client.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        response = await read_response(client)
        self.assertEqual((401, "close"), (response.status, response.get("Connection")))
        self.assertEqual(b"", await client.rest())
        await gateway.quiet()

    async def test_early_hints(self) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        gateway = await self.gateway(model_for(await self.backend(Answers(hints + hints + OK))))
        client = await self.client(gateway)
        for _ in range(2):
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(2):
                response = await read_response(client)
                self.assertEqual((103, "</a.css>; rel=preload"), (response.status, response.get("Link")))
            self.assertEqual(200, (await read_response(client)).status)

    async def test_not_for_http10(self) -> None:
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        gateway = await self.gateway(model_for(await self.backend(Answers(hints + OK))))
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)


both_roads(globals())
