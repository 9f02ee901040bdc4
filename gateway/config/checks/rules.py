"""Rules among each other: one for each listener, and their priorities. Where they lead: `destinations`."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding
from gateway.config.model import Gateway, Rule

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """Rules that cannot both be there."""
    yield from _owners(gateway)
    yield from _priorities(gateway)


def _owners(gateway: Gateway) -> Iterator[Finding]:
    listeners = {listener.name for listener in gateway.listeners}
    owners: dict[str, Rule] = {}
    for index, rule in enumerate(gateway.rules):
        owner = owners.setdefault(rule.listener, rule)
        if owner is not rule and rule.listener in listeners:
            message = f"listener {rule.listener!r} already belongs to rule {owner.name!r}; a listener has one rule"
            yield Finding(("rules", index, "listener"), message)


def _priorities(gateway: Gateway) -> Iterator[Finding]:
    owners: dict[int, Rule] = {}
    first = next((rule for rule in gateway.rules if rule.priority is not None), None)
    for index, rule in enumerate(gateway.rules):
        if rule.priority is not None:
            owner = owners.setdefault(rule.priority, rule)
            if owner is not rule:
                message = f"priority {rule.priority} is also that of rule {owner.name!r}; priorities are unique"
                yield Finding(("rules", index, "priority"), message)
        elif first is not None:
            yield Finding(
                ("rules", index),
                f"rule {rule.name!r} has no priority but rule {first.name!r} has; give one to all rules or to none",
            )
