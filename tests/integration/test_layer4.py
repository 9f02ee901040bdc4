"""Listeners of plain TCP and TLS: bytes both ways through the same pools, over real sockets and both roads."""

from __future__ import annotations

import json
import os
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory

from gateway.config.check import findings
from gateway.config.model import Gateway
from gateway.errors import BackendTLSFailed, NoHealthyBackend
from gateway.transport.tls import ClientTLS
from gateway.transport.twisted_road import TwistedRoad
from tests.certificates import TestCA
from tests.integration.harness import GatewayTestCase, RawBackend, both_roads, model_for
from tests.integration.messages import Answers, read_response
from tests.integration.test_https import Client, Server
from tests.integration.wire import Ended, Wire

MIB = 1 << 20
CA = TestCA("Test Root")


async def echo(wire: Wire) -> None:
    """Send back what comes, in capitals, until the end."""
    while True:
        await wire.wait(lambda: bool(wire.buffer) or wire.eof, "bytes")
        data = wire.take(len(wire.buffer))
        if data:
            wire.write(data.upper())
        elif wire.eof:
            wire.write(b"BYE")
            wire.close()
            return


def layer4(*backends: RawBackend, settings: dict[str, Any] | None = None, **others: Any) -> Gateway:
    """One listener of plain TCP; a probe that only connects."""
    model = model_for(
        *backends,
        **{
            "listeners": [{"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Tcp"}],
            "probes": [{"name": "probe", "protocol": "Tcp", "interval": 86400, "timeout": 5}],
            **others,
        },
        settings={"protocol": "Tcp", **(settings or {})},
    )
    errors = [finding for finding in findings(model) if finding.severity == "error"]
    assert not errors, errors
    return model


def tls(*backends: RawBackend, names: tuple[str, ...] = ("one", "two"), **others: Any) -> Gateway:
    """A listener of TLS; ``one`` answers for every name."""
    return layer4(
        *backends,
        **{
            "listeners": [
                {"name": name, "address": "127.0.0.1", "port": 0, "protocol": "Tls", "certificates": [name]}
                for name in names
            ],
            "certificates": [CA.issue(names=[f"{name}.example"]).certificate(name) for name in names],
            "rules": [{"name": name, "listener": name, "pool": "pool", "settings": "settings"} for name in names],
            **others,
        },
    )


