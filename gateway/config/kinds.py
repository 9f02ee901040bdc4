"""What one object of each collection of the model is called in messages."""

from __future__ import annotations

from typing import Final

__all__ = ["ONE"]

ONE: Final = {
    "listeners": "listener",
    "pools": "pool",
    "settings": "settings",
    "probes": "probe",
    "path_maps": "path map",
    "redirects": "redirect",
    "rewrites": "rewrite set",
    "routing_maps": "routing map",
    "condition_sets": "condition set",
    "distributions": "distribution",
    "certificates": "certificate",
    "trusted_roots": "trusted root",
    "ssl_profiles": "profile",
    "trusted_client_certificates": "trusted client certificate",
}
