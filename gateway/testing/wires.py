"""Connections without sockets that behave as the pump's do, and a road that hands them out.

A `Wire` keeps the pump's promises: what is written is with the peer at the end of the step unless the peer stalls,
losses and data are told in a later step of the `Turn` and never from inside a call of the protocol, a paused wire
delivers nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.interfaces import IRoad
from gateway.transport.sockets import Truncated

__all__ = ["WireRoad", "Place", "Turn", "Wire"]

_EOF, _RESET, _TRUNCATED = object(), object(), object()
_GATHERED = 32768
_log = Logger()


class Turn:
    """What the pump would do when the events at hand are served."""

    def __init__(self) -> None:
        self.turning = False
        self.outbox: list[Wire] = []
        self._calls: deque[Callable[[], None]] = deque()

    def later(self, call: Callable[[], None]) -> None:
        """Do ``call()`` in the next step."""
        self._calls.append(call)

    def run(self) -> None:
        """Do everything, also what comes up meanwhile; a loop without end is an error."""
        self.turning = True
        try:
            for _ in range(100000):
                if not self._calls:
                    return
                self._calls.popleft()()
                outbox, self.outbox = self.outbox, []
                for wire in outbox:
                    wire.send_gathered()
        finally:
            self.turning = False
        raise AssertionError("the conversation does not come to rest")


@implementer(ITCPTransport, IPushProducer, IConsumer)
class Wire:
    """The gateway's end of one connection.

    For the test that plays the peer: ``taken`` is what it has received and not looked at yet, ``written`` how many
    bytes the gateway wrote that were not dropped, ``late`` how many it wrote when the connection was lost and it had
    not been told yet, ``unsent`` how many the peer never got, ``queued`` how many it has not taken, ``ending`` how the
    gateway ended it (``half-closed``, ``closed``, ``truncated``, ``reset``, or empty), ``paused`` whether the gateway
    reads, ``unacknowledged`` how many bytes the gateway's kernel would still have.
    """

    def __init__(self, turn: Turn, peer: tuple[str, int], local: tuple[str, int]) -> None:
        self._turn = turn
        self._peer, self._local = IPv4Address("TCP", *peer), IPv4Address("TCP", *local)
        self.protocol: Any = None
        self.taken = bytearray()
        self.written = self.late = self.unsent = self.unacknowledged = 0
        self.ending = ""
        self.connected = True
        self.disconnecting = self.paused = self.stalled = self.peer_gone = self._truncated = False
        self.read_closed = self.write_closed = self._closing_write = False
        self._gathered = b""
        self._queue = bytearray()
        self._inbox: deque[Any] = deque()
        self._producer: Any = None
        self._producer_paused = False

    def start(self, protocol: Any) -> None:
        """Join it to its protocol."""
        self.protocol = protocol
        protocol.makeConnection(self)

    # -- the peer

    def arrive(self, *items: Any) -> None:
        """Bytes of the peer."""
        self._inbox.extend(items)
        self._turn.later(self._read)

    def arrive_end(self, reset: bool = False) -> None:
        """The peer's end of file, or its reset."""
        self.arrive(_RESET if reset else _EOF)

    def arrive_truncated(self) -> None:
        """The peer's end of TLS without ``close_notify``."""
        self.arrive(_TRUNCATED)

    def take(self, count: int | None = None) -> None:
        """The peer takes ``count`` bytes of the queue, or all and goes on reading."""
        if count is None:
            self.stalled, count = False, len(self._queue)
        self.taken += self._queue[:count]
        del self._queue[:count]
        if not self._queue:
            if self._producer_paused and self.connected:
                self._producer_paused = False
                self._producer.resumeProducing()
            self._finish()

    def _read(self) -> None:
        inbox = self._inbox
        if not inbox or not self.connected:
            return
        if self.disconnecting or (self.read_closed and inbox[0] is not _RESET):
            if inbox.popleft() is _RESET:
                self._lose(ConnectionLost())
        elif self.paused and inbox[0] is not _RESET:
            return
        else:
            self._tell(inbox.popleft())
        self._turn.later(self._read)

    def _tell(self, item: Any) -> None:
        try:
            if item is _RESET:
                self._lose(ConnectionLost())
            elif item is _TRUNCATED:
                self._lose(Truncated())
            elif item is _EOF:
                self.read_closed = True
                if self.write_closed:
                    self._lose(ConnectionDone())
                else:
                    self.protocol.readConnectionLost()
            else:
                self.protocol.dataReceived(item)
        except Exception as error:
            _log.failure("{protocol} failed, its connection is closed", protocol=type(self.protocol).__name__)
            self._lose(error)

    # -- ITCPTransport

    @property
    def queued(self) -> int:
        """As the pump's transports have it."""
        return len(self._queue)

    def write(self, data: bytes) -> None:
        """Ignored once the connection is lost or closed in this direction."""
        assert isinstance(data, bytes) and data, f"an odd thing to write: {data!r}"
        if self._closing_write or self.disconnecting:
            self.unsent += len(data)
            return
        if not self.connected:
            self.late += len(data)
            self.unsent += len(data)
            return
        self.written += len(data)
        self._gathered += data
        if self._turn.turning and len(self._gathered) <= _GATHERED:
            self._turn.outbox.append(self)
        else:
            self.send_gathered()

    def send_gathered(self) -> None:
        """Give the peer what was written in this step."""
        data, self._gathered = self._gathered, b""
        if not data:
            return
        if self.peer_gone:
            self.arrive_end(reset=True)
            return
        if not self.stalled:
            self.taken += data
            return
        self._queue += data
        if self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """All pieces in one go."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close when the peer has taken everything."""
        if self.connected and not self.disconnecting:
            self.send_gathered()
            self.disconnecting = True
            self._finish()

    def abortConnection(self) -> None:
        """Reset it."""
        self._lose(ConnectionAborted())

    def truncateConnection(self) -> None:
        """As `loseConnection`; the peer hears that more was to come."""
        self._truncated = True
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """Send an end of file behind what is queued."""
        if self.connected and not self._closing_write and not self.disconnecting:
            self.send_gathered()
            self._closing_write = True
            self._finish()

    def _finish(self) -> None:
        if self._queue or not self.connected:
            return
        if self.disconnecting:
            self._lose(ConnectionDone())
        elif self._closing_write and not self.write_closed:
            self.write_closed = True
            self.ending = "half-closed"
            self._turn.later(self._write_side_closed)

    def _write_side_closed(self) -> None:
        if self.connected and self.read_closed:
            self._lose(ConnectionDone())
        elif self.connected:
            self.protocol.writeConnectionLost()

    def _lose(self, reason: Exception) -> None:
        if not self.connected:
            return
        self.connected = False
        self.unsent += len(self._gathered) + len(self._queue)
        ended = "truncated" if self._truncated else "closed"
        self.ending = "reset" if isinstance(reason, ConnectionAborted) else ended
        self._gathered = b""
        self._queue.clear()
        self._turn.later(lambda: self._lost(Failure(reason)))

    def _lost(self, reason: Failure) -> None:
        if self._producer is not None:
            self._producer.stopProducing()
        self.protocol.connectionLost(reason)

    def getPeer(self) -> IPv4Address:
        """The other end."""
        return self._peer

    def getHost(self) -> IPv4Address:
        """This end."""
        return self._local

    def getTcpNoDelay(self) -> bool:
        """Always on."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to do."""

    def getTcpKeepAlive(self) -> bool:
        """Always off."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to do."""

    # -- IConsumer, IPushProducer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Only streaming producers are used here."""
        assert streaming and self._producer is None
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget it."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Go on, in a later step."""
        if self.connected:
            self.paused = False
            self._turn.later(self._read)

    def stopProducing(self) -> None:
        """Nobody wants the data any more."""
        self.loseConnection()


