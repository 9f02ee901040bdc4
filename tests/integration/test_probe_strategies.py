"""The TCP and WebSocket probes over real sockets, against a server that others wrote."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from OpenSSL import crypto
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.ssl import CertificateOptions

from tests.certificates import TestCA
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.wire import Wire


class Chat(WebSocketServerProtocol):
    """Chooses the subprotocol ``chat``, greets, echoes, and remembers how its sessions ended."""

    def onConnect(self, request: Any) -> str | None:
        self.factory.origins.append(request.origin)
        if self.factory.refuses:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN)
        return "chat" if "chat" in request.protocols else None

    def onOpen(self) -> None:
        self.sendMessage(b"welcome")

    def onPing(self, payload: bytes) -> None:
        if not self.factory.deaf:
            self.sendPong(payload)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.closes.append((wasClean, code))


class StrategyTests(GatewayTestCase):
    """From the configuration to the state of the member."""

    async def chat(self, context: Any = None) -> Any:
        """An Autobahn server that listens; ``port`` is where."""
        from twisted.internet import reactor

        factory: Any = WebSocketServerFactory(reactor=reactor)
        factory.protocol = Chat
        factory.protocols = ["chat"]
        factory.closes, factory.origins = [], []
        factory.refuses = factory.deaf = False
        if context is None:
            endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        else:
            endpoint = SSL4ServerEndpoint(reactor, 0, context, interface="127.0.0.1")
        listening = await endpoint.listen(factory)
        self.addCleanup(listening.stopListening)
        factory.port = listening.getHost().port
        return factory

    async def probed(
        self, backend: Any, strategy: str, options: Any = None, settings: Any = None, trusted: Any = None, **probe: Any
    ) -> Running:
        """A gateway that has probed once."""
        quick = {"name": "probe", "interval": 0.05, "timeout": 2, "unhealthyThreshold": 1, **probe}
        model = model_for(
            backend, settings=settings, probes=[{**quick, "strategy": strategy, "options": options or {}}]
        )
        return await self.gateway(model.model_copy(update={"trusted_roots": trusted}) if trusted else model)

    def state(self, gateway: Running) -> str:
        backend = next(iter(gateway.service.pools.values())).backends[0]
        return f"{backend.state}: {backend.reason}"

    async def test_websocket(self) -> None:
        """Handshake, subprotocol, ping, message, and a close that the server finds clean."""
        chat = await self.chat()
        options = {"subprotocol": "chat", "origin": "http://a.example", "send": "echo?", "expect": "echo?"}
        gateway = await self.probed(chat, "websocket", options)
        self.assertRegex(self.state(gateway), r"^up: the session was opened, its ping answered in \d+ ms, the expected")
        await gateway.until(lambda: bool(chat.closes), "the end of the first session")
        self.assertEqual(((True, 1000), "http://a.example"), (chat.closes[0], chat.origins[0]))

    async def test_websocket_leaves_and_returns(self) -> None:
        chat = await self.chat()
        gateway = await self.probed(chat, "websocket", {"pongTimeout": 0.2})
        self.assertTrue(self.state(gateway).startswith("up"), self.state(gateway))
        chat.deaf = True
        await gateway.until(lambda: self.state(gateway) == "down: no pong within 0.2 s", "it to leave")
        chat.deaf = False
        await gateway.until(lambda: self.state(gateway).startswith("up"), "it to return")
        chat.refuses = True
        refused = "down: the answer to the WebSocket handshake was 403, not 101"
        await gateway.until(lambda: self.state(gateway) == refused, "it to leave again")

    async def test_websocket_over_tls(self) -> None:
        authority = TestCA()
        issued = authority.issue(names=["app.example"])
        key, certificate = crypto.PKey.from_cryptography_key(issued.key), crypto.X509.from_cryptography(issued.cert)
        chat = await self.chat(CertificateOptions(key, certificate))
        secure = {"protocol": "Https", "trustedRootCertificates": ["ca"]}
        trusted = (authority.trusted_root("ca"),)
        for host, state in (("app.example", "up: the session was opened"), ("other.example", "down: TLS to 127.0.0.1")):
            gateway = await self.probed(
                chat, "websocket", settings=secure, trusted=trusted, protocol="Https", host=host
            )
            self.assertTrue(self.state(gateway).startswith(state), self.state(gateway))

    async def test_tcp(self) -> None:
        async def answer(wire: Wire) -> None:
            await wire.exactly(len(b"PING\r\n"))
            wire.write(b"+PONG\r\n")

        backend: RawBackend = await self.backend(answer)
        gateway = await self.probed(backend, "tcp", {"send": "PING\r\n", "expect": "+PONG"})
        self.assertEqual("up: the connection was made and the answer has the expected text", self.state(gateway))
        await backend.refuse()
        await gateway.until(lambda: "connection refused" in self.state(gateway), "it to leave")

    async def test_tcp_connection(self) -> None:
        gateway = await self.probed(await self.chat(), "tcp")
        self.assertEqual("up: the connection was made", self.state(gateway))


both_roads(globals())
