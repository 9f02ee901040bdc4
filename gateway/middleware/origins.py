"""Lists of origins (RFC 6454), for WebSocket handshakes and CORS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Origin", "Origins", "normal"]

_ORIGIN = re.compile(
    r"\*|null|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_LABELS = re.compile(r"[a-z0-9_.-]+")
_DEFAULT_PORT = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}


def normal(origin: str) -> str:
    """Lower case, without a port that the scheme implies: what browsers send."""
    origin = origin.lower()
    return origin.removesuffix(_DEFAULT_PORT.get(origin.partition(":")[0], "\0"))


def _origin(value: str) -> str:
    if _ORIGIN.fullmatch(value.lower()) is None:
        raise ValueError("an origin is scheme://host[:port] without a path; scheme://*.host, * and null are possible")
    return normal(value)


Origin = Annotated[str, AfterValidator(_origin)]
"""An origin in options: ``https://example.com``, ``https://*.example.com``, ``null``, or ``*`` for any."""


class Origins:
    """Knows whether an origin is in a list. A wildcard stands for one or more labels."""

    def __init__(self, origins: Iterable[str]) -> None:
        listed = list(origins)
        self.any = "*" in listed
        self._exact = {origin for origin in listed if "*" not in origin}
        self._endings = [tuple(origin.split("*", 1)) for origin in listed if "*." in origin]

    def __contains__(self, origin: str) -> bool:
        if self.any:
            return True
        origin = normal(origin)
        return origin in self._exact or any(
            origin.startswith(start) and origin.endswith(end) and _LABELS.fullmatch(origin[len(start) : -len(end)])
            for start, end in self._endings
        )
