"""Which probe belongs to which settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.model import Probe

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings, Gateway

__all__ = ["DEFAULT_PROBE", "default_probe", "probe_for"]

DEFAULT_PROBE = "default"
"""The name of the default probe, for logs and the admin page."""


def default_probe(settings: BackendSettings) -> Probe:
    """The probe of settings that name none: GET / every 30 s, 200 to 399 is healthy, three failures are down.

    Settings of plain TCP and TLS get a connection, with TLS where that is spoken, instead of a GET.
    """
    return Probe.model_validate({"name": DEFAULT_PROBE, "protocol": settings.protocol})


def probe_for(model: Gateway, settings: BackendSettings) -> Probe:
    """The probe that ``settings`` name, or the default probe. The model has been checked."""
    if settings.probe is None:
        return default_probe(settings)
    return next(probe for probe in model.probes if probe.name == settings.probe)
