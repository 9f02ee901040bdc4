"""`gateway.routing.bindings`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway, HttpListener
from gateway.routing.bindings import bindings


class BindingsTests(SynchronousTestCase):
    """Listeners that share a port are bound once."""

    def test_groups(self) -> None:
        listeners = (
            HttpListener(name="a", port=80, host_names=("a.example",)),
            HttpListener(name="s", port=443, protocol="Https"),
            HttpListener(name="b", port=80, host_names=("b.example",)),
            HttpListener(name="local", port=80, address="127.0.0.1"),
        )
        found = bindings(Gateway(listeners=listeners))
        self.assertEqual([(port.address, port.port, port.protocol, port.listener) for port in found], [
            ("", 80, "Http", "a"), ("", 443, "Https", "s"), ("127.0.0.1", 80, "Http", "local"),
        ])  # fmt: skip
        self.assertEqual([listener.name for listener in found[0].listeners], ["a", "b"])

    def test_free_ports(self) -> None:
        """Port 0 is another port for each listener."""
        listeners = (HttpListener(name="a", port=0), HttpListener(name="b", port=0))
        self.assertEqual([port.listener for port in bindings(Gateway(listeners=listeners))], ["a", "b"])

    def test_none(self) -> None:
        self.assertEqual(bindings(Gateway()), [])
