"""What strategies are built with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from random import Random

    from gateway.assembly import Place
    from gateway.config.model import BackendSettings, Gateway, Probe
    from gateway.interfaces import IMiddleware, IPool, IRoad

__all__ = ["Services"]


class Services(NamedTuple):
    """Passed to `IStrategyFactory.build`.

    ``clock`` (``IReactorTime``), ``reactor`` and ``random`` are always there.  Routers also get ``model``, ``pools``
    (by pool name and settings name) and ``middleware`` (see `gateway.assembly.make_middleware`); middleware gets
    ``model``; probes get ``road``, ``tls_for``, ``probe`` and ``settings``.

    ``tls_for(settings, probe, member_host)`` makes the `gateway.transport.tls.ClientTLS` for a probe of that member,
    and raises `gateway.errors.BackendTLSFailed` where that cannot be done; `gateway.upstream.tls.probe_tls` with the
    trusted roots bound is one.
    """

    clock: Any
    reactor: Any
    random: Random
    model: Gateway | None = None
    pools: Mapping[tuple[str, str], IPool] = {}
    middleware: Mapping[Place, tuple[IMiddleware, ...]] = {}
    road: IRoad | None = None
    tls_for: Callable[[BackendSettings, Probe, str], Any] | None = None
    probe: Probe | None = None
    settings: BackendSettings | None = None
