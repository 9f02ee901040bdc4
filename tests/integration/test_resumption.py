"""TLS sessions of clients that come back, with the platform's own TLS as the client."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from gateway.config import model
from tests.certificates import Issued, TestCA
from tests.integration.harness import RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers
from tests.integration.test_reload import ReloadCase
from tests.integration.test_workers import WorkersCase
from tests.integration.wire import Wire

CA = TestCA("Test Root")
VERSIONS = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def secured(backend: RawBackend, issued: Issued, **others: Any) -> model.Gateway:
    listener = {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["c"]}
    return model_for(backend, listeners=[listener], certificates=[issued.certificate("c")], **others)


class Visitor:
    """A client that remembers its session. ``reused``: whether each of its handshakes resumed it."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = self._context.maximum_version = version
        self._session: ssl.SSLSession | None = None
        self.reused: list[bool] = []

    def visit(self, gateway: Running) -> Any:
        """Fires with the answer to a request on a new connection."""
        return deferToThread(self._visit, gateway.port)

    def _visit(self, port: int) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            self._context.wrap_socket(raw, session=self._session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer and (data := secure.recv(4096)):
                answer += data
            self.reused.append(bool(secure.session_reused))
            self._session = secure.session
            return answer


class ResumptionTests(ReloadCase):
    """One process."""

    async def test_tickets(self) -> None:
        """Good as long as the port shows the same, over a reload too; else the handshake is a full one, and fine."""
        backend = await self.backend(Answers())
        one, two = CA.issue(["a.example"]), CA.issue(["b.example"])
        for version in VERSIONS:
            gateway = await self.reloading(secured(backend, one))
            visitor = Visitor(version)
            for wanted in (None, None, secured(backend, one, settings={"request_timeout": 5}), secured(backend, two)):
                if wanted is not None:
                    await self.reload(gateway, wanted)
                self.assertTrue((await visitor.visit(gateway)).startswith(b"HTTP/1.1 200 "))
            self.assertEqual([False, True, True, False], visitor.reused)


class WorkersResumptionTests(WorkersCase):
    """Two processes with keys of their own. On the pump a connection goes to the one that can read its ticket."""

    async def known(self, gateway: Running) -> None:
        """Wait until each worker knows the tickets of the other: it answers behind what it was told before."""
        parent: Any = gateway.service
        await parent.refresh()

    async def comes_back(self, gateway: Running, visitor: Visitor, times: int = 20) -> None:
        """A client that has just been there is served, and on the pump resumes its session, over and over again."""
        for _ in range(times):
            self.assertTrue((await visitor.visit(gateway)).startswith(b"HTTP/1.1 200 "))
        if self.transport == "pump":
            self.assertEqual([True] * times, visitor.reused[-times:])

    async def passed_on(self, gateway: Running) -> int:
        metrics = (await self.admin(gateway, "/metrics")).decode()
        return int(metrics.partition("\ngateway_tls_passed_on_total{} ")[2].partition("\n")[0])

    async def test_tickets(self) -> None:
        """Whichever worker a connection comes in at; also after a reload with another certificate."""
        backend = await self.backend(Answers())
        gateway = await self.reloading(secured(backend, CA.issue(["a.example"])))
        visitors = [Visitor(version) for version in VERSIONS]
        for certificate in (None, CA.issue(["b.example"])):
            if certificate is not None:
                await self.reload(gateway, secured(backend, certificate))
            await self.known(gateway)
            for visitor in visitors:
                self.assertTrue((await visitor.visit(gateway)).startswith(b"HTTP/1.1 200 "))
                self.assertFalse(visitor.reused[-1], "another certificate has other tickets")
                await self.comes_back(gateway, visitor)
        if self.transport == "pump":
            self.assertGreater(await self.passed_on(gateway), 0)
        else:
            self.assertEqual(0, await self.passed_on(gateway))
            self.assertEqual({False, True}, set(visitors[0].reused))

    async def test_reloads_under_load(self) -> None:
        """Tickets come to ports that have others by now, on either side of a channel: nobody is refused."""
        backend = await self.backend(Answers())
        configurations = [secured(backend, CA.issue([name])) for name in ("a.example", "b.example")]
        gateway = await self.reloading(configurations[0])
        visitors = [Visitor(VERSIONS[number % 2]) for number in range(6)]
        going = [True]

        async def visit(visitor: Visitor) -> None:
            while going:
                self.assertTrue((await visitor.visit(gateway)).startswith(b"HTTP/1.1 200 "))

        visits = gatherResults([Deferred.fromCoroutine(visit(visitor)) for visitor in visitors], consumeErrors=True)
        for number in range(8):
            before = sum(len(visitor.reused) for visitor in visitors)
            await self.reload(gateway, configurations[1 - number % 2])
            await gateway.until(lambda before=before: sum(len(each.reused) for each in visitors) > before + 20, "more")  # type: ignore[misc]
        going.clear()
        await visits
        if self.transport == "pump":
            self.assertGreater(await self.passed_on(gateway), 0)

    async def test_plain_tls(self) -> None:
        """The same for listeners of layer 4."""

        async def answer(wire: Wire) -> None:
            await wire.until(b"\r\n\r\n")
            wire.write(b"HTTP/1.1 200 OK\r\n\r\n")
            wire.close()

        configuration = model_for(
            await self.backend(answer),
            listeners=[{"name": "raw", "address": "127.0.0.1", "port": 0, "protocol": "Tls", "certificates": ["c"]}],
            certificates=[CA.issue(["a.example"]).certificate("c")],
            settings={"protocol": "Tcp"},
            probes=[{"name": "probe", "protocol": "Tcp", "interval": 86400}],
            rules=[{"name": "rule", "listener": "raw", "pool": "pool", "settings": "settings"}],
        )
        gateway = await self.workers(configuration)
        await self.known(gateway)
        for version in VERSIONS:
            visitor = Visitor(version)
            await visitor.visit(gateway)
            await self.comes_back(gateway, visitor)

    async def visited(self) -> tuple[Any, list[Visitor]]:
        """A gateway, and clients that have been there once."""
        gateway = await self.workers(secured(await self.backend(Answers()), CA.issue(["a.example"])))
        await self.known(gateway)
        visitors = [Visitor(VERSIONS[number % 2]) for number in range(8)]
        for visitor in visitors:
            await visitor.visit(gateway)
        return gateway, visitors

    async def test_a_worker_dies(self) -> None:
        """Its tickets are worth nothing any more: who has one is served by whoever is there, and gets another."""
        gateway, visitors = await self.visited()
        await self.killed(gateway, 0)
        answers = await gatherResults([visitor.visit(gateway) for visitor in visitors])
        self.assertEqual({b"HTTP/1.1 200 "}, {answer[:13] for answer in answers})
        await self.replaced(gateway, 0)
        await self.known(gateway)
        for visitor in visitors:
            await self.comes_back(gateway, visitor, 8)

    async def test_what_waits_for_a_worker_that_dies(self) -> None:
        """It is served all the same."""
        gateway, visitors = await self.visited()
        crew: Any = gateway.service.crew
        os.kill(crew.workers[0].pid, signal.SIGSTOP)
        visits = [visitor.visit(gateway) for visitor in visitors]
        await gateway.settled(lambda: sum(len(visitor.reused) for visitor in visitors))
        self.assertLess(sum(len(visitor.reused) for visitor in visitors), 16, "nobody waits")
        await self.killed(gateway, 0)
        self.assertEqual({b"HTTP/1.1 200 "}, {answer[:13] for answer in await gatherResults(visits)})
        await self.replaced(gateway, 0)


both_roads(globals())
