"""`gateway.pools.keys`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.forwarded import TrustedProxies
from gateway.pools.keys import address_key, key_of
from gateway.testing import request_head
from gateway.values import Peer

PEER = Peer("192.0.2.1", 4711)
NOBODY = TrustedProxies()


class KeyTests(SynchronousTestCase):
    """`key_of`."""

    def key(self, by: str, target: str = "/", **others: Any) -> str | None:
        return key_of(by, NOBODY)(request_head(target, **others), PEER)

    def test_header(self) -> None:
        fields = [("X-User", "ann"), ("x-user", "bob")]
        self.assertEqual(self.key("header:x-USER", fields=fields), "ann, bob")
        self.assertIsNone(self.key("header:X-User"))

    def test_cookie(self) -> None:
        self.assertEqual(self.key("cookie:sid", fields=[("Cookie", "a=1; sid=xyz")]), "xyz")
        self.assertIsNone(self.key("cookie:sid"))

    def test_query(self) -> None:
        """Spelled either way it is the same."""
        for target in ("/?room=a%20b", "/x?c=d&room=a+b", "/?r%6Fom=%61 b"):
            self.assertEqual(self.key("query:room", target), "a b", target)
        for target in ("/", "/?", "/?rooms=1", "/room=1", "/?&&=&"):
            self.assertIsNone(self.key("query:room", target), target)
        self.assertEqual(self.key("query:room", "/?room"), "")

    def test_others(self) -> None:
        self.assertEqual(self.key("host", host="Shop.Test"), "shop.test")
        self.assertEqual(self.key("path", "/a?b"), "/a")
        self.assertEqual(self.key("address"), "4:c0000201/32")

    def test_wrong(self) -> None:
        for by in ("", "header", "header:", "address:x", "colour", "x" * 500):
            error = self.assertRaises(ValueError, key_of, by, NOBODY)
            self.assertIn("expected `header:NAME`", str(error))
            self.assertLess(len(str(error)), 250)


class AddressTests(SynchronousTestCase):
    """`address_key`."""

    def same(self, one: str, other: str, **prefixes: int) -> bool:
        key, head = address_key(NOBODY, **prefixes), request_head()
        return key(head, Peer(one, 1)) == key(head, Peer(other, 2))

    def test_networks(self) -> None:
        self.assertTrue(self.same("192.0.2.1", "192.0.2.1"))
        self.assertFalse(self.same("192.0.2.1", "192.0.2.2"))
        self.assertTrue(self.same("192.0.2.1", "192.0.2.2", v4_prefix=24))
        self.assertTrue(self.same("2001:db8::1", "2001:db8::ffff:1"))
        self.assertFalse(self.same("2001:db8::1", "2001:db8:0:1::1"))
        self.assertTrue(self.same("2001:db8::1", "2001:db8:0:1::1", v6_prefix=48))

    def test_mapped(self) -> None:
        self.assertTrue(self.same("::ffff:192.0.2.1", "192.0.2.1"))
        self.assertFalse(self.same("::", "0.0.0.0"))

    def test_scope(self) -> None:
        self.assertTrue(self.same("fe80::1%eth0", "fe80::1"))

    def test_no_address(self) -> None:
        """A socket that has none, such as a Unix one."""
        self.assertFalse(address_key(NOBODY)(request_head(), Peer("", 0)))

    def test_trusted(self) -> None:
        key = address_key(TrustedProxies(["192.0.2.0/24"]))
        head = request_head(fields=[("X-Forwarded-For", "203.0.113.9:1234")])
        self.assertEqual(key(head, PEER), key(request_head(), Peer("203.0.113.9", 5)))
