"""One member of a pool, and the count of what it is doing, which outlives pool objects.

A member that appears under two groups of settings has two `Backend` objects, because each group has probes of its
own, but it does one amount of work.  The count is therefore kept in a `Load`, which both share, and which stays
while sessions are open even if a reload replaces every object around it: a selector that counted for itself would
forget long-lived WebSockets at each reload.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zope.interface import implementer

from gateway.http.authority import authority
from gateway.interfaces import IBackend

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Member
    from gateway.health.passive import Witness
    from gateway.pools.latency import Latency

__all__ = ["DOWN", "DRAINING", "UNKNOWN", "UP", "Backend", "Load", "Loads", "name_of"]

UNKNOWN = "unknown"
UP = "up"
DOWN = "down"
DRAINING = "draining"


class Load:
    """How many leases of one member are out.

    ``backends`` are the objects that show the count as their ``active``.  ``elsewhere`` is the part of it that other
    processes hold.
    """

    __slots__ = ("active", "backends", "elsewhere")

    def __init__(self) -> None:
        self.active = 0
        self.elsewhere = 0
        self.backends: tuple[Backend, ...] = ()

    def set_elsewhere(self, count: int) -> None:
        """Other processes hold ``count`` leases now."""
        self.active += count - self.elsewhere
        self.elsewhere = count
        for backend in self.backends:
            backend.active = self.active


@implementer(IBackend)
class Backend:
    """A member of a pool under one group of settings.

    The attributes are those of `IBackend`; only the `Pool` writes them.  ``verdict`` is what the probes say
    (``unknown``, ``up`` or ``down``), which ``state`` shows unless the member is draining or ejected, and ``found`` the
    latest reason they gave.  ``leases`` counts all leases since this object was made, ``failures`` those whose outcome
    was the backend's fault.  ``witness``, if any, is told every outcome (`gateway.health.passive`).  ``latency`` is
    there only where a selector asks for it.
    """

    __slots__ = (
        "active", "connect_host", "connect_port", "draining", "ejected", "ejections", "failures", "found", "healthy",
        "host", "latency", "leases", "load", "name", "port", "priority", "reason", "since", "state", "verdict",
        "weight", "witness",
    )  # fmt: skip

    def __init__(self, member: Member, settings: BackendSettings, load: Load | None = None) -> None:
        self.host = member.host
        self.port = settings.port if member.port is None else member.port
        self.name = name_of(member, settings)
        self.connect_host = self.host if member.connect_host is None else member.connect_host
        self.connect_port = self.port if member.connect_port is None else member.connect_port
        self.weight = member.weight
        self.priority = member.priority
        self.load = Load() if load is None else load
        self.active = self.load.active
        self.leases = 0
        self.failures = 0
        self.healthy = False
        self.draining = False
        self.ejected = ""
        self.ejections = 0
        self.witness: Witness | None = None
        self.verdict = UNKNOWN
        self.state = UNKNOWN
        self.since = 0.0
        self.latency: Latency | None = None
        self.reason = self.found = "no probe has succeeded yet"

    @property
    def place(self) -> tuple[str, int]:
        """Where it is connected to."""
        return self.connect_host, self.connect_port

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.state} active={self.active}>"


def name_of(member: Member, settings: BackendSettings) -> str:
    """``host:port``, which a pool has once."""
    return authority(member.host, settings.port if member.port is None else member.port)


class Loads:
    """The counts of all members, by pool name and ``host:port``. One per process; every pool gets the same one."""

    def __init__(self) -> None:
        self._loads: dict[tuple[str, str], Load] = {}

    def __len__(self) -> int:
        return len(self._loads)

    def __iter__(self) -> Iterator[tuple[tuple[str, str], Load]]:
        """Pairs of pool name and ``host:port``, with the count."""
        return iter(tuple(self._loads.items()))

    def find(self, pool: str, backend: str) -> Load | None:
        """The count of the member ``host:port`` of ``pool``."""
        return self._loads.get((pool, backend))

    def join(self, pool: str, backend: Backend) -> None:
        """Let ``backend`` share the count of its namesake in ``pool``."""
        load = self._loads.setdefault((pool, backend.name), Load())
        load.backends += (backend,)
        backend.load = load
        backend.active = load.active

    def leave(self, backends: Iterable[Backend]) -> None:
        """``backends`` are no longer shown; their open leases are still counted down. Safe to repeat."""
        backends = tuple(backends)
        for backend in backends:
            load = backend.load
            load.backends = tuple([other for other in load.backends if other is not backend])
        if not backends:
            return
        for key in [key for key, load in self._loads.items() if not load.backends and not load.active]:
            del self._loads[key]
