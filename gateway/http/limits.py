"""How much of a head or of a chunked body's framing a peer may send."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DEFAULT", "HeadLimits"]


class HeadLimits(NamedTuple):
    """Bounds on what a peer controls; what exceeds them is refused, never truncated.

    ``head``: bytes of a whole head, from the start line to the empty line that ends it, both included;
    also the bound on the trailer section of a chunked body.
    ``fields``: field lines of a head or of a trailer section.
    ``target``: characters of a request target, which gets a status of its own (414).
    """

    head: int = 32768
    fields: int = 128
    target: int = 16384


DEFAULT = HeadLimits()
"""The limits where a configuration says nothing."""