class TcpTests(GatewayTestCase):
    async def test_both_ways(self) -> None:
        backend = await self.backend(echo)
        gateway = await self.gateway(layer4(backend))
        client = await self.client(gateway)
        client.write(b"hello")
        self.assertEqual(b"HELLO", await client.exactly(5))
        self.assertEqual((1, 1), (gateway.active, gateway.sessions))
        client.half_close()
        self.assertEqual(b"BYE", await client.rest())
        await gateway.quiet()
        outcome = await gateway.outcome()
        self.assertEqual(("tcp", 200), (outcome.scheme, outcome.status))
        self.assertEqual(("ok", "client"), (outcome.cause, outcome.closed_by))
        self.assertEqual((5, 8, 5, 8), (
            outcome.received_bytes, outcome.sent_bytes, outcome.upstream_sent, outcome.upstream_received
        ))  # fmt: skip
        assert outcome.route is not None and outcome.backend is not None
        self.assertEqual(("web", "rule", backend.port), (outcome.listener, outcome.route.rule, outcome.backend.port))

    async def test_the_backend_speaks_first(self) -> None:
        async def greet(wire: Wire) -> None:
            raise AssertionError("nobody has sent anything")

        backend = await self.backend(greet)
        gateway = await self.gateway(layer4(backend))
        made = backend.buildProtocol

        def greeting(addr: object) -> Any:
            wire = made(addr)
            connected = wire.connectionMade

            def say() -> None:
                connected()
                wire.write(b"220 mail.example\r\n")

            wire.connectionMade = say  # type: ignore[method-assign]
            return wire

        backend.buildProtocol = greeting  # type: ignore[method-assign]
        client = await self.client(gateway)
        self.assertEqual(b"220 mail.example\r\n", await client.until(b"\n"))

    async def test_many_bytes(self) -> None:
        """Eight MiB each way at a time."""
        gateway = await self.gateway(layer4(await self.backend(echo)))
        client = await self.client(gateway)
        sent = os.urandom(MIB).replace(b"a", b"A") * 8
        client.write(sent)
        self.assertTrue(await client.exactly(8 * MIB) == sent.upper())

    async def test_stalled_client(self) -> None:
        async def pour(wire: Wire) -> None:
            wire.buffers(send=65536)
            await wire.exactly(1)
            wire.pour(32 * MIB)

        backend = await self.backend(pour)
        gateway = await self.gateway(layer4(backend))
        client = await self.client(gateway, receive_buffer=65536)
        client.write(b"x")
        client.stop_reading()
        await gateway.until(lambda: bool(backend.wires), "the connection")
        self.assertLess(await gateway.settled(lambda: backend.wires[0].poured), 24 * MIB)
        client.start_reading()
        self.assertEqual(32 * MIB, len(await client.exactly(32 * MIB)))

    async def test_backend_ends(self) -> None:
        async def once(wire: Wire) -> None:
            wire.write(await wire.exactly(2))
            wire.close()

        gateway = await self.gateway(layer4(await self.backend(once)))
        client = await self.client(gateway)
        client.write(b"ab")
        self.assertEqual(b"ab", await client.rest())
        await client.gone()
        self.assertEqual("backend", (await gateway.outcome()).closed_by)

    async def test_reset(self) -> None:
        """A reset of one side is one for the other."""
        backend = await self.backend(echo)
        gateway = await self.gateway(layer4(backend))
        client = await self.client(gateway)
        client.write(b"a")
        await client.exactly(1)
        client.reset()
        self.assertIsNotNone(await backend.wires[0].gone())
        await gateway.quiet()
        self.assertEqual("client_reset", (await gateway.outcome()).cause)

    async def test_idle(self) -> None:
        gateway = await self.gateway(layer4(await self.backend(echo), settings={"requestTimeout": 1}))
        client = await self.client(gateway)
        client.write(b"a")
        await client.gone()
        self.assertEqual(b"A", bytes(client.buffer))
        self.assertEqual(("idle_timeout", "gateway"), await self.end(gateway))

    async def end(self, gateway: Any) -> tuple[str, str]:
        outcome = await gateway.outcome()
        return outcome.cause, outcome.closed_by

    async def test_another_member(self) -> None:
        """One that refuses connections is left for another; what the client has sent meanwhile is not lost."""
        gone, backend = await self.backend(echo), await self.backend(echo)
        gateway = await self.gateway(layer4(gone, backend))
        await gone.refuse()
        for _ in range(2):
            client = await self.client(gateway)
            client.write(b"a")
            self.assertEqual(b"A", await client.exactly(1))
            client.close()
        await gateway.quiet()
        self.assertEqual(2, max([(await gateway.outcome(index)).attempts for index in (0, 1)]))

    async def test_selector_by_address(self) -> None:
        """Selectors see the client as they do with requests: all connections of one address go to one member."""
        backends = [await self.backend(echo) for _ in range(4)]
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in backends]
        gateway = await self.gateway(
            layer4(*backends, pools=[{"name": "pool", "members": members, "selector": "address-hash"}])
        )
        for _ in range(6):
            client = await self.client(gateway)
            client.write(b"a")
            self.assertEqual(b"A", await client.exactly(1))
        self.assertEqual([0, 0, 0, 6], sorted(len(backend.wires) for backend in backends))

    async def test_no_backend(self) -> None:
        backend = await self.backend(echo)
        await backend.refuse()
        gateway = await self.gateway(layer4(backend))
        try:
            client = await self.client(gateway)
        except ConnectError:
            pass  # that quick
        else:
            await client.gone()
            self.assertTrue(client.was_reset)
        outcome = await gateway.outcome()
        self.assertIsInstance(outcome.error, NoHealthyBackend)
        self.assertEqual((502, "no_healthy_backend"), (outcome.status, outcome.cause))

    async def test_client_address(self) -> None:
        heads: list[bytes] = []

        async def serve(wire: Wire) -> None:
            heads.append(await wire.until(b"\r\n"))
            await echo(wire)

        gateway = await self.gateway(layer4(await self.backend(serve), settings={"enableL4ClientIpPreservation": True}))
        client = await self.client(gateway)
        client.write(b"a")
        self.assertEqual(b"A", await client.exactly(1))
        port = client.transport.getHost().port
        self.assertEqual([f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {gateway.port}\r\n".encode()], heads)

    async def test_probe_with_header(self) -> None:
        lines: list[bytes] = []
        probed: Deferred[None] = Deferred()

        async def serve(wire: Wire) -> None:
            lines.append(await wire.until(b"\n"))
            probed.callback(None)

        probe = {"name": "probe", "protocol": "Tcp", "interval": 86400, "enableProbeProxyProtocolHeader": True}
        await self.gateway(layer4(await self.backend(serve), probes=[probe]))
        await probed
        self.assertEqual([b"PROXY UNKNOWN\r\n"], lines)

    async def test_default_probe(self) -> None:
        backend = await self.backend(echo)
        gateway = await self.gateway(layer4(backend, settings={"probe": None}, probes=[]))
        pool = next(iter(gateway.service.pools.values()))
        self.assertEqual(("up", "the connection was made"), (pool.backends[0].state, pool.backends[0].reason))

    async def test_beside_http(self) -> None:
        """Both kinds of listeners, one gateway; the session, the log and the metrics tell them apart."""
        path = self.mktemp()
        web = await self.backend(Answers())
        raw = await self.backend(echo)
        kinds = (("web", "Http", web), ("raw", "Tcp", raw))
        model = Gateway.model_validate(
            {
                "listeners": [
                    {"name": name, "address": "127.0.0.1", "port": 0, "protocol": protocol}
                    for name, protocol, _ in kinds
                ],
                "pools": [
                    {"name": name, "members": [{"host": "127.0.0.1", "port": backend.port}]}
                    for name, _, backend in kinds
                ],
                "settings": [{"name": name, "protocol": protocol} for name, protocol, _ in kinds],
                "rules": [{"name": name, "listener": name, "pool": name, "settings": name} for name, _, _ in kinds],
            }
        )
        gateway = await self.gateway(model)
        service = gateway.service
        from gateway.observe.access_log import open_access_log

        log = service.shared.observers = (*service.shared.observers, open_access_log(path, service.reactor))
        client, other = await self.client(gateway, "raw"), await self.client(gateway, "web")
        client.write(b"a")
        self.assertEqual(b"A", await client.exactly(1))
        other.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(other)).status)
        total, by_pool, (report,) = service.session_reports(10)
        self.assertEqual((1, {"raw": 1}, "tcp", "raw"), (total, by_pool, report["kind"], report["listener"]))
        client.close()
        await gateway.quiet()
        metrics = service.exposition()
        self.assertIn('gateway_requests_total{listener="raw",rule="raw",pool="raw"', metrics)
        self.assertNotIn('gateway_request_seconds_count{listener="raw",rule="raw",pool="raw"} 1', metrics)
        log[-1].close()
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(["connection-open", "exchange", "connection-end"], [line["event"] for line in lines])
        end = lines[-1]
        self.assertEqual(
            ("TCP", "raw", 1, 1, "200", f"127.0.0.1:{raw.port}", "client", "ok"),
            tuple(
                end[key]
                for key in (
                    "protocol", "listenerName", "receivedBytes", "upstreamSentBytes", "serverStatus", "serverRouted",
                    "closedBy", "cause",
                )
            ),
        )  # fmt: skip

    async def test_stop(self) -> None:
        """What is passed on may finish; what does not is cut."""
        gateway = await self.gateway(layer4(await self.backend(echo), limits={"shutdown_timeout": 1}))
        client, other = await self.client(gateway), await self.client(gateway)
        for each in (client, other):
            each.write(b"a")
            await each.exactly(1)
        stopped = gateway.service.stopService()
        client.write(b"b")
        self.assertEqual(b"B", await client.exactly(1))
        client.half_close()
        self.assertEqual(b"BYE", await client.rest())
        await other.gone()
        await stopped
        self.assertTrue(other.was_reset)


