"""A gateway between socket pairs, with or without lanes, and conversations held with both to compare them.

The transports are the pump's own, for only they have lanes; the pump is driven by hand and time is a `Clock`.  What is
said on one end of a pair is there on the other at once, so that a conversation runs the same way each time.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from gateway.listener import http1, lane
from gateway.listener.lane import Lane, lane_for
from gateway.relay.sides import ClientSide
from gateway.testing import Recorder
from gateway.transport.pump import Pump
from gateway.transport.tcp import TCPTransport
from gateway.values import Outcome
from tests.dialogue import GET, OK, Dialogue

__all__ = ["End", "World", "agree", "warmed"]

_TURN = 0.05
_VARIES = re.compile(rb"(?<=X-AppGW-Trace-Id: )[0-9a-f]+|(?<=Date: )[A-Z][a-z]{2}, [^\r\n]*")
_FACTS = [
    name for name, value in vars(Outcome).items() if name[0] != "_" and name != "packed" and not callable(value)
]


class _Reactor(Clock):
    """What a pump needs of one; the test turns it."""

    def addReader(self, reader: Any) -> None:
        """Nobody watches it."""

    def removeReader(self, reader: Any) -> None:
        """Nobody watches it."""


class End:
    """The other end of one of the gateway's connections. ``ending``: ``eof`` or ``reset`` when that was seen.

    ``reads``: it takes what arrives.
    """

    def __init__(self, sock: socket.socket, settle: Callable[[], None]) -> None:
        self.sock = sock
        self.ending = ""
        self.reads = True
        self._arrived = b""
        self._taken = 0
        self._settle = settle

    def sends(self, data: bytes, cut: int = 0) -> None:
        """Say something, in two pieces if ``cut`` says where."""
        for piece in (data[:cut], data[cut:]):
            if piece:
                self.puts(piece)
                self._settle()

    def puts(self, data: bytes) -> None:
        """Say something that is only heard when the world settles, together with what others say."""
        if self.sock.fileno() >= 0:
            try:
                self.sock.sendall(data)
            except OSError:
                pass  # nobody is there, or nobody reads

    def half_closes(self) -> None:
        """Say no more."""
        if self.sock.fileno() >= 0 and not self.ending:
            self.sock.shutdown(socket.SHUT_WR)
            self._settle()

    def closes(self) -> None:
        """Close; with something unread that is a reset."""
        self.sock.close()
        self._settle()

    def look(self) -> bool:
        """Take what has arrived; whether that is anything."""
        before = len(self._arrived), self.ending
        if not self.reads or self.sock.fileno() < 0:
            return False
        try:
            while data := self.sock.recv(1 << 20):
                self._arrived += data
            self.ending = "eof"
        except BlockingIOError:
            pass
        except OSError:
            self.ending = "reset"
        return before != (len(self._arrived), self.ending)

    def raw(self) -> bytes:
        """All that ever arrived."""
        self.look()
        return self._arrived

    def takes(self) -> bytes:
        """What has arrived since this was last asked, without what differs from one time to the next."""
        self.look()
        taken, self._taken = self._taken, len(self._arrived)
        return _VARIES.sub(lambda found: b"-" * len(found[0]), self._arrived)[taken:]


class _Attempt:
    """Makes a connection, or not, when it is told to; see `gateway.transport.connect.Attempt`."""

    def __init__(self, road: _Road, make: Callable[[], Any]) -> None:
        self._road = road
        self._make = make
        self._over = False
        self.result: Any = None

    def promise(self) -> Deferred[Any]:
        self.result = Deferred(self._cancel)
        return self.result

    def start(self) -> None:
        self._road.waiting.append(self)
        if not self._road.slow:
            self._road.world.clock.callLater(0, self._road.go_on)

    def go_on(self) -> None:
        """Now."""
        if not self._over:
            self._over = True
            if self._road.refuses:
                self.result.errback(ConnectionRefusedError())
            else:
                self.result.callback(self._make())

    def _cancel(self, promise: Deferred[Any]) -> None:
        self._over = True
        self._road.given_up += 1


class _Endpoint:
    def __init__(self, road: _Road, make: Callable[[Any], Any]) -> None:
        self._road = road
        self._make = make

    def attempt(self, build: Any) -> _Attempt:
        return _Attempt(self._road, lambda: self._make(build))

    def connect(self, factory: Any) -> Deferred[Any]:
        attempt = self.attempt(factory.buildProtocol)
        promise = attempt.promise()
        attempt.start()
        return promise


class _Road:
    """Each connection to a backend is one of a pair; ``ends`` by address. ``refuses``: nobody listens any more.

    ``slow``: connections are made, or refused, when ``go_on`` is called; ``given_up`` are those that were cancelled.
    """

    name = "pairs"

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends: dict[str, list[End]] = {}
        self.refuses = self.slow = False
        self.given_up = 0
        self.waiting: list[_Attempt] = []

    def client(self, host: str, port: int, tls: Any = None, timeout: float = 5.0) -> Any:
        """An endpoint."""

        def made(build: Any) -> Any:
            protocol = build(None)
            self.ends.setdefault(host, []).append(self.world.join(protocol, IPv4Address("TCP", host, port)))
            return protocol

        return _Endpoint(self, made)

    def go_on(self) -> None:
        """Make the connections that are waited for, or refuse them."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.go_on()


