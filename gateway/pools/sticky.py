"""Sticky cookie over any selector: a client that was served by a backend comes back to it.

The cookie's value is a keyed hash of the backend's name, the pool's and the settings': it names no address, cannot be
made up, and is of no use in another pool.  Only the gateway knows which backend it means.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field, SecretStr
from zope.interface import implementer

from gateway.config.model import Strategy
from gateway.http.cookies import cookie, set_cookie
from gateway.interfaces import ILasting, IReturning, IStrategyFactory
from gateway.pools.wrapper import Over, Wrapper
from gateway.services import Options
from gateway.values import Fields, Peer

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.interfaces import IBackend, ISelector
    from gateway.values import RequestHead

__all__ = ["Cookie", "Sticky", "application_gateway", "factory"]

_DIGEST = 16
_MOST_VALUES = 8192


class Cookie(NamedTuple):
    """One cookie to set. ``secure``: ``None`` for "where the client came over TLS"; ``max_age`` in seconds."""

    name: str
    path: str = "/"
    max_age: int | None = None
    http_only: bool = True
    secure: bool | None = None
    same_site: str | None = None


@implementer(ILasting, IReturning)
class Sticky(Wrapper):
    """Asks ``inner`` where the client has no cookie, or its backend is not among the candidates any more.

    ``cookies`` all carry the same value, and any of them is believed.  ``scope`` is what the value is good for, ``key``
    makes it a secret.
    """

    def __init__(self, inner: ISelector, cookies: tuple[Cookie, ...], scope: str, key: bytes) -> None:
        super().__init__(inner)
        self._cookies = cookies
        self._scope = scope
        self._key = key
        self._seen: tuple[IBackend, ...] = ()
        self._known: dict[str, IBackend] = {}
        self._values: dict[str, str] = {}

    def value(self, backend: IBackend) -> str:
        """The cookie's value for ``backend``: 22 letters, digits, ``-`` and ``_``. HOT."""
        name = backend.name
        value = self._values.get(name)
        if value is None:
            if len(self._values) >= _MOST_VALUES:
                self._values.clear()
            digest = hmac.digest(self._key, f"{self._scope}\n{name}".encode(), "sha256")
            value = self._values[name] = urlsafe_b64encode(digest[:_DIGEST]).decode().rstrip("=")
        return value

    def select_for(self, candidates: tuple[IBackend, ...], head: RequestHead, peer: Peer) -> IBackend | None:
        """See `IPeerSelector.select_for`. HOT."""
        backend = self.returning(candidates, head)
        return self.choose(candidates, head, peer) if backend is None else backend

    def returning(self, candidates: tuple[IBackend, ...], head: RequestHead) -> IBackend | None:
        """See `IReturning.returning`. HOT."""
        for value in self._sent(head):
            if candidates is not self._seen:
                self._seen = candidates
                self._known = {self.value(backend): backend for backend in candidates}
            backend = self._known.get(value)
            if backend is not None:
                return backend
        return None

    def mark(self, backend: IBackend, head: RequestHead, secure: bool) -> Fields:
        """See `IAffinity.mark`: nothing where the client has the right cookie already."""
        value = self.value(backend)
        if value in self._sent(head):
            return ()
        return [
            set_cookie(
                made.name,
                value,
                path=made.path,
                max_age=made.max_age,
                http_only=made.http_only,
                secure=secure if made.secure is None else made.secure,
                same_site=made.same_site,
            )
            for made in self._cookies
        ]

    def _sent(self, head: RequestHead) -> list[str]:
        if "cookie" not in head.index:
            return []
        return [value for made in self._cookies if (value := cookie(head, made.name))]


def application_gateway(inner: ISelector, pool: str, settings: BackendSettings, key: bytes) -> Sticky:
    """What ``cookieBasedAffinity`` does: makes a selector sticky.

    Names and attributes are an Application Gateway's: the plain cookie, and a second one, ``…CORS``, that browsers also
    send in requests from other sites.
    """
    name = settings.affinity_cookie_name or "ApplicationGatewayAffinity"
    cookies = (
        Cookie(name, http_only=False, secure=False),
        Cookie(f"{name}CORS", http_only=False, secure=True, same_site="None"),
    )
    return Sticky(inner, cookies, f"{pool}\n{settings.name}", key)


class StickyOptions(Options):
    over: Over = Field(default=Strategy(strategy="round-robin"), description="The selector for clients that are new.")
    cookie: str = Field(
        default="gateway-backend",
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$",
        description="Name of the cookie.",
    )
    path: str = Field(default="/", pattern=r"^/[!-:<-~]{0,255}$", description="Path of the cookie.")
    ttl: int | None = Field(
        default=None,
        ge=1,
        le=31536000,
        description="Seconds after which the client gets another; default: when the browser is closed.",
    )
    same_site: Literal["Lax", "Strict", "None"] | None = Field(
        default="Lax", description="Which requests from other sites carry it; `None` is only sent over TLS."
    )
    http_only: bool = Field(default=True, description="Scripts cannot read it.")
    secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Key of the hash, the same in all gateways that share clients; "
        "default: a random one until the gateway stops.",
    )


@implementer(IStrategyFactory)
class _Factory:
    name = "sticky"
    options = StickyOptions

    def build(self, options: StickyOptions, services: Any) -> Sticky:
        made = Cookie(
            options.cookie,
            options.path,
            options.ttl,
            options.http_only,
            True if options.same_site == "None" else None,
            options.same_site,
        )
        key = services.secret if options.secret is None else options.secret.get_secret_value().encode()
        settings = services.settings.name if services.settings is not None else ""
        return Sticky(services.make("over", options.over), (made,), f"{services.pool}\n{settings}", key)


factory = _Factory()
