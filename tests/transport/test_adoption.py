"""TLS connections that another process goes on with, on the pump. The other process is another port of this one."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from gateway.transport.greetings import Greetings
from gateway.transport.hello import Hello
from gateway.transport.ports import Port
from gateway.transport.pump_greeting import server_welcome
from gateway.transport.pump_road import PumpRoad
from tests.transport.conformance import RoadConformance
from tests.transport.peers import Recorder, SecureServing, client_tls, server_tls


class _Passing:
    """What a TLS port is given that passes connections on to ``port``, if there is one."""

    def __init__(self) -> None:
        self._options = server_tls()
        self.port: Any = None
        self.hellos: list[Hello] = []

    def getContext(self) -> Any:
        return self._options.getContext()

    def meet(self, connection: Any, hello: Hello) -> bytes:
        return b""

    def elsewhere(self, hello: Hello, sock: socket.socket) -> bool:
        self.hellos.append(hello)
        if self.port is None:
            return False
        self.port.adopt(socket.socket(fileno=os.dup(sock.fileno())))
        return True


class AdoptionTests(TestCase):
    """`Port.adopt` and ``tls.elsewhere``."""

    timeout = 8
    turns = RoadConformance.turns

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        self.road = PumpRoad(reactor)
        self.addCleanup(self.road.stop)
        self.clock = Clock()
        self.one, self.two = _Passing(), _Passing()
        self.here, self.there = SecureServing(), SecureServing()
        self.accepting, self.adopting = self.listen(self.one, self.here), self.listen(self.two, self.there)

    def listen(self, tls: Any, serving: SecureServing) -> Port:
        welcome = server_welcome(tls, self.road.pump, self.clock, Greetings(self.clock), timeout=10.0)
        port = Port(self.road.pump, self.reactor, "127.0.0.1", 0, serving, 5, welcome)
        port.startListening()
        self.addCleanup(port.stopListening)
        return port

    async def connected(self, tls: Any = None) -> Any:
        road = self.road.client("127.0.0.1", self.accepting.getHost().port, tls)
        client = await road.connect(SecureServing())
        self.addCleanup(lambda: client.lost)
        self.addCleanup(client.transport.abortConnection)
        return client

    async def test_taken(self) -> None:
        """The hello has only been looked at; the new owner does not pass the connection on again, whatever it could."""
        self.one.port, self.two.port = self.adopting, self.accepting
        client = await self.connected(client_tls())
        theirs = await self.there.next()
        client.transport.write(b"hello")
        self.assertEqual(b"hello", await theirs.received(5))
        theirs.transport.write(b"hello")
        self.assertEqual(b"hello", await client.received(5))
        self.assertEqual(([b"localhost"], []), ([hello.name for hello in self.one.hellos], self.two.hellos))
        self.assertEqual(([], [], []), (self.here.built, self.here.failures, self.clock.getDelayedCalls()))
        self.assertEqual(client.transport.getHost(), theirs.transport.getPeer())

    async def test_not_taken(self) -> None:
        """It is as if nobody had asked."""
        client = await self.connected(client_tls())
        theirs = await self.here.next()
        client.transport.write(b"hello")
        self.assertEqual(b"hello", await theirs.received(5))
        self.assertEqual(([b"localhost"], []), ([hello.name for hello in self.one.hellos], self.there.built))

    async def test_in_pieces(self) -> None:
        """Nothing is asked before the hello is there, and the time for the handshake is as ever."""
        self.one.port = self.adopting
        client = await self.connected()
        client.transport.write(b"\x16\3\1\0\5\1")
        while not self.clock.getDelayedCalls():
            await self.turns()
        await self.turns(0.01)
        self.assertEqual([], self.one.hellos)
        self.clock.advance(10.1)
        await client.lost
        self.assertEqual([TimeoutError], [type(error) for _, error in self.here.failures])

    async def test_time_of_the_new_owner(self) -> None:
        """It gives the client its own time, and counts the failure."""
        self.one.port = self.adopting
        client = await self.connected()
        client.transport.write(b"\x16\3\1\0\5\1\0\0\1x")  # over too early, but OpenSSL waits for no more of it
        while not self.there.failures:
            await self.turns()
        await client.lost
        self.assertEqual(([], [Hello()]), (self.here.failures, self.one.hellos))

    async def test_no_tls(self) -> None:
        """Clients that forget the TLS get their answer here."""
        self.one.port = self.adopting
        client = await self.connected()
        client.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        theirs: Recorder = await self.here.plain.next()
        await theirs.received(18)
        self.assertEqual(([], []), (self.one.hellos, self.there.built))

    async def test_client_has_left(self) -> None:
        """Then there is nobody to go on with."""
        sock = socket.socket()
        self.adopting.adopt(sock)
        self.assertEqual(-1, sock.fileno())
        self.assertEqual([], self.there.failures)
