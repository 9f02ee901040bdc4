"""Backend settings: with their probe, hosts and paths, and how long WebSockets may be quiet."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import BackendSettings, Gateway, Probe

__all__ = ["find"]

_PING = 20
"""Seconds between pings that are usual."""


def find(gateway: Gateway) -> Iterator[Finding]:
    """What is wrong with each, or will hurt."""
    probes = {probe.name: probe for probe in gateway.probes}
    for index, settings in enumerate(gateway.settings):
        at: Location = ("settings", index)
        probe = probes.get(settings.probe or "")
        if probe is not None:
            yield from _probe(at, settings, probe)
        yield from _host_and_path(at, settings)
        if not settings.layer4:
            yield from _idle(at, settings)


def _probe(at: Location, settings: BackendSettings, probe: Probe) -> Iterator[Finding]:
    spoken = probe.strategy in ("http", "websocket") and not settings.layer4
    if spoken and probe.protocol != settings.protocol:
        yield Finding(
            (*at, "probe"),
            f"probe {probe.name!r} speaks {probe.protocol} but settings {settings.name!r} {settings.protocol}; they "
            "must agree",
        )


def _host_and_path(at: Location, settings: BackendSettings) -> Iterator[Finding]:
    if settings.host_name and settings.pick_host_name_from_backend_address:
        message = "'hostName' and 'pickHostNameFromBackendAddress' exclude each other; give one of them"
        yield Finding((*at, "host_name"), message)
    if settings.path is not None and not settings.path.startswith("/"):
        message = f"found {settings.path!r}; a path that does not begin with '/' is taken as '/{settings.path}'"
        yield warning((*at, "path"), message)


def _idle(at: Location, settings: BackendSettings) -> Iterator[Finding]:
    idle = settings.web_socket_idle_timeout
    if idle is None and settings.request_timeout <= _PING:
        yield warning(
            (*at, "request_timeout"),
            f"{settings.request_timeout} s is also the idle limit of WebSockets, and many send a ping only every "
            f"{_PING} s: quiet sessions are cut before it. Set it above the ping interval (40, say), or give "
            "'webSocketIdleTimeout'",
        )
    elif idle is not None and idle <= _PING:
        yield warning(
            (*at, "web_socket_idle_timeout"),
            f"{idle} s is not above the usual ping interval of {_PING} s: quiet WebSockets are cut before their ping",
        )
