"""Distributions: the pools that they divide requests among (reference §1.2)."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.draft import Location
from gateway.config.model import Distribution, Gateway

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """Those without a pool, or with one twice."""
    for index, distribution in enumerate(gateway.distributions):
        yield from _distribution(("distributions", index), distribution)


def _distribution(at: Location, distribution: Distribution) -> Iterator[Finding]:
    if not distribution.targets:
        yield Finding((*at, "targets"), f"distribution {distribution.name!r} has no targets; requests need a pool")
    seen: set[str] = set()
    for index, target in enumerate(distribution.targets):
        if target.pool in seen:
            yield Finding((*at, "targets", index, "pool"), f"pool {target.pool!r} is there twice")
        seen.add(target.pool)
