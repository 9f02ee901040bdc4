"""Regular expressions decide, in the order listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from zope.interface import implementer

from gateway.interfaces import IRouter, IStrategyFactory
from gateway.routing.choices import Choice, route_of
from gateway.routing.patterns import Pattern
from gateway.routing.readings import decoded, settled
from gateway.services import Options

if TYPE_CHECKING:
    from gateway.services import Services
    from gateway.values import RequestHead

__all__ = ["RegexOptions", "RegexRouter", "factory"]


class RegexChoice(Choice):
    """A pattern and where it leads."""

    pattern: str = Field(min_length=1, description="In the syntax of RE2, looked for anywhere; `^` and `$` tie it.")
    subject: Literal["path", "target", "host"] = Field(
        default="path", description="The path, decoded and without dot segments; path and query as sent; or the host."
    )
    ignore_case: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        Pattern(pattern)
        return pattern


class RegexOptions(Options):
    """Patterns, tried one after the other."""

    patterns: tuple[RegexChoice, ...] = Field(
        min_length=1, max_length=200, description="The first that matches decides."
    )


@implementer(IRouter)
class RegexRouter:
    """Without a match: what the rule says. All readings of a path have to match the same pattern."""

    def __init__(self, options: RegexOptions, services: Services) -> None:
        self._about_path = any(each.subject == "path" for each in options.patterns)
        self._tests = [
            (Pattern(each.pattern, each.ignore_case).search, each.subject, route_of(each, services, name=each.pattern))
            for each in options.patterns
        ]
        self._otherwise: Any = services.otherwise

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IRouter.route`."""
        path = head.path
        route = self._first(head, decoded(path))
        if self._about_path:
            settled(path, route, lambda reading: self._first(head, reading))
        return self._otherwise(head) if route is None else route

    def _first(self, head: RequestHead, path: str) -> Any:
        path = path.encode("utf-8", "surrogateescape").decode("latin-1")
        subjects = {"path": path, "target": head.target, "host": head.host.lower()}
        for search, subject, route in self._tests:
            if search(subjects[subject]) is not None:
                return route
        return None


@implementer(IStrategyFactory)
class _Factory:
    name = "regex"
    options = RegexOptions

    def build(self, options: RegexOptions, services: Services) -> RegexRouter:
        return RegexRouter(options, services)


factory = _Factory()
