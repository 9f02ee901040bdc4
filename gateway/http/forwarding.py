"""Heads as the gateway sends them on: hop-by-hop fields taken out, framing made anew (RFC 9110 §7.6, RFC 9112 §6).

What is written here follows from checked heads only.  The framing fields always say what the ``body``
argument says, never what the other side claimed.  HOT: most field names are known, and a memo of
bounded size says at once whether a line stays; what stays is joined in one go.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from typing import Final

from gateway import _native
from gateway.http.pages import REASONS, error_page
from gateway.values import CHUNKED, UNTIL_CLOSE, Fields, Reply, RequestHead, ResponseHead

__all__ = [
    "SERVER", "date_now", "error_reply", "is_made", "is_ours", "is_proxys", "reply_bytes", "request_bytes",
    "request_fields", "request_stays", "response_bytes", "response_stays",
]  # fmt: skip

SERVER: Final = "gateway"
"""What the ``Server`` field of the gateway's own answers says."""

_NOT_PASSED_ON: Final = frozenset(
    [
        "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate",
        "proxy-authentication-info", "te", "transfer-encoding", "upgrade", "http2-settings",
        "content-length",  # end to end, but made anew from what is known of the body
    ]
)  # fmt: skip
# What only the gateway itself may say to a backend (reference §4.1); it comes with ``added``.
_OURS: Final = re.compile(r"x-forwarded(?:-.*)?|x-original-.*|x-appgw-.*|forwarded")
_MADE: Final = frozenset(
    [
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-original-host", "x-original-url",
        "x-appgw-trace-id",
    ]
)  # fmt: skip
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_WITH_BODY: Final = frozenset(["POST", "PUT", "PATCH"])


class _Names(dict[str, bool]):
    """Field name, as spelled, to what is decided of it. Bounded, for names come from the peer."""

    _most = 4096
    _longest = 64

    def __missing__(self, name: str) -> bool:
        stays = self.decide(name)
        if len(name) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[name] = stays
        return stays

    def decide(self, name: str) -> bool:
        """Whether it is so, of a name that is not remembered."""
        raise NotImplementedError


class _RequestNames(_Names):
    def decide(self, name: str) -> bool:
        lower = name.lower()
        if lower in _NOT_PASSED_ON or lower == "host" or _OURS.fullmatch(lower):
            return False
        return _SAFE_NAME.fullmatch(name) is not None


class _OwnNames(_Names):
    def decide(self, name: str) -> bool:
        return _OURS.fullmatch(name.lower()) is not None


class _ResponseNames(_Names):
    def decide(self, name: str) -> bool:
        return name.lower() not in _NOT_PASSED_ON


request_stays: Final = _RequestNames()
response_stays: Final = _ResponseNames()
"""Whether a field line is passed on, by its name as spelled. ``stays[name]`` answers and remembers."""

_own_names: Final = _OwnNames()


def is_ours(name: str) -> bool:
    """Whether a request field speaks for the gateway: one with this name that a stranger sends is not passed on."""
    return _own_names[name]


def is_made(name: str) -> bool:
    """Whether the gateway says this itself, in every request."""
    return name.lower() in _MADE


def is_proxys(name: str) -> bool:
    """Whether a field that speaks for the gateway is passed on as it came, where a trusted proxy sends it."""
    return is_ours(name) and not is_made(name) and _SAFE_NAME.fullmatch(name) is not None


_date_second = 0
_date_text = ""


def date_now() -> str:
    """The time in the form of a ``Date`` field (RFC 9110 §6.6.1), made once per second."""
    global _date_second, _date_text
    now = int(time.time())
    if now != _date_second:
        _date_second, _date_text = now, formatdate(now, usegmt=True)
    return _date_text


@_native.chosen(_native.forwarding, request_stays=request_stays)
def request_bytes(head: RequestHead, target: str, host: str, added: str, body: int, upgrade: bool = False) -> bytes:
    """The head that goes to the backend, always HTTP/1.1.

    ``target`` and ``host`` are what the backend is to see, ``added`` are ready field lines, each ended by
    CRLF; all three are the caller's word.  ``body`` is the length, 0 for none, or `CHUNKED`.  With
    ``upgrade`` the Upgrade goes along as it was sent, or of several protocols the one that counts here; without, a
    Connection says only that ``TE: trailers`` does.  Fields keep their order and case.  Names with other than letters,
    digits and hyphens are dropped (Application Gateway does), and so are those in which the gateway itself speaks
    (X-Forwarded-* …).
    """
    method, _, version, _, fields, index, _, _, _, nominated = head
    stays = request_stays
    if nominated or (version == "1.0" and "expect" in index):
        lines = "".join([f"{name}: {value}\r\n" for name, value in request_fields(head)])
    else:
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields if stays[name]])
    if body > 0:
        extra = f"Content-Length: {body}\r\n"
    elif body == CHUNKED:
        extra = "Transfer-Encoding: chunked\r\n"
    elif "content-length" in index or method in _WITH_BODY:
        extra = "Content-Length: 0\r\n"
    else:
        extra = ""
    if upgrade:
        wanted = index["upgrade"] if "," not in index["upgrade"] else head.upgrade
        extra += f"Connection: Upgrade\r\nUpgrade: {wanted}\r\n"
    elif "te" in index and index["te"].lower() == "trailers":
        extra += "TE: trailers\r\nConnection: TE\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}{extra}{added}\r\n".encode("latin-1")