class TlsTests(GatewayTestCase):
    async def test_towards_clients(self) -> None:
        gateway = await self.gateway(tls(await self.backend(echo)))
        asked = Client("one.example", [b"postgresql"])
        client = await self.client(gateway, "one", tls=asked)
        client.write(b"hello")
        self.assertEqual(b"HELLO", await client.exactly(5))
        self.assertEqual("CN=one.example", asked.shown)
        client.close()
        outcome = await gateway.outcome()
        self.assertEqual(("tls", "TLSv1.3"), (outcome.scheme, outcome.tls_version))
        assert outcome.head is not None
        self.assertEqual("one.example", outcome.head.host)

    async def halves(self, gateway: Any) -> Wire:
        """A TLS client of the first listener that can close its direction alone."""
        from twisted.internet import reactor

        road = TwistedRoad(reactor)
        self.addCleanup(road.stop)
        calling = Factory.forProtocol(lambda: Wire("client", reactor))  # type: ignore[arg-type]
        calling.noisy = False
        secure = ClientTLS(SSL.Context(SSL.TLS_METHOD), "one.example")
        wire: Wire = await road.client("127.0.0.1", gateway.ports["one"], secure).connect(calling)
        self.addCleanup(self._client_over, wire)
        return wire

    async def test_the_client_ends_first(self) -> None:
        """close_notify is an end of what it says, and no more."""
        gateway = await self.gateway(tls(await self.backend(echo)))
        client = await self.halves(gateway)
        client.write(b"hello")
        client.half_close()
        self.assertEqual(b"HELLOBYE", await client.rest())
        await gateway.quiet()
        outcome = await gateway.outcome()
        self.assertEqual(("ok", "client"), (outcome.cause, outcome.closed_by))

    async def test_the_backend_ends_first(self) -> None:
        async def half(wire: Wire) -> None:
            wire.write(await wire.exactly(2))
            wire.half_close()
            await wire.exactly(3)
            wire.close()

        gateway = await self.gateway(tls(await self.backend(half)))
        client = await self.halves(gateway)
        client.write(b"ab")
        self.assertEqual(b"ab", await client.rest())
        client.write(b"cde")
        client.half_close()
        await gateway.quiet()
        outcome = await gateway.outcome()
        self.assertEqual(("ok", "backend", 5), (outcome.cause, outcome.closed_by, outcome.received_bytes))

    async def test_a_backend_that_ends_without_close_notify(self) -> None:
        """Nothing of what it has sent is lost, and a client of TLS hears no proper end either."""

        async def cut(wire: Wire) -> None:
            await wire.exactly(1)
            wire.write(b"x" * MIB)
            wire.transport.transport.loseConnection()  # of TCP

        for listener in (False, True):
            backend = await self.backend(cut, Server(CA.issue(names=["db.example"])))
            made = tls if listener else layer4
            model = made(
                backend,
                settings={"protocol": "Tls", "trustedRootCertificates": ["root"], "hostName": "db.example"},
                trusted_roots=[CA.trusted_root("root")],
                probes=[{"name": "probe", "protocol": "Tcp", "interval": 86400}],
            )
            gateway = await self.gateway(model)
            client = await self.client(gateway, tls=Client("one.example") if listener else None)
            client.write(b"a")
            self.assertEqual(MIB, len(await client.rest()))
            await client.gone()
            self.assertEqual(listener, client.was_reset)
            await gateway.quiet()
            outcome = await gateway.outcome()
            self.assertEqual(("backend_truncated", "backend"), (outcome.cause, outcome.closed_by))

    async def test_server_names(self) -> None:
        """Listeners that share a port: the name decides about certificate, rule and pool; nobody's name is refused."""
        backends = [await self.backend(echo) for _ in range(2)]
        listening = self.free_port()
        names = ("one", "two")
        gateway = await self.gateway(
            tls(
                *backends,
                listeners=[
                    {"name": name, "address": "127.0.0.1", "port": listening, "protocol": "Tls",
                     "certificates": [name], "hostNames": [f"{name}.example", f"*.{name}.example"]}
                    for name in names
                ],
                pools=[
                    {"name": name, "members": [{"host": "127.0.0.1", "port": backend.port}]}
                    for name, backend in zip(names, backends, strict=True)
                ],
                rules=[{"name": name, "listener": name, "pool": name, "settings": "settings"} for name in names],
            )
        )  # fmt: skip
        for server_name, shown, backend in (
            ("two.example", "CN=two.example", backends[1]),
            ("one.example", "CN=one.example", backends[0]),
            ("WWW.two.example", "CN=two.example", backends[1]),
        ):
            before = len(backend.wires)
            asked = Client(server_name)
            client = await self.client(gateway, tls=asked)
            client.write(b"a")
            self.assertEqual(b"A", await client.exactly(1))
            self.assertEqual((shown, before + 1), (asked.shown, len(backend.wires)))
        for nobody in ("three.example", None):
            client = await self.client(gateway, tls=Client(nobody))
            await client.gone()
        await gateway.until(lambda: len(gateway.recorder.outcomes) == 2, "the outcomes of those refused")
        self.assertEqual(["no_route"] * 2, [each.cause for each in gateway.recorder.outcomes])

    def free_port(self) -> int:
        import socket

        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
            return port

    async def through(self, issued: Any, listener: bool = False, **settings: Any) -> tuple[bytes, Any, Server]:
        """A byte to a TLS backend and back; empty where the connection was cut."""
        server = Server(issued)
        backend = await self.backend(echo, server)
        made = tls if listener else layer4
        model: Gateway = made(
            backend,
            settings={"protocol": "Tls", "trustedRootCertificates": ["root"], **settings},
            trusted_roots=[CA.trusted_root("root")],
            probes=[{"name": "probe", "protocol": "Tcp", "interval": 86400}],
        )
        gateway = await self.gateway(model)
        client = await self.client(gateway, tls=Client("one.example") if listener else None)
        client.write(b"a")
        try:
            found = await client.exactly(1)
            client.half_close()
        except Ended:
            found = b""
        return found, gateway, server

    async def test_towards_backends(self) -> None:
        issued = CA.issue(names=["db.example"])
        found, gateway, server = await self.through(issued, hostName="db.example")
        self.assertEqual((b"A", b"db.example"), (found, server.names[-1]))
        (outcome,) = [*gateway.recorder.outcomes, *[session.outcome for session in gateway.service.sessions]]
        self.assertEqual("TLSv1.3", outcome.upstream_tls_version)
        found, _, server = await self.through(issued, hostName="other.example", sniName="db.example")
        self.assertEqual((b"A", b"db.example"), (found, server.names[-1]))

    async def test_name_of_the_client(self) -> None:
        found, _, server = await self.through(CA.issue(names=["one.example"]), listener=True)
        self.assertEqual((b"A", b"one.example"), (found, server.names[-1]))

    async def test_wrong_certificate(self) -> None:
        for issued in (CA.issue(names=["other.example"]), TestCA("Unknown").issue(names=["db.example"])):
            found, gateway, _ = await self.through(issued, hostName="db.example")
            self.assertEqual(b"", found)
            outcome = await gateway.outcome()
            self.assertIsInstance(outcome.error, BackendTLSFailed)
            self.assertEqual("backend_tls_failed", outcome.cause)
            relaxed = {"validateCertChainAndExpiry": False, "validateSNI": False}
            self.assertEqual(b"A", (await self.through(issued, hostName="db.example", **relaxed))[0])

    async def test_client_address_before_tls(self) -> None:
        """The header is in the clear, in front of the handshake."""
        firsts: list[bytes] = []

        async def serve(wire: Wire) -> None:
            firsts.append(await wire.until(b"\r\n"))
            firsts.append(await wire.exactly(1))

        gateway = await self.gateway(
            layer4(
                await self.backend(serve),
                settings={"protocol": "Tls", "hostName": "db.example", "enableL4ClientIpPreservation": True},
            )
        )
        client = await self.client(gateway)
        port = client.transport.getHost().port
        await gateway.until(lambda: len(firsts) == 2, "the start of the handshake")
        self.assertEqual([f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {gateway.port}\r\n".encode(), b"\x16"], firsts)

    async def test_tls_probe(self) -> None:
        server = Server(CA.issue(names=["db.example"]))
        backend = await self.backend(echo, server)
        for host, state in (("db.example", "up"), ("other.example", "down")):
            gateway = await self.gateway(
                layer4(
                    backend,
                    settings={"protocol": "Tls", "trustedRootCertificates": ["root"], "hostName": host},
                    trusted_roots=[CA.trusted_root("root")],
                    probes=[{"name": "probe", "protocol": "Tls", "interval": 86400,
                             "pickHostNameFromBackendHttpSettings": True}],
                )
            )  # fmt: skip
            pool = next(iter(gateway.service.pools.values()))
            self.assertEqual(state, pool.backends[0].state, pool.backends[0].reason)

    async def test_client_certificates(self) -> None:
        """A strict profile refuses clients without a certificate of its authorities, here by closing."""
        clients = TestCA("Clients")
        gateway = await self.gateway(
            tls(
                await self.backend(echo),
                names=("one",),
                listeners=[{"name": "one", "address": "127.0.0.1", "port": 0, "protocol": "Tls",
                            "certificates": ["one"], "sslProfile": "strict"}],
                ssl_profiles=[{"name": "strict", "trustedClientCertificates": ["clients"]}],
                trusted_client_certificates=[{"name": "clients", "data": clients.pem.decode()}],
            )
        )  # fmt: skip
        stranger = await self.client(gateway, tls=Client("one.example"))
        await stranger.gone()
        self.assertEqual((400, "client_certificate"), await self.status(gateway))
        known = Client("one.example")
        issued = clients.issue(names=["client"])
        known._context.use_certificate(issued.cert)
        known._context.use_privatekey(issued.key)
        client = await self.client(gateway, tls=known)
        client.write(b"a")
        self.assertEqual(b"A", await client.exactly(1))

    async def status(self, gateway: Any) -> tuple[int, str]:
        outcome = await gateway.outcome()
        return outcome.status, outcome.cause

    async def test_plain_client(self) -> None:
        """Who does not speak TLS gets no backend; the port lives on."""
        backend = await self.backend(echo)
        gateway = await self.gateway(tls(backend))
        client = await self.client(gateway)
        client.write(b"hello, is this plain?\r\n")
        await client.gone()
        self.assertEqual([], backend.wires)
        client = await self.client(gateway, tls=Client())
        client.write(b"a")
        self.assertEqual(b"A", await client.exactly(1))


both_roads(globals())
