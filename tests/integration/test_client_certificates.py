"""Listeners that want certificates of their clients, and certificates that change, over both roads."""

from __future__ import annotations

import os
import socket
from typing import Any

from tests.certificates import Issued, TestCA
from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, read_response
from tests.integration.test_https import CA, Client
from tests.integration.websocket import handshake

CLIENTS = TestCA("Client Root")


class _Shower(Client):
    """A client with a certificate of its own."""

    def __init__(self, server_name: str, issued: Issued) -> None:
        super().__init__(server_name)
        self._context.use_certificate(issued.cert)
        self._context.use_privatekey(issued.key)


class StrictTests(GatewayTestCase):
    """``one.example`` wants certificates; ``two.example``, on the same port, does not."""

    async def start(self, authority: dict[str, str] | None = None) -> Running:
        answers = await self.backend(Answers())
        with socket.socket() as sock:  # they share a port, which therefore needs a number
            sock.bind(("127.0.0.1", 0))
            number = sock.getsockname()[1]
        port = {"address": "127.0.0.1", "port": number, "protocol": "Https"}
        configuration = model_for(
            answers,
            listeners=[
                {"name": name, "certificates": [name], "host_names": [f"{name}.example"], **port, **more}
                for name, more in (("one", {"ssl_profile": "strict"}), ("two", {}))
            ],
            certificates=[CA.issue(names=[f"{name}.example"]).certificate(name) for name in ("one", "two")],
            ssl_profiles=[{"name": "strict", "trusted_client_certificates": ["clients"]}],
            trusted_client_certificates=[{"name": "clients", **(authority or {"data": CLIENTS.pem.decode()})}],
            rules=[
                {"name": f"rule-{name}", "listener": name, "pool": "pool", "settings": "settings"}
                for name in ("one", "two")
            ],
        )
        return await self.gateway(configuration)

    async def status(self, gateway: Running, tls: Client, host: str = "one.example", request: bytes = b"") -> int:
        """The answer to one request on a new connection."""
        client = await self.client(gateway, "one", tls=tls)
        client.write(request or f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return (await read_response(client)).status

    async def test_answers(self) -> None:
        gateway = await self.start()
        mine = CLIENTS.issue(common_name="me")
        self.assertEqual(200, await self.status(gateway, _Shower("one.example", mine)))
        self.assertEqual(400, await self.status(gateway, Client("one.example")))
        self.assertEqual(400, await self.status(gateway, _Shower("one.example", CA.issue(common_name="me"))))
        outcome = await gateway.outcome(1)
        self.assertEqual("client_certificate", outcome.cause)

    async def test_unavailable(self) -> None:
        """Where the authorities are not there nobody is trusted, rather than everybody."""
        gateway = await self.start({"unavailable": "a placeholder"})
        mine = CLIENTS.issue(common_name="me")
        for tls in (Client("one.example"), _Shower("one.example", mine)):
            self.assertEqual(400, await self.status(gateway, tls))
        self.assertEqual(200, await self.status(gateway, Client("two.example"), "two.example"))

    async def test_websocket(self) -> None:
        gateway = await self.start()
        request = handshake().replace(b"chat.example", b"one.example")
        self.assertEqual(400, await self.status(gateway, Client("one.example"), request=request))

    async def test_other_name(self) -> None:
        """The listener of a request is that of its Host: a handshake for another one does not count."""
        gateway = await self.start()
        self.assertEqual(421, await self.status(gateway, Client("two.example"), "one.example"))


class RenewalTests(GatewayTestCase):
    """A certificate file that is replaced."""

    async def test_new_connections(self) -> None:
        """They get the new one; those that are open go on."""
        directory = self.mktemp()
        certificate, key = CA.issue(names=["old.example"]).pem_files(directory)
        gateway = await self.gateway(
            model_for(
                await self.backend(Answers()),
                listeners=[
                    {"name": "one", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["one"]}
                ],
                certificates=[{"name": "one", "certificate_file": certificate, "key_file": key}],
                rules=[{"name": "rule", "listener": "one", "pool": "pool", "settings": "settings"}],
            )
        )
        before = Client("x.example")
        client = await self.client(gateway, "one", tls=before)
        client.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual("CN=old.example", before.shown)
        renewed = CA.issue(names=["new.example"])
        for name, content in ((certificate, renewed.cert_pem), (key, renewed.key_pem())):
            with open(name + ".tmp", "wb") as file:
                file.write(content)
            os.replace(name + ".tmp", name)
        renewal: Any = gateway.service._renewal
        renewal._look()
        renewal._look()
        after = Client("x.example")
        fresh = await self.client(gateway, "one", tls=after)
        for wire in (fresh, client):
            wire.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(200, (await read_response(wire)).status)
        self.assertEqual("CN=new.example", after.shown)
        self.assertEqual("CN=old.example", before.shown)


both_roads(globals())
