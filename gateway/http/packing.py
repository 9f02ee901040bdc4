"""A request head in a quarter of its memory, for as long as nobody looks at it.

A session may last for days, and its head is asked for when somebody lists sessions, and at its end, for the log.
"""

from __future__ import annotations

from gateway.http.heads import index_of
from gateway.values import RequestHead

__all__ = ["PackedHead"]

_END = "\n"  # is in no part of a head
_PLAIN = 6
"""Parts before the names and values of fields."""


class PackedHead:
    """One string. ``head()`` makes an equal head of it, a new one each time."""

    __slots__ = ("_numbers", "_text")

    def __init__(self, head: RequestHead) -> None:
        method, target, version, host, fields, _, body, keep_alive, upgrade, nominated = head
        parts = [method, target, version, host, upgrade, ",".join(nominated)]
        for field in fields:
            parts += field
        self._text = _END.join(parts)
        self._numbers = body, keep_alive

    def head(self) -> RequestHead:
        """The head."""
        parts = self._text.split(_END)
        method, target, version, host, upgrade, nominated = parts[:_PLAIN]
        fields = list(zip(parts[_PLAIN::2], parts[_PLAIN + 1 :: 2], strict=True))
        names = tuple(nominated.split(",")) if nominated else ()
        return RequestHead(method, target, version, host, fields, index_of(fields), *self._numbers, upgrade, names)
