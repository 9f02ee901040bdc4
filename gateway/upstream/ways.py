"""The ways to all backends: what keeps the connections of each, made when the first exchange wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway.upstream.connections import Upstream
from gateway.upstream.layer4 import StreamUpstream, connect_stream
from gateway.upstream.tls import Roots, backend_tls

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from gateway.interfaces import IBackend, IRoad
    from gateway.values import Route

__all__ = ["Ways"]


class Ways:
    """``seconds`` gives monotonic seconds. Iterated, it gives each `Upstream` that is there."""

    def __init__(self, road: IRoad, seconds: Callable[[], float]) -> None:
        self._road = road
        self._seconds = seconds
        self._upstreams: dict[IBackend, Upstream] = {}

    def __iter__(self) -> Iterator[Upstream]:
        return iter(tuple(self._upstreams.values()))

    def upstream(self, roots: Roots, route: Route, backend: IBackend) -> Upstream:
        """That of ``backend``, which was leased for ``route``. ``roots``: those of the route's configuration."""
        upstream = self._upstreams.get(backend)
        if upstream is None:
            tls = partial(_backend_tls, route.settings, backend.host, roots) if route.settings.secure else None
            upstream = Upstream(backend, route.settings, self._road, self._seconds, tls)
            if backend in route.pool.backends:
                self._upstreams[backend] = upstream
            else:
                upstream.close()  # it has left since it was leased: its connections are not kept
        return upstream

    def stream(
        self, roots: Roots, route: Route, backend: IBackend, server_name: str, preface: bytes
    ) -> Deferred[StreamUpstream]:
        """A connection for bytes alone, see `gateway.upstream.layer4.connect_stream`."""
        settings = route.settings
        tls = partial(_backend_tls, settings, backend.host, roots, server_name) if settings.secure else None
        return connect_stream(self._road, backend, settings, tls, preface)

    def moved(self, host: str, port: int, addresses: frozenset[str]) -> None:
        """A member's name has other addresses: connections to those it had are used no more."""
        for backend, upstream in self._upstreams.items():
            if (backend.connect_host, backend.connect_port) == (host, port):
                upstream.moved(addresses)

    def forget(self, backend: IBackend) -> None:
        """Keep no connections to ``backend``, which has left or wants them on other terms."""
        upstream = self._upstreams.pop(backend, None)
        if upstream is not None:
            upstream.close()

    def sweep(self) -> None:
        """Close connections that have been idle for too long."""
        for upstream in self:
            upstream.sweep()

    def make_room(self) -> bool:
        """Descriptors have run out: close the older quarter of what nobody uses, at once. Whether there was any."""
        spare = sorted((each for upstream in self for each in upstream.spare()), key=attrgetter("idle_since"))
        for connection in spare[: (len(spare) + 3) // 4]:
            connection.drop()
        return bool(spare)

    def close(self) -> None:
        """The end: no connection is kept any more."""
        for upstream in self:
            upstream.close()


def _backend_tls(settings: Any, member_host: str, roots: Roots, client_host: str) -> Any:
    return backend_tls(settings, member_host, client_host, roots)
