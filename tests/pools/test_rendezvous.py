"""`gateway.pools.rendezvous`."""

from __future__ import annotations

from collections import Counter
from math import ceil
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from gateway.pools.rendezvous import Rendezvous
from gateway.testing import FakeBackend
from tests.pools.statistics import chi_square, limit

KEYS = [f"user-{number}" for number in range(10000)]


def backends(count: int, **others: int) -> tuple[FakeBackend, ...]:
    return tuple([FakeBackend(f"10.0.0.{number}", **others) for number in range(count)])


class RendezvousTests(SynchronousTestCase):
    """Where keys go."""

    def test_known(self) -> None:
        """The same in every process and on every machine: clients must not move when a gateway is restarted."""
        candidates = backends(5)
        found = "".join([Rendezvous().find(candidates, f"key{number}").host[-1] for number in range(10)])
        self.assertEqual(found, "0202240141")

    def test_even(self) -> None:
        for count in (2, 3, 10, 32):
            candidates = backends(count)
            find = Rendezvous().find
            counts = Counter([find(candidates, key) for key in KEYS])
            self.assertLess(chi_square(counts, dict.fromkeys(candidates, 1.0)), limit(count), count)

    def test_weights(self) -> None:
        candidates = tuple([FakeBackend(f"b{number}", weight=weight) for number, weight in enumerate((1, 2, 3, 10))])
        counts = Counter([Rendezvous().find(candidates, key) for key in KEYS])
        self.assertLess(chi_square(counts, {backend: backend.weight for backend in candidates}), limit(4))

    def test_one_leaves(self) -> None:
        """Only its own keys move, about 1/n of them, and evenly to all others; when it is back, they are too."""
        for count in (3, 10):
            candidates, find = backends(count), Rendezvous().find
            before = {key: find(candidates, key) for key in KEYS}
            gone, rest = candidates[1], (candidates[0], *candidates[2:])
            after = {key: find(rest, key) for key in KEYS}
            moved = [key for key in KEYS if after[key] is not before[key]]
            self.assertEqual({before[key] for key in moved}, {gone})
            self.assertLess(len(moved) / len(KEYS), 1 / count + 0.015)
            heirs = Counter([after[key] for key in moved])
            self.assertLess(chi_square(heirs, dict.fromkeys(rest, 1.0)), limit(len(rest)))
            self.assertEqual({key: find(candidates, key) for key in KEYS}, before)

    def test_weight_grows(self) -> None:
        """Keys only move to the one that has got more weight, not between others."""
        candidates = backends(5)
        find = Rendezvous().find
        before = {key: find(candidates, key) for key in KEYS}
        candidates[2].weight = 2
        changed = tuple(list(candidates))  # another tuple, as the pool makes one
        after = {key: find(changed, key) for key in KEYS}
        moved = {after[key] for key in KEYS if after[key] is not before[key]}
        self.assertEqual(moved, {candidates[2]})
        share = sum(backend is candidates[2] for backend in after.values()) / len(KEYS)
        self.assertLess(abs(share - 2 / 6), 0.02)

    def test_order_does_not_matter(self) -> None:
        candidates = backends(6)
        one, other = Rendezvous().find, Rendezvous().find
        for key in KEYS[:500]:
            self.assertIs(one(candidates, key), other(candidates[::-1], key))


class BoundedTests(SynchronousTestCase):
    """With bounded load."""

    def test_bound(self) -> None:
        """Sockets of a few very popular keys, that stay: nobody ever has more than c times the average, rounded up."""
        random = Random(3)
        for balance in (1.1, 1.25, 2.0):
            candidates, find = backends(8), Rendezvous(balance).find
            for number in range(1, 801):
                find(candidates, random.choice(KEYS[:3])).active += 1
                self.assertLessEqual(max(backend.active for backend in candidates), ceil(balance * number / 8))

    def test_bound_by_weight(self) -> None:
        candidates = tuple([FakeBackend(f"b{number}", weight=weight) for number, weight in enumerate((1, 2, 5))])
        find = Rendezvous(1.2).find
        for number in range(1, 401):
            find(candidates, "the same").active += 1
            for backend in candidates:
                self.assertLessEqual(backend.active, ceil(1.2 * number * backend.weight / 8))

    def test_stays_when_there_is_room(self) -> None:
        """With loads below the bound the key decides alone."""
        candidates = backends(5, active=10)
        free, bounded = Rendezvous().find, Rendezvous(1.25).find
        for key in KEYS[:500]:
            self.assertIs(bounded(candidates, key), free(candidates, key))

    def test_overflow_is_consistent(self) -> None:
        """What is too much goes to the one that has the key when the first is gone."""
        candidates, find = backends(5), Rendezvous(1.25).find
        first = find(candidates, "key")
        second = find(tuple([backend for backend in candidates if backend is not first]), "key")
        first.active = 3
        self.assertIs(find(candidates, "key"), second)

    @given(
        st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=8),
        st.floats(1.0001, 3),
        st.text(max_size=20),
    )
    def test_always_one(self, made: list[tuple[int, int]], balance: float, key: str) -> None:
        """Whatever the loads are, the one that is chosen has room."""
        candidates = tuple(
            [FakeBackend(f"b{number}", weight=weight, active=active) for number, (weight, active) in enumerate(made)]
        )
        chosen = Rendezvous(balance).find(candidates, key)
        weights, total = sum(weight for weight, _ in made), sum(active for _, active in made) + 1
        self.assertLessEqual(chosen.active + 1, ceil(balance * total * chosen.weight / weights))
