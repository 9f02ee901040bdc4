"""The routing table: everything that can be decided beforehand is, so that a request costs a look-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from gateway.errors import NoRoute
from gateway.interfaces import IRouter, IStrategyFactory
from gateway.routing.bindings import Binding, bindings
from gateway.routing.hosts import HostMap, HostRule
from gateway.routing.paths import PathMap, literal
from gateway.routing.redirects import Redirection
from gateway.routing.rewrites import Rewriter
from gateway.routing.rewriting import Rewrites
from gateway.routing.targets import is_verbatim
from gateway.values import Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.assembly import Place
    from gateway.config.model import Gateway, Rule
    from gateway.interfaces import IMiddleware, IPool

__all__ = ["Decision", "RoutingTable", "factory", "needed_pools"]

Decision = Route | Callable[[RequestHead], "Route | Reply"]
"""What a listener does: a route that does not depend on the request, or a function that finds it."""

_MOST_HOSTS = 1024
_LONGEST_HOST = 262  # a name, a colon and a port; what is longer is not remembered
_V = TypeVar("_V")


@implementer(IRouter)
class RoutingTable:
    """Routes by listener, host and path.

    ``pools`` has the pool for each pair of pool name and settings name that `needed_pools` lists, ``middleware`` what
    is listed at each place.  The model has been checked: a name that does not resolve is a ``KeyError`` here.
    """

    def __init__(
        self,
        model: Gateway,
        pools: Mapping[tuple[str, str], IPool],
        middleware: Mapping[Place, tuple[IMiddleware, ...]] | None = None,
    ) -> None:
        self._builder = _Builder(model, pools, middleware or {})
        self._ports = bindings(model)
        self._fixed: dict[str, Decision] = {}
        self._maps: dict[str, HostMap[Decision]] = {}
        self._hosts: dict[str, dict[str, Decision]] = {}
        rules = _rule_of_listener(model)
        for port in self._ports:
            hosts = HostMap(
                [
                    HostRule(listener.host_names, rule.priority, self._builder.rule(rule))
                    for listener in port.listeners
                    if (rule := rules.get(listener.name)) is not None
                ]
            )
            if hosts.only is not None:
                self._fixed[port.listener] = hosts.only
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

    def _find(self, host: str, listener: str) -> Decision:
        decision = self._maps[listener].find(host)
        if decision is None:
            raise NoRoute(f"no listener on the port of {listener!r} answers for host {host[:100]!r}")
        remembered = self._hosts[listener]
        if len(host) <= _LONGEST_HOST:
            if len(remembered) >= _MOST_HOSTS:
                remembered.clear()
            remembered[host] = decision
        return decision


class _Builder:
    """Makes the decisions of a model."""

    def __init__(
        self,
        model: Gateway,
        pools: Mapping[tuple[str, str], IPool],
        middleware: Mapping[Place, tuple[IMiddleware, ...]],
    ) -> None:
        self._pools = pools
        self._middleware = middleware
        self._maps = _by_name(model.path_maps)
        self._redirects = _by_name(model.redirects)
        self._listeners = _by_name(model.listeners)
        self._rewriters = {item.name: Rewriter(item) for item in model.rewrites}

    def rule(self, rule: Rule) -> Decision:
        """What a rule does with the requests of its listener."""
        if rule.path_map is not None:
            return self._path_map(rule)
        return self._target(rule, self._chain(rule), rule.pool, rule.settings, rule.redirect, rewrite=rule.rewrite)

    def _chain(self, rule: Rule, *path: str) -> tuple[IMiddleware, ...]:
        """What requests of ``rule`` pass through, outermost first; ``path`` is the place of a path rule."""
        places: list[Place] = [(), ("listener", rule.listener), ("rule", rule.name)]
        if path:
            places.append(path)
        return tuple([each for place in places for each in self._middleware.get(place, ())])

    def _path_map(self, rule: Rule) -> Decision:
        path_map = self._maps[rule.path_map or ""]

        def decide(head: RequestHead) -> Route | Reply:
            decision = find(head.target)
            if isinstance(decision, Route):
                return decision
            return decision(head)

        default = self._target(
            rule, self._chain(rule), path_map.default_pool, path_map.default_settings, path_map.default_redirect,
            rewrite=path_map.default_rewrite, again=decide,
        )  # fmt: skip
        found: list[tuple[str, Decision]] = []
        for number, path_rule in enumerate(path_map.path_rules):
            chain = self._chain(rule, "path", path_map.name, str(number))
            pool, settings, redirect = path_rule.pool, path_rule.settings, path_rule.redirect
            for pattern in path_rule.paths:
                target = self._target(
                    rule, chain, pool, settings, redirect, path_rule.name, literal(pattern), path_rule.rewrite, decide
                )
                found.append((pattern, target))
        find = PathMap(found, default).find
        return decide

    def _target(
        self,
        rule: Rule,
        chain: tuple[IMiddleware, ...],
        pool: str | None,
        settings: str | None,
        redirect: str | None,
        name: str = "",
        matched: str = "",
        rewrite: str | None = None,
        again: Callable[[RequestHead], Route | Reply] | None = None,
    ) -> Decision:
        if redirect is not None:
            wanted = self._redirects[redirect]
            listener = self._listeners[wanted.target_listener] if wanted.target_listener else None
            return Redirection(wanted, listener, chain)
        if rewrite is not None:
            chain = (*chain, Rewrites(self._rewriters[rewrite], again))
        found = self._pools[pool or "", settings or ""]
        chain = (*chain, *found.middleware)
        return Route(rule.listener, rule.name, found, found.settings, name, matched, is_verbatim(found.settings), chain)


def needed_pools(model: Gateway) -> list[tuple[str, str]]:
    """The pairs of pool name and settings name that rules use, each once, in the order of use.

    Only these are probed and can be leased from; a pool that no rule uses does nothing.
    """
    maps = _by_name(model.path_maps)
    pairs: dict[tuple[str, str], None] = {}
    for rule in _rule_of_listener(model).values():
        wanted: list[tuple[str | None, str | None]] = [(rule.pool, rule.settings)]
        if rule.path_map is not None:
            path_map = maps[rule.path_map]
            wanted = [(path_rule.pool, path_rule.settings) for path_rule in path_map.path_rules]
            wanted.append((path_map.default_pool, path_map.default_settings))
        pairs.update({(pool, settings): None for pool, settings in wanted if pool is not None and settings is not None})
    return list(pairs)


def _rule_of_listener(model: Gateway) -> dict[str, Rule]:
    """Each listener has one rule; of several the one with the smallest priority counts, then the first."""
    known = {listener.name for listener in model.listeners}
    rules: dict[str, Rule] = {}
    for rule in sorted(model.rules, key=lambda rule: rule.priority or 1 << 30):
        if rule.listener in known:
            rules.setdefault(rule.listener, rule)
    return rules


def _by_name(items: tuple[_V, ...]) -> dict[str, _V]:
    return {item.name: item for item in items}  # type: ignore[attr-defined]


@implementer(IStrategyFactory)
class _Factory:
    name = "table"
    options = None

    def build(self, options: None, services: Any) -> RoutingTable:
        return RoutingTable(services.model, services.pools, services.middleware)


factory = _Factory()
