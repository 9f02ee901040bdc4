"""The admin site of a gateway, wired to what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.health.defaults import probe_for
from gateway.health.on_demand import OnDemand
from gateway.lifecycle.startup import PortToBind
from gateway.observe.admin import AdminSite

if TYPE_CHECKING:
    from gateway.service import GatewayService

__all__ = ["admin_binding"]


def admin_binding(service: GatewayService, where: str) -> PortToBind:
    """The port that the admin site of ``service`` wants. ``where`` is ``HOST:PORT``."""
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    endpoint = _endpoint(service.reactor, host, int(port))
    return PortToBind("admin", host, int(port), endpoint, _site(service, host), "--admin HOST:PORT")


def _site(service: GatewayService, host: str) -> AdminSite:
    on_demand = OnDemand(
        lambda: service.model.name,
        lambda: service.pools.values(),
        lambda settings: probe_for(service.model, settings),
        lambda settings, probe: service.registry.probe(settings, probe, service.road, service.now.roots),
        service.reactor,
    )
    return AdminSite(
        pools=lambda: service.pools.values(),
        probes=service.monitor,
        sessions=service.session_reports,
        exposition=service.exposition,
        ready=service.readiness,
        model=lambda: service.model,
        hosts=[host],
        refresh=service.refresh,
        on_demand=on_demand.ask,
        reload=service.reload,
        reactor=service.reactor,
    )


def _endpoint(reactor: Any, host: str, port: int) -> Any:
    from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint

    kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    return kind(reactor, port, interface=host)
