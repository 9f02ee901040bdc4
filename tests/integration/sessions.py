"""WebSocket sessions for tests: opened through a whole gateway, both ends in the hands of the test."""

from __future__ import annotations

from typing import Any

from tests.integration.harness import GatewayTestCase, RawBackend, Running, model_for
from tests.integration.messages import Message, read_request, read_response
from tests.integration.websocket import agree, handshake
from tests.integration.wire import Wire

__all__ = ["MASK", "PLAIN", "Library", "Opened", "SessionTestCase"]

MASK = b"\x12\x34\x56\x78"
PLAIN = b"\0\0\0\0"  # masks, and changes nothing


class Opened:
    """A session that is open: the two ends, and the gateway between them."""

    def __init__(self, gateway: Running, backend: RawBackend, client: Wire, server: Wire, request: Message) -> None:
        self.gateway = gateway
        self.backend = backend
        self.client = client
        self.server = server
        self.request = request


class Library:
    """One end in the hands of another WebSocket library, without I/O of its own."""

    def __init__(self, wire: Wire, protocol: Any) -> None:
        self.wire, self.protocol = wire, protocol

    def flush(self) -> None:
        """Send what the library wants to send."""
        for data in self.protocol.data_to_send():
            if data:
                self.wire.write(data)

    async def events(self) -> list[Any]:
        """What the library has found in the next bytes."""
        while not (events := self.protocol.events_received()):
            await self.wire.wait(lambda: bool(self.wire.buffer), "bytes")
            self.protocol.receive_data(self.wire.take(len(self.wire.buffer)))
            self.flush()
        return list(events)


class SessionTestCase(GatewayTestCase):
    """For tests that begin with an open session."""

    async def opened(self, extensions: str = "", **configuration: Any) -> Opened:
        """A session between a raw client and a raw backend, both of which the test moves.

        ``extensions`` are those that the client offers and the backend takes.
        """
        extra = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        arrived: list[tuple[Wire, Message]] = []

        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            wire.write(agree(request, extra))
            wire.patience = 10
            arrived.append((wire, request))

        backend = await self.backend(serve)
        gateway = await self.gateway(model_for(backend, **configuration))
        client = await self.client(gateway)
        client.write(handshake(extra))
        response = await read_response(client)
        self.assertEqual(101, response.status)
        self.assertEqual("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", response.get("Sec-WebSocket-Accept"))
        server, request = arrived[0]
        self.assertEqual((1, 1), (gateway.active, gateway.sessions))
        return Opened(gateway, backend, client, server, request)

    async def ended(self, gateway: Running, cause: str, closed_by: str, code: int | None) -> None:
        """The session is over, and its outcome says why."""
        await gateway.quiet()
        outcome = await gateway.outcome()
        self.assertEqual((cause, closed_by, code), (outcome.cause, outcome.closed_by, outcome.close_code))
        self.assertTrue(outcome.websocket)
        self.assertEqual(101, outcome.status)
        self.assertEqual((1, 1), (len(gateway.recorder.begun), len(gateway.recorder.outcomes)))
