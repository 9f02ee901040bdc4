"""What all conformance tests have: a base that any test case can be, and odd requests."""

from __future__ import annotations

from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from gateway.testing.fakes import request_head
from gateway.values import RequestHead

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Case
else:
    Case = object

__all__ = ["HANDSHAKES", "REQUESTS", "Case", "ends_with", "waited_for"]

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
