"""Everything in a model that leads to pools: which pools with which settings."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Gateway, PathMap, PathRule, RoutingMap, Rule

__all__ = ["distribution_pools", "pairs_of_default", "pairs_of_map", "pairs_of_rule", "pool_pairs"]

Pair = tuple[str | None, str | None]


def pool_pairs(gateway: Gateway) -> Iterator[Pair]:
    """Names of pool and settings, of rules and of all maps, used or not; those of distributions one by one."""
    shares = distribution_pools(gateway)
    for rule in gateway.rules:
        yield from pairs_of_rule(rule, shares)
    for path_map in gateway.path_maps:
        yield from pairs_of_map(path_map, shares)
    for routing_map in gateway.routing_maps:
        yield from pairs_of_map(routing_map, shares)


def distribution_pools(gateway: Gateway) -> dict[str, tuple[str, ...]]:
    """The pools of each distribution."""
    return {item.name: tuple(target.pool for target in item.targets) for item in gateway.distributions}


def pairs_of_rule(rule: Rule | PathRule, shares: dict[str, tuple[str, ...]]) -> Iterator[Pair]:
    """The same of a rule or a path rule alone, without its maps."""
    yield from _pairs(rule.pool, rule.distribution, rule.settings, shares)


def pairs_of_map(found: PathMap | RoutingMap, shares: dict[str, tuple[str, ...]]) -> Iterator[Pair]:
    """The same of a map: its rules, then its default."""
    if isinstance(found, PathMap):
        for path_rule in found.path_rules:
            yield from pairs_of_rule(path_rule, shares)
        yield from pairs_of_default(found, shares)
        return
    for rule in found.rules:
        yield rule.pool, rule.settings
    yield found.default_pool, found.default_settings


def pairs_of_default(found: PathMap, shares: dict[str, tuple[str, ...]]) -> Iterator[Pair]:
    """The same of the default of a path map."""
    yield from _pairs(found.default_pool, found.default_distribution, found.default_settings, shares)


def _pairs(
    pool: str | None, distribution: str | None, settings: str | None, shares: dict[str, tuple[str, ...]]
) -> Iterator[Pair]:
    if distribution is None:
        yield pool, settings
    else:
        for share in shares.get(distribution, ()):
            yield share, settings
