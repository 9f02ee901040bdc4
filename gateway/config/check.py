"""What must hold between the objects of a configuration, and what is legal but will hurt.

Works on the model alone.  Each concern is a module of `gateway.config.checks`; rules are those that Application
Gateway enforces itself (reference: "Server-side validation rules", "Listener selection", "Path maps").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from gateway.config.checks import (
    addresses,
    certificates,
    destinations,
    distributions,
    error_pages,
    layer4,
    lints,
    listeners,
    path_maps,
    probes,
    redirects,
    references,
    rewrites,
    routing_maps,
    rules,
    settings,
    texts,
    tls,
)
from gateway.config.checks.findings import Finding
from gateway.config.draft import Draft, place_of
from gateway.config.model import Gateway
from gateway.config.tree import Place
from gateway.errors import Problem

__all__ = ["CHECKS", "check", "findings"]

CHECKS: Final[tuple[Callable[[Gateway], Iterable[Finding]], ...]] = (
    references.find,  # names that are there twice, and those that lead nowhere
    texts.find,  # hosts, paths, URLs and cookie names
    rules.find,  # one for each listener, priorities
    destinations.find,  # rules and maps lead to exactly one thing
    path_maps.find,
    routing_maps.find,  # and condition sets
    distributions.find,
    redirects.find,
    settings.find,
    probes.find,  # and passive health
    listeners.find,  # and how they share ports
    certificates.find,  # and trusted roots: absent ones
    tls.find,  # policies, profiles, authorities of clients
    rewrites.find,
    error_pages.find,
    layer4.find,  # plain TCP and TLS
    addresses.find,  # of trusted proxies and name servers
    listeners.find_idle,
    references.find_unused,
    lints.find,  # what is legal and will hurt
)
"""In the order in which problems of one line are shown."""


def check(gateway: Gateway) -> list[Problem]:
    """All problems of a configuration, with paths in the model's own (compact) spelling."""
    root = Draft(Place(""))
    return [place_of(root, item.location).problem(item.message, item.severity) for item in findings(gateway)]


def findings(gateway: Gateway, may_lack: Collection[str] = ()) -> list[Finding]:
    """All problems of a configuration, errors and warnings.

    ``may_lack``: ``listeners`` and ``rules``, where it is no error that there are none.
    """
    return [*(found for find in CHECKS for found in find(gateway)), *_lacking(gateway, may_lack)]


def _lacking(gateway: Gateway, may_lack: Collection[str]) -> Iterator[Finding]:
    lacking = next((kind for kind in ("listeners", "rules") if not getattr(gateway, kind)), None)
    if lacking is not None and lacking not in may_lack:
        message = f"there are no {lacking}, so nothing would be served; say '{lacking}: []' if that is meant"
        yield Finding((), message)
