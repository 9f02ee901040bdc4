"""What the two connections of a tunnel are to it, once nobody speaks HTTP on them any more.

A tunnel may last for days, and most do nothing most of the time.  So a connection's own protocol, with all that it
needed for requests, is let go of: a `Side` takes its place with the transport.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gateway.relay.flow import FEEDING, Flow

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from gateway.errors import SessionEnded
    from gateway.exchange.surroundings import Surroundings
    from gateway.relay.flow import FlowProtocol
    from gateway.relay.splice import Splice
    from gateway.upstream.connections import Upstream

__all__ = ["BackendSide", "ClientSide", "Side", "join"]


class Side(Flow):
    """One connection of a tunnel, in the place of ``before``, whose transport it takes over."""

    __slots__ = ("answered", "held", "lost", "other", "rest", "stuck", "transport", "tunnel")

    def __init__(self, tunnel: Splice, before: FlowProtocol) -> None:
        self.tunnel: Splice | None = tunnel
        self.transport = transport = before.transport
        self.held, self.stuck, self.lost = before.held, before.stuck, before.lost
        self.answered = False
        self.rest: Callable[[], None] | None = None
        self.other: Side | None = None
        transport.protocol = self
        transport.unregisterProducer()
        transport.registerProducer(self, True)

    def feeder(self) -> Flow | None:
        return self.other


def join(client: Side, backend: Side) -> None:
    """Each feeds the other from now on: hold it while that one is stuck."""
    client.other, backend.other = backend, client
    if client.stuck:
        backend.hold(FEEDING)
    if backend.stuck:
        client.hold(FEEDING)


class ClientSide(Side):
    """The client's; ``factory`` is that of its connection, ``own`` are backend connections for this client alone."""

    __slots__ = ("_factory", "_own")

    def __init__(self, tunnel: Splice, before: FlowProtocol, factory: Any, own: Iterable[Upstream] = ()) -> None:
        super().__init__(tunnel, before)
        self._factory = factory
        self._own = own
        factory.connections.discard(before)
        factory.connections.add(self)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self.tunnel is not None:
            self.tunnel.client_stuck()

    def dataReceived(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.from_client(data)

    def readConnectionLost(self) -> None:
        """The client sends no more."""
        if self.tunnel is not None:
            self.tunnel.client_eof()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        factory = self._factory
        factory.connections.discard(self)
        for upstream in self._own:
            upstream.close()
        self.lost = True
        tunnel, self.tunnel, self.other = self.tunnel, None, None
        if tunnel is not None:
            tunnel.client_lost(reason)
        factory.lost(self)

    def uses(self, shared: Surroundings) -> bool:
        """Whether the tunnel began with these surroundings."""
        return self.tunnel is not None and self.tunnel.uses(shared)

    def outdated(self) -> None:
        """There is another configuration: the tunnel goes on with the one that it began with."""

    def stop(self, goodbye: SessionEnded) -> None:
        """The gateway stops: the tunnel may go on until `cut`."""

    def cut(self) -> None:
        """The time to stop is over."""
        if self.tunnel is not None:
            self.tunnel.cut()


class BackendSide(Side):
    """The backend's."""

    __slots__ = ()

    def dataReceived(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.from_backend(data)

    def readConnectionLost(self) -> None:
        """The backend sends no more."""
        if self.tunnel is not None:
            self.tunnel.backend_eof()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.lost = True
        tunnel, self.tunnel, self.other = self.tunnel, None, None
        if tunnel is not None:
            tunnel.backend_lost(reason)
