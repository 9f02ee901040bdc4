"""When attempts on the pump make their sockets, and what they believe of an event. Real loopback sockets."""

from __future__ import annotations

import select
import socket
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError, TimeoutError
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from gateway.transport import connect
from gateway.transport.deadlines import Deadlines
from gateway.transport.pump_road import PumpRoad
from tests.transport.peers import Recorder, Serving, silent_port


class _Attempting(TestCase):
    """A road of its own, and the sockets that attempts on it have begun."""

    timeout = 8

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.road = PumpRoad(reactor)
        self.pump = self.road.pump
        self.addCleanup(self.road.stop)
        self.begun: list[int] = []
        self.patch(connect, "begin", self.begin)

    def begin(self, host: str, port: int) -> Any:
        handle, code = self._begin(host, port)
        self.begun.append(handle if isinstance(handle, int) else handle.fileno())
        return handle, code

    _begin = staticmethod(connect.begin)

    def listening(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        sock = socket.create_server((host, port))
        self.addCleanup(sock.close)
        return sock


class AttemptTests(_Attempting):
    """Turns are served by hand, as far as they are not the reactor's."""

    def attempt(self, port: int, factory: Any = None) -> Deferred[Any]:
        return self.road.client("127.0.0.1", port).connect(factory or Serving())

    def outside(self) -> Deferred[None]:
        """Fires when no turn is being served."""
        return deferLater(self.reactor, 0, lambda: None)

    async def served(self) -> tuple[Any, socket.socket]:
        """A client's protocol and the socket of its server."""
        listening = self.listening()
        protocol: Any = await self.attempt(listening.getsockname()[1])
        theirs, _ = listening.accept()
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        await self.outside()
        self.begun.clear()
        return protocol, theirs

    async def test_outside_of_a_turn_at_once(self) -> None:
        protocol_made = self.attempt(self.listening().getsockname()[1])
        self.assertEqual(1, len(self.begun))
        await protocol_made

    async def test_those_of_a_round_begin_when_it_has_sent(self) -> None:
        protocol, theirs = await self.served()
        number = self.listening().getsockname()[1]
        seen: list[bytes] = []
        made: list[Deferred[Any]] = []

        def note(host: str, port: int) -> Any:
            try:
                seen.append(theirs.recv(100))
            except BlockingIOError:
                seen.append(b"")
            return self.begin(host, port)

        def answer(data: bytes) -> None:
            made.extend(self.attempt(number) for _ in range(2))
            self.assertEqual([], self.begun)
            protocol.transport.write(b"answer")

        self.patch(connect, "begin", note)
        protocol.dataReceived = answer
        theirs.send(b"x")
        self.pump.turn(0.05)
        self.assertEqual([b"answer", b""], seen)
        for each in made:
            await each

    async def test_cancelled_before_it_has_begun(self) -> None:
        protocol, theirs = await self.served()
        number = self.listening().getsockname()[1]
        failures: list[Any] = []

        def answer(data: bytes) -> None:
            connecting = self.attempt(number)
            connecting.addErrback(failures.append)
            connecting.cancel()

        protocol.dataReceived = answer
        theirs.send(b"x")
        self.pump.turn(0.05)
        self.assertEqual([], self.begun)
        self.assertIsInstance(failures[0].value, ConnectingCancelledError)

    async def test_an_event_of_the_socket_that_had_the_number(self) -> None:
        """It waits among the events at hand when that socket is closed and another is asked for."""
        protocol, theirs = await self.served()
        silent = silent_port(self)
        connecting: list[Deferred[Any]] = []
        factory = Serving()

        def answer(data: bytes) -> None:
            connecting[0].addErrback(lambda failure: failure.trap(ConnectingCancelledError))
            connecting[0].cancel()
            connecting.append(self.attempt(silent, factory))

        protocol.dataReceived = answer
        theirs.send(b"x")
        connecting.append(self.attempt(self.listening().getsockname()[1]))
        self.pump.turn(0.05)
        self.assertEqual(2, len(connecting), "the handler was not first")
        self.assertEqual(1, len(set(self.begun)), "the number was not used again")
        self.assertFalse(connecting[1].called)
        self.assertEqual([], factory.built)
        connecting[1].cancel()
        await self.assertFailure(connecting[1], ConnectingCancelledError)

    async def test_what_is_not_plain_is_asked_of_the_kernel(self) -> None:
        """An event that says nothing, or of an error, is believed only when the socket says so as well."""
        asked: list[int] = []
        reached = connect.reached
        self.patch(connect, "reached", lambda sock: asked.append(reached(sock)) or asked[-1])
        connecting = self.attempt(silent_port(self))
        (attempt,) = self.pump.riders()
        attempt.again()
        attempt.event(select.EPOLLOUT | select.EPOLLERR)
        attempt.event(select.EPOLLOUT | select.EPOLLHUP)
        self.assertEqual(([-1] * 3, False), (asked, connecting.called))
        connecting.cancel()
        await self.assertFailure(connecting, ConnectingCancelledError)
        asked.clear()
        await self.attempt(self.listening().getsockname()[1])
        self.assertEqual([], asked)

    async def test_refused_in_an_event(self) -> None:
        """The next address is tried when the events at hand are done; none is left here."""
        protocol, theirs = await self.served()
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
        free.close()
        connecting: list[Deferred[Any]] = []
        protocol.dataReceived = lambda data: connecting.append(self.attempt(number, Serving(Recorder)))
        theirs.send(b"x")
        self.pump.turn(0.05)
        self.assertEqual(1, len(self.begun))
        await self.assertFailure(connecting[0], ConnectionRefusedError)

    async def test_without_a_deferred(self) -> None:
        """Whoever is told has a Deferred's methods, and may be replaced by one."""
        number = self.listening().getsockname()[1]
        for result in (mock.Mock(), None):
            endpoint: Any = self.road.client("127.0.0.1", number)
            attempt = endpoint.attempt(Serving(Recorder).buildProtocol)
            attempt.result = result
            attempt.start()
            if result is None:
                self.assertIsInstance(await attempt.promise(), Recorder)
            else:
                told: Deferred[Any] = Deferred()
                result.callback.side_effect = told.callback
                self.assertIsInstance(await told, Recorder)
                result.errback.assert_not_called()

    async def test_the_next_address_is_tried(self) -> None:
        listening = self.listening()
        number = listening.getsockname()[1]
        free = connect.literal("127.0.0.2", number)
        good = connect.literal("127.0.0.1", number)
        attempt = connect.Attempt(self.pump, None, "name", number, Serving().buildProtocol, 5.0, None, good)
        attempt._addresses.append(free)
        connected = attempt.promise()
        attempt.start()
        self.assertIsInstance(await connected, Recorder)
        self.assertEqual(2, len(self.begun))


class SharesTests(_Attempting):
    """Addresses of a name that say nothing. The time of attempts is a clock's."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.pump.deadlines = Deadlines(self.clock)
        self.number = silent_port(self)

    def attempt_at(self, *last_bytes: int, timeout: float = 5.0, prelude: Any = None) -> Deferred[Any]:
        """Try these addresses of 127.0.0.0/8; the first says nothing, and others only if somebody listens there."""
        attempt = connect.Attempt(self.pump, None, "name", self.number, Serving().buildProtocol, timeout, prelude)
        for each in last_bytes:
            address = connect.literal(f"127.0.0.{each}", self.number)
            assert address is not None
            attempt.addressResolved(address)
        attempt.resolutionComplete()
        return attempt.promise()

    def pass_(self, seconds: float) -> None:
        self.clock.pump([0.1] * round(seconds * 10))

    async def test_the_next_one_has_the_rest_of_the_time(self) -> None:
        self.listening("127.0.0.2", self.number)
        connecting = self.attempt_at(1, 2)
        self.pass_(2.4)
        self.assertEqual(1, len(self.begun))
        self.pass_(0.3)
        self.assertEqual(2, len(self.begun))
        self.assertEqual("127.0.0.2", (await connecting).transport.getPeer().host)
        self.assertEqual([], self.pump.deadlines.entries())

    async def test_all_are_silent(self) -> None:
        """The whole is no longer than for one."""
        connecting = self.attempt_at(1, 1, 1)
        for seconds, begun in ((1.5, 1), (1.7, 2), (1.7, 3)):
            self.pass_(seconds)
            self.assertEqual((begun, False), (len(self.begun), connecting.called))
        self.pass_(0.2)
        error = await self.assertFailure(connecting, TimeoutError)
        self.assertIn("within 5 s", str(error))
        self.assertEqual([], self.pump.riders())

    async def test_shares_are_not_too_short(self) -> None:
        connecting = self.attempt_at(*[1] * 50)
        self.pass_(0.9)
        self.assertEqual(1, len(self.begun))
        self.pass_(4.3)
        await self.assertFailure(connecting, TimeoutError)
        self.assertEqual(5, len(self.begun))

    async def test_a_time_without_end(self) -> None:
        connecting = self.attempt_at(1, 1, timeout=0)
        self.assertEqual([], self.pump.deadlines.entries())
        connecting.cancel()
        await self.assertFailure(connecting, ConnectingCancelledError)

    async def test_who_accepts_has_the_rest_of_the_time(self) -> None:
        """What comes behind TCP is not cut short because there is another address."""
        self.number = self.listening().getsockname()[1]
        taken: list[Any] = []
        reached: Deferred[None] = Deferred()

        def prelude(attempt: Any, handle: Any, peer: Any) -> None:
            attempt.on_abandon(lambda: connect.close(handle))
            attempt.pump.remove(attempt._fd)
            taken.append(handle)
            reached.callback(None)

        connecting = self.attempt_at(1, 2, prelude=prelude)
        await reached
        self.pass_(4.9)
        self.assertFalse(connecting.called)
        self.pass_(0.3)
        await self.assertFailure(connecting, TimeoutError)
        self.assertEqual((1, 1), (len(taken), len(self.begun)))

    async def test_the_end_of_the_pump_is_that_of_the_attempt(self) -> None:
        connecting = self.attempt_at(1, 2)
        self.road.stop()
        await self.assertFailure(connecting, connect.ConnectError)
        self.assertEqual(1, len(self.begun))
