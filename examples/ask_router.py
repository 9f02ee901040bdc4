"""A router of one's own that asks a service where each request goes.

In a configuration, with this directory on PYTHONPATH::

    rules:
      - listener: web
        pool: shop              # where requests go that the service knows nothing about
        settings: default
        router:
          strategy: ask_router:factory
          options: {url: 'http://127.0.0.1:9200/where', pools: [shop, shop-next]}

The service gets ``GET /where?host=…&path=…`` and names a pool in the field X-Pool of its answer.  While it thinks about
one request others go on.  When it takes too long (``limits.middlewareTimeout``) the client gets 500; when the client
leaves, the question is taken back.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, Field
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from zope.interface import implementer

from gateway.interfaces import IAsyncRouter, IClosing, IStrategyFactory


class AskOptions(BaseModel, extra="forbid"):
    """What may stand below ``options``."""

    url: str = Field(pattern="^https?://", description="The service.")
    pools: list[str] = Field(min_length=1, description="The pools that it may name.")


@implementer(IAsyncRouter, IClosing)
class AskRouter:
    """Asks for every request, over connections that are kept."""

    def __init__(self, options: AskOptions, services: Any) -> None:
        self._url = options.url
        # Routes are made now: so the gateway knows which pools to probe.
        self._routes = {pool: services.target(pool) for pool in options.pools}
        self._otherwise = services.otherwise
        self._connections = HTTPConnectionPool(services.reactor)
        self._agent = Agent(services.reactor, pool=self._connections)

    async def route(self, head: Any, listener: str) -> Any:
        """Called for each request; what it raises costs this request alone."""
        question = urlencode({"host": head.host, "path": head.path})
        answer = await self._agent.request(b"GET", f"{self._url}?{question}".encode("ascii"))
        await readBody(answer)
        named = answer.headers.getRawHeaders("X-Pool") or [""]
        return self._routes.get(named[0]) or self._otherwise(head)

    def close(self) -> Any:
        """The gateway stops."""
        return self._connections.closeCachedConnections()


@implementer(IStrategyFactory)
class AskFactory:
    """Makes it; see `gateway.interfaces.IStrategyFactory`."""

    name = "ask"
    options = AskOptions

    def build(self, options: AskOptions, services: Any) -> AskRouter:
        return AskRouter(options, services)


factory = AskFactory()
