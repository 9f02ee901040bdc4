"""Finds the drop-ins of `gateway.plugins`: what their modules offer, and why others offer nothing."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from twisted.plugin import IPlugin

from gateway.interfaces import IStrategyFactory
from gateway.strategies.blame import brief

__all__ = ["LeftOut", "Offered", "drop_ins"]


class Offered(NamedTuple):
    """What a drop-in offers as a factory, and the name of its module: whom to blame, wherever the rest comes from."""

    module: str
    factory: Any


class LeftOut(NamedTuple):
    """What cannot be used, ``where`` it is (a file), and a ``problem``: the rest of a sentence about it."""

    where: str
    problem: str


def drop_ins() -> tuple[list[Offered], list[LeftOut]]:
    """What all drop-ins offer, and those that cannot be imported.

    This is ``twisted.plugin.getPlugins`` without its cache, which would not help (what is offered says itself which
    group it is for, so that every module is needed), and without its tracebacks of what cannot be imported.
    """
    from gateway import plugins

    offered: dict[int, Offered] = {}
    broken: list[LeftOut] = []
    for found in pkgutil.iter_modules(plugins.__path__):
        try:
            module = importlib.import_module(f"{plugins.__name__}.{found.name}")
        except BaseException as error:
            directory = getattr(found.module_finder, "path", "")
            broken.append(LeftOut(f"{directory}/{found.name}.py", f"cannot be loaded: {brief(error)}"))
        else:
            for each in _offered(module):
                if id(each) not in offered or _is_of(module, each):  # another one may have imported it
                    offered[id(each)] = Offered(module.__name__, each)
    return list(offered.values()), broken


def _offered(module: ModuleType) -> Iterator[Any]:
    """The factories of a drop-in; those that it has only imported, to use them, are no plugins."""
    for each in tuple(vars(module).values()):
        if IStrategyFactory.providedBy(each):
            if IPlugin.providedBy(each) or _is_of(module, each):
                yield each


def _is_of(module: ModuleType, factory: Any) -> bool:
    return getattr(factory, "__module__", None) == module.__name__
