"""Makes the decisions of a model: everything that can be decided beforehand is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gateway.config.targets import distribution_pools, pairs_of_map, pairs_of_rule
from gateway.routing.conditions import Conditions
from gateway.routing.decisions import ByCondition, ByPath, ConditionRule, Decision, Shared
from gateway.routing.distribution import Shares
from gateway.routing.paths import literal
from gateway.routing.redirects import Redirection
from gateway.routing.rewrites import Rewriter
from gateway.routing.rewriting import Rewrites
from gateway.routing.rule_router import nowhere
from gateway.routing.targets import is_verbatim
from gateway.values import Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Gateway, PathRule, RoutingMap, RoutingRule, Rule
    from gateway.interfaces import IMiddleware, IPool
    from gateway.messages.depth import MessageDepth
    from gateway.messages.filtering import NamedFilter
    from gateway.routing.rule_router import RouterMaker
    from gateway.strategies.places import Place

__all__ = ["Builder", "needed_pools", "rule_of_listener"]

_V = TypeVar("_V")


class Builder:
    """Makes the decisions of a model. Arguments as for `gateway.routing.table.RoutingTable`."""

    def __init__(
        self,
        model: Gateway,
        pools: Mapping[tuple[str, str], IPool],
        middleware: Mapping[Place, tuple[IMiddleware, ...]],
        filters: Mapping[Place, tuple[NamedFilter, ...]],
        routers: RouterMaker | None = None,
    ) -> None:
        self._pools = pools
        self._middleware = middleware
        self._filters = filters
        self._routers = routers
        self._most = model.limits.max_message_bytes
        self._path_maps = _by_name(model.path_maps)
        self._routing_maps = _by_name(model.routing_maps)
        self._distributions = _by_name(model.distributions)
        self._redirects = _by_name(model.redirects)
        self._listeners = _by_name(model.listeners)
        self._rewriters = {item.name: Rewriter(item) for item in model.rewrites}
        self._conditions = {item.name: Conditions(item) for item in model.condition_sets}

    def rule(self, rule: Rule) -> Decision:
        """What a rule does with the requests of its listener."""
        if rule.router is None:
            return self._without_router(rule)
        leads = (rule.pool, rule.distribution, rule.path_map, rule.routing_map, rule.redirect)
        own: Decision = nowhere(rule) if leads == (None,) * len(leads) else self._without_router(rule)
        if self._routers is None:
            return own
        passing = self._passing(rule)
        passed = passing._replace(middleware=(*passing.middleware, *self._rewrites(rule)))
        otherwise = (lambda head: own) if isinstance(own, Route) else own
        made: Decision = self._routers(rule, passing.middleware, partial(self._route, rule, passed), otherwise)
        return made

    def _without_router(self, rule: Rule) -> Decision:
        if rule.path_map is not None:
            return self._path_map(rule, rule.path_map)
        if rule.routing_map is not None:
            return self._routing_map(rule, self._routing_maps[rule.routing_map])
        return self._target(rule, self._passing(rule), rule)

    def _passing(self, rule: Rule, *path: str) -> _Passing:
        """What requests of ``rule`` pass through, outermost first; ``path`` is the place of a path rule."""
        places: list[Place] = [(), ("listener", rule.listener), ("rule", rule.name)]
        if path:
            places.append(path)
        return _Passing(
            tuple([each for place in places for each in self._middleware.get(place, ())]),
            tuple([each for place in places for each in self._filters.get(place, ())]),
        )

    def _depth(self, filters: tuple[NamedFilter, ...], settings: BackendSettings) -> MessageDepth | None:
        if not filters:
            return None
        from gateway.messages.depth import MessageDepth  # with Autobahn, and so only where somebody wants it

        return MessageDepth(filters, settings.web_socket_compression, self._most)

    def _path_map(self, rule: Rule, name: str) -> Decision:
        path_map = self._path_maps[name]
        made = ByPath(name)
        default = _Default(
            path_map.default_pool, path_map.default_distribution, path_map.default_settings,
            path_map.default_redirect, path_map.default_rewrite,
        )  # fmt: skip
        rules: list[tuple[str, str, Decision]] = []
        for number, path_rule in enumerate(path_map.path_rules):
            passing = self._passing(rule, "path", path_map.name, str(number))
            for pattern in path_rule.paths:
                target = self._target(rule, passing, path_rule, path_rule.name, literal(pattern), made.resolve)
                rules.append((path_rule.name, pattern, target))
        made.fill(rules, self._target(rule, self._passing(rule), default, again=made.resolve))
        return made

    def _routing_map(self, rule: Rule, routing_map: RoutingMap) -> Decision:
        passing = self._passing(rule)
        default = _Default(
            routing_map.default_pool, None, routing_map.default_settings,
            routing_map.default_redirect, routing_map.default_rewrite,
        )  # fmt: skip
        rules = [
            ConditionRule(each.name, self._conditions[each.condition_set], self._target(rule, passing, each, each.name))
            for each in sorted(routing_map.rules, key=lambda each: each.priority)
        ]
        return ByCondition(routing_map.name, rules, self._target(rule, passing, default), passing.middleware)

    def _target(
        self,
        rule: Rule,
        passing: _Passing,
        target: Rule | PathRule | RoutingRule | _Default,
        name: str = "",
        matched: str = "",
        again: Callable[[RequestHead, str], Route | Reply] | None = None,
    ) -> Decision:
        if target.redirect is not None:
            wanted = self._redirects[target.redirect]
            listener = self._listeners[wanted.target_listener] if wanted.target_listener else None
            return Redirection(wanted, listener, passing.middleware)
        passed = _Passing((*passing.middleware, *self._rewrites(target, again)), passing.filters)

        def route(pool: str | None) -> Route:
            return self._route(rule, passed, pool or "", target.settings or "", name, matched)

        shared = getattr(target, "distribution", None)
        if shared is None:
            return route(target.pool)
        distribution = self._distributions[shared]
        routes = [route(each.pool) for each in distribution.targets]
        shares = Shares(distribution.algorithm, routes, [each.weight for each in distribution.targets])
        return Shared(shared, shares, passing.middleware)

    def _rewrites(
        self,
        target: Rule | PathRule | RoutingRule | _Default,
        again: Callable[[RequestHead, str], Route | Reply] | None = None,
    ) -> tuple[IMiddleware, ...]:
        return () if target.rewrite is None else (Rewrites(self._rewriters[target.rewrite], again),)

    def _route(
        self, rule: Rule, passing: _Passing, pool: str, settings: str, name: str, matched: str
    ) -> Route:
        found = self._pools[pool, settings]
        # Rewrites are before what belongs to the pool, so that attributes of its cookies can be changed.
        passed = (*passing.middleware, *found.middleware)
        depth = self._depth(passing.filters, found.settings)
        verbatim = is_verbatim(found.settings)
        return Route(rule.listener, rule.name, found, found.settings, name, matched, verbatim, passed, depth)


class _Passing(NamedTuple):
    """What the requests of a rule or path rule pass through, and the messages of their sessions."""

    middleware: tuple[IMiddleware, ...]
    filters: tuple[NamedFilter, ...]


class _Default(NamedTuple):
    """Where a map leads that has no rule for a request."""

    pool: str | None
    distribution: str | None
    settings: str | None
    redirect: str | None
    rewrite: str | None


def needed_pools(model: Gateway) -> list[tuple[str, str]]:
    """The pairs of pool name and settings name that rules use, each once, in the order of use.

    Only these are probed and can be leased from; a pool that no rule uses does nothing.
    """
    path_maps, routing_maps = _by_name(model.path_maps), _by_name(model.routing_maps)
    shares = distribution_pools(model)
    pairs: dict[tuple[str, str], None] = {}
    for rule in rule_of_listener(model).values():
        if rule.path_map is not None:
            wanted = pairs_of_map(path_maps[rule.path_map], shares)
        elif rule.routing_map is not None:
            wanted = pairs_of_map(routing_maps[rule.routing_map], shares)
        else:
            wanted = pairs_of_rule(rule, shares)
        pairs.update({(pool, settings): None for pool, settings in wanted if pool is not None and settings is not None})
    return list(pairs)


def rule_of_listener(model: Gateway) -> dict[str, Rule]:
    """Each listener has one rule; of several the one with the smallest priority counts, then the first."""
    known = {listener.name for listener in model.listeners}
    rules: dict[str, Rule] = {}
    for rule in sorted(model.rules, key=lambda rule: rule.priority or 1 << 30):
        if rule.listener in known:
            rules.setdefault(rule.listener, rule)
    return rules


def _by_name(items: tuple[_V, ...]) -> dict[str, _V]:
    return {item.name: item for item in items}  # type: ignore[attr-defined]
