"""How a transport ends, each implementation. Socket pairs, no reactor."""

from __future__ import annotations

import socket
from typing import Any
from unittest import mock

from twisted.internet.error import ConnectionAborted, ConnectionDone

from gateway.transport.loop import Loop
from gateway.transport.stream import Stream
from tests.transport.loops import TURN, LoopCase
from tests.twins import of_each


class EndingTests(LoopCase):
    """A stream whose rare methods note that they were called, and who is told of its end."""

    def kinds(self) -> tuple[Any, Any]:
        return Loop, Stream

    def setUp(self) -> None:
        super().setUp()
        self.loop.stopped = False
        self.told: list[Any] = []
        self.fails = False

    def made(self) -> tuple[Any, socket.socket]:
        told = self.told

        class Ended(Stream):
            def _note_unread(self, events: int) -> None:
                told.append("unread")

            def _half_close(self) -> None:
                told.append("half close")

            def _end_failed(self, error: Exception) -> None:
                told.append(error)

            def _enqueue(self, data: Any, sent: int = 0) -> None:
                told.append("enqueue")

        ours, theirs = socket.socketpair()
        self._socks += [ours, theirs]
        ours.setblocking(False)
        theirs.setblocking(False)
        stream: Any = Ended(self.loop, ours)
        stream.protocol = stream._factory = self
        self.loop.add(ours.fileno(), stream)
        return stream, theirs

    # As protocol, producer and factory.

    def connectionLost(self, reason: Any) -> None:
        self.told.append(type(reason.value))
        if self.fails:
            raise ZeroDivisionError

    def stopProducing(self) -> None:
        self.told.append("stop")

    def doStop(self) -> None:
        self.told.append("factory")

    def test_closed(self) -> None:
        """The protocol hears of it when the events at hand are done, once; nothing is kept."""
        stream, theirs = self.made()
        stream._producer, stream._streaming = mock.Mock(stopProducing=self.stopProducing), True
        stream.write(b"last")
        stream.loseConnection()
        stream.loseConnection()
        self.assertEqual((False, True, []), (stream.connected, stream.disconnecting, self.told))
        self.assertEqual([], self.loop.riders())
        self.assertEqual(b"last", theirs.recv(10))
        self.loop.turn(TURN)
        self.assertEqual(["stop", ConnectionDone, "factory"], self.told)
        self.assertEqual((None, None), (stream._producer, stream._factory))
        self.assertIsNot(self, stream.protocol)
        self.assertEqual(b"", theirs.recv(10))
        stream.loseConnection()
        self.loop.turn(TURN)
        self.assertEqual(3, len(self.told))

    def test_a_protocol_that_feeds_itself(self) -> None:
        """It hears of the end once."""
        stream, _ = self.made()
        stream._producer, stream._streaming = self, True
        stream.loseConnection()
        self.loop.turn(TURN)
        self.assertEqual([ConnectionDone, "factory"], self.told)

    def test_those_of_a_round_are_closed_before_one_is_told(self) -> None:
        """Else their peers would be woken one by one."""
        pairs = [self.made() for _ in range(2)]
        ends: list[Any] = []
        for stream, _theirs in pairs:
            stream.loseConnection()
        self.patch(self, "connectionLost", lambda reason: ends.append([theirs.recv(1) for _, theirs in pairs]))
        self.loop.turn(TURN)
        self.assertEqual([[b"", b""]] * 2, ends)

    def test_other_reasons(self) -> None:
        stream, _ = self.made()
        stream._lose(ConnectionAborted())
        stream._lose(ConnectionDone())
        self.loop.turn(TURN)
        self.assertEqual([ConnectionAborted, "factory"], self.told)

    def test_the_protocol_raises(self) -> None:
        self.fails = True
        stream, _ = self.made()
        stream.loseConnection()
        self.loop.turn(TURN)
        lost, error, factory = self.told
        self.assertEqual((ConnectionDone, "factory"), (lost, factory))
        self.assertIsInstance(error, ZeroDivisionError)

    def test_what_waits_is_sent_first(self) -> None:
        """A queue, or a pull producer, keeps it open."""
        stream, _ = self.made()
        stream._queue = [b"queued"]
        stream.loseConnection()
        self.assertTrue(stream.connected)
        stream._queue = None
        stream._producer = self
        stream._finish_if_flushed()
        self.assertTrue(stream.connected)
        stream._producer = None
        stream._finish_if_flushed()
        self.assertFalse(stream.connected)

    def test_lost_with_a_queue(self) -> None:
        stream, _ = self.made()
        stream._queue, stream.queued = [b"queued"], 6
        stream._lose(ConnectionAborted())
        self.assertEqual((None, 0, 6), (stream._queue, stream.queued, stream.unsent))

    def test_the_write_side_only(self) -> None:
        stream, _ = self.made()
        stream._closing_write = True
        stream._finish_if_flushed()
        stream._write_closed = True
        stream._finish_if_flushed()
        self.assertEqual((["half close"], True), (self.told, stream.connected))

    def test_what_was_not_read_is_looked_at(self) -> None:
        """It is discarded while the last data are being sent."""
        stream, theirs = self.made()
        stream._queue, stream._paused, stream._deaf = [b"queued"], True, True
        stream.loseConnection()
        self.loop.turn(TURN)
        self.assertEqual(["unread"], self.told[:1])

    def test_a_peer_that_may_send_more_makes_it_linger(self) -> None:
        """Unless it was read to its end, or has kept its word that it sends no more."""
        for unread, attribute, lingers in (
            (b"", "", True), (b"more", "", True), (b"", "_read_closed", False), (b"more", "_read_closed", False),
            (b"", "quiet", False), (b"more", "quiet", True),
        ):  # fmt: skip
            stream, theirs = self.made()
            lingering: list[Any] = []
            self.loop.deadlines = _Deadlines(lingering)
            theirs.send(unread)
            if attribute:
                setattr(stream, attribute, True)
            stream._deaf = True
            stream.loseConnection()
            self.loop.turn(TURN)
            self.assertEqual(lingers, bool(lingering), (unread, attribute))
            for rider in lingering:
                rider.expired(0.0)

    def test_methods_of_a_subclass(self) -> None:
        """As TLS has them: its own goodbye, its own way to close."""
        stream, _ = self.made()
        told = self.told

        class Other(type(stream)):  # type: ignore[misc]
            def _say_goodbye(self) -> None:
                told.append("goodbye")
                super()._say_goodbye()

            def _close_socket(self) -> None:
                told.append("close")
                super()._close_socket()

        ours, theirs = socket.socketpair()
        self._socks += [ours, theirs]
        ours.setblocking(False)
        other: Any = Other(self.loop, ours)
        other.protocol = self
        self.loop.add(ours.fileno(), other)
        other.loseConnection()
        self.loop.turn(TURN)
        self.assertEqual(["goodbye", "close", ConnectionDone], told)


class _Deadlines:
    """Notes who lingers."""

    def __init__(self, noted: list[Any]) -> None:
        self._noted = noted

    def now(self) -> float:
        return 0.0

    def set(self, entry: Any, when: float) -> None:
        self._noted.append(entry)

    def forget(self, entry: Any) -> None:
        pass


of_each(globals())
