"""``tenant-homes``: a selector that sends each tenant to the backend where its data is."""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from gateway.config.model import Strategy
from gateway.interfaces import ISelector
from gateway.pools.wrapper import Over
from gateway.services import Factory, Options


class HomesOptions(Options):
    homes: dict[str, str] = Field(min_length=1, description="The backend, `host:port`, by the name of the tenant.")
    header: str = Field(default="X-Tenant", description="The request field that names the tenant.")
    over: Over = Field(default=Strategy(strategy="round-robin"), description="The selector for all others.")


@implementer(ISelector)
class Homes:
    def __init__(self, options, services):
        self._homes = options.homes
        self._header = options.header.lower()
        self._others = services.make("over", options.over)

    def select(self, candidates, head):
        home = self._homes.get(head.get(self._header))
        for backend in candidates:
            if backend.name == home:
                return backend
        return self._others.select(candidates, head)  # who has no home, or whose home is down


factory = Factory("tenant-homes", HomesOptions, Homes)
