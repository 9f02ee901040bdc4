"""`gateway.workers.worker` and `gateway.workers.parent`: what they tell each other, without processes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from copy import copy
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from gateway import service
from gateway.config.model import Gateway
from gateway.lifecycle.generation import Material
from gateway.pools.lease import Lease
from gateway.testing import request_head
from gateway.values import Outcome
from gateway.workers.carried import dumped
from gateway.workers.link import Message
from gateway.workers.tickets import Tickets
from gateway.workers.worker import WorkerService
from tests.certificates import TestCA

_MODEL = Gateway.model_validate(
    {
        "listeners": [{"name": "web", "address": "127.0.0.1", "port": 0}],
        "pools": [{"name": "pool", "members": [{"host": "127.0.0.1", "port": 9}, {"host": "127.0.0.1", "port": 10}]}],
        "settings": [{"name": "s"}],
        "rules": [{"name": "rule", "listener": "web", "pool": "pool", "settings": "s"}],
    }
)


class _Link:
    def __init__(self) -> None:
        self.said: list[Message] = []

    def send(self, kind: str, **others: Any) -> None:
        self.said.append({"kind": kind, **others})


class WorkerTests(TestCase):
    """A worker that is told things."""

    def setUp(self) -> None:
        self.link: Any = _Link()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            self.port = sock.getsockname()[1]
            number = sock.detach()
        self.number = number
        self.worker = self.made(_MODEL)
        self.pool = self.worker.pools["pool", "s"]

    def made(self, model: Gateway) -> WorkerService:
        none: Any = None
        return WorkerService(
            model, sockets={"web": self.number}, link=self.link, channel=none, reactor=reactor, access_log="off",
            transport="twisted",
        )  # fmt: skip

    def serve(self) -> None:
        """Start it, and stop it with the test."""
        self.worker.startService()
        self.addCleanup(self.worker.stopService)

    def test_ready(self) -> None:
        """It listens on the socket that it was given, does not probe, and says when it serves."""
        self.serve()
        self.assertEqual([{"kind": "ready"}], self.link.said)
        self.assertEqual({"web": self.port}, self.worker.ports)
        self.assertEqual(["unknown", "unknown"], [backend.state for backend in self.pool.backends])

    def test_health(self) -> None:
        """Verdicts and draining are obeyed; who is not known is left out."""
        self.serve()
        backends = [
            ("pool", "s", "127.0.0.1:9", True, False, "", "fine"),
            ("pool", "s", "127.0.0.1:10", None, True, "", "drained"),
            ("pool", "s", "127.0.0.1:11", True, False, "", "a stranger"),
            ("other", "s", "127.0.0.1:9", True, False, "", "a stranger"),
        ]
        self.worker.told({"kind": "health", "backends": backends})
        states = [(backend.state, backend.reason) for backend in self.pool.backends]
        self.assertEqual([("up", "fine"), ("draining", "drained")], states)
        self.worker.told({"kind": "health", "backends": [("pool", "s", "127.0.0.1:9", False, False, "", "bad")]})
        self.assertEqual("down", self.pool.backends[0].state)

    def test_loads(self) -> None:
        """It counts what others hold, and tells only what it holds itself, when that has changed."""
        self.worker.told({"kind": "health", "backends": [("pool", "s", "127.0.0.1:9", True, False, "", "fine")]})
        elsewhere = [("pool", "127.0.0.1:9", 5), ("pool", "nobody", 1)]
        self.worker.told({"kind": "loads", "elsewhere": elsewhere, "connections": 7})
        self.assertEqual(7, self.worker.admission.elsewhere)
        lease = self.pool.lease(request_head())
        self.assertEqual(6, self.pool.backends[0].active)
        self.worker._tell_loads()
        held = self.link.said[-1]["held"]
        self.assertIn(("pool", "127.0.0.1:9", 1), held)
        before = len(self.link.said)
        self.worker._tell_loads()
        self.assertEqual(before, len(self.link.said))
        lease.release(Outcome())
        self.worker.told({"kind": "loads", "elsewhere": [("pool", "127.0.0.1:9", 0)], "connections": 0})
        self.assertEqual(0, self.pool.backends[0].active)
        self.worker._tell_loads()
        self.assertEqual([("pool", "127.0.0.1:9", 0)], self.link.said[-1]["held"])
        self.worker.road.stop()

    def test_faults(self) -> None:
        """It tells what traffic shows, and obeys what the parent says; let in again, the first sign decides."""
        rules = {**_MODEL.model_dump(exclude_defaults=True)}
        rules["pools"][0]["passiveHealth"] = {"serverErrors": 2}
        self.worker = self.made(Gateway.model_validate(rules))
        (pool,) = self.worker.pools.values()
        one = pool.backends[0]

        def stands(healthy: bool, ejected: str) -> None:
            backends = [(pool.name, "s", each.name, healthy or each is not one, False, ejected if each is one else "",
                         "why") for each in pool.backends]
            self.worker.told({"kind": "health", "backends": backends})

        def ends(status: int) -> None:
            one.load.active += 1
            Lease(one, one.load).release(Outcome(upstream_status=status, started=self.worker.deadlines.now()))

        stands(True, "")
        ends(500)
        self.assertEqual([], self.link.said)
        ends(500)
        fault = {"kind": "fault", "member": ("pool", "s", one.name), "why": "2 failed answers in a row"}
        self.assertEqual([fault], self.link.said)
        self.assertTrue(one.healthy)
        stands(False, "ejected for 30 s")
        self.assertEqual((pool.backends[1:], "ejected for 30 s"), (pool.candidates, one.reason))
        stands(True, "")
        self.assertEqual((pool.backends, ""), (pool.candidates, one.ejected))
        ends(500)
        self.assertEqual("failed answer on trial", self.link.said[-1]["why"])
        self.worker.road.stop()

    def test_asked(self) -> None:
        """Its numbers, for the parent's admin site; and an unknown word of a later version is not minded."""
        self.serve()
        self.worker.told({"kind": "ask", "number": 3, "sessions": 10})
        self.worker.told({"kind": "something new"})
        answer = self.link.said[-1]
        self.assertEqual(("answer", 3, 0, []), (answer["kind"], answer["number"], answer["count"], answer["sessions"]))
        self.assertIn("gateway_requests_total", answer["metrics"])


