"""A whole gateway: makes the parts that last, wires them in one visible block, starts and stops them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from gateway.config.model import Gateway, Member, Resolver
from gateway.discovery.membership import Membership
from gateway.discovery.resolver import NameServers
from gateway.errors import Problem
from gateway.health.monitor import HealthMonitor
from gateway.interfaces import IMiddleware, IOutcomeObserver, IRoad
from gateway.lifecycle.admin_port import admin_binding
from gateway.lifecycle.assembly import finished
from gateway.lifecycle.building import Building
from gateway.lifecycle.generation import Generation, Material, ShowsGeneration
from gateway.lifecycle.ports import Ports
from gateway.lifecycle.registry import Registry, close_all
from gateway.lifecycle.reloading import Reloading, Source
from gateway.lifecycle.startup import MAP_PORT, CannotBind, refuse
from gateway.lifecycle.stopping import Stopping
from gateway.lifecycle.successions import Successions
from gateway.listener.admission import Admission
from gateway.listener.client_certificates import gates
from gateway.listener.factory import ListenerFactory
from gateway.listener.layer4 import StreamFactory
from gateway.listener.renewal import Renewal
from gateway.listener.revocation import Revocations
from gateway.listener.tls import ServerTLS
from gateway.observe.access_log import open_access_log
from gateway.observe.metrics import Metrics
from gateway.observe.reports import readiness, session_reports
from gateway.observe.sessions import Sessions
from gateway.observe.troubles import Troubles
from gateway.pools.backend import Loads
from gateway.pools.changes import Changes
from gateway.relay.upload import Disk
from gateway.routing.bindings import bindings
from gateway.routing.table import RoutingTable
from gateway.strategies.closing import Closing
from gateway.strategies.containment import Accounts, Terms
from gateway.strategies.places import Place
from gateway.transport import road as choose_road
from gateway.transport.deadlines import Deadlines
from gateway.transport.names import Names
from gateway.transport.sockets import same_socket
from gateway.upstream.ways import Ways

if TYPE_CHECKING:
    from gateway.routing.bindings import Binding

__all__ = ["GatewayService"]

_SWEEP_SECONDS = 5.0
_log = Logger("gateway")


class GatewayService(ShowsGeneration, Service):
    """A whole gateway as a Twisted service. It serves once: what has been stopped cannot be started again.

    ``model``: a checked configuration.  ``reactor``: the global one if ``None``.  ``transport``: ``auto``, ``pump`` or
    ``twisted``.  ``access_log``: a path, ``-`` or ``off``; ``hide_queries`` keeps query strings out of it.  ``admin``:
    ``HOST:PORT`` or ``None``.  ``notices``: what to log at start.  ``observers``: further `IOutcomeObserver`.
    ``secret``: see `gateway.services.Services`; random if ``None``.  ``source``: reads the configuration again, see
    `reload`.  ``port_option``: what chooses another port, for messages.

    ``ports``: bound port by listener name, once started.  ``admin_port``: that of the admin site, if any.
    Subclass it for a deployment of one's own: ``listener_class``, `make_router`, `make_observers` and `make_road` are
    meant to be overridden (``examples/deployment``).
    """

    name = "gateway"
    listener_class: type[ListenerFactory] = ListenerFactory

    def __init__(
        self,
        model: Gateway,
        *,
        reactor: Any = None,
        transport: str = "auto",
        access_log: str = "-",
        hide_queries: bool = False,
        admin: str | None = None,
        notices: Sequence[str] = (),
        observers: Sequence[IOutcomeObserver] = (),
        secret: bytes | None = None,
        source: Source | None = None,
        port_option: str = MAP_PORT,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.reactor = reactor
        self.notices = tuple(notices)
        self._port_option = port_option
        self.admin_port: int | None = None
        self._secret = os.urandom(32) if secret is None else secret
        self._transport = transport
        self._access_log = access_log
        self._hide_queries = hide_queries
        self._admin = admin
        self._extra_observers = tuple(observers)
        self._admin_bound: Any = None
        self._is_bound = False
        self._shown_next: object = None
        self.reloading = Reloading(self, source)
        self.building = Building(self)
        material = Material.of(model)
        now = finished(self.building.generation(material, self._build()))
        self._adopt(now, Successions(now, None))

    # -- parts

    def _build(self) -> Registry:
        """Make the parts that stay whatever the configuration is; returns what makes those that do not."""
        reactor = self.reactor
        chance = random.Random()
        self.name_servers = NameServers(Resolver(), reactor)
        self.road = self.make_road()
        self.deadlines = Deadlines(reactor)
        self.ways = Ways(self.road, self.deadlines.now)
        self.sessions = Sessions(reactor, chance)
        self.loads = Loads()
        self.disk = Disk()
        self.accounts = Accounts(seconds=self.deadlines.now)
        registry = Registry(reactor=reactor, random=chance, secret=self._secret, accounts=self.accounts)
        self._revocations = Revocations(reactor, self.deadlines.now)
        self.monitor = HealthMonitor(reactor, chance)
        self.changes = Changes(self.monitor, self.sessions, self.ways.forget, reactor)
        self.membership = Membership({}, {}, lambda: self.pools.values(), self.change_members)
        self.troubles = Troubles(self.deadlines.now)
        self.metrics = Metrics(lambda: self.pools.values(), self.sessions, self.troubles, self.accounts)
        self.access_log = open_access_log(self._access_log, reactor, hide_queries=self._hide_queries)
        self._ports = Ports(self._factory, self.server_endpoint, self.sessions, reactor, self._port_option)
        self.admission = Admission(self._ports.count)
        self._stopping = Stopping(self._ports, self.sessions, self.admission, reactor)
        self._closing = Closing(reactor)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        return registry

    def _adopt(self, now: Generation, successions: Successions) -> None:
        """Let ``now`` be what runs."""
        self.now = now
        self.admission.most = now.model.limits.max_connections
        now.registry.adopted(Terms.of(now.model.limits))
        self.name_servers.use(now.model.resolver)
        successions.happen(self)
        self._renewal = Renewal(now.material.stamps, self._renew, self.reactor)

    def go_on(self, now: Generation, successions: Successions) -> None:
        """Serve ``now`` from here on. Raises `CannotBind`, or ``ValueError`` for TLS, and changes nothing then."""
        change, _ = self._ports.prepare(bindings(now.model), now.tls)
        self.error_pages.stop()
        self._renewal.stop()
        now.error_pages.remember(self.error_pages)
        self._adopt(now, successions)
        self._ports.commit(change, now.shared)
        self._ports.leave(change, now.model.limits.shutdown_timeout)
        now.error_pages.fetch_all(self.reactor)
        self._renewal.start()

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again and go on with it; see `gateway.lifecycle.reloading.Reloading.reload`."""
        return self.reloading.reload()

    def _renew(self) -> Deferred[list[Problem]]:
        """Show the certificates as their files are now; fires as `_show_again` does."""
        model = self.model
        return self._show_again(lambda: model)

    def _show_again(self, model: Callable[[], Gateway]) -> Deferred[list[Problem]]:
        """Show the certificates of ``model()``: called in a thread, where they are read, for keys take their time.

        Fires with problems: errors of those that cannot be used, which stay as they were, and warnings of new ones.
        """
        now, self._shown_next = self.now, model

        def show(found: tuple[Material, list[Problem]]) -> list[Problem]:
            material, problems = found
            # What runs may be another configuration by now, which has read its files itself, or be read anew.
            if self.now is now and self._shown_next is model:
                self._show(material)
            return problems

        read = deferToThreadPool(self.reactor, self.reactor.getThreadPool(), lambda: now.material.again(model()))
        return read.addCallback(show)

    def _show(self, material: Material) -> None:
        """Show the certificates of ``material``, which is of the configuration that runs."""
        self._ports.renew(material)
        self.now.material = material

    def _sweep(self) -> None:
        self.ways.sweep()
        self._ports.settle()
        self.reloading.retire()

    @property
    def ports(self) -> dict[str, int]:
        """Bound port by listener name."""
        return self._ports.numbers

    def connections(self) -> Iterator[Any]:
        """All clients that are let in."""
        return self._ports.connections()

    def connection_count(self) -> int:
        """How many these are."""
        return self._ports.count()

    # -- parts that may be overridden

    def make_road(self) -> IRoad:
        """What carries the bytes."""
        names = Names(lambda: self.name_servers, self.reactor, lambda *there: self.ways.moved(*there))
        return choose_road(self.reactor, self._transport, names, lambda: self.ways.make_room())

    def make_router(self) -> Any:
        """The `IRouter` or `IAsyncRouter`; the configuration's routing table unless overridden.

        What a router of one's own returns is checked, and its failures are contained.  Middleware and the checks of
        client certificates are part of the table's routes: a router of one's own has to take those, or does without.
        """
        middleware: dict[Place, tuple[IMiddleware, ...]] = dict(self.middleware)
        for place, found in gates(self.model, self.now.terms, self._revocations).items():
            middleware[place] = (*found, *middleware.get(place, ()))
        routers = self.registry.routers(self.model, self.pools, self.loads)
        return RoutingTable(self.model, self.pools, middleware, self.filters, routers)

    def make_observers(self) -> list[IOutcomeObserver]:
        """Who is told how exchanges ended: metrics, the access log, those of the configuration, and those given."""
        log = [self.access_log] if self.access_log is not None else []
        return [self.metrics, *log, *self.registry.observers(self.model), *self._extra_observers]

    def members(self, pool: str) -> Sequence[Member]:
        """Who belongs to the pool of this name now."""
        return self.membership.members(pool)

    def follow_pool(self, pool: Any) -> None:
        """Called for each pool that is new, before anything happens to it."""

    def change_members(self, pool: Any, members: Sequence[Member]) -> None:
        """Let ``members`` be those of ``pool`` while traffic flows; see `gateway.pools.changes.Changes`."""
        self.changes.apply(pool, members)

    def listener_factory(self, listener: str, port: int, tls: bool) -> ListenerFactory:
        """The factory behind a bound port."""
        return self.listener_class(
            listener, port, self.shared, self.shared.trusted,
            tls=tls, admission=self.admission, lost=self._stopping.lost, troubles=self.troubles,
        )  # fmt: skip

    def stream_factory(self, listener: str, port: int, tls: bool) -> StreamFactory:
        """The factory behind a bound port of plain TCP or TLS."""
        return StreamFactory(
            listener, port, self.shared, lambda *asked: self.ways.stream(self.now.roots, *asked),
            tls=tls, admission=self.admission, lost=self._stopping.lost, troubles=self.troubles,
        )  # fmt: skip

    def _factory(self, group: Binding, tls: bool) -> ListenerFactory | StreamFactory:
        make = self.stream_factory if group.layer4 else self.listener_factory
        return make(group.listener, group.port, tls)

    def server_endpoint(
        self, listener: str, address: str, port: int, tls: ServerTLS | None, before: Any = None
    ) -> Any:
        """The ``IStreamServerEndpoint`` of a bound port; ``listener`` is the first that shares it.

        ``before``: the port that listens there already, with another protocol; its socket is to be used.
        """
        sock = None if before is None else same_socket(before)
        return self.road.server(address, port, tls, sock=sock)

    # -- start

    def privilegedStartService(self) -> None:
        """Bind the ports, while there may still be the right to; a port that cannot be bound ends the process."""
        super().privilegedStartService()
        self._bind()

    def startService(self) -> None:
        """Begin to probe; traffic flows as soon as a pool has a healthy backend."""
        self._bind()
        super().startService()
        for notice in self.notices:
            _log.warn("{notice}", notice=notice)
        for sentence in self.model.not_honoured:
            _log.warn("not honoured: {sentence}", sentence=sentence)
        for listener, port in self.ports.items():
            _log.info("listener {listener} on port {port} ({road})", listener=listener, port=port, road=self.road.name)
        self.begin_probes()
        self.error_pages.fetch_all(self.reactor)
        self._sweeping.start(_SWEEP_SECONDS, now=False)
        self._renewal.start()

    def begin_probes(self) -> None:
        """Probe, and look for members, from now on."""
        self.monitor.start()
        self.membership.start()

    def _bind(self) -> None:
        if self.shared.stopping:
            raise RuntimeError(
                f"this {type(self).__name__} has been stopped, and its transports, deadlines and strategies are "
                "closed: make a new one to serve again"
            )
        if self._is_bound:
            return
        self._is_bound = True
        more = [] if self._admin is None else [admin_binding(self, self._admin)]
        try:
            change, bound = self._ports.prepare(bindings(self.model), self.now.tls, more)
        except CannotBind as error:
            refuse(error.problems)
        self._ports.commit(change, self.shared)
        if bound:
            self._admin_bound = bound[0]
            self.admin_port = bound[0].getHost().port

    # -- what it says

    def refresh(self, counters: bool = True) -> Deferred[None]:
        """Called before `exposition` and `session_reports`; fires when what they give is up to date.

        ``counters``: also those of all open sessions, which only the former needs.
        """
        return self.sessions.refresh() if counters else succeed(None)

    def exposition(self) -> str:
        """The metrics, in the Prometheus text format."""
        return self.metrics.exposition() + self.reloading.exposition()

    def session_reports(self, limit: int) -> tuple[int, dict[str, int], Iterable[dict[str, Any]]]:
        """How many sessions are open, how many per pool, and reports of the newest ``limit``, the newest first."""
        return session_reports(self.sessions, self.deadlines.now(), limit)

    def readiness(self) -> tuple[bool, str]:
        """Whether traffic may be sent here, and a sentence why or why not."""
        if not self.running:
            return False, "the gateway is not running"
        if self.shared.stopping:
            return False, "the gateway is stopping"
        if self.membership.waiting:
            return False, f"the members of pool {self.membership.waiting[0]} are not known yet"
        return readiness(self.pools.values())

    def when_ready(self) -> Deferred[None]:
        """Fires when the members are known and every backend has been probed once."""
        return self.membership.when_ready().addCallback(lambda _: self.monitor.when_ready())

    def reopen_logs(self) -> None:
        """Open the access log anew; the file may have been renamed. Called for SIGUSR1."""
        if self.access_log is not None:
            self.access_log.reopen()

    # -- stop

    def stopService(self) -> Deferred[None]:
        """No new connections; exchanges finish, WebSockets get 1001; what is left after the limit is cut."""
        if not self.running:
            return succeed(None)
        super().stopService()
        self.reloading.stop()
        limit = self.model.limits.shutdown_timeout
        _log.info(
            "stopping: {connections} connections, {sessions} sessions, at most {limit:g} s",
            connections=self._ports.count(), sessions=self.sessions.count, limit=limit,
        )  # fmt: skip
        ended = self._ports.stop_listening()
        if self._admin_bound is not None:
            ended.append(maybeDeferred(self._admin_bound.stopListening))
        self._closing.begin(limit)
        ended.append(self._closing.wait(self.membership.stop()))
        self.monitor.stop()
        self.changes.stop()
        self.error_pages.stop()
        ended += self._stopping.begin(limit, self.road.settled())
        return DeferredList(ended).addCallback(self._stopped)

    def hurry(self) -> None:
        """The time to stop is over. Without effect unless the gateway is stopping."""
        self._stopping.hurry()
        self._closing.hurry()

    def _stopped(self, result: Any) -> Deferred[None]:
        self._stopping.over()
        self._ports.stop()
        self._renewal.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        self.ways.close()
        self.deadlines.stop()
        self.road.stop()
        if self.access_log is not None:
            self.access_log.close()
        self._revocations.close()
        return self._closing.wait(close_all(self.reloading.closed()))
