"""The message filters of depth.py: one looks at each message, one sends each on in a frame of its own."""

from __future__ import annotations

from typing import Any

from gateway.filters.base import Factory, Filter
from gateway.values import DROP

__all__ = ["changing", "looking"]

_WORD = b"forbidden"


class Looking(Filter):
    """Lets no message pass that has a certain word in it."""

    def message(self, payload: str | bytes, from_client: bool) -> Any:
        """See `gateway.interfaces.IMessages.message`."""
        text = payload if isinstance(payload, bytes) else payload.encode()
        return DROP if _WORD in text else None


class Changing(Filter):
    """Sends something else instead of each message. That it says the same, nobody looks at."""

    def message(self, payload: Any, from_client: bool) -> Any:
        """See `gateway.interfaces.IMessages.message`."""
        return payload[:1] + payload[1:]


looking = Factory("looking", None, lambda options, services: Looking())
changing = Factory("changing", None, lambda options, services: Changing())
