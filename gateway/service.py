"""Builds all parts of a gateway, wires them in one visible block, starts, drains and stops them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from gateway.assembly import Place, Steps, finished
from gateway.config.model import Gateway, Member, Resolver
from gateway.contained import ContainedObserver
from gateway.containment import Accounts, Terms
from gateway.discovery.membership import Membership
from gateway.discovery.resolver import NameServers
from gateway.errors import SessionEnded
from gateway.generation import Generation, Material
from gateway.health.defaults import probe_for
from gateway.health.monitor import HealthMonitor
from gateway.health.on_demand import OnDemand
from gateway.http.forwarding import SERVER
from gateway.interfaces import IBackend, IMiddleware, IOutcomeObserver, IRoad
from gateway.listener.client_certificates import gates
from gateway.listener.factory import ListenerFactory
from gateway.listener.forwarded import TrustedProxies
from gateway.listener.renewal import Renewal, certificate_files
from gateway.listener.revocation import Revocations
from gateway.listener.stream import StreamFactory
from gateway.listener.tls import ServerTLS
from gateway.observe.access_log import open_access_log
from gateway.observe.admin import AdminSite
from gateway.observe.metrics import Metrics
from gateway.observe.reports import readiness, session_reports
from gateway.observe.sessions import Sessions
from gateway.observe.troubles import Troubles
from gateway.pools.backend import Loads
from gateway.pools.changes import Changes
from gateway.ports import LAST_WORDS, Ports
from gateway.registry import Registry, close_all
from gateway.relay.read_ahead import ReadAhead
from gateway.reloading import Reloading, Source, Successions
from gateway.routing.bindings import bindings
from gateway.routing.rule_router import PATIENCE, ContainedRouter
from gateway.routing.table import RoutingTable
from gateway.startup import Binding, CannotBind, refuse
from gateway.surroundings import Surroundings
from gateway.transport import road as choose_road
from gateway.transport.deadlines import Deadlines
from gateway.transport.names import Names
from gateway.transport.sockets import same_socket
from gateway.upstream.connections import Upstream
from gateway.upstream.stream import StreamUpstream, connect_stream
from gateway.upstream.tls import Roots, backend_tls
from gateway.values import Route

if TYPE_CHECKING:
    from gateway.error_pages import ErrorPages
    from gateway.routing.bindings import Binding as Group
    from gateway.websocket.filtering import NamedFilter

__all__ = ["GatewayService"]

_SWEEP_SECONDS = 5.0
_log = Logger("gateway")


class GatewayService(Service):
    """A whole gateway as a Twisted service.

    ``model``: a checked configuration.  ``reactor``: the global one if ``None``.  ``transport``: ``auto``, ``pump`` or
    ``twisted``.  ``access_log``: a path, ``-`` or ``off``.  ``admin``: ``HOST:PORT`` or ``None``.  ``notices``: what to
    log at start.  ``observers``: further `IOutcomeObserver`.  ``secret``: see `gateway.services.Services`; random if
    ``None``.  ``source``: reads the configuration again, see `reload`.

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
        admin: str | None = None,
        notices: Sequence[str] = (),
        observers: Sequence[IOutcomeObserver] = (),
        secret: bytes | None = None,
        source: Source | None = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.reactor = reactor
        self.notices = tuple(notices)
        self.admin_port: int | None = None
        self._secret = os.urandom(32) if secret is None else secret
        self._transport = transport
        self._access_log = access_log
        self._admin = admin
        self._extra_observers = tuple(observers)
        self.connections_elsewhere = 0  # clients of other processes
        self._admin_bound: Any = None
        self._is_bound = False
        self._emptied: list[Deferred[None]] = []
        self._upstreams: dict[IBackend, Upstream] = {}
        self._cutting: Any = None
        self.reloading = Reloading(self, source)
        self._start_with(Material.of(model), self._build())

    # -- parts

    def _build(self) -> Registry:
        """Make the parts that stay whatever the configuration is; returns what makes those that do not."""
        reactor = self.reactor
        chance = random.Random()
        self.name_servers = NameServers(Resolver(), reactor)
        self.road = self.make_road()
        self.deadlines = Deadlines(reactor)
        self.sessions = Sessions(reactor, chance)
        self.loads = Loads()
        self.accounts = Accounts(seconds=self.deadlines.now)
        registry = Registry(reactor=reactor, random=chance, secret=self._secret, accounts=self.accounts)
        self._revocations = Revocations(reactor, self.deadlines.now)
        self.monitor = HealthMonitor(reactor, chance)
        self.changes = Changes(self.monitor, self.sessions, self._forget, reactor)
        self.membership = Membership({}, {}, lambda: self.pools.values(), self.change_members)
        self.troubles = Troubles(self.deadlines.now)
        self.metrics = Metrics(lambda: self.pools.values(), self.sessions, self.troubles, self.accounts)
        self.access_log = open_access_log(self._access_log, reactor)
        self._ports = Ports(self._factory, self.server_endpoint, self.sessions, reactor)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        return registry

    def _start_with(self, material: Material, registry: Registry) -> None:
        now = finished(self.generation(material, registry))
        self._adopt(now, Successions(now, None))

    def generation(self, material: Material, registry: Registry) -> Steps[Generation]:
        """Make all parts of a configuration, then wire them: nothing looks another part up by a global name.

        Nothing of what runs changes.  Raises `ConfigurationError`, or what an overridden method does; what has been
        made is closed then.
        """
        now = Generation(material, registry)
        steps = self._fill(now)
        try:
            while self._step(now, steps):
                yield
        except BaseException:
            self.discard(now)
            raise
        registry.settled()
        return now

    def _step(self, now: Generation, steps: Steps[None]) -> bool:
        """Make some of ``now``; false when it is complete."""
        before: Generation | None = getattr(self, "now", None)
        # Methods that may be overridden look at the service: it shows the new parts while they are made.
        self.now = now
        limits = now.model.limits
        self.accounts.terms = Terms(limits.plugin_failures, limits.plugin_pause, limits.plugin_budget)
        try:
            next(steps)
        except StopIteration:
            return False
        finally:
            if before is not None:
                self.now = before
        return True

    def discard(self, now: Generation) -> None:
        """Close what was made for a configuration that will not run."""
        others = [] if self.now is now else [self.now]  # a first one fails alone
        self._close_left(now, others)

    def _close_left(self, old: Generation, others: Sequence[Generation]) -> None:
        strategies, accounts = old.left_over([*others, *self.reloading.leaving])
        self.accounts.close(accounts)
        close_all(strategies)

    def _fill(self, now: Generation) -> Steps[None]:
        model, limits, registry = now.model, now.model.limits, now.registry
        now.pools = yield from registry.pools_by_steps(model, self.loads)
        yield
        now.middleware = registry.middleware(model)
        now.filters = registry.filters(model)
        yield
        now.router = self._contained_router(self.make_router())  # which may ask for more pools
        yield
        now.checks = yield from registry.checks_by_steps(model, now.pools, self.road, now.roots)
        yield
        now.discoveries = registry.discoveries(model, now.pools)
        everywhere = model.global_configuration
        now.shared = Surroundings(
            router=now.router,
            upstream_for=partial(self._upstream_for, now.roots),
            deadlines=self.deadlines,
            seconds=self.deadlines.now,
            limits=limits,
            sessions=self.sessions,
            soon=partial(self.reactor.callLater, 0),
            observers=[self._contained_observer(observer) for observer in self.make_observers()],
            trusted=TrustedProxies(limits.trusted_proxies),
            error_reply=now.error_pages.reply,
            collects=limits.request_buffer_bytes if everywhere.enable_request_buffering else 0,
            read_ahead=ReadAhead(limits.response_buffer_bytes) if everywhere.enable_response_buffering else None,
            server="" if everywhere.disable_default_server_header_in_response else SERVER,
        )

    def _adopt(self, now: Generation, successions: Successions) -> None:
        """Let the pools of ``now`` be those of the gateway, and their members those that belong to them."""
        self.now = now
        self.name_servers.use(now.model.resolver)
        for _, old, new in successions.changed:
            if old is not new:
                new.succeed(old)
        self.monitor.succeed([(old, new, *now.checks[pair]) for pair, old, new in successions.changed])
        for pool in successions.reconnect:
            for backend in pool.backends:
                self._forget(backend)
        self.membership.change(now.discoveries, now.listed)
        for pair in successions.came:
            pool = now.pools[pair]
            pool.set_members(self.members(pool.name))
            self.monitor.watch(pool, *now.checks[pair])
            self.follow_pool(pool)
        for pool in successions.stayed:
            self.changes.apply(pool, self.members(pool.name), quiet=True)
        for pool in successions.went:
            self.changes.apply(pool, (), quiet=True)
            self.monitor.unwatch(pool)
            pool.close()
        self._renewal = Renewal(certificate_files(now.model), self._renew, self.reactor)

    def members(self, pool: str) -> Sequence[Member]:
        """Who belongs to the pool of this name now."""
        return self.membership.members(pool)

    def follow_pool(self, pool: Any) -> None:
        """Called for each pool that is new, before anything happens to it."""

    # -- what is made of the configuration that runs

    @property
    def model(self) -> Gateway:
        """The configuration that runs."""
        return self.now.model

    @property
    def pools(self) -> dict[tuple[str, str], Any]:
        """By pool name and settings name."""
        return self.now.pools

    @property
    def middleware(self) -> Mapping[Place, tuple[IMiddleware, ...]]:
        """By the place where it is listed."""
        return self.now.middleware

    @property
    def filters(self) -> Mapping[Place, tuple[NamedFilter, ...]]:
        """By the place where they are listed."""
        return self.now.filters

    @property
    def registry(self) -> Registry:
        """What has made the strategies."""
        return self.now.registry

    @property
    def shared(self) -> Surroundings:
        """What new exchanges share."""
        return self.now.shared

    @property
    def error_pages(self) -> ErrorPages:
        """The operator's."""
        return self.now.error_pages

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

    def reload(self) -> Deferred[list[str]]:
        """Read the configuration again and go on with it; see `gateway.reloading.Reloading.reload`."""
        return self.reloading.reload()

    # -- parts that may be overridden

    def make_road(self) -> IRoad:
        """What carries the bytes."""
        names = Names(lambda: self.name_servers, self.reactor, self._moved)
        return choose_road(self.reactor, self._transport, names)

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

    def _contained_router(self, router: Any) -> Any:
        if type(router) is RoutingTable:
            return router
        contained = self.registry.account("router", type(router).__name__, "the gateway", router, ours=False)
        patience = self.model.limits.middleware_timeout or PATIENCE
        return ContainedRouter(router, contained, patience=patience, now=self.deadlines.now)

    def _contained_observer(self, observer: IOutcomeObserver) -> IOutcomeObserver:
        if observer in (self.metrics, self.access_log) or isinstance(observer, ContainedObserver):
            return observer
        contained = self.registry.account("observer", type(observer).__name__, "the gateway", observer, ours=False)
        return ContainedObserver(observer, contained)

    def listener_factory(self, listener: str, port: int, tls: bool) -> ListenerFactory:
        """The factory behind a bound port."""
        return self.listener_class(
            listener, port, self.shared, self.shared.trusted,
            tls=tls, admits=self._admits, lost=self._lost, troubles=self.troubles,
        )  # fmt: skip

    def stream_factory(self, listener: str, port: int, tls: bool) -> StreamFactory:
        """The factory behind a bound port of plain TCP or TLS."""
        return StreamFactory(
            listener, port, self.shared, self._connect_stream,
            tls=tls, admits=self._admits, lost=self._lost, troubles=self.troubles,
        )  # fmt: skip

    def _connect_stream(
        self, route: Route, backend: IBackend, server_name: str, preface: bytes
    ) -> Deferred[StreamUpstream]:
        settings = route.settings
        tls = partial(_backend_tls, settings, backend.host, self.now.roots, server_name) if settings.secure else None
        return connect_stream(self.road, backend, settings, tls, preface)

    def _factory(self, group: Group, tls: bool) -> ListenerFactory | StreamFactory:
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

    def _upstream_for(self, roots: Roots, route: Route, backend: IBackend) -> Upstream:
        upstream = self._upstreams.get(backend)
        if upstream is None:
            upstream = self._make_upstream(roots, route, backend)
            if backend in route.pool.backends:
                self._upstreams[backend] = upstream
            else:
                upstream.close()  # it has left since it was leased: its connections are not kept
        return upstream

    def _moved(self, host: str, port: int, addresses: frozenset[str]) -> None:
        """A member's name has other addresses: connections to those it had are used no more."""
        for backend, upstream in self._upstreams.items():
            if (backend.connect_host, backend.connect_port) == (host, port):
                upstream.moved(addresses)

    def _forget(self, backend: IBackend) -> None:
        upstream = self._upstreams.pop(backend, None)
        if upstream is not None:
            upstream.close()

    def change_members(self, pool: Any, members: Sequence[Member]) -> None:
        """Let ``members`` be those of ``pool`` while traffic flows; see `gateway.pools.changes.Changes`."""
        self.changes.apply(pool, members)

    def _make_upstream(self, roots: Roots, route: Route, backend: IBackend) -> Upstream:
        settings = route.settings
        tls: Callable[[str], Any] | None = None
        if settings.secure:
            tls = partial(_backend_tls, settings, backend.host, roots)
        return Upstream(backend, settings, self.road, self.deadlines.now, tls)

    def _renew(self) -> None:
        """Show the certificates as their files are now. Raises `ConfigurationError` and changes nothing then."""
        material = Material.of(self.model)
        for group in bindings(self.model):
            tls = self._ports.tls(group.listener)
            if tls is not None:
                tls.replace(group.listeners, material.certificates, material.terms)

    def _sweep(self) -> None:
        for upstream in list(self._upstreams.values()):
            upstream.sweep()
        self._ports.settle()
        self.reloading.retire()

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
        if self._is_bound:
            return
        self._is_bound = True
        more: list[Binding] = []
        if self._admin is not None:
            host, _, port = self._admin.rpartition(":")
            host = host.strip("[]")
            endpoint = _admin_endpoint(self.reactor, host, int(port))
            site = self._admin_site(host)
            more.append(Binding("admin", host, int(port), endpoint, site, "--admin HOST:PORT"))
        try:
            change, bound = self._ports.prepare(bindings(self.model), partial(self._secured, self.now), more)
        except CannotBind as error:
            refuse(error.problems)
        self._ports.commit(change, self.shared)
        if bound:
            self._admin_bound = bound[0]
            self.admin_port = bound[0].getHost().port

    def _secured(self, now: Generation, group: Group) -> ServerTLS | None:
        return ServerTLS(group.listeners, now.certificates, now.terms) if group.secure else None

    def close_left(self, old: Generation) -> None:
        """Close what only ``old`` had: nobody uses it any more."""
        self._close_left(old, [self.now])

    def go_on(self, now: Generation, successions: Successions) -> None:
        """Serve ``now`` from here on. Raises `CannotBind`, or ``ValueError`` for TLS, and changes nothing then."""
        change, _ = self._ports.prepare(bindings(now.model), partial(self._secured, now))
        self.error_pages.stop()
        self._renewal.stop()
        now.error_pages.remember(self.error_pages)
        self._adopt(now, successions)
        self._ports.commit(change, now.shared)
        self._ports.leave(change, now.model.limits.shutdown_timeout)
        now.error_pages.fetch_all(self.reactor)
        self._renewal.start()

    def _admin_site(self, host: str) -> AdminSite:
        return AdminSite(
            pools=lambda: self.pools.values(),
            probes=self.monitor,
            sessions=self.session_reports,
            exposition=self.exposition,
            ready=self.readiness,
            model=lambda: self.model,
            hosts=[host],
            refresh=self.refresh,
            on_demand=OnDemand(
                lambda: self.model.name, lambda: self.pools.values(), lambda settings: probe_for(self.model, settings),
                self._make_probe, self.reactor,
            ).ask,
            reload=self.reload,
            reactor=self.reactor,
        )

    def _make_probe(self, settings: Any, probe: Any) -> Any:
        return self.registry.probe(settings, probe, self.road, self.now.roots)

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

    @property
    def has_log_file(self) -> bool:
        """There is an access log that may be opened again."""
        return self.access_log is not None

    def reopen_logs(self) -> None:
        """Open the access log anew; the file may have been renamed. Called for SIGUSR1."""
        if self.access_log is not None:
            self.access_log.reopen()
            _log.info("the access log has been opened again")

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
            connections=self._ports.count(),
            sessions=self.sessions.count,
            limit=limit,
        )
        ended = self._ports.stop_listening()
        if self._admin_bound is not None:
            ended.append(maybeDeferred(self._admin_bound.stopListening))
        ended.append(self.membership.stop())
        self.monitor.stop()
        self.changes.stop()
        self.error_pages.stop()
        going = SessionEnded(1001, "the gateway is shutting down", "shutdown")
        # Connections of plain TCP cannot be told to end: they get the time that exchanges get.
        ended.append(self.sessions.end_all(going, where=lambda session: not session.outcome.layer4))
        for connection in self._ports.connections():
            connection.stop()
        ended.append(self._when_empty())
        self._cutting = self.reactor.callLater(limit, self._cut)
        return DeferredList(ended).addCallback(self._stopped)

    def hurry(self) -> None:
        """The time to stop is over. Without effect unless the gateway is stopping."""
        if self._cutting is not None and self._cutting.active():
            self._cutting.reset(0)

    def _when_empty(self) -> Deferred[None]:
        if not self._ports.count():
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    def _cut(self) -> None:
        left = list(self._ports.connections())
        _log.warn(
            "{connections} connections and {sessions} sessions did not end in time and are cut",
            connections=len(left),
            sessions=self.sessions.count,
        )
        for session in self.sessions:
            session.cut()
        for connection in left:
            connection.cut()
        self._cutting = self.reactor.callLater(LAST_WORDS, self._abort)

    def _abort(self) -> None:
        for connection in self._ports.connections():
            connection.transport.abortConnection()

    def _lost(self, connection: object) -> None:
        if self._emptied and not self._ports.count():
            waiting, self._emptied = self._emptied, []
            for emptied in waiting:
                emptied.callback(None)

    def _admits(self) -> bool:
        most = self.model.limits.max_connections
        return not self.shared.stopping and (most is None or self._ports.count() + self.connections_elsewhere < most)

    def _stopped(self, result: Any) -> Deferred[None]:
        if self._cutting.active():
            self._cutting.cancel()
        self._ports.stop()
        self._renewal.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        for upstream in self._upstreams.values():
            upstream.close()
        self.deadlines.stop()
        self.road.stop()
        if self.access_log is not None:
            self.access_log.close()
        self._is_bound = False
        self._revocations.close()
        return close_all(self.reloading.closed())


def _backend_tls(settings: Any, member_host: str, roots: Roots, client_host: str) -> Any:
    return backend_tls(settings, member_host, client_host, roots)


def _admin_endpoint(reactor: Any, host: str, port: int) -> Any:
    from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint

    kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    return kind(reactor, port, interface=host)
