"""The kinds of strategies, and those that the gateway brings along.

A group's name is that of the entry points.  To add a strategy of our own, list it here and in ``setup.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from zope.interface import Interface

from gateway.interfaces import (
    IAsyncRouter,
    IDiscovery,
    IMessageFilter,
    IMiddleware,
    IOutcomeObserver,
    IProbe,
    IRouter,
    ISelector,
)

__all__ = ["BUILT_IN", "GROUPS", "Group"]


class Group(NamedTuple):
    """One kind of strategy: the word for it in messages, and the interface that a product provides, or instead."""

    word: str
    interface: type[Interface]
    instead: type[Interface] | None = None


GROUPS: Mapping[str, Group] = {
    "gateway.routers": Group("router", IRouter, IAsyncRouter),
    "gateway.middleware": Group("middleware", IMiddleware),
    "gateway.selectors": Group("selector", ISelector),
    "gateway.probes": Group("probe strategy", IProbe),
    "gateway.discovery": Group("discovery", IDiscovery),
    "gateway.filters": Group("message filter", IMessageFilter),
    "gateway.observers": Group("observer", IOutcomeObserver),
}

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "gateway.routers": {
        "canary": "gateway.routing.canary:factory",
        "prefix": "gateway.routing.prefix:factory",
        "regex": "gateway.routing.regex:factory",
        "table": "gateway.routing.table:factory",
    },
    "gateway.middleware": {
        "address": "gateway.middleware.address:factory",
        "basic-auth": "gateway.middleware.basic_auth:factory",
        "compress": "gateway.middleware.compress:factory",
        "cors": "gateway.middleware.cors:factory",
        "forward-auth": "gateway.middleware.forward_auth:factory",
        "headers": "gateway.middleware.headers:factory",
        "jwt": "gateway.middleware.jwt:factory",
        "origin": "gateway.middleware.origin:factory",
        "rate-limit": "gateway.middleware.rate_limit:factory",
        "security-headers": "gateway.middleware.security_headers:factory",
    },
    "gateway.selectors": {
        "round-robin": "gateway.pools.round_robin:factory",
        "weighted": "gateway.pools.weighted:factory",
        "least-connections": "gateway.pools.least_connections:factory",
        "random-of-two": "gateway.pools.random_of_two:factory",
        "least-latency": "gateway.pools.least_latency:factory",
        "hash": "gateway.pools.hashing:factory",
        "address-hash": "gateway.pools.address_hash:factory",
        "sticky": "gateway.pools.sticky:factory",
        "priority": "gateway.pools.priority:factory",
        "slow-start": "gateway.pools.slow_start:factory",
    },
    "gateway.probes": {
        "http": "gateway.health.http_probe:factory",
        "tcp": "gateway.health.tcp_probe:factory",
        "websocket": "gateway.health.websocket_probe:factory",
    },
    "gateway.discovery": {
        "static": "gateway.discovery.static:factory",
        "dns": "gateway.discovery.dns:factory",
        "file": "gateway.discovery.file:factory",
    },
    "gateway.filters": {
        "json-schema": "gateway.filters.json_schema:factory",
        "log-tap": "gateway.filters.log_tap:factory",
        "rate-limit": "gateway.filters.rate_limit:factory",
        "size-limit": "gateway.filters.size_limit:factory",
    },
}