def request_fields(head: RequestHead) -> Fields:
    """The field lines of ``head`` that are passed on: the rule for whoever hears of a request, backend or not."""
    stays, gone = request_stays, head.nominated
    if head.version == "1.0":
        # An interim answer could not be passed on to an HTTP/1.0 client.
        gone = (*gone, "expect")
    return [field for field in head.fields if stays[field[0]] and field[0].lower() not in gone]


@_native.chosen(_native.forwarding, response_stays=response_stays, date_now=date_now)
def response_bytes(head: ResponseHead, version: str, body: int, close: bool, upgrade: bool = False) -> bytes:
    """The head that goes to a client which speaks ``version``; the status line says HTTP/1.1 (RFC 9110 §2.5).

    ``body`` is a length, 0 for none, `CHUNKED` (not for a 1.0 client) or `UNTIL_CLOSE`, and may differ from
    ``head.body``.  Where both are 0 a Content-Length stays as it is, for an answer to HEAD or a 304 says with it
    what a GET would get (RFC 9110 §8.6).  ``close`` says that the connection ends after this response.
    """
    status, reason, _, fields, index, head_body, _, _, nominated = head
    stays = response_stays
    kept = [field for field in fields if stays[field[0]]]
    if nominated:
        kept = [field for field in kept if field[0].lower() not in nominated]
    extra = ""
    if body > 0:
        extra = f"Content-Length: {body}\r\n"
    elif body == CHUNKED:
        extra = "Transfer-Encoding: chunked\r\n"
    elif body == UNTIL_CLOSE:
        close = True
    elif status >= 200 and status != 204:
        if head_body:
            extra = "Content-Length: 0\r\n"
        elif "content-length" in index:
            extra = f"Content-Length: {index['content-length']}\r\n"
    if status >= 200:
        if close:
            extra += "Connection: close\r\n"
        elif version == "1.0":
            extra += "Connection: keep-alive\r\n"
        if "date" not in index or "date" in nominated:
            extra += f"Date: {date_now()}\r\n"
    if upgrade or (status == 426 and "upgrade" in index):
        # A 426 has to name what to upgrade to (RFC 9110 §15.5.22).
        extra += f"Connection: Upgrade\r\nUpgrade: {index['upgrade']}\r\n"
    if kept:
        lines = "\r\n".join(map(": ".join, kept))
        return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n{extra}\r\n".encode("latin-1")
    return f"HTTP/1.1 {status} {reason}\r\n{extra}\r\n".encode("latin-1")


def reply_bytes(reply: Reply, method: str, version: str, close: bool, server: str = SERVER) -> bytes:
    """A whole answer of the gateway's own; the body is left out for HEAD.

    Content-Type is ``text/html`` unless the reply has one; with ``server`` empty there is no Server field.
    ``method`` and ``version`` are the client's, empty where the request could not be read.
    """
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}"]
    if server:
        lines.append(f"Server: {server}")
    lines.append(f"Date: {date_now()}")
    bodiless = reply.status < 200 or reply.status in (204, 304)
    if not bodiless:
        if reply.body and not any(name.lower() == "content-type" for name, _ in reply.fields):
            lines.append("Content-Type: text/html")
        lines.append(f"Content-Length: {len(reply.body)}")
    lines += [f"{name}: {value}" for name, value in reply.fields if name.lower() != "content-length"]
    if close:
        lines.append("Connection: close")
    elif version == "1.0":
        lines.append("Connection: keep-alive")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        # A router's or a plugin's value: the one place where text that is not from a checked head gets in.
        raise ValueError("a field of the reply has a line break")
    data = f"{head}\r\n\r\n".encode("latin-1")
    return data if bodiless or method == "HEAD" else data + reply.body


def error_reply(status: int, detail: str = "", server: str = SERVER) -> Reply:
    """A small page for a refusal; ``detail`` is shown to the client, so it must not tell internals."""
    return Reply(status, (("Content-Type", "text/html"),), error_page(status, detail, server), cause="error")
