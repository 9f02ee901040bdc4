"""What is legal and will hurt: warnings about a model that would start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from gateway.config.checks.findings import Finding, warning
from gateway.config.hosts import Patterns, Wide
from gateway.config.model import BackendSettings, Gateway, HttpListener, Pool, Rule
from gateway.config.targets import distribution_pools, pairs_of_default, pairs_of_rule
from gateway.config.texts import is_address

__all__ = ["IGNORE_PRIORITY", "find"]

_SOCKETS = re.compile(r"/(?:wss?|web-?sockets?|sockets?|socket\.io|signalr|hubs?)(?:/|\*|\Z)", re.IGNORECASE)
"""Paths that servers which speak WebSocket are usually at."""

IGNORE_PRIORITY = frozenset(
    [
        "address-hash", "hash", "least-connections", "least-latency", "random-of-two", "round-robin", "slow-start",
        "sticky", "weighted",
    ]
)  # fmt: skip
"""The selectors of the gateway itself, but for the one that looks at `Member.priority`."""


def find(gateway: Gateway) -> Iterator[Finding]:
    """All warnings of this module."""
    yield from _order(gateway)
    yield from _empty_pools(gateway)
    yield from _twice(gateway)
    yield from _addresses(gateway)
    yield from _probes(gateway)
    yield from _priorities(gateway)


def _targets(gateway: Gateway) -> Iterator[tuple[str, str | None, str | None]]:
    """In words, what leads somewhere; the pool and the settings it names."""
    shares = distribution_pools(gateway)
    for rule in gateway.rules:
        for pool, settings in pairs_of_rule(rule, shares):
            yield f"rule {rule.name!r}", pool, settings
    for path_map in gateway.path_maps:
        for pool, settings in pairs_of_default(path_map, shares):
            yield f"path map {path_map.name!r}", pool, settings
        for path_rule in path_map.path_rules:
            for pool, settings in pairs_of_rule(path_rule, shares):
                yield f"path rule {path_rule.name!r}", pool, settings
    for routing_map in gateway.routing_maps:
        yield f"routing map {routing_map.name!r}", routing_map.default_pool, routing_map.default_settings
        for routing_rule in routing_map.rules:
            yield f"routing rule {routing_rule.name!r}", routing_rule.pool, routing_rule.settings


def _order(gateway: Gateway) -> Iterator[Finding]:
    """A listener that is tried before another one on the same port and answers for its hosts takes its requests."""
    listeners = {item.name: item for item in gateway.listeners}
    earlier: dict[tuple[str, int], _Earlier] = {}
    wildcards: dict[tuple[str, int], list[str]] = {}
    for item in gateway.listeners:
        wildcards.setdefault((item.address, item.port), []).extend(Wide(item).patterns)
    for index, rule in sorted(enumerate(gateway.rules), key=lambda item: item[1].priority or 0):
        listener = listeners.get(rule.listener)
        if listener is None or listener.port == 0 or rule.priority is None:
            continue
        port = (listener.address, listener.port)
        before = earlier.setdefault(port, _Earlier(wildcards.pop(port, ())))
        other, hosts = before.hiding(listener)
        if other is not None:
            yield warning(
                ("rules", index),
                f"rule {other.name!r} is tried first and answers for {hosts} on port {listener.port}; give "
                f"{rule.name!r} a smaller priority number",
            )
        before.add(rule, Wide(listener))


class _Earlier:
    """The rules of a port that come first, as far as they may take requests of later ones."""

    def __init__(self, wildcards: Iterable[str]) -> None:
        self._rules: list[tuple[Rule, Wide]] = []
        self._patterns = Patterns(wildcards)
        self._of_every_host: int | None = None

    def add(self, rule: Rule, wide: Wide) -> None:
        order = len(self._rules)
        for pattern in wide.patterns:
            self._patterns.add(pattern, order)
        if wide and not wide.patterns and self._of_every_host is None:
            self._of_every_host = order
        if wide:
            self._rules.append((rule, wide))

    def hiding(self, listener: HttpListener) -> tuple[Rule | None, str]:
        """The first that takes requests of a listener, and which, in words."""
        every = self._of_every_host if listener.host_names else None
        orders = [order for order in (every, self._patterns.first(listener.host_names)) if order is not None]
        if not orders:
            return None, ""
        rule, wide = self._rules[min(orders)]
        return rule, wide.hides(listener)


def _empty_pools(gateway: Gateway) -> Iterator[Finding]:
    users: dict[str, str] = {}
    for title, name, _ in _targets(gateway):
        if name is not None:
            users.setdefault(name, title)
    for index, pool in enumerate(gateway.pools):
        if not pool.members and pool.discovery is None and pool.name in users:
            yield warning(
                ("pools", index),
                f"pool {pool.name!r} has no members: requests that {users[pool.name]} sends to it get 502; list its "
                f"backends, or give them with overrides 'pools: {{{pool.name}: ['host:port']}}'",
            )


def _twice(gateway: Gateway) -> Iterator[Finding]:
    """Members that are listed again: each is probed and chosen for itself."""
    for index, pool in enumerate(gateway.pools):
        seen: set[tuple[str, int | None]] = set()
        for number, member in enumerate(pool.members):
            place = member.host.casefold(), member.port
            if place in seen:
                text = member.host if member.port is None else f"{member.host}:{member.port}"
                message = f"pool {pool.name!r} lists {text} twice; to have it chosen more often give it a 'weight'"
                yield warning(("pools", index, "members", number), message)
            seen.add(place)


def _addresses(gateway: Gateway) -> Iterator[Finding]:
    """HTTPS to members that have no name, and nothing says what name their certificates have."""
    pools = {pool.name: pool for pool in gateway.pools}
    used: dict[str, list[Pool]] = {}
    for _, pool_name, settings_name in _targets(gateway):
        if pool_name in pools and settings_name is not None:
            used.setdefault(settings_name, []).append(pools[pool_name])
    for index, settings in enumerate(gateway.settings):
        if settings.protocol != "Https" or not settings.validate_sni or settings.sni_name or settings.host_name:
            continue
        found = [
            member.host for pool in used.get(settings.name, ()) for member in pool.members if is_address(member.host)
        ]
        if found:
            yield warning(("settings", index), _unnamed(settings, sorted(set(found))))


def _probes(gateway: Gateway) -> Iterator[Finding]:
    """The default probe of backends that look as if they spoke WebSocket only: they answer 400 or 426, and are down."""
    signs: dict[str, str] = {}
    for rule in gateway.rules:
        if rule.filters and rule.settings is not None:
            signs.setdefault(rule.settings, f"rule {rule.name!r} has message filters")
    for path_map in gateway.path_maps:
        for path_rule in path_map.path_rules:
            path = next(filter(_SOCKETS.match, path_rule.paths), None)
            if path_rule.settings is not None and (path or path_rule.filters):
                what = f"the path {path!r}" if path else "message filters"
                signs.setdefault(path_rule.settings, f"path rule {path_rule.name!r} has {what}")
    for index, settings in enumerate(gateway.settings):
        if settings.web_socket_idle_timeout is not None:
            signs.setdefault(settings.name, "they have 'webSocketIdleTimeout'")
        if settings.probe is None and settings.name in signs:
            yield warning(
                ("settings", index),
                f"settings {settings.name!r} seem to be for WebSocket ({signs[settings.name]}) and have no probe: the "
                "default one asks for '/' and takes 200-399, a server that speaks WebSocket only answers 400 or 426 "
                "and would be down; give a probe with a path that is answered, or with statusCodes [200-499]",
            )


def _priorities(gateway: Gateway) -> Iterator[Finding]:
    """Members meant as a reserve, and a selector that uses them like all others."""
    for index, pool in enumerate(gateway.pools):
        reserve = [member for member in pool.members if member.priority > min(each.priority for each in pool.members)]
        if reserve and IGNORE_PRIORITY.issuperset(_selectors(pool.selector, pool.selector_options)):
            yield warning(
                ("pools", index),
                f"member {reserve[0].host!r} of pool {pool.name!r} has priority {reserve[0].priority}, which the "
                f"selector {pool.selector!r} ignores: it gets requests like all others; give 'selector: priority', "
                f"with 'selectorOptions: {{over: {pool.selector}}}'",
            )


def _selectors(name: str, options: Mapping[str, object]) -> Iterator[str]:
    """The selector with this name, and those that it works over."""
    yield name
    over = options.get("over")
    if isinstance(over, str):
        yield over
    elif isinstance(over, Mapping):
        within = over.get("options")
        yield from _selectors(str(over.get("strategy")), within if isinstance(within, Mapping) else {})


def _unnamed(settings: BackendSettings, addresses: list[str]) -> str:
    listed = ", ".join(addresses[:4]) + (", …" if len(addresses) > 4 else "")
    requests = "requests" if settings.pick_host_name_from_backend_address else "probes"
    return (
        f"backends are asked over HTTPS by address ({listed}) and no name is given: {requests} fail unless the "
        "certificates are valid for these addresses; give 'hostName' or 'sniName'"
    )
