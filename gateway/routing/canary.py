"""Some requests go to another pool: those that ask for it, and a share of all clients, always the same ones."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator
from zope.interface import implementer

from gateway.http.forwarded import TrustedProxies
from gateway.interfaces import IRouter, IStrategyFactory
from gateway.pools.keys import FORMS, key_of
from gateway.routing.choices import Choice, route_of
from gateway.values import NeedsAddress, Peer

if TYPE_CHECKING:
    from gateway.pools.keys import Key
    from gateway.services import Services
    from gateway.values import RequestHead, Route

__all__ = ["Canary", "CanaryOptions", "factory"]

_ALL = 1 << 64
_LONGEST_KEY = 1024
_NOBODY = Peer("", 0)


class CanaryOptions(Choice):
    """Who goes there. All others go where the rule says."""

    when: tuple[str, ...] = Field(
        default=(),
        max_length=50,
        description="Requests that go there: `header:NAME`, `cookie:NAME` or `query:NAME` that is there, "
        "or with `=VALUE` has this value.",
    )
    unless: tuple[str, ...] = Field(default=(), max_length=50, description="Requests that never do; as `when`.")
    weight: float = Field(default=0, ge=0, le=100, description="Percent of the others.")
    key: str = Field(
        default="address", description=f"What tells clients apart: {FORMS}. Without it in a request the address counts."
    )

    @field_validator("key")
    @classmethod
    def _form(cls, key: str) -> str:
        key_of(key, TrustedProxies())
        return key

    @field_validator("when", "unless")
    @classmethod
    def _signs(cls, signs: tuple[str, ...]) -> tuple[str, ...]:
        for sign in signs:
            _sign(sign)
        return signs

    @model_validator(mode="after")
    def _somebody(self) -> CanaryOptions:
        if not self.when and not self.weight:
            raise ValueError("nobody would go there: give 'when' or 'weight'")
        return self


@implementer(IRouter)
class Canary:
    """A larger weight adds clients and takes none away. Another pool is another choice of clients."""

    def __init__(self, options: CanaryOptions, services: Services) -> None:
        self._route = route_of(options, services, name="canary")
        self._otherwise: Any = services.otherwise
        self._when = [_sign(sign) for sign in options.when]
        self._unless = [_sign(sign) for sign in options.unless]
        self._limit = int(options.weight / 100 * _ALL)
        self._by_address = options.key == "address"
        # The address is the client's already: nobody has to be trusted to name another.
        self._key = key_of(options.key, TrustedProxies())
        self._address = key_of("address", TrustedProxies())
        self._salt = blake2b(options.pool.encode(), digest_size=16).digest()

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IRouter.route`."""
        if any([_there(head, sign) for sign in self._unless]):
            return self._otherwise(head)
        if any([_there(head, sign) for sign in self._when]):
            return self._route
        if not self._limit:
            return self._otherwise(head)
        key = None if self._by_address else self._key(head, _NOBODY)
        return self._share(head, key) if key else NeedsAddress(partial(self._by, head))

    def _by(self, head: RequestHead, address: str) -> Any:
        return self._share(head, self._address(head, Peer(address, 0)) or "")

    def _share(self, head: RequestHead, key: str) -> Any:
        data = key[:_LONGEST_KEY].encode("utf-8", "surrogateescape")
        digest = blake2b(data, digest_size=8, key=self._salt).digest()
        chosen: Route | None = self._route if int.from_bytes(digest, "big") < self._limit else None
        return self._otherwise(head) if chosen is None else chosen


def _sign(text: str) -> tuple[Key, str]:
    """A function that finds the value, and the value that is wanted, or empty. Raises ``ValueError``."""
    by, _, value = text.partition("=")
    if by.partition(":")[0] not in ("header", "cookie", "query"):
        raise ValueError(f"found {text[:80]!r}; expected header:NAME, cookie:NAME or query:NAME, perhaps with =VALUE")
    return key_of(by, TrustedProxies()), value


def _there(head: RequestHead, sign: tuple[Key, str]) -> bool:
    key, wanted = sign
    found = key(head, _NOBODY)
    return found is not None and (not wanted or found == wanted)


@implementer(IStrategyFactory)
class _Factory:
    name = "canary"
    options = CanaryOptions

    def build(self, options: CanaryOptions, services: Services) -> Canary:
        return Canary(options, services)


factory = _Factory()
