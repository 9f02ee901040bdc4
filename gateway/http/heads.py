"""Request and response heads: bytes in, checked values out (RFC 9110 §5, RFC 9112 §§2-6).

A gateway forwards what it accepts, so that whatever two servers could read differently is refused:
only CRLF ends a line, one space separates the parts of a start line, there is one way to say how long
a body is, and it is said once.  HOT: the field lines are validated and taken apart by one linear
regular expression; everything else that costs is done only for the fields that are there.  Regular heads are read by
`gateway._native` where that is there; every refusal is made here.

Text is latin-1: ``str.strip()`` and ``str.isdigit()`` know white space and digits above 0x7f and may
not be used on it.
"""

from __future__ import annotations

import re
from typing import Final

from gateway import _native
from gateway.errors import (
    BackendProtocolError,
    BadRequest,
    ExpectationFailed,
    MethodRefused,
    NotImplementedHere,
    TargetTooLong,
)
from gateway.http.authority import valid_authority
from gateway.http.faults import TOKEN, refuse_request, refuse_response, short
from gateway.http.head_buffer import HeadBuffer
from gateway.http.limits import DEFAULT, HeadLimits
from gateway.values import CHUNKED, UNTIL_CLOSE, Fields, RequestHead, ResponseHead

__all__ = ["DEFAULT", "FIELD_LINE", "HeadBuffer", "HeadLimits", "index_of", "parse_request", "parse_response"]

FIELD_LINE: Final = r"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([\t\x20-\x7e\x80-\xff]*+)"
"""One field line, without its end: name and value, which may have white space behind it.

Possessive, so that a line that does not match costs its length once and no more."""

# Anchored to the start of a line, so that as many matches as lines means that every line matched.
_field_lines = re.compile(f"^{FIELD_LINE}(?<![ \\t])\r\n", re.MULTILINE).findall
# The same where a value may have white space after it, which has to be taken off.
_padded_field_lines = re.compile(f"^{FIELD_LINE}\r\n", re.MULTILINE).findall
_UPGRADE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?")
_REASON = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_METHODS: Final = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
_STATUS_LINES: Final = {f"HTTP/{v} {status}": (v, status) for v in ("1.0", "1.1") for status in range(100, 1000)}
_REQUEST_FRAMING: Final = frozenset(["connection", "content-length", "transfer-encoding", "expect"])
_DEFAULT_CONNECTION: Final[tuple[bool, str, tuple[str, ...]]] = (True, "", ())
_SINGLE: Final = frozenset(["host", "content-length", "transfer-encoding", "expect"])
# Fields that say where a message goes, how long it is or for whom: not the connection's, so not to be nominated.
_NEVER_NOMINATED: Final = frozenset(
    ["host", "content-length", "transfer-encoding", "expect", "cookie", "authorization", "set-cookie"]
)
_LATER_MINOR = re.compile(r"HTTP/1\.[2-9]")
_spaced_name = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]++)[ \t]++:", re.MULTILINE)
_OPTIONS: Final = frozenset(["close", "keep-alive", "upgrade"])

_MOST_HOSTS: Final = 1024
_hosts: set[str] = set()

_new = tuple.__new__


def index_of(fields: Fields) -> dict[str, str]:
    """The ``index`` of a head with these field lines (see `gateway.values.RequestHead`), for who changes a head."""
    index: dict[str, str] = {}
    for name, value in fields:
        name = name.lower()
        if name in index:
            value = f"{index[name]}{'; ' if name == 'cookie' else ', '}{value}"
        index[name] = value
    return index


