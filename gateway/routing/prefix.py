"""The longest prefix of the path decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from zope.interface import implementer

from gateway.interfaces import IRouter, IStrategyFactory
from gateway.routing.choices import Choice, route_of
from gateway.routing.readings import folded, settled
from gateway.services import Options

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.values import RequestHead

__all__ = ["PrefixOptions", "PrefixRouter", "factory"]


class PrefixOptions(Options):
    """Prefixes, in any order."""

    prefixes: dict[str, Choice] = Field(
        min_length=1, description="Where paths go that begin so; whole segments: `/api` is not for `/apix`."
    )

    @field_validator("prefixes")
    @classmethod
    def _paths(cls, prefixes: dict[str, Choice]) -> dict[str, Choice]:
        known: dict[str, str] = {}
        for prefix in prefixes:
            if not prefix.startswith("/") or any([mark in prefix for mark in "*?#"]):
                raise ValueError(f"found {prefix[:80]!r}; a prefix is a path such as '/api', without '*', '?' and '#'")
            other = known.setdefault(_key(prefix), prefix)
            if other is not prefix:
                raise ValueError(f"{prefix!r} is the same as {other!r}")
        return prefixes


@implementer(IRouter)
class PrefixRouter:
    """Compares paths as path maps do: decoded, without dot segments, in any case, whoever reads them.

    Without a match: what the rule says.
    """

    def __init__(self, options: PrefixOptions, services: Services) -> None:
        self._routes = {
            _key(prefix): route_of(choice, services, prefix.rstrip("/"), prefix)
            for prefix, choice in options.prefixes.items()
        }
        self._lengths = sorted({len(key) for key in self._routes}, reverse=True)
        self._otherwise: Any = services.otherwise

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IRouter.route`."""
        path = head.path
        route = settled(path, self._longest(folded(path)), lambda reading: self._longest(reading.lower()))
        return self._otherwise(head) if route is None else route

    def _longest(self, path: str) -> Any:
        size = len(path)
        for length in self._lengths:
            if length == size or (length < size and path[length] == "/"):
                route = self._routes.get(path[:length])
                if route is not None:
                    return route
        return None


def _key(prefix: str) -> str:
    """In the form of a path that is compared; the final slash does not count."""
    return folded(prefix.encode("utf-8").decode("latin-1")).rstrip("/")


@implementer(IStrategyFactory)
class _Factory:
    name = "prefix"
    options = PrefixOptions

    def build(self, options: PrefixOptions, services: Services) -> PrefixRouter:
        return PrefixRouter(options, services)


factory = _Factory()
