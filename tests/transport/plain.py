"""What roads must do over plain TCP only, in addition to `tests.transport.conformance`."""

from __future__ import annotations

import socket
import struct

from twisted.internet.defer import gatherResults
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost

from tests.transport.conformance import RoadConformance
from tests.transport.peers import HalfCloser, Serving

__all__ = ["PlainConformance"]


class PlainConformance(RoadConformance):
    """What only plain TCP can do, or where TLS makes no difference."""

    async def test_half_close_by_the_client(self) -> None:
        mine, theirs = await self.half_closed()
        theirs.transport.write(b"response" * 1000)
        theirs.transport.loseConnection()
        await theirs.lost
        await mine.read_lost
        self.assertEqual(8000, mine.count)
        mine.transport.loseConnection()
        await mine.lost
        self.assertEqual(["made", "write lost", "read lost", "lost"], mine.events)

    async def test_a_peer_that_has_left_is_seen_before_it_is_told(self) -> None:
        mine, theirs = await self.pair()
        self.assertFalse(mine.transport.peer_left)
        mine.transport.pauseProducing()
        theirs.transport.loseConnection()
        await theirs.lost
        self.assertTrue(mine.transport.peer_left)
        mine.transport.resumeProducing()
        await mine.lost

    async def test_truncate(self) -> None:
        """TCP has one end for all."""
        mine, theirs = await self.pair()
        theirs.transport.pauseProducing()
        mine.transport.write(b"x" * 9_000_000)
        mine.call("truncateConnection")
        await self.turns()
        theirs.transport.resumeProducing()
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        self.assertIsInstance(await mine.lost, ConnectionDone)
        self.assertEqual(9_000_000, theirs.count)

    async def test_half_close_waits_for_the_queue(self) -> None:
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        theirs.keep = False
        theirs.transport.pauseProducing()
        mine.transport.write(b"x" * 9_000_000)
        mine.transport.loseWriteConnection()
        theirs.transport.resumeProducing()
        await theirs.read_lost
        self.assertEqual(9_000_000, theirs.count)
        theirs.transport.write(b"thanks")
        await mine.received(6)

    async def test_end_of_file_without_half_close_ends_the_connection(self) -> None:
        mine, theirs = await self.pair(client=HalfCloser)
        mine.transport.loseWriteConnection()
        self.assertIsInstance(await theirs.lost, ConnectionDone)
        await mine.read_lost

    async def test_both_halves_closed_is_the_end(self) -> None:
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        mine.transport.loseWriteConnection()
        theirs.transport.loseWriteConnection()
        await gatherResults([mine.read_lost, theirs.read_lost, mine.write_lost, theirs.write_lost])
        for end in (mine, theirs):
            end.transport.loseConnection()
            self.assertIsInstance(await end.lost, ConnectionDone)

    async def test_half_closed_peer_resets(self) -> None:
        mine, theirs = await self.pair(server=HalfCloser, client=HalfCloser)
        mine.transport.loseWriteConnection()
        await theirs.read_lost
        mine.transport.abortConnection()
        theirs.transport.write(b"x")
        await self.turns(0.01)
        theirs.transport.write(b"x")
        self.assertIsInstance(await theirs.lost, ConnectionLost)

    async def test_early_response_before_a_reset_is_read(self) -> None:
        """A server that answers and leaves while we still send: the answer is not lost in our failing write."""
        listening = socket.socket()
        self.addCleanup(listening.close)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        calling = Serving()
        mine = await self.road.client("127.0.0.1", listening.getsockname()[1]).connect(calling)
        accepted, _ = listening.accept()
        mine.transport.write(b"a long request")
        accepted.sendall(b"early response")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        mine.call("write", b"more of the request")
        mine.call("write", b"more of the request")
        await mine.lost
        self.assertEqual(b"early response", mine.data)

    async def test_port_in_use(self) -> None:
        port = await self.listen(Serving())
        error = await self.assertFailure(
            self.road.server("127.0.0.1", port.getHost().port).listen(Serving()), CannotListenError
        )
        self.assertIn("already in use", str(error))

    async def test_listen_on_everything(self) -> None:
        serving = Serving()
        port = await self.listen(serving, host="")
        mine = await self.road.client("127.0.0.1", port.getHost().port).connect(Serving())
        theirs = await serving.next()
        self.ends += [mine, theirs]
        self.assertEqual("127.0.0.1", theirs.transport.getPeer().host)
        self.assertEqual("127.0.0.1", theirs.transport.getHost().host)
        self.assertEqual("127.0.0.1", theirs.addr.host)

    async def test_ipv6(self) -> None:
        serving = Serving()
        try:
            port = await self.listen(serving, host="::1")
        except CannotListenError as error:
            from twisted.trial.unittest import SkipTest

            raise SkipTest(f"no IPv6 here: {error}") from None
        mine = await self.road.client("::1", port.getHost().port).connect(Serving())
        theirs = await serving.next()
        self.ends += [mine, theirs]
        self.assertEqual("::1", theirs.transport.getPeer().host)
