"""The backend's side of a connection of plain TCP or TLS: bytes for a tunnel, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from gateway.relay.flow import CONNECTING, FlowProtocol
from gateway.relay.sides import BackendSide
from gateway.upstream.connections import connect_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.model import BackendSettings
    from gateway.interfaces import IBackend, IRoad
    from gateway.relay.splice import Splice
    from gateway.transport.tls import ClientTLS

__all__ = ["StreamUpstream", "connect_stream"]


def connect_stream(
    road: IRoad,
    backend: IBackend,
    settings: BackendSettings,
    tls_for: Callable[[], ClientTLS] | None,
    preface: bytes = b"",
) -> Deferred[StreamUpstream]:
    """A connection to ``backend`` that begins with ``preface``; fails as `connect_failure` says.

    ``tls_for`` makes the `ClientTLS`, and may raise `BackendTLSFailed`; ``None`` for plain TCP.
    """

    def connect() -> Deferred[StreamUpstream]:
        tls = None if tls_for is None else tls_for()._replace(preface=preface)
        factory = Factory.forProtocol(lambda: StreamUpstream(preface, tls is not None))
        factory.noisy = False
        host, port = backend.connect_host, backend.connect_port
        connecting: Deferred[StreamUpstream] = road.client(host, port, tls, settings.connect_timeout).connect(factory)
        return connecting

    try:
        connecting = connect()
    except Exception:
        connecting = fail()
    return connecting.addErrback(connect_failure, backend, settings)


class StreamUpstream(FlowProtocol):
    """One connection, from `connect_stream` to the end of its tunnel.

    ``received``, ``sent``: bytes before the tunnel, of which it takes over the count.
    """

    at_eof = False
    received = sent = 0
    _early = b""

    def __init__(self, preface: bytes, is_sent: bool) -> None:
        self.sent = len(preface)
        self._preface = b"" if is_sent else preface

    def connectionMade(self) -> None:
        super().connectionMade()
        if self._preface:
            self.transport.write(self._preface)

    def dataReceived(self, data: bytes) -> None:
        """A backend that speaks before its tunnel is there has to wait."""
        self.received += len(data)
        self._early += data
        self.hold(CONNECTING)

    def take_early(self) -> bytes:
        """What came before the tunnel."""
        early, self._early = self._early, b""
        return early

    def enter(self, tunnel: Splice) -> BackendSide:
        """``tunnel`` gets all bytes from now on and is told of the end."""
        side = BackendSide(tunnel, self)
        if side.held:
            side.let(CONNECTING)
        return side

    def readConnectionLost(self) -> None:
        """The backend sends no more."""
        self.at_eof = True

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The connection is gone."""
        self.lost = True
