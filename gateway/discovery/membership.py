"""Who belongs to which pool, while traffic flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.config.model import Member
from gateway.strategies.containment import Containment, as_exception

if TYPE_CHECKING:
    from gateway.interfaces import IDiscovery
    from gateway.pools.pool import Pool

__all__ = ["MOST_MEMBERS", "Membership", "believed"]

MOST_MEMBERS = 5000
"""Of one pool. A discovery that finds more is not believed."""

_log = Logger("gateway.discovery")


class Membership:
    """Starts the discoveries and passes on what they find.

    ``discoveries`` by pool name; ``listed``: the members that the configuration lists, which belong to the pool
    whatever is found; ``pools`` are asked for at each change, and ``change(pool, members)`` makes it.
    """

    def __init__(
        self,
        discoveries: Mapping[str, IDiscovery],
        listed: Mapping[str, Iterable[Member]],
        pools: Callable[[], Iterable[Pool]],
        change: Callable[[Pool, tuple[Member, ...]], None],
    ) -> None:
        self._discoveries = discoveries
        self._listed = {name: tuple(members) for name, members in listed.items()}
        self._pools = pools
        self._change = change
        self._known: dict[str, tuple[Member, ...]] = {}
        self._waiting: dict[str, Deferred[Any]] = {}
        self._running = False

    def start(self) -> None:
        """Start them all. One that fails to start costs nothing: its pool keeps the members that are listed."""
        self._running = True
        for name in self._discoveries:
            self._start(name)

    def _start(self, name: str) -> None:
        discovery = self._discoveries[name]
        first: Deferred[Any] = maybeDeferred(_begun, discovery, partial(self._found, name, discovery))
        self._waiting[name] = first
        first.addErrback(self._failed, name, discovery)
        first.addBoth(self._attempted, name, first)

    def members(self, pool: str) -> tuple[Member, ...]:
        """Who belongs to a pool: the members that are listed, and those that its discovery has found last."""
        return (*self._listed.get(pool, ()), *self._known.get(pool, ()))

    def change(self, discoveries: Mapping[str, IDiscovery], listed: Mapping[str, Iterable[Member]]) -> None:
        """Go on with others; those that are the same as before are not disturbed.

        What a discovery has found stays until the one that takes its place has found something.  Nobody is told of
        the members that change by this: ask `members`.
        """
        before, self._discoveries = self._discoveries, dict(discoveries)
        self._listed = {name: tuple(members) for name, members in listed.items()}
        self._known = {name: found for name, found in self._known.items() if name in discoveries}
        for name, discovery in before.items():
            if discoveries.get(name) is not discovery and self._running:
                self._waiting.pop(name, None)
                maybeDeferred(discovery.stop).addErrback(_not_stopped)
        for name, discovery in discoveries.items():
            if before.get(name) is not discovery and self._running:
                self._start(name)

    def stop(self) -> list[tuple[str, Deferred[Any]]]:
        """Stop them all; nothing changes any more. What is done, and a Deferred that fires when it has been."""
        self._running = False
        return [
            (f"stop() of {self._account(name).subject}", maybeDeferred(discovery.stop).addErrback(_not_stopped))
            for name, discovery in self._discoveries.items()
        ]

    @property
    def waiting(self) -> list[str]:
        """Names of the pools whose discovery has not made its first attempt yet."""
        return sorted(self._waiting)

    def when_ready(self) -> Deferred[None]:
        """Fires when every discovery has made its first attempt, whatever came of it."""
        waiting = []
        for first in self._waiting.values():
            seen: Deferred[None] = Deferred()
            first.addBoth(seen.callback)
            waiting.append(seen)
        return DeferredList(waiting).addCallback(lambda _: None)

    def _attempted(self, _: Any, name: str, first: Deferred[Any]) -> None:
        if self._waiting.get(name) is first:
            del self._waiting[name]

    def _failed(self, failure: Failure, name: str, discovery: IDiscovery) -> None:
        if self._is_current(name, discovery):
            self._account(name).failed(as_exception(failure.value))

    def _is_current(self, name: str, discovery: IDiscovery) -> bool:
        return self._running and self._discoveries.get(name) is discovery

    def _found(self, name: str, discovery: IDiscovery, members: Iterable[Member]) -> None:
        """Called by a discovery. What it raises goes to nobody: it would break the discovery's own timer."""
        if not self._is_current(name, discovery):
            return
        contained = self._account(name)
        try:
            self._known[name] = believed(members)
            for pool in [pool for pool in self._pools() if pool.name == name]:
                self._change(pool, self.members(name))
        except BaseException as error:  # what it gives may be a generator of its own
            contained.failed(as_exception(error))
        else:
            contained.succeeded()

    def _account(self, name: str) -> Containment:
        """The account of a discovery. One that is switched off is still heard: what it finds may not be said twice."""
        discovery = self._discoveries[name]
        found: Containment | None = getattr(discovery, "contained", None)
        return found or Containment("discovery", type(discovery).__name__, f"pool {name!r}")


def believed(members: object) -> tuple[Member, ...]:
    """What a discovery has found, if it can be believed: raises ``TypeError`` or ``ValueError`` where it cannot."""
    # A Deferred is an iterator, which gives itself until it has fired.
    if isinstance(members, Deferred) or not isinstance(members, Iterable):
        kind = type(members).__name__
        raise TypeError(f"found() was called with a {kind}: wait for the members, and call it with a list of them")
    found = tuple(islice(members, MOST_MEMBERS + 1))
    wrong = next((type(member).__name__ for member in found if not isinstance(member, Member)), None)
    if wrong is not None:
        raise TypeError(f"found {wrong}, not a gateway.config.model.Member")
    if len(found) > MOST_MEMBERS:
        raise ValueError(f"found more than {MOST_MEMBERS} members; so many are not believed")
    return found


def _begun(discovery: IDiscovery, found: Callable[[Iterable[Member]], None]) -> Deferred[Any] | None:
    """What `IDiscovery.start` returns, if that is something that it may return."""
    first = discovery.start(found)
    if first is None or isinstance(first, Deferred):
        return first
    raise TypeError(f"start() returned {type(first).__name__}, not None or a Deferred")


def _not_stopped(failure: Failure) -> None:
    _log.failure("a discovery could not be stopped", failure)
