"""Client-address hash: a client comes to the same backend, without any cookie.

The address is the peer's, or what a trusted proxy (``limits.trustedProxies``) says.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from zope.interface import implementer

from gateway.interfaces import IStrategyFactory
from gateway.pools.hashing import Hash, trusted_proxies
from gateway.pools.keys import address_key
from gateway.services import Options

__all__ = ["factory"]


class AddressOptions(Options):
    v4_prefix: int = Field(default=32, ge=8, le=32, description="Bits of an IPv4 address that count.")
    v6_prefix: int = Field(default=64, ge=16, le=128, description="Bits of an IPv6 address that count.")
    balance: float | None = Field(
        default=None,
        gt=1.0,
        le=100.0,
        description="No backend has more than this many times its fair share in progress; default: no bound.",
    )


@implementer(IStrategyFactory)
class _Factory:
    name = "address-hash"
    options = AddressOptions

    def build(self, options: AddressOptions, services: Any) -> Hash:
        key = address_key(trusted_proxies(services), options.v4_prefix, options.v6_prefix)
        return Hash(key, options.balance)


factory = _Factory()
