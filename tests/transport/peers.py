"""Protocols, contexts and small helpers for the transports' tests."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.interfaces import ISecureFactory
from gateway.transport.tls import ClientTLS
from tests.certificates import Issued, TestCA

__all__ = [
    "CA", "LEAF", "HalfCloser", "Pieces", "Recorder", "SecureServing", "Serving", "Source", "client_tls", "exhausted",
    "server_tls", "silent_port",
]  # fmt: skip

CA = TestCA()
LEAF = CA.issue(names=["localhost"], ips=["127.0.0.1"])


def silent_port(test: Any) -> int:
    """A port whose backlog is full until the end of ``test``: a connection to it neither succeeds nor fails."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    test.addCleanup(listening.close)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listening.getsockname())
        test.addCleanup(filler.close)
    return int(listening.getsockname()[1])


@contextmanager
def exhausted() -> Iterator[list[int]]:
    """No descriptor is left, but for those that are given: who closes one has it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    plugs = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + 8, hard))
    try:
        while True:
            plugs.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
        yield plugs
    finally:
        for plug in plugs:
            os.close(plug)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def server_tls(issued: Issued = LEAF, alpn: list[bytes] | None = None, **options: Any) -> CertificateOptions:
    """What a TLS port is given."""
    return CertificateOptions(privateKey=issued.key, certificate=issued.cert, acceptableProtocols=alpn, **options)


def client_tls(
    trusted: TestCA | None = CA, version: int | None = None, alpn: list[bytes] | None = None,
    verify: Callable[[SSL.Connection], None] | None = None,
) -> ClientTLS:  # fmt: skip
    """A client that trusts ``trusted`` (``None``: no verification) and speaks only ``version`` if there is one."""
    context = SSL.Context(SSL.TLS_METHOD)
    if version is not None:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if alpn is not None:
        context.set_alpn_protos(alpn)
    if trusted is not None:
        from OpenSSL.crypto import X509

        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(trusted.cert))
        context.set_verify(SSL.VERIFY_PEER)
    return ClientTLS(context, "localhost", verify)


class Recorder(Protocol):
    """Keeps what it is told; one can wait for bytes and for the end."""

    keep = True

    def __init__(self) -> None:
        self.data = b""
        self.count = 0
        self.events: list[str] = []
        self.inside = False
        self.reentered = False
        self.reason: BaseException | None = None
        self.made: Deferred[Recorder] = Deferred()
        self.lost: Deferred[BaseException] = Deferred()
        self._awaited: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.events.append("made")
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.reason is None, "data after the end"
        self.note()
        self.count += len(data)
        if self.keep:
            self.data += data
        due = [entry for entry in self._awaited if entry[0] <= self.count]
        self._awaited = [entry for entry in self._awaited if entry[0] > self.count]
        for _, waiting in due:
            waiting.callback(self.data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.note()
        assert self.reason is None, "the end was told twice"
        self.reason = reason.value
        self.events.append("lost")
        self.lost.callback(reason.value)

    def note(self) -> None:
        """Remember whether the transport calls from inside one of the protocol's own calls."""
        if self.inside:
            self.reentered = True

    def received(self, count: int) -> Deferred[bytes]:
        """Fires when ``count`` bytes in total have arrived."""
        waiting: Deferred[bytes] = Deferred()
        if self.count >= count:
            waiting.callback(self.data)
        else:
            self._awaited.append((count, waiting))
        return waiting

    def call(self, name: str, *arguments: Any) -> None:
        """Call the transport, noticing re-entrance."""
        self.inside = True
        try:
            getattr(self.transport, name)(*arguments)
        finally:
            self.inside = False


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    """A `Recorder` that is told about each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.read_lost: Deferred[None] = Deferred()
        self.write_lost: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.note()
        self.events.append("read lost")
        self.read_lost.callback(None)

    def writeConnectionLost(self) -> None:
        self.note()
        self.events.append("write lost")
        self.write_lost.callback(None)


class Serving(Factory):
    """Makes protocols and hands them out in order of arrival."""

    noisy = False

    def __init__(self, make: Callable[[], Any] = Recorder) -> None:
        self.make = make
        self.built: list[Any] = []
        self.running = 0
        self._awaited: list[Deferred[Any]] = []
        self._ready: list[Any] = []

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self.make()
        if protocol is None:
            return None
        protocol.factory = self
        protocol.addr = addr
        self.built.append(protocol)
        if hasattr(protocol, "made"):
            protocol.made.addCallback(self._arrived)
        return protocol

    def _arrived(self, protocol: Any) -> Any:
        if self._awaited:
            self._awaited.pop(0).callback(protocol)
        else:
            self._ready.append(protocol)
        return protocol

    def next(self) -> Deferred[Any]:
        """The next protocol whose connection is made."""
        waiting: Deferred[Any] = Deferred()
        if self._ready:
            waiting.callback(self._ready.pop(0))
        else:
            self._awaited.append(waiting)
        return waiting


@implementer(ISecureFactory)
class SecureServing(Serving):
    """A factory behind a TLS port that wants to know; ``make_plain`` is for connections without TLS.

    ``most``: handshakes at a time.
    """

    def __init__(self, make_plain: Callable[[], Any] = Recorder) -> None:
        super().__init__()
        self.plain = Serving(make_plain)
        self.failures: list[tuple[Any, BaseException]] = []
        self.most = 1000

    def has_room(self, handshakes: int) -> bool:
        """See `ISecureFactory`."""
        return handshakes < self.most

    def handshake_failed(self, peer: Any, error: BaseException) -> None:
        """See `ISecureFactory`."""
        self.failures.append((peer, error))


class Source:
    """A streaming producer that writes until it is paused."""

    def __init__(self, transport: Any, size: int, total: int) -> None:
        self.transport = transport
        self.piece = b"s" * size
        self.total = total
        self.sent = 0
        self.paused = False
        self.stopped = False
        self.resumes = 0
        self.most_queued = 0

    def run(self) -> None:
        while not self.paused and not self.stopped and self.sent < self.total:
            piece = self.piece[: self.total - self.sent]
            self.sent += len(piece)
            self.transport.write(piece)
            self.most_queued = max(self.most_queued, self.transport.queued)
            if self.sent % (64 * len(self.piece)) == 0 and not self.paused:
                from twisted.internet import reactor

                reactor.callLater(0, self.run)  # type: ignore[attr-defined]
                return

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.resumes += 1
        self.paused = False
        self.run()

    def stopProducing(self) -> None:
        self.stopped = True


class Pieces:
    """A pull producer."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.pieces = []
