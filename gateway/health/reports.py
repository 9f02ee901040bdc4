"""The health of backends in the words and the shape of Application Gateway's ``backendhealth`` request.

::

    {"backendAddressPools": [{"backendAddressPool": {"id"}, "backendHttpSettingsCollection": [
        {"backendHttpSettings": {"id"}, "servers": [{"address", "health", "healthProbeLog"}]}]}]}

``health`` is ``Unknown`` (no probe has come back yet), ``Up``, ``Down``, ``Partial`` or ``Draining``.  Partial is what
is in the pool and out of it at a time: its probes fail, and ``minServers`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, IPool
    from gateway.values import ProbeResult

__all__ = ["health_of", "health_report", "probe_report"]

_GATEWAYS = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers/Microsoft.Network/"
    "applicationGateways/"
)
_STATES = {"unknown": "Unknown", "up": "Up", "down": "Down", "draining": "Draining"}


def health_report(gateway: str, pools: Iterable[IPool]) -> dict[str, Any]:
    """The health of all members of ``pools``; a pool with several groups of settings is one entry with all of them."""
    by_name: dict[str, list[IPool]] = {}
    for pool in pools:
        by_name.setdefault(pool.name, []).append(pool)
    return {
        "backendAddressPools": [
            {
                "backendAddressPool": _id(gateway, "backendAddressPools", name),
                "backendHttpSettingsCollection": [
                    {
                        "backendHttpSettings": _settings_id(gateway, pool),
                        "servers": [_server(backend, *health_of(pool, backend)) for backend in pool.backends],
                    }
                    for pool in group
                ],
            }
            for name, group in by_name.items()
        ]
    }


def probe_report(gateway: str, pool: IPool, results: Iterable[tuple[IBackend, ProbeResult]]) -> dict[str, Any]:
    """What an on-demand probe of the members of ``pool`` has found."""
    return {
        "backendAddressPool": _id(gateway, "backendAddressPools", pool.name),
        "backendHealthHttpSettings": {
            "backendHttpSettings": _settings_id(gateway, pool),
            "servers": [
                _server(backend, "Up" if result.healthy else "Down", result.reason) for backend, result in results
            ],
        },
    }


def health_of(pool: IPool, backend: IBackend) -> tuple[str, str]:
    """The health of a member, and the sentence that goes with it."""
    health, reason = _STATES[backend.state], backend.reason
    if health == "Down" and not backend.ejected and backend in getattr(pool, "candidates", ()):
        return "Partial", f"{reason}; it is in the pool all the same, because minServers keeps it there"
    return health, reason


def _server(backend: IBackend, health: str, log: str) -> dict[str, str]:
    return {"address": backend.host, "health": health, "healthProbeLog": log}


def _settings_id(gateway: str, pool: IPool) -> dict[str, str]:
    collection = "backendSettingsCollection" if pool.settings.layer4 else "backendHttpSettingsCollection"
    return _id(gateway, collection, pool.settings.name)


def _id(gateway: str, collection: str, name: str) -> dict[str, str]:
    """An id as Azure's, so that what reads one reads the other; subscription and resource group are stand-ins."""
    return {"id": f"{_GATEWAYS}{gateway}/{collection}/{name}"}