class TicketsTests(TestCase):
    """A worker with a TLS port says what its tickets begin with."""

    def setUp(self) -> None:
        self.link: Any = _Link()
        self.tickets = Tickets(2)
        self.addCleanup(self.tickets.close)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            number = sock.detach()
        none: Any = None
        web = {"name": "web", "address": "127.0.0.1", "port": 0, "protocol": "Https", "certificates": ["c"]}
        certificate = TestCA().issue(["a.example"]).certificate("c")
        self.worker = WorkerService(
            _MODEL.model_copy(
                update={"listeners": Gateway.model_validate({"listeners": [web]}).listeners,
                        "certificates": (certificate,)}
            ),
            sockets={"web": number}, link=self.link, channel=none, number=1,
            channels=[end.dup() for end in self.tickets.ends(1)], reactor=reactor, access_log="off", transport="pump",
        )  # fmt: skip

    def names(self) -> list[str]:
        """The last that it said."""
        found: list[str] = [message["names"] for message in self.link.said if message["kind"] == "tickets"][-1]
        return found

    async def until(self, test: Callable[[], bool]) -> None:
        """Let the reactor run until what a thread reads has been taken."""
        while not test():
            await deferLater(reactor, 0)  # type: ignore[arg-type]

    async def test_the_newest_is_shown(self) -> None:
        """Files are read in a thread; which is ready first does not matter, nor what a former configuration had."""
        begun: list[tuple[Callable[[], Any], Deferred[Any]]] = []

        def defer(reactor: object, pool: object, read: Callable[[], Any]) -> Deferred[Any]:
            begun.append((read, Deferred()))
            return begun[-1][1]

        self.patch(service, "deferToThreadPool", defer)
        self.worker.startService()
        self.addCleanup(self.worker.stopService)
        ((tls, _),) = self.worker._ports.secured().values()
        found = []
        for _ in range(3):
            certificates = (TestCA().issue(["a.example"]).certificate("c"),)
            material = Material.of(self.worker.model.model_copy(update={"certificates": certificates}))
            found.append((material.certificates["c"].leaf, json.loads(json.dumps(dumped(material)))))
        for _, parts in found[:2]:
            self.worker.told({"kind": "renew", "parts": parts})
        for read, done in reversed(begun):
            done.callback(read())
            self.assertEqual(found[1][0], tls.certificate_for(None).leaf)
        self.worker.told({"kind": "renew", "parts": found[2][1]})
        self.patch(self.worker, "now", copy(self.worker.now))
        read, done = begun[2]
        done.callback(read())
        self.assertEqual(found[1][0], tls.certificate_for(None).leaf)

    async def test_names(self) -> None:
        """Before it says that it serves, and whenever other certificates are shown."""
        self.worker.startService()
        self.addCleanup(self.worker.stopService)
        self.assertEqual(["tickets", "ready"], [message["kind"] for message in self.link.said])
        (first,) = self.names()
        material = Material.of(
            self.worker.model.model_copy(update={"certificates": (TestCA().issue(["a.example"]).certificate("c"),)})
        )
        self.worker.told({"kind": "renew", "parts": json.loads(json.dumps(dumped(material)))})
        await self.until(lambda: len(self.link.said) > 2)
        ((tls, _),) = self.worker._ports.secured().values()
        self.assertEqual(material.certificates["c"].leaf, tls.certificate_for(None).leaf)
        (second,) = self.names()
        self.assertEqual((32, 32), (len(first), len(second)))
        self.assertNotEqual(first, second)

    async def test_certificates_that_cannot_be_shown(self) -> None:
        """The parent is told, and replaces it."""
        self.worker.startService()
        self.addCleanup(self.worker.stopService)
        parts: dict[str, Any] = {"certificates": [{"name": "c"}]}
        parts |= {"trusted_roots": [], "trusted_client_certificates": []}
        self.worker.told({"kind": "renew", "parts": parts})
        await self.until(lambda: len(self.link.said) > 2)
        self.assertIn("there is no certificate", self.link.said[-1]["problems"][0])

    async def test_others(self) -> None:
        """It looks at the hellos of clients when it knows names of others, until it stops."""
        self.worker.startService()
        ((tls, _),) = self.worker._ports.secured().values()
        self.assertIsNone(tls.elsewhere)
        self.worker.told({"kind": "tickets", "others": [("00" * 16, 2)]})
        self.assertIsNotNone(tls.elsewhere)
        await self.worker.stopService()
        self.assertIsNone(tls.elsewhere)
        self.assertEqual([], self.names())
        self.assertIn("gateway_tls_passed_on_total{} 0", self.worker.exposition())
