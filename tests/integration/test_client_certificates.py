"""Listeners that want certificates of their clients, and certificates that change, over both roads."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.certificates import Issued, TestCA
from tests.integration.harness import GatewayTestCase, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, read_response
from tests.integration.test_https import CA, Client
from tests.integration.websocket import handshake
from tests.responder import Responder, named

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


class _Ocsp(Resource):
    """A responder behind HTTP. ``broken``: what it answers instead."""

    isLeaf = True

    def __init__(self, ca: TestCA) -> None:
        super().__init__()
        self.responder = Responder(ca)
        self.broken: Any = None

    def render_POST(self, request: Any) -> Any:
        if callable(self.broken):
            return self.broken(request)
        request.setHeader("Content-Type", "application/ocsp-response")
        return self.responder.answer(request.content.read())


def _status_500(request: Any) -> bytes:
    request.setResponseCode(500)
    return b"sorry"


def _too_much(request: Any) -> bytes:
    request.setHeader("Content-Type", "application/ocsp-response")
    return b"x" * 70000


def _rubbish(request: Any) -> bytes:
    request.setHeader("Content-Type", "application/ocsp-response")
    return b"rubbish"


class RevocationTests(GatewayTestCase):
    """A listener whose clients' authority is asked, by HTTP, whether their certificates were revoked."""

    async def start(self, **more: Any) -> Running:
        from twisted.internet import reactor

        self.ocsp = _Ocsp(CLIENTS)
        site = Site(self.ocsp)
        site.noisy = False
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/ocsp"
        self.file = Path(self.mktemp())
        listener = {"name": "one", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["one"]}
        configuration = model_for(
            await self.backend(Answers()),
            listeners=[listener | {"ssl_profile": "strict"} | more],
            certificates=[CA.issue(names=["one.example"]).certificate("one")],
            ssl_profiles=[
                {
                    "name": "strict",
                    "trusted_client_certificates": ["clients"],
                    "client_auth_configuration": {"verify_client_revocation": "OCSP"},
                }
            ],
            trusted_client_certificates=[{"name": "clients", "data": CLIENTS.pem.decode()}],
            rules=[{"name": "rule", "listener": "one", "pool": "pool", "settings": "settings"}],
        )
        return await self.gateway(configuration, access_log=str(self.file))

    def certificate(self) -> Issued:
        issued = named(CLIENTS, self.url)
        self.ocsp.responder.knows(issued.cert)
        return issued

    async def ask(self, gateway: Running, issued: Issued | None, count: int = 1, request: bytes = b"") -> Message:
        tls = Client("one.example") if issued is None else _Shower("one.example", issued)
        client = await self.client(gateway, "one", tls=tls)
        for _ in range(count):
            client.write(request or b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
            message = await read_response(client)
        return message

    async def test_good(self) -> None:
        """Asked once for all requests and connections with a certificate."""
        gateway = await self.start()
        mine = self.certificate()
        self.assertEqual(200, (await self.ask(gateway, mine, 3)).status)
        self.assertEqual(200, (await self.ask(gateway, mine)).status)
        self.assertEqual(1, len(self.ocsp.responder.questions))
        await gateway.service.stopService()
        lines = [json.loads(line) for line in self.file.read_text("ascii").splitlines()]
        self.assertEqual({"SUCCESS"}, {line["sslClientVerify"] for line in lines})
        self.assertEqual({"CN=Client Root"}, {line["sslClientCertificateIssuerName"] for line in lines})

    async def test_intermediate(self) -> None:
        """An authority that the client sends along is asked about what it has issued."""
        gateway = await self.start()
        middle = CLIENTS.intermediate()
        self.ocsp.responder = Responder(middle)
        issued = named(middle, self.url)
        self.ocsp.responder.knows(issued.cert)
        tls = _Shower("one.example", issued)
        for each in issued.chain:
            tls._context.add_extra_chain_cert(crypto.X509.from_cryptography(each))
        client = await self.client(gateway, "one", tls=tls)
        client.write(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)

    async def test_revoked(self) -> None:
        """400 with the operator's page, a reason in the log; for WebSockets too."""
        page = Path(self.mktemp())
        page.write_text("<p>get a certificate</p>")
        gateway = await self.start(error_pages=[{"status": "400", "file": str(page)}])
        mine = self.certificate()
        self.ocsp.responder.status = "revoked"
        message = await self.ask(gateway, mine)
        self.assertEqual((400, b"<p>get a certificate</p>"), (message.status, message.body))
        request = handshake().replace(b"chat.example", b"one.example")
        self.assertEqual(400, (await self.ask(gateway, mine, request=request)).status)
        self.assertEqual(b"<p>get a certificate</p>", (await self.ask(gateway, None)).body)
        await gateway.service.stopService()
        lines = [json.loads(line) for line in self.file.read_text("ascii").splitlines()]
        self.assertEqual(
            ["FAILED:it has been revoked", "FAILED:it has been revoked", "NONE"],
            [line["sslClientVerify"] for line in lines],
        )
        self.assertEqual({("client_certificate", "ERRORINFO_HTTPS_NO_CERT")},
                         {(line["cause"], line["error_info"]) for line in lines})  # fmt: skip
        self.assertEqual("the client certificate does not count: it has been revoked", lines[0]["reason"])

    async def test_no_answer(self) -> None:
        """Whatever goes wrong, nobody is let in, and the log says why."""
        gateway = await self.start()
        seen: list[str] = []

        def observe(event: Any) -> None:
            if "authority of client certificate" in (event.get("log_format") or ""):
                seen.append(event["why"])

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for broken, words in (
            (_status_500, "status 500"),
            (_too_much, "it has more than 65536 bytes"),
            (_rubbish, "the answer cannot be read"),
            (lambda request: b"<html>", "it is 'text/html', not application/ocsp-response"),
        ):
            self.ocsp.broken = broken
            self.assertEqual(400, (await self.ask(gateway, self.certificate())).status)
            self.assertIn(words, seen[-1])
        nowhere = named(CLIENTS, "http://127.0.0.1:1/ocsp")
        self.assertEqual(400, (await self.ask(gateway, nowhere, 2)).status)
        self.assertIn("http://127.0.0.1:1/ocsp: ", seen[-1])
        self.assertEqual(400, (await self.ask(gateway, CLIENTS.issue(common_name="me"))).status)
        self.assertIn("names no OCSP responder", seen[-1])
        self.assertEqual(6, len(seen))

    async def test_silent(self) -> None:
        """A responder that never answers: who leaves meanwhile, and a gateway that stops, leave nothing behind."""
        gateway = await self.start()
        asked: Deferred[None] = Deferred()

        def silent(request: Any) -> int:
            asked.callback(None)
            return NOT_DONE_YET

        self.ocsp.broken = silent
        client = await self.client(gateway, "one", tls=_Shower("one.example", self.certificate()))
        client.write(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
        await asked
        client.reset()
        self.assertEqual("client_gone", (await gateway.outcome()).cause)


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
        await renewal._look()
        after = Client("x.example")
        fresh = await self.client(gateway, "one", tls=after)
        for wire in (fresh, client):
            wire.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(200, (await read_response(wire)).status)
        self.assertEqual("CN=new.example", after.shown)
        self.assertEqual("CN=old.example", before.shown)


both_roads(globals())
