"""Listeners: whether they need a certificate, how they share ports, and whether a rule serves them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.hosts import Neighbours
from gateway.config.model import Gateway, HttpListener

__all__ = ["find", "find_idle"]

_MOST_HOSTS = 5


def find(gateway: Gateway) -> Iterator[Finding]:
    """What is wrong with each, and with those that share a port."""
    for index, listener in enumerate(gateway.listeners):
        yield from _listener(("listeners", index), listener)
    yield from _ports(gateway)


def find_idle(gateway: Gateway) -> Iterator[Finding]:
    """Listeners without a rule."""
    served = {rule.listener for rule in gateway.rules}
    for index, listener in enumerate(gateway.listeners):
        if listener.name not in served:
            message = f"listener {listener.name!r} has no rule; every request to it gets 404"
            yield warning(("listeners", index), message)


def _listener(at: Location, listener: HttpListener) -> Iterator[Finding]:
    if listener.secure and not listener.certificates:
        yield Finding(at, f"listener {listener.name!r} is {listener.protocol} and has no certificate")
    if not listener.secure and listener.certificates:
        unused = f"listener {listener.name!r} is {listener.protocol}; its certificate is not used"
        yield warning((*at, "certificates"), unused)
    if len(listener.host_names) > _MOST_HOSTS:
        most = f"an Application Gateway takes at most {_MOST_HOSTS} host names for one listener"
        yield warning((*at, "host_names"), most)


def _ports(gateway: Gateway) -> Iterator[Finding]:
    """Two listeners on one port: same protocol, one address, no host in common."""
    before = Neighbours()
    for index, listener in enumerate(gateway.listeners):
        if listener.port == 0:
            continue
        clash = before.clash(listener)
        if clash is not None:
            key, message = clash
            yield Finding(("listeners", index, key) if key else ("listeners", index), message)
        before.add(listener)
