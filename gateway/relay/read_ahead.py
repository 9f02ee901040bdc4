"""Reading a backend's response ahead of a client that is slow, within bounds.

What was read ahead is in the queue of the client's transport, so it waits for nothing: bytes that the client would take
are never held back.  All that differs from streaming is how early the backend is held.
"""

from __future__ import annotations

__all__ = ["MOST_BYTES", "ReadAhead"]

MOST_BYTES = 64 * 1024 * 1024
"""What may wait for all slow clients of a process together."""


class ReadAhead:
    """Room for responses that clients have not taken yet.

    ``bytes``: what may wait for one client; a backend is held when that much does, which may be one read later.  Each
    client that is slow gets room for all of it, or none where ``most`` bytes are given away: its response streams then.
    """

    def __init__(self, bytes: int, most: int = MOST_BYTES) -> None:
        self.bytes = bytes
        self._free = max(1, most // bytes)

    def take(self) -> bool:
        """Whether there is room for one more client, which has it until `give_back`."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """The client has taken everything, or is gone."""
        self._free += 1
