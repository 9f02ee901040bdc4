"""Inside of a gateway that is measured: writes down every step of its reactor that took long.

It is installed before the reactor is there (`install`).  A step is one selectable that was served, one turn of the
pump without the wait before it, or one timed call.  A line of JSON for each that took longer than `LONG`:

    {"at": monotonic seconds, "wall": ..., "cpu": ..., "gc": ..., "blocked": ..., "preempted": ..., "what": "…"}

``cpu``: seconds of processor time in it, so that ``wall - cpu`` is the time in which the gateway did not run;
``blocked`` and ``preempted`` count how often it waited by itself (for a disk, for instance) and how often the kernel
took the core away.  ``gc``: seconds in it that the garbage collector took.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import time
from collections.abc import Callable
from typing import Any

__all__ = ["LONG", "install"]

LONG = 0.005
"""Seconds from which a step is written down; a turn of the pump ends after so many by itself."""


def install(path: str) -> None:
    """Watch the reactor that will be made, and write to the file ``path``."""
    from twisted.internet import base, epollreactor

    from gateway.transport.pump import Pump

    witness = _Witness(path)
    reactor: Any = epollreactor.EPollReactor
    serve, call_later, turn = reactor._doReadOrWrite, base.ReactorBase.callLater, Pump.serve

    def watched(self: Any, selectable: Any, fd: int, event: int) -> None:
        witness.step(type(selectable).__name__, serve, self, selectable, fd, event)

    def timed(self: Any, delay: float, call: Callable[..., object], *args: Any, **named: Any) -> Any:
        name = getattr(call, "__qualname__", None) or type(call).__name__
        return call_later(self, delay, witness.step, name, call, *args, **named)

    def turned(self: Pump, timeout: float = 0.0) -> bool | None:
        waiting = select.poll()
        waiting.register(self.fileno(), select.POLLIN)
        waiting.poll(None if timeout < 0 else timeout * 1000)
        found: bool | None = witness.step("Pump", turn, self)
        return found

    reactor._doReadOrWrite = watched
    base.ReactorBase.callLater = timed  # type: ignore[method-assign, assignment]
    Pump.serve = turned  # type: ignore[method-assign]


class _Witness:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._collecting = self._collected = 0.0
        gc.callbacks.append(self._collection)

    def _collection(self, phase: str, details: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
        else:
            self._collected += time.monotonic() - self._collecting

    def step(self, what: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Do it, and write it down if it was long."""
        collected, began, ran = self._collected, time.monotonic(), time.thread_time()
        before = resource.getrusage(resource.RUSAGE_THREAD)
        try:
            return call(*args, **named)
        finally:
            wall = time.monotonic() - began
            if wall > LONG:
                after = resource.getrusage(resource.RUSAGE_THREAD)
                self._write(
                    at=began,
                    wall=wall,
                    cpu=time.thread_time() - ran,
                    gc=self._collected - collected,
                    blocked=after.ru_nvcsw - before.ru_nvcsw,
                    preempted=after.ru_nivcsw - before.ru_nivcsw,
                    what=what,
                )

    def _write(self, **said: Any) -> None:
        os.write(self._file, json.dumps(said).encode("ascii") + b"\n")
