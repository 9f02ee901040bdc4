"""`gateway.config.checks.settings`."""

from __future__ import annotations

from typing import Any

from gateway.config.model import BackendSettings, Gateway, Probe
from tests.config.checks.support import CheckCase, gateway


class SettingsTests(CheckCase):
    """Alone and with a probe."""

    def test_settings(self) -> None:
        def made(settings: dict[str, Any], **probe: Any) -> Gateway:
            settings = {"name": "s", "request_timeout": 60, "probe": "q"} | settings
            return gateway(settings=(BackendSettings(**settings),), probes=(Probe(name="q", **probe),))

        self.says(made({}))
        self.says(made({"protocol": "Https"}), "settings[0].probe: probe 'q' speaks Http but settings 's' Https")
        self.says(made({"host_name": "x", "pick_host_name_from_backend_address": True}), "exclude each other")
        self.says(made({"protocol": "Https"}, strategy="websocket"), "probe 'q' speaks Http but settings 's' Https")
        self.says(made({"protocol": "Https"}, strategy="tcp"))
        self.says(
            made({"request_timeout": 20}),
            "settings[0].requestTimeout: 20 s is also the idle limit of WebSockets",
            severity="warning",
        )
        self.says(made({"request_timeout": 20, "web_socket_idle_timeout": 60}), severity="warning")
        self.says(made({"web_socket_idle_timeout": 20}), "not above the usual ping interval", severity="warning")
        self.says(made({"path": "x"}), "does not begin with '/'", severity="warning")
