"""The options that choose a configuration, as data: ``twistd gateway`` and ``gatewayctl`` offer the same ones."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CONFIGURATION_OPTIONS", "Option"]


class Option(NamedTuple):
    """``name`` without dashes; ``repeated``: may be given several times; ``keyword`` of `gateway.config.load`."""

    name: str
    keyword: str
    metavar: str
    repeated: bool
    help: str


CONFIGURATION_OPTIONS = (
    Option("parameters", "parameters", "FILE", True, "Parameter file of an ARM template."),
    Option(
        "overrides",
        "overrides",
        "FILE",
        False,
        "Ports, backends, certificates and references for this machine (YAML or JSON).",
    ),
    Option(
        "map-port",
        "map_ports",
        "PORT=PORT",
        True,
        "Bind another port, such as 80=8080; a listener's name instead of the first port works too.",
    ),
    Option(
        "map-backend", "map_backends", "HOST=HOST:PORT", True, "Connect elsewhere, such as 10.0.0.4=127.0.0.1:9001."
    ),
)
