"""TLS on either side of the whole gateway, over both roads: names, trust, and what is said when it fails."""

from __future__ import annotations

import os
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLContextFactory
from zope.interface import implementer

from gateway.config.model import Gateway
from gateway.errors import BackendTLSFailed, ClientNameFailed
from tests.certificates import Issued, TestCA, days
from tests.integration.harness import GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers, Message, chunked, read_request, read_response
from tests.integration.websocket import BINARY, agree, close, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

MIB = 1 << 20
CA = TestCA("Test Root")


@implementer(IOpenSSLClientConnectionCreator)
class Client:
    """A TLS client that verifies nothing and remembers its connection."""

    def __init__(self, server_name: str | None = None, alpn: list[bytes] | None = None) -> None:
        self.connection: Any = None
        self._server_name = server_name
        self._context = SSL.Context(SSL.TLS_METHOD)
        if alpn is not None:
            self._context.set_alpn_protos(alpn)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        self.connection = connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name.encode())
        return connection

    @property
    def shown(self) -> str:
        """The common name of the certificate that was shown."""
        return str(self.connection.get_peer_certificate(as_cryptography=True).subject.rfc4514_string())


@implementer(IOpenSSLContextFactory)
class Server:
    """The context of a TLS backend; ``names`` are the server names that clients sent."""

    def __init__(self, issued: Issued) -> None:
        self.names: list[bytes | None] = []
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.use_certificate(issued.cert)
        self._context.use_privatekey(issued.key)
        for above in issued.chain:
            self._context.add_extra_chain_cert(above)
        self._context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))

    def getContext(self) -> SSL.Context:
        """As Twisted asks for it."""
        return self._context


def https_listener(*backends: RawBackend, **others: Any) -> Gateway:
    """A gateway with two HTTPS listeners on one port: ``one.example`` and, for ``two.example``, another certificate."""
    return model_for(
        *backends,
        listeners=[
            {"name": name, "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": [name], **more}
            for name, more in (("one", {}), ("two", {"port": 0, "host_names": ["two.example"]}))
        ],
        certificates=[
            CA.issue(names=["one.example"]).certificate("one"),
            CA.intermediate().issue(names=["two.example"]).certificate("two"),
        ],
        rules=[
            {"name": f"rule-{name}", "listener": name, "pool": "pool", "settings": "settings"}
            for name in ("two", "one")
        ],
        **others,
    )


