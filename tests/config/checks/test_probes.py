"""`gateway.config.checks.probes`."""

from __future__ import annotations

from typing import Any

from gateway.config.model import BackendSettings, Gateway, Match, PassiveHealth, Probe
from tests.config.checks.support import POOL, CheckCase, gateway


class ProbeTests(CheckCase):
    """Codes and times."""

    def probed(self, **members: Any) -> Gateway:
        settings = BackendSettings(name="s", request_timeout=60, probe="q")
        return gateway(settings=(settings,), probes=(Probe(name="q", **members),))

    def test_probes(self) -> None:
        self.says(
            self.probed(match=Match(status_codes=("200", "x", "300-200", "2000"))),
            "found 'x'",
            "found '300-200'",
            "found '2000'",
        )
        self.says(self.probed(timeout=40), "longer than the interval", severity="warning")

    def test_passive_health(self) -> None:
        passive = PassiveHealth(server_error_codes=("502-504", "5xx"))
        self.says(
            gateway(pools=(POOL.model_copy(update={"passive_health": passive}),)),
            "pools[0].passiveHealth.serverErrorCodes[1]: found '5xx'; expected a status code such as 200",
        )
