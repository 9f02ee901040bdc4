"""The garbage collector's stops, kept short however many connections live.

A full collection looks at everything that lives, while everybody waits: 130 ms with 8,000 WebSockets.  It finds next
to nothing, for a connection or session leaves no cycle behind.  So what has survived a quarter of a second is not
looked at again (``gc.freeze``, which moves it aside at no cost and changes nothing for what dies by its reference
count).  What dies later in a cycle after all, in a plugin for instance, is found by a full collection when memory has
grown a good deal.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Collector"]

_SECONDS = 0.25
_CHECKS = 40
"""Of those between two looks at the memory, which take longer than a collection of what is young."""

_GROWTH = 2
_MORE = 1_000_000
"""Blocks of memory, some 120 MiB or 15,000 WebSockets, by which a process has to have grown besides."""

_NEVER = 1 << 30


class _Gc(Protocol):
    """What is used of the module."""

    def collect(self, generation: int = 2, /) -> int: ...
    def freeze(self) -> None: ...
    def unfreeze(self) -> None: ...
    def get_threshold(self) -> tuple[int, int, int]: ...
    def set_threshold(self, first: int, second: int, third: int, /) -> None: ...


class Collector:
    """Collects what is young several times a second, and everything when the process has doubled.

    ``clock`` is an ``IReactorTime``; ``blocks`` tells how many blocks of memory the interpreter's objects have.
    """

    def __init__(
        self, clock: IReactorTime, collector: _Gc = gc, blocks: Callable[[], int] = sys.getallocatedblocks
    ) -> None:
        self._clock: Any = clock
        self._gc = collector
        self._blocks = blocks
        self._usual = collector.get_threshold()
        self._least = 0
        self._checks = 0
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Collect all garbage there is; full collections are up to this from now on."""
        first, second, _ = self._usual
        self._gc.set_threshold(first, second, _NEVER)
        self._collect_all()
        self._next = self._clock.callLater(_SECONDS, self._turn)

    def stop(self) -> None:
        """Leave it to the interpreter again. Idempotent."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
            self._gc.set_threshold(*self._usual)
            self._gc.unfreeze()

    def _turn(self) -> None:
        self._next = self._clock.callLater(_SECONDS, self._turn)
        self._checks += 1
        if self._checks >= _CHECKS and self._has_grown():
            self._collect_all()
        else:
            self._gc.collect(1)
            self._gc.freeze()

    def _has_grown(self) -> bool:
        """Whether there is a good deal more than the least there was."""
        self._checks = 0
        blocks = self._blocks()
        self._least = min(self._least, blocks)
        return blocks > self._least * _GROWTH + _MORE

    def _collect_all(self) -> None:
        self._gc.unfreeze()
        self._gc.collect()
        self._gc.freeze()
        self._least = self._blocks()
