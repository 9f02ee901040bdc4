"""What a client does with a socket that is connected. A real loopback socket."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.error import ConnectError
from twisted.trial.unittest import TestCase

from gateway.transport import handshake
from gateway.transport.pump_road import PumpRoad
from tests.transport.peers import Serving, client_tls


class _Reset(socket.socket):
    """Its peer has gone, which nobody knew before something was sent."""

    def send(self, data: Any, flags: int = 0) -> int:
        raise ConnectionResetError(errno.ECONNRESET, "the peer reset the connection")


class PrefaceTests(TestCase):
    """What is sent before the handshake."""

    timeout = 8

    async def test_cannot_be_sent(self) -> None:
        """The attempt fails, and nothing of it stays in the pump."""
        from twisted.internet import reactor

        numbers: list[int] = []

        def reset(handle: Any) -> socket.socket:
            numbers.append(handle if isinstance(handle, int) else handle.detach())
            return _Reset(fileno=numbers[0])

        road = PumpRoad(reactor)
        self.addCleanup(road.stop)
        self.patch(handshake, "socket_of", reset)
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        tls = client_tls()._replace(preface=b"PROXY UNKNOWN\r\n")
        connecting = road.client("127.0.0.1", listening.getsockname()[1], tls).connect(Serving())
        error = await self.assertFailure(connecting, ConnectError)
        self.assertEqual(errno.ECONNRESET, error.osError)
        self.assertEqual([], road.pump.riders())
        self.assertRaises(OSError, os.fstat, numbers[0])
