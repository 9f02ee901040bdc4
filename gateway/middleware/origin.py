"""Lets WebSocket handshakes in by their Origin: browsers send cookies along to whoever asks (RFC 6455 §10.2)."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from gateway.middleware.base import UPGRADE, Factory, Middleware, Options, refusal
from gateway.middleware.origins import Origin, Origins, normal
from gateway.values import Context, Reply, RequestHead

__all__ = ["OriginCheck", "OriginOptions", "factory"]


class OriginOptions(Options):
    """Which pages may open WebSockets."""

    origins: tuple[Origin, ...] = Field(
        default=(), description="Such as `https://example.com`, `https://*.example.com`."
    )
    same_host: bool = Field(default=False, description="Also pages of the host that the handshake is for.")
    allow_missing: bool = Field(default=True, description="Clients without Origin, which are not browsers, are let in.")

    @model_validator(mode="after")
    def _some(self) -> OriginOptions:
        if not self.origins and not self.same_host:
            raise ValueError("list `origins`, or set `sameHost`")
        return self


class OriginCheck(Middleware):
    """Answers 403 to handshakes from pages that are not listed."""

    traffic = UPGRADE

    def __init__(self, options: OriginOptions, services: Any = None) -> None:
        self._origins = Origins(options.origins)
        self._same_host = options.same_host
        self._allow_missing = options.allow_missing

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """See `IMiddleware.request`."""
        origin = head.get("origin")
        if origin is None:
            allowed = self._allow_missing
        else:
            same = self._same_host and normal(origin) == normal(f"{context.scheme}://{head.host}")
            allowed = same or origin in self._origins
        return None if allowed else refusal(403, "origin_denied")


factory = Factory("origin", OriginOptions, OriginCheck)
