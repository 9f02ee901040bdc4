"""Connections that belong to one client, answers without a Server field."""

from __future__ import annotations

from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.websocket import agree, frame, handshake, read_frame
from tests.integration.wire import Wire

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
DEDICATED = {"dedicatedBackendConnection": True}


class DedicatedTests(GatewayTestCase):
    """``dedicatedBackendConnection``."""

    async def ask(self, client: Wire, request: bytes = GET) -> int:
        client.write(request)
        return (await read_response(client)).status

    async def test_one_for_each_client(self) -> None:
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend, settings=DEDICATED))
        first, second = await self.client(gateway), await self.client(gateway)
        for _ in range(3):
            for client in (first, second):
                self.assertEqual(200, await self.ask(client))
        self.assertEqual(2, len(backend.wires), "each client has its own, and uses it again")
        first.close()
        await backend.wires[0].gone()
        third = await self.client(gateway)
        self.assertEqual(200, await self.ask(third))
        self.assertEqual(3, len(backend.wires), "what was another's is not used")

    async def test_shared_otherwise(self) -> None:
        backend = await self.backend(Answers())
        gateway = await self.gateway(model_for(backend))
        for _ in range(2):
            self.assertEqual(200, await self.ask(await self.client(gateway)))
        self.assertEqual(1, len(backend.wires))

    async def test_stays_with_its_backend(self) -> None:
        """Who has authenticated a connection is not sent to another member while that one may be chosen."""
        backends = [await self.backend(Answers()) for _ in range(2)]
        gateway = await self.gateway(model_for(*backends, settings=DEDICATED))
        client = await self.client(gateway)
        for _ in range(6):
            self.assertEqual(200, await self.ask(client))
        self.assertEqual([0, 1], sorted(len(backend.wires) for backend in backends))
        pool = next(iter(gateway.service.pools.values()))
        mine = next(index for index, backend in enumerate(backends) if backend.wires)
        pool.set_health(pool.backends[mine], False, "down")
        for _ in range(2):
            self.assertEqual(200, await self.ask(client))
        self.assertEqual([1, 1], [len(backend.wires) for backend in backends])

    async def test_a_member_that_leaves(self) -> None:
        """Its connections are closed, whose ever they are."""
        backends = [await self.backend(Answers()) for _ in range(2)]
        gateway = await self.gateway(model_for(*backends, settings=DEDICATED))
        client = await self.client(gateway)
        self.assertEqual(200, await self.ask(client))
        mine = next(backend for backend in backends if backend.wires)
        left = [member for member in gateway.service.model.pools[0].members if member.port != mine.port]
        gateway.service.change_members(next(iter(gateway.service.pools.values())), left)
        await mine.wires[0].gone()
        await gateway.until(lambda: self.other_is_up(gateway), "the other one")
        self.assertEqual(200, await self.ask(client))

    def other_is_up(self, gateway: Running) -> bool:
        (backend,) = next(iter(gateway.service.pools.values())).candidates
        return bool(backend.healthy)

    async def test_the_backend_has_closed(self) -> None:
        async def once(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            wire.close()

        backend = await self.backend(once)
        gateway = await self.gateway(model_for(backend, settings=DEDICATED))
        client = await self.client(gateway)
        for _ in range(3):
            self.assertEqual(200, await self.ask(client))
        self.assertEqual(3, len(backend.wires))

    async def test_websocket(self) -> None:
        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            got = await read_frame(wire)
            wire.write(frame(got.opcode, got.payload))

        gateway = await self.gateway(model_for(await self.backend(serve), settings=DEDICATED))
        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        client.write(frame(1, b"hello", b"abcd"))
        self.assertEqual(b"hello", (await read_frame(client)).payload)


class ServerFieldTests(GatewayTestCase):
    """``disableDefaultServerHeaderInResponse``: of answers that the gateway makes; backends' are their own."""

    async def fields(self, off: bool) -> list[str | None]:
        backend = await self.backend(Answers(b"HTTP/1.1 200 OK\r\nServer: mine\r\nContent-Length: 0\r\n\r\n"))
        gateway = await self.gateway(
            model_for(backend, global_configuration={"disableDefaultServerHeaderInResponse": off})
        )
        found = []
        for request in (GET, b"BROKEN\r\n\r\n"):
            client = await self.client(gateway)
            client.write(request)
            found.append((await read_response(client)).get("Server"))
        return found

    async def test_fields(self) -> None:
        self.assertEqual(["mine", "gateway"], await self.fields(False))
        self.assertEqual(["mine", None], await self.fields(True))


both_roads(globals())
