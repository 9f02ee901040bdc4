"""Conversations with a gateway: the test plays the clients and the backends, line by line.

::

    class SomeTests(DialogueCase):
        def test_get(self) -> None:
            gateway = self.gateway()
            client = gateway.client()
            client.sends(GET)
            gateway.backend(0).gets("GET / HTTP/1.1", "Host: example.com")
            gateway.backend(0).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            gateway.recorded("200 ok")

Everything between the two wires is real, except routes and certificates that a test asks for.  When a test is over,
everybody hangs up and the case fails if anything is left: a lease, a session, a timer, a held leg, a connection, bytes
that no line expected, an outcome that no line named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from gateway.config import model
from gateway.exchange import Surroundings
from gateway.interfaces import IBackend
from gateway.listener.factory import ListenerFactory
from gateway.listener.forwarded import TrustedProxies
from gateway.observe.sessions import Sessions
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin
from gateway.routing.table import RoutingTable
from gateway.transport.deadlines import Deadlines
from gateway.upstream.connections import Upstream
from gateway.values import Outcome, Route
from gateway.websocket.filtering import NamedFilter
from gateway.websocket.frames import FrameScanner
from tests.recorder import Recorder
from tests.wires import FakeRoad, Place, Turn, Wire

__all__ = ["GET", "HANDSHAKE", "OK", "POST", "SWITCHING", "Dialogue", "DialogueCase", "Peer", "frame"]

GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nabcde"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

_DATE = "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"


def frame(opcode: int, payload: bytes = b"", *, mask: bool = False, fin: bool = True) -> bytes:
    """A WebSocket frame; the masking key is zero, so that payload can be read."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    first = bytes([(0x80 if fin else 0) | opcode, length[0] | (0x80 if mask else 0)])
    return first + length[1:] + (b"\0\0\0\0" if mask else b"") + payload


