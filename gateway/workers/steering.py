"""A worker's part in resuming TLS sessions: connections go to the worker whose ticket the client shows.

Only the process that has made a ticket can read it, see "TLS session tickets" in ``docs/internals.md``.  Nothing has
been read of a connection that is passed on, the hello has only been peeked at: its new owner begins as if it had
accepted it.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.workers.channels import pass_on, receive

if TYPE_CHECKING:
    from gateway.lifecycle.ports import PortKey, Ports
    from gateway.listener.tls import ServerTLS
    from gateway.transport.hello import Hello
    from gateway.workers.link import Message

__all__ = ["Steering"]

_log = Logger("gateway")

_AT_ONCE = 64
"""Connections that are taken before others get their turn."""


@implementer(IReadDescriptor)
class Steering:
    """``channels``: one for each worker in their order, the receiving end of that of worker ``number``, which this is,
    and the sending ends of the others'; none where nothing is to be passed on.  ``ports``: those of this worker."""

    def __init__(self, number: int, channels: Sequence[socket.socket], ports: Ports, reactor: Any) -> None:
        self.passed_on = 0
        self._number = number
        self._channels = list(channels)
        self._ports = ports
        self._reactor = reactor
        self._others: dict[bytes, socket.socket] = {}
        self._looking: list[ServerTLS] = []

    def start(self) -> None:
        """Take what the others pass on, also what has waited since before this process began."""
        if self._channels:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Pass nothing on and take nothing: what waits is for a successor, if there is one. Idempotent."""
        if self._channels:
            self._reactor.removeReader(self)
        for each in self._channels:
            each.close()
        self._channels = []
        self._others = {}
        self.look()

    def names(self) -> list[str] | None:
        """What tickets of this worker's ports begin with, in hexadecimal; ``None`` where nobody is to know."""
        if not self._channels:
            return None
        names = [tls.ticket_name() for tls, _ in self._ports.secured().values()]
        return [name.hex() for name in names if name]

    def hear(self, message: Message) -> None:
        """Whose tickets have which names."""
        if self._channels:
            others = {bytes.fromhex(name): number for name, number in message["others"]}
            self._others = {name: self._channels[number - 1] for name, number in others.items()}
            self.look()

    def look(self) -> None:
        """Look at the tickets that come to the ports of the moment, if there are others."""
        for tls in self._looking:
            tls.elsewhere = None
        self._looking = []
        for place, (tls, _) in self._ports.secured().items() if self._others else ():
            tls.elsewhere = partial(self._goes, place)
            self._looking.append(tls)

    def _goes(self, place: PortKey, hello: Hello, sock: socket.socket) -> bool:
        """Whether another worker has taken the connection. HOT"""
        sending = self._others.get(hello.ticket)
        if sending is None or not pass_on(sending, place, sock):
            return False
        self.passed_on += 1
        return True

    def exposition(self) -> str:
        """Metrics, in the Prometheus text format."""
        name = "gateway_tls_passed_on_total"
        return (
            f"# HELP {name} TLS connections passed on to the worker that had issued their ticket.\n"
            f"# TYPE {name} counter\n{name}{{}} {self.passed_on}\n"
        )

    # What the reactor calls

    def fileno(self) -> int:
        """That of the channel to this worker."""
        return self._channels[self._number - 1].fileno() if self._channels else -1

    def logPrefix(self) -> str:
        """For the reactor's own messages."""
        return "steering"

    def doRead(self) -> None:
        """Take what is there."""
        for _ in range(_AT_ONCE):
            if not self._channels:
                return
            try:
                place, sock = receive(self._channels[self._number - 1])
            except OSError:
                return
            except EOFError:
                self._reactor.removeReader(self)
                return
            if sock is not None:
                self._take(place, sock)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""

    def _take(self, place: PortKey, sock: socket.socket) -> None:
        _, port = self._ports.secured().get(place, (None, None))
        if port is None:
            sock.close()  # as if it had waited in the backlog of a port that is closed
            return
        try:
            port.adopt(sock)
        except Exception:
            _log.failure("a connection that was passed on is lost")
            sock.close()
