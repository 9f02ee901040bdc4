"""Which clients a process lets in: as many as the configuration, its descriptors and the end of its time allow."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf

__all__ = ["MOST_REFUSED", "Admission", "descriptors_in_use"]

MOST_REFUSED = 256
"""Connections of a port that may be told that they are refused at a time; further ones are just closed."""

_SPARE = 256
"""Descriptors, or an eighth of all if that is more, with which a client is let in that may have none for a backend."""


_OURS = 8
"""Descriptors that are kept for the gateway itself: probes, logs, certificates that are read again."""


class Admission:
    """Asked before each client is let in. ``clients()``: how many are in.

    ``most_refused``: how many clients of a port may be told at a time that they are refused.
    """

    def __init__(self, clients: Callable[[], int]) -> None:
        self._clients = clients
        self._most: float = inf
        self._elsewhere = 0
        self._closed = False
        self.most_refused = MOST_REFUSED
        self._descriptors = 0
        self._paired: float = inf
        self._room: float = 0  # so many may be let in without counting: to count costs more, and who leaves adds to it

    @property
    def most(self) -> int | None:
        """How many clients may be in, of all processes: `limits.maxConnections`."""
        return None if self._most == inf else int(self._most)

    @most.setter
    def most(self, most: int | None) -> None:
        self._most = inf if most is None else most
        self._room = 0

    @property
    def elsewhere(self) -> int:
        """How many clients other processes have."""
        return self._elsewhere

    @elsewhere.setter
    def elsewhere(self, clients: int) -> None:
        self._elsewhere = clients
        self._room = 0

    def close(self) -> None:
        """Nobody is let in any more."""
        self._closed = True
        self._room = 0

    def limit_descriptors(self, limit: int, used: int) -> None:
        """There are ``limit`` descriptors, and ``used`` without any client.

        Each client may need a second one for its backend, so half as many are let in as there are (HAProxy's rule);
        more where most of them need none, as between the requests of connections that are kept alive.
        """
        free = max(limit - used - _OURS, 0)
        self.most_refused = min(MOST_REFUSED, free // 4)
        self._descriptors = limit
        self._paired = max((free - self.most_refused) // 2, 1)
        self._room = 0

    @property
    def paired(self) -> float:
        """How many clients have a descriptor each for a backend; ``inf`` where nothing is known of descriptors."""
        return self._paired

    def admit(self) -> str | None:
        """One more client comes: ``None`` if it is let in, else why not; "" for: the gateway stops. HOT"""
        if self._room <= 0 and (refusal := self.refusal()) is not None:
            return refusal
        self._room -= 1
        return None

    def refusal(self, more: int = 0) -> str | None:
        """What `admit` would say if ``more`` clients were in besides those that are."""
        if more < self._room:
            return None
        if self._closed:
            return ""
        clients = self._clients()
        self._room = min(self._most - self._elsewhere, self._paired) - clients
        if more < self._room:
            return None
        if clients + more + self._elsewhere >= self._most:
            return f"{self.most} client connections (limits.maxConnections)"
        if not self._spare():
            return f"{self._descriptors} file descriptors are not enough for more client connections (ulimit -n)"
        return None

    def _spare(self) -> bool:
        used = descriptors_in_use()
        return used is not None and self._descriptors - used > max(_SPARE, self._descriptors >> 3)


def descriptors_in_use() -> int | None:
    """How many descriptors this process has open; ``None`` where that takes more than one question (before Linux 6.2).

    See proc_pid_fd(5).
    """
    try:
        return os.stat("/proc/self/fd").st_size or None
    except OSError:
        return None
