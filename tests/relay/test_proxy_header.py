"""The PROXY protocol header, version 1."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.relay.proxy_header import UNKNOWN, proxy_header
from gateway.values import Peer


class HeaderTests(SynchronousTestCase):
    def test_families(self) -> None:
        self.assertEqual(
            b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 443\r\n",
            proxy_header(Peer("192.0.2.1", 40000), Peer("198.51.100.7", 443)),
        )
        self.assertEqual(
            b"PROXY TCP6 2001:db8::1 ::1 65535 1\r\n", proxy_header(Peer("2001:db8::1", 65535), Peer("::1", 1))
        )

    def test_unknown(self) -> None:
        for client, local in (("192.0.2.1", "::1"), ("", "::1"), ("/run/sock", "127.0.0.1")):
            self.assertEqual(UNKNOWN, proxy_header(Peer(client, 1), Peer(local, 2)))

    def test_longest(self) -> None:
        """Receivers may look at 107 bytes only."""
        address = "2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff"
        self.assertLessEqual(len(proxy_header(Peer(address, 65535), Peer(address, 65535))), 107)