class Place:
    """An address of the road.

    ``manner``: what happens to who connects: ``accept``, ``stall`` (accept and take nothing), ``refuse``, ``hang``, or
    ``break`` (the road itself fails).
    ``wires``: all connections that were made.  ``cancelled``: how many attempts were given up by the gateway.
    """

    def __init__(self) -> None:
        self.manner = "accept"
        self.wires: list[Wire] = []
        self.tls: list[Any] = []
        self.cancelled = 0
        self._waiting: list[Callable[[], None]] = []

    def accept(self) -> None:
        """Accept from now on, also who hangs."""
        self.manner = "accept"
        waiting, self._waiting = self._waiting, []
        for connect in waiting:
            connect()

    def hang(self, connect: Callable[[], None]) -> None:
        """Let an attempt wait."""
        self._waiting.append(connect)


@implementer(IRoad)
class WireRoad:
    """Connections to places that the test controls."""

    name = "fake"

    def __init__(self, clock: Clock, turn: Turn) -> None:
        self._clock = clock
        self._turn = turn
        self._places: dict[tuple[str, int], Place] = {}

    def place(self, host: str, port: int) -> Place:
        """The place at an address."""
        return self._places.setdefault((host, port), Place())

    def wires(self) -> list[Wire]:
        """All connections to all places."""
        return [wire for place in self._places.values() for wire in place.wires]

    def server(self, host: str, port: int, tls: Any = None, backlog: int = 1024, sock: Any = None) -> Any:
        """Nobody listens here."""
        raise NotImplementedError

    def client(self, host: str, port: int, tls: Any = None, timeout: float = 5.0) -> Any:
        """An endpoint; only its ``connect`` is used."""
        return _Endpoint(self._clock, self._turn, self.place(host, port), (host, port), tls, timeout)

    def settled(self) -> Deferred[None]:
        """Nobody shakes hands."""
        return succeed(None)

    def stop(self) -> None:
        """Nothing to release."""


class _Endpoint:
    def __init__(
        self, clock: Clock, turn: Turn, place: Place, address: tuple[str, int], tls: Any, timeout: float
    ) -> None:
        self._clock, self._turn, self._place, self._address = clock, turn, place, address
        self._tls, self._timeout = tls, timeout

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect as the place's manner is."""
        result: Deferred[Any] = Deferred(self._cancelled)
        self._place.tls.append(self._tls)
        if self._place.manner == "break":
            raise RuntimeError("the road is broken")
        if self._place.manner == "refuse":
            self._turn.later(lambda: self._settle(result, Failure(ConnectionRefusedError())))
        elif self._place.manner in ("accept", "stall"):
            self._turn.later(lambda: self._connected(result, factory))
        else:
            self._hang(result, factory)
        return result

    def _hang(self, result: Deferred[Any], factory: Any) -> None:
        timer = self._clock.callLater(self._timeout, result.errback, Failure(TimeoutError()))

        def over(answer: Any) -> Any:
            if timer.active():
                timer.cancel()
            return answer

        result.addBoth(over)
        self._place.hang(lambda: self._connected(result, factory))

    def _connected(self, result: Deferred[Any], factory: Any) -> None:
        if not result.called:
            wire = Wire(self._turn, self._address, ("10.0.0.254", 40000 + len(self._place.wires)))
            wire.stalled = self._place.manner == "stall"
            self._place.wires.append(wire)
            protocol = factory.buildProtocol(wire.getPeer())
            wire.start(protocol)
            result.callback(protocol)

    @staticmethod
    def _settle(result: Deferred[Any], answer: Any) -> None:
        if not result.called:
            result.errback(answer)

    def _cancelled(self, result: Deferred[Any]) -> None:
        self._place.cancelled += 1
