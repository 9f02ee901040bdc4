"""Where a token stands in a request, and the request without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from gateway.http.changes import with_fields
from gateway.values import RequestHead

__all__ = ["SOURCES", "Token", "source"]

SOURCES: Final = r"^(authorization|(header|cookie|query|subprotocol):[!#$%&'*+\-.^_`|~0-9A-Za-z]+)$"
"""``authorization`` (Bearer), ``header:NAME``, ``cookie:NAME``, ``query:NAME``, ``subprotocol:NAME``."""


class Token(NamedTuple):
    """A token that was found. ``rest`` is the request without it; ``shown`` is how it stands in the target, if there.

    ``marker``: the subprotocol to answer with, where the client offered nothing else.
    """

    text: str
    rest: RequestHead
    shown: str = ""
    marker: str = ""


Source = Callable[[RequestHead], Token | None]


def source(text: str) -> Source:
    """The function that looks where ``text`` (see `SOURCES`) says."""
    kind, _, name = text.partition(":")
    makers: dict[str, Callable[[str], Source]] = {
        "authorization": lambda name: _bearer,
        "header": _header,
        "cookie": _cookie,
        "query": _query,
        "subprotocol": _subprotocol,
    }
    return makers[kind](name)


def _bearer(head: RequestHead) -> Token | None:
    scheme, _, text = head.index.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text:
        return None
    return Token(text.strip(), with_fields(head, remove=["authorization"]))


def _header(name: str) -> Source:
    lower = name.lower()

    def find(head: RequestHead) -> Token | None:
        text = head.index.get(lower)
        return Token(text, with_fields(head, remove=[lower])) if text else None

    return find


def _cookie(name: str) -> Source:
    def find(head: RequestHead) -> Token | None:
        pairs = [pair.strip() for pair in head.index.get("cookie", "").split(";")]
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key == name and value:
                kept = "; ".join([other for other in pairs if other.partition("=")[0] != name])
                rest = with_fields(head, set=[("Cookie", kept)]) if kept else with_fields(head, remove=["cookie"])
                return Token(value.strip('"'), rest)
        return None

    return find


def _query(name: str) -> Source:
    def find(head: RequestHead) -> Token | None:
        path, _, query = head.target.partition("?")
        pairs = query.split("&")
        for pair in pairs:
            key, _, value = pair.partition("=")
            if unquote_plus(key) == name and value:
                kept = "&".join([other for other in pairs if unquote_plus(other.partition("=")[0]) != name])
                return Token(unquote_plus(value), head._replace(target=f"{path}?{kept}" if kept else path), value)
        return None

    return find


def _subprotocol(name: str) -> Source:
    """The protocol behind ``name``: browsers can set no other field (``new WebSocket(url, [name, token])``)."""

    def find(head: RequestHead) -> Token | None:
        offered = [item.strip() for item in head.index.get("sec-websocket-protocol", "").split(",")]
        if head.upgrade != "websocket" or name not in offered[:-1]:
            return None
        at = offered.index(name)
        text = offered[at + 1]
        kept = ", ".join(offered[:at] + offered[at + 2 :])
        lower = "sec-websocket-protocol"
        rest = with_fields(head, set=[("Sec-WebSocket-Protocol", kept)]) if kept else with_fields(head, remove=[lower])
        return Token(text, rest, marker="" if kept else name)

    return find
