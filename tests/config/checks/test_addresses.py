"""`gateway.config.checks.addresses`."""

from __future__ import annotations

from gateway.config.model import Limits, Resolver
from tests.config.checks.support import CheckCase, gateway


class AddressTests(CheckCase):
    """Of trusted proxies and name servers."""

    def test_trusted_proxies(self) -> None:
        self.says(gateway(limits=Limits(trusted_proxies=("10.0.0.0/8", "::1"))))
        bad = gateway(limits=Limits(trusted_proxies=("10.0.0.1/8", "x")))
        whole = "limits.trustedProxies[0]: found '10.0.0.1/8', the address of one in a network: give 10.0.0.0/8, or"
        self.says(bad, whole, "limits.trustedProxies[1]: found 'x'")

    def test_name_servers(self) -> None:
        self.says(gateway(resolver=Resolver(nameservers=("10.0.0.1", "[::1]:53"))))
        self.says(gateway(resolver=Resolver(nameservers=("10.0.0.1", "ns.test"))), "resolver.nameservers[1]: ")
        crossed = Resolver(least_interval=10, most_interval=5)
        self.says(gateway(resolver=crossed), "resolver.mostInterval: mostInterval is less than leastInterval")
