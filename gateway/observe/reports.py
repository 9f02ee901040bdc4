"""Pools, sessions and the configuration as plain values for JSON. No secret leaves through here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from gateway.http.authority import authority

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, IPool, ISession
    from gateway.observe.sessions import Sessions
    from gateway.values import ProbeResult

__all__ = [
    "ProbeHistory",
    "backend_report",
    "config_report",
    "pool_counts",
    "pool_report",
    "readiness",
    "session_report",
    "session_reports",
]

HIDDEN = "(not shown)"

_SECRET_NAME = re.compile(r"passw|secret|token|credential|authorization|private|api_?key|^key$", re.I)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")


class ProbeHistory(Protocol):
    """What is asked of `gateway.health.monitor.HealthMonitor`."""

    def history(self, pool: Any, backend: Any, /) -> Iterable[tuple[float, ProbeResult]]:
        """The last probes of a backend under its pool's settings, oldest first: seconds since 1970, and the result."""


def pool_report(pool: IPool, probes: ProbeHistory | None = None) -> dict[str, Any]:
    """One pool under one group of settings, with its backends."""
    return {
        **pool_counts(pool),
        "backends": [backend_report(pool, backend, probes) for backend in pool.backends],
    }


def pool_counts(pool: IPool) -> dict[str, Any]:
    """How many backends of a pool are healthy, may be chosen, and there are.

    ``serving`` may be more than ``healthy``, where a probe's ``minServers`` keeps backends in that have failed it, and
    less, where backends are being drained.
    """
    return {
        "pool": pool.name,
        "settings": pool.settings.name,
        "healthy": sum(backend.healthy for backend in pool.backends),
        "serving": len(pool.candidates),
        "total": len(pool.backends),
    }


def backend_report(pool: IPool, backend: IBackend, probes: ProbeHistory | None = None) -> dict[str, Any]:
    """One backend: its state, why, what it is doing, and its last probes, oldest first, with how long each took."""
    return {
        "name": backend.name,
        "address": authority(backend.connect_host, backend.connect_port),
        "weight": backend.weight,
        "state": backend.state,
        "healthy": backend.healthy,
        "serving": backend in pool.candidates,
        "reason": backend.reason,
        "ejected": bool(backend.ejected),
        "ejections": backend.ejections,
        "active": backend.active,
        "probes": [
            {
                "at": _instant(at),
                "healthy": result.healthy,
                "reason": result.reason,
                "status": result.status,
                "seconds": round(result.seconds, 6),
            }
            for at, result in (() if probes is None else probes.history(pool, backend))
        ],
    }


def readiness(pools: Iterable[IPool]) -> tuple[bool, str]:
    """Whether traffic may be sent to this gateway, and a sentence. For ``ready`` of `gateway.observe.admin`.

    Every backend has been probed once, and at least one pool has a backend that may be chosen: a gateway that can only
    answer 502 is to be passed by, one of whose pools some are down is not, for the others would go down with it.
    """
    pools = tuple(pools)
    waiting = [
        f"{backend.name} of {pool.name}" for pool in pools for backend in pool.backends if backend.state == "unknown"
    ]
    if waiting:
        return False, f"the first probe has not come back from {_listed(waiting)}"
    without = [f"{pool.name} (settings {pool.settings.name})" for pool in pools if not pool.candidates]
    if not without:
        return True, "all backends have been probed"
    if len(without) == len(pools):
        return False, f"no pool has a backend that may be chosen: {_listed(without)}"
    return True, f"all backends have been probed; no backend may be chosen in {_listed(without)}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def session_report(number: int, session: ISession, now: float) -> dict[str, Any]:
    """One open session. ``now`` is on the clock of the outcome's times."""
    session.snapshot()
    outcome = session.outcome
    route = outcome.route
    head = outcome.head
    return {
        "id": number,
        "kind": "websocket" if outcome.websocket else outcome.scheme if outcome.layer4 else "tunnel",
        "peer": str(outcome.peer),
        "listener": outcome.listener or (route.listener if route is not None else ""),
        "rule": route.rule if route is not None else "",
        "pool": route.pool.name if route is not None else "",
        "backend": outcome.backend.name if outcome.backend is not None else "",
        "host": head.host if head is not None else "",
        # Without the query: tokens are often handed to WebSockets there.
        "path": head.path if head is not None else "",
        "age": round(max(0.0, now - outcome.started), 3),
        "receivedBytes": outcome.received_bytes,
        "sentBytes": outcome.sent_bytes,
        "messagesIn": outcome.messages_in,
        "messagesOut": outcome.messages_out,
        "sslProtocol": outcome.tls_version,
        "transactionId": outcome.trace_id,
    }


def session_reports(sessions: Sessions, now: float, limit: int) -> tuple[int, dict[str, int], Iterator[dict[str, Any]]]:
    """How many sessions are open, how many per pool, and reports of at most ``limit`` of them, the newest first.

    Each is made when it is taken.
    """
    newest = (session_report(number, session, now) for number, session in sessions.newest(limit))
    return sessions.count, sessions.by_pool(), newest


def config_report(value: Any) -> Any:
    """A configuration model as its document would spell it, every default filled in, secrets replaced by a note.

    Secret are the fields that the model keeps out of its ``repr``, and members of free-form options whose
    name says so.
    """
    if isinstance(value, BaseModel):
        return {
            field.alias or name: (
                HIDDEN if not field.repr and getattr(value, name) is not None else config_report(getattr(value, name))
            )
            for name, field in type(value).model_fields.items()
        }
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if _SECRET_NAME.search(str(name)) and item is not None else config_report(item)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [config_report(item) for item in value]
    if isinstance(value, str):
        return _USER_INFO.sub(f"{HIDDEN}@", value)
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
