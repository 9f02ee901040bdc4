"""`gateway.workers.link`: sockets that are handed over."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.link import receive_sockets, send_sockets


class SocketsTests(SynchronousTestCase):
    """`send_sockets` and `receive_sockets`."""

    def setUp(self) -> None:
        self.open = ExitStack()
        self.addCleanup(self.open.close)
        here, self.there = socket.socketpair()
        self.here = self.open.enter_context(here)
        self.open.enter_context(self.there)
        self.sock = self.open.enter_context(socket.socket())
        self.sock.bind(("127.0.0.1", 0))

    def receive(self, count: int) -> list[int]:
        found = receive_sockets(self.there, count)
        for number in found:
            self.addCleanup(os.close, number)
        return found

    def test_many(self) -> None:
        """More than fit into one message, in order; each is the socket that was sent."""
        send_sockets(self.here, [self.sock] * 450)
        found = self.receive(450)
        self.assertEqual(450, len(found))
        with socket.socket(fileno=os.dup(found[-1])) as last:
            self.assertEqual(self.sock.getsockname(), last.getsockname())

    def test_none(self) -> None:
        """Nothing is sent, and nothing waited for."""
        send_sockets(self.here, [])
        self.assertEqual([], self.receive(0))

    def test_too_few(self) -> None:
        send_sockets(self.here, [self.sock])
        self.here.close()
        self.assertRaises(OSError, self.receive, 2)
