"""What is particular to the pump: its turn, its ports and how it ends. Real loopback sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from gateway.transport import ports
from gateway.transport.linger import close_gently
from gateway.transport.pump import Pump
from gateway.transport.pump_road import PumpRoad
from gateway.transport.tcp import TCPTransport
from tests.transport.peers import HalfCloser, Pieces, Recorder, Serving, exhausted


class PumpCase(TestCase):
    """A road and plain blocking sockets on the other side."""

    timeout = 8

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.road = PumpRoad(reactor)
        self.pump = self.road.pump
        self.addCleanup(self.road.stop)

    def turns(self, seconds: float = 0.0) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)

    def stays(self, transport: TCPTransport, error: BaseException) -> Any:
        """Let ``transport`` raise when the pump gives it up."""
        dropped = TCPTransport.dropped

        def drop(self: TCPTransport, reason: Failure) -> None:
            if self is transport:
                raise error
            dropped(self, reason)

        return self.patch(TCPTransport, "dropped", drop)

    async def serve(self, make: Any = Recorder) -> tuple[Any, socket.socket]:
        """A served protocol and the client's socket."""
        serving = Serving(make)
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        self.addCleanup(port.stopListening)
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        protocol = await serving.next()

        async def finish() -> None:
            if protocol.reason is None:
                protocol.transport.abortConnection()
                await protocol.lost

        self.addCleanup(finish)
        return protocol, client


