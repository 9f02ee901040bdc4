"""The routing table: everything that can be decided beforehand is, so that a request costs a look-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import implementer

from gateway.errors import NoRoute
from gateway.interfaces import IHostRouter, IStrategyFactory
from gateway.routing.bindings import Binding, bindings
from gateway.routing.building import Builder, needed_pools, rule_of_listener
from gateway.routing.decisions import Decision
from gateway.routing.hosts import HostMap, HostRule
from gateway.routing.rule_router import Otherwise
from gateway.values import Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.config.model import Gateway, HttpListener, Rule
    from gateway.interfaces import IMiddleware, IPool
    from gateway.messages.filtering import NamedFilter
    from gateway.routing.rule_router import RouterMaker
    from gateway.strategies.places import Place

__all__ = ["RoutingTable", "Site", "factory", "needed_pools"]

_MOST_HOSTS = 1024
_LONGEST_HOST = 262  # a name, a colon and a port; what is longer is not remembered


class Site(NamedTuple):
    """A listener with its rule, and what they do."""

    listener: HttpListener
    rule: Rule
    decision: Decision


@implementer(IHostRouter)
class RoutingTable:
    """Routes by listener, host and path.

    ``pools`` has the pool for each pair of pool name and settings name that `needed_pools` lists, ``middleware`` what
    is listed at each place; ``routers`` makes those of rules, and adds to ``pools`` what they ask for.  The model has
    been checked: a name that does not resolve is a ``KeyError`` here.
    """

    def __init__(
        self,
        model: Gateway,
        pools: Mapping[tuple[str, str], IPool],
        middleware: Mapping[Place, tuple[IMiddleware, ...]] | None = None,
        filters: Mapping[Place, tuple[NamedFilter, ...]] | None = None,
        routers: RouterMaker | None = None,
    ) -> None:
        builder = Builder(model, pools, middleware or {}, filters or {}, routers)
        self._ports = bindings(model)
        self._fixed: dict[str, Decision] = {}
        self._maps: dict[str, HostMap[Site]] = {}
        self._hosts: dict[str, dict[str, Decision]] = {}
        rules = rule_of_listener(model)
        for port in self._ports:
            hosts = HostMap(
                [
                    HostRule(listener.host_names, rule.priority, Site(listener, rule, builder.rule(rule)))
                    for listener in port.listeners
                    if (rule := rules.get(listener.name)) is not None
                ]
            )
            if hosts.only is not None:
                self._fixed[port.listener] = hosts.only.decision
            self._maps[port.listener] = hosts
            self._hosts[port.listener] = {}

    def ports(self) -> list[Binding]:
        """The ports to bind; ``listener`` of each is what `route` wants."""
        return list(self._ports)

    def route(self, head: RequestHead, listener: str) -> Route | Reply:
        """See `IRouter.route`. HOT. Raises `BadRequest` for a redirect that needs a Host and finds none."""
        decision = self._fixed.get(listener)
        if decision is None:
            decision = self._hosts[listener].get(head.host)
            if decision is None:
                decision = self._find(head.host, listener)
        if isinstance(decision, Route):
            return decision
        return decision(head)

    def route_of(self, host: str, listener: str) -> Route | None:
        """See `IHostRouter.route_of`: of a host that has been asked for before. HOT"""
        decision = self._fixed.get(listener)
        if decision is None:
            decision = self._hosts[listener].get(host)
        return decision if isinstance(decision, Route) else None

    def sites(self, listener: str) -> HostMap[Site]:
        """What answers on a port, by host. For explanations."""
        return self._maps[listener]

    def _find(self, host: str, listener: str) -> Decision:
        site = self._maps[listener].find(host)
        if site is None:
            raise NoRoute(f"no listener on the port of {listener!r} answers for host {host[:100]!r}")
        decision = site.decision
        remembered = self._hosts[listener]
        if len(host) <= _LONGEST_HOST:
            if len(remembered) >= _MOST_HOSTS:
                remembered.clear()
            remembered[host] = decision
        return decision


@implementer(IStrategyFactory)
class _Factory:
    name = "table"
    options = None

    def build(self, options: None, services: Any) -> Otherwise:
        return Otherwise(services.otherwise)


factory = _Factory()
