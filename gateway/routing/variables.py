"""What rewrite rules know of a request and its response: header fields and server variables (reference §2.4).

A name is ``http_req_FIELD``, ``http_resp_FIELD`` or ``var_NAME``; in texts it stands in braces, and ``{NAME_1}`` is the
first group of the condition on that name.  Names are looked up when the configuration is read.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.errors import RewriteFailed
from gateway.http.authority import authority
from gateway.routing.certificate_variables import CERTIFICATE_VARIABLES
from gateway.routing.hosts import host_name
from gateway.routing.readings import decoded, is_plain

if TYPE_CHECKING:
    from gateway.values import RequestHead, ResponseHead

__all__ = ["MATCHER", "SERVER_VARIABLES", "Lookup", "Template", "View", "canonical", "lookup", "spelled"]

MATCHER: Final = "capt_header_value_matcher"
"""In values of ``Set-Cookie``: the cookie that the matcher found; with a number, one of its groups."""

_LONGEST = 32768
_MOST_SPELLED = 128  # more than one request asks for
_SAFE = "!$&'()*+,/:;=@~-._"
_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_name = re.compile(r"\{((?:http_req_|http_resp_|var_)[^{}\s]{1,200}|" + MATCHER + r"(?:_[0-9]{1,3})?)\}")
_numbered = re.compile(r"(.+)_([0-9]{1,3})\Z")


class View:
    """One request as rules see it, and its response once there is one.

    ``head`` and ``response``: as they are for the rule in progress, after what rules before it have changed. ``path``
    in `canonical` form, ``sent``, the same as it is written, and ``query``: of the target so far. ``asked``: the target
    that the client sent, where that is another than the head's. ``context``: the `gateway.values.Context` of the
    exchange. ``forwarded``: the X-Forwarded-For of the gateway, the client with its port last. ``captures``: groups by
    name of the condition, and ``cookie``: the Set-Cookie that a condition has found, for the rule in progress.
    ``marks``: cookies of the response that are the gateway's own, as ``name=value``.
    """

    __slots__ = (
        "asked", "captures", "context", "cookie", "forwarded", "head", "marks", "path", "query", "response", "sent",
    )  # fmt: skip

    def __init__(self, head: RequestHead, context: Any, forwarded: str = "", asked: str = "") -> None:
        self.response: ResponseHead | None = None
        self.context = context
        self.forwarded = forwarded
        self.captures: dict[str, tuple[str, ...]] = {}
        self.cookie: str | None = None
        self.marks: tuple[str, ...] = ()
        self.asked = asked or head.target
        self.look_at(head)

    def cookies(self) -> list[str]:
        """What the backend sets, one after the other: they cannot be joined (RFC 9110 §5.3)."""
        fields = self.response.fields if self.response is not None else ()
        return [value for name, value in fields if name.lower() == "set-cookie" and not self.is_own(value)]

    def is_own(self, cookie: str) -> bool:
        """Whether a Set-Cookie is the gateway's own."""
        return bool(self.marks) and cookie.partition(";")[0] in self.marks

    def look_at(self, head: RequestHead) -> None:
        """The request is another one from now on."""
        self.head = head
        self.sent, _, self.query = head.target.partition("?")
        self.path = canonical(self.sent)


Lookup = Callable[[View], "str | None"]
"""Finds a value; ``None`` where there is none: a condition on it does not hold, in a text it is empty."""


def canonical(path: str) -> str:
    """A path in the one spelling in which rules see it: decoded once, without dot segments, encoded where it has to be.

    So a condition for ``^/admin`` is not passed by with ``/%61dmin`` or ``//admin``, as in path maps.
    """
    return path if is_plain(path) else spelled(decoded(path))


@lru_cache(maxsize=_MOST_SPELLED)
def spelled(text: str) -> str:
    """A path that is decoded, encoded where it has to be."""
    return quote(text.encode("utf-8", "surrogateescape"), safe=_SAFE)


# server variables


def _proxy_chain(view: View) -> str:
    """What came before, if it is believed, and the client's address without its port."""
    before, _, _ = view.forwarded.rpartition(", ")
    client: str = view.context.peer.host
    return f"{before}, {client}" if before else client


def _host(view: View) -> str:
    return authority(host_name(view.head.host))


def _user(view: View) -> str:
    scheme, _, value = view.head.index.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        user = b64decode(value.strip(" \t"), validate=True).partition(b":")[0].decode("latin-1")
    except ValueError:
        return ""
    return "" if _control.search(user) else user


def _status(view: View) -> str:
    return str(view.response.status) if view.response is not None else ""


