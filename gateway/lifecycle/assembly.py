"""From a model to pools and probes, by way of the registry."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gateway.errors import ConfigurationError, Problem
from gateway.health.defaults import probe_for
from gateway.pools.pool import Pool
from gateway.pools.sticky import application_gateway
from gateway.routing.rule_router import PATIENCE, ContainedRouter, Targets
from gateway.routing.table import needed_pools
from gateway.strategies.contained import ContainedDiscovery, ContainedMiddleware, ContainedObserver
from gateway.strategies.places import Place, uses
from gateway.transport.deadlines import steady
from gateway.upstream.tls import probe_tls

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Gateway, Rule, Strategy
    from gateway.config.model import Pool as PoolModel
    from gateway.config.model import Probe as ProbeModel
    from gateway.interfaces import IMiddleware, IOutcomeObserver, IProbe, IRoad
    from gateway.lifecycle.registry import Registry
    from gateway.messages.filtering import NamedFilter
    from gateway.pools.backend import Loads
    from gateway.routing.rule_router import RouterMaker
    from gateway.services import Services
    from gateway.strategies.containment import Containment
    from gateway.upstream.tls import Roots
    from gateway.values import RequestHead, Route

__all__ = [
    "Checks", "Steps", "finished", "make_checks", "make_discoveries", "make_filters", "make_middleware",
    "make_observers", "make_pools", "make_probe", "roots_of", "rule_routers",
]  # fmt: skip

_T = TypeVar("_T")
Steps = Generator[None, None, _T]
"""Something that is made little by little: others may have their turn whenever it yields."""

_AT_ONCE = 20
_K = TypeVar("_K")


def make_pools(
    registry: Registry, model: Gateway, services: Services, loads: Loads
) -> Steps[dict[tuple[str, str], Pool]]:
    """The pools that the rules of ``model`` use, by pool name and settings name; they have no members yet.

    Each gets a selector of its own.  Raises `ConfigurationError` with the problems of all of them.
    """
    make = _pool_maker(registry, model, services, loads)
    return (yield from _each({pair: partial(make, *pair) for pair in needed_pools(model)}))


def _pool_maker(registry: Registry, model: Gateway, services: Services, loads: Loads) -> Callable[[str, str], Pool]:
    """Makes the pool of a pool name and a settings name, or gives the one that there was, see `Registry.once`."""
    pools = {pool.name: (number, pool) for number, pool in enumerate(model.pools)}
    settings = {each.name: each for each in model.settings}
    probes = {each.name: probe_for(model, each) for each in model.settings}
    proxies = model.limits.trusted_proxies  # selectors that hash addresses believe them

    def make(pool_name: str, settings_name: str) -> Pool:
        number, pool = pools[pool_name]
        under = settings[settings_name]
        minimum = probes[settings_name].min_servers
        given = pool.selector, pool.selector_options, pool.passive_health, under, minimum, proxies
        build = partial(_make_pool, registry, services._replace(model=model), loads, number, pool, under, minimum)
        return registry.once(("pool", pool_name, settings_name), given, build)

    return make


def _make_pool(
    registry: Registry,
    services: Services,
    loads: Loads,
    number: int,
    pool: PoolModel,
    settings: BackendSettings,
    min_servers: int,
) -> Pool:
    path, group, word, name = f"pools[{number}]", "gateway.selectors", pool.selector, pool.name
    given = services._replace(pool=name, settings=settings)
    selector = registry.build(group, word, pool.selector_options, given, f"{path}.selector", f"{path}.selectorOptions")
    contained = registry.contain(group, word, f"pool {name!r} with settings {settings.name!r}", selector)
    if settings.cookie_based_affinity == "Enabled":
        selector = application_gateway(selector, name, settings, services.secret)
    return Pool(
        name, settings, (), selector, loads=loads, min_servers=min_servers,
        strategy=word, passive=pool.passive_health, seconds=steady(services.clock), contained=contained,
    )  # fmt: skip


def make_discoveries(
    registry: Registry, model: Gateway, services: Services, pools: Iterable[tuple[str, str]], road: IRoad
) -> dict[str, ContainedDiscovery]:
    """The discoveries of ``pools`` (pairs of pool and settings), by pool name. Raises `ConfigurationError`."""
    used = {name for name, _ in pools}

    def make(number: int, pool: PoolModel, strategy: Strategy) -> ContainedDiscovery:
        path, group, name = f"pools[{number}].discovery", "gateway.discovery", strategy.strategy
        given = services._replace(model=model, pool=pool.name, road=road)
        made = registry.build(group, name, strategy.options, given, path, f"{path}.options")
        return ContainedDiscovery(made, registry.contain(group, name, f"pool {pool.name!r}", made))

    def found(number: int, pool: PoolModel, strategy: Strategy) -> ContainedDiscovery:
        return registry.once(("discovery", pool.name), strategy, partial(make, number, pool, strategy))

    return _all(
        {
            pool.name: partial(found, number, pool, pool.discovery)
            for number, pool in enumerate(model.pools)
            if pool.discovery is not None and pool.name in used
        }
    )


def rule_routers(
    registry: Registry, model: Gateway, services: Services, pools: dict[tuple[str, str], Pool], loads: Loads
) -> RouterMaker:
    """Makes the routers of rules, see `gateway.routing.rule_router`. What they ask for is added to ``pools``."""
    names = [pool.name for pool in model.pools], [settings.name for settings in model.settings]
    patience = model.limits.middleware_timeout or PATIENCE
    make_pool = _pool_maker(registry, model, services, loads)

    def need(pool: str, settings: str) -> None:
        if (pool, settings) not in pools:
            pools[pool, settings] = make_pool(pool, settings)

    def make(rule: Rule, chain: Any, route: Callable[..., Route], otherwise: Callable[[RequestHead], Any]) -> Any:
        assert rule.router is not None
        path = f"rules[{model.rules.index(rule)}].router"
        targets = Targets(rule, names, route, need)
        given = services._replace(model=model, rule=rule, target=targets, otherwise=otherwise)
        group, name, options = "gateway.routers", rule.router.strategy, rule.router.options
        router = registry.build(group, name, options, given, path, f"{path}.options")
        targets.closed = True
        contained = registry.contain(group, name, f"rule {rule.name!r}", router)
        return ContainedRouter(router, contained, chain, rule.listener, patience, steady(services.clock))

    return make


class Checks(NamedTuple):
    """How the members of a pool are probed: what `HealthMonitor.watch` wants."""

    strategy: IProbe
    probe: ProbeModel
    contained: Containment


def make_checks(
    registry: Registry,
    model: Gateway,
    services: Services,
    pools: Mapping[tuple[str, str], Pool],
    road: IRoad,
    roots: Roots,
) -> Steps[dict[tuple[str, str], Checks]]:
    """The probes of ``pools``, each that of its settings.

    ``roots`` are the trusted roots for HTTPS probes.  Raises `ConfigurationError` with all problems.
    """
    paths = {probe.name: f"probes[{number}]" for number, probe in enumerate(model.probes)}
    probes = {each.name: probe_for(model, each) for each in model.settings}

    def make(pool: Pool, probe: ProbeModel) -> Checks:
        path = paths.get(probe.name, "probes")
        strategy = make_probe(registry, services, pool.settings, probe, road, roots, path)
        where = f"pool {pool.name!r} with settings {pool.settings.name!r}"
        return Checks(strategy, probe, registry.contain("gateway.probes", probe.strategy, where, strategy))

    def found(pool: Pool) -> Checks:
        probe = probes[pool.settings.name]
        given = pool.settings, probe, roots_of(pool.settings, roots)
        return registry.once(("probe", pool.name, pool.settings.name), given, partial(make, pool, probe))

    return (yield from _each({pair: partial(found, pool) for pair, pool in pools.items()}))


def roots_of(settings: BackendSettings, roots: Roots) -> tuple[object, ...]:
    """The trusted roots that ``settings`` name, to be compared."""
    return tuple([roots.get(name) for name in settings.trusted_root_certificates])


def make_probe(
    registry: Registry,
    services: Services,
    settings: BackendSettings,
    probe: ProbeModel,
    road: IRoad,
    roots: Roots,
    path: str = "probe",
    *,
    built: list[Any] | None = None,
) -> IProbe:
    """The strategy of ``probe``, for members of pools with these settings. Raises `ConfigurationError`.

    ``built``: as for `Registry.build`.
    """
    given = services._replace(road=road, tls_for=partial(probe_tls, roots=roots), probe=probe, settings=settings)
    strategy: IProbe = registry.build(
        "gateway.probes", probe.strategy, probe.options, given, f"{path}.strategy", f"{path}.options", built=built
    )
    return strategy


def make_middleware(registry: Registry, model: Gateway, services: Services) -> dict[Place, tuple[IMiddleware, ...]]:
    """All middleware of ``model`` by the place where it is listed, each built once. Raises `ConfigurationError`."""
    given = services._replace(model=model)

    def make(strategy: Strategy, path: str) -> ContainedMiddleware:
        group, name = "gateway.middleware", strategy.strategy
        built: IMiddleware = registry.build(group, name, strategy.options, given, path, f"{path}.options")
        if not isinstance(built.traffic, (frozenset, set)) or not built.traffic <= {"http", "upgrade"}:
            raise ConfigurationError([Problem(path, f"middleware {name!r}: traffic is not a set of http and upgrade")])
        return ContainedMiddleware(built, registry.contain(group, name, path, built), strategy.optional)

    return _listed(registry, model, "middleware", make)


def make_filters(registry: Registry, model: Gateway, services: Services) -> dict[Place, tuple[NamedFilter, ...]]:
    """As `make_middleware`, for message filters."""

    def make(strategy: Strategy, path: str) -> NamedFilter:
        from gateway.messages.filtering import NamedFilter

        group, name = "gateway.filters", strategy.strategy
        built = registry.build(group, name, strategy.options, services, path, f"{path}.options")
        return NamedFilter(name, built, path, registry.contain(group, name, path, built))

    return _listed(registry, model, "filters", make)


def _listed(
    registry: Registry, model: Gateway, field: str, make: Callable[[Strategy, str], _T]
) -> dict[Place, tuple[_T, ...]]:
    """What ``make`` makes of the strategies in the lists called ``field``, by the place of each list."""
    found = {place: (path, strategies) for place, path, strategies in uses(model, field)}

    def once(place: Place, number: int, strategy: Strategy, path: str) -> _T:
        return registry.once((field, place, number), strategy, partial(make, strategy, path), path)

    built = _all(
        {
            (place, number): partial(once, place, number, strategy, f"{path}[{number}]")
            for place, (path, strategies) in found.items()
            for number, strategy in enumerate(strategies)
        }
    )
    return {
        place: tuple([built[place, number] for number in range(len(strategies))])
        for place, (_, strategies) in found.items()
    }


def make_observers(registry: Registry, model: Gateway, services: Services) -> list[IOutcomeObserver]:
    """The observers of ``model``. Raises `ConfigurationError`."""
    given = services._replace(model=model)

    def make(strategy: Strategy, path: str) -> ContainedObserver:
        group, name = "gateway.observers", strategy.strategy
        built = registry.build(group, name, strategy.options, given, path, f"{path}.options")
        return ContainedObserver(built, registry.contain(group, name, path, built))

    return list(_listed(registry, model, "observers", make).get((), ()))


def _all(makers: Mapping[_K, Callable[[], _T]]) -> dict[_K, _T]:
    """What all ``makers`` make; if some fail, their problems together, each once."""
    return finished(_each(makers))


def finished(steps: Steps[_T]) -> _T:
    """The result of all ``steps``, made at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: _T = stop.value
            return found


def _each(makers: Mapping[_K, Callable[[], _T]]) -> Steps[dict[_K, _T]]:
    made: dict[_K, _T] = {}
    problems: dict[Problem, None] = {}
    for number, (pair, maker) in enumerate(makers.items(), 1):
        if not number % _AT_ONCE:
            yield
        try:
            made[pair] = maker()
        except ConfigurationError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigurationError(list(problems))
    return made
