"""The bound ports of a gateway: bound together, changed while they are used, and left when nobody wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred

from gateway.errors import SessionEnded
from gateway.lifecycle.startup import MAP_PORT, PortToBind, bind_or_none
from gateway.relay.sides import ClientSide

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import ISession
    from gateway.lifecycle.generation import Material
    from gateway.listener.factory import ListenerFactory
    from gateway.listener.http1 import ClientConnection
    from gateway.listener.layer4 import StreamConnection, StreamFactory
    from gateway.listener.tls import ServerTLS
    from gateway.observe.sessions import Sessions
    from gateway.routing.bindings import Binding

__all__ = ["LAST_WORDS", "Change", "PortKey", "Ports"]

LAST_WORDS = 1.0
"""Seconds in which clients may take the 503 that they get at the end of the time to stop."""

_GONE = SessionEnded(1001, "the port is not served any more", "shutdown")

PortKey = tuple[str, int, str]
"""What a port is known by as long as it is bound, in every process: address, number, and listener if that is 0."""


class _Held:
    """One bound port. ``tls`` is ``None`` without."""

    def __init__(self, group: Binding, factory: ListenerFactory | StreamFactory, tls: ServerTLS | None) -> None:
        self.group = group
        self.factory: Any = factory
        self.tls = tls
        self.port: Any = None


class Change(NamedTuple):
    """What `Ports.prepare` has made. ``stay``: ports with their new listeners and TLS; ``came``: those that are new,
    bound already; ``went``: those that nobody wants any more."""

    stay: Sequence[tuple[_Held, Binding, ServerTLS | None]]
    came: Sequence[_Held]
    went: Sequence[_Held]


class Ports:
    """``numbers``: the port that each listener is bound to.

    ``make(group, tls)`` gives the factory of a port; ``endpoint(listener, address, port, tls, before)`` its endpoint:
    ``before`` is the port that listens there already, with another protocol, or ``None``.  ``clock`` is an
    ``IReactorTime``; ``option`` says what chooses another port, see `gateway.lifecycle.startup.PortToBind`.
    """

    def __init__(
        self,
        make: Callable[[Binding, bool], ListenerFactory | StreamFactory],
        endpoint: Callable[..., Any],
        sessions: Sessions,
        clock: Any,
        option: str = MAP_PORT,
    ) -> None:
        self.numbers: dict[str, int] = {}
        self._option = option
        self._make = make
        self._endpoint = endpoint
        self._sessions = sessions
        self._clock = clock
        self._held: dict[PortKey, _Held] = {}
        self._leaving: dict[_Held, Any] = {}

    @property
    def factories(self) -> list[ListenerFactory | StreamFactory]:
        """Those of all ports, also of those that are left and still have connections."""
        return [held.factory for held in (*self._held.values(), *self._leaving)]

    def connections(self) -> Iterator[ClientConnection | StreamConnection | ClientSide]:
        """All clients that were let in."""
        for factory in self.factories:
            connections: Any = tuple(factory.connections)
            yield from connections

    def count(self) -> int:
        """How many these are."""
        return sum([len(factory.connections) for factory in self.factories])

    def bound(self) -> dict[str, Any]:
        """The ports that are served, by their first listener."""
        return {held.group.listener: held.port for held in self._held.values()}

    def secured(self) -> dict[PortKey, tuple[ServerTLS, Any]]:
        """TLS and port of those that are served with TLS."""
        return {place: (held.tls, held.port) for place, held in self._held.items() if held.tls is not None}

    def renew(self, material: Material) -> None:
        """Show the certificates and terms of ``material``, which is of the configuration that is served."""
        for held in self._held.values():
            if held.tls is not None:
                held.tls.replace(held.group.listeners, material.certificates, material.terms)

    # -- changes

    def prepare(
        self, groups: Sequence[Binding], tls: Callable[[Binding], ServerTLS | None], more: Sequence[PortToBind] = ()
    ) -> tuple[Change, list[Any]]:
        """Bind what ``groups`` need that is not there, and ``more``; returns the change, and the ports of ``more``.

        Nothing has changed before `commit`.  Raises `gateway.lifecycle.startup.CannotBind`, or what ``tls``
        does; nothing is bound then.  A port that gets another protocol is a new one on the same socket.
        """
        stay: list[tuple[_Held, Binding, ServerTLS | None]] = []
        came: list[_Held] = []
        secured = [(group, tls(group)) for group in groups]
        for group, secure in secured:
            held = self._held.get(_key(group))
            if held is not None and (held.group.secure, held.group.layer4) == (group.secure, group.layer4):
                stay.append((held, group, secure))
            else:
                came.append(_Held(group, self._make(group, secure is not None), secure))
        bound = bind_or_none([*map(self._wanted, came), *more])
        for held, port in zip(came, bound, strict=False):
            held.port = port
            held.factory.port = held.group.port or held.port.getHost().port
        kept = {id(held) for held, _, _ in stay}
        return Change(stay, came, [held for held in self._held.values() if id(held) not in kept]), bound[len(came) :]

    def commit(self, change: Change, shared: Surroundings) -> None:
        """Serve the ports of ``change``, with ``shared``. Cannot fail."""
        for held, group, tls in change.stay:
            held.group = group
            if held.tls is not None and tls is not None:
                held.tls.become(tls)
            held.factory.use(group.listener, shared, shared.trusted)
        for held in change.came:
            held.factory.use(held.group.listener, shared, shared.trusted)
        for held in change.went:
            self._leaving[held] = None
        all_of = [*[held for held, _, _ in change.stay], *change.came]
        self._held = {_key(held.group): held for held in all_of}
        self.numbers.clear()
        for held in all_of:
            number = held.port.getHost().port
            self.numbers.update((listener.name, number) for listener in held.group.listeners)

    def leave(self, change: Change, limit: float) -> None:
        """Stop listening on the ports that went. Their connections finish as when the gateway stops."""
        for held in change.went:
            maybeDeferred(held.port.stopListening)
            tunnels = {id(side.tunnel) for side in held.factory.connections if isinstance(side, ClientSide)}
            self._sessions.end_all(_GONE, limit=limit, where=partial(_is_one_of, tunnels))
            _say(held.factory, _GONE)
            self._leaving[held] = self._clock.callLater(limit, self._cut, held)
            self.settle()

    def settle(self) -> None:
        """Forget the ports that are left and have no connections any more."""
        for held, timer in tuple(self._leaving.items()):
            if not held.factory.connections and not held.factory.refused and timer is not None:
                if timer.active():
                    timer.cancel()
                del self._leaving[held]

    def _cut(self, held: _Held) -> None:
        for connection in tuple(held.factory.connections):
            connection.cut()
        if held in self._leaving:
            self._leaving[held] = self._clock.callLater(LAST_WORDS, self._abort, held)

    def _abort(self, held: _Held) -> None:
        for connection in (*held.factory.connections, *held.factory.refused):
            connection.transport.abortConnection()
        self.settle()

    # -- the end

    def stop_listening(self) -> list[Deferred[Any]]:
        """Accept no more."""
        return [maybeDeferred(held.port.stopListening) for held in self._held.values()]

    def say(self, goodbye: SessionEnded) -> None:
        """Tell all clients that were let in, and those whose TLS handshake is in progress when they are."""
        for factory in self.factories:
            _say(factory, goodbye)

    def stop(self) -> None:
        """Nothing is served any more: let go of what is left."""
        for timer in self._leaving.values():
            if timer is not None and timer.active():
                timer.cancel()
        for factory in self.factories:
            for refused in tuple(factory.refused):
                refused.transport.abortConnection()
        self._leaving.clear()
        self._held.clear()

    def _wanted(self, held: _Held) -> PortToBind:
        group = held.group
        before = self._held.get(_key(group))
        port = None if before is None else before.port
        endpoint = self._endpoint(group.listener, group.address, group.port, held.tls, port)
        return PortToBind(group.listener, group.address, group.port, endpoint, held.factory, self._option)


def _key(group: Binding) -> PortKey:
    return group.address, group.port, "" if group.port else group.listener


def _say(factory: ListenerFactory | StreamFactory, goodbye: SessionEnded) -> None:
    factory.goodbye = goodbye
    for connection in tuple(factory.connections):
        connection.stop(goodbye)


def _is_one_of(tunnels: set[int], session: ISession) -> bool:
    # Connections of plain TCP cannot be told to end: they get the time that exchanges get.
    return id(session) in tunnels and not session.outcome.layer4
