"""Hosts, paths, URLs and cookie names of a model, which end up in heads and handshakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.config.checks.findings import Finding
from gateway.config.draft import Location
from gateway.config.hosts import host_problem as pattern_problem
from gateway.config.model import Gateway
from gateway.config.texts import (
    cookie_problem,
    host_port_problem,
    host_problem,
    is_address,
    path_problem,
    url_problem,
)
from gateway.config.tree import show

__all__ = ["find"]

_Check = Callable[[str], str | None]
_CHECKS: dict[str, dict[str, _Check]] = {
    "settings": {
        "host_name": host_port_problem,
        "sni_name": host_problem,
        "path": path_problem,
        "affinity_cookie_name": cookie_problem,
    },
    "probes": {"host": host_port_problem, "path": lambda path: path_problem(path, query=True)},
    "redirects": {"target_url": url_problem},
    "listeners": {"address": lambda text: None if not text or is_address(text) else _ADDRESS},
}
_ADDRESS = "expected an address such as 127.0.0.1, or nothing"


def find(gateway: Gateway) -> Iterator[Finding]:
    """What is wrong with each of them."""
    for kind, checks in _CHECKS.items():
        for index, item in enumerate(getattr(gateway, kind)):
            for attribute, check in checks.items():
                yield from _found((kind, index, attribute), getattr(item, attribute), check)
    for index, listener in enumerate(gateway.listeners):
        for number, host in enumerate(listener.host_names):
            yield from _found(("listeners", index, "host_names", number), host, pattern_problem)
    for index, pool in enumerate(gateway.pools):
        for number, member in enumerate(pool.members):
            for attribute in ("host", "connect_host"):
                yield from _found(
                    ("pools", index, "members", number, attribute), getattr(member, attribute), host_problem
                )


def _found(location: Location, text: str | None, check: _Check) -> Iterator[Finding]:
    problem = check(text) if text is not None else None
    if problem:
        yield Finding(location, f"found {show(text)}; {problem}")
