"""Probes over real sockets: backends leave their pool and come back, with reasons an operator can use."""

from __future__ import annotations

from typing import Any

from OpenSSL import crypto
from twisted.internet.ssl import CertificateOptions

from tests.certificates import TestCA
from tests.integration.harness import PROBE_PATH, GatewayTestCase, RawBackend, Running, both_roads, model_for
from tests.integration.messages import read_request, read_response
from tests.integration.wire import Wire


async def hello(wire: Wire) -> None:
    """Answer one request."""
    await read_request(wire)
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


async def silence(wire: Wire) -> None:
    """Read a request and say nothing."""
    await read_request(wire)


def probed(*backends: RawBackend, settings: dict[str, Any] | None = None, **probe: Any) -> Any:
    """A model whose probe is quick."""
    quick = {"name": "probe", "path": PROBE_PATH, "interval": 0.05, "timeout": 2, "unhealthyThreshold": 2, **probe}
    return model_for(*backends, settings=settings, probes=[quick])


class ProbeTests(GatewayTestCase):
    """The whole way: probe, verdict, pool, status."""

    def reason(self, gateway: Running) -> str:
        pool = next(iter(gateway.service.pools.values()))
        return f"{pool.backends[0].state}: {pool.backends[0].reason}"

    async def status(self, gateway: Running) -> int:
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return (await read_response(client)).status

    async def test_leaves_and_returns(self) -> None:
        backend = await self.backend(hello)
        gateway = await self.gateway(probed(backend))
        self.assertEqual(await self.status(gateway), 200)
        backend.healthy = False
        await gateway.until(lambda: self.reason(gateway).startswith("down"), "the backend to leave")
        self.assertEqual(self.reason(gateway), "down: the answer was 503, expected 200-399")
        self.assertEqual(await self.status(gateway), 502)
        backend.healthy = True
        await gateway.until(lambda: self.reason(gateway).startswith("up"), "the backend to return")
        self.assertEqual(await self.status(gateway), 200)

    async def test_refused(self) -> None:
        backend = await self.backend(hello)
        await backend.refuse()
        gateway = await self.gateway(probed(backend))
        self.assertIn("connection refused (nothing listens there)", self.reason(gateway))

    async def test_silent(self) -> None:
        backend = await self.backend(silence)
        gateway = await self.gateway(probed(backend, path="/other", timeout=0.2))
        self.assertEqual(self.reason(gateway), "down: no answer within the probe's timeout of 0.2 s")
        await gateway.until(lambda: len(backend.wires) >= 2, "another probe")
        await backend.wires[0].gone()

    async def test_not_http(self) -> None:
        async def greet(wire: Wire) -> None:
            wire.write(b"220 mail.example ESMTP\r\n")

        gateway = await self.gateway(probed(await self.backend(greet), path="/other"))
        self.assertIn("down: the answer is not valid HTTP", self.reason(gateway))

    async def test_tls(self) -> None:
        """HTTPS probes verify the backend as requests do."""
        authority = TestCA()
        issued = authority.issue(names=["app.example"])
        key, certificate = crypto.PKey.from_cryptography_key(issued.key), crypto.X509.from_cryptography(issued.cert)
        backend = await self.backend(hello, CertificateOptions(key, certificate))
        secure = {"protocol": "Https", "trustedRootCertificates": ["ca"]}
        for host, state in (("app.example", "up: the answer was 200"), ("other.example", "down: ")):
            model = probed(backend, settings=secure, protocol="Https", host=host)
            model = model.model_copy(update={"trusted_roots": (authority.trusted_root("ca"),)})
            gateway = await self.gateway(model)
            self.assertTrue(self.reason(gateway).startswith(state), self.reason(gateway))
        self.assertIn("TLS to 127.0.0.1", self.reason(gateway))


both_roads(globals())
