"""The service of the parent: binds, probes, answers the admin port, and looks after the workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from socket import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from gateway.lifecycle.startup import give_up, lacking, refuse
from gateway.observe.sinks import FileSink
from gateway.pools.backend import UNKNOWN
from gateway.service import GatewayService
from gateway.transport.sockets import address, listening_socket
from gateway.workers.carried import carried, dumped
from gateway.workers.crew import Crew, Worker
from gateway.workers.link import Message, send_sockets
from gateway.workers.merge import counters_of, merged
from gateway.workers.tickets import Tickets
from gateway.workers.watchdog import Watchdog
from gateway.workers.worker import BACKLOG

if TYPE_CHECKING:
    from gateway.config.model import Gateway, Member
    from gateway.lifecycle.generation import Generation, Material
    from gateway.lifecycle.successions import Successions
    from gateway.listener.tls import ServerTLS
    from gateway.pools.backend import Backend
    from gateway.pools.pool import Pool

__all__ = ["ParentService"]

_log = Logger("gateway")

_Standing = tuple[str, str, str, bool | None, bool, str, str]
"""Pool, settings, backend, whether healthy (``None``: not known yet), whether draining, why ejected, reason."""

_ANSWER_SECONDS = 1.0
_REFRESH_SESSIONS = 10_000


class ParentService(GatewayService):
    """A gateway of ``workers`` processes. Other arguments as for `GatewayService`."""

    def __init__(self, model: Gateway, *, workers: int, access_log: str = "-", **others: Any) -> None:
        if access_log not in ("", "-", "off"):
            FileSink(access_log).close()  # the workers open it, but who starts the gateway is to hear why they cannot
        self._count = workers
        self._workers_log = access_log
        self._made_by = os.getpid()
        self._version = 0
        self.reloading_workers: set[int] = set()  # the numbers of those that have not said yet what came of it
        self._found: dict[str, Sequence[Member]] = {}
        self._answers: dict[int, Message] = {}
        self._retired = ""
        self._asked = 0
        self._waiting: dict[int, tuple[set[int], Deferred[None]]] = {}
        self._leases: dict[int, dict[tuple[str, str], int]] = {}
        self._connections: dict[int, int] = {}
        self.crew: Crew | None = None
        self._tickets = Tickets(0)
        super().__init__(model, access_log="off", **others)

    def follow_pool(self, pool: Any) -> None:
        """Tell the workers what changes in it."""
        pool.subscribe(self._changed)

    def server_endpoint(self, listener: str, address: str, port: int, tls: ServerTLS | None, before: Any = None) -> Any:
        """Bind a socket for each worker, and leave the accepting to them."""
        return _HeldEndpoint(address, port, self._count, before)

    def startService(self) -> None:
        """Probe, and begin the workers."""
        super().startService()
        sockets = [self._sockets_of(number) for number in range(1, self._count + 1)]
        self.crew = Crew(self.reactor, sockets, self._began, self._left, self._received, self._hopeless)
        self._watchdog = Watchdog(self.crew)
        self._watchdog.start()
        try:
            # Twisted's transports have read the hello by the time that it can be looked at.
            self._tickets = Tickets(self._count if self.road.name == "pump" else 0)
            self.crew.start()
        except OSError as error:
            refuse([f"the {self._count} workers cannot be started: {lacking(error)}"])

    def stopService(self) -> Deferred[None]:
        """No new connections; the workers finish what they do."""
        if not self.running or self.crew is None:
            return super().stopService()
        self._watchdog.stop()
        gone = self.crew.stop(self.model.limits.shutdown_timeout)
        self._tickets.close()
        return DeferredList([super().stopService(), gone]).addCallback(lambda _: None)

    def hurry(self) -> None:
        """See `GatewayService.hurry`."""
        super().hurry()
        if self.crew is not None and self.crew.stopping:
            self.crew.hurry()

    def reopen_logs(self) -> None:
        """Let every worker open the access log anew."""
        if self.crew is not None:
            self.crew.tell("reopen")

    def readiness(self) -> tuple[bool, str]:
        """As `GatewayService.readiness`, while a worker serves.

        One is enough: clients go to those that serve, see `gateway.workers.crew`.
        """
        serving = self.crew.states()["serving"] if self.crew is not None else 0
        if self.running and not serving:
            return False, "no worker serves"
        ready, reason = super().readiness()
        return ready, reason if serving in (0, self._count) else f"{reason}; {serving} of {self._count} workers serve"

    def go_on(self, now: Generation, successions: Successions) -> None:
        """See `GatewayService.go_on`. The workers are told to do the same."""
        super().go_on(now, successions)
        self._version += 1
        self._found = {name: found for name, found in self._found.items() if name in now.discoveries}
        model = carried(now.material).model_dump_json()
        for worker in tuple(self.crew.workers) if self.crew is not None else ():
            worker.use(self._sockets_of(worker.number))
            if worker.informed:
                self._tell_to_reload(worker, model)

    def _show(self, material: Material) -> None:
        super()._show(material)
        parts = dumped(material)
        for worker in self.crew.workers if self.crew is not None else ():
            if worker.informed:
                worker.link.send("renew", parts=parts)
            else:
                worker.version = -1  # it is being built of what was there before, and is told when it is there

    def _hopeless(self, why: str) -> None:
        give_up(self.reactor, [f"none of the {self._count} workers can be started: {why}"])

    # -- what workers are told

    def _sockets_of(self, number: int) -> dict[str, socket]:
        return {listener: port.sockets[number - 1] for listener, port in self._ports.bound().items()}

    def _tell_to_reload(self, worker: Worker, model: str) -> None:
        """Hand over the sockets of ports that it does not have, and the configuration."""
        missing = {name: port for name, port in self._ports.bound().items() if port.origin not in worker.known}
        assert worker.handover is not None
        try:
            send_sockets(worker.handover, [port.sockets[worker.number - 1] for port in missing.values()])
        except OSError as error:
            self._not_taken(worker, [f"its sockets cannot be handed over: {error}"])
            return
        self._note(worker)
        self.reloading_workers.add(worker.number)
        members = [(name, _dumped(found)) for name, found in self._found.items()]
        worker.link.send(
            "reload", version=self._version, model=model, sockets=list(missing), members=members,
            backends=self._standings(),
        )  # fmt: skip

    def _note(self, worker: Worker) -> None:
        """It knows the ports and the configuration of the moment, or will."""
        worker.version = self._version
        worker.known = {port.origin for port in self._ports.bound().values()}

    def _not_taken(self, worker: Worker, problems: Sequence[str]) -> None:
        if self.crew is None or self.crew.stopping:
            return  # that is why
        _log.error(
            "worker {number} cannot take the new configuration and is replaced: {problems}",
            number=worker.number, problems="; ".join(problems),
        )  # fmt: skip
        self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        if self.crew is not None and not self.crew.stopping:
            self.crew.replace(worker, self.model.limits.shutdown_timeout)

    def _began(self, worker: Worker) -> None:
        self._note(worker)
        assert worker.handover is not None
        channels = self._tickets.ends(worker.number)
        try:
            send_sockets(worker.handover, channels)
        except OSError:
            channels = []  # it serves all the same, and nothing is passed on to it or by it
        worker.link.send(
            "config",
            model=carried(self.now.material).model_dump_json(),
            number=worker.number,
            channels=len(channels),
            listeners=list(worker.sockets),
            transport=self._transport,
            # The workers of a daemon have no standard output either: `gateway.observe.sinks.OutputSink`.
            accessLog="log" if self._workers_log == "-" and os.getpid() != self._made_by else self._workers_log,
            hideQueries=self._hide_queries,
            secret=self._secret.hex(),
        )

    def _standings(self) -> list[_Standing]:
        return [_standing(pool, backend) for pool in self.pools.values() for backend in pool.backends]

    def _changed(self, pool: Pool, backend: Backend, old: str, new: str, reason: str) -> None:
        if self.crew is not None:
            self.crew.tell("health", backends=[_standing(pool, backend)])

    def change_members(self, pool: Any, members: Sequence[Member]) -> None:
        """See `GatewayService.change_members`. Workers hear of members first, and then of their health."""
        if self._found.get(pool.name) != members:
            self._found[pool.name] = members
            if self.crew is not None:
                self.crew.tell("members", pools=[(pool.name, _dumped(members))])
        super().change_members(pool, members)

    def _share_loads(self, keys: Iterable[tuple[str, str]]) -> None:
        """Tell the workers how much of each member, and how many connections, the others hold; show the sums here."""
        sums = {key: sum([counts.get(key, 0) for counts in self._leases.values()]) for key in keys}
        for key, total in sums.items():
            load = self.loads.find(*key)
            if load is not None:
                load.set_elsewhere(total)
        connections = self.admission.elsewhere = sum(self._connections.values())
        for worker in self.crew.workers if self.crew is not None else ():
            if worker.informed:
                own = self._leases.get(worker.number, {})
                elsewhere = [(*key, total - own.get(key, 0)) for key, total in sums.items()]
                others = connections - self._connections.get(worker.number, 0)
                worker.link.send("loads", elsewhere=elsewhere, connections=others)

    def _tell_tickets(self) -> None:
        """Tell each worker what the tickets of the others begin with."""
        for worker in self.crew.workers if self.crew is not None else ():
            if worker.informed:
                worker.link.send("tickets", others=self._tickets.others(worker.number))

    # -- what they say

    def _received(self, worker: Worker, message: Message) -> None:
        heard = _HEARD.get(message["kind"])
        if heard is not None:  # what only its crew needs, that it is ready for example, means nothing here
            heard(self, worker, message)

    def _built(self, worker: Worker, message: Message) -> None:
        # As things stand now, not when the process was begun: it serves from here on.
        found = [(name, _dumped(members)) for name, members in self._found.items()]
        worker.link.send("start", members=found, backends=self._standings())
        self._share_loads({key for counts in self._leases.values() for key in counts})
        self._tell_tickets()
        if worker.version != self._version:
            self._tell_to_reload(worker, carried(self.now.material).model_dump_json())

    def _reloaded(self, worker: Worker, message: Message) -> None:
        if message["version"] == self._version:
            self.reloading_workers.discard(worker.number)
        if message["problems"]:
            self._not_taken(worker, message["problems"])

    def _loaded(self, worker: Worker, message: Message) -> None:
        held = {(pool, backend): count for pool, backend, count in message["held"]}
        kept = self._leases.setdefault(worker.number, {})
        kept.update(held)
        self._connections[worker.number] = message["connections"]
        self._share_loads(held)
        for key in [key for key, count in held.items() if not count]:  # nobody may ever say more of a member
            del kept[key]

    def _named_tickets(self, worker: Worker, message: Message) -> None:
        self._tickets.learn(worker.number, message["names"])
        self._tell_tickets()

    def _leaving(self, worker: Worker, message: Message) -> None:
        self._replace(worker)

    def _found_fault(self, worker: Worker, message: Message) -> None:
        """A worker finds a member at fault: judge, and so tell all."""
        pool, settings, name = message["member"]
        found = self.pools.get((pool, settings))
        backend = found.find(name) if found is not None else None
        if backend is not None and backend.witness is not None:
            backend.witness.accuse(message["why"])

    def _counted(self, worker: Worker, message: Message) -> None:
        self._answers[worker.number] = message
        waiting = self._waiting.get(message["number"])
        if waiting is not None:
            self._answered(waiting, worker.number)

    def _left(self, worker: Worker) -> None:
        """Its leases and tickets are gone; what it had counted, as far as it was asked, is kept."""
        self.reloading_workers.discard(worker.number)
        self._connections.pop(worker.number, None)
        self._share_loads(self._leases.pop(worker.number, {}))
        last = self._answers.pop(worker.number, None)
        if last is not None:
            self._retired = merged(self._retired, [counters_of(last["metrics"])])
        for waiting in tuple(self._waiting.values()):
            self._answered(waiting, worker.number)
        others = self.crew.workers if self.crew is not None else ()
        self._tickets.leave(worker.number, [each.number for each in others if each.ready and each is not worker])
        self._tell_tickets()

    def _answered(self, waiting: tuple[set[int], Deferred[None]], number: int) -> None:
        missing, done = waiting
        missing.discard(number)
        if not missing and not done.called:
            done.callback(None)

    # -- for the admin site

    def refresh(self, counters: bool = True) -> Deferred[None]:
        """Ask all workers for their metrics and sessions; fires when they have answered, or after a second."""
        crew = self.crew
        missing = {worker.number for worker in crew.workers if worker.ready} if crew is not None else set()
        if crew is None or not missing:
            return succeed(None)
        self._asked = number = self._asked + 1
        done: Deferred[None] = Deferred()
        self._waiting[number] = (missing, done)
        timer = self.reactor.callLater(_ANSWER_SECONDS, lambda: self._late(number))

        def settled(result: None) -> None:
            del self._waiting[number]
            if timer.active():
                timer.cancel()

        done.addCallback(settled)
        crew.tell("ask", number=number, sessions=_REFRESH_SESSIONS)
        return done

    def _late(self, number: int) -> None:
        missing, done = self._waiting[number]
        _log.warn("workers {numbers} did not answer in time", numbers=sorted(missing))
        done.callback(None)

    def exposition(self) -> str:
        """The metrics of all workers, and how they are."""
        pages = [answer["metrics"] for answer in self._answers.values()]
        return merged(super().exposition() + self._states(), [self._retired, *pages])

    def _states(self) -> str:
        states = self.crew.states() if self.crew is not None else {}
        name = "gateway_workers"
        lines = [f"# HELP {name} Worker processes by what they do.", f"# TYPE {name} gauge"]
        return "\n".join([*lines, *(f'{name}{{state="{state}"}} {count}' for state, count in states.items()), ""])

    def session_reports(self, limit: int) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
        """How many sessions are open, how many per pool, and the newest of them."""
        by_pool: dict[str, int] = {}
        reports: list[dict[str, Any]] = []
        for number, answer in self._answers.items():
            for pool, count in answer["byPool"].items():
                by_pool[pool] = by_pool.get(pool, 0) + count
            reports += [{"worker": number, **report} for report in answer["sessions"]]
        reports.sort(key=lambda report: report["age"])
        return sum(answer["count"] for answer in self._answers.values()), by_pool, reports[:limit]


_HEARD: dict[str, Callable[[ParentService, Worker, Message], None]] = {
    "built": ParentService._built,
    "reloaded": ParentService._reloaded,
    "loads": ParentService._loaded,
    "tickets": ParentService._named_tickets,
    "leaving": ParentService._leaving,
    "fault": ParentService._found_fault,
    "answer": ParentService._counted,
}
"""What a worker says, by its kind: `gateway.workers.worker` says it."""


def _dumped(members: Sequence[Member]) -> list[dict[str, Any]]:
    return [member.model_dump(exclude_defaults=True) for member in members]


def _standing(pool: Pool, backend: Backend) -> _Standing:
    healthy = None if backend.verdict == UNKNOWN else backend.healthy
    return pool.name, pool.settings.name, backend.name, healthy, backend.draining, backend.ejected, backend.reason


@implementer(IStreamServerEndpoint)
class _HeldEndpoint:
    """Listens with a socket for each worker, and accepts nothing."""

    def __init__(self, host: str, port: int, count: int, before: _HeldPort | None) -> None:
        self._host = host
        self._port = port
        self._count = count
        self._before = before

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """Bind; fails with ``CannotListenError``."""
        if self._before is not None:
            return succeed(self._before.again())
        sockets: list[socket] = []
        port = self._port
        try:
            # With a port once without sharing: one that another program shares is not to be shared with it. Else once
            # for the number: a socket that has not asked for one would get another when it listens again.
            first = listening_socket(self._host, port, 1, shared=not port)
            if port:
                first.close()
            port = port or first.getsockname()[1]
            for _ in range(self._count):
                sockets.append(listening_socket(self._host, port, BACKLOG, shared=True))
            first.close()
        except Exception:
            for sock in sockets:
                sock.close()
            return fail()
        return succeed(_HeldPort(sockets))


class _HeldPort:
    """The sockets of one port, one for each worker. `stopListening` closes the parent's copies.

    ``origin``: the same for all that have copies of the same sockets.
    """

    def __init__(self, sockets: list[socket], origin: object = None) -> None:
        self.sockets = sockets
        self.origin = object() if origin is None else origin
        self._address = address(sockets[0].getsockname())

    def again(self) -> _HeldPort:
        """The same port, which stays when this one is closed."""
        return _HeldPort([sock.dup() for sock in self.sockets], self.origin)

    def getHost(self) -> Any:
        return self._address

    def stopListening(self) -> None:
        for sock in self.sockets:
            sock.close()
