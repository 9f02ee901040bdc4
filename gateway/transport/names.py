"""Names of backends: asked for a few times a minute and not once for each connection, and not forgotten in trouble.

The system's resolver knows what no name server does (``/etc/hosts``, search domains), but tells no TTL.  It heeds TTLs
itself, so it is asked again after `FRESH_SECONDS`, when somebody wants to connect.  While it does not answer, or finds
nothing, the last good addresses are used: a backend must stay reachable when a name server is down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import directlyProvides, implementer, providedBy

from gateway.transport.deadlines import steady

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

__all__ = ["FRESH_SECONDS", "Names", "Reactor"]

FRESH_SECONDS = 5.0
"""For how long addresses are used without asking again."""

_PATIENCE = 1.0
"""For how long somebody waits for the resolver where there are addresses from before."""

_MOST_NAMES = 10_000
_log = Logger("gateway.names")


class Reactor:
    """A reactor with another resolver, for endpoints that look for one there."""

    def __init__(self, reactor: Any, names: Names) -> None:
        self._reactor = reactor
        self.nameResolver = names
        directlyProvides(self, IReactorPluggableNameResolver, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class _Name:
    """What is known of one name.

    ``answered``: when the resolver was last done with it; ``failing``: without result, or not in time; ``timer`` for
    that.  ``turn`` moves with each who was told, so that connections are spread over the addresses.
    """

    __slots__ = ("addresses", "answered", "asking", "failing", "host", "timer", "turn", "waiting")

    def __init__(self, host: str) -> None:
        self.host = host
        self.addresses: tuple[IAddress, ...] = ()
        self.answered = float("-inf")
        self.asking = False
        self.failing = False
        self.timer: Any = None
        self.turn = 0
        self.waiting: list[_Waiting] = []

    def tell(self) -> None:
        """Tell those that wait."""
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.tell(self.turned())

    def turned(self) -> Sequence[IAddress]:
        """The addresses, those of the family that is preferred turned by one each time."""
        addresses = self.addresses
        kinds = [type(address) for address in addresses]
        first = next((at for at, kind in enumerate(kinds) if kind is not kinds[0]), len(kinds))
        if first < 2:
            return addresses
        self.turn = turn = (self.turn + 1) % first
        return (*addresses[turn:first], *addresses[:turn], *addresses[first:])


@implementer(IHostResolution)
class _Waiting:
    """One who has asked."""

    def __init__(self, name: str, receiver: Any) -> None:
        self.name = name
        self._receiver: Any = receiver

    def cancel(self) -> None:
        """See ``IHostResolution``: nothing will be told any more."""
        self._receiver = None

    def begin(self) -> None:
        self._receiver.resolutionBegan(self)

    def tell(self, addresses: Sequence[IAddress]) -> None:
        for address in addresses:
            if self._receiver is not None:
                self._receiver.addressResolved(address)
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.resolutionComplete()


@implementer(IHostnameResolver)
class Names:
    """Remembers what ``resolver()``, an ``IHostnameResolver``, finds. ``clock`` is an ``IReactorTime``."""

    def __init__(self, resolver: Callable[[], Any], clock: Any) -> None:
        self._resolver = resolver
        self._clock = clock
        self._seconds = steady(clock)
        self._names: dict[tuple[str, int, str], _Name] = {}

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See ``IHostnameResolver``. What is known is told within the call."""
        name = self._named((hostName, portNumber, transportSemantics))
        waiting = _Waiting(hostName, resolutionReceiver)
        waiting.begin()
        fresh = self._seconds() - name.answered < FRESH_SECONDS
        if not fresh and not name.asking:
            self._ask(name, portNumber, addressTypes, transportSemantics)
        if fresh or (name.failing and name.addresses):
            waiting.tell(name.turned())
        elif name.asking:
            name.waiting.append(waiting)
        else:
            waiting.tell(name.turned())  # the resolver has answered within its call
        return waiting

    def stop(self) -> None:
        """Stop the timers, and tell nobody any more."""
        for name in self._names.values():
            name.waiting = []
            if name.timer is not None and name.timer.active():
                name.timer.cancel()

    def _named(self, key: tuple[str, int, str]) -> _Name:
        name = self._names.get(key)
        if name is None:
            if len(self._names) >= _MOST_NAMES:
                self._names.pop(next(iter(self._names)))
            name = self._names[key] = _Name(key[0])
        return name

    def _ask(self, name: _Name, port: int, kinds: Any, semantics: str) -> None:
        name.asking = True
        if name.addresses and not name.failing:
            name.timer = self._clock.callLater(_PATIENCE, self._overdue, name)
        self._resolver().resolveHostName(_Answer(self, name), name.host, port, kinds, semantics)

    def _overdue(self, name: _Name) -> None:
        self._fail(name, "is not answered in time")
        name.tell()

    def _fail(self, name: _Name, how: str) -> None:
        if name.addresses and not name.failing:
            _log.warn("the name {host} {how}; its last good addresses are used", host=name.host, how=how)
        name.failing = True

    def answered(self, name: _Name, addresses: Sequence[IAddress]) -> None:
        """The resolver has finished; without addresses it has failed."""
        name.asking = False
        name.answered = self._seconds()
        if name.timer is not None and name.timer.active():
            name.timer.cancel()
        if addresses:
            if name.failing and name.addresses:
                _log.info("the name {host} is found again", host=name.host)
            name.addresses, name.failing = tuple(addresses), False
        else:
            self._fail(name, "is not found")
        name.tell()


@implementer(IResolutionReceiver)
class _Answer:
    def __init__(self, names: Names, name: _Name) -> None:
        self._names = names
        self._name = name
        self._addresses: list[IAddress] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It goes on whoever waits: the next one will want it."""

    def addressResolved(self, address: IAddress) -> None:
        """One of them."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """All are known."""
        self._names.answered(self._name, self._addresses)

