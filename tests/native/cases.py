"""Heads that are almost right, and ways to compare what two implementations say of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.http.corpus import REQUESTS, RESPONSES

__all__ = [
    "DECLINED", "EDITS", "OUTCOME_DECLINED", "PIECES", "REQUEST_SEEDS", "RESPONSE_SEEDS", "SCANNER_STATE", "Edit",
    "edited", "fresh", "outcome",
]  # fmt: skip

DECLINED = "declined"
"""What the functions of a `fresh` extension return for a head that they leave to their Python twin."""

OUTCOME_DECLINED = (str, repr(DECLINED))
"""The `outcome` of that."""

SCANNER_STATE = (
    "frames", "messages", "closed", "close_code", "close_reason", "at_boundary", "after",
)  # fmt: skip
"""All public attributes of a `FrameScanner`."""

_BROWSER = (
    b"GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: www.example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n"
    b"Cookie: a=b; c=d\r\nCookie: e=f\r\nX-A: 1\r\nx-a: 2\r\nCache-Control: max-age=0\r\nTE: trailers\r\n\r\n"
)
_SOCKET = (
    b"GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_POSTS = (
    b"POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
    b"PUT /p HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nX: \xe4\t\xff\r\n\r\n",
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: x/1\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: 123\r\nConnection: keep-alive\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nETag: \"1-a\"\r\n\r\n"
)
_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

_LONG = 2000  # of the corpus, what is longer is about limits
REQUEST_SEEDS = [_BROWSER, _SOCKET, *_POSTS, *[case.raw for case in REQUESTS if len(case.raw) < _LONG]]
RESPONSE_SEEDS = [_ANSWER, _SWITCH, *[case.raw for case in RESPONSES if len(case.raw) < _LONG]]

PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b"#", b"\x00", b"\x7f", b"\x80", b"\xff", b"0", b"9", b"a", b"Z",
    b"HTTP/1.0", b"HTTP/1.1", b"HEAD", b"DELETE", b"Host: b.example\r\n", b"Host: [::1]:80\r\n", b"Host: a:65536\r\n",
    b"Host: a_b~c:65535\r\n", b"Content-Length: 0\r\n", b"Content-Length: 999999999999999999\r\n",
    b"Content-Length: 01\r\n", b"Transfer-Encoding: Chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"Expect: 100-Continue\r\n", b"Expect: x\r\n", b"Connection: close\r\n", b"Connection: Keep-Alive\r\n",
    b"Connection: ,upgrade ,, close\r\n", b"Connection: x-a\r\n", b"Connection: host\r\n", b"Connection: a b\r\n",
    b"Connection:\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c, websocket\r\n", b"Upgrade: a b\r\n", b"A:b\r\n",
    b"A_b.c: \r\n", b"Cookie: x\r\n", b"TE: trailers\r\n", b"X-Forwarded-For: 1\r\n", b"Date: x\r\n",
    b"Keep-Alive: 5\r\n", b"x" * 39 + b": 1\r\n", b"Y" * 41 + b": 1\r\n", b"z" * 257 + b": 1\r\n", b" 204 ", b" 304 ",
]  # fmt: skip


class Edit(NamedTuple):
    """One change of a head: take bytes out at a position (modulo its length; or where its line begins), put some in."""

    position: int
    out: int
    piece: bytes
    at_line: bool


EDITS = st.lists(
    st.builds(Edit, st.integers(0, 2000), st.sampled_from([0, 0, 1, 2, 20]), st.sampled_from(PIECES), st.booleans()),
    max_size=4,
)
"""A strategy; with more edits nearly every head is plainly wrong."""


def edited(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """A head with some changes."""
    for position, out, piece, at_line in edits:
        position %= len(raw) + 1
        if at_line:
            position = raw.rfind(b"\n", 0, position) + 1
        raw = raw[:position] + piece + raw[position + out :]
    return raw


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """What a call returns or raises, in a form that shows every difference, also of types and of order."""
    try:
        result = function(*args)
    except Exception as error:
        return type(error), str(error)
    return type(result), repr(result)


def fresh(extension: Any, **bound: Any) -> Any:
    """A second instance of an extension module, whose functions say that they decline."""
    spec = importlib.util.spec_from_file_location(extension.__name__, extension.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("parse_request", "parse_response", "request_bytes", "response_bytes"):
        if hasattr(module, name):
            module.bind(name, lambda *args, **named: DECLINED)
    for name, value in bound.items():
        module.bind(name, value)
    return module
