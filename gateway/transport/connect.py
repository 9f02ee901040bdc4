"""Client connections on the pump: one attempt over all addresses of a host, under one time limit."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import protocol
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    DNSLookupError,
    NoProtocol,
    TimeoutError,
    getConnectError,
)
from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from gateway.transport.sockets import EXHAUSTED, Handle, begin, close, reached
from gateway.transport.tcp import TCPTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IHostResolution, IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

    from gateway.transport.pump import Pump

_STATE = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP

_TRIES = 5
"""An address that says nothing gets no less than this part of the time: a short share would end distant ones too."""

__all__ = ["Attempt", "Build", "Prelude", "Result", "literal"]

Prelude = Callable[["Attempt", Handle, "IPv4Address | IPv6Address"], None]
"""What is done with a connected socket: `Attempt.join` with a transport, perhaps after a TLS handshake."""


Build = Callable[["IPv4Address | IPv6Address"], "IProtocol | None"]
"""As ``IProtocolFactory.buildProtocol``."""


class Result(Protocol):
    """Who is told how an attempt ends, once; a Deferred is one."""

    def callback(self, result: Any) -> None:
        """There is a connection; this is its protocol."""

    def errback(self, fail: Any = None) -> None:
        """There is none; this is why, an exception or a ``Failure``."""


def literal(host: str, port: int) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` is, if it is one and not a name."""
    if isIPAddress(host):
        return IPv4Address("TCP", host, port)
    return IPv6Address("TCP", host, port) if isIPv6Address(host) else None