@_native.chosen(_native.heads)
def parse_request(data: bytes, limits: HeadLimits = DEFAULT) -> RequestHead:
    """Read a whole request head: the request line, the field lines and the empty line, and nothing else.

    ``data`` must not begin with an empty line; `HeadBuffer` skips those.  Raises a `RequestError`, whose
    ``status`` is the answer, after which the connection has to be closed: where the next request would
    begin is not known.  An absolute-form target takes the place of what Host said, also among the fields.
    """
    most_bytes, most_fields, longest_target = limits
    text = str(data, "latin-1")
    end = text.find("\r\n")
    parts = text[:end].split(" ")
    fields = _field_lines(text, end + 2)
    if len(fields) + 2 != text.count("\n"):
        fields = [(name, value.rstrip(" \t")) for name, value in _padded_field_lines(text, end + 2)]
    count = len(fields)
    if (
        count + 2 != text.count("\n")
        or len(parts) != 3
        or text[-4:] != "\r\n\r\n"
        or count > most_fields
        or len(text) > most_bytes
    ):
        refuse_request(text, limits)
    method, target, version = parts
    index = {name.lower(): value for name, value in fields}
    if len(index) != count:
        index = index_of(fields)
        _refuse_repeated(fields)
    if method not in _METHODS:
        _check_method(method, text, limits)
    if version == "HTTP/1.1":
        version = "1.1"
        host = index.get("host", "")
        if not host:
            _required_host(index)
    elif version == "HTTP/1.0":
        version = "1.0"
        host = index.get("host", "")
    elif _LATER_MINOR.fullmatch(version) is not None:
        # A later minor version is read as the latest one known (RFC 9110 §2.5).
        version = "1.1"
        host = _required_host(index)
    else:
        refuse_request(text, limits)
    if len(target) > longest_target:
        raise TargetTooLong(f"the target has {len(target)} characters, the limit is {longest_target}")
    if host not in _hosts:
        _check_host(host)
    if target[:1] != "/" and target != "*":
        target, host = _absolute_form(method, target)
        if "host" in index:
            # Whatever it said, nobody may see another host than the one that the request is for.
            fields = [(name, host if name.lower() == "host" else value) for name, value in fields]
            index["host"] = host
    elif target == "*" and method != "OPTIONS":
        raise BadRequest(f"the target * with the method {short(method)}")
    if "#" in target or not target.isascii() or not target.isprintable():
        raise BadRequest("the target has a fragment, a control character or one outside ASCII")
    if version == "1.1" and _REQUEST_FRAMING.isdisjoint(index):
        return _new(RequestHead, (method, target, version, host, fields, index, 0, True, "", ()))
    body = _request_body(version, index)
    keep_alive, upgrade, nominated = _connection(version, index, BadRequest)
    return _new(RequestHead, (method, target, version, host, fields, index, body, keep_alive, upgrade, nominated))


@_native.chosen(_native.heads)
def parse_response(data: bytes, method: str, limits: HeadLimits = DEFAULT) -> ResponseHead:
    """Read a whole response head to a request with ``method``, which decides whether there is a body.

    Less strict than with requests: white space before a colon is taken off (RFC 9112 §5.1), a later minor version is
    1.1 (RFC 9110 §2.5), and a status may be above 599 (RFC 9110 §15).

    Raises `BackendProtocolError`, after which the connection has to be closed.  The Content-Length of an
    answer to HEAD and of a 304 stays among the fields while ``body`` is 0.  A 204 or 1xx that claims to have a
    body has none, and ``keep_alive`` is false.
    """
    most_bytes, most_fields, _ = limits
    text = str(data, "latin-1")
    end = text.find("\r\n")
    fields = _field_lines(text, end + 2)
    if len(fields) + 2 != text.count("\n"):
        fields = [(name, value.rstrip(" \t")) for name, value in _padded_field_lines(text, end + 2)]
    count = len(fields)
    start = _STATUS_LINES.get(text[:12])
    if (
        start is None
        or (end != 12 and text[12:13] != " ")
        or count + 2 != text.count("\n")
        or text[-4:] != "\r\n\r\n"
        or count > most_fields
        or len(text) > most_bytes
    ):
        mended = _mended(text) if len(text) <= most_bytes else text
        if mended == text:
            refuse_response(text, limits)
        return parse_response(mended.encode("latin-1"), method, limits)
    reason = text[13:end]
    if not reason.isprintable() and _REASON.fullmatch(reason) is None:
        refuse_response(text, limits)
    index = {name.lower(): value for name, value in fields}
    if len(index) != count:
        index = index_of(fields)
        _refuse_repeated_length(fields)
    version, status = start
    keep_alive, upgrade, nominated = _DEFAULT_CONNECTION
    if version == "1.0" or "connection" in index:
        keep_alive, upgrade, nominated = _connection(version, index, BackendProtocolError)
    length = index.get("content-length")
    coding = index.get("transfer-encoding")
    if coding is not None:
        body = _response_coding(version, coding, length)
    elif length is None:
        body = UNTIL_CLOSE
    else:
        body = _length(index, BackendProtocolError)
    if method == "HEAD" or status == 304:
        body = 0
    elif status == 204 or status < 200:
        if body > 0 or body == CHUNKED:
            keep_alive = False
        body = 0
    elif body == UNTIL_CLOSE:
        keep_alive = False
    return _new(ResponseHead, (status, reason, version, fields, index, body, keep_alive, upgrade, nominated))


