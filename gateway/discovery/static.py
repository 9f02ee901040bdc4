"""Static discovery: the members are those listed in the configuration. What a pool without ``discovery`` has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from gateway.config.model import Member
from gateway.interfaces import IDiscovery, ILasting, IStrategyFactory

__all__ = ["Static", "factory"]


@implementer(ILasting, IDiscovery)
class Static:
    """Finds no more than what is listed."""

    def start(self, found: Callable[[Iterable[Member]], None]) -> None:
        """See `IDiscovery.start`."""
        found(())

    def stop(self) -> None:
        """See `IDiscovery.stop`."""


@implementer(IStrategyFactory)
class _Factory:
    name = "static"
    options = None

    def build(self, options: None, services: Any) -> Static:
        return Static()


factory = _Factory()