class Peer:
    """Whoever is at the other end of a wire. ``receives_masked``: it is a backend."""

    def __init__(self, test: SynchronousTestCase, turn: Turn, wire: Wire, receives_masked: bool) -> None:
        self.wire = wire
        self._test = test
        self._turn = turn
        self._receives_masked = receives_masked

    # -- what it does

    def sends(self, data: bytes, piece: int | None = None) -> None:
        """Bytes arrive together, or in pieces of this size."""
        step = piece or len(data)
        self.wire.arrive(*[data[start : start + step] for start in range(0, len(data), step)])
        self._turn.run()

    def half_closes(self) -> None:
        """It sends no more and goes on reading."""
        self.wire.arrive_end()
        self._turn.run()

    def closes(self) -> None:
        """It closes its socket: what is sent to it from now on is answered by a reset."""
        self.wire.arrive_end()
        self.wire.peer_gone = True
        self._turn.run()

    def resets(self) -> None:
        """It resets the connection."""
        self.wire.arrive_end(reset=True)
        self._turn.run()

    def stalls(self) -> None:
        """It stops to take what is sent."""
        self.wire.stalled = True

    def takes(self, count: int | None = None) -> None:
        """It takes so many bytes; without a number it takes everything and reads on."""
        self.wire.take(count)
        self._turn.run()

    # -- what it finds

    def gets(self, expected: str | bytes, *lines: str, body: bytes = b"", without: Sequence[str] = ()) -> None:
        """Exactly these bytes come next; or, for text, a head whose first line begins so and that has these lines
        (``<trace>`` and ``<date>`` stand for one), not these fields, and this body behind it."""
        taken = self.wire.taken
        if isinstance(expected, str):
            size = taken.find(b"\r\n\r\n") + 4
            head = taken[:size].decode("latin-1").split("\r\n")[:-2]
            where = f"in {bytes(taken[:1000])!r}"
            self._test.assertTrue(head and head[0].startswith(expected), f"not {expected!r} {where}")
            for line in lines:
                wanted = re.escape(line).replace("<trace>", "[0-9a-f]{32}").replace("<date>", _DATE)
                self._test.assertTrue(any(re.fullmatch(wanted, found) for found in head[1:]), f"no {line!r} {where}")
            names = [found.partition(":")[0].lower() for found in head[1:]]
            for name in without:
                self._test.assertNotIn(name.lower(), names, where)
            del taken[:size]
            expected = body
        self._test.assertEqual(expected[:2000], bytes(taken[: len(expected)])[:2000])
        self._test.assertTrue(taken.startswith(expected))
        del taken[: len(expected)]

    def gets_page(self, status: int, *lines: str, without: Sequence[str] = ()) -> None:
        """An answer of the gateway's own, with a page."""
        size = re.search(rb"Content-Length: ([0-9]+)", self.wire.taken)
        page = bytes(self.wire.taken).partition(b"\r\n\r\n")[2][: int(size[1]) if size else 0]
        self._test.assertIn(str(status).encode(), page)
        self.gets(f"HTTP/1.1 {status} ", "Server: gateway", "Date: <date>", *lines, body=page, without=without)

    def gets_nothing(self) -> None:
        """Nothing has come that was not expected before."""
        self._test.assertEqual(b"", bytes(self.wire.taken[:2000]))

    def gets_something(self) -> bytes:
        """Whatever came."""
        taken = bytes(self.wire.taken)
        del self.wire.taken[:]
        return taken

    def gets_close(self, code: int, reason: str | None = None) -> None:
        """One close frame comes next, masked as it must be here, and nothing behind it."""
        taken = self.gets_something()
        scanner = FrameScanner(self._receives_masked)
        scanner.feed(taken)
        self._test.assertEqual((code, 1, True), (scanner.close_code, scanner.frames, scanner.at_boundary), taken)
        self._test.assertEqual(len(taken), 2 + 4 * self._receives_masked + 2 + len(scanner.close_reason))
        if reason is not None:
            self._test.assertEqual(reason, scanner.close_reason.decode())

    def finds(self, ending: str) -> None:
        """How the gateway ended the connection: ``open``, ``half-closed``, ``closed`` or ``reset``."""
        self._test.assertEqual(ending, self.wire.ending or "open")

    def is_held(self) -> None:
        """The gateway does not read what it sends."""
        self._test.assertTrue(self.wire.paused, "the gateway reads")

    def is_read(self) -> None:
        """The gateway reads what it sends."""
        self._test.assertFalse(self.wire.paused, "the gateway does not read")


