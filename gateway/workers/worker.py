"""The service of a worker: a gateway that is told who is healthy, on ports that the parent has bound."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from gateway.config.model import Member
from gateway.service import GatewayService

if TYPE_CHECKING:
    from gateway.config.model import Gateway
    from gateway.listener.tls import ServerTLS
    from gateway.workers.link import Link, Message

__all__ = ["LOADS_SECONDS", "WorkerService"]

LOADS_SECONDS = 0.25
"""How often a worker says how many leases it holds, where that has changed."""


class WorkerService(GatewayService):
    """One worker. ``sockets``: descriptors of listening sockets by listener name; ``link``: towards the parent."""

    def __init__(self, model: Gateway, *, sockets: Mapping[str, int], link: Link, **others: Any) -> None:
        self._sockets = sockets
        self._link = link
        self._said: dict[tuple[str, str], int] = {}
        super().__init__(model, **others)
        self._telling = LoopingCall(self._tell_loads)
        self._telling.clock = self.reactor

    def server_endpoint(self, listener: str, address: str, port: int, tls: ServerTLS | None, before: Any = None) -> Any:
        """Listen with the socket that the parent has bound."""
        return self.road.server(address, port, tls, sock=socket.socket(fileno=self._sockets[listener]))

    def begin_probes(self) -> None:
        """The parent probes, and looks for members."""

    def startService(self) -> None:
        """Serve, and say so."""
        super().startService()
        self._telling.start(LOADS_SECONDS, now=False)
        self._link.send("ready")

    def stopService(self) -> Deferred[None]:
        """See `GatewayService.stopService`."""
        if self._telling.running:
            self._telling.stop()
        return super().stopService()

    # -- what the parent says

    def told(self, message: Message) -> None:
        """A message of the parent; one of an unknown kind is for a later version."""
        handler = _HANDLERS.get(message["kind"])
        if handler is not None:
            handler(self, message)

    def _health(self, message: Message) -> None:
        for pool_name, settings, backend_name, healthy, draining, reason in message["backends"]:
            pool = self.pools.get((pool_name, settings))
            backend = pool.find(backend_name) if pool is not None else None
            if pool is None or backend is None:
                continue
            if healthy is not None:
                pool.set_health(backend, healthy, reason)
            if draining != backend.draining:
                pool.set_draining(backend, draining, reason)

    def _members(self, message: Message) -> None:
        for name, given in message["pools"]:
            members = [Member.model_validate(member) for member in given]
            for pool in [pool for pool in self.pools.values() if pool.name == name]:
                self.change_members(pool, members)

    def _loads(self, message: Message) -> None:
        for pool, backend, count in message["elsewhere"]:
            load = self.loads.find(pool, backend)
            if load is not None:
                load.set_elsewhere(count)

    def _ask(self, message: Message) -> None:
        count, by_pool, reports = self.session_reports(message["sessions"])
        self._link.send(
            "answer",
            number=message["number"],
            metrics=self.exposition(),
            count=count,
            byPool=by_pool,
            sessions=reports,
            ejected=[
                (pool.name, pool.settings.name, backend.name, backend.ejected)
                for pool in self.pools.values()
                for backend in pool.backends
                if backend.ejected
            ],
        )

    def _reopen(self, message: Message) -> None:
        self.reopen_logs()

    # -- what it says

    def _tell_loads(self) -> None:
        held = {key: load.active - load.elsewhere for key, load in self.loads}
        changed = [(*key, held.get(key, 0)) for key in {**self._said, **held} if held.get(key) != self._said.get(key)]
        if changed:
            self._said = held
            self._link.send("loads", held=changed)


_HANDLERS = {
    "members": WorkerService._members,
    "health": WorkerService._health,
    "loads": WorkerService._loads,
    "ask": WorkerService._ask,
    "reopen": WorkerService._reopen,
}
