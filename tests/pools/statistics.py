"""How even is even: Pearson's statistic with a bound that a fair selector exceeds about once in ten thousand tests.

The random numbers of the tests are seeded, so what holds once holds always.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

__all__ = ["chi_square", "limit"]


def chi_square(counts: Mapping[Any, int], shares: Mapping[Any, float]) -> float:
    """Of how often each thing was seen, and what share of the whole it should have."""
    unit = sum(counts.values()) / sum(shares.values())
    return sum((counts.get(key, 0) - unit * part) ** 2 / (unit * part) for key, part in shares.items())


def limit(kinds: int) -> float:
    """The 99.99 % quantile for this many kinds of things (Wilson and Hilferty, 1931)."""
    freedom = kinds - 1
    return float(freedom * (1 - 2 / (9 * freedom) + 3.719 * sqrt(2 / (9 * freedom))) ** 3)
