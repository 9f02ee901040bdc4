"""Lets clients in by their address, or keeps them out."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from gateway.middleware.base import Factory, Middleware, Options, refusal
from gateway.middleware.networks import Network, Networks
from gateway.values import Context, Reply, RequestHead

__all__ = ["Address", "AddressOptions", "factory"]


class AddressOptions(Options):
    """A client is let in unless it is in ``deny``, and only if it is in ``allow`` where there is such a list."""

    allow: tuple[Network, ...] = Field(default=(), description="Networks that are let in; empty: all.")
    deny: tuple[Network, ...] = Field(default=(), description="Networks that are kept out (403), also if in `allow`.")

    @model_validator(mode="after")
    def _some(self) -> AddressOptions:
        if not self.allow and not self.deny:
            raise ValueError("name networks in `allow` or in `deny`")
        return self


class Address(Middleware):
    """Answers 403 to addresses that may not come in. Behind a trusted proxy the client's address counts."""

    def __init__(self, options: AddressOptions, services: Any = None) -> None:
        self._allow = Networks(options.allow)
        self._deny = Networks(options.deny)

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """See `IMiddleware.request`."""
        address = context.address
        if address in self._deny or (self._allow and address not in self._allow):
            return refusal(403, "address_denied")
        return None


factory = Factory("address", AddressOptions, Address)
