"""One direction of a tunnel that goes on without Python, where there is native code for it."""

from __future__ import annotations

from typing import Any, Protocol

from gateway import _native

__all__ = ["Bridge", "bridge"]


class Bridge(Protocol):
    """Bytes pass from one transport to another without their protocols.

    ``count``: bytes so far.  ``last``: monotonic seconds of the last of them, or of the beginning.
    """

    count: int
    last: float

    def stop(self) -> None:
        """Let the protocol have what comes from now on. Idempotent."""


@_native.chosen(_native.pump)
def bridge(source: Any, target: Any, scanner: Any, owner: Any) -> Bridge | None:
    """Write what ``source`` reads to ``target``, both transports; ``None`` where only their protocols can do that.

    ``scanner`` is a `FrameScanner` that is fed first, or ``None``.  When it refuses a chunk, or finds a close frame in
    it, that is not passed on, and ``owner.bridge_ended(source, chunk, error)`` is called, where ``error`` is ``None``
    for a close frame.  The bridge has ended then, and the protocol of ``source`` gets what comes next.  Ends and errors
    of the connections are told to their protocols as always, and so are pauses and their ends.
    """
    return None
