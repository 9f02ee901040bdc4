"""The HTTP and HTTPS probe: one GET on a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.error import DNSLookupError, NoRouteError, TCPTimedOutError, TimeoutError
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import BackendTLSFailed
from gateway.health.http_check import HttpCheck
from gateway.health.matching import StatusCodes
from gateway.interfaces import IProbe, IStrategyFactory
from gateway.routing.uris import clean
from gateway.values import ProbeResult

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Probe
    from gateway.interfaces import IBackend, IRoad
    from gateway.services import Services

__all__ = ["DEFAULT_HOST", "HttpProbe", "TlsFor", "factory", "probe_host"]

TlsFor = Callable[["BackendSettings", "Probe", str], Any]
"""Makes the `gateway.transport.tls.ClientTLS` for settings, a probe and the host of a member."""

DEFAULT_HOST = "127.0.0.1"
"""Host of a probe that names none; the connection goes to the member all the same."""


@implementer(IProbe)
class HttpProbe:
    """GET a path and look at status and perhaps body. Redirects are not followed, the connection is closed.

    ``tls_for`` may be missing where ``probe.protocol`` is ``Http``.
    """

    def __init__(
        self, probe: Probe, settings: BackendSettings, road: IRoad, tls_for: TlsFor | None, clock: Any
    ) -> None:
        if probe.protocol == "Https" and tls_for is None:
            raise ValueError("an HTTPS probe needs a way to make TLS connections")
        self._probe = probe
        self._settings = settings
        self._road = road
        self._tls_for = tls_for
        self._clock = clock
        self._codes = StatusCodes(probe.match.status_codes)

    def check(self, backend: IBackend, deadline: float) -> Deferred[ProbeResult]:
        """See `IProbe.check`."""
        probe = self._probe
        host, port = backend.connect_host, backend.connect_port
        if probe.port is not None and probe.port != backend.port:
            port = probe.port
        try:
            tls = self._tls(backend.host)
        except BackendTLSFailed as error:
            return _result(ProbeResult(False, str(error)))
        check = HttpCheck(self._request(backend), self._codes, probe.match.body, self._clock)
        limit = min(self._settings.connect_timeout, deadline)
        factory = Factory.forProtocol(lambda: check)
        factory.noisy = False
        connecting = self._road.client(host, port, tls, limit).connect(factory)

        def cancel(_: Deferred[ProbeResult]) -> None:
            check.give_up()
            connecting.cancel()

        def not_connected(failure: Failure) -> None:
            if check.waiting:
                result.callback(ProbeResult(False, _why_not(failure.value, f"{host}:{port}", limit)))

        result: Deferred[ProbeResult] = Deferred(cancel)
        check.tell(result)
        connecting.addErrback(not_connected)
        return result

    def _tls(self, host: str) -> Any:
        if self._probe.protocol == "Http" or self._tls_for is None:
            return None
        return self._tls_for(self._settings, self._probe, host)

    def _request(self, backend: IBackend) -> bytes:
        host = probe_host(self._probe, self._settings, backend.host)
        lines = (
            f"GET {clean(self._probe.path)} HTTP/1.1",
            f"Host: {clean(host)}",
            "User-Agent: gateway-health-probe",
            "Accept: */*",
            "Connection: close",
        )
        return "\r\n".join([*lines, "", ""]).encode("ascii")


def probe_host(probe: Probe, settings: BackendSettings, member_host: str) -> str:
    """The Host of a probe.

    The probe's own; with ``pickHostNameFromBackendHttpSettings``, or where the probe names none, what the settings
    send to the backend (``hostName``, or the member's name); else 127.0.0.1.
    """
    host = None if probe.pick_host_name_from_backend_http_settings else probe.host
    if not host:
        host = settings.host_name
    if not host and settings.pick_host_name_from_backend_address:
        host = member_host
    host = host or DEFAULT_HOST
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


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


@implementer(IStrategyFactory)
class _Factory:
    """Takes its options from the ``probe`` of the services, where the configuration has them in its own words."""

    name = "http"
    options = None

    def build(self, options: None, services: Services) -> HttpProbe:
        if services.probe is None or services.settings is None or services.road is None:
            raise ValueError("the HTTP probe needs a probe, settings and a road")
        return HttpProbe(services.probe, services.settings, services.road, services.tls_for, services.clock)


factory = _Factory()
