"""Listeners, rules and settings of plain TCP and TLS: they have connections, and no requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import BackendSettings, Gateway, HttpListener, Probe, Rule

__all__ = ["find"]

_LEADING_REQUESTS = ("distribution", "path_map", "routing_map", "redirect", "rewrite")
_REQUESTS_ONLY = ("middleware", "filters", "router")
_MEANINGLESS = (
    "path", "cookie_based_affinity", "affinity_cookie_name", "dedicated_backend_connection", "web_socket_idle_timeout",
)  # fmt: skip


def find(gateway: Gateway) -> Iterator[Finding]:
    """What does not go together, and what has no effect there."""
    listeners = {listener.name: listener for listener in gateway.listeners}
    settings = {item.name: item for item in gateway.settings}
    for index, listener in enumerate(gateway.listeners):
        if listener.layer4:
            yield from _listener(("listeners", index), listener)
    for index, rule in enumerate(gateway.rules):
        yield from _rule(("rules", index), rule, listeners.get(rule.listener), settings)
    for where, name in _settings_of_maps(gateway):
        if name in settings and settings[name].layer4:
            yield Finding(where, f"settings {name!r} are {settings[name].protocol}; a map needs Http or Https")
    for index, item in enumerate(gateway.settings):
        yield from _settings(("settings", index), item)
    for index, probe in enumerate(gateway.probes):
        yield from _probe(("probes", index), probe)
    for index, redirect in enumerate(gateway.redirects):
        target = listeners.get(redirect.target_listener or "")
        if target is not None and target.layer4:
            message = f"listener {target.name!r} is {target.protocol}; only one of Http or Https can be redirected to"
            yield Finding(("redirects", index, "target_listener"), message)


def _settings_of_maps(gateway: Gateway) -> Iterator[tuple[Location, str | None]]:
    """Where path maps and routing maps name settings, and which."""
    for index, path_map in enumerate(gateway.path_maps):
        yield ("path_maps", index, "default_settings"), path_map.default_settings
        for number, path_rule in enumerate(path_map.path_rules):
            yield ("path_maps", index, "path_rules", number, "settings"), path_rule.settings
    for index, routing_map in enumerate(gateway.routing_maps):
        yield ("routing_maps", index, "default_settings"), routing_map.default_settings
        for number, rule in enumerate(routing_map.rules):
            yield ("routing_maps", index, "rules", number, "settings"), rule.settings


def _listener(at: Location, listener: HttpListener) -> Iterator[Finding]:
    if listener.protocol == "Tcp" and listener.host_names:
        yield Finding(
            (*at, "host_names"),
            f"listener {listener.name!r} is Tcp, and a plain connection names no host; only Tls listeners have host "
            "names (SNI)",
        )
    for key in ("middleware", "error_pages"):
        if getattr(listener, key):
            yield Finding((*at, key), f"listener {listener.name!r} is {listener.protocol}: it has no requests")


def _rule(
    at: Location, rule: Rule, listener: HttpListener | None, settings: dict[str, BackendSettings]
) -> Iterator[Finding]:
    if listener is None:
        return
    used = settings.get(rule.settings or "")
    if used is not None and used.layer4 != listener.layer4:
        wanted = "Tcp or Tls" if listener.layer4 else "Http or Https"
        yield Finding(
            (*at, "settings"),
            f"listener {listener.name!r} is {listener.protocol} but settings {used.name!r} are {used.protocol}; they "
            f"must be {wanted}",
        )
    if not listener.layer4:
        return
    title = f"listener {listener.name!r} is {listener.protocol}"
    for key in _LEADING_REQUESTS:
        if getattr(rule, key) is not None:
            yield Finding((*at, key), f"{title}; its rule has a pool and settings, nothing else")
    for key in _REQUESTS_ONLY:
        if getattr(rule, key):
            yield Finding((*at, key), f"{title}: it has no requests")


def _settings(at: Location, settings: BackendSettings) -> Iterator[Finding]:
    if not settings.layer4:
        if settings.enable_l4_client_ip_preservation:
            yield Finding(
                (*at, "enable_l4_client_ip_preservation"),
                f"settings {settings.name!r} are {settings.protocol}, where X-Forwarded-For says who the client is",
            )
        return
    if settings.pick_host_name_from_backend_address:
        yield Finding(
            (*at, "pick_host_name_from_backend_address"),
            "settings of Tcp and Tls cannot take the name from the backend's address "
            "(ApplicationGatewayBackendSettingsPickHostNameFromBackendAddressNotAllowed); give 'hostName'",
        )
    given: Any = settings.model_fields_set
    for key in _MEANINGLESS:
        if key in given and getattr(settings, key) != type(settings).model_fields[key].default:
            yield warning((*at, key), f"settings {settings.name!r} are {settings.protocol}: this has no effect")


def _probe(at: Location, probe: Probe) -> Iterator[Finding]:
    if probe.layer4 and probe.strategy == "http":
        message = f"the strategy 'http' does not speak {probe.protocol}; leave the strategy out, or give Http or Https"
        yield Finding((*at, "protocol"), message)
    elif probe.enable_probe_proxy_protocol_header and not probe.layer4:
        yield warning(
            (*at, "enable_probe_proxy_protocol_header"),
            f"probe {probe.name!r} is {probe.protocol} and sends no PROXY protocol header; those of Tcp and Tls do",
        )
