"""Limits on clients, and what who exceeds them is told."""

from __future__ import annotations

from tests.integration.harness import GatewayTestCase, both_roads, model_for
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.test_https import Client, https_listener
from tests.integration.wire import Wire

MIB = 1 << 20
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class LimitTests(GatewayTestCase):
    """Connections, and time."""

    async def test_connections(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"max_connections": 2}))
        inside = [await self.client(gateway) for _ in range(2)]
        for client in inside:
            client.write(GET)
            self.assertEqual(200, (await read_response(client)).status)
        for _ in range(3):
            outside = await self.client(gateway)
            outside.write(GET)
            response = await read_response(outside)
            self.assertEqual(503, response.status)
            self.assertEqual(("5", "close"), (response.get("Retry-After"), response.get("Connection")))
            await outside.gone()
            self.assertFalse(outside.was_reset)
        self.assertIn('gateway_connections_refused_total{listener="web"} 3', gateway.service.exposition())
        self.assertEqual(2, len(gateway.recorder.outcomes))
        inside[0].close()
        await inside[0].gone()
        await gateway.until(lambda: len(next(iter(gateway.service._ports.factories)).connections) == 1, "a free place")
        client = await self.client(gateway)
        client.write(GET)
        self.assertEqual(200, (await read_response(client)).status)

    async def test_descriptors(self) -> None:
        """As many are let in as can have a connection to a backend each."""
        gateway = await self.gateway(model_for(await self.backend(Answers())))
        gateway.service.admission.limit_descriptors(24, 4)  # twelve free ones, three of them for refusing
        inside = [await self.client(gateway) for _ in range(4)]
        outside = await self.client(gateway)
        self.assertEqual(503, (await read_response(outside)).status)
        for client in inside:
            client.write(GET)
            self.assertEqual(200, (await read_response(client)).status)

    async def test_connections_with_tls(self) -> None:
        model = https_listener(await self.backend(Answers()), limits={"max_connections": 1})
        gateway = await self.gateway(model)
        inside = await self.client(gateway, "one", tls=Client())
        inside.write(GET)
        self.assertEqual(200, (await read_response(inside)).status)
        outside = await self.client(gateway, "one", tls=Client())
        self.assertEqual(503, (await read_response(outside)).status)
        outside.close()
        await outside.gone()

    async def test_handshakes_are_connections_too(self) -> None:
        """Who begins one and says no more is given up for others when there are too many."""
        gateway = await self.gateway(https_listener(await self.backend(Answers()), limits={"max_connections": 2}))
        gateway.service.admission.most_refused = 2
        silent = [await self.client(gateway, "one") for _ in range(7)]
        await gateway.until(lambda: sum(each.eof for each in silent) == 3, "the end of three")
        self.assertEqual([True] * 3 + [False] * 4, [each.eof for each in silent])
        client = await self.client(gateway, "one", tls=Client())
        client.write(GET)
        self.assertEqual(200, (await read_response(client)).status)

    async def test_refused_clients_do_not_hold_up_the_end(self) -> None:
        gateway = await self.gateway(model_for(await self.backend(Answers()), limits={"max_connections": 1}))
        await self.client(gateway)
        outside = await self.client(gateway)
        self.assertEqual(503, (await read_response(outside)).status)
        await gateway.service.stopService()
        await outside.gone()

    async def test_client_that_takes_nothing(self) -> None:
        # its own limit counts, from the moment on at which it is stuck, not the backend's
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            wire.pour(64 * MIB)

        gateway = await self.gateway(
            model_for(await self.backend(serve), settings={"request_timeout": 60}, limits={"send_timeout": 1})
        )
        client = await self.client(gateway, receive_buffer=65536)
        client.write(GET)
        await client.until(b"\r\n\r\n")
        client.stop_reading()
        outcome = await gateway.outcome()
        self.assertEqual("client_gone", outcome.cause)
        assert outcome.ended is not None
        self.assertLess(outcome.ended - outcome.started, 8)


both_roads(globals())
