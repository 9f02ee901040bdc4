"""Sets of networks, as options and for looking up addresses."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import BeforeValidator

__all__ = ["Network", "Networks"]

_MOST_REMEMBERED = 4096


def _network(value: object) -> object:
    return ip_network(value) if isinstance(value, str) else value


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
"""A network in options: ``10.0.0.0/8``, ``2001:db8::/32``, or one address."""


class Networks:
    """Knows whether an address is in one of many networks: one look-up for each prefix length that occurs.

    The latest answers are remembered, for to read an address takes longer than to look it up.
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network] = ()) -> None:
        known: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            known[network.version].setdefault(shift, set()).add(int(network.network_address) >> shift)
        self._known = {version: list(sets.items()) for version, sets in known.items()}
        self._remembered: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return any(self._known.values())

    def __contains__(self, host: str) -> bool:
        """Whether ``host``, an address as text, is in one of them; what is no address is in none."""
        found = self._remembered.get(host)
        if found is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[host] = self._find(host)
        return found

    def _find(self, host: str) -> bool:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        number = int(address)
        return any(number >> shift in heads for shift, heads in self._known[address.version])
