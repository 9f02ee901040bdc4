"""Whom the gateway believes and whom it asks: trusted proxies, and name servers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.model import Gateway
from gateway.config.texts import name_server

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """Addresses that are none, and intervals that contradict each other."""
    for number, network in enumerate(gateway.limits.trusted_proxies):
        try:
            found = ipaddress.ip_network(network, strict=False)
        except ValueError:
            message = f"found {network[:80]!r}, expected an address or a network such as 10.0.0.0/8"
            yield Finding(("limits", "trusted_proxies", number), message)
        else:
            if found.network_address != ipaddress.ip_interface(network).ip:
                message = f"found {network!r}, the address of one in a network: give {found}, or the address alone"
                yield Finding(("limits", "trusted_proxies", number), message)
    resolver = gateway.resolver
    for number, text in enumerate(resolver.nameservers):
        try:
            name_server(text)
        except ValueError as error:
            yield Finding(("resolver", "nameservers", number), str(error))
    if resolver.most_interval < resolver.least_interval:
        yield Finding(("resolver", "most_interval"), "mostInterval is less than leastInterval")
