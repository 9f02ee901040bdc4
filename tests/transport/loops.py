"""A loop and streams that note what they are told, on socket pairs and without a reactor."""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["TURN", "LoopCase", "Rider"]

TURN = 0.05
"""Seconds that a turn may last."""


def _recording_loop(base: Any) -> Any:
    """A loop that notes what it is told."""

    class Recording(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.told: list[Any] = []

        def _opened(self) -> None:
            self.told.append("opened")

        def _closed(self) -> None:
            self.told.append("closed")

        def _wake(self) -> None:
            self.told.append("wake")

        def _rider_failed(self, rider: Any, error: Exception) -> None:
            self.told.append((rider, error))

        def _call_failed(self, error: Exception) -> None:
            self.told.append(error)

    return Recording()


def _recording_stream(base: Any, loop: Any) -> tuple[Any, socket.socket]:
    """A stream that is its own protocol and notes what it is told, and the peer's socket."""

    class Recording(base):  # type: ignore[misc]
        def __init__(self, loop: Any, sock: socket.socket) -> None:
            super().__init__(loop, sock)
            self.protocol = self
            self.told: list[Any] = []
            self.answer: Any = None

        def dataReceived(self, data: bytes) -> None:
            self.told.append(data)
            if self.answer is not None:
                self.answer(data)

        def _pull(self) -> None:
            self.told.append("pull")

        def _flush(self) -> None:
            self.told.append("flush")

        def _enqueue(self, data: Any, sent: int = 0) -> None:
            self.told.append(("enqueue", bytes(data)[sent:]))

        def _note_unread(self, events: int) -> None:
            self.told.append(("unread", events & select.EPOLLIN))

        def _read_ended(self) -> None:
            self.told.append("ended")

        def _protocol_raised(self, error: Exception) -> None:
            self.told.append(error)

        def _write_failed(self, error: Exception) -> None:
            self.told.append(error)

        def _lose(self, reason: Exception) -> None:
            self.told.append(reason)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    stream = Recording(loop, ours)
    loop.add(ours.fileno(), stream)
    return stream, theirs


class Rider:
    """Something in the pump that is no stream."""

    waiting = False

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.act: Any = None

    def event(self, events: int) -> None:
        self.told.append(events)
        if self.act is not None:
            self.act()

    def again(self) -> None:
        self.told.append("again")
        if self.act is not None:
            self.act()


class LoopCase(SynchronousTestCase):
    """A loop; its streams are made by `stream`."""

    def kinds(self) -> tuple[Any, Any]:
        """The classes to test: `Loop` and `Stream`."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.loop = _recording_loop(self.kinds()[0])
        self._socks: list[socket.socket] = []
        self.addCleanup(self.close)

    def stream(self) -> tuple[Any, socket.socket]:
        stream, theirs = _recording_stream(self.kinds()[1], self.loop)
        self._socks += [stream._sock, theirs]
        return stream, theirs

    def close(self) -> None:
        for sock in self._socks:
            if sock.fileno() >= 0:
                self.loop.remove(sock.fileno())
                sock.close()

    def take(self, sock: socket.socket) -> bytes:
        data = b""
        try:
            while piece := sock.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass
        return data
