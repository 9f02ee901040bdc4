"""`gateway.config.checks.listeners`."""

from __future__ import annotations

from gateway.config.model import Certificate
from tests.config.checks.support import CheckCase, gateway, host


class ListenerTests(CheckCase):
    """Those that share a port."""

    def test_ports(self) -> None:
        certificate = (Certificate(name="c", data="x"),)
        self.says(
            gateway(host("a"), host("b")),
            "listeners[1]: listeners 'a' and 'b' share port 80 and neither has a host name",
        )
        self.says(gateway(host("a", host_names=("X",)), host("b", host_names=("y", "x"))), "both answer for host 'x'")
        self.says(gateway(host("a", host_names=("x",)), host("b", host_names=("y",)), host("c")))
        self.says(gateway(host("a", address="127.0.0.1"), host("b", address="127.0.0.2")))
        self.says(
            gateway(host("a"), host("b", address="127.0.0.2")),
            "listeners[1].address: listeners 'a' and 'b' cannot both be bound to port 80",
        )
        self.says(gateway(host("a", port=0), host("b", port=0)))
        mixed = gateway(host("a"), host("b", protocol="Https", certificates=("c",)), certificates=certificate)
        self.says(mixed, "listeners[1].protocol: listeners 'a' and 'b' share port 80 but speak Http and Https")
