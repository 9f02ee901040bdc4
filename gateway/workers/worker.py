"""The service of a worker: a gateway that is told who is healthy, on ports that the parent has bound."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from gateway.config.model import Gateway, Member
from gateway.errors import Problem
from gateway.service import GatewayService
from gateway.workers.carried import with_dumped
from gateway.workers.link import receive_sockets
from gateway.workers.steering import Steering

if TYPE_CHECKING:
    from gateway.lifecycle.generation import Generation
    from gateway.lifecycle.registry import Registry
    from gateway.lifecycle.successions import Successions
    from gateway.listener.tls import ServerTLS
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool, Verdict
    from gateway.workers.link import Link, Message

__all__ = ["BACKLOG", "LOADS_SECONDS", "WorkerService"]

BACKLOG = 1024
"""Connections that may wait at each socket."""

LOADS_SECONDS = 0.1
"""How often a worker says how many leases it holds, where that has changed."""


class WorkerService(GatewayService):
    """One worker.

    ``sockets``: descriptors of listening sockets by listener name; ``link``: towards the parent, ``channel``: where
    further sockets come from.  ``number`` and ``channels``: see `Steering`.
    """

    def __init__(
        self, model: Gateway, *, sockets: Mapping[str, int], link: Link, channel: socket.socket, number: int = 1,
        channels: Sequence[socket.socket] = (), **others: Any,
    ) -> None:  # fmt: skip
        self._sockets = dict(sockets)
        self._link = link
        self._channel = channel
        self._found: dict[str, list[Member]] = {}
        self._coming: Message | None = None
        self._held_back: list[Message] = []
        self._said: dict[tuple[str, str], int] = {}
        self._said_connections = 0
        super().__init__(model, **others)
        self._telling = LoopingCall(self._tell_loads)
        self._telling.clock = self.reactor
        self._steering = Steering(number, channels, self._ports, self.reactor)

    def server_endpoint(self, listener: str, address: str, port: int, tls: ServerTLS | None, before: Any = None) -> Any:
        """Listen with the socket that the parent has bound."""
        if before is not None:
            return super().server_endpoint(listener, address, port, tls, before)
        sock = socket.socket(fileno=self._sockets.pop(listener))
        sock.listen(BACKLOG)  # once more: the parent may have shut it while there was nobody to serve it
        return self.road.server(address, port, tls, sock=sock)

    def members(self, pool: str) -> Sequence[Member]:
        """Those that the parent has been told of, else those that are listed."""
        found = self._found.get(pool)
        return super().members(pool) if found is None else found

    def _build(self) -> Registry:
        registry = super()._build()
        self.monitor.report = self._report
        return registry

    def _report(self, pool: Pool, backend: Backend, why: str) -> None:
        """Traffic finds a member at fault. The parent hears it of all workers, and decides for all."""
        self._link.send("fault", member=(pool.name, pool.settings.name, backend.name), why=why)

    def begin_probes(self) -> None:
        """The parent probes, and looks for members."""

    def startService(self) -> None:
        """Serve, and say so."""
        super().startService()
        self._telling.start(LOADS_SECONDS, now=False)
        self._steering.start()
        self._tell_tickets()
        self._link.send("ready")

    def stopService(self) -> Deferred[None]:
        """See `GatewayService.stopService`."""
        if self._telling.running:
            self._telling.stop()
        self._steering.stop()
        self._link.send("tickets", names=[])  # who comes back now goes to the others
        return super().stopService()

    def exposition(self) -> str:
        """See `GatewayService.exposition`."""
        return super().exposition() + self._steering.exposition()

    # -- what the parent says

    def told(self, message: Message) -> None:
        """A message of the parent; one of an unknown kind is for a later version.

        What comes while the configuration changes is about the coming one, and waits for it.
        """
        if self._coming is not None and message["kind"] in _WAITS:
            self._held_back.append(message)
            return
        handler = _HANDLERS.get(message["kind"])
        if handler is not None:
            handler(self, message)

    def _health(self, message: Message) -> None:
        named: dict[Pool, dict[str, Backend]] = {}
        verdicts: dict[Pool, list[Verdict]] = {}
        drained: list[tuple[Pool, Backend, bool, str]] = []
        for pool_name, settings, backend_name, healthy, draining, ejected, reason in message["backends"]:
            pool = self.pools.get((pool_name, settings))
            if pool is None:
                continue
            if pool not in named:
                named[pool] = {backend.name: backend for backend in pool.backends}
            backend = named[pool].get(backend_name)
            if backend is None:
                continue
            if ejected:
                pool.eject(backend, ejected)
            elif backend.ejected:
                if backend.witness is not None:
                    backend.witness.pardon()
                pool.let_in(backend, reason)
            if healthy is not None and not ejected:
                verdicts.setdefault(pool, []).append((backend, healthy, reason))
            if draining != backend.draining:
                drained.append((pool, backend, draining, reason))
        for pool, known in verdicts.items():
            pool.set_verdicts(known)
        for pool, backend, draining, reason in drained:
            pool.set_draining(backend, draining, reason)
        self.changes.look()

    def _members(self, message: Message) -> None:
        for name, given in message["pools"]:
            members = self._found[name] = [Member.model_validate(member) for member in given]
            for pool in [pool for pool in self.pools.values() if pool.name == name]:
                self.change_members(pool, members)

    def _loads(self, message: Message) -> None:
        for pool, backend, count in message["elsewhere"]:
            load = self.loads.find(pool, backend)
            if load is not None:
                load.set_elsewhere(count)
        self.admission.elsewhere = message["connections"]

    def _ask(self, message: Message) -> None:
        self.refresh().addCallback(lambda _: self._answer(message))

    def _answer(self, message: Message) -> None:
        count, by_pool, reports = self.session_reports(message["sessions"])
        self._link.send(
            "answer",
            number=message["number"],
            metrics=self.exposition(),
            count=count,
            byPool=by_pool,
            sessions=list(reports),
        )

    def _reload(self, message: Message) -> None:
        """Take another configuration, and say what came of it."""
        if self._coming is not None:
            self._held_back.append(message)
            return
        self._coming = message
        try:
            descriptors = receive_sockets(self._channel, len(message["sockets"]))
        except OSError as error:
            self._reloaded(message, [str(error)])
            return
        self._sockets = dict(zip(message["sockets"], descriptors, strict=True))
        taken = self.reloading.take(lambda: (Gateway.model_validate_json(message["model"]), ()))
        taken.addCallbacks(
            lambda _: self._reloaded(message, []),
            lambda failure: self._reloaded(message, getattr(failure.value, "problems", [failure.getErrorMessage()])),
        )

    def go_on(self, now: Generation, successions: Successions) -> None:
        """See `GatewayService.go_on`. From here on it knows what the parent knew when it took the same step."""
        coming, found = self._coming, self._found
        assert coming is not None
        self._found = {
            name: [Member.model_validate(member) for member in members] for name, members in coming["members"]
        }
        try:
            super().go_on(now, successions)
        except Exception:
            self._found = found
            raise
        self._health(coming)
        self._tell_tickets()

    def _reloaded(self, message: Message, problems: Sequence[str]) -> None:
        self._coming = None
        for descriptor in self._sockets.values():
            os.close(descriptor)
        self._sockets = {}
        waiting, self._held_back = self._held_back, []
        for each in waiting:
            self.told(each)
        self._link.send("reloaded", version=message["version"], problems=list(problems))

    def _reopen(self, message: Message) -> None:
        self.reopen_logs()

    def _tickets(self, message: Message) -> None:
        self._steering.hear(message)

    def _renewed(self, message: Message) -> None:
        """The parent has read files of certificates again. Nobody else looks at them: the model here names none."""
        now = self.now

        def read() -> Gateway:
            return with_dumped(now.model, message["parts"])

        def refused(failure: Failure) -> None:
            if self.now is now:
                self._link.send("reloaded", version=None, problems=[failure.getErrorMessage()])

        def shown(problems: list[Problem]) -> None:
            self._tell_tickets()
            errors = [str(problem) for problem in problems if problem.severity == "error"]
            if errors:  # what clients will mind the parent has seen itself
                self._link.send("reloaded", version=None, problems=errors)

        self._show_again(read).addCallbacks(shown, refused)

    # -- what it says

    def _tell_tickets(self) -> None:
        """Say what its tickets begin with, and look at those that come: the ports or their contexts have changed."""
        names = self._steering.names()
        if names is not None:
            self._steering.look()
            self._link.send("tickets", names=names)

    def _tell_loads(self) -> None:
        held = {key: load.active - load.elsewhere for key, load in self.loads}
        changed = [(*key, held.get(key, 0)) for key in {**self._said, **held} if held.get(key) != self._said.get(key)]
        connections = self.connection_count()
        if changed or connections != self._said_connections:
            self._said, self._said_connections = held, connections
            self._link.send("loads", held=changed, connections=connections)


_HANDLERS = {
    "members": WorkerService._members,
    "health": WorkerService._health,
    "loads": WorkerService._loads,
    "ask": WorkerService._ask,
    "reload": WorkerService._reload,
    "tickets": WorkerService._tickets,
    "reopen": WorkerService._reopen,
    "renew": WorkerService._renewed,
}
_WAITS = frozenset({"members", "health", "loads", "renew"})
