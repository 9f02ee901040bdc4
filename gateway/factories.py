"""Finds the factories of strategies by name, verifies them, and names whoever is at fault.

A name in a configuration is looked up among entry points (one group for each kind of strategy), then among the
drop-ins of `gateway.plugins`; a name with a colon is ``module:object``.  The strategies of the gateway itself are entry
points too, and are also listed in `gateway.groups`, so that they are found in a checkout that was never installed.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

from pydantic import BaseModel
from twisted.logger import Logger
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from gateway import __version__
from gateway.blame import brief, sentence, wrong
from gateway.errors import ConfigurationError
from gateway.groups import BUILT_IN, GROUPS
from gateway.interfaces import IStrategyFactory

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


class Factories:
    """The factories of this installation; what it has found it remembers.

    ``entry_points(group=...)`` and ``drop_ins()`` are replaced in tests.  Methods raise `ConfigurationError` whose
    problems carry ``path``, the place in the configuration that asked.
    """

    def __init__(
        self,
        *,
        entry_points: Callable[..., Iterable[metadata.EntryPoint]] = metadata.entry_points,
        drop_ins: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        self._entry_points = entry_points
        self._drop_ins = _installed_drop_ins if drop_ins is None else drop_ins
        self._claims: dict[str, dict[str, list[_Claim]]] = {}
        self._found: dict[tuple[str, str], Found] = {}
        self._dropped: list[Any] | None = None

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
            claim = _by_path(name, path) if ":" in name else self._by_name(group, name, path)
            known = self._found[group, name] = _verified(claim, group, path, named=":" not in name)
        return known

    def _by_name(self, group: str, name: str, path: str) -> _Claim:
        claims = self._group(group)
        word = GROUPS[group].word
        if name not in claims:
            close = difflib.get_close_matches(name, claims, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
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
        yield from self._of_drop_ins(group)

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

    def _of_drop_ins(self, group: str) -> Iterator[_Claim]:
        if self._dropped is None:
            self._dropped = list(self._drop_ins())
        for factory in self._dropped:
            module = factory.__module__
            claimed, called = getattr(factory, "group", None), getattr(factory, "name", None)
            if claimed not in GROUPS or not isinstance(called, str):
                why = f"its group is {claimed!r}" if claimed not in GROUPS else f"its name is {called!r}"
                _log.warn("drop-in {module} is left out: {why}", module=module, why=why)
            elif claimed == group:
                file = str(getattr(sys.modules.get(module), "__file__", module))
                yield _Claim(called, f"drop-in {module}", lambda factory=factory: factory, where=file)  # type: ignore[misc]


def _ours(group: str) -> Iterator[_Claim]:
    for name, value in BUILT_IN.get(group, {}).items():
        yield _Claim(name, OUR_SOURCE, partial(_import, value), _OURS, __version__, value)


def _by_path(name: str, path: str) -> _Claim:
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise wrong(path, f"{name!r} is not module:object")
    return _Claim(name, name, partial(_import, name))


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
        raise wrong(path, f"{blame} cannot be loaded: {brief(error)}") from error
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
