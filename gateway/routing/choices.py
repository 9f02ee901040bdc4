"""What the options of the gateway's own routers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from gateway.services import Options

if TYPE_CHECKING:
    from gateway.values import Route

__all__ = ["Choice", "route_of"]


class Choice(Options):
    """Somewhere to go."""

    pool: str = Field(description="Name of a pool.")
    settings: str | None = Field(default=None, description="Name of settings; default: those of the rule.")


def route_of(choice: Choice, services: Any, matched: str = "", name: str = "") -> Route:
    """The route to it. Raises ``ValueError`` where there is no such pool."""
    route: Route = services.target(choice.pool, choice.settings, matched=matched, name=name)
    return route
