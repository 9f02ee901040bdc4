"""Runs the test cases of a module with each implementation of what has a C twin: `of_each(globals())` as its last line.

The cases keep their names for Python; the same with "Native" before it are for C, and are skipped where that is absent.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway import _native
from gateway.http import forwarding, heads
from gateway.listener import plain
from gateway.transport import bridge, loop, sockets, stream
from gateway.websocket import frames

__all__ = ["SKIP", "native", "of_each", "python"]

python = _native.twins
"""The Python twins by name; complete, for the modules that have some have been imported."""

_ROOMS = (heads, forwarding, frames, loop, sockets, stream, bridge, plain)
_chosen = {name: getattr(room, name) for room in _ROOMS for name in python if hasattr(room, name)}
native = {name: value for name, value in _chosen.items() if value is not python[name]}
"""The C twins by name; empty where they are absent."""

SKIP: str | None = None
"""Why there is nothing native to test; ``None`` where there is."""

if not native:
    SKIP = "the native code has not been built here, or GATEWAY_NATIVE=0 switches it off"


class _Replaced:
    """Puts ``implementation`` in the place of a test module's names while one of its tests runs."""

    implementation: dict[str, Any]

    def setUp(self) -> None:
        module = sys.modules[self.__module__]
        for name in self.implementation.keys() & vars(module).keys():
            self.patch(module, name, self.implementation[name])  # type: ignore[attr-defined]
        super().setUp()  # type: ignore[misc]


def of_each(namespace: dict[str, Any]) -> None:
    """Replace the test cases of a module by two of each."""
    module = namespace["__name__"]
    used = python.keys() & namespace.keys()
    for name, case in list(namespace.items()):
        if not isinstance(case, type) or not issubclass(case, SynchronousTestCase) or case.__module__ != module:
            continue
        common = {"__module__": module, "__doc__": case.__doc__}
        namespace[name] = type(name, (_Replaced, case), common | {"implementation": python})
        attributes = common | {"implementation": native}
        if SKIP or not used <= native.keys():
            attributes["skip"] = SKIP or "part of the native code has not been built here"
        namespace[f"Native{name}"] = type(f"Native{name}", (_Replaced, case), attributes)
