"""The opening handshake of a WebSocket, as somebody in between has to check it (RFC 6455 §4).

Both sides are checked, and neither is answered here: the gateway passes the request on with its key, and
the backend's answer back.  Subprotocols and extensions are left to the two ends, except that a backend may
not choose what was not offered: the client would fail the connection, and the log would not say why.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from hashlib import sha1

from gateway.errors import BackendProtocolError, UpgradeRefused
from gateway.http.faults import TOKEN
from gateway.values import RequestHead, ResponseHead

__all__ = ["accept_for", "check_request", "check_response", "extensions", "reserved_bits"]

_RESERVED = {"permessage-deflate": 0x40, "x-webkit-deflate-frame": 0x40}
_ANY = 0x70

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes in base64
# The elements of a list whose quoted strings may have commas in them (RFC 9110 §5.6.1, §5.6.4).
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+")++')
_PARAMETER = re.compile(r'(?:^|;)((?:[^";]|"(?:[^"\\]|\\.)*+")*+)')


def accept_for(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2, item 5.4)."""
    digest = sha1(key.encode("latin-1") + _MAGIC, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def check_request(head: RequestHead) -> str:
    """Return the key of a valid handshake request (RFC 6455 §4.2.1).

    Raises `UpgradeRefused`: 426 for a version other than 13, and then the answer must have a
    Sec-WebSocket-Version field that says 13; 400 for everything else.
    """
    if head.method != "GET":
        raise UpgradeRefused("a WebSocket handshake has the method GET")
    if head.version != "1.1" or head.upgrade != "websocket":
        raise UpgradeRefused("a WebSocket handshake is HTTP/1.1 with Upgrade: websocket and Connection: Upgrade")
    if head.body:
        raise UpgradeRefused("a WebSocket handshake has no body")
    index = head.index
    version = index.get("sec-websocket-version")
    if version is None:
        raise UpgradeRefused("the handshake has no Sec-WebSocket-Version")
    if version != "13":
        raise UpgradeRefused("the handshake has a Sec-WebSocket-Version other than 13", 426)
    key = index.get("sec-websocket-key", "")
    if _KEY.fullmatch(key) is None:
        raise UpgradeRefused("the handshake has no Sec-WebSocket-Key, or one that is not 16 bytes in base64")
    if head.nominated:
        _refuse_nominated(head, UpgradeRefused)
    offered = index.get("sec-websocket-protocol")
    if offered is not None:
        names = _names(offered)
        if not names or len(set(names)) != len(names) or not all(TOKEN.fullmatch(name) for name in names):
            raise UpgradeRefused("the Sec-WebSocket-Protocol is not a list of different tokens")
    return key


def check_response(head: ResponseHead, request: RequestHead) -> None:
    """Check a backend's 101 to a request that `check_request` has passed (RFC 6455 §4.1).

    Raises `BackendProtocolError` where a client would have to fail the connection.
    """
    if head.status != 101:
        raise BackendProtocolError(f"the backend answered the WebSocket handshake with {head.status}, not 101")
    index = head.index
    if head.upgrade != "websocket" or index.get("upgrade", "").lower() != "websocket":
        raise BackendProtocolError("the backend's 101 has no Upgrade: websocket with Connection: Upgrade")
    if head.nominated:
        _refuse_nominated(head, BackendProtocolError)
    if index.get("sec-websocket-accept") != accept_for(request.index["sec-websocket-key"]):
        raise BackendProtocolError("the backend's Sec-WebSocket-Accept does not answer the client's key")
    chosen = index.get("sec-websocket-protocol")
    if chosen is not None and chosen not in _names(request.index.get("sec-websocket-protocol", "")):
        raise BackendProtocolError("the backend chose a subprotocol that the client did not offer")
    chosen_extensions = index.get("sec-websocket-extensions")
    if chosen_extensions:
        offered = {name for name, _ in extensions(request.index.get("sec-websocket-extensions", ""))}
        if not offered.issuperset([name for name, _ in extensions(chosen_extensions)]):
            raise BackendProtocolError("the backend chose an extension that the client did not offer")


def _refuse_nominated(
    head: RequestHead | ResponseHead, error: type[UpgradeRefused] | type[BackendProtocolError]
) -> None:
    """Raise if Connection lists a field of the handshake, which would then not be passed on."""
    for name in head.nominated:
        if name.startswith("sec-websocket-"):
            raise error(f"the handshake has a Connection that lists {name}, which is not the connection's")


def reserved_bits(answer: ResponseHead) -> int:
    """The RSV bits that frames may use after this 101: those of the extensions that were agreed on (RFC 6455 §5.2).

    0 without extensions; all three (0x70) if there is one that is not known here.
    """
    agreed = answer.index.get("sec-websocket-extensions")
    bits = 0
    for name, _ in extensions(agreed) if agreed else ():
        bits |= _RESERVED.get(name, _ANY)
    return bits


def _names(value: str) -> list[str]:
    """The elements of a list of tokens; empty elements do not count (RFC 9110 §5.6.1.2)."""
    return [name for name in [item.strip(" \t") for item in value.split(",")] if name]


def extensions(value: str) -> list[tuple[str, dict[str, list[str | bool]]]]:
    """The extensions in a Sec-WebSocket-Extensions field: name, and the values of each parameter, ``True`` for none."""
    found = []
    for element in _ELEMENT.findall(value):
        name, *parameters = [part.strip(" \t") for part in _PARAMETER.findall(element)]
        if name:
            values: dict[str, list[str | bool]] = {}
            for parameter in parameters:
                key, given, text = parameter.partition("=")
                values.setdefault(key.strip(" \t").lower(), []).append(_unquoted(text.strip(" \t")) if given else True)
            found.append((name.lower(), values))
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
