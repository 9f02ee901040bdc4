"""The health of a member in Application Gateway's words."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import BackendSettings, Member
from gateway.health.reports import health_of, health_report
from gateway.pools.backend import Loads
from gateway.pools.pool import Pool
from gateway.pools.round_robin import RoundRobin


def pool(min_servers: int = 0, settings: str = "settings") -> Pool:
    """A pool of two members that nobody has probed."""
    members = (Member(host="10.0.0.1"), Member(host="app.example"))
    return Pool("pool", BackendSettings(name=settings), members, RoundRobin(), loads=Loads(), min_servers=min_servers)


class HealthTests(SynchronousTestCase):
    def health(self, some: Any) -> tuple[str, str]:
        return health_of(some, some.backends[0])

    def test_states(self) -> None:
        some = pool()
        member = some.backends[0]
        self.assertEqual(("Unknown", "no probe has succeeded yet"), self.health(some))
        some.set_health(member, True, "fine")
        self.assertEqual(("Up", "fine"), self.health(some))
        some.eject(member, "5 failed answers in a row")
        self.assertEqual(("Down", "5 failed answers in a row"), self.health(some))
        some.let_in(member, "tried again")
        some.set_health(member, False, "no answer")
        self.assertEqual(("Down", "no answer"), self.health(some))
        some.set_draining(member, True)
        self.assertEqual(("Draining", "is being drained"), self.health(some))

    def test_kept_by_min_servers(self) -> None:
        some = pool(min_servers=1)
        for member in some.backends:
            some.set_health(member, False, "no answer")
        self.assertEqual("Partial", self.health(some)[0])
        self.assertIn("minServers", self.health(some)[1])
        self.assertEqual("Down", health_of(some, some.backends[1])[0])

    def test_one_entry_for_each_pool(self) -> None:
        report = health_report("g", [pool(), pool(settings="other")])
        (entry,) = report["backendAddressPools"]
        ids = [each["backendHttpSettings"]["id"] for each in entry["backendHttpSettingsCollection"]]
        names = [each.rpartition("/")[2] for each in ids]
        self.assertEqual(["settings", "other"], names)
