"""What listeners do with requests, as objects: a `Route`, a `Redirection`, or one of these.

A decision is called with a head.  Where it needs the client's address, which a router does not know, the call gives a
stand-in that `Chooser`, a middleware, replaces; `resolve` with an address gives the result at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from zope.interface import implementer

from gateway.interfaces import IMiddleware
from gateway.routing.conditions import Conditions
from gateway.routing.distribution import Shares
from gateway.routing.paths import PathMap
from gateway.values import Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.values import Context, ResponseHead

__all__ = ["ByCondition", "ByPath", "Chooser", "ConditionRule", "Decision", "Shared", "resolve"]

Decision = Route | Callable[[RequestHead], "Route | Reply"]
"""What a listener does: a route that does not depend on the request, or a function that finds it."""


def resolve(decision: Decision, head: RequestHead, address: str) -> Route | Reply:
    """Where a request of a client goes."""
    if isinstance(decision, Route):
        return decision
    if isinstance(decision, (ByPath, ByCondition, Shared)):
        return decision.resolve(head, address)
    return decision(head)


class ByPath:
    """A path map. ``rules``: name, pattern and decision of each. `fill` it before use: its rules may refer to it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, rules: Sequence[tuple[str, str, Decision]], default: Decision) -> None:
        """Give it its rules."""
        self.rules = tuple(rules)
        self.default = default
        patterns = [(pattern, decision) for _, pattern, decision in rules]
        self.paths: PathMap[Decision] = PathMap(patterns, default, [name for name, _, _ in rules])
        self._find = self.paths.find

    def __call__(self, head: RequestHead) -> Route | Reply:  # HOT
        decision = self._find(head.target)
        if isinstance(decision, Route):
            return decision
        return decision(head)

    def resolve(self, head: RequestHead, address: str) -> Route | Reply:
        """With the client's address."""
        return resolve(self._find(head.target), head, address)


class ConditionRule(NamedTuple):
    """A rule of a routing map."""

    name: str
    conditions: Conditions
    decision: Decision


class ByCondition:
    """A routing map. ``rules``: in the order in which they are tried; ``chain``: what all its requests pass through."""

    def __init__(
        self, name: str, rules: Sequence[ConditionRule], default: Decision, chain: Sequence[IMiddleware] = ()
    ) -> None:
        self.name = name
        self.rules = tuple(rules)
        self.default = default
        about_client = any(rule.conditions.about_client for rule in rules)
        self._undecided = (*chain, Chooser(self)) if about_client else ()

    def __call__(self, head: RequestHead) -> Route | Reply:
        if self._undecided:
            return _stand_in(self.default, head, self._undecided)
        decision = self._first(head, "")
        return decision if isinstance(decision, Route) else decision(head)

    def resolve(self, head: RequestHead, address: str) -> Route | Reply:
        """With the client's address."""
        return resolve(self._first(head, address), head, address)

    def _first(self, head: RequestHead, address: str) -> Decision:
        for rule in self.rules:
            if rule.conditions.hold(head, address):
                return rule.decision
        return self.default


class Shared:
    """A distribution: one of several routes, which differ only in their pool. ``chain``: as for `ByCondition`."""

    def __init__(self, name: str, shares: Shares, chain: Sequence[IMiddleware] = ()) -> None:
        self.name = name
        self.shares = shares
        self._undecided = (*chain, Chooser(self)) if shares.by_address else ()

    def __call__(self, head: RequestHead) -> Route | Reply:
        if self._undecided:
            return _stand_in(self.shares.routes[0], head, self._undecided)
        return self.shares.choose("", head)

    def resolve(self, head: RequestHead, address: str) -> Route | Reply:
        """With the client's address."""
        return self.shares.choose(address, head)


def _stand_in(default: Decision, head: RequestHead, undecided: tuple[IMiddleware, ...]) -> Route | Reply:
    """The default, without its own rewrites and what belongs to its pool: they are not for what goes elsewhere."""
    found = default if isinstance(default, Route) else default(head)
    return found._replace(middleware=undecided)


@implementer(IMiddleware)
class Chooser:
    """Decides when the client's address is known. It comes last: what a listener asks for first has been asked."""

    traffic = frozenset(("http", "upgrade"))

    def __init__(self, decision: ByCondition | Shared) -> None:
        self._decision = decision

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """See `IMiddleware.request`."""
        where = self._decision.resolve(head, context.address)
        if isinstance(where, Reply):
            return where
        context.route = where
        return None

    def response(self, head: ResponseHead, context: Context) -> None:
        """See `IMiddleware.response`."""

    def body(self, head: ResponseHead, context: Context) -> None:
        """See `IMiddleware.body`."""
