"""A bound on the size of messages, for one route and one side; ``limits.maxMessageBytes`` is for all."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gateway.filters.base import Factory, Filter, SideOptions, size_of
from gateway.values import DROP, Close, Drop

__all__ = ["SizeLimit", "SizeLimitOptions", "factory"]


class SizeLimitOptions(SideOptions):
    """How large messages may be."""

    max_bytes: int = Field(ge=1, description="Bytes of a message, inflated.")
    then: Literal["close", "drop"] = Field(default="close", description="End the session (1009), or drop the message.")


class SizeLimit(Filter):
    """Closes with 1009 (RFC 6455 §7.4.1), or drops."""

    def __init__(self, options: SizeLimitOptions, services: Any = None) -> None:
        self._options = options
        self._verdict = DROP if options.then == "drop" else Close(1009, "message too big")

    def message(self, payload: str | bytes, from_client: bool) -> Drop | Close | None:
        """See `IMessages.message`."""
        options = self._options
        if options.concerns(from_client) and size_of(payload) > options.max_bytes:
            return self._verdict
        return None


factory = Factory("size-limit", SizeLimitOptions, SizeLimit)
