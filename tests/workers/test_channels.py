"""`gateway.workers.channels`: connections on their way."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from gateway.workers.channels import channel, pass_on, receive

PLACE = ("::", 443, "")


class ChannelTests(SynchronousTestCase):
    """`channel`, `pass_on` and `receive`."""

    def setUp(self) -> None:
        self.receiving, self.sending = channel()
        self.near, self.far = socket.socketpair()
        for each in (self.receiving, self.sending, self.near, self.far):
            self.addCleanup(each.close)

    def received(self) -> socket.socket:
        place, sock = receive(self.receiving)
        assert sock is not None
        self.addCleanup(sock.close)
        self.assertEqual(PLACE, place)
        return sock

    def test_connections(self) -> None:
        """One after the other, each whole, with what nobody has read of it."""
        self.far.send(b"hello")
        self.assertTrue(pass_on(self.sending, PLACE, self.near))
        self.assertTrue(pass_on(self.sending, PLACE, self.sending))
        self.near.close()
        first = self.received()
        self.assertEqual(b"hello", first.recv(100))
        first.send(b"yes")
        self.assertEqual(b"yes", self.far.recv(100))
        self.assertEqual(socket.SOCK_SEQPACKET, self.received().type)
        self.assertRaises(BlockingIOError, receive, self.receiving)

    def test_full(self) -> None:
        """Nobody waits for room: there will be some when what waits has been taken."""
        count = 0
        while pass_on(self.sending, PLACE, self.near):
            count += 1
            self.assertLess(count, 100_000)
        self.assertGreater(count, 10)
        for _ in range(count):
            self.received().close()
        self.assertTrue(pass_on(self.sending, PLACE, self.near))

    def test_nobody_receives(self) -> None:
        self.receiving.close()
        self.assertFalse(pass_on(self.sending, PLACE, self.near))

    def test_nobody_sends(self) -> None:
        """That is known when what waited has been taken."""
        pass_on(self.sending, PLACE, self.near)
        self.sending.close()
        self.received()
        self.assertRaises(EOFError, receive, self.receiving)

    def test_a_closed_connection(self) -> None:
        self.near.close()
        self.assertFalse(pass_on(self.sending, PLACE, self.near))

    def test_no_descriptor_left(self) -> None:
        """The kernel drops what it cannot give; the message comes all the same (unix(7), SCM_RIGHTS)."""
        self.sending.send(b'["::", 443, ""]')
        self.assertEqual((PLACE, None), receive(self.receiving))