class _CountingLane(Lane):
    """A lane that says how often it was used."""

    def decide(self, host: Any) -> Any:
        self._shared.world.decided += 1  # type: ignore[attr-defined]
        return super().decide(host)

    def ended(self) -> None:
        self._shared.world.ended += 1  # type: ignore[attr-defined]
        super().ended()

    def opened(self, early: bytes) -> None:
        self._shared.world.opened += 1  # type: ignore[attr-defined]
        super().opened(early)


def _lane_for(client: Any, forwarded: Any) -> Lane | None:
    return lane_for(client, forwarded) if client.factory.shared.world.lanes else None


class World(Dialogue):
    """A gateway as in `tests.dialogue`, on socket pairs.

    ``lanes``: whether clients have them.  ``decided``, ``ended``: requests that came to a lane, and those that stayed
    there to the end; ``opened``: those that became sessions there.  ``buffer``: bytes that the kernel takes of what the
    gateway sends on one connection, about.
    ``unseen``: what is not looked at of outcomes.
    """

    def __init__(
        self,
        test: SynchronousTestCase,
        lanes: bool,
        backends: int = 1,
        *,
        buffer: int | None = None,
        unseen: Collection[str] = (),
        **options: Any,
    ) -> None:
        self.lanes = lanes
        self.unseen = unseen
        self.buffer = buffer
        self.decided = self.ended = self.opened = 0
        super().__init__(test, backends, **options)
        self.shared.world = self  # type: ignore[attr-defined]

    def prepare(self, test: SynchronousTestCase) -> None:
        self.test = test
        self.clock = _Reactor()
        self.clock.advance(1e9)  # bridges ask the kernel for the time: theirs is long ago
        self.pump = Pump(self.clock)
        self.road: Any = _Road(self)
        self.recorder = Recorder()
        self.people: list[End] = []
        self.lost: list[Any] = []
        self.pairs: list[socket.socket] = []
        self._told = 0
        test.patch(lane, "Lane", _CountingLane)
        test.patch(http1, "lane_for", _lane_for)

    def soon(self, call: Any) -> None:
        self.clock.callLater(0, call)

    # -- connections

    def join(self, protocol: Any, peer: IPv4Address) -> End:
        """Join a protocol to one end of a pair; returns the other."""
        ours, theirs = socket.socketpair()
        self.pairs.append(theirs)
        for sock in (ours, theirs):
            sock.setblocking(False)
        if self.buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer // 2)
        transport = TCPTransport(self.pump, ours, peer)
        self.pump.add(ours.fileno(), transport)
        transport.start(protocol)
        return End(theirs, self.settle)

    def connects(self) -> End:
        """A new client."""
        peer = IPv4Address("TCP", "203.0.113.7", 50000 + len(self.people))
        client = self.join(self.factory.buildProtocol(peer), peer)
        self.people.append(client)
        self.settle()
        return client

    @property
    def ends(self) -> list[End]:
        """All connections to backends that were ever made, backend by backend."""
        return [end for host in sorted(self.road.ends) for end in self.road.ends[host]]

    # -- time

    def settle(self) -> None:
        """Let everything happen that can happen now."""
        moves = 2
        while moves:
            self.pump.turn(_TURN)
            self.clock.advance(0)
            moves = 2 if any([end.look() for end in (*self.people, *self.ends)]) else moves - 1

    def advance(self, seconds: float) -> None:
        """Time passes, from one timer to the next."""
        end = self.clock.seconds() + seconds
        while True:
            due = min([call.getTime() for call in self.clock.getDelayedCalls()], default=end)
            self.clock.advance(max(min(due, end) - self.clock.seconds(), 0.0))
            self.settle()
            if due >= end:
                return

    # -- what can be seen

    def seen(self) -> list[Any]:
        """All that anybody can know of the gateway since this was last asked."""
        clients = list(self.factory.connections)
        news = self.recorder.outcomes[self._told :]
        self._told += len(news)
        return [
            [(end.takes(), end.ending) for end in self.people],
            [[(end.takes(), end.ending) for end in self.road.ends[host]] for host in sorted(self.road.ends)],
            [_facts(outcome, self.unseen) for outcome in news],
            [(each.active, each.leases, each.failures) for each in self.pool.backends],
            [(way._count, {key: len(idle) for key, idle in way._idle.items()}) for way in self.upstreams.values()],
            sorted((each.transport.getPeer().port, _deadline(each), each.held, each.stuck) for each in clients),
        ]

    def over(self) -> None:
        """Everybody leaves; then nothing may be left."""
        self.road.refuses, self.road.slow = True, False
        self.road.go_on()
        for sock in self.pairs:
            sock.close()
        self.settle()
        self.advance(90)
        self.test.assertEqual([0] * len(self.pool.backends), [each.active for each in self.pool.backends])
        self.test.assertEqual(set(), self.factory.connections)
        for upstream in self.upstreams.values():
            self.test.assertEqual(0, upstream._count)
            upstream.close()
        self.settle()
        self.test.assertEqual([], self.pump.riders())
        self.pump.stop()


