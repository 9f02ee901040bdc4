"""Another configuration for a gateway of two worker processes."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.integration.harness import Running, both_roads, model_for
from tests.integration.messages import read_response
from tests.integration.test_reload import Saying
from tests.integration.test_workers import WorkersCase
from tests.integration.websocket import frame, handshake, read_close, read_frame
from tests.integration.wire import Ended, Wire

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class WorkersReloadTests(WorkersCase):
    """Real processes, real sockets."""

    async def said(self, client: Wire) -> bytes:
        client.write(_GET)
        response = await read_response(client)
        self.assertEqual(200, response.status)
        return response.body

    async def echo(self, client: Wire) -> None:
        client.write(frame(1, b"hello", mask=b"abcd"))
        self.assertEqual(b"hello", (await read_frame(client)).payload)

    async def session(self, gateway: Running, listener: str | None = None) -> Wire:
        client = await self.client(gateway, listener)
        client.write(handshake())
        self.assertEqual(101, (await read_response(client)).status)
        await self.echo(client)
        return client

    async def test_life(self) -> None:
        """Members, ports that come and go, connections and sessions that stay; and a worker that dies afterwards."""
        one, two = await self.backend(Saying("one")), await self.backend(Saying("two"))
        rules = [{"name": name, "listener": name, "pool": "pool", "settings": "settings"} for name in ("web", "old")]
        listeners = [{"name": name, "address": "127.0.0.1", "port": 0} for name in ("web", "old")]
        gateway = await self.reloading(model_for(one, listeners=listeners, rules=rules))
        clients = [await self.client(gateway) for _ in range(6)]
        sessions = [await self.session(gateway, "web") for _ in range(4)]
        leaving = [await self.session(gateway, "old") for _ in range(3)]
        self.assertEqual({b"one"}, {await self.said(client) for client in clients})
        old = gateway.ports["old"]

        listeners[1] = {**listeners[1], "name": "new"}
        rules[1] = {**rules[1], "name": "new", "listener": "new"}
        await self.reload(gateway, model_for(two, listeners=listeners, rules=rules))
        self.assertEqual([1001] * 3, [(await read_close(session))[0] for session in leaving])
        for session in leaving:
            session.transport.loseConnection()
        await gateway.service.when_ready()
        await self.until_healthy(gateway, clients[0])
        self.assertEqual({b"two"}, {await self.said(client) for client in clients})
        self.assertEqual({b"two"}, {await self.said(await self.client(gateway, "new")) for _ in range(6)})
        with socket.socket() as late:
            self.assertRaises(ConnectionRefusedError, late.connect, ("127.0.0.1", old))
        for session in sessions:
            await self.echo(session)
        self.assertEqual(4, json.loads(await self.admin(gateway, "/sessions"))["total"])
        self.assertIn('gateway_reloads_total{result="good"} 1', (await self.admin(gateway, "/metrics")).decode())

        crew: Any = gateway.service.crew
        for worker in crew.workers:
            gone = worker.pid
            os.kill(gone, signal.SIGKILL)
            await gateway.until(lambda worker=worker, gone=gone: worker.pid not in (0, gone) and worker.ready, "it", 30)  # type: ignore[misc]
        for listener in ("web", "new"):
            self.assertEqual({b"two"}, {await self.said(await self.client(gateway, listener)) for _ in range(6)})

    async def until_healthy(self, gateway: Running, client: Wire) -> None:
        """The parent's probe has been good; its word has still to arrive."""
        status = 502
        while status == 502:
            client.write(_GET)
            status = (await read_response(client)).status

    async def test_one_that_cannot(self) -> None:
        """It is replaced; meanwhile it serves what it did, and the other the new configuration."""
        one = await self.backend(Saying("one"))
        gateway = await self.reloading(model_for(one))
        crew: Any = gateway.service.crew
        bad, good = crew.workers
        assert bad.handover is not None
        bad.handover.close()  # nothing can be handed over
        pid = good.pid
        listeners = [{"name": name, "address": "127.0.0.1", "port": 0} for name in ("web", "new")]
        rules = [{"name": name, "listener": name, "pool": "pool", "settings": "settings"} for name in ("web", "new")]
        await self.reload(gateway, model_for(one, listeners=listeners, rules=rules))
        await gateway.until(lambda: bad.pid == 0, "the old process to end", 30)
        await gateway.until(lambda: crew.workers[0] is not bad and crew.workers[0].ready, "its successor", 30)
        self.assertEqual(pid, crew.workers[1].pid)
        for listener in ("web", "new"):
            self.assertEqual({b"one"}, {await self.said(await self.client(gateway, listener)) for _ in range(8)})

    async def test_under_load(self) -> None:
        """Reloads while requests and sessions go on: none fails. Then a worker is killed: the other goes on."""
        one, two = await self.backend(Saying("one")), await self.backend(Saying("two"))
        gateway = await self.reloading(model_for(one, two))
        going, lost, counts = [True], [0], [0]

        async def ask(client: Wire, session: bool) -> None:
            while going:
                client.readConnectionLost = client.transport.abortConnection  # type: ignore[method-assign]
                try:
                    await (self.echo if session else self.said)(client)
                except Ended:
                    lost[0] += 1
                    client = await (self.session(gateway) if session else self.client(gateway))
                counts[0] += 1

        clients = [await self.client(gateway) for _ in range(4)]
        sessions = [await self.session(gateway) for _ in range(4)]
        asking = [Deferred.fromCoroutine(ask(client, False)) for client in clients]
        asking += [Deferred.fromCoroutine(ask(session, True)) for session in sessions]
        for number in range(8):
            settings = {"request_timeout": 10 + number}
            await self.reload(gateway, model_for(*[one, two][: 1 + number % 2], settings=settings))
        self.assertEqual(0, lost[0])
        crew: Any = gateway.service.crew
        worker = crew.workers[0]
        gone = worker.pid
        os.kill(gone, signal.SIGKILL)
        await gateway.until(lambda: worker.pid not in (0, gone) and worker.ready, "a new worker", 30)
        before = counts[0]
        await gateway.until(lambda: counts[0] > before + 50, "more requests")
        going.clear()
        await gatherResults(asking)
        self.assertLessEqual(lost[0], 8)


both_roads(globals())
