"""Whether anything at all would be served: a configuration may be right and yet have no listener that works."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Gateway, HttpListener, Rule
from gateway.config.salvage import NOTHING
from gateway.config.targets import distribution_pools, pairs_of_map, pairs_of_rule

__all__ = ["nothing_served"]

_MOST_NAMED = 8


def nothing_served(gateway: Gateway) -> str | None:
    """Why nothing would be served, as the beginning of a sentence; ``None`` where a listener works.

    One works that has a rule which leads somewhere else than to what stands for something missing, and a certificate if
    it needs one.  Whether there are healthy members behind it is not asked.
    """
    for kind in ("listeners", "rules"):
        if not getattr(gateway, kind):
            return f"there are no {kind}, so nothing is served"
    found = _Listeners(gateway)
    reasons = []
    for listener in gateway.listeners:
        reason = found.fault(listener)
        if reason is None:
            return None
        reasons.append(f"listener {listener.name!r} {reason}")
    more = [f"and {len(reasons) - _MOST_NAMED} more are like that"] if len(reasons) > _MOST_NAMED else []
    return f"nothing is served: {', '.join(reasons[:_MOST_NAMED] + more)}"


class _Listeners:
    def __init__(self, gateway: Gateway) -> None:
        self._certificates = {item.name: item for item in gateway.certificates}
        self._path_maps = {item.name: item for item in gateway.path_maps}
        self._routing_maps = {item.name: item for item in gateway.routing_maps}
        self._shares = distribution_pools(gateway)
        self._empty = {pool.name for pool in gateway.pools if not pool.members and pool.discovery is None}
        self._rules: dict[str, list[Rule]] = {}
        for rule in gateway.rules:
            self._rules.setdefault(rule.listener, []).append(rule)

    def fault(self, listener: HttpListener) -> str | None:
        """Why nobody is served by it."""
        rules = self._rules.get(listener.name, [])
        if not rules:
            return "has no rule"
        shown = [self._certificates.get(name) for name in listener.certificates]
        if listener.secure and all(each is None or each.unavailable is not None for each in shown):
            return "has no certificate that can be used"
        if not any(self._leads_somewhere(rule) for rule in rules):
            return "leads to nothing that is there"
        return None

    def _leads_somewhere(self, rule: Rule) -> bool:
        return any(pool is None or not self._stands_for_nothing(pool) for pool in self._pools(rule))

    def _pools(self, rule: Rule) -> Iterator[str | None]:
        """The pools that a rule may lead to; ``None`` for a redirect, or a router."""
        if rule.redirect or rule.router is not None:
            yield None
        yield from (pool for pool, _ in pairs_of_rule(rule, self._shares) if pool)
        path_map = self._path_maps.get(rule.path_map or "")
        if path_map is not None:
            yield from (pool for pool, _ in pairs_of_map(path_map, self._shares) if pool)
            if path_map.default_redirect or any(each.redirect for each in path_map.path_rules):
                yield None
        routing_map = self._routing_maps.get(rule.routing_map or "")
        if routing_map is not None:
            yield from (pool for pool, _ in pairs_of_map(routing_map, self._shares) if pool)
            if routing_map.default_redirect or any(each.redirect for each in routing_map.rules):
                yield None

    def _stands_for_nothing(self, pool: str) -> bool:
        return pool in self._empty and pool.rstrip("-") == NOTHING
