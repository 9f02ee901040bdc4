"""TLS sessions of clients that come back, with the platform's own TLS as the client."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from twisted.internet.threads import deferToThread

from gateway.config import model
from tests.certificates import Issued, TestCA
from tests.integration.harness import RawBackend, Running, both_roads, model_for
from tests.integration.messages import Answers
from tests.integration.test_reload import ReloadCase
from tests.integration.test_workers import WorkersCase

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
            while data := secure.recv(4096):
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
    """Two processes with keys of their own."""

    async def test_refused_tickets(self) -> None:
        """Whichever worker a client comes back to, it is served; where the ticket is of another, in full."""
        gateway = await self.workers(secured(await self.backend(Answers()), CA.issue(["a.example"])))
        for version in VERSIONS:
            visitor = Visitor(version)
            for _ in range(40):
                self.assertTrue((await visitor.visit(gateway)).startswith(b"HTTP/1.1 200 "))
            self.assertEqual({False, True}, set(visitor.reused[1:]))


both_roads(globals())