class ListenerTests(GatewayTestCase):
    """HTTPS towards clients."""

    async def test_get(self) -> None:
        answers = Answers()
        gateway = await self.gateway(https_listener(await self.backend(answers)))
        tls = Client("one.example", [b"h2", b"http/1.1"])
        client = await self.client(gateway, "one", tls=tls)
        for _ in range(2):
            client.write(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
            self.assertEqual(b"ok", (await read_response(client)).body)
        self.assertEqual("CN=one.example", tls.shown)
        self.assertEqual(b"http/1.1", tls.connection.get_alpn_proto_negotiated())
        self.assertEqual("https", answers.requests[0].get("X-Forwarded-Proto"))
        self.assertEqual(str(gateway.ports["one"]), answers.requests[0].get("X-Forwarded-Port"))
        outcome = await gateway.outcome()
        self.assertEqual(("https", "TLSv1.3"), (outcome.scheme, outcome.tls_version))
        self.assertEqual(tls.connection.get_cipher_name(), outcome.tls_cipher)

    async def test_an_old_client(self) -> None:
        """One that offers HTTP/1.0 only (ALPN)."""
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        tls = Client("one.example", [b"http/1.0"])
        client = await self.client(gateway, "one", tls=tls)
        client.write(b"GET / HTTP/1.0\r\nHost: one.example\r\n\r\n")
        self.assertEqual(b"ok", (await read_response(client)).body)
        self.assertEqual(b"http/1.0", tls.connection.get_alpn_proto_negotiated())

    async def test_no_server_name(self) -> None:
        """``requireServerNameIndication`` changes nothing, as with version 2: the first certificate is shown."""
        model = https_listener(await self.backend(Answers()))
        required = tuple(each.model_copy(update={"require_server_name_indication": True}) for each in model.listeners)
        gateway = await self.gateway(model.model_copy(update={"listeners": required}))
        for server_name in (None, "nobody.example"):
            tls = Client(server_name)
            client = await self.client(gateway, "one", tls=tls)
            client.write(b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
            self.assertEqual(200, (await read_response(client)).status)
            self.assertEqual("CN=one.example", tls.shown)

    async def test_other_listener(self) -> None:
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        tls = Client("two.example")
        client = await self.client(gateway, "two", tls=tls)
        client.write(b"GET / HTTP/1.1\r\nHost: two.example\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual("CN=two.example", tls.shown)

    async def test_big_bodies(self) -> None:
        upload, download = os.urandom(MIB) * 8, os.urandom(MIB) * 8

        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            self.assertTrue(request.body == upload)
            wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(download))

        gateway = await self.gateway(https_listener(await self.backend(serve)))
        client = await self.client(gateway, "one", tls=Client())
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(upload))
        client.write(upload)
        self.assertTrue((await read_response(client)).body == download)

    async def test_close(self) -> None:
        # the end of the connection is said in TLS too, so that it cannot be a truncation
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        tls = Client()
        client = await self.client(gateway, "one", tls=tls)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertEqual(b"ok", (await read_response(client)).body)
        await client.gone()
        self.assertFalse(client.was_reset)

    async def test_websocket(self) -> None:
        async def serve(wire: Wire) -> None:
            wire.write(agree(await read_request(wire)))
            while (got := await read_frame(wire)).opcode != 8:
                wire.write(frame(got.opcode, got.payload))
            wire.write(close(1000))
            wire.close()

        gateway = await self.gateway(https_listener(await self.backend(serve)))
        client = await self.client(gateway, "one", tls=Client())
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        for size in (0, 5, 70_000, MIB):
            payload = os.urandom(size)
            client.write(frame(BINARY, payload, b"abcd"))
            self.assertTrue((await read_frame(client)).payload == payload)
        client.write(close(1000, "", b"abcd"))
        self.assertEqual(1000, (await read_close(client))[0])
        await client.gone()
        await gateway.quiet()
        self.assertEqual(("ok", 1000), ((await gateway.outcome()).cause, (await gateway.outcome()).close_code))

    async def test_stalled_client(self) -> None:
        wires: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.buffers(send=65536)
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 * MIB))
            wire.pour(32 * MIB)
            wires.append(wire)

        gateway = await self.gateway(https_listener(await self.backend(serve)))
        client = await self.client(gateway, "one", tls=Client())
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.until(b"\r\n\r\n")
        client.stop_reading()
        await gateway.until(lambda: bool(wires), "the request")
        self.assertLess(await gateway.settled(lambda: wires[0].poured), 24 * MIB)
        client.start_reading()
        self.assertEqual(32 * MIB, len(await client.exactly(32 * MIB)))

    async def test_plain_http(self) -> None:
        # nothing of it reaches a backend, and the port lives on
        answers = Answers()
        gateway = await self.gateway(https_listener(await self.backend(answers)))
        client = await self.client(gateway, "one")
        client.write(b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await read_response(client)
        self.assertEqual((400, "close"), (response.status, response.get("Connection")))
        self.assertIn(b"https://", response.body)
        self.assertIsNotNone(response.get("Date"))
        await client.gone()
        self.assertFalse(client.was_reset)
        self.assertEqual([], answers.requests)
        outcome = await gateway.outcome()
        self.assertEqual(("http_to_https_port", "http", "/a?b"), (outcome.cause, outcome.scheme, outcome.head.target))
        self.assertEqual((30, ""), (outcome.received_bytes, outcome.tls_version))
        client = await self.client(gateway, "one", tls=Client())
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)

    async def test_handshakes_that_fail_are_counted(self) -> None:
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        handshakes = gateway.service.troubles.handshakes
        for count in (1, 2):
            client = await self.client(gateway, "one")
            client.write(b"\x16\x03\x01\x00\x05hello")
            await client.gone()
            await gateway.until(lambda count=count: sum(handshakes.values()) == count, "the count")
        client = await self.client(gateway, "one")
        client.close()
        await gateway.until(lambda: handshakes.get(("one", "closed_by_client")) == 1, "the one that just closed")
        self.assertIn('gateway_tls_handshake_failures_total{listener="one",reason=', gateway.service.exposition())

    async def test_who_shakes_hands_when_the_gateway_stops(self) -> None:
        """Is waited for, and may ask."""
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        client = await self.client(gateway, "one")
        await gateway.until(lambda: any(gateway.service.road._greetings), "the accept")
        stopped = gateway.service.stopService()
        client.transport.startTLS(Client())
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        response = await read_response(client)
        self.assertEqual((200, "close"), (response.status, response.get("Connection")))
        await stopped

    async def test_stop_with_handshakes_in_progress(self) -> None:
        gateway = await self.gateway(https_listener(await self.backend(Answers())))
        client = await self.client(gateway, "one")
        client.write(b"\x16\x03\x01")
        await gateway.settled(lambda: 0, 0.05)
        await gateway.service.stopService()
        client.patience = 3
        await client.gone()


