"""A document that is only a part, served: what is there works, the rest answers 502 or fails its handshake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from gateway.config import load
from gateway.errors import Problem
from gateway.lifecycle.preflight import checks
from gateway.service import GatewayService
from tests.config.arm import child, template
from tests.config.arm import gateway as resource
from tests.integration.harness import GatewayTestCase, both_roads
from tests.integration.messages import read_request, read_response
from tests.integration.wire import Ended, Wire


@implementer(IOpenSSLClientConnectionCreator)
class _Client:
    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        connection.set_app_data(tlsProtocol)
        return connection


class PartialTests(GatewayTestCase):
    """ARM documents as they stand in repositories."""

    def model(self, document: Any, port: int = 1) -> Any:
        path = Path(self.mktemp())
        path.write_text(json.dumps(document), encoding="utf-8")
        warnings: list[Problem] = []
        mapped = {"map_ports": ["web=0", "tls=0"], "map_backends": [f"a.test=127.0.0.1:{port}"]}
        return load(path, warnings=warnings, checks=checks(), **mapped)

    async def test_served(self) -> None:
        """The pool that is there answers; a path whose pool is not there gets 502; TLS without certificate fails."""

        async def serve(wire: Wire) -> None:
            await read_request(wire)
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        backend = await self.backend(serve)
        at = {"backendAddressPool": {"id": "chat"}, "backendHttpSettings": {"id": "plain"}}
        made = resource(
            frontendPorts=[child("p80", port=80), child("p443", port=443)],
            probes=[child("health", protocol="Http", path="/_probe", interval=30, timeout=30)],
            backendHttpSettingsCollection=[child("plain", port=80, protocol="Http", probe={"id": "health"})],
            httpListeners=[
                child("web", frontendPort={"id": "p80"}, protocol="Http"),
                child("tls", frontendPort={"id": "p443"}, protocol="Https", sslCertificate={"id": "gone"}),
            ],
            urlPathMaps=[
                child(
                    "map",
                    defaultBackendAddressPool={"id": "xx"},
                    defaultBackendHttpSettings={"id": "yy"},
                    pathRules=[child("chat", paths=["/chat/*"], **at)],
                )
            ],
            requestRoutingRules=[
                child(name, priority=index + 1, ruleType="PathBasedRouting", httpListener={"id": name},
                      urlPathMap={"id": "map"})
                for index, name in enumerate(("web", "tls"))
            ],
        )  # fmt: skip
        gateway = await self.gateway(self.model(template([made]), backend.port))
        for path, status in ((b"/chat/x", 200), (b"/other", 502)):
            client = await self.client(gateway)
            client.write(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            self.assertEqual((await read_response(client)).status, status)
        client = await self.client(gateway, "tls", tls=_Client())
        client.write(b"GET /chat/x HTTP/1.1\r\nHost: a\r\n\r\n")
        with self.assertRaises(Ended):
            await read_response(client)

    async def test_unknown_member(self) -> None:
        """A member whose address is not known is down; its requests get 502."""
        made = resource(fqdn="[reference('app').host]")
        gateway = await self.gateway(self.model(template([made])))
        (pool,) = gateway.service.pools.values()
        self.assertEqual([backend.host for backend in pool.backends], ["app.host.invalid"])
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((await read_response(client)).status, 502)

    async def test_nothing_to_serve(self) -> None:
        """A gateway without listeners runs, for what its admin port says."""
        from twisted.internet import reactor

        document = template([resource(httpListeners="[parameters('all')]")], parameters={"all": {"type": "array"}})
        service = GatewayService(
            self.model(document), reactor=reactor, transport=self.transport, access_log="off", admin="127.0.0.1:0"
        )
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(service.ports, {})
        self.assertTrue(service.admin_port)
        await service.when_ready()


both_roads(globals())