def _of_context(attribute: str) -> Lookup:
    def find(view: View) -> str:
        return str(getattr(view.context, attribute, None) or "")

    return find


def _round_trip(view: View) -> str:
    measured = view.context.round_trip
    return "" if measured is None else str(measured)


def _empty(view: View) -> str:
    return ""


def _query(view: View) -> str:
    return view.query


SERVER_VARIABLES: Final[Mapping[str, Lookup]] = {
    "add_x_forwarded_for_proxy": _proxy_chain,
    "ciphers_supported": _of_context("ciphers_supported"),
    "ciphers_used": _of_context("tls_cipher"),
    "client_ip": lambda view: view.context.peer.host,
    "client_port": lambda view: str(view.context.peer.port),
    "client_tcp_rtt": _round_trip,
    "client_user": _user,
    "host": _host,
    "http_method": lambda view: view.head.method,
    "http_status": _status,
    "http_version": lambda view: f"HTTP/{view.head.version}",
    "query_string": _query,
    "received_bytes": _of_context("received_bytes"),
    "request_query": _query,
    "request_scheme": lambda view: view.context.scheme,
    "request_uri": lambda view: view.asked,
    "sent_bytes": lambda view: "0",
    "server_port": _of_context("local_port"),
    "ssl_connection_protocol": _of_context("tls_version"),
    "ssl_enabled": lambda view: "On" if view.context.scheme == "https" else "",
    "uri_path": lambda view: view.path,
    **CERTIFICATE_VARIABLES,
}
"""All but the cookies. Nothing is sent before rewrites are done."""


def _cookie(name: str) -> Lookup:
    def find(view: View) -> str | None:
        for pair in view.head.index.get("cookie", "").split(";"):
            key, mark, value = pair.strip(" \t").partition("=")
            if mark and key == name:
                return value
        return None

    return find


def _set_cookie(view: View) -> str | None:
    return view.cookie if view.cookie is not None else next(iter(view.cookies()), None)


def lookup(name: str) -> Lookup | None:
    """How the value of a name is found; ``None`` for a name that means nothing."""
    kind, _, rest = name.partition("_")
    if kind == "var":
        return _cookie(rest[len("cookie_") :]) if rest.startswith("cookie_") else SERVER_VARIABLES.get(rest)
    side, _, field = rest.partition("_")
    field = field.lower()
    if kind != "http" or not field:
        return None
    if side == "req":
        return lambda view: view.head.host or None if field == "host" else view.head.index.get(field)
    if side == "resp" and field == "set-cookie":
        return _set_cookie
    if side == "resp":
        return lambda view: view.response.index.get(field) if view.response is not None else None
    return None


# texts


class Template:
    """A text with names in braces.

    ``conditions``: names of the rule's conditions to the number of their groups.  ``unknown``: names that mean nothing,
    which are empty.  ``lacking``: captures whose condition has fewer groups.  Braces around anything else stand for
    themselves.
    """

    __slots__ = ("_parts", "lacking", "text", "unknown")

    def __init__(self, text: str, conditions: Mapping[str, int]) -> None:
        self.text = text
        self.unknown: list[str] = []
        self.lacking: list[str] = []
        parts: list[str | Lookup] = []
        for number, part in enumerate(_name.split(text)):
            if number % 2:
                parts.append(self._reference(part, conditions))
            elif part:
                # Text is of a file; this is how a client would send it.
                parts.append(part.encode("utf-8", "surrogateescape").decode("latin-1"))
        self._parts = tuple(parts)

    def _reference(self, name: str, conditions: Mapping[str, int]) -> Lookup:
        numbered = _numbered.match(name)
        if name == MATCHER or (numbered is not None and numbered[1] in conditions):
            source, group = (name, 0) if numbered is None else (numbered[1], int(numbered[2]))
            if source in conditions and group > conditions[source]:
                self.lacking.append(name)
            if source in conditions:
                return lambda view: _group(view.captures.get(source), group)
        # http_req_X_1 is no header field: the names of fields that get this far have no underscores.
        found = lookup(name) if numbered is None or name.startswith("var_") else None
        if found is None:
            self.unknown.append(name)
            return _empty
        return found

    def expand(self, view: View) -> str:
        """The text for a request, without control characters: nothing in it ends a line. Raises `RewriteFailed`."""
        made = "".join([part if isinstance(part, str) else part(view) or "" for part in self._parts])
        if len(made) > _LONGEST:
            raise RewriteFailed(f"{self.text[:100]!r} becomes {len(made)} characters, the limit is {_LONGEST}")
        return _control.sub("", made).strip(" \t")


def _group(groups: tuple[str, ...] | None, number: int) -> str:
    return groups[number] if groups is not None and number < len(groups) else ""
