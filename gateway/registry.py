"""Finds strategies by name, checks them, and names whoever is at fault.

A name in a configuration is looked up among entry points (one group for each kind of strategy), then among the
drop-ins of `gateway.plugins`; a name with a colon is ``module:object``.  The strategies of the gateway itself are entry
points too, and are also listed here, so that they are found in a checkout that was never installed.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import partial
from importlib import metadata
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import providedBy
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from gateway import __version__
from gateway.assembly import (
    check_strategies,
    finished,
    make_checks,
    make_discoveries,
    make_filters,
    make_middleware,
    make_observers,
    make_pools,
    make_probe,
    rule_routers,
)
from gateway.containment import Accounts, Containment
from gateway.errors import ConfigurationError, Problem
from gateway.groups import BUILT_IN, GROUPS
from gateway.interfaces import IClosing, ILasting, IMiddleware, IOutcomeObserver, IStrategyFactory
from gateway.services import Services

if TYPE_CHECKING:
    from gateway.assembly import Checks, Place, Steps
    from gateway.config.model import BackendSettings, Gateway, Probe, Strategy
    from gateway.contained import ContainedDiscovery
    from gateway.interfaces import IRoad
    from gateway.pools.backend import Loads
    from gateway.pools.pool import Pool
    from gateway.routing.rule_router import RouterMaker
    from gateway.upstream.tls import Roots
    from gateway.websocket.filtering import NamedFilter

__all__ = ["Found", "Listed", "Registry", "close_all"]

_log = Logger()
_MOST_PROBLEMS = 20
_OURS = "gateway"
_OUR_SOURCE = "the gateway itself"
_T = TypeVar("_T")


class Found(NamedTuple):
    """A factory that may be used. ``source`` says where it comes from, for messages."""

    factory: Any
    source: str
    group: str


class Listed(NamedTuple):
    """A strategy of this installation, or what claims to be one.

    ``distribution`` and ``version``: where it comes from, empty for a drop-in; ``where``: ``module:object``, or a
    drop-in's file.  ``factory`` is ``None`` where it cannot be used; then ``problem`` says why.
    """

    group: str
    name: str
    distribution: str
    version: str
    where: str
    factory: Any
    problem: str


class _Claim(NamedTuple):
    name: str
    source: str
    load: Callable[[], Any]
    distribution: str = ""
    version: str = ""
    where: str = ""


class _Made(NamedTuple):
    """What `Registry.once` has made, of what, and what belongs to it."""

    given: object
    value: Any
    built: tuple[Any, ...]
    opened: tuple[Containment, ...]

    @property
    def lasts(self) -> bool:
        """All of it may go on."""
        return all(map(ILasting.providedBy, self.built))


class Registry:
    """All strategies of this installation; what it has found it remembers.

    ``reactor``, ``random`` and ``secret`` are what strategies get as services; without them nothing can be built, only
    checked.  ``accounts`` are those of what it builds; ``built`` is all of that, to be closed, and ``opened`` its
    accounts.
    ``entry_points(group=...)`` and ``drop_ins()`` are replaced in tests.  Methods raise `ConfigurationError` whose
    problems carry ``path``, the place in the configuration that asked.
    """

    def __init__(
        self,
        reactor: Any = None,
        random: Random | None = None,
        *,
        secret: bytes = b"",
        accounts: Accounts | None = None,
        entry_points: Callable[..., Iterable[metadata.EntryPoint]] = metadata.entry_points,
        drop_ins: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        self.accounts = Accounts() if accounts is None else accounts
        self.built: list[Any] = []
        self.opened: list[Containment] = []
        self._foreign: set[int] = set()  # of those, the identities of what is not wholly the gateway's own
        self._entry_points = entry_points
        self._drop_ins = _installed_drop_ins if drop_ins is None else drop_ins
        self._services = Services(reactor, reactor, Random() if random is None else random, secret)
        self._claims: dict[str, dict[str, list[_Claim]]] = {}
        self._found: dict[tuple[str, str], Found] = {}
        self._dropped: list[Any] | None = None
        self._verified: set[tuple[type, Any]] = set()
        self._made: dict[object, _Made] = {}
        self._before: dict[object, _Made] = {}

    def again(self) -> Registry:
        """One for the next configuration, which knows what this one has found, and what it has made (see `once`).

        Call `settled` when everything has been built.
        """
        following = copy(self)
        following.built, following.opened, following._made = [], [], {}
        following._foreign = set(self._foreign)
        following._before = self._made
        return following

    def settled(self) -> None:
        """Everything has been built: let go of what the registry before this one had made."""
        self._before = {}
        self._foreign.intersection_update(map(id, self.built))

    def once(self, key: object, given: object, make: Callable[[], _T], where: str = "") -> _T:
        """What has been made of the same ``given`` for the last configuration, or else what ``make`` makes.

        ``key`` is hashable and says for which place; ``given`` is compared.  Only what provides `ILasting` is kept.
        ``where``: where its accounts say that it is used now.
        """
        made = self._before.get(key)
        if made is None or made.given != given or not made.lasts:
            built, opened = len(self.built), len(self.opened)
            value = make()
            made = _Made(given, value, tuple(self.built[built:]), tuple(self.opened[opened:]))
        else:
            self.built += made.built
            self.opened += made.opened
        for account in made.opened if where else ():
            account.where = where
        self._made[key] = made
        found: _T = made.value
        return found

    def names(self, group: str) -> list[str]:
        """The names that may be used in ``group``, sorted."""
        return sorted(self._group(group))

    def listed(self, group: str) -> list[Listed]:
        """All that is there in ``group``, by name; each is loaded, and what cannot be used is there with the reason."""
        found = []
        for name, claims in sorted(self._group(group).items()):
            factory, problem = None, ""
            try:
                factory = self.find(group, name).factory
            except ConfigurationError as error:
                problem = "; ".join([each.message for each in error.problems])
            found += [
                Listed(group, name, claim.distribution, claim.version, claim.where, factory, problem)
                for claim in claims
            ]
        return found

    def find(self, group: str, name: str, path: str = "") -> Found:
        """The factory for ``name``, loaded and verified."""
        known = self._found.get((group, name))
        if known is None:
            claim = self._by_path(name, path) if ":" in name else self._by_name(group, name, path)
            known = self._found[group, name] = _verified(claim, group, path, named=":" not in name)
        return known

    def options(self, found: Found, options: Mapping[str, object], path: str = "") -> BaseModel | None:
        """``options`` of a configuration as the factory's options class; all that is wrong with them is reported."""
        word = GROUPS[found.group].word
        accepted = found.factory.options
        if accepted is None:
            if options:
                names = ", ".join([repr(name) for name in list(options)[:_MOST_PROBLEMS]])
                raise _wrong(path, f"{word} {found.factory.name!r} takes no options, found {names}")
            return None
        try:
            checked: BaseModel = accepted.model_validate(dict(options))
        except ValidationError as error:
            raise ConfigurationError(_problems(error, path)) from None
        except Exception as error:  # its text may quote a value
            blame = f"{word} {found.factory.name!r} ({found.source})"
            raise _wrong(path, f"{blame}: its options cannot be checked: {type(error).__name__}") from error
        for field, group in _nested(accepted).items():
            inner = getattr(checked, field)
            for place, strategy in _strategies(inner, _place(accepted, field, path)):
                self.options(self.find(group, strategy.strategy, place), strategy.options, f"{place}.options")
        return checked

    def build(
        self,
        group: str,
        name: str,
        options: Mapping[str, object],
        services: Services,
        path: str = "",
        options_path: str = "",
        *,
        keep: bool = True,
    ) -> Any:
        """The strategy ``name``, made with ``options`` and verified against the interface of its group.

        ``path`` is where the name stands in the configuration, ``options_path`` where the options do.  ``keep``: it is
        used until the gateway stops, and is closed then.
        """
        found = self.find(group, name, path)
        checked = self.options(found, options, options_path or path)
        word, interface, instead = GROUPS[group]
        blame = f"{word} {name!r} ({found.source})"

        foreign = found.source != _OUR_SOURCE

        def make(field: str, inner: Strategy) -> Any:
            place = _place(found.factory.options, field, options_path or path)
            wanted = _nested(found.factory.options)[field]
            built = self.build(wanted, inner.strategy, inner.options, services, place, f"{place}.options", keep=keep)
            nonlocal foreign
            foreign = foreign or id(built) in self._foreign
            return built

        try:
            strategy = found.factory.build(checked, services._replace(make=make))
        except ConfigurationError:
            raise  # of something that it has asked for
        except ValueError as error:
            raise _wrong(options_path or path, f"{blame}: {error}") from error
        except Exception as error:
            raise _wrong(path, f"{blame}: build() failed: {_brief(error)}") from error
        if instead is not None and instead.providedBy(strategy):
            interface = instead
        # What it says it provides beyond that (IAffinity, say) must be true as well: the gateway calls it.
        more = [also for also in providedBy(strategy) if also.__module__ == interface.__module__]
        for wanted in dict.fromkeys((interface, *more)):
            if not foreign and (type(strategy), wanted) in self._verified:
                continue
            try:
                verifyObject(wanted, strategy)
            except Invalid as error:
                wrong = f"{blame}: build() did not return an {wanted.__name__}: {_sentence(error)}"
                raise _wrong(path, wrong) from error
            self._verified.add((type(strategy), wanted))
        if keep:
            self.built.append(strategy)
            if foreign:
                self._foreign.add(id(strategy))
        return strategy

    def contain(self, group: str, name: str, where: str, strategy: object) -> Containment:
        """An account for ``strategy``, which `build` has made of ``name``; ``where`` is where it is used."""
        return self.account(GROUPS[group].word, name, where, strategy, id(strategy) not in self._foreign)

    def account(self, kind: str, name: str, where: str, strategy: object, ours: bool) -> Containment:
        """As `Accounts.open`; it is closed with what this registry has built."""
        opened = self.accounts.open(kind, name, where, strategy, ours)
        self.opened.append(opened)
        return opened

    def pools(self, model: Gateway, loads: Loads) -> dict[tuple[str, str], Pool]:
        """See `gateway.assembly.make_pools`; they have the members that are listed."""
        pools = finished(self.pools_by_steps(model, loads))
        listed = {pool.name: pool.members for pool in model.pools}
        for pool in pools.values():
            pool.set_members(listed[pool.name])
        return pools

    def pools_by_steps(self, model: Gateway, loads: Loads) -> Steps[dict[tuple[str, str], Pool]]:
        """The same, little by little, and without members."""
        return make_pools(self, model, self._services, loads)

    def middleware(self, model: Gateway) -> Mapping[Place, tuple[IMiddleware, ...]]:
        """See `gateway.assembly.make_middleware`."""
        return make_middleware(self, model, self._services)

    def discoveries(
        self, model: Gateway, pools: Iterable[tuple[str, str]] | None = None
    ) -> dict[str, ContainedDiscovery]:
        """See `gateway.assembly.make_discoveries`."""
        return make_discoveries(self, model, self._services, pools)

    def routers(self, model: Gateway, pools: dict[tuple[str, str], Pool], loads: Loads) -> RouterMaker:
        """See `gateway.assembly.rule_routers`."""
        return rule_routers(self, model, self._services, pools, loads)

    def observers(self, model: Gateway) -> list[IOutcomeObserver]:
        """See `gateway.assembly.make_observers`."""
        return make_observers(self, model, self._services)

    def filters(self, model: Gateway) -> Mapping[Place, tuple[NamedFilter, ...]]:
        """See `gateway.assembly.make_filters`."""
        return make_filters(self, model, self._services)

    def checks(
        self, model: Gateway, pools: Mapping[tuple[str, str], Pool], road: IRoad, roots: Roots
    ) -> dict[tuple[str, str], Checks]:
        """See `gateway.assembly.make_checks`."""
        return finished(self.checks_by_steps(model, pools, road, roots))

    def checks_by_steps(
        self, model: Gateway, pools: Mapping[tuple[str, str], Pool], road: IRoad, roots: Roots
    ) -> Steps[dict[tuple[str, str], Checks]]:
        """The same, little by little."""
        return make_checks(self, model, self._services, pools, road, roots)

    def probe(self, settings: BackendSettings, probe: Probe, road: IRoad, roots: Roots) -> Any:
        """See `gateway.assembly.make_probe`."""
        return make_probe(self, self._services, settings, probe, road, roots)

    def check(self, model: Gateway) -> list[Problem]:
        """See `gateway.assembly.check_strategies`."""
        return check_strategies(self, model)

    # -- inside --------------------------------------------------------------------------------------------

    def _by_name(self, group: str, name: str, path: str) -> _Claim:
        claims = self._group(group)
        word = GROUPS[group].word
        if name not in claims:
            close = difflib.get_close_matches(name, claims, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise _wrong(path, f"there is no {word} {name!r}, there are: {', '.join(sorted(claims)) or 'none'}{hint}")
        first, *others = claims[name]
        if others:
            sources = " and ".join([claim.source for claim in claims[name]])
            raise _wrong(path, f"{word} {name!r} is claimed by {sources}: uninstall one of them")
        return first

    def _by_path(self, name: str, path: str) -> _Claim:
        module, _, attributes = name.partition(":")
        if not module or not attributes:
            raise _wrong(path, f"{name!r} is not module:object")
        return _Claim(name, name, lambda: _import(name))

    def _group(self, group: str) -> dict[str, list[_Claim]]:
        known = self._claims.get(group)
        if known is None:
            known = self._claims[group] = {}
            for claim in self._scan(group):
                known.setdefault(claim.name, []).append(claim)
        return known

    def _scan(self, group: str) -> Iterator[_Claim]:
        built_in = BUILT_IN.get(group, {})
        for name, value in built_in.items():
            load = partial(_import, value)
            yield _Claim(name, _OUR_SOURCE, load, _OURS, __version__, value)
        seen: set[tuple[str, str, str]] = set()
        for point in self._entry_points(group=group):
            distribution = point.dist
            who = distribution.name if distribution is not None else "an unknown distribution"
            key = point.name, point.value, who
            if key in seen or (who == _OURS and point.name in built_in):
                continue  # the same files twice on sys.path, or our own metadata
            seen.add(key)
            version = distribution.version if distribution is not None else ""
            yield _Claim(point.name, f"distribution {who} {version}".rstrip(), point.load, who, version, point.value)
        if self._dropped is None:
            self._dropped = list(self._drop_ins())
        for factory in self._dropped:
            module = factory.__module__
            claimed, called = getattr(factory, "group", None), getattr(factory, "name", None)
            if claimed not in GROUPS or not isinstance(called, str):
                wrong = f"its group is {claimed!r}" if claimed not in GROUPS else f"its name is {called!r}"
                _log.warn("drop-in {module} is left out: {wrong}", module=module, wrong=wrong)
            elif claimed == group:
                file = str(getattr(sys.modules.get(module), "__file__", module))
                yield _Claim(called, f"drop-in {module}", lambda factory=factory: factory, where=file)  # type: ignore[misc]


def close_all(strategies: Iterable[Any]) -> Deferred[None]:
    """Close those that can be closed (`IClosing`); fires when they have. What one raises is logged."""

    def failed(failure: Failure, name: str) -> None:
        _log.failure("closing {name} failed", failure, name=name)

    closing = [
        maybeDeferred(strategy.close).addErrback(failed, type(strategy).__name__)
        for strategy in strategies
        if IClosing.providedBy(strategy)
    ]
    return DeferredList(closing).addCallback(lambda _: None)


def _installed_drop_ins() -> Iterable[Any]:
    from twisted.plugin import getPlugins

    from gateway import plugins

    return getPlugins(IStrategyFactory, plugins)


def _import(value: str) -> Any:
    module, _, attributes = value.partition(":")
    found = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def _verified(claim: _Claim, group: str, path: str, named: bool) -> Found:
    blame = f"{GROUPS[group].word} {claim.name!r}"
    blame += f" ({claim.source})" if named else ""
    try:
        factory = claim.load()
    except Exception as error:
        raise _wrong(path, f"{blame} cannot be loaded: {_brief(error)}") from error
    try:
        verifyObject(IStrategyFactory, factory)
    except Invalid as error:
        raise _wrong(path, f"{blame} is not an IStrategyFactory: {_sentence(error)}") from None
    if named and factory.name != claim.name:
        raise _wrong(path, f"{blame} calls itself {factory.name!r}: both names must be the same")
    options = factory.options
    if options is not None and not (isinstance(options, type) and issubclass(options, BaseModel)):
        raise _wrong(path, f"{blame}: options must be a pydantic model class or None")
    return Found(factory, claim.source, group)


def _nested(options: type[BaseModel]) -> dict[str, str]:
    """The options that name strategies themselves, ``Annotated[Strategy, group]``, with the group."""
    found = {}
    for name, field in options.model_fields.items():
        group = next((word for word in field.metadata if isinstance(word, str) and word in GROUPS), None)
        if group is not None:
            found[name] = group
    return found


def _strategies(value: Any, place: str) -> Iterator[tuple[str, Strategy]]:
    """The strategies of such an option, with their places: one, none or several."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield f"{place}[{number}]", item
    elif value is not None:
        yield place, value


def _place(options: type[BaseModel], field: str, path: str) -> str:
    return f"{path}.{options.model_fields[field].alias or field}"


def _problems(error: ValidationError, path: str) -> list[Problem]:
    problems = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]:
        place = path
        for part in detail["loc"]:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
        problems.append(Problem(place, detail["msg"]))
    return problems


def _wrong(path: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(path, message)])


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _sentence(error: Invalid) -> str:
    """The text of zope's error in one line."""
    return " ".join(str(error).split())[:500]
