"""Consistent hash: requests with the same key come to the same backend, as long as it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from zope.interface import implementer

from gateway.http.forwarded import TrustedProxies
from gateway.interfaces import ILasting, IPeerSelector, IStrategyFactory
from gateway.pools.keys import FORMS, Key, key_of
from gateway.pools.rendezvous import Rendezvous
from gateway.pools.round_robin import RoundRobin
from gateway.services import Options
from gateway.values import Peer

if TYPE_CHECKING:
    from gateway.interfaces import IBackend
    from gateway.values import RequestHead

__all__ = ["Hash", "factory", "trusted_proxies"]

_NOBODY = Peer("", 0)


class HashOptions(Options):
    by: str = Field(description=f"What requests are told apart by: {FORMS}.")
    balance: float | None = Field(
        default=None,
        gt=1.0,
        le=100.0,
        description="No backend has more than this many times its fair share in progress; default: no bound.",
    )

    @field_validator("by")
    @classmethod
    def _known(cls, by: str) -> str:
        key_of(by, TrustedProxies())
        return by


@implementer(ILasting, IPeerSelector)
class Hash:
    """By the key of each request; those without one take turns."""

    def __init__(self, key: Key, balance: float | None = None) -> None:
        self._key = key
        self._find = Rendezvous(balance).find
        self._turns = RoundRobin()

    def select(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend:
        """See `ISelector.select`: without a peer."""
        return self.select_for(candidates, head, _NOBODY)

    def select_for(self, candidates: tuple[IBackend, ...], head: RequestHead, peer: Peer) -> IBackend:
        """See `IPeerSelector.select_for`. HOT."""
        key = self._key(head, peer)
        return self._find(candidates, key) if key else self._turns.select(candidates, head)


def trusted_proxies(services: Any) -> TrustedProxies:
    """The proxies whose word on the client's address is believed (``limits.trustedProxies``)."""
    return TrustedProxies(services.model.limits.trusted_proxies if services.model is not None else ())


@implementer(IStrategyFactory)
class _Factory:
    name = "hash"
    options = HashOptions

    def build(self, options: HashOptions, services: Any) -> Hash:
        return Hash(key_of(options.by, trusted_proxies(services)), options.balance)


factory = _Factory()