def _mended(text: str) -> str:
    """A response head that is not well-formed, with what may be put right of that."""
    if _LATER_MINOR.match(text) is not None:
        text = f"HTTP/1.1{text[8:]}"
    return _spaced_name.sub(r"\1:", text)


def _refuse_repeated(fields: Fields) -> None:
    """Raise if a field of which there must be only one is there twice, with equal values or not."""
    names = [name.lower() for name, _ in fields]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise BadRequest(f"more than one {name} field")


def _refuse_repeated_length(fields: Fields) -> None:
    """As `_refuse_repeated`, for responses. RFC 9112 §6.3 would let equal lengths pass; nginx and we do not."""
    names = [name.lower() for name, _ in fields]
    for name in ("content-length", "transfer-encoding"):
        if names.count(name) > 1:
            raise BackendProtocolError(f"the response has more than one {name} field")


def _check_method(method: str, text: str, limits: HeadLimits) -> None:
    if TOKEN.fullmatch(method) is None or len(method) > 64:
        refuse_request(text, limits)
    if method in ("CONNECT", "TRACE"):
        raise MethodRefused(f"the method {method} is not forwarded")


def _check_host(host: str) -> None:
    """Refuse a Host that is not an authority; remember the good ones, so that checking them costs a look-up."""
    if not host:
        return
    if not valid_authority(host):
        raise BadRequest("the Host is not a host name or address with an optional port")
    if len(_hosts) >= _MOST_HOSTS:
        _hosts.clear()
    _hosts.add(host)


def _required_host(index: dict[str, str]) -> str:
    """The Host of a request that must have one (RFC 9112 §3.2)."""
    host = index.get("host")
    if not host:
        raise BadRequest("HTTP/1.1 without a Host" if host is None else "an empty Host")
    return host


def _absolute_form(method: str, target: str) -> tuple[str, str]:
    """Target and host of an absolute-form target. A Host that says something else is ignored (RFC 9112 §3.2.2)."""
    scheme, separator, rest = target.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        raise BadRequest("the target is neither a path nor an http or https URI")
    size = len(rest)
    for mark in "/?#":
        found = rest.find(mark, 0, size)
        if found >= 0:
            size = found
    authority, path = rest[:size], rest[size:]
    if not valid_authority(authority):
        raise BadRequest("the authority of the target is not a host name or address with an optional port")
    if not path:
        # RFC 9112 §3.2.4: OPTIONS for the server as a whole is what a URI without path means there.
        path = "*" if method == "OPTIONS" else "/"
    elif path[0] != "/":
        path = f"/{path}"
    return path, authority


