"""`gateway.middleware.address` and `gateway.middleware.networks`."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from gateway.middleware.address import factory
from gateway.middleware.networks import Networks
from tests.middleware.support import MiddlewareCase, request_head


class NetworksTests(SynchronousTestCase):
    """`Networks`."""

    def test_contains(self) -> None:
        networks = Networks([ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "0.0.0.0/31")])
        for inside in ("10.255.0.1", "192.0.2.7", "2001:db8:1::1", "::ffff:10.1.1.1", "2001:db8::1%eth0", "0.0.0.1"):
            self.assertIn(inside, networks)
        for outside in ("11.0.0.0", "192.0.2.8", "2001:db9::", "::ffff:9.1.1.1", "", "localhost", "0.0.0.2"):
            self.assertNotIn(outside, networks)
        self.assertTrue(networks)
        self.assertFalse(Networks())
        self.assertIn("8.8.8.8", Networks([ip_network("0.0.0.0/0")]))
        self.assertNotIn("::1", Networks([ip_network("0.0.0.0/0")]))


class AddressTests(MiddlewareCase):
    """Allowed, denied."""

    factory = factory

    def test_allow(self) -> None:
        made = self.make(allow=["203.0.113.0/24", "2001:db8::/32"])
        self.passes(made, request_head())
        self.refuses(made, request_head(), 403, "address_denied", self.context(host="198.51.100.1"))
        self.refuses(made, request_head(), 403, "address_denied", self.context(host=""))
        self.assertEqual({"http", "upgrade"}, made.traffic)

    def test_deny_counts_first(self) -> None:
        made = self.make(deny=["203.0.113.7"], allow=["203.0.113.0/24"])
        self.refuses(made, request_head(), 403, "address_denied")
        self.passes(made, request_head(), self.context(host="203.0.113.8"))
        self.passes(self.make(deny=["10.0.0.0/8"]), request_head())

    def test_options(self) -> None:
        self.refused_options("name networks")
        self.refused_options("10.0.0.1/8 has host bits set", deny=["10.0.0.1/8"])
        self.refused_options("does not appear to be", allow=["everybody"])
