"""`gateway.config.serving`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.config.serving import nothing_served


class ServingTests(SynchronousTestCase):
    """Whether a listener works."""

    def said(self, **changes: Any) -> str | None:
        document: dict[str, Any] = {
            "listeners": [{"name": "web", "port": 80}],
            "pools": [{"name": "pool"}, {"name": "unavailable"}],
            "settings": [{"name": "s"}],
            "redirects": [{"name": "away", "targetUrl": "https://a.test/"}],
            "rules": [{"name": "rule", "listener": "web", "pool": "pool", "settings": "s"}],
        }
        return nothing_served(Gateway.model_validate(document | changes))

    def rule(self, **leads: Any) -> list[dict[str, Any]]:
        return [{"name": "rule", "listener": "web", "settings": "s", **leads}]

    def test_works(self) -> None:
        """A pool that is empty is there: its members may be on their way."""
        self.assertIsNone(self.said())
        self.assertIsNone(self.said(rules=self.rule(redirect="away")))
        self.assertIsNone(self.said(rules=self.rule(router={"strategy": "mine"})))

    def test_no_listeners(self) -> None:
        self.assertEqual(self.said(listeners=[]), "there are no listeners, so nothing is served")
        self.assertEqual(self.said(rules=[]), "there are no rules, so nothing is served")

    def test_no_rule(self) -> None:
        both = [{"name": "web", "port": 80}, {"name": "other", "port": 81}]
        self.assertIsNone(self.said(listeners=both))
        self.assertEqual(self.said(listeners=both[1:]), "nothing is served: listener 'other' has no rule")

    def test_no_certificate(self) -> None:
        secure = [{"name": "web", "port": 80, "protocol": "Https", "certificates": ["a", "b"]}]
        there, gone = {"name": "a", "data": "x"}, {"name": "b", "unavailable": "it is in a Key Vault"}
        self.assertIsNone(self.said(listeners=secure, certificates=[there, gone]))
        wanted = "nothing is served: listener 'web' has no certificate that can be used"
        self.assertEqual(self.said(listeners=secure, certificates=[gone]), wanted)
        self.assertEqual(self.said(listeners=[{"name": "web", "port": 80, "protocol": "Tls"}]), wanted)

    def test_leads_nowhere(self) -> None:
        """Only to what stands for something that is missing, by whatever way."""
        wanted = "nothing is served: listener 'web' leads to nothing that is there"
        maps = {"name": "m", "defaultPool": "unavailable", "pathRules": [{"name": "p", "paths": ["/a"], "pool": "{}"}]}
        kinds = {"name": "m", "defaultPool": "{}", "rules": [{"name": "k", "priority": 1, "conditionSet": "c"}]}
        shares = {"name": "d", "targets": [{"pool": "unavailable"}, {"pool": "{}"}]}
        for lead, others in (
            ({"pool": "{}"}, {}),
            ({"pathMap": "m"}, {"pathMaps": [maps]}),
            ({"routingMap": "m"}, {"routingMaps": [kinds]}),
            ({"distribution": "d"}, {"distributions": [shares]}),
        ):
            for pool, expected in (("unavailable", wanted), ("pool", None)):
                changes = _filled({"rules": self.rule(**lead), **others}, pool)
                self.assertEqual(self.said(**changes), expected, (lead, pool))
        maps["pathRules"][0] = {"name": "p", "paths": ["/a"], "redirect": "away"}
        self.assertIsNone(self.said(rules=self.rule(pathMap="m"), pathMaps=[maps]))
        own = [{"name": "unavailable", "members": [{"host": "a.test"}]}]
        self.assertIsNone(self.said(rules=self.rule(pool="unavailable"), pools=own))

    def test_many(self) -> None:
        """Not all of them are listed."""
        said = self.said(listeners=[{"name": f"l{number}", "port": number + 1} for number in range(20)])
        assert said is not None
        self.assertTrue(said.endswith("listener 'l7' has no rule, and 12 more are like that"), said)


def _filled(value: Any, pool: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, pool) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, pool) for item in value]
    return pool if value == "{}" else value
