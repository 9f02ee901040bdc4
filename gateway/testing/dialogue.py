"""Conversations with a gateway: the test plays the clients and the backends, line by line, without a reactor.

::

    CONFIGURATION = '''
    listeners: [{name: web, port: 80}]
    pools: [{name: chat, backends: ["a.test:9001", "b.test:9001"]}]
    rules: [{listener: web, pool: chat, middleware: ["stamping:factory"]}]
    '''

    class StampTests(DialogueCase):
        def test_stamp(self):
            gateway = self.gateway(CONFIGURATION)
            client = gateway.client()
            client.sends(GET)
            gateway.backend("a.test:9001").gets("GET / HTTP/1.1", "Host: example.com")
            gateway.backend("a.test:9001").sends(OK)
            client.gets("HTTP/1.1 200 OK", "X-Stamp: 1", body=b"hello")
            gateway.recorded("200 ok")

Everything between the two wires is the gateway's own: its configuration, its strategies, its protocols.  There is no
network, and time passes only where the test says so.  When a test is over, everybody hangs up and the case fails if
anything is left: a lease, a session, a timer, a held leg, a connection, bytes that no line expected, an outcome that no
line named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway import config
from gateway.config.model import Gateway
from gateway.interfaces import IBackend, IOutcomeObserver, IRoad
from gateway.lifecycle.preflight import checks
from gateway.observe.sessions import Sessions
from gateway.pools.pool import Pool
from gateway.routing.bindings import bindings
from gateway.service import GatewayService
from gateway.testing.fakes import Recorder
from gateway.testing.party import GET, HANDSHAKE, OK, POST, SWITCHING, Party, frame
from gateway.testing.wires import Place, Turn, Wire, WireRoad
from gateway.values import Outcome

__all__ = ["GET", "HANDSHAKE", "OK", "POST", "SWITCHING", "Dialogue", "DialogueCase", "Party", "frame"]

_D = TypeVar("_D", bound="Dialogue")


class Dialogue:
    """A gateway as ``configuration`` says: the compact spelling (or a path to any), or a model.

    All members are healthy.  Neither probes nor discoveries run.  ``clock`` is what the gateway's time is.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        configuration: str | Path | Gateway,
        observers: Sequence[IOutcomeObserver] = (),
    ) -> None:
        self.prepare(test)
        model = configuration if isinstance(configuration, Gateway) else _load(test, configuration)
        self.service: GatewayService | None = _Rehearsal(self, model, [*observers, self.recorder])
        service = self.service
        service.shared.soon = self.soon
        self.pools: Sequence[Pool] = list(service.pools.values())
        self.sessions: Sessions = service.sessions
        self.factories: Mapping[str, Any] = {
            group.listener: (service.stream_factory if group.layer4 else service.listener_factory)(
                group.listener, group.port, False
            )
            for group in bindings(model)
        }
        for factory in self.factories.values():
            factory.lost = self.lost.append
        for pool in self.pools:
            for backend in pool.backends:
                pool.set_health(backend, True, "as the test wants it")

    def prepare(self, test: SynchronousTestCase) -> None:
        """What there is before there is a gateway."""
        self.test = test
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.turn = Turn()
        self.road = WireRoad(self.clock, self.turn)
        self.recorder = Recorder()
        self.clients: list[Party] = []
        self.lost: list[Any] = []
        self.rests = 0
        self.service = None
        self._unnamed = 0

    def soon(self, call: Any) -> None:
        """Do ``call()`` when others have had their turn."""
        self.rests += 1
        self.turn.later(call)

    # -- who takes part

    def client(self, host: str = "203.0.113.7", listener: str | None = None) -> Party:
        """A new client, connected to the port of ``listener``, by default the first."""
        factory = next(iter(self.factories.values())) if listener is None else self.factories[listener]
        wire = Wire(self.turn, (host, 50000 + len(self.clients)), ("10.0.0.254", 8080))
        wire.start(factory.buildProtocol(wire.getPeer()))
        client = Party(self.test, self.turn, wire, False)
        self.clients.append(client)
        return client

    def place(self, backend: int | str) -> Place:
        """The address of a backend: its number over all pools, or its name ``host:port``."""
        members: dict[str, IBackend] = {each.name: each for pool in self.pools for each in pool.backends}
        member = members[backend] if isinstance(backend, str) else list(members.values())[backend]
        return self.road.place(member.connect_host, member.connect_port)

    def backend(self, backend: int | str, connection: int = -1) -> Party:
        """A backend's end of a connection, the latest by default."""
        wires = self.place(backend).wires
        self.test.assertTrue(wires, f"nobody connected to backend {backend}")
        return Party(self.test, self.turn, wires[connection], True)

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

    def opens_websocket(self, number: int | str = 0, handshake: bytes = HANDSHAKE) -> tuple[Party, Party]:
        """A session from a new client to a backend, the next in turn: the client's end and the backend's."""
        client = self.client()
        client.sends(handshake)
        backend = self.backend(number)
        backend.gets("GET /chat HTTP/1.1", "Upgrade: websocket")
        backend.sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        return client, backend

    def assert_nothing_leaks(self) -> None:
        """Everybody hangs up; then nothing may be left."""
        test = self.test
        resting = not any(self._leases())
        for peer in [*self.clients, *[Party(test, self.turn, wire, True) for wire in self.road.wires()]]:
            peer.gets_nothing()
            leg = peer.wire.protocol
            if resting and peer.wire.connected and not peer.wire.disconnecting and not leg.stuck:
                test.assertEqual((0, False), (leg.held, peer.wire.paused), f"{leg} is left held")
        for client in self.clients:
            client.closes()
        self.stop()
        self.advance(6)
        for wire in [client.wire for client in self.clients] + self.road.wires():
            test.assertFalse(wire.connected, f"a connection to {wire.getPeer()} is still open")
        test.assertEqual([], [active for active in self._leases() if active], "leases that are out")
        left = [connection for factory in self.factories.values() for connection in factory.connections]
        test.assertEqual((0, []), (self.sessions.count, left))
        test.assertEqual({id(client.wire.protocol) for client in self.clients}, {id(lost) for lost in self.lost})
        self.advance(6)
        test.assertEqual([], self.clock.getDelayedCalls())
        self._check_outcomes()

    def stop(self) -> None:
        """The gateway stops, when all clients have gone."""
        self.advance(6)
        assert self.service is not None
        self.service.running = True
        stopped: list[object] = []
        self.run(self.service.stopService).addBoth(stopped.append)
        self.test.assertEqual([None], stopped, "the gateway does not stop")

    def check_outcome(self, outcome: Outcome) -> None:
        """Override it to look at every outcome."""

    def _leases(self) -> list[int]:
        return [backend.active for pool in self.pools for backend in pool.backends]

    def _check_outcomes(self) -> None:
        test, outcomes = self.test, self.recorder.outcomes
        test.assertEqual(len(outcomes), len({id(outcome) for outcome in outcomes}), "an outcome was told twice")
        named = [f"{outcome.status} {outcome.cause}" for outcome in outcomes]
        test.assertEqual([], named[self._unnamed :], "outcomes that no line of the test names")
        for outcome in outcomes:
            test.assertIsNotNone(outcome.ended)
            test.assertTrue(outcome.status and outcome.trace_id and outcome.peer.host)
            self.check_outcome(outcome)
        for client in self.clients:
            mine = [outcome for outcome in outcomes if outcome.peer.port == client.wire.getPeer().port]
            if not any(outcome.upstream_status == 101 for outcome in mine):
                wire, said = client.wire, sum(outcome.sent_bytes for outcome in mine)
                if wire.unsent:
                    test.assertTrue(wire.written - wire.unsent <= said <= wire.written + wire.late, "bytes to a client")
                else:
                    test.assertEqual(wire.written, said, "bytes to a client")


