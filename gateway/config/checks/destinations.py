"""Where rules, path maps, routing maps and their rules lead: to exactly one thing."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.draft import Location
from gateway.config.model import Gateway, PathMap, PathRule, RoutingMap, RoutingRule, Rule

__all__ = ["find"]

_WAYS = ("pool", "distribution", "redirect", "path map", "routing map")
_TYPES = {"path map": "PathBasedRouting", "routing map": "AdvancedRouting"}
"""What ``ruleType`` of a template says of a rule that leads there; else ``Basic``."""


def find(gateway: Gateway) -> Iterator[Finding]:
    """What leads nowhere, to several things, or to a pool without settings."""
    for index, rule in enumerate(gateway.rules):
        yield from _one(("rules", index), f"rule {rule.name!r}", rule, router=rule.router is not None)
    for index, path_map in enumerate(gateway.path_maps):
        at: Location = ("path_maps", index)
        yield from _one(at, f"path map {path_map.name!r}", path_map, "default_")
        for number, path_rule in enumerate(path_map.path_rules):
            yield from _one((*at, "path_rules", number), f"path rule {path_rule.name!r}", path_rule)
    for index, routing_map in enumerate(gateway.routing_maps):
        at = ("routing_maps", index)
        yield from _one(at, f"routing map {routing_map.name!r}", routing_map, "default_")
        for number, routing_rule in enumerate(routing_map.rules):
            yield from _one((*at, "rules", number), f"routing rule {routing_rule.name!r}", routing_rule)


def _one(
    at: Location, title: str, owner: Rule | PathMap | PathRule | RoutingMap | RoutingRule, prefix: str = "",
    *, router: bool = False,
) -> Iterator[Finding]:  # fmt: skip
    given = [way for way in _WAYS if getattr(owner, prefix + way.replace(" ", "_"), None) is not None]
    if len(given) > 1:
        message = f"{title} has a {' and a '.join(given)}; it leads to one of them only"
        types = dict.fromkeys(_TYPES.get(way, "Basic") for way in given)
        if isinstance(owner, Rule) and len(types) > 1:
            message += f": leave the other out, or in a template say which with ruleType ({', '.join(types)})"
        yield Finding(at, message)
    elif not given and not router:
        extra = " or a path map" if isinstance(owner, Rule) else ""
        what = "default pool, or a default redirect" if prefix else f"pool, a redirect{extra}"
        yield Finding(at, f"{title} leads nowhere; give it a {what}")
    elif given and given[0] in ("pool", "distribution") and getattr(owner, prefix + "settings") is None:
        missing = "defaultSettings" if prefix else "settings"
        yield Finding(at, f"{title} has a {given[0]} but no settings; give it {missing}")
