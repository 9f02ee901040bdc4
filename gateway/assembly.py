"""From a model to pools and probes, by way of the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import ConfigurationError, Problem
from gateway.health.defaults import probe_for
from gateway.pools.pool import Pool
from gateway.pools.sticky import application_gateway
from gateway.routing.table import needed_pools
from gateway.transport.deadlines import steady
from gateway.upstream.tls import probe_tls

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Gateway, Strategy
    from gateway.config.model import Pool as PoolModel
    from gateway.config.model import Probe as ProbeModel
    from gateway.health.monitor import HealthMonitor
    from gateway.interfaces import IDiscovery, IMiddleware, IProbe, IRoad
    from gateway.pools.backend import Loads
    from gateway.registry import Registry
    from gateway.services import Services
    from gateway.upstream.tls import Roots
    from gateway.websocket.filtering import NamedFilter

__all__ = [
    "Place", "check_strategies", "make_discoveries", "make_filters", "make_middleware", "make_pools", "make_probe",
    "uses", "watch_pools",
]  # fmt: skip

Place = tuple[str, ...]
"""Where strategies are listed: ``()`` gateway, ``("listener", name)``, ``("rule", name)``, ``("path", map, "0")``."""

_T = TypeVar("_T")
_K = TypeVar("_K")


def make_pools(registry: Registry, model: Gateway, services: Services, loads: Loads) -> dict[tuple[str, str], Pool]:
    """The pools that the rules of ``model`` use, by pool name and settings name.

    Each gets a selector of its own.  Raises `ConfigurationError` with the problems of all of them.
    """
    place = {pool.name: number for number, pool in enumerate(model.pools)}
    settings_by_name = {settings.name: settings for settings in model.settings}

    def make(name: str, settings_name: str) -> Pool:
        number = place[name]
        pool, settings = model.pools[number], settings_by_name[settings_name]
        path = f"pools[{number}]"
        selector = registry.build(
            "gateway.selectors",
            pool.selector,
            pool.selector_options,
            services._replace(model=model, pool=name, settings=settings),
            f"{path}.selector",
            f"{path}.selectorOptions",
        )
        if settings.cookie_based_affinity == "Enabled":
            selector = application_gateway(selector, name, settings, services.secret)
        least = probe_for(model, settings).min_servers
        return Pool(
            name, settings, pool.members, selector,
            loads=loads, min_servers=least, strategy=pool.selector, passive=pool.passive_health,
            seconds=steady(services.clock),
        )  # fmt: skip

    return _all({pair: partial(make, *pair) for pair in needed_pools(model)})


def make_discoveries(registry: Registry, model: Gateway, services: Services) -> dict[str, IDiscovery]:
    """The discoveries of the pools that rules use, by pool name. Raises `ConfigurationError`."""
    used = {name for name, _ in needed_pools(model)}

    def make(number: int, pool: PoolModel, strategy: Strategy) -> IDiscovery:
        path = f"pools[{number}].discovery"
        given = services._replace(model=model, pool=pool.name)
        made: IDiscovery = registry.build(
            "gateway.discovery", strategy.strategy, strategy.options, given, path, f"{path}.options"
        )
        return made

    return {
        name: discovery
        for (name, _), discovery in _all(
            {
                (pool.name, ""): partial(make, number, pool, pool.discovery)
                for number, pool in enumerate(model.pools)
                if pool.discovery is not None and pool.name in used
            }
        ).items()
    }


def watch_pools(
    registry: Registry,
    model: Gateway,
    services: Services,
    pools: Mapping[tuple[str, str], Pool],
    monitor: HealthMonitor,
    road: IRoad,
    roots: Roots,
) -> None:
    """Let ``monitor`` watch ``pools``, each with the probe of its settings.

    ``roots`` are the trusted roots for HTTPS probes.  Raises `ConfigurationError` with all problems; nothing is watched
    then.
    """

    def make(pool: Pool) -> tuple[Pool, Any, ProbeModel]:
        probe = probe_for(model, pool.settings)
        strategy = make_probe(registry, services, pool.settings, probe, road, roots, _probe_path(model, probe))
        return pool, strategy, probe

    for pool, strategy, probe in _all({pair: partial(make, pool) for pair, pool in pools.items()}).values():
        monitor.watch(pool, strategy, probe)


def make_probe(
    registry: Registry,
    services: Services,
    settings: BackendSettings,
    probe: ProbeModel,
    road: IRoad,
    roots: Roots,
    path: str = "probe",
) -> IProbe:
    """The strategy of ``probe``, for members of pools with these settings. Raises `ConfigurationError`."""
    given = services._replace(road=road, tls_for=partial(probe_tls, roots=roots), probe=probe, settings=settings)
    built: IProbe = registry.build(
        "gateway.probes", probe.strategy, probe.options, given, f"{path}.strategy", f"{path}.options"
    )
    return built


def uses(model: Gateway, field: str) -> Iterator[tuple[Place, str, tuple[Strategy, ...]]]:
    """Whatever in ``model`` has a list of strategies called ``field``: its place, the list's path, and the list."""
    owners: list[tuple[Place, str, object]] = [((), "", model)]
    owners += [(("listener", each.name), f"listeners[{number}].", each) for number, each in enumerate(model.listeners)]
    owners += [(("rule", each.name), f"rules[{number}].", each) for number, each in enumerate(model.rules)]
    owners += [
        (("path", each.name, str(position)), f"pathMaps[{number}].pathRules[{position}].", path_rule)
        for number, each in enumerate(model.path_maps)
        for position, path_rule in enumerate(each.path_rules)
    ]
    for place, path, owner in owners:
        strategies = getattr(owner, field, ())
        if strategies:
            yield place, f"{path}{field}", strategies


