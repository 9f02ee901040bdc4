"""`gateway.pools.hashing` and `gateway.pools.address_hash`."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from pydantic import ValidationError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.config.model import Gateway, Limits
from gateway.interfaces import IStrategyFactory
from gateway.pools import address_hash, hashing
from gateway.services import Services
from gateway.testing import FakeBackend, SelectorConformance, request_head
from gateway.values import Peer
from tests.pools.statistics import chi_square, limit

BACKENDS = tuple([FakeBackend(f"10.0.0.{number}") for number in range(6)])


def services(*proxies: str) -> Services:
    return Services(Clock(), Clock(), Random(1), model=Gateway(limits=Limits(trusted_proxies=proxies)))


def by(what: str, *proxies: str, **options: Any) -> hashing.Hash:
    factory = hashing.factory
    return factory.build(factory.options(by=what, **options), services(*proxies))


class HashTests(SelectorConformance, SynchronousTestCase):
    """By what is in the request."""

    def make_selector(self) -> hashing.Hash:
        return by("query:room")

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, hashing.factory)
        self.assertEqual(hashing.factory.name, "hash")

    def test_same_key(self) -> None:
        """One key, one backend, also for another selector; many keys, an even share for all."""
        one, other = by("query:room"), by("query:room")
        counts: Counter[Any] = Counter()
        for number in range(3000):
            head = request_head(f"/?room={number}")
            backend = one.select(BACKENDS, head)
            self.assertIs(other.select(BACKENDS, head), backend)
            counts[backend] += 1
        self.assertLess(chi_square(counts, dict.fromkeys(BACKENDS, 1.0)), limit(6))

    def test_no_key(self) -> None:
        """Takes turns, and does not fall on one backend."""
        selector = by("cookie:sid")
        counts = Counter([selector.select(BACKENDS, request_head()) for _ in range(60)])
        self.assertEqual(set(counts.values()), {10})

    def test_balance(self) -> None:
        """Everybody wants into one room: 1.5 times the average, and no more."""
        candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(4)])
        selector = by("query:room", balance=1.5)
        for _ in range(400):
            selector.select(candidates, request_head("/?room=1")).active += 1
        self.assertEqual(sorted([backend.active for backend in candidates])[1:], [100, 150, 150])

    def test_wrong_options(self) -> None:
        for options in ({}, {"by": "colour"}, {"by": "host", "balance": 1.0}, {"by": "host", "more": 1}):
            self.assertRaises(ValidationError, hashing.factory.options.model_validate, options)


class AddressHashTests(SelectorConformance, SynchronousTestCase):
    """By who asks."""

    def make_selector(self, *proxies: str, **options: Any) -> hashing.Hash:
        factory = address_hash.factory
        return factory.build(factory.options(**options), services(*proxies))

    def test_factory(self) -> None:
        verifyObject(IStrategyFactory, address_hash.factory)
        self.assertEqual(address_hash.factory.name, "address-hash")

    def test_same_client(self) -> None:
        """Whatever it asks for and from whichever port."""
        selector = self.make_selector()
        counts: Counter[Any] = Counter()
        for number in range(2000):
            host = f"198.51.{number >> 8}.{number & 255}"
            chosen = {
                selector.select_for(BACKENDS, request_head(f"/{port}"), Peer(host, port)) for port in (1, 2000, 60000)
            }
            self.assertEqual(len(chosen), 1)
            counts[chosen.pop()] += 1
        self.assertLess(chi_square(counts, dict.fromkeys(BACKENDS, 1.0)), limit(6))

    def test_behind_a_proxy(self) -> None:
        """Its word counts only where it is trusted."""
        peer = Peer("192.0.2.1", 1)
        heads = [request_head(fields=[("X-Forwarded-For", f"203.0.113.{number}")]) for number in range(50)]
        for proxies, least, most in ((), 1, 1), (("192.0.2.0/24",), 6, 6):
            selector = self.make_selector(*proxies)
            chosen = {selector.select_for(BACKENDS, head, peer) for head in heads}
            self.assertTrue(least <= len(chosen) <= most, (proxies, len(chosen)))
