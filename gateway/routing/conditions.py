"""Conditions of routing maps: what a request must be like (reference §1.2, ``advancedRoutingConditionSets``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway.routing.paths import PathMap
from gateway.routing.patterns import Pattern
from gateway.routing.readings import settled
from gateway.routing.variables import canonical, spelled

if TYPE_CHECKING:
    from gateway.config.model import ConditionSet, RoutingCondition
    from gateway.values import RequestHead

__all__ = ["Conditions"]

_Test = Callable[["RequestHead", str], bool]


class Conditions:
    """A condition set, ready for requests. ``about_client``: the client's address counts."""

    def __init__(self, condition_set: ConditionSet) -> None:
        self.name = condition_set.name
        self.about_client = any(condition.type == "ClientIP" for condition in condition_set.conditions)
        # What is about the path comes last: it refuses a path that it cannot be told of, if nothing else tells.
        in_order = sorted(condition_set.conditions, key=lambda condition: condition.type == "Path")
        self._tests = [(_test(condition), _words(condition)) for condition in in_order]

    def hold(self, head: RequestHead, address: str) -> bool:
        """Whether all of them hold for a request from a client's address. Raises `AmbiguousPath`."""
        return all(test(head, address) for test, _ in self._tests)

    def failing(self, head: RequestHead, address: str) -> str | None:
        """The first that does not hold, in words. For explanations."""
        return next((words for test, words in self._tests if not test(head, address)), None)


def _test(condition: RoutingCondition) -> _Test:
    if condition.type == "ClientIP":
        return _client(condition)
    if condition.type == "Method":
        methods = frozenset(value.upper() for value in condition.values)
        return lambda head, address: head.method.upper() in methods
    if condition.matcher is not None:
        return _by_pattern(condition)
    if condition.type == "Path":
        find = PathMap([(value, True) for value in condition.values], False).find
        return lambda head, address: find(head.target)
    wanted = frozenset(value.encode("utf-8", "surrogateescape").decode("latin-1") for value in condition.values)
    found = _found(condition)
    return lambda head, address: any(value in wanted for value in found(head))


def _by_pattern(condition: RoutingCondition) -> _Test:
    assert condition.matcher is not None
    pattern, negate = Pattern(condition.matcher.pattern, condition.matcher.ignore_case), condition.matcher.negate
    if condition.type == "Path":

        def matches(path: str) -> bool:
            return pattern.search(path) is not None

        def test(head: RequestHead, address: str) -> bool:
            found = matches(canonical(head.path))
            return settled(head.path, found, lambda reading: matches(spelled(reading))) is not negate

        return test
    found = _found(condition)
    return lambda head, address: any(pattern.search(value) is not None for value in found(head)) is not negate


def _found(condition: RoutingCondition) -> Callable[[RequestHead], Iterator[str]]:
    """The values that a condition is about: none where there is no such field or parameter."""
    name = condition.name or ""
    if condition.type == "Header":
        lower = name.lower()
        if lower == "host":
            return lambda head: iter((head.host,))
        return lambda head: iter((head.index[lower],)) if lower in head.index else iter(())
    return lambda head: _parameters(head.query, name)


def _parameters(query: str, wanted: str) -> Iterator[str]:
    """The values of a query parameter, decoded, one character for each byte."""
    wanted = wanted.encode("utf-8", "surrogateescape").decode("latin-1")
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if _decoded(name) == wanted:
            yield _decoded(value)


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1", "replace")).decode("latin-1")


def _client(condition: RoutingCondition) -> _Test:
    networks = [ip_network(value, strict=False) for value in condition.values]

    def test(head: RequestHead, address: str) -> bool:
        try:
            client = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        client = getattr(client, "ipv4_mapped", None) or client
        return any(client in network for network in networks)

    return test


def _words(condition: RoutingCondition) -> str:
    what = f"{condition.type} {condition.name}" if condition.name else condition.type
    if condition.matcher is not None:
        return f"{what} {'does not match' if condition.matcher.negate else 'matches'} {condition.matcher.pattern!r}"
    return f"{what} is {' or '.join(map(repr, condition.values))}"