class TurnTests(PumpCase):
    """One turn serves many, and no longer than it should."""

    async def test_nothing_is_left_when_the_last_socket_is_gone(self) -> None:
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        protocol = await serving.next()
        await port.stopListening()
        driver = self.pump.driver
        self.assertIn(driver, self.reactor.getReaders(), "there is still a connection")
        client.close()
        await protocol.lost
        await self.turns()
        self.assertNotIn(driver, self.reactor.getReaders())
        self.assertEqual(-1, self.pump.fileno())

    async def test_epoll_is_closed_and_made_again(self) -> None:
        for _ in range(3):
            port = await self.road.server("127.0.0.1", 0).listen(Serving())
            driver = self.pump.driver
            self.assertIn(driver, self.reactor.getReaders())
            await port.stopListening()
            await self.turns()
            self.assertNotIn(driver, self.reactor.getReaders())
            self.assertEqual(-1, self.pump.fileno())

    async def test_a_bulk_reader_does_not_starve_others(self) -> None:
        """A socket that is always readable gives way to others after each read."""
        order: list[str] = []

        class Named(Recorder):
            keep = False

            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                order.append("bulk" if len(data) > 1 else "small")

        bulk, bulk_client = await self.serve(Named)
        small, small_client = await self.serve(Named)
        bulk.transport.pauseProducing()
        bulk_client.setblocking(False)
        sent = 0
        try:
            while True:
                sent += bulk_client.send(b"b" * 65536)
        except BlockingIOError:
            pass
        small_client.sendall(b"s")
        bulk.transport.resumeProducing()
        await bulk.received(sent)
        await small.received(1)
        self.assertGreater(order.count("bulk"), 2)
        self.assertLess(order.index("small"), 3)

    async def test_a_turn_is_bounded(self) -> None:
        """A rider that asks again and again is not served for ever in one turn."""
        calls: list[float] = []

        class Greedy:
            waiting = False

            def event(inner, events: int) -> None:
                raise AssertionError("it has no socket")

            def again(inner) -> None:
                calls.append(self.reactor.seconds())
                if not done.called:
                    self.pump.soon(inner)

            def dropped(inner, reason: Failure) -> None:
                raise AssertionError("it does nothing wrong")

        done: Deferred[None] = Deferred()
        self.pump.soon(Greedy())
        self.reactor.callLater(0.03, done.callback, None)
        await done
        await self.turns(0.01)
        self.assertGreater(len(calls), 100)

    async def test_a_rider_that_raises_is_dropped(self) -> None:
        protocol, client = await self.serve()
        other, other_client = await self.serve()

        def fail(transport: TCPTransport, events: int) -> None:
            raise ZeroDivisionError("inside the transport")

        self.patch(TCPTransport, "_note_unread", fail)
        protocol.transport.pauseProducing()
        client.sendall(b"x")
        self.assertIsInstance(await protocol.lost, ConnectionLost)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        other_client.sendall(b"fine")
        await other.received(4)

    async def test_whatever_is_raised_the_pump_stays(self) -> None:
        """The reactor lets go of who raises, and every connection would be lost by that."""

        class Evil(BaseException):
            pass

        def fail(*_: Any) -> None:
            raise Evil

        protocol, client = await self.serve()
        other, other_client = await self.serve()
        self.patch(TCPTransport, "_note_unread", fail)
        staying = self.stays(protocol.transport, Evil())
        protocol.transport.pauseProducing()
        client.sendall(b"x")
        other_client.sendall(b"fine")
        await other.received(4)
        await self.turns()
        self.assertEqual(2, len(self.flushLoggedErrors(Evil)), "the rider, and that it could not be given up")
        self.assertIn(self.pump.driver, self.reactor.getReaders())
        other_client.sendall(b"still")
        await other.received(9)
        staying.restore()

    async def test_one_that_cannot_be_given_up_at_the_end(self) -> None:
        """The others are told, and those whose deadlines are left."""
        protocol, _ = await self.serve()
        other, _ = await self.serve()
        expired: list[str] = []

        class Entry:
            deadline = review = float("inf")

            def __init__(self, name: str) -> None:
                self.name = name

            def expired(self, now: float) -> None:
                expired.append(self.name)
                raise KeyboardInterrupt

        for entry in Entry("a"), Entry("b"):
            self.pump.deadlines.set(entry, self.pump.deadlines.now() + 60)
        staying = self.stays(protocol.transport, KeyboardInterrupt())
        self.pump.stop()
        staying.restore()
        await other.lost
        self.assertCountEqual(["a", "b"], expired)
        self.assertEqual(3, len(self.flushLoggedErrors(KeyboardInterrupt)))

    async def test_reactor_lets_go(self) -> None:
        """As at shutdown: every connection is told."""
        protocol, _ = await self.serve()
        await self.turns()
        self.pump.reactor_lets_go(Failure(ConnectionLost("the reactor stops")))
        self.assertIsInstance(protocol.reason, ConnectionLost)
        self.assertEqual(-1, self.pump.fileno())

    async def test_data_that_are_there_at_registration(self) -> None:
        """An edge that came before the socket was watched is not lost."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        theirs.sendall(b"early")
        theirs.shutdown(socket.SHUT_WR)
        ours.setblocking(False)
        protocol = HalfCloser()
        transport = TCPTransport(self.pump, ours, _nowhere())
        self.pump.add(ours.fileno(), transport)
        transport.start(protocol)
        await protocol.read_lost
        self.assertEqual(b"early", protocol.data)
        transport.abortConnection()
        await protocol.lost

    async def test_more_data_than_one_read(self) -> None:
        """One edge announces more than a read takes."""
        protocol, client = await self.serve()
        protocol.transport.pauseProducing()
        payload = bytes(range(256)) * 2000
        client.sendall(payload[:200_000])
        await self.turns(0.01)
        protocol.transport.resumeProducing()
        await protocol.received(200_000)
        client.sendall(payload[200_000:])
        await protocol.received(len(payload))
        self.assertTrue(protocol.data == payload)

    async def test_reset_while_paused(self) -> None:
        """A reset with nothing left to read is told to a paused reader; unread data are kept for it."""
        for unread in (b"", b"unread"):
            protocol, client = await self.serve()
            protocol.transport.pauseProducing()
            client.sendall(unread)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            await self.turns(0.02)
            if unread:
                self.assertIsNone(protocol.reason)
                protocol.transport.resumeProducing()
            self.assertIsInstance(await protocol.lost, ConnectionLost)
            self.assertEqual(unread, protocol.data)

    async def test_end_of_file_while_paused_waits(self) -> None:
        protocol, client = await self.serve()
        protocol.transport.pauseProducing()
        client.sendall(b"last")
        client.close()
        await self.turns(0.02)
        self.assertIsNone(protocol.reason)
        protocol.transport.resumeProducing()
        await protocol.lost
        self.assertEqual(b"last", protocol.data)


class PortTests(PumpCase):
    """Accepting."""

    async def refused(self, client: socket.socket) -> None:
        """Wait until it is."""
        client.settimeout(0)
        with contextlib.suppress(ConnectionResetError):
            while True:
                await self.turns()
                with contextlib.suppress(BlockingIOError):
                    if not client.recv(1):
                        return

    async def test_descriptors_run_out(self) -> None:
        """One client is refused, the others wait and are served when there are descriptors again."""
        await self.turns()  # the reactor needs descriptors of its own when it starts
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        self.addCleanup(port.stopListening)
        clock = Clock()
        port._reactor = clock
        where = ("127.0.0.1", port.getHost().port)
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            self.addCleanup(client.close)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(client.fileno() for client in clients)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        plugs = []
        try:
            while True:
                try:
                    plugs.append(socket.socket())
                except OSError as error:
                    self.assertEqual(errno.EMFILE, error.errno)
                    break
            for client in clients:
                client.connect(where)
            while not clock.getDelayedCalls():
                await self.turns()
            self.assertEqual([], serving.built)
        finally:
            for plug in plugs:
                plug.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        clients[0].settimeout(2)
        self.assertEqual(b"", clients[0].recv(1), "refused at once")
        clock.advance(1.0)
        first, second = await serving.next(), await serving.next()
        for protocol in (first, second):
            protocol.transport.abortConnection()
            await protocol.lost

    async def test_who_is_not_wanted_keeps_no_descriptor(self) -> None:
        """Also one that does not close its side: there may be many of them, just when there are too many."""
        port = await self.road.server("127.0.0.1", 0).listen(Serving(lambda: None))
        self.addCleanup(port.stopListening)
        opened: list[int] = []
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", port.getHost().port))
            self.addCleanup(client.close)
            await self.refused(client)
            opened.append(len(os.listdir("/proc/self/fd")))
        self.assertEqual([opened[0] + 1, opened[0] + 2], opened[1:], "the clients' own")

    async def test_exhaustion_is_logged_once(self) -> None:
        from twisted.logger import globalLogPublisher

        messages: list[Any] = []

        def observe(event: Any) -> None:
            if "cannot accept" in str(event.get("log_format")):
                messages.append(event)

        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        self.addCleanup(port.stopListening)
        clock = port._reactor = Clock()

        def no_descriptor(listening: Any) -> Any:
            raise OSError(errno.ENFILE, "Too many open files in system")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        patch = self.patch(ports, "accept", no_descriptor)
        port.event(1)
        self.assertEqual([], clock.getDelayedCalls(), "nobody waits")
        where = ("127.0.0.1", port.getHost().port)
        clients = [socket.create_connection(where) for _ in range(6)]
        for client in clients:
            self.addCleanup(client.close)
        for looks, said in ((3, 1), (1, 2)):
            for _ in range(looks):
                port.event(1)
                self.assertEqual(1, len(clock.getDelayedCalls()))
                clock.advance(1.0)
            self.assertEqual(said, len(messages))
            clock.advance(60.0)
        patch.restore()
        protocol = await serving.next()
        protocol.transport.abortConnection()
        await protocol.lost

    async def test_who_is_not_wanted_does_not_exhaust_it(self) -> None:
        """Their descriptors are free when the round is over."""
        port = await self.road.server("127.0.0.1", 0).listen(Serving(lambda: None))
        self.addCleanup(port.stopListening)
        clock = port._reactor = Clock()
        clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(20)]
        for client in clients:
            self.addCleanup(client.close)
        with exhausted() as plugs:
            for _ in range(3):
                os.close(plugs.pop())
            for client in clients:
                await self.refused(client)
        self.assertEqual([], clock.getDelayedCalls())

    async def test_sockets_that_linger_are_spared(self) -> None:
        """That of a client that does not close its side, where another one waits."""
        protocol, client = await self.serve()
        protocol.transport.loseConnection()
        await protocol.lost
        self.assertTrue(self.pump.riders())
        for _ in range(2):  # once a round is enough, whoever asks
            self.assertTrue(self.pump.make_room())
        await self.turns()
        self.assertFalse(self.pump.make_room())
        client.settimeout(2)
        self.assertEqual(b"", client.recv(1))

    async def test_no_room_in_epoll(self) -> None:
        """It costs that connection, and a second; the port goes on."""
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        self.addCleanup(port.stopListening)
        clock = port._reactor = Clock()
        where = ("127.0.0.1", port.getHost().port)

        def add(fd: int, rider: Any, events: int = 0) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch = self.patch(self.road.pump, "add", add)
        first = socket.create_connection(where)
        self.addCleanup(first.close)
        first.settimeout(0)
        while not clock.getDelayedCalls():
            await self.turns()
        patch.restore()
        self.assertEqual([], serving.built)
        self.assertEqual(b"", first.recv(1))
        second = socket.create_connection(where)
        self.addCleanup(second.close)
        clock.advance(1.0)
        protocol = await serving.next()
        protocol.transport.abortConnection()
        await protocol.lost

    async def test_backlog_larger_than_one_round(self) -> None:
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        self.addCleanup(port.stopListening)
        where = ("127.0.0.1", port.getHost().port)
        clients = [socket.create_connection(where) for _ in range(150)]
        for client in clients:
            self.addCleanup(client.close)
        protocols = [await serving.next() for _ in clients]
        for protocol in protocols:
            protocol.transport.abortConnection()
        for protocol in protocols:
            await protocol.lost

    async def test_who_is_in_the_backlog_when_the_port_stops(self) -> None:
        """Has connected, and may have asked."""
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        where = ("127.0.0.1", port.getHost().port)
        clients = [socket.create_connection(where) for _ in range(70)]
        for client in clients:
            self.addCleanup(client.close)
        clients[-1].sendall(b"hello")
        stopped = port.stopListening()
        self.assertEqual(70, len(serving.built))
        await stopped
        self.assertEqual(b"hello", await serving.built[-1].received(5))
        for protocol in serving.built:
            protocol.transport.abortConnection()
        for protocol in serving.built:
            await protocol.lost

    async def test_port_can_be_bound_again(self) -> None:
        """SO_REUSEADDR: a restart finds its port although old connections linger."""
        serving = Serving()
        port = await self.road.server("127.0.0.1", 0).listen(serving)
        number = port.getHost().port
        client = socket.create_connection(("127.0.0.1", number))
        self.addCleanup(client.close)
        protocol = await serving.next()
        protocol.transport.loseConnection()
        await protocol.lost
        await port.stopListening()
        again = await self.road.server("127.0.0.1", number).listen(Serving())
        await again.stopListening()


class LastWordsTests(PumpCase):
    """What is written before the end travels with it."""

    async def segments(self, act: Any) -> tuple[int, bytes]:
        """How many segments reach a client when its protocol does ``act(transport)`` in a turn, and what is in them."""
        protocol, client = await self.serve(HalfCloser)
        await self.turns()
        client.sendall(b"x")
        protocol.dataReceived = lambda data: act(protocol.transport)
        self.pump.turn(0.05)
        count = _segments(client)
        client.setblocking(False)
        received = b""
        while True:
            try:
                piece = client.recv(65536)
            except BlockingIOError:
                await self.turns()
                continue
            if not piece:
                break
            received += piece
        client.close()
        await protocol.lost
        return count, received

    async def test_close(self) -> None:
        alone, nothing = await self.segments(lambda transport: transport.loseConnection())
        count, received = await self.segments(lambda transport: (transport.write(b"last"), transport.loseConnection()))
        self.assertEqual((alone, b""), (count, nothing))
        self.assertEqual(b"last", received)

    async def test_half_close(self) -> None:
        alone, nothing = await self.segments(lambda transport: transport.loseWriteConnection())
        both = await self.segments(lambda transport: (transport.write(b"last"), transport.loseWriteConnection()))
        self.assertEqual(((alone, b"last"), b""), (both, nothing))

    async def test_nothing_is_held_back(self) -> None:
        """Neither where the kernel does not take it, nor where a pull producer goes on."""
        filled: list[bytes] = []

        def refused(transport: TCPTransport) -> None:
            try:
                while True:
                    filled.append(b"f" * transport._sock.send(b"f" * 10_000))
            except BlockingIOError:
                transport.write(b"last" * 5000)
            transport.loseConnection()
            self.assertTrue(transport.connected)
            self.assertTrue(transport.queued)

        def pulled(transport: TCPTransport) -> None:
            transport.registerProducer(pieces, False)
            transport.write(b"first")
            transport.loseConnection()
            self.assertTrue(transport.connected)

        _, received = await self.segments(refused)
        self.assertTrue(received == b"".join(filled) + b"last" * 5000)
        protocol, client = await self.serve()
        pieces = Pieces(protocol.transport, [])
        self.patch(pieces, "resumeProducing", lambda: None)
        await self.turns()
        protocol.dataReceived = lambda data: pulled(protocol.transport)
        client.sendall(b"x")
        self.pump.turn(0.05)
        client.setblocking(False)
        self.assertEqual(b"first", client.recv(100))


class LingerTests(PumpCase):
    """A close that loses nothing."""

    async def test_last_words_reach_a_client_that_is_still_sending(self) -> None:
        """The 413 case: the answer must not be destroyed by the reset that unread data provoke."""
        protocol, client = await self.serve()
        client.sendall(b"u" * 100_000)
        await protocol.received(1)
        protocol.transport.pauseProducing()
        client.sendall(b"u" * 300_000)
        answer = b"a" * 50_000
        protocol.transport.write(answer)
        protocol.transport.loseConnection()
        await protocol.lost
        client.sendall(b"u" * 100_000)
        await self.turns(0.01)
        client.settimeout(2)
        received = b""
        while piece := client.recv(65536):
            received += piece
        self.assertTrue(received == answer)
        client.close()
        while self.pump.deadlines.entries():
            await self.turns()

    async def test_time_is_up(self) -> None:
        """A peer that does not close is left after a while."""
        clock = Clock()
        pump = Pump(_Both(self.reactor, clock))
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        theirs.sendall(b"still sending")
        close_gently(pump, ours)
        self.assertEqual(b"", theirs.recv(1))
        theirs.sendall(b"it is there")
        clock.pump([0.1] * 25)
        self.assertRaises(BrokenPipeError, theirs.sendall, b"it is not")
        self.assertEqual(-1, pump.fileno())

    async def test_stop_closes_what_lingers(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        theirs.sendall(b"still sending")
        close_gently(self.pump, ours)
        self.road.stop()
        self.assertRaises(BrokenPipeError, theirs.sendall, b"more")
        self.assertEqual(-1, self.pump.fileno())


def _segments(sock: socket.socket) -> int:
    """How many segments have come (`tcpi_segs_in` of Linux)."""
    return int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)[140:], sys.byteorder)


class _Both:
    """A reactor's descriptors with a clock's time."""

    def __init__(self, reactor: Any, clock: Clock) -> None:
        self.addReader = reactor.addReader
        self.removeReader = reactor.removeReader
        self.callLater = clock.callLater
        self.seconds = clock.seconds


def _nowhere() -> Any:
    from twisted.internet.address import IPv4Address

    return IPv4Address("TCP", "127.0.0.1", 1)
