"""Builds strategies, verifies them, and keeps account of what there is to be closed.

`gateway.strategies.factories` finds what makes them, `gateway.strategies.checks` checks their options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import providedBy
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from gateway.errors import ConfigurationError
from gateway.interfaces import IClosing, ILasting, IMiddleware, IOutcomeObserver
from gateway.lifecycle.assembly import (
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
from gateway.services import Services
from gateway.strategies.blame import brief, sentence, text_of, wrong
from gateway.strategies.checks import checked_options, nested, option_path
from gateway.strategies.containment import Accounts, Containment, Terms
from gateway.strategies.factories import OUR_SOURCE, Factories, Found
from gateway.strategies.groups import GROUPS

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.config.model import BackendSettings, Gateway, Probe, Strategy
    from gateway.interfaces import IProbe, IRoad
    from gateway.lifecycle.assembly import Checks, Steps
    from gateway.messages.filtering import NamedFilter
    from gateway.pools.backend import Loads
    from gateway.pools.pool import Pool
    from gateway.routing.rule_router import RouterMaker
    from gateway.strategies.contained import ContainedDiscovery
    from gateway.strategies.places import Place
    from gateway.upstream.tls import Roots

__all__ = ["Registry", "close_all"]

_log = Logger()
_T = TypeVar("_T")


class _Made(NamedTuple):
    """What `Registry.once` has made, of what, and what belongs to it; ``built`` grows where more is built later."""

    given: object
    value: Any
    built: list[Any]
    opened: tuple[Containment, ...]

    @property
    def lasts(self) -> bool:
        """All of it may go on."""
        return all(map(ILasting.providedBy, self.built))


class Registry:
    """Builds the strategies of one configuration.

    ``reactor``, ``random`` and ``secret`` are what strategies get as services; without them nothing can be built.
    ``accounts`` are those of what it builds, and ``opened`` those of them that it has opened.
    ``factories`` are those of this installation if not given.  Methods raise `ConfigurationError` whose problems carry
    the place in the configuration that asked.
    """

    def __init__(
        self,
        reactor: Any = None,
        random: Random | None = None,
        *,
        secret: bytes = b"",
        accounts: Accounts | None = None,
        factories: Factories | None = None,
    ) -> None:
        self.accounts = Accounts() if accounts is None else accounts
        self.factories = Factories() if factories is None else factories
        self.opened: list[Containment] = []
        self._places: list[tuple[Containment, str]] = []
        self._into: list[Any] = []
        self._kept = [self._into]
        self._foreign: set[int] = set()  # of those, the identities of what is not wholly the gateway's own
        self._services = Services(reactor, reactor, Random() if random is None else random, secret)
        self._verified: set[tuple[type, Any]] = set()
        self._made: dict[object, _Made] = {}
        self._before: dict[object, _Made] = {}

    @property
    def built(self) -> list[Any]:
        """All that it has built, to be closed; also what strategies have had built later, with ``make``."""
        return [strategy for kept in self._kept for strategy in kept]

    def again(self) -> Registry:
        """One for the next configuration, which knows what this one has made (see `once`) and finds new plugins.

        Call `settled` when everything has been built, and `adopted` when that is what runs.
        """
        following = copy(self)
        following.opened, following._places, following._made, following._into = [], [], {}, []
        following._kept = [following._into]
        following.factories = self.factories.again()
        following._foreign = set(self._foreign)
        following._before = self._made
        return following

    def settled(self) -> None:
        """Everything has been built: let go of what the registry before this one had made."""
        self._before = {}
        self._foreign.intersection_update(map(id, self.built))

    def adopted(self, terms: Terms) -> None:
        """Its configuration is what runs: what it has taken over goes by ``terms``, and says where it is used now."""
        for account in self.opened:
            account.terms = terms
        for account, where in self._places:
            account.where = where
        self._places = []

    def retired(self, others: Iterable[Registry]) -> None:
        """Nobody uses its configuration any more; what ``others`` do not have as well has been closed.

        Who may have more built later knows this registry: it must not keep all the rest alive, nor itself.
        """
        shared = {id(kept) for other in others for kept in other._kept}
        for kept in self._kept:
            if id(kept) not in shared:
                kept.clear()
        self.opened, self._kept, self._made, self._before = [], [self._into], {}, {}

    def once(self, key: object, given: object, make: Callable[[], _T], where: str = "") -> _T:
        """What has been made of the same ``given`` for the last configuration, or else what ``make`` makes.

        ``key`` is hashable and says for which place; ``given`` is compared.  Only what provides `ILasting` is kept.
        ``where``: where its accounts say that it is used, from `adopted` on.
        """
        made = self._before.get(key)
        if made is None or made.given != given or not made.lasts:
            # What it has built later, perhaps in the time of another configuration, goes into the same list.
            outer, self._into, opened = self._into, [], len(self.opened)
            self._kept.append(self._into)
            try:
                made = _Made(given, make(), self._into, tuple(self.opened[opened:]))
            finally:
                self._into = outer
        else:
            self._kept.append(made.built)
            self.opened += made.opened
        self._places += [(account, where) for account in made.opened if where]
        self._made[key] = made
        found: _T = made.value
        return found

    def build(
        self,
        group: str,
        name: str,
        options: Mapping[str, object],
        services: Services,
        path: str = "",
        options_path: str = "",
        *,
        built: list[Any] | None = None,
    ) -> Any:
        """The strategy ``name``, made with ``options`` and verified against the interface of its group.

        ``path`` is where the name stands in the configuration, ``options_path`` where the options do.  ``built``: gets
        it, and what it is made of, where it is not used until the gateway stops; who asks has to close that.
        """
        into = self._into if built is None else built
        return self._build(group, name, options, services, path, options_path or path, into, built is None)

    def _build(
        self,
        group: str,
        name: str,
        options: Mapping[str, object],
        services: Services,
        path: str,
        at: str,
        into: list[Any],
        kept: bool,
    ) -> Any:
        found = self.factories.find(group, name, path)
        checked = checked_options(self.factories, found, options, at)
        blame = f"{GROUPS[group].word} {name!r} ({found.source})"
        within: list[Any] = []

        def make(field: str, inner: Strategy) -> Any:
            place = option_path(found.factory.options, field, at)
            wanted, at_options = nested(found.factory.options)[field], f"{place}.options"
            part = self._build(wanted, inner.strategy, inner.options, services, place, at_options, into, kept)
            within.append(part)
            return part

        strategy = _built(found, checked, services._replace(make=make), blame, path, at)
        foreign = found.source != OUR_SOURCE or any(id(part) in self._foreign for part in within)
        self._verify(strategy, group, foreign, blame, path)
        into.append(strategy)
        if kept and foreign:
            self._foreign.add(id(strategy))
        return strategy

    def _verify(self, strategy: object, group: str, foreign: bool, blame: str, path: str) -> None:
        """It is what its group asks for.  Of our own, one of each class is looked at."""
        _, interface, instead = GROUPS[group]
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
                message = f"{blame}: build() did not return an {wanted.__name__}: {sentence(error)}"
                raise wrong(path, message) from error
            self._verified.add((type(strategy), wanted))

    def contain(self, group: str, name: str, where: str, strategy: object) -> Containment:
        """An account for ``strategy``, which `build` has made of ``name``; ``where`` is where it is used."""
        return self.account(GROUPS[group].word, name, where, strategy, id(strategy) not in self._foreign)

    def account(self, kind: str, name: str, where: str, strategy: object, ours: bool) -> Containment:
        """As `Accounts.open`; it is closed with what this registry has built."""
        opened = self.accounts.open(kind, name, where, strategy, ours)
        self.opened.append(opened)
        return opened

    def pools(self, model: Gateway, loads: Loads) -> dict[tuple[str, str], Pool]:
        """See `gateway.lifecycle.assembly.make_pools`; they have the members that are listed."""
        pools = finished(self.pools_by_steps(model, loads))
        listed = {pool.name: pool.members for pool in model.pools}
        for pool in pools.values():
            pool.set_members(listed[pool.name])
        return pools

    def pools_by_steps(self, model: Gateway, loads: Loads) -> Steps[dict[tuple[str, str], Pool]]:
        """The same, little by little, and without members."""
        return make_pools(self, model, self._services, loads)

    def middleware(self, model: Gateway) -> Mapping[Place, tuple[IMiddleware, ...]]:
        """See `gateway.lifecycle.assembly.make_middleware`."""
        return make_middleware(self, model, self._services)

    def discoveries(
        self, model: Gateway, pools: Iterable[tuple[str, str]], road: IRoad
    ) -> dict[str, ContainedDiscovery]:
        """See `gateway.lifecycle.assembly.make_discoveries`."""
        return make_discoveries(self, model, self._services, pools, road)

    def routers(self, model: Gateway, pools: dict[tuple[str, str], Pool], loads: Loads) -> RouterMaker:
        """See `gateway.lifecycle.assembly.rule_routers`."""
        return rule_routers(self, model, self._services, pools, loads)

    def observers(self, model: Gateway) -> list[IOutcomeObserver]:
        """See `gateway.lifecycle.assembly.make_observers`."""
        return make_observers(self, model, self._services)

    def filters(self, model: Gateway) -> Mapping[Place, tuple[NamedFilter, ...]]:
        """See `gateway.lifecycle.assembly.make_filters`."""
        return make_filters(self, model, self._services)

    def checks(
        self, model: Gateway, pools: Mapping[tuple[str, str], Pool], road: IRoad, roots: Roots
    ) -> dict[tuple[str, str], Checks]:
        """See `gateway.lifecycle.assembly.make_checks`."""
        return finished(self.checks_by_steps(model, pools, road, roots))

    def checks_by_steps(
        self, model: Gateway, pools: Mapping[tuple[str, str], Pool], road: IRoad, roots: Roots
    ) -> Steps[dict[tuple[str, str], Checks]]:
        """The same, little by little."""
        return make_checks(self, model, self._services, pools, road, roots)

    def probe(
        self, settings: BackendSettings, probe: Probe, road: IRoad, roots: Roots
    ) -> tuple[IProbe, Callable[[], object]]:
        """One for a while, see `gateway.lifecycle.assembly.make_probe`, and what closes it."""
        built: list[Any] = []
        close = partial(close_all, built)
        try:
            return make_probe(self, self._services, settings, probe, road, roots, built=built), close
        except ConfigurationError:
            close()
            raise


def close_all(strategies: Iterable[Any]) -> list[tuple[str, Deferred[Any]]]:
    """Close those that can be closed (`IClosing`): what is done, and a Deferred that fires when it has been.

    What one raises is logged.
    """

    def failed(failure: Failure, name: str) -> None:
        _log.failure("closing {name} failed", failure, name=name)

    closing = []
    for strategy in strategies:
        if IClosing.providedBy(strategy):
            name = f"{type(strategy).__module__}.{type(strategy).__qualname__}"
            closing.append((f"close() of {name}", maybeDeferred(strategy.close).addErrback(failed, name)))
    return closing


def _built(found: Found, options: BaseModel | None, services: Services, blame: str, path: str, at: str) -> Any:
    """What the factory makes; ``path`` is to blame if it fails, ``at`` if it refuses its options."""
    try:
        return found.factory.build(options, services)
    except ConfigurationError:
        raise  # of something that it has asked for
    except ValueError as error:
        raise wrong(at, f"{blame}: {text_of(error) or brief(error)}") from error
    except BaseException as error:  # also one that wants to end the process
        raise wrong(path, f"{blame}: build() failed: {brief(error)}") from error