class DialogueCase(SynchronousTestCase):
    """Tests that talk through a `Dialogue`; each of them is checked for leaks when its test is over."""

    def setUp(self) -> None:
        self._dialogues: list[Any] = []

    def gateway(self, configuration: str | Path | Gateway, **options: Any) -> Dialogue:
        """A new gateway; see `Dialogue`."""
        return self.opened(Dialogue(self, configuration, **options))

    def opened(self, dialogue: _D) -> _D:
        """Look after this one, too."""
        self._dialogues.append(dialogue)
        return dialogue

    def tearDown(self) -> None:
        for dialogue in self._dialogues:
            dialogue.assert_nothing_leaks()


class _Rehearsal(GatewayService):
    """The service, on the dialogue's road."""

    def __init__(self, dialogue: Dialogue, model: Gateway, observers: Sequence[IOutcomeObserver]) -> None:
        self._dialogue = dialogue
        super().__init__(model, reactor=dialogue.clock, access_log="off", observers=observers)

    def make_road(self) -> IRoad:
        """See `GatewayService.make_road`."""
        return self._dialogue.road


def _load(test: SynchronousTestCase, configuration: str | Path) -> Gateway:
    """Read it as ``twistd gateway --config`` does. Raises `gateway.errors.ConfigurationError`."""
    if isinstance(configuration, str):
        text, configuration = configuration, Path(f"{test.mktemp()}.yaml")
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(text, "utf-8")
    return config.load(configuration, checks=checks())
