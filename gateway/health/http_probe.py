"""The HTTP and HTTPS probe: one GET on a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from gateway.health.check import ConnectingProbe, parts
from gateway.health.http_check import HttpCheck
from gateway.health.matching import StatusCodes
from gateway.interfaces import IStrategyFactory
from gateway.routing.uris import clean

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Probe
    from gateway.interfaces import IBackend
    from gateway.services import Services

__all__ = ["DEFAULT_HOST", "HttpProbe", "factory", "probe_host"]

DEFAULT_HOST = "127.0.0.1"
"""Host of a probe that names none; the connection goes to the member all the same."""


class HttpProbe(ConnectingProbe):
    """GET a path and look at status and perhaps body. Redirects are not followed, the connection is closed.

    ``tls_for`` may be missing where ``probe.protocol`` is ``Http``.
    """

    def __init__(self, probe: Probe, *others: Any) -> None:
        super().__init__(probe, *others)
        self._codes = StatusCodes(probe.match.status_codes)

    def make_check(self, backend: IBackend) -> HttpCheck:
        """See `ConnectingProbe.make_check`."""
        return HttpCheck(self._request(backend), self._codes, self.probe.match.body, self.clock)

    def _request(self, backend: IBackend) -> bytes:
        host = probe_host(self.probe, self.settings, backend.host)
        lines = (
            f"GET {clean(self.probe.path)} HTTP/1.1",
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


@implementer(IStrategyFactory)
class _Factory:
    """Takes its options from the ``probe`` of the services, where the configuration has them in its own words."""

    name = "http"
    options = None

    def build(self, options: None, services: Services) -> HttpProbe:
        return HttpProbe(*parts(services, "HTTP"))


factory = _Factory()
