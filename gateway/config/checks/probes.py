"""Probes, and what passive health counts: status codes, and times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import Gateway

__all__ = ["find"]

_CODES = re.compile(r"\s*([1-9]\d\d)\s*(?:-\s*([1-9]\d\d)\s*)?\Z")


def find(gateway: Gateway) -> Iterator[Finding]:
    """Codes that are none, and time limits that are too long."""
    for index, probe in enumerate(gateway.probes):
        yield from _codes(("probes", index, "match", "status_codes"), probe.match.status_codes)
        if probe.timeout > probe.interval:
            yield warning(
                ("probes", index, "timeout"),
                f"the timeout of {probe.timeout:g} s is longer than the interval of {probe.interval:g} s",
            )
    for index, pool in enumerate(gateway.pools):
        if pool.passive_health is not None:
            codes = pool.passive_health.server_error_codes
            yield from _codes(("pools", index, "passive_health", "server_error_codes"), codes)


def _codes(at: Location, codes: Sequence[str]) -> Iterator[Finding]:
    for number, code in enumerate(codes):
        match = _CODES.match(code)
        if match is None or (match.group(2) and match.group(2) < match.group(1)):
            message = f"found {code!r}; expected a status code such as 200 or a range such as 200-399"
            yield Finding((*at, number), message)
