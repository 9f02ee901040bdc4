"""Routers of others at work: the router of a rule, and one that replaces the table of a whole gateway.

What they return is checked, for it is sent on: a route has to keep what its rule lets requests pass through, and a
reply must not have line breaks in its fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import GatewayError, NoRoute, PluginTimeout
from gateway.http.changes import checked_reply
from gateway.interfaces import IPool, IRouter
from gateway.strategies.containment import as_exception
from gateway.values import NeedsAddress, Reply, RequestHead, Route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.model import Rule
    from gateway.interfaces import IMiddleware
    from gateway.strategies.containment import Containment

__all__ = ["PATIENCE", "ContainedRouter", "Otherwise", "RouterMaker", "Targets", "nowhere"]

PATIENCE = 30.0
"""Seconds that a router may wait for somebody, without ``limits.middlewareTimeout``."""

RouterMaker = Callable[["Rule", "Sequence[IMiddleware]", "Callable[..., Route]", "Callable[[RequestHead], Any]"], Any]
"""Makes what decides for a rule with a router, of: the rule, what all its requests pass through, a function that makes
a `Route` of the names of pool and settings, a name and what matched, and what the rule does without a router."""


@implementer(IRouter)
class ContainedRouter:
    """Asks ``router`` (`IRouter` or `IAsyncRouter`), and passes on only what may be done.

    ``chain`` is the middleware that each of its routes has to begin with, and that its replies pass through.  Called
    with a head alone it asks for ``listener``.  ``patience`` is the time that the exchange waits, in seconds of
    ``now``.
    """

    def __init__(
        self,
        router: Any,
        contained: Containment,
        chain: Sequence[IMiddleware] = (),
        listener: str = "",
        patience: float = PATIENCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = router
        self._contained = contained
        self._ask = contained.guard(contained.measured(router.route))
        self._chain = tuple(chain)
        self._listener = listener
        self._patience = patience
        self._now = now

    def __call__(self, head: RequestHead) -> Any:
        return self.route(head, self._listener)

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IRouter.route` and `IAsyncRouter.route`."""
        return self._asked(self._ask, head, listener)

    def _asked(self, ask: Callable[..., Any], *args: Any) -> Any:
        """What ``ask`` gives. A `GatewayError` that it raises is its answer."""
        try:
            where = ask(*args)
            if iscoroutine(where):
                where = Deferred.fromCoroutine(where)
            return self._waiting(where) if isinstance(where, Deferred) else self._checked(where)
        except GatewayError:
            raise
        except Exception as error:
            raise self._contained.failed(error) from error

    def _checked(self, where: Any) -> Any:
        if isinstance(where, Route):
            self._check_route(where)
        elif isinstance(where, Reply):
            where = checked_reply(where)
            if not where.middleware:
                where = where._replace(middleware=self._chain)
        elif isinstance(where, NeedsAddress):
            decide = self._contained.measured(where.decide)
            return NeedsAddress(partial(self._asked, decide))
        else:
            raise TypeError(f"route() returned {type(where).__name__}, not a Route or a Reply")
        if self._contained.run:
            self._contained.succeeded()
        return where

    def _check_route(self, route: Route) -> None:
        if not IPool.providedBy(route.pool) or route.settings is not route.pool.settings:
            raise ValueError("route() returned a Route whose pool and settings do not belong together")
        if self._chain:
            passed = route.middleware[: len(self._chain)]
            if len(passed) < len(self._chain) or any([a is not b for a, b in zip(passed, self._chain, strict=True)]):
                raise ValueError("route() returned a Route that goes round the rule's middleware; take one of target()")

    def _waiting(self, awaited: Deferred[Any]) -> Deferred[Any]:
        """What the exchange waits for. What comes of ``awaited`` when it has been given up is nobody's failure."""
        began, given_up = self._now(), False

        def give_up(_: object) -> None:
            nonlocal given_up
            given_up = True
            waited = self._now() - began
            if waited >= self._patience:  # else the client has left
                self._contained.failed(PluginTimeout(f"it had no answer after {waited:.1f} s"))
            awaited.cancel()

        def arrived(where: Any) -> None:
            if given_up:
                return
            try:
                where = self._checked(where)
            except Exception as error:
                where = Failure(self._contained.failed(error))
            asked.callback(where)

        def failed(failure: Failure) -> None:
            if given_up:
                return
            error = failure.value
            if not isinstance(error, GatewayError):
                failure = Failure(self._contained.failed(as_exception(error)))
            asked.errback(failure)

        asked: Deferred[Any] = Deferred(give_up)
        awaited.addCallbacks(arrived, failed)
        return asked


class Targets:
    """The ``target`` of a rule's router, see `gateway.services.Services`.

    ``names`` are those of all pools and of all settings; ``make`` is what a `RouterMaker` gets; ``pool`` makes sure
    that there is a pool for a pair of names.  ``closed``: the router has been built.
    """

    def __init__(
        self,
        rule: Rule,
        names: tuple[Sequence[str], Sequence[str]],
        make: Callable[..., Route],
        pool: Callable[[str, str], object],
    ) -> None:
        self.closed = False
        self._rule = rule
        self._names = names
        self._make = make
        self._pool = pool
        self._made: dict[tuple[str, str, str, str], Route] = {}

    def __call__(self, pool: str, settings: str | None = None, *, matched: str = "", name: str = "") -> Route:
        if settings is None:
            settings = self._rule.settings
            if settings is None:
                raise ValueError(f"pool {pool!r} needs settings: name some, or give some to rule {self._rule.name!r}")
        key = pool, settings, matched, name
        route = self._made.get(key)
        if route is None:
            for word, wanted, names in (("pool", pool, self._names[0]), ("settings", settings, self._names[1])):
                if wanted not in names:
                    known = ", ".join(sorted(names)[:12])
                    article = "are no" if word == "settings" else "is no"
                    raise ValueError(f"there {article} {word} {wanted!r}; there are: {known or 'none'}")
            if self.closed:
                raise ValueError(f"pool {pool!r} was not asked for with these words when the router was built")
            self._pool(pool, settings)
            route = self._made[key] = self._make(pool, settings, name, matched)
        return route


@implementer(IRouter)
class Otherwise:
    """A router that leaves everything to its rule."""

    def __init__(self, decide: Callable[[RequestHead], Any]) -> None:
        self._decide = decide

    def route(self, head: RequestHead, listener: str) -> Any:
        """See `IRouter.route`."""
        return self._decide(head)


def nowhere(rule: Rule) -> Callable[[RequestHead], Any]:
    """What a rule does that has nothing but its router."""

    def decide(head: RequestHead) -> Any:
        raise NoRoute(f"the router of rule {rule.name!r} has no answer for this request, and the rule no pool")

    return decide
