"""The embedded backends of the demo."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall

from gateway.demo.chat import ChatProtocol
from gateway.demo.room import COLOURS, Backend, Room
from gateway.demo.web import WebFactory

__all__ = ["DemoBackends"]

_STATE_SECONDS = 1.0
_STOP_SECONDS = 1.0


class DemoBackends:
    """Backends in this process that speak HTTP and WebSocket and share one chat.

    ``count``: how many, at most six; each is named after a colour.  ``pool_state``, also to be set later, gives what
    the gateway thinks of them: a list of `gateway.observe.reports.pool_report`; members are recognised by ``address``.
    ``hosts``: names the demo may be opened by besides addresses and ``localhost``.
    """

    def __init__(
        self,
        reactor: Any,
        count: int = 2,
        pool_state: Callable[[], list[dict[str, Any]]] | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        if not 1 <= count <= len(COLOURS):
            raise ValueError(f"there can be 1 to {len(COLOURS)} demo backends")
        self._reactor = reactor
        self._room = Room(reactor)
        self._room.pool_state = pool_state
        self._factories = [WebFactory(reactor, self._room, name, hosts) for name in COLOURS[:count]]
        self._ports: list[IListeningPort] = []
        self._pulse = LoopingCall(self._room.tell_state)
        self._pulse.clock = reactor

    @property
    def pool_state(self) -> Callable[[], list[dict[str, Any]]] | None:
        """What the gateway thinks of the backends."""
        return self._room.pool_state

    @pool_state.setter
    def pool_state(self, pool_state: Callable[[], list[dict[str, Any]]] | None) -> None:
        self._room.pool_state = pool_state

    @property
    def names(self) -> dict[str, str]:
        """Colour of each backend by its ``host:port``, once started."""
        return {f"{backend.host}:{backend.port}": backend.name for backend in self._room.backends.values()}

    def start(self) -> Deferred[list[tuple[str, int]]]:
        """Listen on free ports of 127.0.0.1; fires with the addresses. Fails with ``CannotListenError``."""
        return maybeDeferred(self._start)

    def _start(self) -> list[tuple[str, int]]:
        for factory in self._factories:
            port = self._reactor.listenTCP(0, factory, interface="127.0.0.1")
            self._ports.append(port)
            address = port.getHost()
            self._room.backends[factory.name] = Backend(factory.name, address.host, address.port)
        self._pulse.start(_STATE_SECONDS, now=False)
        return [(backend.host, backend.port) for backend in self._room.backends.values()]

    def pool_changed(self, *_: Any) -> None:
        """The gateway has changed its mind about a backend: tell the visitors now and not with the next pulse."""
        self._room.tell_state()

    def stop(self) -> Deferred[None]:
        """Close ports and connections: sockets get 1001. Fires when all is gone, after about a second at most."""
        if self._pulse.running:
            self._pulse.stop()
        self._room.close()
        done: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        for factory in self._factories:
            for connection in tuple(factory.connections):
                connection.cut()
        visitors = cast("tuple[ChatProtocol, ...]", self._room.visitors())
        for visitor in visitors:
            closed: Deferred[None] = Deferred()
            visitor.gone = closed
            visitor.close(1001, "the demo stops")
            done.append(closed)
        cut = self._reactor.callLater(_STOP_SECONDS, self._cut, visitors)

        def finished(_: Any) -> None:
            if cut.active():
                cut.cancel()

        return DeferredList(done, consumeErrors=True).addCallback(finished)

    def _cut(self, visitors: tuple[ChatProtocol, ...]) -> None:
        for visitor in visitors:
            visitor.cut()