def make_middleware(registry: Registry, model: Gateway, services: Services) -> dict[Place, tuple[IMiddleware, ...]]:
    """All middleware of ``model`` by the place where it is listed, each built once. Raises `ConfigurationError`."""
    given = services._replace(model=model)

    def make(strategy: Strategy, path: str) -> IMiddleware:
        name, options = strategy.strategy, strategy.options
        built: IMiddleware = registry.build("gateway.middleware", name, options, given, path, f"{path}.options")
        return built

    return _listed(model, "middleware", make)


def make_filters(registry: Registry, model: Gateway, services: Services) -> dict[Place, tuple[NamedFilter, ...]]:
    """As `make_middleware`, for message filters."""

    def make(strategy: Strategy, path: str) -> NamedFilter:
        from gateway.websocket.filtering import NamedFilter

        name, options = strategy.strategy, strategy.options
        built = registry.build("gateway.filters", name, options, services, path, f"{path}.options")
        return NamedFilter(name, built, path)

    return _listed(model, "filters", make)


def _listed(model: Gateway, field: str, make: Callable[[Strategy, str], _T]) -> dict[Place, tuple[_T, ...]]:
    """What ``make`` makes of the strategies in the lists called ``field``, by the place of each list."""
    found = {place: (path, strategies) for place, path, strategies in uses(model, field)}
    built = _all(
        {
            (place, number): partial(make, strategy, f"{path}[{number}]")
            for place, (path, strategies) in found.items()
            for number, strategy in enumerate(strategies)
        }
    )
    return {
        place: tuple([built[place, number] for number in range(len(strategies))])
        for place, (_, strategies) in found.items()
    }


def check_strategies(registry: Registry, model: Gateway) -> list[Problem]:
    """What is wrong with the strategies that ``model`` names and with their options. Nothing is built."""

    def check(group: str, name: str, options: Mapping[str, object], path: str, word: str) -> None:
        found = registry.find(group, name, f"{path}.{word}" if word else path)
        registry.options(found, options, f"{path}.{'selectorOptions' if word == 'selector' else 'options'}")

    problems: list[Problem] = []
    checks = (
        [
            partial(check, "gateway.selectors", pool.selector, pool.selector_options, f"pools[{number}]", "selector")
            for number, pool in enumerate(model.pools)
        ]
        + [
            partial(check, "gateway.probes", probe.strategy, probe.options, f"probes[{number}]", "strategy")
            for number, probe in enumerate(model.probes)
        ]
        + [
            partial(check, "gateway.discovery", found.strategy, found.options, f"pools[{number}].discovery", "")
            for number, pool in enumerate(model.pools)
            if (found := pool.discovery) is not None
        ]
        + [
            partial(check, f"gateway.{field}", each.strategy, each.options, f"{path}[{number}]", "")
            for field in ("middleware", "filters")
            for _, path, strategies in uses(model, field)
            for number, each in enumerate(strategies)
        ]
    )
    for attempt in checks:
        try:
            attempt()
        except ConfigurationError as error:
            problems.extend(error.problems)
    return problems


def _probe_path(model: Gateway, probe: ProbeModel) -> str:
    return next(
        (f"probes[{number}]" for number, other in enumerate(model.probes) if other.name == probe.name), "probes"
    )


def _all(makers: Mapping[_K, Callable[[], _T]]) -> dict[_K, _T]:
    """What all ``makers`` make; if some fail, their problems together, each once."""
    made: dict[_K, _T] = {}
    problems: dict[Problem, None] = {}
    for pair, maker in makers.items():
        try:
            made[pair] = maker()
        except ConfigurationError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigurationError(list(problems))
    return made
