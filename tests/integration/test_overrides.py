"""An ARM document with what it cannot say in overrides, served over both roads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.lifecycle.preflight import checks
from tests.config.arm import gateway as resource
from tests.config.arm import template
from tests.integration.harness import GatewayTestCase, both_roads
from tests.integration.messages import read_request, read_response
from tests.integration.wire import Wire


class OverridesTests(GatewayTestCase):
    """Middleware, a selector and passive health for a template."""

    async def start(self, port: int, **overrides: Any) -> Any:
        directory = Path(self.mktemp())
        directory.mkdir()
        for name, document in (("t.json", template([resource()])), ("o.yaml", overrides)):
            (directory / name).write_text(json.dumps(document), encoding="utf-8")
        mapped = {"map_ports": ["web=0"], "map_backends": [f"a.test=127.0.0.1:{port}"]}
        model = load(directory / "t.json", overrides=directory / "o.yaml", warnings=[], checks=checks(), **mapped)
        return await self.gateway(model)

    async def test_middleware(self) -> None:
        """Of the gateway, the listener and the rule, in this order."""

        def sets(value: str) -> Any:
            return [{"strategy": "headers", "options": {"request": {"add": {"X-Seen": value}}}}]

        seen: list[str] = []

        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            seen.extend(value for name, value in request.fields if name == "X-Seen")
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        backend = await self.backend(serve)
        gateway = await self.start(
            backend.port,
            probes={},
            middleware=sets("gateway"),
            listeners={"web": {"middleware": sets("listener")}},
            rules={"rule": {"middleware": sets("rule")}},
        )
        client = await self.client(gateway)
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(200, (await read_response(client)).status)
        self.assertEqual(["gateway", "listener", "rule"], seen)

    async def test_pool(self) -> None:
        """A selector and passive health for the members of the template."""

        async def serve(wire: Wire) -> None:
            request = await read_request(wire)
            status = b"500 Oops" if "/bad" in request.line else b"200 OK"
            wire.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

        backend = await self.backend(serve)
        pool = {"selector": "random-of-two", "passiveHealth": {"serverErrors": 1}}
        gateway = await self.start(backend.port, pools={"chat": pool})
        (made,) = gateway.service.pools.values()
        self.assertEqual("random-of-two", made.strategy)
        client = await self.client(gateway)
        client.write(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(500, (await read_response(client)).status)
        (member,) = made.backends
        self.assertIsNotNone(member.witness)


both_roads(globals())
