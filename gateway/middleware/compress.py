"""Compresses response bodies with gzip (RFC 9110 §8.4.1.3) for clients that take it."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from pydantic import Field

from gateway.http.changes import with_fields
from gateway.middleware.base import HTTP, Factory, Middleware, Options
from gateway.values import Context, RequestHead, ResponseHead

__all__ = ["Compress", "CompressOptions", "accepts_gzip", "factory"]

_TYPES = (
    "text/html", "text/css", "text/plain", "text/javascript", "text/xml", "text/csv", "text/markdown",
    "application/javascript", "application/json", "application/ld+json", "application/manifest+json",
    "application/problem+json", "application/xml", "application/xhtml+xml", "application/rss+xml",
    "application/atom+xml", "application/wasm", "image/svg+xml",
)  # fmt: skip
_PIECE = 65536


class _Asked(NamedTuple):
    """Of a request. ``has``: the validators of what the client has got already."""

    gzip: bool = False
    head_only: bool = False
    has: str = ""


_NOTHING = _Asked()


class CompressOptions(Options):
    """What is worth compressing."""

    types: tuple[str, ...] = Field(default=_TYPES, description="Media types; `text/*` and the like are possible.")
    min_length: int = Field(default=1024, ge=0, description="Bytes; what is known to be shorter is left as it is.")
    level: int = Field(default=5, ge=1, le=9, description="1 is fastest, 9 smallest.")


class Compress(Middleware):
    """Encodes bodies that are plain text of some length; never parts, never what is encoded already."""

    traffic = HTTP

    def __init__(self, options: CompressOptions, services: Any = None) -> None:
        self._types = frozenset(name.lower() for name in options.types if not name.endswith("/*"))
        self._kinds = frozenset(name.lower()[:-2] for name in options.types if name.endswith("/*"))
        self._min_length = options.min_length
        self._level = options.level

    def request(self, head: RequestHead, context: Context) -> None:
        """Remember what the client takes, and what of it asks for no body."""
        context.notes[self] = _Asked(
            accepts_gzip(head.get("accept-encoding") or ""), head.method == "HEAD", head.get("if-none-match") or ""
        )

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        asked: _Asked = context.notes.get(self, _NOTHING)
        context.notes[self] = _NOTHING
        length = head.body
        if asked.head_only and not length and context.backend is not None:
            length = int(head.get("content-length") or -1)  # of what a GET would get (RFC 9110 §8.6)
        if not self._may_be_encoded(head, length):
            return None
        # Also where this client gets it plain: a cache has to know (RFC 9110 §12.5.5).
        vary = [] if _listed("accept-encoding", head.get("vary") or "") else [("Vary", "Accept-Encoding")]
        etag = head.get("etag") or ""
        weak = [("ETag", f"W/{etag}")] if etag and not etag.startswith("W/") else []
        if head.status == 304:
            # What the client has got had these fields, and a 304 has to have the same (RFC 9110 §15.4.5).
            return with_fields(head, set=weak if f"W/{etag}" in asked.has else (), add=vary)
        if not asked.gzip:
            return with_fields(head, add=vary) if vary else None
        context.notes[self] = asked
        fields = [("Content-Encoding", "gzip"), *weak]
        return with_fields(head, set=fields, add=vary, remove=["Accept-Ranges", "Content-MD5"])

    def _may_be_encoded(self, head: ResponseHead, length: int) -> bool:
        index = head.index
        if head.status in (204, 206) or (length == 0 and head.status != 304) or 0 < length < self._min_length:
            return False
        if not {"content-encoding", "content-range", "content-digest"}.isdisjoint(index):
            return False
        if _listed("no-transform", index.get("cache-control", "")):
            return False
        if head.status == 304 and "content-type" not in index:
            return True  # it need not say; a Vary too many does no harm
        media = index.get("content-type", "").partition(";")[0].strip().lower()
        return media in self._types or media.partition("/")[0] in self._kinds

    def body(self, head: ResponseHead, context: Context) -> Any:
        """See `IMiddleware.body`."""
        return _Gzip(self._level, streams=head.body < 0) if context.notes[self].gzip else None


class _Gzip:
    """One body. With ``streams`` what is fed comes out at once: the next piece may take its time."""

    def __init__(self, level: int, streams: bool) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, 31)
        self._streams = streams

    def feed(self, data: bytes) -> bytes:
        """See `IBodyEncoder`."""
        out = self._deflate.compress(data)
        return out + self._deflate.flush(zlib.Z_SYNC_FLUSH) if self._streams else out

    def end(self) -> bytes:
        """See `IBodyEncoder`."""
        return self._deflate.flush()


def accepts_gzip(value: str) -> bool:
    """Whether an Accept-Encoding wants gzip at least as much as nothing (RFC 9110 §12.5.3)."""
    weights: dict[str, float] = {}
    for item in value.lower().split(","):
        name, _, parameter = item.partition(";")
        key, _, number = parameter.partition("=")
        try:
            weight = float(number) if key.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        weights[name.strip()] = weight
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _listed(name: str, value: str) -> bool:
    return any(item.strip().lower() in (name, "*") for item in value.split(","))


factory = Factory("compress", CompressOptions, Compress)
