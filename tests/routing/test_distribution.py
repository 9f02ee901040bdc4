"""`gateway.routing.distribution`."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings
from gateway.routing.distribution import Shares
from gateway.testing import FakeBackend, FakePool
from gateway.values import RequestHead, Route

SETTINGS = BackendSettings(name="s")
HEAD = RequestHead("GET", "/", "1.1", "a", (), {})


def routes(*members: int) -> list[Route]:
    """A route for each pool, with so many members."""
    made = []
    for number, count in enumerate(members):
        backends = tuple(FakeBackend(f"10.0.{number}.{member}", 80) for member in range(count))
        pool = FakePool(f"pool{number}", SETTINGS)
        pool.backends = backends
        made.append(Route("web", "rule", pool, SETTINGS))
    return made


def counted(shares: Shares, number: int = 400) -> list[int]:
    chosen = Counter(shares.choose(f"10.{index >> 8}.{index & 255}.1", HEAD).pool.name for index in range(number))
    return [chosen[route.pool.name] for route in shares.routes]


class SharesTests(SynchronousTestCase):
    """Every algorithm."""

    def test_in_turn(self) -> None:
        """In proportion to weight and members, and evenly mixed."""
        shares = Shares("RoundRobin", routes(1, 1), [3, 1])
        self.assertEqual([shares.choose("", HEAD).pool.name[-1] for _ in range(8)], list("00100010"))
        self.assertEqual(counted(Shares("RoundRobin", routes(2, 1), [1, 2])), [200, 200])
        self.assertEqual(counted(Shares("RoundRobin", routes(3, 1), [1, 1])), [300, 100])

    def test_only_healthy(self) -> None:
        """A pool that is down gets nothing, unless all are."""
        shares = Shares("RoundRobin", routes(1, 1), [3, 1])
        (backend,) = shares.routes[0].pool.backends
        backend.healthy = False
        self.assertEqual(counted(shares, 10), [0, 10])
        (other,) = shares.routes[1].pool.backends
        other.healthy = False
        self.assertEqual(counted(shares), [300, 100])
        backend.healthy = other.healthy = True
        self.assertEqual(counted(shares), [300, 100])

    def test_empty_pools(self) -> None:
        self.assertEqual(counted(Shares("RoundRobin", routes(0, 1), [1, 1]), 10), [0, 10])
        self.assertEqual(sum(counted(Shares("IpHash", routes(0, 0), [1, 1]), 10)), 10)

    def test_least_busy(self) -> None:
        """Compared for their weights; in turn where they are equal."""
        shares = Shares("LeastConnections", routes(1, 1), [3, 1])
        first, second = (route.pool.backends[0] for route in shares.routes)
        self.assertEqual(counted(shares), [300, 100])
        for one, other, expected in ((3, 0, "pool1"), (2, 1, "pool0"), (4, 1, "pool1")):
            first.active, second.active = one, other
            self.assertEqual(shares.choose("", HEAD).pool.name, expected)
        second.healthy = False
        self.assertEqual(shares.choose("", HEAD).pool.name, "pool0")

    def test_by_address(self) -> None:
        """Always the same pool; roughly by weight; who is not of a pool that goes stays where they are."""
        shares = Shares("IpHash", routes(1, 1, 1), [2, 1, 1])
        self.assertTrue(shares.by_address)
        addresses = [f"10.{number >> 8}.{number & 255}.9" for number in range(1000)]
        before = [shares.choose(address, HEAD).pool.name for address in addresses]
        self.assertEqual(before, [shares.choose(address, HEAD).pool.name for address in addresses])
        share = Counter(before)["pool0"]
        self.assertTrue(430 < share < 570, share)
        shares.routes[2].pool.backends[0].healthy = False
        after = [shares.choose(address, HEAD).pool.name for address in addresses]
        self.assertEqual({one for one, other in zip(before, after, strict=True) if one != other}, {"pool2"})

    def test_one(self) -> None:
        shares = Shares("RoundRobin", routes(0), [1])
        self.assertIs(shares.choose("", HEAD), shares.routes[0])

    def test_returning(self) -> None:
        """Who comes back to one of the pools gets it, whatever the algorithm; where it may not be chosen, the next."""
        for algorithm in ("RoundRobin", "LeastConnections", "IpHash"):
            made = routes(1, 1, 1)
            made[1].pool.returning = lambda head: "cookie" in head.index
            made[2].pool.returning = lambda head: True
            shares = Shares(algorithm, made[:2], [5, 1])
            known = HEAD._replace(index={"cookie": "x"})
            self.assertEqual({shares.choose("10.0.0.1", known).pool.name for _ in range(9)}, {"pool1"})
            self.assertGreater(counted(shares)[0], 250)
            self.assertEqual(Shares(algorithm, made, [5, 1, 1]).choose("", HEAD).pool.name, "pool2")