class BackendTests(GatewayTestCase):
    """HTTPS towards backends."""

    async def asked(
        self,
        issued: Issued | None,
        host: str = "api.example",
        serve: Any = None,
        member: str = "127.0.0.1",
        **settings: Any,
    ) -> tuple[Message, Running, Server | None, RawBackend]:
        """A request to a backend with a certificate; plain HTTP where there is none.

        The pool keeps the backend whatever its probes say, so that requests show what is wrong.
        """
        server = None if issued is None else Server(issued)
        backend = await self.backend(serve or Answers(), server)
        gateway = await self.gateway(
            model_for(
                backend,
                settings={"protocol": "Https", "trusted_root_certificates": ["root"], **settings},
                trusted_roots=[CA.trusted_root("root")],
                probes=[
                    {"name": "probe", "path": "/_probe", "interval": 86400, "protocol": "Https", "timeout": 5,
                     "min_servers": 1, "host": "probe.example"}
                ],
                pools=[{"name": "pool", "members": [
                    {"host": member, "port": backend.port, "connectHost": "127.0.0.1"}
                ]}],
            )
        )  # fmt: skip
        if server is not None:
            del server.names[:]
        client = await self.client(gateway)
        client.write(f"GET / HTTP/1.1\r\nHost: {host}:8080\r\n\r\n".encode())
        response = await read_response(client)
        await gateway.quiet()
        return response, gateway, server, backend

    async def refused(self, issued: Issued | None, **settings: Any) -> str:
        """What the log says of a backend that is not accepted; the client learns nothing of it."""
        response, gateway, _, backend = await self.asked(issued, **settings)
        self.assertEqual(502, response.status)
        self.assertNotIn(b"certificate", response.body)
        if issued is not None:
            self.assertEqual([], backend.wires, "not a byte of the request was sent")
        outcome = await gateway.outcome()
        self.assertEqual("backend_tls_failed", outcome.cause)
        self.assertIsInstance(outcome.error, (BackendTLSFailed, ClientNameFailed))
        return str(outcome.error)

    async def test_trusted(self) -> None:
        response, gateway, server, backend = await self.asked(CA.intermediate().issue(names=["api.example"]))
        self.assertEqual(b"ok", response.body)
        assert server is not None
        self.assertEqual([b"api.example"], server.names)
        self.assertEqual(1, len(backend.wires))
        outcome = await gateway.outcome()
        self.assertEqual(("", "TLSv1.3"), (outcome.tls_version, outcome.upstream_tls_version))
        self.assertTrue(outcome.upstream_tls_cipher.startswith("TLS_"), outcome.upstream_tls_cipher)
        client = await self.client(gateway)
        for number in range(1, 5):
            client.write(b"GET / HTTP/1.1\r\nHost: api.example:8080\r\n\r\n")
            self.assertEqual(200, (await read_response(client)).status)
            self.assertEqual("TLSv1.3", (await gateway.outcome(number)).upstream_tls_version)
        self.assertEqual(1, len(backend.wires), "the connection was used again")

    async def test_probe(self) -> None:
        _, gateway, _, backend = await self.asked(CA.issue(names=["api.example", "probe.example"]))
        self.assertEqual(1, backend.probes)
        pool = next(iter(gateway.service.pools.values()))
        self.assertTrue(pool.backends[0].healthy, pool.backends[0].reason)

    async def test_names(self) -> None:
        for expected, settings in (
            (b"host.example", {"host_name": "host.example"}),
            (b"sni.example", {"host_name": "host.example", "sni_name": "sni.example"}),
        ):
            issued = CA.issue(names=["host.example", "sni.example"])
            response, _, server, _ = await self.asked(issued, **settings)
            self.assertEqual(200, response.status)
            assert server is not None
            self.assertEqual([expected], server.names)

    async def test_address(self) -> None:
        response, _, server, _ = await self.asked(CA.issue(ips=["127.0.0.1"]), pick_host_name_from_backend_address=True)
        self.assertEqual(200, response.status)
        assert server is not None
        self.assertEqual([None], server.names)

    async def test_name_of_the_member(self) -> None:
        """``pickHostNameFromBackendAddress``: its name is sent, verified, and the Host that it gets."""
        answers, issued = Answers(), CA.issue(names=["member.example"])
        response, _, server, _ = await self.asked(
            issued, serve=answers, member="member.example", pick_host_name_from_backend_address=True
        )
        self.assertEqual(200, response.status)
        assert server is not None
        self.assertEqual([b"member.example"], server.names)
        self.assertEqual("member.example", answers.requests[0].get("Host"))

    async def test_server_name_of_its_own(self) -> None:
        """``sniName`` is sent and verified; the Host stays the client's."""
        answers, issued = Answers(), CA.issue(names=["sni.example"])
        response, _, server, _ = await self.asked(issued, serve=answers, sni_name="sni.example")
        self.assertEqual(200, response.status)
        assert server is not None
        self.assertEqual([b"sni.example"], server.names)
        self.assertEqual("api.example:8080", answers.requests[0].get("Host"))
        sentence = await self.refused(CA.issue(names=["api.example"]), sni_name="sni.example")
        self.assertIn("not for sni.example", sentence)

    async def test_host_name(self) -> None:
        """``hostName`` is sent, verified, and the Host that the backend gets."""
        answers, issued = Answers(), CA.issue(names=["host.example"])
        response, _, server, _ = await self.asked(issued, serve=answers, host_name="host.example")
        self.assertEqual(200, response.status)
        assert server is not None
        self.assertEqual([b"host.example"], server.names)
        self.assertEqual("host.example", answers.requests[0].get("Host"))

    async def test_chain_alone_is_not_checked(self) -> None:
        """Without ``validateCertChainAndExpiry`` any authority will do, but not any name."""
        relaxed = {"validate_cert_chain_and_expiry": False}
        expired = TestCA("Unknown").issue(names=["api.example"], not_after=days(-1))
        self.assertEqual(200, (await self.asked(expired, **relaxed))[0].status)
        sentence = await self.refused(TestCA("Unknown").issue(names=["b.example"]), **relaxed)
        self.assertIn("is for b.example, not for api.example", sentence)

    async def test_name_alone_is_not_checked(self) -> None:
        """Without ``validateSNI`` any name will do, but not any authority, nor a certificate that has expired."""
        relaxed = {"validateSNI": False}
        response, _, server, _ = await self.asked(CA.issue(names=["b.example"]), **relaxed)
        self.assertEqual(200, response.status)
        assert server is not None
        self.assertEqual([b"api.example"], server.names, "a name is sent all the same")
        self.assertIn("CN=Unknown", await self.refused(TestCA("Unknown").issue(names=["b.example"]), **relaxed))
        expired = CA.issue(names=["api.example"], not_after=days(-1))
        self.assertIn("expired on", await self.refused(expired, **relaxed))

    async def test_several_roots(self) -> None:
        """Any of the trusted roots will do; without any, those of the platform count."""
        other = TestCA("Other Root")
        for issued, status in ((CA.issue(names=["api.example"]), 200), (other.issue(names=["api.example"]), 200)):
            backend = await self.backend(Answers(), Server(issued))
            gateway = await self.gateway(
                model_for(
                    backend,
                    settings={"protocol": "Https", "trusted_root_certificates": ["root", "other"],
                              "host_name": "api.example"},
                    trusted_roots=[CA.trusted_root("root"), other.trusted_root("other")],
                    probes=[{"name": "probe", "path": "/_probe", "interval": 86400, "protocol": "Https", "timeout": 5}],
                )
            )  # fmt: skip
            client = await self.client(gateway)
            client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(status, (await read_response(client)).status)
        sentence = await self.refused(CA.issue(names=["api.example"]), trusted_root_certificates=[])
        self.assertIn("CN=Test Root", sentence)

    async def test_connections_are_kept_apart_by_name(self) -> None:
        # a certificate that was checked for one host never serves another
        _, gateway, server, backend = await self.asked(CA.issue(names=["api.example", "other.example"]))
        assert server is not None
        client = await self.client(gateway)
        for host in ("other.example", "api.example:8080", "other.example"):
            client.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual([b"api.example", b"other.example"], server.names)
        self.assertEqual(2, len(backend.wires))

    async def test_host_that_is_no_name(self) -> None:
        # a client's Host decides the name here; one that can be no name must not get in the way of anything
        response, gateway, _, _ = await self.asked(CA.issue(names=["api.example"]))
        client = await self.client(gateway)
        for host in ("x" * 64 + ".example", "a..b", "x." * 120 + "example"):
            client.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.assertIn((await read_response(client)).status, (400, 502), host)
            if client.eof:
                client = await self.client(gateway)
        await gateway.quiet()

    async def test_relaxed(self) -> None:
        response, _, _, _ = await self.asked(
            TestCA("Unknown").issue(names=["x"], not_after=days(-1)),
            validate_cert_chain_and_expiry=False,
            validateSNI=False,
        )
        self.assertEqual(200, response.status)

    async def test_unknown_authority(self) -> None:
        sentence = await self.refused(TestCA("Unknown").issue(names=["api.example"]))
        self.assertIn("CN=Unknown", sentence)

    async def test_expired(self) -> None:
        self.assertIn("expired on", await self.refused(CA.issue(names=["api.example"], not_after=days(-1))))

    async def test_other_name(self) -> None:
        sentence = await self.refused(CA.issue(names=["b.example"]))
        self.assertIn("is for b.example, not for api.example", sentence)

    async def test_no_tls(self) -> None:
        async def serve(wire: Wire) -> None:
            wire.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            wire.close()

        self.assertIn("does not speak TLS on this port", await self.refused(None, serve=serve))

    async def test_truncation(self) -> None:
        # an end without close_notify may be an attacker's: a body until the end of the connection is not complete
        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await arrived
            wire.transport.abortConnection()

        backend = await self.backend(serve, Server(CA.issue(names=["api.example"])))
        gateway = await self.gateway(
            model_for(
                backend,
                settings={"protocol": "Https", "trusted_root_certificates": ["root"], "host_name": "api.example"},
                trusted_roots=[CA.trusted_root("root")],
                probes=[{"name": "probe", "path": "/_probe", "interval": 86400, "protocol": "Https", "timeout": 5,
                         "pick_host_name_from_backend_http_settings": True}],
            )
        )  # fmt: skip
        client = await self.client(gateway)
        arrived = client.wait(lambda: b"half" in client.buffer, "half of it")
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.gone()
        self.assertFalse(bytes(client.buffer).endswith(b"0\r\n\r\n"))


both_roads(globals())
