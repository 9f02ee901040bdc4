"""What carries the bytes: the pump in production, Twisted's own transports elsewhere.

Protocols and factories do not know which; `road` is the one place that chooses.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorFDSet

from gateway.interfaces import IRoad

if TYPE_CHECKING:
    from gateway.transport.names import Names

__all__ = ["road"]

VARIABLE = "GATEWAY_TRANSPORT"
"""Environment variable that overrides ``auto``: ``pump`` or ``twisted``."""


def road(
    reactor: Any, name: str = "auto", names: Names | None = None, make_room: Callable[[], bool] = lambda: False
) -> IRoad:
    """Return the `IRoad` called ``name``: ``pump``, ``twisted`` or ``auto``. ``names`` resolves those of backends.

    ``auto`` asks the environment variable GATEWAY_TRANSPORT, then takes the pump where the platform has epoll and
    the reactor can watch a descriptor.  ``make_room`` is called where a descriptor is wanted and none is left: it
    aborts connections that can be spared and gives whether there were any.  Raises ``ValueError`` for another name.
    """
    if name == "auto":
        name = os.environ.get(VARIABLE, "").strip().lower() or "auto"
    if name == "auto":
        name = "pump" if hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor) else "twisted"
    if name == "pump":
        from gateway.transport.pump_road import PumpRoad

        return PumpRoad(reactor, names, make_room)
    if name == "twisted":
        from gateway.transport.twisted_road import TwistedRoad

        return TwistedRoad(reactor, names, make_room)
    raise ValueError(f"there is no transport called {name!r}: use pump, twisted or auto")
