"""Native code: C twins of pure functions, and of the pump's event loop and transports.

It is there where a compiler was when the gateway was installed.

`heads`, `forwarding`, `frames`, `masking` and `pump` are the extension modules, or ``None`` where one is absent or the
environment variable GATEWAY_NATIVE is ``0``, which is looked at once, at import.  What is in C and why:
docs/internals.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

__all__ = ["VARIABLE", "chosen", "forwarding", "frames", "heads", "masking", "pump", "twins"]

VARIABLE: Final = "GATEWAY_NATIVE"
"""The environment variable that switches all native code off where it is ``0``."""

_T = TypeVar("_T")


def _extension(name: str) -> Any:
    if os.environ.get(VARIABLE) == "0":
        return None
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError:
        return None


heads = _extension("heads")
forwarding = _extension("forwarding")
frames = _extension("frames")
masking = _extension("masking")
pump = _extension("pump")

twins: Final[dict[str, Any]] = {}
"""By name, the Python functions and classes for which `chosen` has chosen, whatever it was."""


def chosen(extension: Any, **lent: Any) -> Callable[[_T], _T]:
    """Decorates a function or class that has a C twin of the same name in ``extension``: the twin where there is one.

    A C function gets the Python one, to call it for all that it leaves to it, and the objects that are ``lent``.
    """

    def choose(python: Any) -> Any:
        name = python.__name__
        twins[name] = python
        if extension is None:
            return python
        if not isinstance(python, type):
            extension.bind(name, python)
        for key, value in lent.items():
            extension.bind(key, value)
        return getattr(extension, name)

    return choose
