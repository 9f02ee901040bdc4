"""What all probes over a connection of their own share: connecting, one result, a polite end within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, DNSLookupError, NoRouteError, TCPTimedOutError, TimeoutError
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import BackendTLSFailed
from gateway.http.authority import authority
from gateway.interfaces import ILasting, IProbe
from gateway.relay.proxy_header import UNKNOWN
from gateway.transport.sockets import lacks_resources
from gateway.values import ProbeResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.model import BackendSettings, Probe
    from gateway.interfaces import IBackend, IRoad
    from gateway.services import Services

    TlsFor = Callable[[BackendSettings, Probe, str], Any]

__all__ = ["CLOSE_SECONDS", "MOST_BYTES", "Check", "ConnectingProbe", "parts", "quoted"]

CLOSE_SECONDS = 2.0
"""How long a backend may take to close when the result is known."""

MOST_BYTES = 65536
"""Bytes of an answer that are searched."""


class Check(Protocol):
    """One connection that finds one result.

    Subclasses override `begin`, `received` and `ended`, and call `finish` once.  None of the three is called when the
    result is known or is not wanted any more.
    """

    transport: Any
    status: int | None = None
    preface = b""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.began = 0.0
        self._result: Deferred[ProbeResult] | None = None
        self._closing: Any = None

    # -- for subclasses

    def begin(self) -> None:
        """The connection is made, with TLS where that is wanted."""

    def received(self, data: bytes) -> None:
        """Bytes arrived."""

    def ended(self, reason: Failure) -> None:
        """The connection is gone. Must `finish`."""
        if reason.check(ConnectionDone):
            self.finish(False, "the connection was closed before there was an answer")
        else:
            self.finish(False, f"the connection was lost before there was an answer: {reason.getErrorMessage()}")

    def goodbye(self) -> None:
        """End the connection; politely, for a reset in every interval is noise in the backend's log."""
        self.transport.loseConnection()

    def closing(self, data: bytes) -> None:
        """Bytes that arrived after `goodbye`."""

    def finish(self, healthy: bool, reason: str) -> None:
        """The result is known."""
        result, self._result = self._result, None
        if self.connected:
            self._closing = self.clock.callLater(CLOSE_SECONDS, self.transport.abortConnection)
            self.goodbye()
        if result is not None and not result.called:
            result.callback(ProbeResult(healthy, reason, self.status, max(self.clock.seconds() - self.began, 0.0)))

    # -- for the probe

    @property
    def waiting(self) -> bool:
        """A result is still wanted."""
        return self._result is not None

    def tell(self, result: Deferred[ProbeResult]) -> None:
        """Where the result goes."""
        self._result = result

    def give_up(self) -> None:
        """Cut the connection, tell nobody."""
        self._result = None
        if self.connected:
            self.transport.abortConnection()

    # -- protocol

    def connectionMade(self) -> None:
        """Begin, unless it is too late."""
        if self._result is None:
            self.transport.abortConnection()
            return
        self.began = self.clock.seconds()
        if self.preface:
            self.transport.write(self.preface)
        self.begin()

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes to whom they concern."""
        if self._result is not None:
            self.received(data)
        elif self._closing is not None:
            self.closing(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The end, which may be too early."""
        self.connected = 0
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        if self._result is not None:
            self.ended(reason)


class _CheckFactory(Factory):
    """Gives its check, once. The check does not keep it: the two would be left to the garbage collector."""

    noisy = False

    def __init__(self, check: Check) -> None:
        self._check = check

    def buildProtocol(self, addr: Any) -> Check:
        return self._check


@implementer(ILasting, IProbe)
class ConnectingProbe:
    """Connects to a member and lets a `Check` do the rest. Subclasses override `make_check`.

    The probe's ``protocol`` ``Https`` or ``Tls`` means TLS, with the name and trust that the settings say; its
    ``port`` replaces that of the member.
    """

    def __init__(
        self, probe: Probe, settings: BackendSettings, road: IRoad, tls_for: TlsFor | None, clock: Any
    ) -> None:
        if probe.secure and tls_for is None:
            raise ValueError("an HTTPS probe needs a way to make TLS connections")
        self.probe = probe
        self.settings = settings
        self.clock = clock
        self._road = road
        self._tls_for = tls_for

    def make_check(self, backend: IBackend) -> Check:
        """What is done with the connection."""
        raise NotImplementedError

    def check(self, backend: IBackend, deadline: float) -> Deferred[ProbeResult]:
        """See `IProbe.check`."""
        probe = self.probe
        host, port = backend.connect_host, backend.connect_port
        if probe.port is not None and probe.port != backend.port:
            port = probe.port
        try:
            tls = self._tls(backend.host)
        except BackendTLSFailed as error:
            return _result(ProbeResult(False, str(error)))
        check = self.make_check(backend)
        if probe.enable_probe_proxy_protocol_header and probe.layer4:
            if tls is None:
                check.preface = UNKNOWN
            else:
                tls = tls._replace(preface=UNKNOWN)
        limit = min(self.settings.connect_timeout, deadline)
        connecting = self._road.client(host, port, tls, limit).connect(_CheckFactory(check))

        def cancel(_: Deferred[ProbeResult]) -> None:
            check.give_up()
            connecting.cancel()

        def not_connected(failure: Failure) -> None:
            if check.waiting:
                why = _why_not(failure.value, authority(host, port), limit)
                result.callback(ProbeResult(False, why, conclusive=not lacks_resources(failure.value)))

        result: Deferred[ProbeResult] = Deferred(cancel)
        check.tell(result)
        connecting.addErrback(not_connected)
        return result

    def _tls(self, host: str) -> Any:
        if not self.probe.secure or self._tls_for is None:
            return None
        return self._tls_for(self.settings, self.probe, host)


def parts(services: Services, word: str) -> tuple[Any, ...]:
    """What a `ConnectingProbe` is made of; ``ValueError`` where the services lack it."""
    if services.probe is None or services.settings is None or services.road is None:
        raise ValueError(f"the {word} probe needs a probe, settings and a road")
    return services.probe, services.settings, services.road, services.tls_for, services.clock


def quoted(text: str) -> str:
    """Some text of the configuration for a reason, not too long."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _result(result: ProbeResult) -> Deferred[ProbeResult]:
    fired: Deferred[ProbeResult] = Deferred()
    fired.callback(result)
    return fired


def _why_not(error: BaseException | None, place: str, limit: float) -> str:
    if isinstance(error, BackendTLSFailed):
        return f"TLS to {place} failed: {error}"
    if isinstance(error, DNSLookupError):
        return f"cannot connect to {place}: the name cannot be resolved"
    if isinstance(error, Refused):
        return f"cannot connect to {place}: connection refused (nothing listens there)"
    if isinstance(error, NoRouteError):
        return f"cannot connect to {place}: no route to it"
    if isinstance(error, TCPTimedOutError | TimeoutError):
        return f"cannot connect to {place}: no connection within {limit:g} s"
    return f"cannot connect to {place}: {str(error) or type(error).__name__}"
