"""Several pages of metrics as one."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["OWN", "counters_of", "merged"]

OWN = frozenset(
    {
        "gateway_backend_up", "gateway_pool_healthy_backends", "gateway_pool_serving_backends",
        "gateway_backend_active", "gateway_backend_ejected", "gateway_backend_ejections_total",
        "gateway_reloads_total", "gateway_last_reload_good", "gateway_last_reload_timestamp_seconds",
        "gateway_last_reload_step_seconds",
    }
)  # fmt: skip
"""Families that one process knows for all, so that they must not be added up."""


def merged(own: str, others: Iterable[str]) -> str:
    """The exposition ``own`` with the samples of ``others`` added to its own, except those of `OWN`."""
    families: dict[str, list[str]] = {}
    samples: dict[str, dict[str, float]] = {}
    for page in (own, *others):
        for family, heads, found in _families(page):
            families.setdefault(family, heads)
            sums = samples.setdefault(family, {})
            if page is own or family not in OWN:
                for name, value in found:
                    sums[name] = sums.get(name, 0) + value
    lines: list[str] = []
    for family, heads in families.items():
        lines += heads
        lines += [f"{name} {_number(value)}" for name, value in samples[family].items()]
    return "\n".join([*lines, ""])


def counters_of(page: str) -> str:
    """The part of a page that must not go backwards when its process is gone: counters and histograms."""
    lines: list[str] = []
    for _, heads, found in _families(page):
        if not heads[-1].endswith(" gauge"):
            lines += [*heads, *(f"{name} {_number(value)}" for name, value in found)]
    return "\n".join([*lines, ""])


def _families(page: str) -> Iterable[tuple[str, list[str], list[tuple[str, float]]]]:
    """Name, HELP and TYPE lines, and samples (name with labels, value) of each family."""
    name = ""
    heads: list[str] = []
    found: list[tuple[str, float]] = []
    for line in page.splitlines():
        if line.startswith("# HELP "):
            if name:
                yield name, heads, found
            name, heads, found = line.split(" ", 3)[2], [line], []
        elif line.startswith("#"):
            heads.append(line)
        else:
            sample, _, value = line.rpartition(" ")
            found.append((sample, float(value)))
    if name:
        yield name, heads, found


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