def _deadline(connection: Any) -> float:
    """When it ends, or its tunnel."""
    return float(connection.tunnel.deadline if isinstance(connection, ClientSide) else connection.deadline)


def _facts(outcome: Outcome, unseen: Collection[str]) -> dict[str, Any]:
    facts = {name: getattr(outcome, name) for name in _FACTS if name not in unseen}
    trace_id = facts.pop("trace_id")
    assert re.fullmatch("[0-9a-f]{32}", trace_id)
    error, route, backend = facts.pop("error"), facts.pop("route"), facts.pop("backend")
    facts["given"] = trace_id == "a" * 32  # by a proxy
    return {**facts, "error": (type(error), str(error)), "to": (route and route.rule, backend and backend.name)}


def warmed(world: World) -> End:
    """A client whose connection, and one to a backend, have carried an exchange."""
    client = world.connects()
    client.sends(GET)
    world.ends[-1].sends(OK)
    return client


def agree(
    test: SynchronousTestCase, acts: Iterable[Callable[[World], Any]], *, used: bool = True, **options: Any
) -> World:
    """Do the same with lanes and without; whatever can be seen after each act must be the same.

    ``used``: at least one request must have come to a lane.  Returns the world with lanes.
    """
    acts = list(acts)
    with_lanes, without = World(test, True, **options), World(test, False, **options)
    for number, act in enumerate(acts):
        for world in (with_lanes, without):
            act(world)
            world.settle()
        one, two = with_lanes.seen(), without.seen()
        test.assertEqual(two, one, f"after act {number}: with a lane it is the second")
    test.assertEqual(0, without.decided)
    if used:
        test.assertGreater(with_lanes.decided, 0, "no request came to a lane")
    for world in (with_lanes, without):
        world.over()
    return with_lanes
