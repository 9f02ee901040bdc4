"""Rendezvous hashing: every candidate throws a die that the key and its name decide; the highest one has the key.

When a candidate leaves, only its own keys move, to wherever they would have gone without it; when it comes back they
return (Thaler and Ravishankar, 1998).  Nothing is kept, and every gateway with the same members decides the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import ceil, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.interfaces import IBackend

__all__ = ["Rendezvous"]

_MASK = (1 << 64) - 1
_MOST_KNOWN = 4096
_LONGEST_KNOWN = 128


class Rendezvous:
    """Finds the backend of a key.

    ``balance``: none has more than this many times its fair share of what is in progress, and what would be too much
    goes to the next in line for the key ("bounded loads", Mirrokni et al., 2016); ``None``: no bound.  Keys of late are
    remembered, so many of them and so long ones as clients cannot turn into a burden.
    """

    def __init__(self, balance: float | None = None) -> None:
        self._balance = balance
        self._seen: tuple[IBackend, ...] = ()
        self._dice: list[tuple[int, IBackend]] = []
        self._score: Callable[[int, IBackend], float] = _plain
        self._known: dict[str, IBackend] = {}

    def find(self, candidates: tuple[IBackend, ...], key: str) -> IBackend:
        """The candidate for ``key``. HOT; for a new key, time grows with the number of candidates."""
        if candidates is not self._seen:
            self._look(candidates)
        chosen = self._known.get(key)
        if chosen is None:
            chosen = max(self._scores(key), key=_first)[1]
            if len(key) <= _LONGEST_KNOWN:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = chosen
        return chosen if self._balance is None else self._bounded(chosen, key, candidates, self._balance)

    def _look(self, candidates: tuple[IBackend, ...]) -> None:
        self._seen = candidates
        self._known = {}
        self._dice = [(_number(backend.name), backend) for backend in candidates]
        self._score = _plain if len({backend.weight for backend in candidates}) == 1 else _weighted

    def _scores(self, key: str) -> list[tuple[float, IBackend]]:
        number, score = _number(key), self._score
        return [(score(number ^ die, backend), backend) for die, backend in self._dice]

    def _bounded(
        self, chosen: IBackend, key: str, candidates: Sequence[IBackend], balance: float
    ) -> IBackend:
        wanted = balance * (sum([backend.active for backend in candidates]) + 1)
        weights = sum([backend.weight for backend in candidates])
        if chosen.active < ceil(wanted * chosen.weight / weights):
            return chosen
        scores = sorted(self._scores(key), key=_first, reverse=True)
        # The bounds add up to more than what is in progress, so there is one with room.
        return next(
            (backend for _, backend in scores if backend.active < ceil(wanted * backend.weight / weights)), chosen
        )


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(number: int) -> int:
    """The finalizer of SplitMix64: each bit of the input changes half of the output."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def _plain(number: int, backend: IBackend) -> float:
    return _mixed(number)


def _weighted(number: int, backend: IBackend) -> float:
    """Shares in proportion to weights: the die is a probability, between 0 and 1 without either."""
    weight: float = backend.weight
    return -weight / log((_mixed(number) >> 11 | 1) * 2.0**-53)


def _first(pair: tuple[float, IBackend]) -> float:
    return pair[0]
