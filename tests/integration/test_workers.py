"""A gateway of two worker processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from gateway.config import model
from gateway.workers.parent import ParentService
from tests.integration.harness import GatewayTestCase, Recorder, Running, both_roads, model_for
from tests.integration.messages import Message, read_request, read_response
from tests.integration.test_discovery import Written
from tests.integration.test_selectors import Named
from tests.integration.websocket import agree, frame, handshake, read_close, read_frame
from tests.integration.wire import Wire

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def serve_both(wire: Wire) -> None:
    """A plain answer, or an echo of frames."""
    while True:
        request = await read_request(wire)
        if request.get("upgrade") is None:
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            continue
        wire.write(agree(request))
        while True:
            message = await read_frame(wire)
            wire.write(frame(message.opcode, message.payload))


class WorkersCase(GatewayTestCase):
    """Real processes, real sockets."""

    async def workers(self, configuration: model.Gateway, **others: Any) -> Running:
        """A gateway whose two workers serve."""
        from twisted.internet import reactor

        service = ParentService(
            configuration, workers=2, reactor=reactor, transport=self.transport,
            **{"access_log": "off", "admin": "127.0.0.1:0", **others},
        )  # fmt: skip
        service.privilegedStartService()
        service.startService()
        running = Running(service, Recorder(), reactor)
        self.addCleanup(self._gateway_over, running)
        await service.when_ready()
        crew: Any = service.crew
        await running.until(lambda: all(worker.ready for worker in crew.workers), "both workers to serve", 30)
        return running

    async def reloading(self, first: model.Gateway) -> Running:
        """The same; `reload` gives it another configuration."""
        self.wanted = first
        return await self.workers(first, source=lambda: (self.wanted, ()))

    async def reload(self, gateway: Running, wanted: model.Gateway) -> None:
        """Reload, and wait until the workers have done so too: each says it on its pipe."""
        parent: Any = gateway.service
        self.wanted = wanted
        await parent.reload()
        await gateway.until(lambda: not parent.reloading_workers, "the workers to reload")

    async def killed(self, gateway: Running, index: int) -> None:
        """Kill a worker, and wait until the parent has noticed."""
        crew: Any = gateway.service.crew
        worker = crew.workers[index]
        gone = worker.pid
        os.kill(gone, signal.SIGKILL)
        await gateway.until(lambda: worker.pid != gone, "the worker to end")

    async def replaced(self, gateway: Running, index: int) -> None:
        """Wait until a worker that has been killed has a successor that serves."""
        crew: Any = gateway.service.crew
        await gateway.until(lambda: crew.workers[index].pid != 0 and crew.workers[index].ready, "a new worker", 30)

    async def admin(self, gateway: Running, path: str) -> bytes:
        """A page of the admin site."""
        gateway.ports["admin"] = gateway.service.admin_port or 0
        client = await self.client(gateway, "admin")
        client.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return (await read_response(client)).body


class WorkersTests(WorkersCase):
    """What they do together."""

    async def test_router(self) -> None:
        """The pool that only a router names is probed by the parent, and served by the workers."""
        backend = await self.backend(serve_both)
        configuration = model_for(backend)
        rule = configuration.rules[0].model_copy(
            update={
                "pool": None,
                "router": model.Strategy(strategy="prefix", options={"prefixes": {"/": {"pool": "pool"}}}),
            }
        )
        gateway = await self.workers(configuration.model_copy(update={"rules": (rule,)}))
        for _ in range(6):
            client = await self.client(gateway)
            client.write(_GET)
            self.assertEqual(b"ok", (await read_response(client)).body)
        self.assertEqual(1, backend.probes)

    async def test_life(self) -> None:
        """Traffic, numbers that add up, a worker that dies, and the end."""
        backend = await self.backend(serve_both)
        gateway = await self.workers(model_for(backend))
        clients = [await self.client(gateway) for _ in range(12)]
        for client in clients:
            client.write(_GET)
            self.assertEqual(b"ok", (await read_response(client)).body)
        metrics = (await self.admin(gateway, "/metrics")).decode()
        ok = [line for line in metrics.splitlines() if line.startswith("gateway_requests_total{") and "2xx" in line]
        self.assertEqual(["12"], [line.rpartition(" ")[2] for line in ok])

        crew: Any = gateway.service.crew
        first = crew.workers[0]
        gone = first.pid
        os.kill(gone, signal.SIGKILL)
        await gateway.until(lambda: first.pid not in (0, gone) and first.ready, "a new worker", 30)
        for _ in range(8):
            client = await self.client(gateway)
            client.write(_GET)
            self.assertEqual(b"ok", (await read_response(client)).body)
        metrics = (await self.admin(gateway, "/metrics")).decode()
        ok = [line for line in metrics.splitlines() if line.startswith("gateway_requests_total{") and "2xx" in line]
        self.assertEqual(["20"], [line.rpartition(" ")[2] for line in ok])

    async def test_access_log(self) -> None:
        """Both write it, and neither writes what is not to be seen."""
        backend = await self.backend(serve_both)
        log = Path(self.mktemp())
        gateway = await self.workers(model_for(backend), access_log=str(log), hide_queries=True)
        for _ in range(6):
            client = await self.client(gateway)
            client.write(_GET.replace(b"/ ", b"/a?token=s3cret "))
            self.assertEqual(b"ok", (await read_response(client)).body)
        await gateway.service.stopService()
        lines = [json.loads(line) for line in log.read_text("ascii").splitlines()]
        self.assertEqual(["/a?-"] * 6, [line["originalRequestUriWithArgs"] for line in lines])
        self.assertNotIn("s3cret", log.read_text("ascii"))

    async def test_sessions(self) -> None:
        """Sessions of all workers are seen, counted as leases everywhere, and end with a close frame."""
        backend = await self.backend(serve_both)
        gateway = await self.workers(model_for(backend))
        clients = [await self.client(gateway) for _ in range(6)]
        for client in clients:
            client.write(handshake())
            self.assertEqual(101, (await read_response(client)).status)
            client.write(frame(1, b"hello", mask=b"abcd"))
            self.assertEqual(b"hello", (await read_frame(client)).payload)
        report = json.loads(await self.admin(gateway, "/sessions"))
        self.assertEqual((6, {"pool": 6}), (report["total"], report["byPool"]))
        self.assertEqual(6, len(report["sessions"]))
        await gateway.until(lambda: gateway.active == 6, "the leases of all workers to be known")
        stopped = gateway.service.stopService()
        for client in clients:
            self.assertEqual(1001, (await read_close(client))[0])
            client.transport.loseConnection()
        await stopped
        self.assertEqual([0, 0], [worker.pid for worker in gateway.service.crew.workers])  # type: ignore[attr-defined]

    async def test_backend_health(self) -> None:
        """What the traffic of one worker shows the parent judges for all; the admin port knows it."""

        async def broken(wire: Wire) -> None:
            while True:
                await read_request(wire)
                wire.write(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")

        good, bad = await self.backend(serve_both), await self.backend(broken)
        members = [{"host": "127.0.0.1", "port": backend.port} for backend in (good, bad)]
        passive = {"serverErrors": 1, "baseEjectionSeconds": 600, "maxEjectionSeconds": 600}
        gateway = await self.workers(
            model_for(good, pools=[{"name": "pool", "members": members, "passiveHealth": passive}])
        )
        client = await self.client(gateway)  # one connection, so one worker
        for _ in range(4):
            client.write(_GET)
            await read_response(client)
        pool = gateway.service.pools["pool", "settings"]
        await gateway.until(lambda: bool(pool.backends[1].ejected), "the parent to hear of it")
        for each in [await self.client(gateway) for _ in range(8)]:
            for _ in range(3):
                each.write(_GET)
                self.assertEqual(200, (await read_response(each)).status)
        report = json.loads(await self.admin(gateway, "/backendhealth"))
        servers = report["backendAddressPools"][0]["backendHttpSettingsCollection"][0]["servers"]
        self.assertEqual(["Up", "Down"], [server["health"] for server in servers])
        self.assertIn("ejected for 600 s: failed answer", servers[1]["healthProbeLog"])
        metrics = (await self.admin(gateway, "/metrics")).decode()
        self.assertIn(f'gateway_backend_ejections_total{{pool="pool",settings="settings",'
                      f'backend="127.0.0.1:{bad.port}"}} 1\n', metrics)
        body = b'{"backendAddressPool": "pool", "backendHttpSettings": "settings"}'
        head = "POST /getBackendHealthOnDemand HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        client = await self.client(gateway, "admin")
        client.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = json.loads((await read_response(client)).body)
        servers = answer["backendHealthHttpSettings"]["servers"]
        self.assertEqual(["Up", "Up"], [server["health"] for server in servers])

    async def test_most_connections(self) -> None:
        """``maxConnections`` is for all workers together, once they have heard of each other."""
        backend = await self.backend(serve_both)
        gateway = await self.workers(model_for(backend, limits={"max_connections": 6}))
        clients = [await self.client(gateway) for _ in range(6)]
        for client in clients:
            client.write(_GET)
            self.assertEqual(200, (await read_response(client)).status)
        await gateway.until(lambda: gateway.service.admission.elsewhere == 6, "all connections to be known")
        refused = 0
        while refused < 8:  # in a row: the parent's word may still be on its way
            client = await self.client(gateway)
            client.write(_GET)
            status = (await read_response(client)).status
            refused = refused + 1 if status == 503 else 0
            await self._client_over(client)

    async def test_layer4(self) -> None:
        """Connections of plain TCP are served by all workers; the parent knows of them."""

        async def echo(wire: Wire) -> None:
            while True:
                wire.write((await wire.exactly(1)).upper())

        configuration = model_for(
            await self.backend(echo),
            listeners=[{"name": "raw", "address": "127.0.0.1", "port": 0, "protocol": "Tcp"}],
            settings={"protocol": "Tcp"},
            probes=[{"name": "probe", "protocol": "Tcp", "interval": 86400}],
            rules=[{"name": "rule", "listener": "raw", "pool": "pool", "settings": "settings"}],
        )
        gateway = await self.workers(configuration)
        clients = [await self.client(gateway) for _ in range(6)]
        for client in clients:
            client.write(b"a")
            self.assertEqual(b"A", await client.exactly(1))
        report = json.loads(await self.admin(gateway, "/sessions"))
        self.assertEqual((6, {"tcp"}), (report["total"], {session["kind"] for session in report["sessions"]}))
        for client in clients:
            client.close()

    async def test_verdicts(self) -> None:
        """What the parent's probes find, the workers obey."""
        backend = await self.backend(serve_both)
        probe = {"name": "probe", "path": "/_probe", "interval": 0.1, "timeout": 1, "unhealthy_threshold": 1}
        gateway = await self.workers(model_for(backend, probes=[probe]))
        backend.healthy = False
        status = 200
        client = await self.client(gateway)
        while status == 200:
            client.write(_GET)
            status = (await read_response(client)).status
        self.assertEqual(502, status)
        backend.healthy = True
        while status == 502:
            client.write(_GET)
            status = (await read_response(client)).status
        self.assertEqual(200, status)

    async def test_members(self) -> None:
        """The parent finds the members, and the workers have them; a sticky cookie is good in each of them."""
        backends = [await self.backend(Named(name)) for name in "ab"]
        listed = Written(self.mktemp())
        listed.write(backends[0])
        pool = {"name": "pool", "discovery": listed.discovery, "selector": "sticky"}
        gateway = await self.workers(model_for(pools=[pool]))

        async def served(cookie: str = "") -> Message:
            client = await self.client(gateway)
            client.write(_GET[:-2] + (f"Cookie: {cookie}\r\n\r\n" if cookie else "\r\n").encode())
            return await read_response(client)

        self.assertEqual({(await served()).get("X-Served-By") for _ in range(8)}, {"a"})
        listed.write(*backends)
        names: set[str | None] = set()
        while names != {"a", "b"}:
            response = await served()
            names.add(response.get("X-Served-By"))
        cookie = response.all("Set-Cookie")[1].partition(";")[0]
        self.assertEqual(
            {(await served(cookie)).get("X-Served-By") for _ in range(12)}, {response.get("X-Served-By")}
        )
        listed.write(backends[1])
        while (await served()).get("X-Served-By") != "b":
            pass
        crew: Any = gateway.service.crew
        gone = crew.workers[0].pid
        os.kill(gone, signal.SIGKILL)
        await gateway.until(lambda: crew.workers[0].pid not in (0, gone) and crew.workers[0].ready, "a new worker", 30)
        self.assertEqual({(await served()).get("X-Served-By") for _ in range(8)}, {"b"})


both_roads(globals())
