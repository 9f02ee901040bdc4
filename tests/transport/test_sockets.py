"""Sockets that are made for transports, each implementation."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.transport import sockets
from gateway.transport.loop import Loop
from gateway.transport.sockets import accept, begin, reached
from gateway.transport.stream import Stream
from tests.twins import of_each


class Case(SynchronousTestCase):
    """Handles are closed at the end."""

    def object_of(self, handle: Any) -> socket.socket:
        sock = sockets.socket_of(handle)
        self.addCleanup(sock.close)
        return sock

    def listening(self, host: str = "127.0.0.1") -> socket.socket:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, 0), family=family)
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        listening.setblocking(False)
        self.addCleanup(listening.close)
        return listening

    def assertReady(self, sock: socket.socket) -> None:
        """It neither blocks nor is inherited."""
        self.assertTrue(fcntl.fcntl(sock.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK)
        self.assertFalse(sock.get_inheritable())


class MakingTests(Case):
    """`accept`, `begin`, `reached`."""

    def test_both_ends_of_a_connection(self) -> None:
        for host in ("127.0.0.1", "::1"):
            listening = self.listening(host)
            self.assertIsNone(accept(listening))
            handle, code = begin(host, listening.getsockname()[1])
            self.assertEqual(0, code)
            self.assertEqual(0, reached(handle))
            mine = self.object_of(handle)
            found = accept(listening)
            assert found is not None
            theirs = self.object_of(found[0])
            self.assertEqual(mine.getsockname(), found[1])
            self.assertReady(mine)
            self.assertReady(theirs)
            self.assertTrue(mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            self.assertIsNone(accept(listening))

    def test_refused(self) -> None:
        with self.listening() as listening:
            port = listening.getsockname()[1]
        handle, code = begin("127.0.0.1", port)
        self.assertEqual(errno.ECONNREFUSED, code or reached(self.object_of(handle)))

    def test_not_connected_yet(self) -> None:
        self.assertEqual(-1, reached(self.object_of(socket.socket())))

    def test_an_address_with_a_scope(self) -> None:
        """Where the interface is not there that is an error of the address, like others that no socket takes."""
        self.assertRaises(OSError, begin, "fe80::1%nowhere0", 1)

    def test_what_is_no_listening_socket(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.assertRaises(OSError, accept, ours)


class OwnershipTests(Case):
    """What a stream does with its descriptor."""

    def pair(self) -> tuple[Any, socket.socket]:
        listening = self.listening()
        theirs = socket.create_connection(listening.getsockname())
        self.addCleanup(theirs.close)
        theirs.settimeout(2)
        found = accept(listening)
        assert found is not None
        return Stream(Loop(), found[0], found[1]), theirs

    def test_it_closes_it(self) -> None:
        stream, theirs = self.pair()
        stream._close()
        stream._close()
        self.assertEqual(b"", theirs.recv(1))

    def test_also_when_the_object_was_asked_for(self) -> None:
        stream, theirs = self.pair()
        self.assertEqual(theirs.getsockname(), stream._sock.getpeername())
        self.assertIs(stream._sock, stream._sock)
        stream._close()
        self.assertEqual(b"", theirs.recv(1))
        self.assertRaises(OSError, lambda: stream._sock.getpeername())

    def test_also_when_it_goes_away(self) -> None:
        stream, theirs = self.pair()
        del stream
        self.assertEqual(b"", theirs.recv(1))

    def test_a_closed_one_is_not_asked_any_more(self) -> None:
        stream, _ = self.pair()
        stream._close()
        self.assertRaises(OSError, lambda: stream._sock.getpeername())

    def test_reset(self) -> None:
        stream, theirs = self.pair()
        stream._reset()
        stream._close()
        self.assertRaises(ConnectionResetError, theirs.recv, 1)

    def test_whether_the_peer_has_left(self) -> None:
        stream, theirs = self.pair()
        theirs.send(b"x")
        self.assertFalse(stream.peer_left)
        self.assertEqual(b"x", stream._sock.recv(1))
        self.assertFalse(stream.peer_left)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        self.assertTrue(stream.peer_left)
        stream.connected = False
        self.assertTrue(stream.peer_left)

    def test_what_it_says_of_itself(self) -> None:
        stream, theirs = self.pair()
        self.assertEqual(theirs.getsockname(), stream._peer)
        for name in ("_local", "_queue", "_producer", "_factory", "_reason", "_write_error"):
            self.assertIsNone(getattr(stream, name))
        for name in ("disconnecting", "quiet", "_paused", "_more", "_closing_write", "_streaming", "_producer_paused"):
            self.assertIs(False, getattr(stream, name))
            setattr(stream, name, True)
            self.assertIs(True, getattr(stream, name))


of_each(globals())
