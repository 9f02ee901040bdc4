"""Names of backends: asked for when their time is over and not once for each connection, and not forgotten in trouble.

Who looks a name up may say for how long the answer is good (see `IFinding`); else that is `FRESH_SECONDS`.  Where it is
known, names that are in use are looked up again when it is over, so that nobody has to wait.  While nothing is
answered, or found, the last good addresses are used: a backend must stay reachable when a name server is down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import Attribute, directlyProvides, implementer, providedBy

from gateway.transport.deadlines import steady

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

__all__ = ["FRESH_SECONDS", "IFinding", "Names", "Reactor"]

FRESH_SECONDS = 5.0
"""For how long addresses are used without asking again, where nobody says more, and after a failure."""

_CALM_SECONDS = 5.0
"""Not more often than this is a name looked up that nobody waits for."""

_USED_SECONDS = 300.0
"""A name that nobody has asked for in this time is not looked up by itself any more."""

_PATIENCE = 1.0
"""For how long somebody waits for the resolver where there are addresses from before."""

_MOST_NAMES = 10_000
_log = Logger("gateway.names")


class IFinding(IResolutionReceiver):
    """What `Names` hands to its resolver, which may be one that knows TTLs."""

    seconds = Attribute("For how long the addresses are good; to be set before the resolution is complete.")


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

    ``question``: host, port, kinds of addresses and transport.  ``until``: when the resolver's last word is too old;
    ``failing``: that was nothing, or did not come in time; ``timer`` for that.  ``asked``: when somebody wanted it.
    ``timed``: the resolver knows for how long it is good; ``again`` is the timer for that.  ``turn`` moves with each
    who was told, so that connections are spread over the addresses.
    """

    __slots__ = (
        "addresses", "again", "asked", "asking", "failing", "finding", "host", "question", "timed", "timer", "turn",
        "until", "waiting",
    )  # fmt: skip

    def __init__(self, question: tuple[str, int, Any, str]) -> None:
        self.host = question[0]
        self.question = question
        self.addresses: tuple[IAddress, ...] = ()
        self.until = self.asked = float("-inf")
        self.asking = self.failing = self.timed = False
        self.timer: Any = None
        self.again: Any = None
        self.finding: _Finding | None = None
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
    """Remembers what ``resolver()``, an ``IHostnameResolver``, finds. ``clock`` is an ``IReactorTime``.

    ``moved(host, port, addresses)`` is called when a name has other addresses than before.
    """

    def __init__(
        self,
        resolver: Callable[[], Any],
        clock: Any,
        moved: Callable[[str, int, frozenset[str]], None] = lambda host, port, addresses: None,
    ) -> None:
        self._resolver = resolver
        self._moved = moved
        self._clock = clock
        self._seconds = steady(clock)
        self._names: dict[tuple[str, int, str], _Name] = {}
        self._stopped = False

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See ``IHostnameResolver``. What is known is told within the call."""
        name = self._named((hostName, portNumber, addressTypes, transportSemantics))
        waiting = _Waiting(hostName, resolutionReceiver)
        waiting.begin()
        name.asked = now = self._seconds()
        fresh = now < name.until
        if not fresh and not name.asking:
            self._ask(name)
        if fresh or (name.failing and name.addresses):
            waiting.tell(name.turned())
        elif name.asking:
            name.waiting.append(waiting)
        else:
            waiting.tell(name.turned())  # the resolver has answered within its call
        return waiting

    def stop(self) -> None:
        """Stop the timers, and tell nobody any more."""
        self._stopped = True
        for name in self._names.values():
            self._forget(name)

    def _named(self, question: tuple[str, int, Any, str]) -> _Name:
        host, port, _, semantics = question
        key = (host, port, semantics)
        name = self._names.get(key)
        if name is None:
            if len(self._names) >= _MOST_NAMES:
                self._forget(self._names.pop(next(iter(self._names))))
            name = self._names[key] = _Name(question)
        return name

    def _forget(self, name: _Name) -> None:
        name.waiting = []
        for timer in (name.timer, name.again):
            if timer is not None and timer.active():
                timer.cancel()
        if name.finding is not None:
            name.finding.give_up()

    def _ask(self, name: _Name) -> None:
        name.asking = True
        if name.addresses and not name.failing:
            name.timer = self._clock.callLater(_PATIENCE, self._overdue, name)
        name.finding = _Finding(self, name)
        self._resolver().resolveHostName(name.finding, *name.question)

    def _ask_again(self, name: _Name) -> None:
        """The time is over; nobody waits yet."""
        name.again = None
        if not name.asking and self._seconds() - name.asked < _USED_SECONDS:
            self._ask(name)

    def _overdue(self, name: _Name) -> None:
        self._fail(name, "is not answered in time")
        name.tell()

    def _fail(self, name: _Name, how: str) -> None:
        if name.addresses and not name.failing:
            _log.warn("the name {host} {how}; its last good addresses are used", host=name.host, how=how)
        name.failing = True

    def answered(self, name: _Name, addresses: Sequence[IAddress], seconds: float | None) -> None:
        """The resolver has finished; without addresses it has failed. ``seconds``: how long they are good, if known."""
        if self._stopped:
            return
        name.asking, name.finding = False, None
        if name.timer is not None and name.timer.active():
            name.timer.cancel()
        if addresses:
            if name.failing and name.addresses:
                _log.info("the name {host} is found again", host=name.host)
            before, name.addresses, name.failing = name.addresses, tuple(addresses), False
            name.timed = seconds is not None
            if before and _hosts(before) != _hosts(addresses):
                self._moved(name.host, name.question[1], _hosts(addresses))
        else:
            seconds = None
            self._fail(name, "is not found")
        pause = FRESH_SECONDS if seconds is None else seconds
        name.until = self._seconds() + pause
        if name.again is not None and name.again.active():
            name.again.cancel()
        if name.timed:
            name.again = self._clock.callLater(max(pause, _CALM_SECONDS), self._ask_again, name)
        name.tell()


def _hosts(addresses: Sequence[Any]) -> frozenset[str]:
    return frozenset(address.host for address in addresses)


@implementer(IFinding)
class _Finding:
    def __init__(self, names: Names, name: _Name) -> None:
        self.seconds: float | None = None
        self._names = names
        self._name = name
        self._addresses: list[IAddress] = []
        self._resolution: Any = None

    def give_up(self) -> None:
        """Nobody wants to know any more."""
        if self._resolution is not None:
            with suppress(NotImplementedError):  # Twisted's own runs in a thread, and ends by itself
                self._resolution.cancel()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It goes on whoever waits: the next one will want it."""
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        """One of them."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """All are known."""
        self._names.answered(self._name, self._addresses, self.seconds)

