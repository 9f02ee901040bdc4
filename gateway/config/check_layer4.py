"""What must hold of listeners, rules and settings of plain TCP and TLS: they have connections, and no requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config.model import BackendSettings, Gateway, HttpListener, Rule

__all__ = ["Location", "layer4_findings"]

Location = tuple[str | int, ...]
_Found = tuple[Location, str, str]

_REQUESTS_ONLY = ("middleware", "filters", "router")
_MEANINGLESS = (
    "path", "cookie_based_affinity", "affinity_cookie_name", "dedicated_backend_connection", "web_socket_idle_timeout",
)  # fmt: skip


def layer4_findings(gateway: Gateway) -> Iterator[_Found]:
    """Location, sentence and severity of each."""
    listeners = {listener.name: listener for listener in gateway.listeners}
    settings = {item.name: item for item in gateway.settings}
    for index, listener in enumerate(gateway.listeners):
        if listener.layer4:
            yield from _listener(("listeners", index), listener)
    for index, rule in enumerate(gateway.rules):
        yield from _rule(("rules", index), rule, listeners.get(rule.listener), settings)
    for where, name in _settings_of_maps(gateway):
        if name in settings and settings[name].layer4:
            yield where, f"settings {name!r} are {settings[name].protocol}; a map needs Http or Https", "error"
    for index, item in enumerate(gateway.settings):
        yield from _settings(("settings", index), item)
    for index, probe in enumerate(gateway.probes):
        if probe.layer4 and probe.strategy == "http":
            yield (
                ("probes", index, "protocol"),
                f"the strategy 'http' does not speak {probe.protocol}; leave the strategy out, or give Http or Https",
                "error",
            )
        elif probe.enable_probe_proxy_protocol_header and not probe.layer4:
            yield (
                ("probes", index, "enable_probe_proxy_protocol_header"),
                f"probe {probe.name!r} is {probe.protocol} and sends no PROXY protocol header; those of Tcp and Tls do",
                "warning",
            )
    for index, redirect in enumerate(gateway.redirects):
        target = listeners.get(redirect.target_listener or "")
        if target is not None and target.layer4:
            yield (
                ("redirects", index, "target_listener"),
                f"listener {target.name!r} is {target.protocol}; only one of Http or Https can be redirected to",
                "error",
            )


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


def _listener(at: Location, listener: HttpListener) -> Iterator[_Found]:
    if listener.protocol == "Tcp" and listener.host_names:
        yield (
            (*at, "host_names"),
            f"listener {listener.name!r} is Tcp, and a plain connection names no host; only Tls listeners have host "
            "names (SNI)",
            "error",
        )
    for key in ("middleware", "error_pages"):
        if getattr(listener, key):
            yield (*at, key), f"listener {listener.name!r} is {listener.protocol}: it has no requests", "error"


def _rule(
    at: Location, rule: Rule, listener: HttpListener | None, settings: dict[str, BackendSettings]
) -> Iterator[_Found]:
    if listener is None:
        return
    used = settings.get(rule.settings or "")
    if used is not None and used.layer4 != listener.layer4:
        wanted = "Tcp or Tls" if listener.layer4 else "Http or Https"
        yield (
            (*at, "settings"),
            f"listener {listener.name!r} is {listener.protocol} but settings {used.name!r} are {used.protocol}; they "
            f"must be {wanted}",
            "error",
        )
    if not listener.layer4:
        return
    for key in ("distribution", "path_map", "routing_map", "redirect", "rewrite"):
        if getattr(rule, key) is not None:
            yield (
                (*at, key),
                f"listener {listener.name!r} is {listener.protocol}; its rule has a pool and settings, nothing else",
                "error",
            )
    for key in _REQUESTS_ONLY:
        if getattr(rule, key):
            yield (*at, key), f"listener {listener.name!r} is {listener.protocol}: it has no requests", "error"


def _settings(at: Location, settings: BackendSettings) -> Iterator[_Found]:
    if not settings.layer4:
        if settings.enable_l4_client_ip_preservation:
            yield (
                (*at, "enable_l4_client_ip_preservation"),
                f"settings {settings.name!r} are {settings.protocol}, where X-Forwarded-For says who the client is",
                "error",
            )
        return
    if settings.pick_host_name_from_backend_address:
        yield (
            (*at, "pick_host_name_from_backend_address"),
            "settings of Tcp and Tls cannot take the name from the backend's address "
            "(ApplicationGatewayBackendSettingsPickHostNameFromBackendAddressNotAllowed); give 'hostName'",
            "error",
        )
    given: Any = settings.model_fields_set
    for key in _MEANINGLESS:
        if key in given and getattr(settings, key) != type(settings).model_fields[key].default:
            yield (*at, key), f"settings {settings.name!r} are {settings.protocol}: this has no effect", "warning"
