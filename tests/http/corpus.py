"""Raw requests, responses and chunked bodies, each with its verdict. Data for tests, fuzzers and the documentation.

`REQUESTS` holds ``Case(name, raw, verdict)``.  A verdict that is a number is the status the request is refused with; a
dictionary has attributes of the `gateway.values.RequestHead` it becomes.  ``raw`` is a head only, to its empty line.
`RESPONSES` likewise, with ``None`` for refused, and ``method``, the method that was asked with.  `CHUNKED_BODIES`: the
payload and the bytes after the body, or ``None`` for refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.values import CHUNKED, UNTIL_CLOSE

__all__ = ["CHUNKED_BODIES", "REQUESTS", "RESPONSES", "Case", "ChunkedCase", "ResponseCase"]


class Case(NamedTuple):
    """A request head and what becomes of it."""

    name: str
    raw: bytes
    verdict: int | dict[str, Any]


class ResponseCase(NamedTuple):
    """A response head and what becomes of it."""

    name: str
    raw: bytes
    verdict: dict[str, Any] | None
    method: str = "GET"


class ChunkedCase(NamedTuple):
    """A chunked body: payload and excess, or ``None``."""

    name: str
    raw: bytes
    verdict: tuple[bytes, bytes] | None


def _get(name: str, fields: bytes, verdict: int | dict[str, Any]) -> Case:
    """A GET with a Host and other field lines."""
    return Case(name, b"GET / HTTP/1.1\r\nHost: a.example\r\n" + fields + b"\r\n", verdict)


def _post(name: str, fields: bytes, verdict: int | dict[str, Any], version: bytes = b"1.1") -> Case:
    return Case(name, b"POST /p HTTP/" + version + b"\r\nHost: a.example\r\n" + fields + b"\r\n", verdict)


def _line(name: str, line: bytes, verdict: int | dict[str, Any]) -> Case:
    """A request line with a Host after it."""
    return Case(name, line + b"\r\nHost: a.example\r\n\r\n", verdict)


def _host(name: str, value: bytes, verdict: int | dict[str, Any]) -> Case:
    return Case(name, b"GET / HTTP/1.1\r\nHost:" + value + b"\r\n\r\n", verdict)


REQUESTS: list[Case] = [
    # The request line (RFC 9112 §3)
    _line("plain", b"GET / HTTP/1.1", {"method": "GET", "target": "/", "version": "1.1", "host": "a.example"}),
    _line("query", b"GET /a/b?x=1&y=%20 HTTP/1.1", {"path": "/a/b", "query": "x=1&y=%20"}),
    _line("second question mark", b"GET /a?b?c HTTP/1.1", {"path": "/a", "query": "b?c"}),
    _line(
        "target with every visible character", b"GET /!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~ HTTP/1.1", {"version": "1.1"}
    ),
    _line("double slash", b"GET //b.example/x HTTP/1.1", {"target": "//b.example/x", "host": "a.example"}),
    _line("unknown method", b"PROPFIND /dav HTTP/1.1", {"method": "PROPFIND", "body": 0}),
    _line("lower-case method is another method", b"get / HTTP/1.1", {"method": "get"}),
    _line("method with token characters", b"M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1", {"version": "1.1"}),
    _line("HTTP/1.0", b"GET / HTTP/1.0", {"version": "1.0", "keep_alive": False}),
    _line("asterisk", b"OPTIONS * HTTP/1.1", {"target": "*", "host": "a.example"}),
    _line("asterisk with GET", b"GET * HTTP/1.1", 400),
    _line("CONNECT", b"CONNECT a.example:443 HTTP/1.1", 405),
    _line("CONNECT with a path", b"CONNECT / HTTP/1.1", 405),
    _line("TRACE", b"TRACE / HTTP/1.1", 405),
    _line("authority-form with GET", b"GET a.example:80 HTTP/1.1", 400),
    _line("relative target", b"GET index.html HTTP/1.1", 400),
    _line("query as target", b"GET ?a=b HTTP/1.1", 400),
    _line("empty target", b"GET  HTTP/1.1", 400),
    _line("no target", b"GET HTTP/1.1", 400),
    _line("fragment", b"GET /a#b HTTP/1.1", 400),
    _line("8-bit target", b"GET /\xc3\xa4 HTTP/1.1", 400),
    _line("NUL in target", b"GET /\x00 HTTP/1.1", 400),
    _line("control character in target", b"GET /\x01 HTTP/1.1", 400),
    _line("DEL in target", b"GET /\x7f HTTP/1.1", 400),
    _line("tab in target", b"GET /\ta HTTP/1.1", 400),
    _line("space in target", b"GET /a b HTTP/1.1", 400),
    _line("two spaces before target", b"GET  / HTTP/1.1", 400),
    _line("two spaces before version", b"GET /  HTTP/1.1", 400),
    _line("tab for space", b"GET\t/ HTTP/1.1", 400),
    _line("space after version", b"GET / HTTP/1.1 ", 400),
    _line("space before method", b" GET / HTTP/1.1", 400),
    _line("HTTP/0.9 line", b"GET /", 400),
    _line("HTTP/0.9 version", b"GET / HTTP/0.9", 400),
    _line("HTTP/2.0", b"GET / HTTP/2.0", 505),
    _line("HTTP/2 preface", b"PRI * HTTP/2.0", 400),
    _line("PRI in HTTP/1.1", b"PRI * HTTP/1.1", 400),
    _line("HTTP/1.2", b"GET / HTTP/1.2", {"version": "1.1", "host": "a.example", "keep_alive": True}),
    _line("HTTP/1.9", b"GET / HTTP/1.9", {"version": "1.1"}),
    Case("HTTP/2 preface as it is sent", b"PRI * HTTP/2.0\r\n\r\n", 400),
    Case("no Host in 1.2", b"GET / HTTP/1.2\r\n\r\n", 400),
    _line("HTTP/3.7", b"GET / HTTP/3.7", 505),
    _line("version without minor", b"GET / HTTP/1", 400),
    _line("version with two digits", b"GET / HTTP/1.10", 400),
    _line("version with leading zero", b"GET / HTTP/01.1", 400),
    _line("lower-case version", b"GET / http/1.1", 400),
    _line("another protocol", b"GET / HTTPS/1.1", 400),
    _line("other digits in version", b"GET / HTTP/1.\xb9", 400),
    _line("method is not a token", b"GE(T / HTTP/1.1", 400),
    _line("method with colon", b"Host: / HTTP/1.1", 400),
    _line("8-bit method", b"G\xc9T / HTTP/1.1", 400),
    _line("endless method", b"G" * 65 + b" / HTTP/1.1", 400),
    _line("target too long", b"GET /" + b"a" * 16384 + b" HTTP/1.1", 414),
    _line("longest target", b"GET /" + b"a" * 16383 + b" HTTP/1.1", {"host": "a.example"}),
    Case("empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    Case("no end", b"GET / HTTP/1.1\r\nHost: a\r\n", 400),
    Case("two heads", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # absolute-form (RFC 9112 §3.2.2)
    _line("absolute", b"GET http://a.example/x?y HTTP/1.1", {"target": "/x?y", "host": "a.example"}),
    _line("absolute, https", b"GET https://a.example/ HTTP/1.1", {"target": "/", "host": "a.example"}),
    _line("absolute, upper case", b"GET HTTP://A.Example/ HTTP/1.1", {"target": "/", "host": "A.Example"}),
    _line("absolute, default port", b"GET http://a.example:80/ HTTP/1.1", {"host": "a.example:80"}),
    _line("absolute, no path", b"GET http://a.example HTTP/1.1", {"target": "/"}),
    _line("absolute, query without path", b"GET http://a.example?q HTTP/1.1", {"target": "/?q"}),
    _line("absolute, OPTIONS without path", b"OPTIONS http://a.example HTTP/1.1", {"target": "*"}),
    _line(
        "absolute, other host",
        b"GET http://b.example/ HTTP/1.1",
        {"host": "b.example", "index": {"host": "b.example"}, "fields": [("Host", "b.example")]},
    ),
    _line("absolute, other port", b"GET http://a.example:81/ HTTP/1.1", {"host": "a.example:81"}),
    _line("absolute, https port on http", b"GET http://a.example:443/ HTTP/1.1", {"host": "a.example:443"}),
    Case("absolute, bad Host", b"GET http://a.example/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    Case("absolute, empty Host", b"GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
    Case("absolute, two Hosts", b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nHost: b\r\n\r\n", 400),
    _line("absolute, userinfo", b"GET http://user@a.example/ HTTP/1.1", 400),
    _line("absolute, no authority", b"GET http:///x HTTP/1.1", 400),
    _line("absolute, fragment", b"GET http://a.example/#x HTTP/1.1", 400),
    _line("absolute, fragment as authority's end", b"GET http://a.example#x HTTP/1.1", 400),
    _line("absolute, other scheme", b"GET ftp://a.example/ HTTP/1.1", 400),
    _line("absolute, one slash", b"GET http:/a.example/ HTTP/1.1", 400),
    Case(
        "absolute, HTTP/1.0 without Host",
        b"GET http://b.example/ HTTP/1.0\r\n\r\n",
        {"host": "b.example", "fields": [], "index": {}},
    ),
    Case("absolute, no Host", b"GET http://a.example/ HTTP/1.1\r\n\r\n", 400),
    # Host (RFC 9112 §3.2)
    Case("no Host in 1.1", b"GET / HTTP/1.1\r\n\r\n", 400),
    Case("no Host in 1.0", b"GET / HTTP/1.0\r\n\r\n", {"host": "", "version": "1.0"}),
    Case("empty Host in 1.0", b"GET / HTTP/1.0\r\nHost:\r\n\r\n", {"host": ""}),
    _get("two Hosts", b"Host: b.example\r\n", 400),
    _get("two equal Hosts", b"host: a.example\r\n", 400),
    Case("two Hosts in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    _host("empty Host", b"", 400),
    _host("blank Host", b"   ", 400),
    _host("port", b" a.example:8080", {"host": "a.example:8080"}),
    _host("white space around Host", b" \t a.example \t", {"host": "a.example"}),
    _host("IPv4", b" 127.0.0.1:1", {"host": "127.0.0.1:1"}),
    _host("IPv6", b" [::1]:8080", {"host": "[::1]:8080"}),
    _host("IPv6 without port", b" [2001:db8::1]", {"host": "[2001:db8::1]"}),
    _host("underscore", b" a_b.example", {"host": "a_b.example"}),
    _host("highest port", b" a:65535", {"host": "a:65535"}),
    _host("port too high", b" a:65536", 400),
    _host("port not a number", b" a:8o", 400),
    _host("port empty", b" a:", {"host": "a:"}),
    _host("port empty after IPv6", b" [::1]:", {"host": "[::1]:"}),
    _host("only a colon", b" :", 400),
    _host("two ports", b" a:1:2", 400),
    _host("signed port", b" a:+1", 400),
    _host("userinfo", b" u@a", 400),
    _host("path", b" a/b", 400),
    _host("list", b" a, b", 400),
    _host("two words", b" a b", 400),
    _host("IPv6 without brackets", b" ::1", 400),
    _host("bracket open", b" [::1", 400),
    _host("IPv6 nonsense", b" [1:2]", 400),
    _host("zone", b" [fe80::1%25eth0]", 400),
    _host("8-bit", b" \xe4.example", 400),
    _host("only a port", b" :80", 400),
    _host("percent", b" a%2eb", 400),
    # Field lines (RFC 9112 §5)
    _get("no white space", b"A:b\r\n", {"fields": [("Host", "a.example"), ("A", "b")]}),
    _get("white space around value", b"A: \t b c \t \r\n", {"fields": [("Host", "a.example"), ("A", "b c")]}),
    _get("empty value", b"A:\r\n", {"fields": [("Host", "a.example"), ("A", "")]}),
    _get("blank value", b"A:  \t \r\n", {"fields": [("Host", "a.example"), ("A", "")]}),
    _get("tab in value", b"A: b\tc\r\n", {"fields": [("Host", "a.example"), ("A", "b\tc")]}),
    _get("8-bit value", b"A: \xe4\x85\xa0\r\n", {"fields": [("Host", "a.example"), ("A", "\xe4\x85\xa0")]}),
    _get("colon in value", b"A: b:c\r\n", {"fields": [("Host", "a.example"), ("A", "b:c")]}),
    _get("repeated", b"A: 1\r\na: 2\r\n", {"index": {"host": "a.example", "a": "1, 2"}}),
    _get("cookies", b"Cookie: a=1\r\ncookie: b=2\r\n", {"index": {"host": "a.example", "cookie": "a=1; b=2"}}),
    _get("name with token characters", b"a_b.c!#$%&'*+^`|~: 1\r\n", {"body": 0}),
    _get("space before colon", b"A : b\r\n", 400),
    _get("tab before colon", b"A\t: b\r\n", 400),
    _get("empty name", b": b\r\n", 400),
    _get("no colon", b"A\r\n", 400),
    _get("name with space", b"A B: c\r\n", 400),
    _get("name with bracket", b"A(: c\r\n", 400),
    _get("8-bit name", b"\xc4: c\r\n", 400),
    _get("NUL in name", b"A\x00: c\r\n", 400),
    _get("obs-fold", b"A: b\r\n c\r\n", 400),
    _get("obs-fold with tab", b"A: b\r\n\tc\r\n", 400),
    _get("obs-fold with colon", b"A: b\r\n C: d\r\n", 400),
    _get("folded Transfer-Encoding", b"Transfer-Encoding:\r\n chunked\r\n", 400),
    Case("space before first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    _get("bare LF", b"A: b\nC: d\r\n", 400),
    _get("bare LF at the end", b"A: b\n", 400),
    _get("bare CR", b"A: b\rC: d\r\n", 400),
    _get("CR CR LF", b"A: b\r\r\n", 400),
    _get("LF CR", b"A: b\n\rC: d\r\n", 400),
    _get("NUL in value", b"A: b\x00c\r\n", 400),
    _get("0x01 in value", b"A: b\x01c\r\n", 400),
    _get("vertical tab in value", b"A: \x0bc\r\n", 400),
    _get("DEL in value", b"A: \x7f\r\n", 400),
    Case("LF only", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    Case("LF in request line", b"GET / HTTP/1.1\nX: \r\nHost: a\r\n\r\n", 400),
    Case("CR in request line", b"GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    _get("128 fields", b"A: b\r\n" * 127, {"method": "GET"}),
    _get("129 fields", b"A: b\r\n" * 128, 431),
    _get("head too large", b"A: " + b"b" * 32768 + b"\r\n", 431),
    # Content-Length and Transfer-Encoding (RFC 9112 §6)
    _post("length", b"Content-Length: 3\r\n", {"body": 3}),
    _post("length 0", b"Content-Length: 0\r\n", {"body": 0}),
    _post("no length", b"", {"body": 0}),
    _post("length with white space", b"Content-Length:\t12 \r\n", {"body": 12}),
    _post("18 digits", b"Content-Length: 999999999999999999\r\n", {"body": 999999999999999999}),
    _post("length in 1.0", b"Content-Length: 3\r\n", {"body": 3, "keep_alive": False}, b"1.0"),
    _get("GET with a body", b"Content-Length: 3\r\n", {"body": 3}),
    _post("19 digits", b"Content-Length: 1000000000000000000\r\n", 400),
    _post("23 digits", b"Content-Length: 00000000000000000000003\r\n", {"body": 3}),
    _post("23 digits that count", b"Content-Length: 10000000000000000000003\r\n", 400),
    _post(
        "leading zeros",
        b"Content-Length: 010\r\n",
        {"body": 10, "index": {"host": "a.example", "content-length": "10"}},
    ),
    _post("zeros", b"Content-Length: 00\r\n", {"body": 0, "index": {"host": "a.example", "content-length": "0"}}),
    _post("zero and minus", b"Content-Length: 0-3\r\n", 400),
    _post("zeros and a list", b"Content-Length: 003, 3\r\n", 400),
    _post("two lengths, one with zeros", b"Content-Length: 003\r\nContent-Length: 3\r\n", 400),
    _post("length with zeros and coding", b"Content-Length: 00\r\nTransfer-Encoding: chunked\r\n", 400),
    _post("plus", b"Content-Length: +3\r\n", 400),
    _post("minus", b"Content-Length: -3\r\n", 400),
    _post("hexadecimal", b"Content-Length: 0x3\r\n", 400),
    _post("underscore in length", b"Content-Length: 1_0\r\n", 400),
    _post("fraction", b"Content-Length: 3.0\r\n", 400),
    _post("superscript", b"Content-Length: \xb3\r\n", 400),
    _post("empty length", b"Content-Length:\r\n", 400),
    _post("list of equal lengths", b"Content-Length: 3, 3\r\n", 400),
    _post("two lengths", b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
    _post("two equal lengths", b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
    _post("inner space", b"Content-Length: 3 3\r\n", 400),
    _post("no-break space", b"Content-Length: \xa03\r\n", 400),
    _post("chunked", b"Transfer-Encoding: chunked\r\n", {"body": CHUNKED}),
    _post("chunked, any case", b"transfer-encoding: ChunKed \r\n", {"body": CHUNKED}),
    _get("GET chunked", b"Transfer-Encoding: chunked\r\n", {"body": CHUNKED}),
    _post("length and coding", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
    _post("coding and length", b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
    _post("length and unknown coding", b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", 400),
    _post("length and identity", b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n", 400),
    _post("length and empty coding", b"Transfer-Encoding:\r\nContent-Length: 3\r\n", 400),
    _post("coding in 1.0", b"Transfer-Encoding: chunked\r\n", 400, b"1.0"),
    _post("identity", b"Transfer-Encoding: identity\r\n", 501),
    _post("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501),
    _post("gzip", b"Transfer-Encoding: gzip\r\n", 501),
    _post("xchunked", b"Transfer-Encoding: xchunked\r\n", 501),
    _post("chunked, gzip", b"Transfer-Encoding: chunked, gzip\r\n", 400),
    _post("chunked twice in a list", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    _post("two codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    _post("two different codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400),
    _post("chunked with comma", b"Transfer-Encoding: ,chunked\r\n", 400),
    _post("chunked with parameter", b"Transfer-Encoding: chunked;a=b\r\n", 400),
    _post("quoted", b'Transfer-Encoding: "chunked"\r\n', 400),
    _post("empty coding", b"Transfer-Encoding:\r\n", 400),
    _post("vertical tab before chunked", b"Transfer-Encoding: \x0bchunked\r\n", 400),
    _post("NEL before chunked", b"Transfer-Encoding: \x85chunked\r\n", 400),
    _post("space before the coding's colon", b"Transfer-Encoding : chunked\r\n", 400),
    _post("underscored look-alike", b"Transfer_Encoding: chunked\r\n", {"body": 0}),
    _post("look-alike length", b"Content_Length: 5\r\nContent-Length: 3\r\n", {"body": 3}),
    # Connection, Upgrade, Expect (RFC 9110 §7.6.1, §7.8, §10.1.1)
    _get("close", b"Connection: close\r\n", {"keep_alive": False}),
    _get("Close", b"Connection: Close\r\n", {"keep_alive": False}),
    _get("keep-alive", b"Connection: Keep-Alive\r\n", {"keep_alive": True}),
    _get("close in a list", b"Connection: x-a, close ,\r\n", {"keep_alive": False, "nominated": ("x-a",)}),
    _get(
        "close in a second line",
        b"Connection: TE\r\nConnection: close\r\n",
        {"keep_alive": False, "nominated": ("te",)},
    ),
    _get("close wins", b"Connection: keep-alive, close\r\n", {"keep_alive": False}),
    Case("keep-alive in 1.0", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {"keep_alive": True}),
    Case("nothing in 1.0", b"GET / HTTP/1.0\r\n\r\n", {"keep_alive": False}),
    _get("empty Connection", b"Connection:\r\n", {"keep_alive": True, "nominated": ()}),
    _get("Connection not a list of tokens", b"Connection: close x\r\n", 400),
    _get("nominates Host", b"Connection: host\r\n", 400),
    _get("nominates Content-Length", b"Connection: Content-Length\r\nContent-Length: 3\r\n", 400),
    _get("nominates Transfer-Encoding", b"Connection: close, transfer-encoding\r\n", 400),
    _get("nominates Cookie", b"Connection: cookie\r\n", 400),
    _get("nominates Authorization", b"Connection: authorization\r\n", 400),
    _get(
        "websocket",
        b"Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n",
        {"upgrade": "websocket", "nominated": ()},
    ),
    _get("upgrade not in Connection", b"Upgrade: websocket\r\n", {"upgrade": ""}),
    _get("Connection without Upgrade", b"Connection: upgrade\r\n", {"upgrade": ""}),
    _get("several protocols", b"Upgrade: foo/2, websocket\r\nConnection: upgrade\r\n", {"upgrade": "websocket"}),
    _get("other protocol", b"Upgrade: foo/2, bar\r\nConnection: upgrade\r\n", {"upgrade": "foo/2"}),
    _get("Upgrade not a protocol", b"Upgrade: a b\r\nConnection: upgrade\r\n", 400),
    _get("empty Upgrade", b"Upgrade:\r\nConnection: upgrade\r\n", 400),
    Case(
        "upgrade in 1.0",
        b"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        {"upgrade": "", "keep_alive": False},
    ),
    _post("expect", b"Content-Length: 3\r\nExpect: 100-Continue\r\n", {"body": 3}),
    _post("expect more", b"Content-Length: 3\r\nExpect: 200-ok\r\n", 417),
    _post("expect twice", b"Content-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", 400),
    _post("expect in 1.0", b"Content-Length: 3\r\nExpect: x\r\n", {"body": 3}, b"1.0"),
]


def _response(name: str, fields: bytes, verdict: dict[str, Any] | None, method: str = "GET") -> ResponseCase:
    return ResponseCase(name, b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", verdict, method)


def _status(
    name: str, line: bytes, verdict: dict[str, Any] | None, fields: bytes = b"Content-Length: 2\r\n"
) -> ResponseCase:
    return ResponseCase(name, line + b"\r\n" + fields + b"\r\n", verdict)


RESPONSES: list[ResponseCase] = [
    _response("length", b"Content-Length: 5\r\n", {"status": 200, "reason": "OK", "body": 5, "keep_alive": True}),
    _response(
        "white space around values",
        b"A:\t b \r\nB: \r\nContent-Length: 5\t\r\n",
        {"body": 5, "fields": [("A", "b"), ("B", ""), ("Content-Length", "5")]},
    ),
    _response("chunked", b"Transfer-Encoding: Chunked\r\n", {"body": CHUNKED, "keep_alive": True}),
    _response("until close", b"Server: x\r\n", {"body": UNTIL_CLOSE, "keep_alive": False}),
    _response("until close, keep-alive", b"Connection: keep-alive\r\n", {"body": UNTIL_CLOSE, "keep_alive": False}),
    _response("close", b"Content-Length: 5\r\nConnection: Close\r\n", {"body": 5, "keep_alive": False}),
    _response(
        "close, foo", b"Content-Length: 5\r\nConnection: close, foo\r\n", {"keep_alive": False, "nominated": ("foo",)}
    ),
    _response("HEAD", b"Content-Length: 5\r\n", {"body": 0, "keep_alive": True}, "HEAD"),
    _response("HEAD without length", b"", {"body": 0, "keep_alive": True}, "HEAD"),
    _response("HEAD chunked", b"Transfer-Encoding: chunked\r\n", {"body": 0}, "HEAD"),
    _response("set-cookie twice", b"Content-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", {"body": 0}),
    _status("no reason", b"HTTP/1.1 200 ", {"reason": "", "body": 2}),
    _status("no space either", b"HTTP/1.1 200", {"reason": "", "body": 2}),
    _status("8-bit reason", b"HTTP/1.1 200 Tr\xe8s\x85 bien", {"reason": "Tr\xe8s\x85 bien"}),
    _status("599", b"HTTP/1.1 599 x", {"status": 599}),
    _status("1.0", b"HTTP/1.0 200 OK", {"version": "1.0", "body": 2, "keep_alive": False}),
    _status(
        "1.0 keep-alive", b"HTTP/1.0 200 OK", {"keep_alive": True}, b"Content-Length: 2\r\nConnection: keep-alive\r\n"
    ),
    _status("204", b"HTTP/1.1 204 No Content", {"body": 0, "keep_alive": True}, b""),
    _status("204 with a body", b"HTTP/1.1 204 No Content", {"body": 0, "keep_alive": False}),
    _status("204 chunked", b"HTTP/1.1 204 x", {"body": 0, "keep_alive": False}, b"Transfer-Encoding: chunked\r\n"),
    _status("304 with length", b"HTTP/1.1 304 Not Modified", {"body": 0, "keep_alive": True}),
    _status("304 without length", b"HTTP/1.1 304 Not Modified", {"body": 0, "keep_alive": True}, b""),
    _status("100", b"HTTP/1.1 100 Continue", {"status": 100, "body": 0, "keep_alive": True}, b""),
    _status("103", b"HTTP/1.1 103 Early Hints", {"status": 103, "body": 0}, b"Link: </a>\r\n"),
    _status(
        "101",
        b"HTTP/1.1 101 Switching Protocols",
        {"status": 101, "body": 0, "upgrade": "websocket"},
        b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n",
    ),
    _status("101 without Connection", b"HTTP/1.1 101 x", {"upgrade": ""}, b"Upgrade: websocket\r\n"),
    _status("HTTP/2", b"HTTP/2 200 OK", None),
    _status("HTTP/2.0", b"HTTP/2.0 200 OK", None),
    _status("HTTP/0.9", b"HTTP/0.9 200 OK", None),
    _status("ICY", b"ICY 200 OK", None),
    _status("lower case", b"http/1.1 200 OK", None),
    _status("099", b"HTTP/1.1 099 x", None),
    _status("600", b"HTTP/1.1 600 x", {"status": 600, "body": 2}),
    _status("999", b"HTTP/1.1 999 Request denied", {"status": 999, "reason": "Request denied", "keep_alive": True}),
    _status("1.2", b"HTTP/1.2 200 OK", {"version": "1.1", "body": 2, "keep_alive": True}),
    _status("1.9 chunked", b"HTTP/1.9 200 OK", {"version": "1.1", "body": CHUNKED}, b"Transfer-Encoding: chunked\r\n"),
    _status("1.10", b"HTTP/1.10 200 OK", None),
    _status("1.20", b"HTTP/1.20 200 OK", None),
    _status("1.2 and no status", b"HTTP/1.2 OK", None),
    _status("two digits", b"HTTP/1.1 20 x", None),
    _status("four digits", b"HTTP/1.1 2000 x", None),
    _status("superscript", b"HTTP/1.1 20\xb2 x", None),
    _status("two spaces", b"HTTP/1.1  200 OK", None),
    _status("tab", b"HTTP/1.1\t200 OK", None),
    _status("reason without space", b"HTTP/1.1 200OK", None),
    _status("NUL in reason", b"HTTP/1.1 200 O\x00K", None),
    _status("CR in reason", b"HTTP/1.1 200 O\rK", None),
    _status("ESC in reason", b"HTTP/1.1 200 O\x1bK", None),
    _response("length and coding", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", None),
    _response("two lengths", b"Content-Length: 3\r\nContent-Length: 4\r\n", None),
    _response("two equal lengths", b"Content-Length: 3\r\nContent-Length: 3\r\n", None),
    _response("list of lengths", b"Content-Length: 3, 3\r\n", None),
    _response("bad length", b"Content-Length: 3x\r\n", None),
    _response("length with zeros", b"Content-Length: 005\r\n", {"body": 5, "index": {"content-length": "5"}}),
    _response(
        "length with zeros to HEAD", b"Content-Length: 05\r\n", {"body": 0, "index": {"content-length": "5"}}, "HEAD"
    ),
    _response("two lengths, one with zeros", b"Content-Length: 3\r\nContent-Length: 03\r\n", None),
    _response("bad length to HEAD", b"Content-Length: 3x\r\n", None, "HEAD"),
    _response("gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", None),
    _response("identity", b"Transfer-Encoding: identity\r\n", None),
    _status("coding in 1.0", b"HTTP/1.0 200 OK", None, b"Transfer-Encoding: chunked\r\n"),
    _response("obs-fold", b"A: b\r\n c\r\nContent-Length: 0\r\n", None),
    _response("bare LF", b"A: b\nContent-Length: 0\r\n", None),
    _response(
        "white space before colons",
        b"A : b : c\r\nX: d :e\r\nContent-Length\t : 3\r\n",
        {"body": 3, "fields": [("A", "b : c"), ("X", "d :e"), ("Content-Length", "3")]},
    ),
    _response("coding with a space before its colon", b"Transfer-Encoding : chunked\r\n", {"body": CHUNKED}),
    _response(
        "length and coding with a space", b"Content-Length: 3\r\nTransfer-Encoding : chunked\r\n", None
    ),
    _response("two lengths, one with a space", b"Content-Length: 3\r\nContent-Length : 3\r\n", None),
    _response("space before colon and a control character", b"A : \x01\r\n", None),
    _response("space before colon, folded", b"A : b\r\n c : d\r\n", None),
    _response("space first", b" A: b\r\n", None),
    _response("space in a name", b"A B : c\r\n", None),
    _response("only a space before colon", b" : c\r\n", None),
    _status("1.2 with a space before colon", b"HTTP/1.2 204 x", {"status": 204}, b"A : b\r\n"),
    _response("NUL in value", b"A: \x00\r\n", None),
    _response("nominates Content-Length", b"Connection: content-length\r\nContent-Length: 0\r\n", None),
    _response("129 fields", b"A: b\r\n" * 129, None),
    _response("3 MB of fields", b"A: " + b"b" * 3_000_000 + b"\r\n", None),
    ResponseCase("no end", b"HTTP/1.1 200 OK\r\n", None),
]

CHUNKED_BODIES: list[ChunkedCase] = [
    ChunkedCase("empty", b"0\r\n\r\n", (b"", b"")),
    ChunkedCase("one chunk", b"5\r\nhello\r\n0\r\n\r\n", (b"hello", b"")),
    ChunkedCase("two chunks and more", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nGET /", (b"hello!", b"GET /")),
    ChunkedCase("CRLF in payload", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", (b"\r\n\r\n", b"")),
    ChunkedCase("hexadecimal", b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", (b"x" * 26, b"")),
    ChunkedCase("lower case", b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", (b"x" * 26, b"")),
    ChunkedCase("leading zeros", b"005\r\nhello\r\n000\r\n\r\n", (b"hello", b"")),
    ChunkedCase("extension", b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', (b"hello", b"")),
    ChunkedCase("white space before extension", b"5 ;a\r\nhello\r\n0\r\n\r\n", (b"hello", b"")),
    ChunkedCase("trailers", b"0\r\nX-Sum: 1 \r\nX-B:2\r\n\r\n", (b"", b"")),
    ChunkedCase("LF after size", b"5\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("LF after payload", b"5\r\nhello\n0\r\n\r\n", None),
    ChunkedCase("LF at the end", b"5\r\nhello\r\n0\r\n\n", None),
    ChunkedCase("LF only", b"5\nhello\n0\n\n", None),
    ChunkedCase("CR without LF after payload", b"5\r\nhello\rX0\r\n\r\n", None),
    ChunkedCase("payload too long", b"5\r\nhello!\r\n0\r\n\r\n", None),
    ChunkedCase("minus", b"-5\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("plus", b"+5\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("0x", b"0x5\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("underscore", b"1_0\r\nhellohellohello!\r\n0\r\n\r\n", None),
    ChunkedCase("space before size", b" 5\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("space after size", b"5 \r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("no size", b"\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("only an extension", b";a\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("17 digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("not a number", b"g\r\n", None),
    ChunkedCase("NUL in extension", b"5;a\x00\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("LF in extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("CR in extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("long size line", b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n", None),
    ChunkedCase("many extensions", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 17 + b"0\r\n\r\n", None),
    ChunkedCase("framing in trailers", b"0\r\nContent-Length: 5\r\n\r\n", None),
    ChunkedCase("coding in trailers", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ChunkedCase("Host in trailers", b"0\r\nhost: b\r\n\r\n", None),
    ChunkedCase("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", None),
    ChunkedCase("space before colon", b"0\r\nA : b\r\n\r\n", None),
    ChunkedCase("bare LF in trailers", b"0\r\nA: b\nB: c\r\n\r\n", None),
    ChunkedCase("NUL in trailers", b"0\r\nA: \x00\r\n\r\n", None),
    ChunkedCase("too many trailers", b"0\r\n" + b"A: b\r\n" * 129 + b"\r\n", None),
    ChunkedCase("too long trailers", b"0\r\nA: " + b"b" * 40000 + b"\r\n\r\n", None),
]
