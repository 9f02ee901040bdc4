"""`gateway.discovery.answers`."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Member
from gateway.discovery.answers import MOST_RECORDS, Answer, addresses, services_of


def record(name: str, payload: Any, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name=name.encode(), type=payload.TYPE, ttl=ttl, payload=payload)


def a(address: str, name: str = "chat.test", ttl: int = 60) -> dns.RRHeader:
    return record(name, dns.Record_A(address, ttl), ttl)


def srv(priority: int, weight: int, port: int, target: str, ttl: int = 60) -> dns.RRHeader:
    return record("_chat._tcp.test", dns.Record_SRV(priority, weight, port, target.encode(), ttl), ttl)


class AddressTests(SynchronousTestCase):
    """A, AAAA and CNAME."""

    def test_both_families(self) -> None:
        v6 = record("chat.test", dns.Record_AAAA("2001:db8::1"), 30)
        answer = addresses([a("192.0.2.1"), a("192.0.2.1"), v6], "Chat.Test.", 9001)
        self.assertEqual(
            answer, Answer((Member(host="192.0.2.1", port=9001), Member(host="2001:db8::1", port=9001)), 30.0)
        )

    def test_aliases(self) -> None:
        """In any order; each lives as long as the shortest of the chain."""
        chain = [
            a("192.0.2.1", "c.test", 300),
            record("b.test", dns.Record_CNAME(b"C.test"), 7),
            record("chat.test", dns.Record_CNAME(b"b.test"), 90),
        ]
        self.assertEqual(addresses(chain, "chat.test", None), Answer((Member(host="192.0.2.1"),), 7.0))

    def test_loop(self) -> None:
        loop = [record("chat.test", dns.Record_CNAME(b"b.test")), record("b.test", dns.Record_CNAME(b"chat.test"))]
        self.assertEqual(addresses(loop, "chat.test", None).members, ())

    def test_others(self) -> None:
        """Records that nobody asked for are not believed."""
        self.assertEqual(addresses([a("203.0.113.1", "evil.test")], "chat.test", None), Answer((), inf))

    def test_bound(self) -> None:
        many = [a(f"10.0.{number >> 8}.{number & 255}") for number in range(MOST_RECORDS + 5)]
        self.assertEqual(len(addresses(many, "chat.test", None).members), MOST_RECORDS)


class ServiceTests(SynchronousTestCase):
    """SRV."""

    def test_members(self) -> None:
        answer = services_of([srv(1, 5, 9001, "A.test."), srv(2, 0, 9002, "b.test", 20)], "", None)
        self.assertEqual(
            answer,
            Answer(
                (
                    Member(host="a.test", port=9001, weight=5, priority=1),
                    Member(host="b.test", port=9002, weight=1, priority=2),
                ),
                20.0,
            ),
        )

    def test_large_weights(self) -> None:
        """Are scaled to what a member may have, in proportion."""
        answer = services_of([srv(0, 65535, 1, "a"), srv(0, 32768, 1, "b"), srv(0, 1, 1, "c")], "", None)
        self.assertEqual([member.weight for member in answer.members], [1000, 500, 1])

    def test_no_such_service(self) -> None:
        """Says a single target that is the root (RFC 2782); and port 0 cannot be connected to."""
        self.assertEqual(services_of([srv(0, 0, 0, "."), srv(0, 0, 0, "a.test")], "", None), Answer((), inf))