class Dialogue:
    """A gateway with one listener for ``example.com``, one pool, and a redirect for ``/moved/``.

    ``settings`` and ``limits`` are those of the configuration; ``router`` replaces the routing table; ``tls_for`` is
    that of `Upstream`; ``trusted`` are networks of proxies; ``middleware`` is the gateway's,
    ``filters`` are the rule's.
    """

    no_errors = frozenset({"ok", "redirect", "reply"})

    def __init__(
        self,
        test: SynchronousTestCase,
        backends: int = 2,
        *,
        settings: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        router: Any = None,
        tls_for: Any = None,
        trusted: Sequence[str] = (),
        observers: Sequence[Any] = (),
        admits: Any = lambda: True,
        middleware: Sequence[Any] = (),
        filters: Sequence[Any] = (),
    ) -> None:
        self.test = test
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.turn = Turn()
        self.road = FakeRoad(self.clock, self.turn)
        self.deadlines = Deadlines(self.clock)
        self.sessions = Sessions(self.clock)
        self.recorder = Recorder()
        self.clients: list[Peer] = []
        self.upstreams: dict[IBackend, Upstream] = {}
        self.lost: list[Any] = []
        self._tls_for = tls_for
        self._unnamed = 0
        self.rests = 0
        self.model = _model(backends, settings or {}, limits or {})
        log = Logger("tests.pool", observer=_drop)
        self.pool = Pool("pool", self.model.settings[0], self.model.pools[0].members, RoundRobin(), log)
        for backend in self.pool.backends:
            self.pool.set_health(backend, True, "as the test wants it")
        self.shared = Surroundings(
            router=router
            or RoutingTable(
                self.model,
                {("pool", "settings"): self.pool},
                {(): tuple(middleware)},
                {("rule", "rule"): tuple([_named(each, number) for number, each in enumerate(filters)])},
            ),
            upstream_for=self._upstream_for,
            deadlines=self.deadlines,
            seconds=self.clock.seconds,
            limits=self.model.limits,
            sessions=self.sessions,
            soon=self._soon,
            observers=[*observers, self.recorder],
            trusted=TrustedProxies(trusted),
        )
        self.factory = ListenerFactory(
            "web", 8080, self.shared, self.shared.trusted, admits=admits, lost=self.lost.append
        )

    def _soon(self, call: Any) -> None:
        self.rests += 1
        self.turn.later(call)

    def _upstream_for(self, route: Route, backend: IBackend) -> Upstream:
        if backend not in self.upstreams:
            ways = Upstream(backend, route.settings, self.road, self.clock.seconds, self._tls_for)
            self.upstreams[backend] = ways
        return self.upstreams[backend]

    # -- who takes part

    def client(self, host: str = "203.0.113.7") -> Peer:
        """A new client, connected."""
        wire = Wire(self.turn, (host, 50000 + len(self.clients)), ("10.0.0.254", 8080))
        wire.start(self.factory.buildProtocol(wire.getPeer()))
        client = Peer(self.test, self.turn, wire, False)
        self.clients.append(client)
        return client

    def place(self, number: int) -> Place:
        """The address of a backend."""
        return self.road.place(f"10.0.0.{number + 1}", 9000)

    def backend(self, number: int, connection: int = -1) -> Peer:
        """A backend's end of a connection, the latest by default."""
        wires = self.place(number).wires
        self.test.assertTrue(wires, f"nobody connected to backend {number}")
        return Peer(self.test, self.turn, wires[connection], True)

    def connections(self, *counts: int) -> None:
        """So many connections have been made to each backend."""
        self.test.assertEqual(list(counts), [len(self.place(number).wires) for number in range(len(counts))])

    def advance(self, seconds: float) -> None:
        """Time passes, from one timer to the next."""
        end = self.clock.seconds() + seconds
        while True:
            due = min([call.getTime() for call in self.clock.getDelayedCalls()], default=end)
            self.clock.advance(max(min(due, end) - self.clock.seconds(), 0.0))
            self.turn.run()
            if due >= end:
                return

    def run(self, call: Any, *arguments: Any) -> Any:
        """Do something inside the gateway and let it come to rest."""
        result = call(*arguments)
        self.turn.run()
        return result

    # -- what is known of it

    def recorded(self, *expected: str) -> Any:
        """Status and cause of all outcomes so far that no line has named yet, in order; returns the last of them."""
        found = self.recorder.outcomes[self._unnamed :]
        self.test.assertEqual(list(expected), [f"{outcome.status} {outcome.cause}" for outcome in found])
        self._unnamed += len(found)
        return found[-1] if found else Outcome()

    def name_all(self) -> None:
        """Take all outcomes so far as expected."""
        self._unnamed = len(self.recorder.outcomes)

    def opens_websocket(self, number: int = 0) -> tuple[Peer, Peer]:
        """A session from a new client to a backend, the next in turn: the client's end and the backend's."""
        client = self.client()
        client.sends(HANDSHAKE)
        backend = self.backend(number)
        backend.gets("GET /chat HTTP/1.1", "Upgrade: websocket")
        backend.sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        return client, backend

    def assert_nothing_leaks(self) -> None:
        """Everybody hangs up; then nothing may be left."""
        test = self.test
        resting = not any(backend.active for backend in self.pool.backends)
        for peer in [*self.clients, *[Peer(test, self.turn, wire, True) for wire in self.road.wires()]]:
            peer.gets_nothing()
            leg = peer.wire.protocol
            if resting and peer.wire.connected and not peer.wire.disconnecting and not leg.stuck:
                test.assertEqual((0, False), (leg.held, peer.wire.paused), f"{leg} is left held")
        for client in self.clients:
            client.closes()
        for upstream in self.upstreams.values():
            self.run(upstream.close)
        self.advance(6)
        for wire in [client.wire for client in self.clients] + self.road.wires():
            test.assertFalse(wire.connected, f"a connection to {wire.getPeer()} is still open")
        test.assertEqual([0] * len(self.pool.backends), [backend.active for backend in self.pool.backends])
        test.assertEqual((0, set()), (self.sessions.count, self.factory.connections))
        test.assertEqual({id(client.wire.protocol) for client in self.clients}, {id(lost) for lost in self.lost})
        self.advance(6)
        test.assertEqual([], self.clock.getDelayedCalls())
        self._check_outcomes()

    def _check_outcomes(self) -> None:
        test, outcomes = self.test, self.recorder.outcomes
        test.assertEqual(len(outcomes), len({id(outcome) for outcome in outcomes}), "an outcome was told twice")
        named = [f"{outcome.status} {outcome.cause}" for outcome in outcomes]
        test.assertEqual([], named[self._unnamed :], "outcomes that no line of the test names")
        for outcome in outcomes:
            test.assertIsNotNone(outcome.ended)
            test.assertTrue(outcome.status and outcome.trace_id and outcome.peer.host)
            if outcome.upstream_status != 101:
                test.assertEqual(outcome.cause in self.no_errors, outcome.error is None)
        for client in self.clients:
            mine = [outcome for outcome in outcomes if outcome.peer.port == client.wire.getPeer().port]
            if not any(outcome.upstream_status == 101 for outcome in mine):
                wire, said = client.wire, sum(outcome.sent_bytes for outcome in mine)
                if wire.unsent:
                    test.assertTrue(wire.written - wire.unsent <= said <= wire.written + wire.late, "bytes to a client")
                else:
                    test.assertEqual(wire.written, said, "bytes to a client")


HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


class DialogueCase(SynchronousTestCase):
    """Tests that talk through a `Dialogue`; each of them is checked for leaks when its test is over."""

    def setUp(self) -> None:
        self._dialogues: list[Dialogue] = []

    def gateway(self, backends: int = 2, **options: Any) -> Dialogue:
        """A new gateway."""
        dialogue = Dialogue(self, backends, **options)
        self._dialogues.append(dialogue)
        return dialogue

    def tearDown(self) -> None:
        for dialogue in self._dialogues:
            dialogue.assert_nothing_leaks()


@provider(ILogObserver)
def _drop(event: Any) -> None:
    """The pool's transitions are of no interest here."""


def _named(filter: Any, number: int) -> NamedFilter:
    return filter if isinstance(filter, NamedFilter) else NamedFilter("test", filter, f"rules[0].filters[{number}]")


def _model(backends: int, settings: dict[str, Any], limits: dict[str, Any]) -> model.Gateway:
    members = tuple(model.Member(host=f"10.0.0.{number + 1}", port=9000) for number in range(backends))
    return model.Gateway(
        listeners=(model.HttpListener(name="web", port=8080, host_names=("example.com",)),),
        pools=(model.Pool(name="pool", members=members),),
        settings=(model.BackendSettings(name="settings", **settings),),
        redirects=(model.Redirect(name="away", target_url="https://example.org/new"),),
        path_maps=(
            model.PathMap(
                name="paths",
                default_pool="pool",
                default_settings="settings",
                path_rules=(model.PathRule(name="moved", paths=("/moved/*",), redirect="away"),),
            ),
        ),
        rules=(model.Rule(name="rule", listener="web", path_map="paths"),),
        limits=model.Limits(**limits),
    )