@implementer(IResolutionReceiver)
class Attempt:
    """Connects to the first address of ``host`` that answers and joins the connection to a protocol.

    ``build`` makes the protocol for an address, or ``None``; ``factory``, if there is one, is told of the beginning and
    of the end, as Twisted's are (``doStart``, ``doStop``).  ``result`` is told of the protocol, after its
    ``connectionMade``, or of a ``ConnectError``.  It has the methods of a Deferred, or is one (see `promise`):
    that takes half as long again as the attempt itself.  ``timeout`` in seconds covers everything up to then; of
    several addresses each has a share of what is left to accept the connection.  ``address``: that of ``host``, if it
    is one itself (see `literal`).
    """

    result: Result

    __slots__ = (
        "_abandon", "_addresses", "_build", "_end", "_events", "_fd", "_host", "_peer", "_port", "_prelude",
        "_reactor", "_resolution", "_sock", "_timeout", "deadline", "factory", "over", "pump", "result", "review",
        "waiting",
    )  # fmt: skip

    def __init__(
        self, pump: Pump, reactor: Any, host: str, port: int, build: Build, timeout: float,
        prelude: Prelude | None = None, address: IPv4Address | IPv6Address | None = None,
    ) -> None:  # fmt: skip
        self.waiting = self.over = False
        self.pump = pump
        self._reactor = reactor
        self._host = host
        self._port = port
        self._build = build
        self.factory: IProtocolFactory | None = None
        self._prelude: Prelude = prelude or Attempt.plain
        self._addresses: list[IPv4Address | IPv6Address] = [] if address is None else [address]
        self._sock: Handle | None = None
        self._fd = -1
        self._peer: IPv4Address | IPv6Address | None = None
        self._resolution: IHostResolution | None = None
        self._events = 0
        self._abandon: Callable[[], None] | None = None
        self._timeout = timeout
        self._end = self.deadline = self.review = inf
        if timeout:
            self._end = pump.deadlines.now() + timeout
            pump.deadlines.set(self, self._end)

    def promise(self) -> Deferred[IProtocol]:
        """A Deferred, which is told from now on; it may be cancelled."""
        promise: Deferred[IProtocol] = Deferred(self._cancel)
        self.result = promise
        return promise

    def start(self) -> None:
        """Begin; addresses need no resolver. Nobody is told at once."""
        if self.factory is not None:
            self.factory.doStart()
        if self._addresses:
            self.pump.at_end(self._next)
        else:
            self._reactor.nameResolver.resolveHostName(self, self._host, self._port)

    # IResolutionReceiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The resolver has begun."""
        self._resolution = resolutionInProgress

    def addressResolved(self, address: IPv4Address | IPv6Address) -> None:  # type: ignore[override]
        """One address, in the resolver's order of preference."""
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        """All addresses are known."""
        self._resolution = None
        if not self.over:
            self._addresses.reverse()
            if not self._addresses:
                self.fail(DNSLookupError(f"no address found for {self._host}"))
                return
            self.pump.at_end(self._next)

    # Rider, while the connection is being made

    def event(self, events: int) -> None:
        """The connection is there, or was refused, or neither (a stale hint)."""
        sock = self._sock
        if sock is None:
            return
        # Writable and no error: it is there (tcp_poll in Linux).  No other socket that had this number can have left
        # that event: those at hand are done before a socket is made here, and what is closed has no further ones.
        if events & _STATE != select.EPOLLOUT:
            code = reached(sock)
            if code < 0:
                return
            if code:
                self._refused(code)
                return
        assert self._peer is not None
        self._events = events
        self._sock = None
        if self.deadline != self._end:
            self.pump.deadlines.set(self, self._end)  # no other address is tried after this one
        self._prelude(self, sock, self._peer)

    def again(self) -> None:
        """Another look, which nobody has announced."""
        self.event(0)

    def dropped(self, reason: Failure) -> None:
        """The reactor stops."""
        self.fail(ConnectError(string="the reactor stops"))

    # What preludes call

    def plain(self, sock: Handle, peer: IPv4Address | IPv6Address) -> None:
        """No prelude: the connection may be used as it is."""
        transport = TCPTransport(self.pump, sock, peer)
        self.pump.hand_over(self._fd, transport)
        self.join(transport)
        if self._events & ~select.EPOLLOUT:
            # The edge that announced the connection announced data too; there will be no other.
            self.pump.soon(transport)

    def on_abandon(self, call: Callable[[], None] | None) -> None:
        """``call()`` gets rid of the socket if the attempt ends during the prelude; ``None`` when that is over."""
        self._abandon = call

    def join(self, transport: TCPTransport) -> None:
        """The connection may be used: ask the factory for a protocol, and fire."""
        try:
            made = self._build(transport._peer)
            if made is None:
                raise NoProtocol()
            if self.over:
                raise ConnectError(string="given up meanwhile")
        except Exception as error:
            transport.start(protocol.Protocol())
            transport.abortConnection()
            self.fail(error)
            return
        self._finish()
        transport.start(made, self.factory)
        self.result.callback(made)

    def fail(self, error: Exception) -> None:
        """The attempt has failed."""
        if self.over:
            return
        self._finish()
        self._close()
        if self.factory is not None:
            self.factory.doStop()
        self.result.errback(error)

    # Inner workings

    def _next(self) -> None:
        """Try the next address."""
        if self.over:
            return
        left = len(self._addresses)
        if left > 1 or self.deadline != self._end:
            deadlines = self.pump.deadlines
            now = deadlines.now()
            share = max((self._end - now) / left, self._timeout / _TRIES)
            deadlines.set(self, min(now + share, self._end))
        self._peer = peer = self._addresses.pop()
        try:
            sock, code = begin(peer.host, peer.port)
        except OSError as error:
            if error.errno in EXHAUSTED and self.pump.make_room():
                self._addresses.append(peer)
                self.pump.later(lambda: self.pump.at_end(self._next))  # when what was let go is closed
            else:
                self._refused(error.errno or errno.EMFILE)
            return
        self._sock = sock
        self._fd = fd = sock if isinstance(sock, int) else sock.fileno()
        if code:
            self._refused(code)
        else:
            self.pump.add(fd, self)

    def _refused(self, code: int) -> None:
        self._close()
        if self._addresses:
            self.pump.at_end(self._next)
        else:
            assert self._peer is not None
            reason = f"{self._peer.host}:{self._peer.port}: {os.strerror(code)}"
            self.pump.later(lambda: self.fail(getConnectError((code, reason))))

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self.pump.remove(self._fd)
            close(sock)
        abandon, self._abandon = self._abandon, None
        if abandon is not None:
            abandon()

    def _finish(self) -> None:
        self.over = True
        self.pump.deadlines.forget(self)
        if self._resolution is not None:
            # Twisted's own resolver cannot be stopped (it runs in a thread); what it finds is ignored then.
            with suppress(NotImplementedError):
                self._resolution.cancel()
            self._resolution = None

    def expired(self, now: float) -> None:
        """The time is up, or this address's share of it."""
        if self._sock is not None and self._addresses and now < self._end:
            self._refused(errno.ETIMEDOUT)
            return
        self.fail(TimeoutError(string=f"{self._host}:{self._port} did not answer within {self._timeout:g} s"))

    def _cancel(self, result: Deferred[IProtocol]) -> None:
        where = self._peer or IPv4Address("TCP", self._host, self._port)
        self.fail(ConnectingCancelledError(where))
