"""Workers that are told to end, that end, and that cannot begin."""

from __future__ import annotations

import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent

from gateway.workers import watchdog
from tests.certificates import Issued, TestCA
from tests.integration.harness import Running, both_roads, model_for
from tests.integration.messages import Answers, read_request, read_response
from tests.integration.test_workers import WorkersCase, serve_both
from tests.integration.websocket import TEXT, frame, handshake
from tests.integration.wire import Wire

CA = TestCA("Test Root")

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Slow:
    """Answers when it is told to. ``asked``: how many requests have come."""

    def __init__(self) -> None:
        self.asked = 0
        self._waiting: list[Deferred[None]] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            await read_request(wire)
            self.asked += 1
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
            wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def answer(self) -> None:
        """Answer all."""
        for waiting in self._waiting:
            waiting.callback(None)


class WorkersLifeTests(WorkersCase):
    """Real processes, real sockets."""

    async def asked(self) -> tuple[Running, Slow, list[Wire]]:
        """A gateway with requests in progress."""
        slow = Slow()
        gateway = await self.workers(model_for(await self.backend(slow), limits={"shutdown_timeout": 40}))
        clients = [await self.client(gateway) for _ in range(8)]
        for client in clients:
            client.write(_GET)
        await gateway.until(lambda: slow.asked == 8, "the backend to be asked")
        return gateway, slow, clients

    async def test_a_signal_to_the_workers_and_the_parent(self) -> None:
        """As supervisors send it to a whole group: requests in progress are answered."""
        gateway, slow, clients = await self.asked()
        crew: Any = gateway.service.crew
        first = list(crew.workers)
        for worker in first:
            os.kill(worker.pid, signal.SIGTERM)
        await gateway.until(lambda: not set(crew.workers) & set(first), "the parent to hear of it")
        others = list(crew.workers)
        stopped = gateway.service.stopService()
        # They end before they serve: what the first ones were told at the same time has been heard by then.
        await gateway.until(lambda: not any(worker.pid for worker in others), "successors to end", 30)
        slow.answer()
        for client in clients:
            self.assertEqual(b"ok", (await read_response(client)).body)
        await stopped

    async def test_a_signal_to_one(self) -> None:
        """Its successor begins at once and serves while it finishes; a second one ends the wait."""
        gateway, slow, clients = await self.asked()
        crew: Any = gateway.service.crew
        counts: dict[int, int] = gateway.service._connections  # type: ignore[attr-defined]
        await gateway.until(lambda: sum(counts.values()) == 8, "all connections to be known")
        first = list(crew.workers)
        busy = max(first, key=lambda worker: counts.get(worker.number, 0))
        index, pid = first.index(busy), busy.pid
        os.kill(pid, signal.SIGTERM)
        await gateway.until(lambda: crew.workers[index] is not busy and crew.workers[index].ready, "a successor", 30)
        self.assertEqual(pid, busy.pid)
        metrics = (await self.admin(gateway, "/metrics")).decode()
        for state, count in {"serving": 2, "starting": 0, "leaving": 1}.items():
            self.assertIn(f'gateway_workers{{state="{state}"}} {count}\n', metrics)
        os.kill(pid, signal.SIGTERM)
        await gateway.until(lambda: not busy.pid, "it to end")
        slow.answer()
        self.assertIn(503, [(await read_response(client)).status for client in clients])

    async def test_one_that_hangs(self) -> None:
        """The log says where; its clients come to the other one, and to its successor."""
        self.patch(watchdog, "SECONDS", 1.0)
        rule = {"name": "rule", "listener": "web", "pool": "pool", "settings": "settings"}
        rule["filters"] = ["tests.integration.filters:talk"]  # type: ignore[assignment]
        gateway = await self.workers(model_for(await self.backend(serve_both), rules=[rule]))
        crew: Any = gateway.service.crew
        pids = {worker.pid for worker in crew.workers}

        def fresh() -> set[int]:
            return {worker.pid for worker in crew.workers} - pids - {0}

        client = await self.client(gateway)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        with capturedLogs() as said:
            client.write(frame(TEXT, b"hang", b"mask"))
            await client.gone()
            await gateway.until(lambda: len(fresh()) == 1 and all(worker.ready for worker in crew.workers), "one", 30)
        text = "\n".join(formatEvent(event) for event in said)
        self.assertIn("has not answered for 3 s and is killed", text)
        self.assertIn("tests/integration/filters.py", text)
        other = await self.client(gateway)
        other.write(_GET)
        self.assertEqual(200, (await read_response(other)).status)

    def secured(self, issued: Issued) -> dict[str, Any]:
        """Ports with TLS and without, and the files of a certificate in ``directory``."""
        self.directory = Path(self.mktemp())
        certificate, key = issued.pem_files(str(self.directory))
        return {
            "certificates": [{"name": "c", "certificateFile": certificate, "keyFile": key}],
            "listeners": [
                {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["c"]}
            ],
        }

    async def shown(self, gateway: Running) -> set[str]:
        """The certificates that clients get."""
        place = "127.0.0.1", gateway.port
        return {await deferToThread(ssl.get_server_certificate, place) for _ in range(12)}

    async def test_files_that_are_broken(self) -> None:
        """A worker that is started meanwhile shows what the others do; and all show others when these can be used."""
        one, two = CA.issue(["a.example"]), CA.issue(["a.example"])
        gateway = await self.workers(model_for(await self.backend(Answers()), **self.secured(one)))
        parent: Any = gateway.service
        (self.directory / "server.key").write_bytes(b"")
        await self.killed(gateway, 0)
        await self.replaced(gateway, 0)
        self.assertEqual({one.cert_pem.decode()}, await self.shown(gateway))
        two.pem_files(str(self.directory))
        await parent._renew()
        while await self.shown(gateway) != {two.cert_pem.decode()}:
            pass  # each worker shows it when it has read it in its thread
        await self.killed(gateway, 1)
        for file in self.directory.iterdir():
            file.unlink()
        await self.replaced(gateway, 1)
        self.assertEqual({two.cert_pem.decode()}, await self.shown(gateway))

    async def test_a_worker_that_cannot_be_started(self) -> None:
        """Nobody waits for it: the other one gets its clients, and the admin port says that it is alone."""
        backend = await self.backend(Answers())
        gateway = await self.workers(model_for(backend))
        crew: Any = gateway.service.crew
        worker = crew.workers[0]
        began = crew.began
        crew.began = lambda worker: worker.link.send("config", nonsense=True)
        await self.killed(gateway, 0)
        await gateway.until(lambda: "KeyError" in worker._reason, "an attempt to fail", 30)
        await gateway.until(lambda: not worker.pid, "it to end")
        for client in [await self.client(gateway) for _ in range(12)]:
            client.write(_GET)
            self.assertEqual(200, (await read_response(client)).status)
        page = json.loads(await self.admin(gateway, "/ready"))
        self.assertEqual((True, "all backends have been probed; 1 of 2 workers serve"), (page["ready"], page["reason"]))
        crew.began = began
        await self.replaced(gateway, 0)
        page = json.loads(await self.admin(gateway, "/ready"))
        self.assertEqual("all backends have been probed", page["reason"])
        self.flushLoggedErrors()


both_roads(globals())
