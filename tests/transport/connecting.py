"""What every road must do when connections are made and refused: the part of the conformance tests about endpoints."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)

from tests.transport.peers import Recorder, Serving, exhausted, silent_port

__all__ = ["ANY_END", "ConnectingConformance"]

ANY_END = (ConnectionDone, ConnectionLost, ConnectionAborted)


class ConnectingConformance:
    """Endpoints, ports and factories; a base of `tests.transport.conformance.RoadConformance`."""

    reactor: Any
    road: Any
    ends: list[Recorder]
    server_tls: Any = None
    client_tls: Any = None

    def make_room(self) -> bool:
        """What the road is given as this."""
        return False

    async def test_descriptors_have_run_out(self) -> None:
        """Where room can be made, nobody notices; else the connection fails, and says why."""
        serving = Serving()
        port = await self.listen(serving)
        where = "127.0.0.1", port.getHost().port, self.client_tls
        mine, theirs = await self.pair()  # whatever is opened once, is open
        with exhausted() as plugs:

            def make_room() -> bool:
                for _ in range(2):  # each end needs one
                    os.close(plugs.pop())
                return True

            self.make_room = make_room
            mine = await self.road.client(*where).connect(Serving())
            theirs = await serving.next()
            self.ends += [mine, theirs]
            del self.make_room
            error = await self.assertFailure(self.road.client(*where).connect(Serving()), ConnectError)
        self.assertEqual(errno.EMFILE, error.osError)

    async def test_factory_refuses(self) -> None:
        port = await self.listen(Serving(lambda: None))
        calling = Serving()
        try:
            mine = await self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(calling)
        except Exception as error:
            self.assertIsInstance(error, (ConnectError, *ANY_END))
            return
        self.assertIsInstance(await mine.lost, ANY_END)

    async def test_factory_raises(self) -> None:
        def make() -> Any:
            raise ZeroDivisionError("from the factory")

        port = await self.listen(Serving(make))
        mine = await self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(Serving())
        await mine.lost
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    async def test_factories_are_started_and_stopped(self) -> None:
        serving, calling = Serving(), Serving()
        port = await self.listen(serving)
        self.assertEqual(1, serving.running)
        mine = await self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(calling)
        theirs = await serving.next()
        self.assertEqual(1, calling.running)
        mine.transport.loseConnection()
        await gatherResults([mine.lost, theirs.lost])
        await self.turns()
        self.assertEqual(0, calling.running)
        await port.stopListening()
        self.assertEqual(0, serving.running)

    async def test_stopping_the_port_keeps_connections(self) -> None:
        serving = Serving()
        port = await self.listen(serving)
        number = port.getHost().port
        mine = await self.road.client("127.0.0.1", number, self.client_tls).connect(Serving())
        theirs = await serving.next()
        self.ends += [mine, theirs]
        await port.stopListening()
        await maybeDeferred(port.stopListening)
        await self.assertFailure(
            self.road.client("127.0.0.1", number, self.client_tls).connect(Serving()), ConnectionRefusedError
        )
        mine.transport.write(b"still here")
        await theirs.received(10)

    async def test_cancel(self) -> None:
        hole = silent_port(self)
        calling = Serving()
        connecting = self.road.client("127.0.0.1", hole, self.client_tls).connect(calling)
        connecting.cancel()
        error = await self.assertFailure(connecting, ConnectingCancelledError)
        self.assertEqual(hole, error.address.port)
        await self.turns()
        self.assertEqual(0, calling.running)

    async def test_cancel_while_the_name_is_resolved(self) -> None:
        connecting = self.road.client("no-such-host.invalid", 80, self.client_tls).connect(Serving())
        connecting.cancel()
        await self.assertFailure(connecting, ConnectingCancelledError)
        await self.turns(0.05)

    async def test_cancel_in_the_factory(self) -> None:
        """The factory changes its mind while it is asked."""

        def make() -> Recorder:
            connecting.cancel()
            return Recorder()

        serving = Serving()
        port = await self.listen(serving)
        connecting = self.road.client("127.0.0.1", port.getHost().port, self.client_tls).connect(Serving(make))
        await self.assertFailure(connecting, ConnectingCancelledError)
        await self.turns(0.02)
        self.assertEqual([], [built for built in serving.built if built.reason is None])

    async def test_connect_times_out(self) -> None:
        endpoint = self.road.client("127.0.0.1", silent_port(self), self.client_tls, timeout=0.05)
        error = await self.assertFailure(endpoint.connect(Serving()), TimeoutError)
        self.assertIsInstance(error, ConnectError)
        self.assertIn("0.05 s", str(error))

    async def test_connect_refused(self) -> None:
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
        free.close()
        calling = Serving()
        endpoint = self.road.client("127.0.0.1", number, self.client_tls)
        await self.assertFailure(endpoint.connect(calling), ConnectionRefusedError)
        self.assertEqual(0, calling.running)

    async def test_names_are_resolved(self) -> None:
        serving = Serving()
        port = await self.listen(serving)
        mine = await self.road.client("localhost", port.getHost().port, self.client_tls).connect(Serving())
        self.ends += [mine, await serving.next()]
        self.assertEqual("127.0.0.1", mine.transport.getPeer().host)

    async def test_name_without_address(self) -> None:
        endpoint = self.road.client("no-such-host.invalid", 80, self.client_tls)
        await self.assertFailure(endpoint.connect(Serving()), DNSLookupError)