def _request_body(version: str, index: dict[str, str]) -> int:
    """Length of a request's body, or `CHUNKED` (RFC 9112 §6.3); looks at Expect as well."""
    expect = index.get("expect")
    # An HTTP/1.0 client cannot expect anything (RFC 9110 §10.1.1).
    if expect is not None and version == "1.1" and expect.lower() != "100-continue":
        raise ExpectationFailed("an Expect other than 100-continue")
    length = index.get("content-length")
    coding = index.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadRequest("Transfer-Encoding together with Content-Length")
        if version == "1.0":
            raise BadRequest("Transfer-Encoding in HTTP/1.0")
        if coding.lower() != "chunked":
            _refuse_coding(coding)
        return CHUNKED
    return 0 if length is None else _length(index, BadRequest)


def _length(index: dict[str, str], error: type[BadRequest] | type[BackendProtocolError]) -> int:
    """The Content-Length; 18 digits are more than anybody has bytes. Of latin-1, only 0-9 are ``isdecimal``.

    Leading zeros are allowed (RFC 9110 §8.6), but to some they mean octal: they are not shown to anybody else.
    """
    value = index["content-length"]
    if value[:1] == "0" and value != "0":
        value = value.lstrip("0") or "0"
        index["content-length"] = value
    if not value.isdecimal() or len(value) > 18:
        raise error("the Content-Length is not one decimal number of at most 18 digits")
    return int(value)


def _refuse_coding(coding: str) -> None:
    """Raise for a Transfer-Encoding other than chunked (RFC 9112 §6.1, §6.3).

    501 where it is a list of codings we do not know, perhaps with chunked at its end; 400 where chunked
    is in a place that makes the length of the body a matter of opinion.
    """
    codings = [item.strip(" \t").lower() for item in coding.split(",")]
    if codings[-1] == "chunked":
        codings.pop()
    if not codings or "chunked" in codings or not all(TOKEN.fullmatch(item) for item in codings):
        raise BadRequest("a Transfer-Encoding in which chunked is not the last, single coding")
    raise NotImplementedHere(f"the transfer coding {short(codings[0])}")


def _response_coding(version: str, coding: str, length: str | None) -> int:
    """`CHUNKED`, or an error: nothing else ends where both sides agree."""
    if length is not None:
        raise BackendProtocolError("the response has both Transfer-Encoding and Content-Length")
    if version == "1.0":
        raise BackendProtocolError("the response is HTTP/1.0 with Transfer-Encoding")
    if coding.lower() != "chunked":
        raise BackendProtocolError(f"the response has the transfer coding {short(coding)}, not chunked")
    return CHUNKED


def _connection(
    version: str, index: dict[str, str], error: type[BadRequest] | type[BackendProtocolError]
) -> tuple[bool, str, tuple[str, ...]]:
    """``keep_alive``, ``upgrade`` and ``nominated`` (RFC 9110 §7.6.1, §7.8; RFC 9112 §9.3)."""
    value = index.get("connection")
    if value is None:
        return version == "1.1", "", ()
    value = value.lower()
    if value == "keep-alive":
        return True, "", ()
    if value == "close":
        return False, "", ()
    tokens = [token for token in [item.strip(" \t") for item in value.split(",")] if token]
    for token in tokens:
        if TOKEN.fullmatch(token) is None:
            raise error("a Connection that is not a list of tokens")
        if token in _NEVER_NOMINATED:
            raise error(f"a Connection that lists {token}, which is not the connection's")
    keep_alive = "close" not in tokens and (version == "1.1" or "keep-alive" in tokens)
    upgrade = ""
    if "upgrade" in tokens and version == "1.1" and "upgrade" in index:
        upgrade = _upgrade(index["upgrade"], error)
    return keep_alive, upgrade, tuple([token for token in tokens if token not in _OPTIONS])


def _upgrade(value: str, error: type[BadRequest] | type[BackendProtocolError]) -> str:
    """The protocol that an Upgrade asks for: websocket if it is among several, else the first."""
    protocols = [item for item in [item.strip(" \t") for item in value.lower().split(",")] if item]
    if not protocols or not all(_UPGRADE.fullmatch(item) for item in protocols):
        raise error("an Upgrade that is not a list of protocols")
    return "websocket" if "websocket" in protocols else protocols[0]
