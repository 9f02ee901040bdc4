"""Builds all parts of a gateway, wires them in one visible block, starts, drains and stops them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from gateway.assembly import Place
from gateway.config.model import Gateway, Member
from gateway.contained import ContainedObserver
from gateway.containment import Accounts, Terms
from gateway.discovery.membership import Membership
from gateway.error_pages import ErrorPages
from gateway.errors import SessionEnded
from gateway.health.defaults import probe_for
from gateway.health.monitor import HealthMonitor
from gateway.health.on_demand import OnDemand
from gateway.health.reports import Elsewhere
from gateway.http.forwarding import SERVER
from gateway.interfaces import IBackend, IMiddleware, IOutcomeObserver, IRoad
from gateway.listener.certificate_checks import load_terms, load_used
from gateway.listener.client_certificates import gates
from gateway.listener.factory import ListenerFactory
from gateway.listener.forwarded import TrustedProxies
from gateway.listener.http1 import ClientConnection
from gateway.listener.renewal import Renewal, certificate_files
from gateway.listener.revocation import Revocations
from gateway.listener.stream import StreamConnection, StreamFactory
from gateway.listener.tls import ServerTLS
from gateway.observe.access_log import open_access_log
from gateway.observe.admin import AdminSite
from gateway.observe.metrics import Metrics
from gateway.observe.reports import readiness, session_reports
from gateway.observe.sessions import Sessions
from gateway.observe.troubles import Troubles
from gateway.pools.backend import Loads
from gateway.pools.changes import Changes
from gateway.registry import Registry, close_all
from gateway.routing.bindings import bindings
from gateway.routing.rule_router import PATIENCE, ContainedRouter
from gateway.routing.table import RoutingTable
from gateway.startup import Binding, bind_all
from gateway.surroundings import Surroundings
from gateway.transport import road as choose_road
from gateway.transport.deadlines import Deadlines
from gateway.upstream.connections import Upstream
from gateway.upstream.stream import StreamUpstream, connect_stream
from gateway.upstream.tls import backend_tls
from gateway.values import Route

__all__ = ["GatewayService"]

_SWEEP_SECONDS = 5.0
_LAST_WORDS = 1.0
"""Seconds in which clients may take the 503 that they get at the end of the time to stop."""

_log = Logger("gateway")


class GatewayService(Service):
    """A whole gateway as a Twisted service.

    ``model``: a checked configuration.  ``reactor``: the global one if ``None``.  ``transport``: ``auto``, ``pump`` or
    ``twisted``.  ``access_log``: a path, ``-`` or ``off``.  ``admin``: ``HOST:PORT`` or ``None``.  ``notices``: what to
    log at start.  ``observers``: further `IOutcomeObserver`.  ``secret``: see `gateway.services.Services`; random if
    ``None``.

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
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.model = model
        self.reactor = reactor
        self.notices = tuple(notices)
        self.ports: dict[str, int] = {}
        self.admin_port: int | None = None
        self._secret = os.urandom(32) if secret is None else secret
        self._transport = transport
        self._access_log = access_log
        self._admin = admin
        self._extra_observers = tuple(observers)
        self._bound: list[Any] = []
        self._factories: list[ListenerFactory | StreamFactory] = []
        self._emptied: list[Deferred[None]] = []
        self._upstreams: dict[IBackend, Upstream] = {}
        self._tls: dict[str, ServerTLS] = {}
        self._cutting: Any = None
        self._build()

    # -- parts

    def _build(self) -> None:
        """Make all parts, then wire them: nothing looks another part up by a global name."""
        model, reactor = self.model, self.reactor
        chance = random.Random()
        self.road = self.make_road()
        self.deadlines = Deadlines(reactor)
        self.sessions = Sessions(reactor, chance)
        self.loads = Loads()
        limits = model.limits
        terms = Terms(limits.plugin_failures, limits.plugin_pause, limits.plugin_budget)
        self.accounts = Accounts(terms, self.deadlines.now)
        self.registry = Registry(reactor=reactor, random=chance, secret=self._secret, accounts=self.accounts)
        self._certificates, self._roots = load_used(model)
        self._terms = load_terms(model)
        self._revocations = Revocations(reactor, self.deadlines.now)
        self.pools: dict[tuple[str, str], Any] = self.registry.pools(model, self.loads)
        self.middleware = self.registry.middleware(model)
        self.filters = self.registry.filters(model)
        router = self._contained_router(self.make_router())  # which may ask for more pools
        self.monitor = HealthMonitor(reactor, chance)
        self.registry.watch(model, self.pools, self.monitor, self.road, self._roots)
        self.changes = Changes(self.monitor, self.sessions, self._forget, reactor)
        listed = {pool.name: pool.members for pool in model.pools}
        discoveries = self.registry.discoveries(model, self.pools)
        self.membership = Membership(discoveries, listed, self.pools.values, self.change_members)
        self.troubles = Troubles(self.deadlines.now)
        self.metrics = Metrics(self.pools.values, self.sessions, self.troubles, self.accounts)
        self.access_log = open_access_log(self._access_log, reactor)
        self.error_pages = ErrorPages(model)
        limits, everywhere = model.limits, model.global_configuration
        self.shared = Surroundings(
            router=router,
            upstream_for=self._upstream_for,
            deadlines=self.deadlines,
            seconds=self.deadlines.now,
            limits=model.limits,
            sessions=self.sessions,
            soon=partial(reactor.callLater, 0),
            observers=[self._contained_observer(observer) for observer in self.make_observers()],
            trusted=TrustedProxies(model.limits.trusted_proxies),
            error_reply=self.error_pages.reply,
            collects=limits.request_buffer_bytes if everywhere.enable_request_buffering else 0,
            server="" if everywhere.disable_default_server_header_in_response else SERVER,
        )
        self._renewal = Renewal(certificate_files(model), self._renew, reactor)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor

    def make_road(self) -> IRoad:
        """What carries the bytes."""
        return choose_road(self.reactor, self._transport)

    def make_router(self) -> Any:
        """The `IRouter` or `IAsyncRouter`; the configuration's routing table unless overridden.

        What a router of one's own returns is checked, and its failures are contained.  Middleware and the checks of
        client certificates are part of the table's routes: a router of one's own has to take those, or does without.
        """
        middleware: dict[Place, tuple[IMiddleware, ...]] = dict(self.middleware)
        for place, found in gates(self.model, self._terms, self._revocations).items():
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
        contained = self.accounts.open("router", type(router).__name__, "the gateway", router, ours=False)
        patience = self.model.limits.middleware_timeout or PATIENCE
        return ContainedRouter(router, contained, patience=patience, now=self.deadlines.now)

    def _contained_observer(self, observer: IOutcomeObserver) -> IOutcomeObserver:
        if observer in (self.metrics, self.access_log) or isinstance(observer, ContainedObserver):
            return observer
        contained = self.accounts.open("observer", type(observer).__name__, "the gateway", observer, ours=False)
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
        tls = partial(self._backend_tls, settings, backend.host, server_name) if settings.secure else None
        return connect_stream(self.road, backend, settings, tls, preface)

    def server_endpoint(self, listener: str, address: str, port: int, tls: ServerTLS | None) -> Any:
        """The ``IStreamServerEndpoint`` of a bound port; ``listener`` is the first that shares it."""
        return self.road.server(address, port, tls)

    def _upstream_for(self, route: Route, backend: IBackend) -> Upstream:
        upstream = self._upstreams.get(backend)
        if upstream is None:
            upstream = self._make_upstream(route, backend)
            if backend in route.pool.backends:
                self._upstreams[backend] = upstream
            else:
                upstream.close()  # it has left since it was leased: its connections are not kept
        return upstream

    def _forget(self, backend: IBackend) -> None:
        upstream = self._upstreams.pop(backend, None)
        if upstream is not None:
            upstream.close()

    def change_members(self, pool: Any, members: Sequence[Member]) -> None:
        """Let ``members`` be those of ``pool`` while traffic flows; see `gateway.pools.changes.Changes`."""
        self.changes.apply(pool, members)

    def _make_upstream(self, route: Route, backend: IBackend) -> Upstream:
        settings = route.settings
        tls: Callable[[str], Any] | None = None
        if settings.secure:
            tls = partial(self._backend_tls, settings, backend.host)
        return Upstream(backend, settings, self.road, self.deadlines.now, tls)

    def _backend_tls(self, settings: Any, member_host: str, client_host: str) -> Any:
        return backend_tls(settings, member_host, client_host, self._roots)

    def _renew(self) -> None:
        """Show the certificates as their files are now. Raises `ConfigurationError` and changes nothing then."""
        certificates, _ = load_used(self.model)
        terms = load_terms(self.model)
        for group in bindings(self.model):
            if group.listener in self._tls:
                self._tls[group.listener].replace(group.listeners, certificates, terms)

    def _sweep(self) -> None:
        for upstream in list(self._upstreams.values()):
            upstream.sweep()

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
        if self._bound:
            return
        wanted: list[Binding] = []
        groups = bindings(self.model)
        for group in groups:
            tls = None
            if group.secure:
                tls = self._tls[group.listener] = ServerTLS(group.listeners, self._certificates, self._terms)
            make = self.stream_factory if group.layer4 else self.listener_factory
            factory: ListenerFactory | StreamFactory = make(group.listener, group.port, tls is not None)
            self._factories.append(factory)
            endpoint = self.server_endpoint(group.listener, group.address, group.port, tls)
            wanted.append(Binding(group.listener, group.address, group.port, endpoint, factory))
        if self._admin is not None:
            host, _, port = self._admin.rpartition(":")
            host = host.strip("[]")
            endpoint = _admin_endpoint(self.reactor, host, int(port))
            site = self._admin_site(host)
            wanted.append(Binding("admin", host, int(port), endpoint, site, "--admin HOST:PORT"))
        ports: list[Any] = list(bind_all(wanted))
        self._bound = ports
        for group, factory, bound in zip(groups, self._factories, ports, strict=False):
            number = bound.getHost().port
            factory.port = group.port or number
            self.ports.update((listener.name, number) for listener in group.listeners)
        if self._admin is not None:
            self.admin_port = ports[-1].getHost().port

    def _admin_site(self, host: str) -> AdminSite:
        return AdminSite(
            pools=self.pools.values,
            probes=self.monitor,
            sessions=self.session_reports,
            exposition=self.exposition,
            ready=self.readiness,
            model=lambda: self.model,
            hosts=[host],
            refresh=self.refresh,
            elsewhere=self.ejected_elsewhere,
            on_demand=OnDemand(
                self.model.name, self.pools.values, partial(probe_for, self.model), self._make_probe, self.reactor
            ).ask,
            reactor=self.reactor,
        )

    def _make_probe(self, settings: Any, probe: Any) -> Any:
        return self.registry.probe(settings, probe, self.road, self._roots)

    def ejected_elsewhere(self) -> Elsewhere:
        """Which members other processes have ejected that this one has not."""
        return {}

    def refresh(self) -> Deferred[None]:
        """Called before `exposition` and `session_reports`; fires when what they give is up to date."""
        return succeed(None)

    def exposition(self) -> str:
        """The metrics, in the Prometheus text format."""
        return self.metrics.exposition()

    def session_reports(self, limit: int) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
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
        self.shared.stopping = True
        limit = self.model.limits.shutdown_timeout
        _log.info(
            "stopping: {connections} connections, {sessions} sessions, at most {limit:g} s",
            connections=sum(len(factory.connections) for factory in self._factories),
            sessions=self.sessions.count,
            limit=limit,
        )
        ended: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._bound]
        ended.append(self.membership.stop())
        self.monitor.stop()
        self.changes.stop()
        self.error_pages.stop()
        going = SessionEnded(1001, "the gateway is shutting down", "shutdown")
        # Connections of plain TCP cannot be told to end: they get the time that exchanges get.
        ended.append(self.sessions.end_all(going, where=lambda session: not session.outcome.layer4))
        for connection in self._connections():
            connection.stop()
        ended.append(self._when_empty())
        self._cutting = self.reactor.callLater(limit, self._cut)
        return DeferredList(ended).addCallback(self._stopped)

    def hurry(self) -> None:
        """The time to stop is over. Without effect unless the gateway is stopping."""
        if self._cutting is not None and self._cutting.active():
            self._cutting.reset(0)

    def _connections(self) -> list[ClientConnection | StreamConnection]:
        return [connection for factory in self._factories for connection in factory.connections]

    def _when_empty(self) -> Deferred[None]:
        if not self._connections():
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    def _cut(self) -> None:
        left = self._connections()
        _log.warn(
            "{connections} connections and {sessions} sessions did not end in time and are cut",
            connections=len(left),
            sessions=self.sessions.count,
        )
        for session in self.sessions:
            session.cut()
        for connection in left:
            connection.cut()
        self._cutting = self.reactor.callLater(_LAST_WORDS, self._abort)

    def _abort(self) -> None:
        for connection in self._connections():
            connection.transport.abortConnection()

    def _lost(self, connection: ClientConnection | StreamConnection) -> None:
        if self._emptied and not self._connections():
            waiting, self._emptied = self._emptied, []
            for emptied in waiting:
                emptied.callback(None)

    def _admits(self) -> bool:
        most = self.model.limits.max_connections
        return not self.shared.stopping and (most is None or sum(len(f.connections) for f in self._factories) < most)

    def _stopped(self, result: Any) -> Deferred[None]:
        if self._cutting.active():
            self._cutting.cancel()
        for factory in self._factories:
            for refused in tuple(factory.refused):
                refused.transport.abortConnection()
        self._renewal.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        for upstream in self._upstreams.values():
            upstream.close()
        self.deadlines.stop()
        self.road.stop()
        if self.access_log is not None:
            self.access_log.close()
        self._bound = []
        self._revocations.close()
        return close_all(self.registry.built)


def _admin_endpoint(reactor: Any, host: str, port: int) -> Any:
    from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint

    kind = TCP6ServerEndpoint if ":" in host else TCP4ServerEndpoint
    return kind(reactor, port, interface=host)
