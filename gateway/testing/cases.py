"""What all conformance tests have: a base that any test case can be, odd requests, and what is said of replies."""

from __future__ import annotations

import re
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from gateway.http.changes import checked_reply
from gateway.testing.fakes import request_head
from gateway.values import Reply, RequestHead

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Case
else:
    Case = object

__all__ = ["HANDSHAKES", "REQUESTS", "Case", "check_reply", "ends_with", "waited_for"]

_CAUSE = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")

REQUESTS: tuple[RequestHead, ...] = (
    request_head("/"),
    request_head("/a/b?c=d", method="POST", body=3, fields=[("Content-Type", "text/plain"), ("Cookie", "a=1; b=2")]),
    request_head("/%2e%2e/%ff/\xe9", host="EXAMPLE.com.:8080"),
    request_head("*", method="OPTIONS", host="[::1]:80"),
    request_head("/", host="", version="1.0"),
    request_head("/?\xe9=%", method="HEAD", fields=[("Cookie", ""), ("Cookie", "=;;="), ("X-Odd", "\xff\xfe")]),
    request_head("/" + "a" * 8000, method="BREW", body=-1, fields=[("Authorization", "Basic !"), ("Origin", "null")]),
)
"""Plain requests as the gateway may have them."""

HANDSHAKES: tuple[RequestHead, ...] = (
    request_head(
        "/chat",
        upgrade="websocket",
        fields=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Origin", "https://example.com"),
        ],
    ),
    request_head("/", upgrade="something", fields=[("Connection", "upgrade"), ("Upgrade", "something")]),
)  # fmt: skip
"""Requests for a WebSocket and for something else."""


def waited_for(found: Any) -> Deferred[Any] | None:
    """The Deferred that the gateway would wait for; ``None`` where ``found`` is the answer."""
    if iscoroutine(found):
        return Deferred.fromCoroutine(found)
    return found if isinstance(found, Deferred) else None


def ends_with(deferred: Deferred[Any]) -> list[Any]:
    """Cancel it; return what it ended with, which must have happened at once."""
    ended: list[Any] = []
    deferred.addBoth(ended.append)
    deferred.cancel()
    return ended


def check_reply(case: Case, reply: Reply) -> Reply:
    """``reply`` as it may be sent. Its cause is a word, and a status without a body has none (RFC 9110 §6.4.1)."""
    case.assertIsInstance(reply.cause, str)
    case.assertTrue(_CAUSE.fullmatch(reply.cause), f"the cause {reply.cause!r} is not one lower-case word")
    checked = checked_reply(reply)
    case.assertFalse(reply.body and reply.status in (204, 205, 304), f"a {reply.status} has no body")
    return checked
