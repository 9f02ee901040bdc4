"""Routing maps and their condition sets (reference §1.2)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import ConditionSet, Gateway, RoutingCondition, RoutingMap
from gateway.http.faults import TOKEN
from gateway.routing.patterns import Pattern, PatternError

__all__ = ["find"]

_NAMED = ("Header", "QueryString")
_LISTED = ("ClientIP", "Method")


def find(gateway: Gateway) -> Iterator[Finding]:
    """Conditions that cannot hold or mean nothing, and rules that cannot both be there."""
    for index, condition_set in enumerate(gateway.condition_sets):
        yield from _set(("condition_sets", index), condition_set)
    for index, routing_map in enumerate(gateway.routing_maps):
        yield from _map(("routing_maps", index), routing_map)


def _set(at: Location, condition_set: ConditionSet) -> Iterator[Finding]:
    if not condition_set.conditions:
        yield Finding((*at, "conditions"), f"condition set {condition_set.name!r} has no conditions")
    for index, condition in enumerate(condition_set.conditions):
        yield from _condition((*at, "conditions", index), condition)


def _condition(at: Location, condition: RoutingCondition) -> Iterator[Finding]:
    kind = condition.type
    if kind in _NAMED and not condition.name:
        what = "a field" if kind == "Header" else "a query parameter"
        yield Finding(at, f"a condition of type {kind} needs the name of {what}")
    elif kind not in _NAMED and condition.name:
        yield warning((*at, "name"), f"a condition of type {kind} has no name")
    elif kind == "Header" and TOKEN.fullmatch(condition.name or "") is None:
        yield Finding((*at, "name"), f"found {condition.name!r}, which cannot be the name of a field")
    if bool(condition.values) == (condition.matcher is not None):
        found = "both" if condition.values else "neither"
        yield Finding(at, f"a condition has {found} of 'values' and 'matcher'; give exactly one")
    if condition.matcher is not None:
        if kind in _LISTED:
            yield Finding((*at, "matcher"), f"a condition of type {kind} has no matcher; give 'values'")
        try:
            Pattern(condition.matcher.pattern, condition.matcher.ignore_case)
        except PatternError as error:
            yield Finding((*at, "matcher", "pattern"), f"found {condition.matcher.pattern[:80]!r}: {error}")
    for index, value in enumerate(condition.values):
        message = _value_problem(kind, value)
        if message:
            yield Finding((*at, "values", index), f"found {value[:80]!r}; {message}")


def _value_problem(kind: str, value: str) -> str:
    if kind == "ClientIP":
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            return "expected an address or a network such as 10.0.0.0/8"
    elif kind == "Method" and TOKEN.fullmatch(value) is None:
        return "this is no method"
    elif kind == "Path":
        if not value.startswith("/"):
            return "a path begins with '/'"
        if "*" in value[:-1] or "?" in value or "#" in value:
            return "'*' is allowed only as the last character, '?' and '#' not at all; a 'matcher' takes patterns"
    return ""


def _map(at: Location, routing_map: RoutingMap) -> Iterator[Finding]:
    priorities: dict[int, str] = {}
    names: set[str] = set()
    for index, rule in enumerate(routing_map.rules):
        here = (*at, "rules", index)
        if rule.priority in priorities:
            message = (
                f"priority {rule.priority} is also that of rule {priorities[rule.priority]!r}; priorities are unique"
            )
            yield Finding((*here, "priority"), message)
        priorities.setdefault(rule.priority, rule.name)
        if rule.name.casefold() in names:
            yield Finding((*here, "name"), f"rule {rule.name!r} is there twice in routing map {routing_map.name!r}")
        names.add(rule.name.casefold())
