"""What every road must do, over real loopback sockets and the real reactor. Test cases mix these in."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint, ITCPTransport
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from gateway.interfaces import IRoad
from tests.transport.connecting import ConnectingConformance
from tests.transport.peers import HalfCloser, Pieces, Recorder, Serving, Source

__all__ = ["RoadConformance"]


class RoadConformance(ConnectingConformance):
    """Over TCP and TLS alike. Subclasses provide ``make_road``, ``server_tls`` and ``client_tls``."""

    timeout = 8
    server_tls: Any = None
    client_tls: Any = None

    def make_road(self, reactor: Any) -> Any:
        raise NotImplementedError

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = reactor
        self.road = self.make_road(reactor)
        self.addCleanup(self.road.stop)
        self.ends: list[Recorder] = []
        self.addCleanup(self._finish)

    async def _finish(self) -> None:
        for end in self.ends:
            if end.transport is not None and end.reason is None:
                end.transport.abortConnection()
        for end in self.ends:
            if end.transport is not None and end.reason is None:
                await end.lost

    async def listen(self, serving: Serving, host: str = "127.0.0.1") -> Any:
        port = await self.road.server(host, 0, self.server_tls).listen(serving)
        self.addCleanup(port.stopListening)
        return port

    async def pair(self, server: Any = Recorder, client: Any = Recorder) -> tuple[Any, Any]:
        """A client's and a server's protocol that are connected."""
        serving = Serving(server)
        port = await self.listen(serving)
        calling = Serving(client)
        mine = await self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(calling)
        theirs = await serving.next()
        self.ends += [mine, theirs]
        return mine, theirs

    async def half_closed(self, by_server: bool = False) -> tuple[Any, Any]:
        """Two ends, of which the first has made a request and closed its direction."""
        pair = await self.pair(server=HalfCloser, client=HalfCloser)
        mine, theirs = pair[::-1] if by_server else pair
        mine.transport.write(b"request")
        mine.call("loseWriteConnection")
        mine.transport.write(b"ignored")
        self.assertFalse(mine.reentered)
        await theirs.read_lost
        await mine.write_lost
        self.assertEqual(b"request", theirs.data)
        return mine, theirs

    async def answered(self, mine: Any, theirs: Any) -> None:
        """The second goes on to speak, and ends."""
        theirs.transport.write(b"response" * 10_000)
        await mine.received(80_000)
        theirs.transport.loseConnection()
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        await mine.lost

    def turns(self, seconds: float = 0.0) -> Deferred[None]:
        """Let the reactor run."""
        return deferLater(self.reactor, seconds, lambda: None)

    async def test_interfaces(self) -> None:
        mine, theirs = await self.pair()
        verifyObject(IRoad, self.road)
        verifyObject(IStreamServerEndpoint, self.road.server("127.0.0.1", 0))
        verifyObject(IStreamClientEndpoint, self.road.client("127.0.0.1", 1))
        verifyObject(ITCPTransport, mine.transport)
        verifyObject(ITCPTransport, theirs.transport)
        verifyObject(IListeningPort, await self.listen(Serving()))

    async def test_echo(self) -> None:
        mine, theirs = await self.pair()
        mine.transport.write(b"hello")
        self.assertEqual(b"hello", await theirs.received(5))
        theirs.transport.writeSequence([b"good", b"bye"])
        self.assertEqual(b"goodbye", await mine.received(7))

    async def test_server_speaks_first(self) -> None:
        """Data that are there before anybody watches the socket."""

        class Greeter(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"welcome")

        mine, _ = await self.pair(server=Greeter)
        self.assertEqual(b"welcome", await mine.received(7))

    async def test_client_speaks_and_closes_at_once(self) -> None:
        """Data and the end in one edge: both are told, in this order."""

        class Brief(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"x" * 1000)
                self.transport.loseConnection()

        _, theirs = await self.pair(client=Brief)
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        self.assertEqual(1000, theirs.count)

    async def test_addresses(self) -> None:
        mine, theirs = await self.pair()
        self.assertEqual(mine.transport.getHost(), theirs.transport.getPeer())
        self.assertEqual(mine.transport.getPeer(), theirs.transport.getHost())
        self.assertEqual("127.0.0.1", theirs.addr.host)
        self.assertEqual(mine.transport.getHost().port, theirs.addr.port)

    async def test_options(self) -> None:
        mine, theirs = await self.pair()
        for end in (mine, theirs):
            self.assertTrue(end.transport.getTcpNoDelay())
            end.transport.setTcpNoDelay(False)
            self.assertFalse(end.transport.getTcpNoDelay())
            end.transport.setTcpKeepAlive(True)
            self.assertTrue(end.transport.getTcpKeepAlive())

    async def test_large_both_ways(self) -> None:
        mine, theirs = await self.pair()
        up, down = bytes(range(256)) * 12_000, bytes(range(255, -1, -1)) * 12_000
        mine.transport.write(up)
        theirs.transport.write(down)
        self.assertTrue(await theirs.received(len(up)) == up)
        self.assertTrue(await mine.received(len(down)) == down)

    async def test_many_small_writes_arrive_in_order(self) -> None:
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        expected = b"".join(b"%06d" % number for number in range(50_000))
        for start in range(0, len(expected), 600):
            mine.transport.write(expected[start : start + 600])
        big = b"z" * 5_000_000
        mine.transport.write(big)
        mine.transport.write(b"end")
        theirs.transport.resumeProducing()
        self.assertTrue(await theirs.received(len(expected) + len(big) + 3) == expected + big + b"end")

    async def test_slow_reader_pauses_the_producer(self) -> None:
        """Nobody reads: the producer is paused and memory stays bounded; then everything arrives."""
        mine, theirs = await self.pair()
        theirs.keep = False
        producer = Source(mine.transport, 64 * 1024, 24_000_000)
        theirs.transport.pauseProducing()
        mine.transport.registerProducer(producer, True)
        producer.run()
        while not producer.paused:
            await self.turns()
            producer.run()
        self.assertLess(producer.sent, producer.total)
        self.assertGreater(mine.transport.queued, 0)
        self.assertLess(mine.transport.queued, 256 * 1024)
        theirs.transport.resumeProducing()
        await theirs.received(producer.total)
        self.assertLess(producer.most_queued, 512 * 1024)
        self.assertEqual(producer.total, theirs.count)
        self.assertGreater(producer.resumes, 0)
        mine.transport.unregisterProducer()

    async def test_relay_with_a_slow_end(self) -> None:
        """Two transports that are each other's producers, as in the gateway."""
        mine, theirs = await self.pair()
        third, fourth = await self.pair()
        fourth.keep = False
        theirs.dataReceived = third.transport.write
        theirs.transport.registerProducer(third.transport, True)
        third.transport.registerProducer(theirs.transport, True)
        fourth.transport.pauseProducing()
        source = Source(mine.transport, 64 * 1024, 24_000_000)
        mine.transport.registerProducer(source, True)
        source.run()
        while not source.paused:
            await self.turns()
        self.assertLess(third.transport.queued, 768 * 1024)
        fourth.transport.resumeProducing()
        await fourth.received(source.total)
        for end in (mine, theirs, third):
            end.transport.unregisterProducer()

    async def test_pull_producer(self) -> None:
        mine, theirs = await self.pair()
        pieces = [bytes([number]) * 1000 for number in range(200)]
        puller = Pieces(mine.transport, list(pieces))
        mine.transport.registerProducer(puller, False)
        mine.transport.loseConnection()
        await theirs.lost
        self.assertEqual(b"".join(pieces), theirs.data)

    async def test_second_producer_is_refused(self) -> None:
        mine, _ = await self.pair()
        mine.transport.registerProducer(Source(mine.transport, 1, 0), True)
        self.assertRaises(RuntimeError, mine.transport.registerProducer, object(), True)
        mine.transport.unregisterProducer()

    async def test_pause_and_resume_lose_nothing(self) -> None:
        class Choosy(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()
                reactor.callLater(0, self.transport.resumeProducing)

        reactor = self.reactor
        mine, theirs = await self.pair(server=Choosy)
        payload = bytes(range(251)) * 8_000
        mine.transport.write(payload)
        mine.transport.loseConnection()
        await theirs.lost
        self.assertTrue(theirs.data == payload)

    async def test_pause_inside_data_received_holds(self) -> None:
        class Once(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                self.transport.pauseProducing()

        mine, theirs = await self.pair(server=Once)
        mine.transport.write(b"a" * 2_000_000)
        await theirs.received(1)
        seen = theirs.count
        await self.turns(0.02)
        self.assertEqual(seen, theirs.count)

    async def test_lose_connection_flushes(self) -> None:
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        payload = b"0123456789" * 900_000
        mine.transport.write(payload)
        mine.call("loseConnection")
        mine.transport.write(b"too late")
        await self.turns()
        theirs.transport.resumeProducing()
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        self.assertIsInstance(await mine.lost, ConnectionDone)
        self.assertTrue(theirs.data == payload)
        self.assertFalse(mine.reentered)

    async def test_lose_connection_with_a_streaming_producer(self) -> None:
        """A streaming producer does not hold up the end, and is told."""
        mine, theirs = await self.pair()
        source = Source(mine.transport, 1, 0)
        mine.transport.registerProducer(source, True)
        mine.transport.write(b"last")
        mine.transport.loseConnection()
        await theirs.lost
        await mine.lost
        self.assertEqual(b"last", theirs.data)
        self.assertTrue(source.stopped)

    async def test_what_is_not_acknowledged_is_known(self) -> None:
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        mine.transport.write(b"x" * 10_000_000)
        await self.turns(0.01)
        self.assertGreater(mine.transport.unacknowledged, 0)
        theirs.transport.resumeProducing()
        await theirs.received(10_000_000)
        while mine.transport.unacknowledged:
            await self.turns()
        mine.transport.abortConnection()
        await self.turns()
        self.assertEqual(0, mine.transport.unacknowledged)
        await mine.lost
        self.assertEqual(0, mine.transport.unacknowledged)

    async def test_abort(self) -> None:
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        mine.transport.write(b"x" * 10_000_000)
        mine.call("abortConnection")
        self.assertFalse(mine.reentered)
        self.assertIsInstance(await mine.lost, ConnectionAborted)
        theirs.transport.resumeProducing()
        self.assertIsInstance(await theirs.lost, ConnectionLost)

    async def test_peer_resets(self) -> None:
        mine, theirs = await self.pair()
        theirs.transport.abortConnection()
        self.assertIsInstance(await mine.lost, ConnectionLost)

    async def test_write_into_a_reset(self) -> None:
        """A write that fails is not an exception of the caller, and the loss is told later."""
        mine, theirs = await self.pair()
        theirs.transport.abortConnection()
        await theirs.lost
        mine.call("write", b"x" * 100)
        mine.call("write", b"y" * 100)
        self.assertFalse(mine.reentered)
        self.assertIsInstance(await mine.lost, ConnectionLost)

    async def test_nothing_happens_after_the_end(self) -> None:
        mine, theirs = await self.pair()
        mine.transport.loseConnection()
        await mine.lost
        await theirs.lost
        for end in (mine, theirs):
            transport = end.transport
            transport.write(b"ignored")
            transport.writeSequence([b"ignored"])
            transport.pauseProducing()
            transport.resumeProducing()
            transport.loseConnection()
            transport.abortConnection()
        await self.turns(0.01)
        self.assertEqual(["made", "lost"], mine.events)
        self.assertEqual(["made", "lost"], theirs.events)

    async def test_producer_registered_after_the_end_is_stopped(self) -> None:
        mine, _ = await self.pair()
        mine.transport.abortConnection()
        await mine.lost
        source = Source(mine.transport, 1, 0)
        mine.transport.registerProducer(source, True)
        self.assertTrue(source.stopped)

    async def test_many_connections(self) -> None:
        serving = Serving(_Echo)
        port = await self.listen(serving)
        count = 60 if self.server_tls is not None else 200
        endpoint = self.road.client("127.0.0.1", port.getHost().port, self.client_tls, timeout=15)
        clients = await gatherResults([endpoint.connect(Serving()) for _ in range(count)])
        self.ends += clients
        for number, client in enumerate(clients):
            client.transport.write(b"%05d" % number * 100)
        for number, client in enumerate(clients):
            self.assertEqual(b"%05d" % number * 100, await client.received(500))
        self.ends += serving.built

    async def test_exception_in_data_received(self) -> None:
        """It is logged and costs that connection only."""

        class Faulty(Recorder):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError("from the protocol")

        mine, theirs = await self.pair(server=Faulty)
        other, witness = await self.pair()
        mine.transport.write(b"boom")
        await mine.lost
        await theirs.lost
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        other.transport.write(b"still here")
        await witness.received(10)

    async def test_exception_in_connection_made(self) -> None:
        class Faulty(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                raise ZeroDivisionError("from the protocol")

        mine, theirs = await self.pair(server=Faulty)
        await mine.lost
        await theirs.lost
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    async def test_exception_in_connection_lost(self) -> None:
        class Faulty(Recorder):
            def connectionLost(self, reason: Any = None) -> None:
                super().connectionLost(reason)
                raise ZeroDivisionError("from the protocol")

        mine, theirs = await self.pair(server=Faulty)
        other, witness = await self.pair()
        mine.transport.loseConnection()
        await theirs.lost
        await self.turns()
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        other.transport.write(b"still here")
        await witness.received(10)

    async def test_protocol_can_be_replaced(self) -> None:
        mine, theirs = await self.pair()
        mine.transport.write(b"one")
        await theirs.received(3)
        successor = Recorder()
        successor.makeConnection(theirs.transport)
        theirs.transport.protocol = successor
        self.ends.remove(theirs)
        self.ends.append(successor)
        mine.transport.write(b"two")
        self.assertEqual(b"two", await successor.received(3))
        self.assertEqual(b"one", theirs.data)

    async def test_timers_run_under_flood(self) -> None:
        """A connection that always has something to read does not keep the reactor from its timers."""
        mine, theirs = await self.pair()
        theirs.keep = False
        source = Source(mine.transport, 256 * 1024, 1 << 40)
        mine.transport.registerProducer(source, True)
        self.reactor.callLater(0, source.run)
        for _ in range(20):
            before = self.reactor.seconds()
            await self.turns(0.001)
            self.assertLess(self.reactor.seconds() - before, 1.0)
        await theirs.received(2_000_000)
        source.paused = True
        mine.transport.unregisterProducer()


class _Echo(Recorder):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)
