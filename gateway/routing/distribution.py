"""How pools share requests (reference §1.2, ``loadDistributionPolicies``).

The weight is that of each member: a pool counts for its weight times its healthy members, so that a pool that is down
gets nothing while others live.  A client that comes back to one of the pools with an affinity cookie gets that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.values import RequestHead, Route

__all__ = ["Shares"]


class Shares:
    """Chooses one of ``routes``; ``weights`` in the same order. ``by_address``: the client's address decides."""

    def __init__(self, algorithm: str, routes: Sequence[Route], weights: Sequence[int]) -> None:
        self.algorithm = algorithm
        self.routes = tuple(routes)
        self.by_address = algorithm == "IpHash"
        self._weights = tuple(weights)
        self._least = algorithm == "LeastConnections"
        self._credit = [0.0] * len(self.routes)
        self._sticky = tuple([route for route in self.routes if route.pool.returning is not None])

    def choose(self, address: str, head: RequestHead) -> Route:
        """The route for a request, of a client's address."""
        if len(self.routes) == 1:
            return self.routes[0]
        for route in self._sticky:
            if route.pool.returning(head):
                return route
        present = self.present()
        if self.by_address:
            index = self._by_address(present, address)
        elif self._least:
            index = self._least_busy(present)
        else:
            index = self._in_turn(present)
        return self.routes[index]

    def present(self) -> list[int]:
        """What each route counts for now; as if all members were healthy where none is."""
        counts = [sum([backend.healthy for backend in route.pool.backends]) for route in self.routes]
        if not any(counts):
            counts = [len(route.pool.backends) or 1 for route in self.routes]
        return [weight * count for weight, count in zip(self._weights, counts, strict=True)]

    def _in_turn(self, present: list[int]) -> int:
        """Smooth weighted round robin: each earns its weight, the richest is taken and pays for all."""
        credit = self._credit
        total = sum(present)
        best = -1
        for index, weight in enumerate(present):
            if not weight:
                credit[index] = 0.0
                continue
            credit[index] += weight
            if best < 0 or credit[index] > credit[best]:
                best = index
        credit[best] -= total
        return best

    def _least_busy(self, present: list[int]) -> int:
        busy = [
            (sum([backend.active for backend in route.pool.backends]) / weight, index)
            for index, (route, weight) in enumerate(zip(self.routes, present, strict=True))
            if weight
        ]
        lightest = min(busy)[0]
        tied = [index for load, index in busy if load == lightest]
        if len(tied) == 1:
            return tied[0]
        return self._in_turn([weight if index in tied else 0 for index, weight in enumerate(present)])

    def _by_address(self, present: list[int], address: str) -> int:
        """Weighted rendezvous hashing: when a pool goes, only its own clients move."""

        def score(index: int) -> float:
            name = self.routes[index].pool.name
            digest = blake2b(f"{name}\0{address}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
            return -present[index] / log((int.from_bytes(digest, "big") + 1) / ((1 << 64) + 2))

        return max((index for index, weight in enumerate(present) if weight), key=score)
