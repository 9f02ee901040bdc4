"""The parent's part in resuming TLS sessions: the names in each worker's tickets, and the channels between workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from socket import socket

from gateway.workers.channels import channel, pass_on, receive

__all__ = ["Tickets"]


class Tickets:
    """``count``: how many workers have a channel; 0 where connections cannot be passed on. Workers count from 1.

    The parent keeps both ends of every channel: what waits in that of a worker that dies is not lost.
    """

    def __init__(self, count: int) -> None:
        self._channels = [channel() for _ in range(count)]
        self._names: dict[int, Sequence[str]] = {}

    def ends(self, number: int) -> list[socket]:
        """What worker ``number`` gets: of its own channel the receiving end, of the others the sending ones."""
        return [
            receiving if which == number else sending
            for which, (receiving, sending) in enumerate(self._channels, 1)
        ]  # fmt: skip

    def learn(self, number: int, names: Sequence[str]) -> None:
        """The names in the tickets that worker ``number`` issues, in place of those before."""
        self._names[number] = names

    def others(self, number: int) -> list[tuple[str, int]]:
        """The names of all but worker ``number``, with whose they are."""
        return [(name, which) for which, names in self._names.items() if which != number for name in names]

    def leave(self, number: int, heirs: Iterable[int]) -> None:
        """Worker ``number`` is gone, and its keys are: forget its names.

        What waits for it is passed on to one of ``heirs``, if there are any; else it waits for its successor.
        """
        self._names.pop(number, None)
        channels = [self._channels[heir - 1][1] for heir in heirs if self._channels]
        while channels:
            try:
                place, sock = receive(self._channels[number - 1][0])
            except BlockingIOError:
                return
            if sock is not None:
                any(pass_on(sending, place, sock) for sending in channels)  # the first that has room
                sock.close()

    def close(self) -> None:
        """Nobody is to pass anything on any more; what waits is cut. Idempotent."""
        for ends in self._channels:
            for end in ends:
                end.close()
        self._channels = []
