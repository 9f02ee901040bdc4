"""Finds the factories of strategies by name, verifies them, and names whoever is at fault.

A name in a configuration is looked up among entry points (one group for each kind of strategy), then among the
drop-ins of `gateway.plugins`; a name with a colon is ``module:object``.  The strategies of the gateway itself are entry
points too, and are also listed in `gateway.strategies.groups`, so that they are found in a checkout that was never
installed.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

from pydantic import BaseModel
from twisted.logger import Logger
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from gateway import __version__
from gateway.errors import ConfigurationError
from gateway.interfaces import IStrategyFactory
from gateway.strategies.blame import brief, sentence, wrong
from gateway.strategies.drop_ins import LeftOut, Offered
from gateway.strategies.drop_ins import drop_ins as installed_drop_ins
from gateway.strategies.groups import BUILT_IN, GROUPS

__all__ = ["OUR_SOURCE", "Factories", "Found", "Listed"]

_log = Logger()
_OURS = "gateway"
OUR_SOURCE = "the gateway itself"
"""`Found.source` of our own strategies."""


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


class _Dropped(NamedTuple):
    """What drop-ins claim, by group, and those that are left out."""

    claims: Mapping[str, Sequence[_Claim]]
    left_out: Sequence[LeftOut]


class Factories:
    """The factories of this installation; what it has found it remembers.

    ``entry_points(group=...)`` and ``drop_ins()`` (see `gateway.strategies.drop_ins`) are replaced in tests.  Methods
    raise `ConfigurationError` whose problems carry ``path``, the place in the configuration that asked.
    """

    def __init__(
        self,
        *,
        entry_points: Callable[..., Iterable[metadata.EntryPoint]] = metadata.entry_points,
        drop_ins: Callable[[], tuple[Iterable[Offered], Iterable[LeftOut]]] = installed_drop_ins,
    ) -> None:
        self._entry_points = entry_points
        self._drop_ins = drop_ins
        self._claims: dict[str, dict[str, list[_Claim]]] = {}
        self._found: dict[tuple[str, str], Found] = {}
        self._dropped: _Dropped | None = None

    def again(self) -> Factories:
        """One that finds what has been installed since. What is in use is not looked for again."""
        following = Factories(entry_points=self._entry_points, drop_ins=self._drop_ins)
        following._found = dict(self._found)
        return following

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

    def left_out(self) -> Sequence[LeftOut]:
        """Drop-ins that cannot be used at all; nobody knows what they would have been."""
        return self._drops.left_out

    def find(self, group: str, name: str, path: str = "") -> Found:
        """The factory for ``name``, loaded and verified."""
        known = self._found.get((group, name))
        if known is None:
            claim = _by_path(name, path) if ":" in name else self._by_name(group, name, path)
            known = self._found[group, name] = _verified(claim, group, path, named=":" not in name)
        return known

    def _by_name(self, group: str, name: str, path: str) -> _Claim:
        claims = self._group(group)
        word = GROUPS[group].word
        if name not in claims:
            close = difflib.get_close_matches(name, claims, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            hint += "".join([f"; drop-in {each.where} {each.problem}" for each in self.left_out()])
            raise wrong(path, f"there is no {word} {name!r}, there are: {', '.join(sorted(claims)) or 'none'}{hint}")
        first, *others = claims[name]
        if others:
            sources = " and ".join([claim.source for claim in claims[name]])
            raise wrong(path, f"{word} {name!r} is claimed by {sources}: uninstall one of them")
        return first

    def _group(self, group: str) -> dict[str, list[_Claim]]:
        known = self._claims.get(group)
        if known is None:
            known = self._claims[group] = {}
            for claim in self._scan(group):
                known.setdefault(claim.name, []).append(claim)
        return known

    def _scan(self, group: str) -> Iterator[_Claim]:
        yield from _ours(group)
        yield from self._of_distributions(group)
        yield from self._drops.claims.get(group, ())

    def _of_distributions(self, group: str) -> Iterator[_Claim]:
        built_in = BUILT_IN.get(group, {})
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

    @property
    def _drops(self) -> _Dropped:
        """What the drop-ins claim; looked for once, when somebody asks."""
        if self._dropped is None:
            offered, left_out = self._drop_ins()
            self._dropped = _sorted(offered, [*left_out])
            for each in self._dropped.left_out:
                if each not in _said:
                    _said.add(each)
                    _log.warn("drop-in {where} {problem}", where=each.where, problem=each.problem)
        return self._dropped


_said: set[LeftOut] = set()
"""What this process has logged of drop-ins: they are looked at again at each reload."""


def _sorted(offered: Iterable[Offered], left_out: list[LeftOut]) -> _Dropped:
    """What drop-ins offer by the group that it is for; what says so wrongly is added to ``left_out``."""
    claims: dict[str, list[_Claim]] = {}
    for module, factory in offered:
        group, name = getattr(factory, "group", None), getattr(factory, "name", None)
        file = str(getattr(sys.modules.get(module), "__file__", module))
        if not isinstance(group, str) or group not in GROUPS:
            close = difflib.get_close_matches(str(group), GROUPS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(GROUPS)}"
            named = f"has the group {group!r}" if group is not None else "has no group"
            left_out.append(LeftOut(file, f"is left out: its factory {name!r} {named}; {hint}"))
        elif not isinstance(name, str) or not name:
            left_out.append(LeftOut(file, f"is left out: the name of its factory is {name!r}, not a text"))
        else:
            claim = _Claim(name, f"drop-in {module}", lambda factory=factory: factory, where=file)  # type: ignore[misc]
            claims.setdefault(group, []).append(claim)
    return _Dropped(claims, left_out)


def _ours(group: str) -> Iterator[_Claim]:
    for name, value in BUILT_IN.get(group, {}).items():
        yield _Claim(name, OUR_SOURCE, partial(_import, value), _OURS, __version__, value)


def _by_path(name: str, path: str) -> _Claim:
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise wrong(path, f"{name!r} is not module:object")
    return _Claim(name, name, partial(_import, name))


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
    except BaseException as error:  # also that of one that wants to end the process
        raise wrong(path, f"{blame} cannot be loaded: {brief(error)}") from error
    if not IStrategyFactory.providedBy(factory):
        what = getattr(factory, "__name__", type(factory).__name__)
        raise wrong(path, f"{blame} is not an IStrategyFactory: {what!r} is not declared with @implementer") from None
    try:
        verifyObject(IStrategyFactory, factory)
    except Invalid as error:
        raise wrong(path, f"{blame} is not an IStrategyFactory: {sentence(error)}") from None
    if named and factory.name != claim.name:
        raise wrong(path, f"{blame} calls itself {factory.name!r}: both names must be the same")
    options = factory.options
    if options is not None and not (isinstance(options, type) and issubclass(options, BaseModel)):
        raise wrong(path, f"{blame}: options must be a pydantic model class or None")
    return Found(factory, claim.source, group)
