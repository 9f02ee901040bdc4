"""`gateway.config.checks.distributions`."""

from __future__ import annotations

from tests.config.support import ConfigurationTestCase
from tests.config.test_routing_maps import YAML


class DistributionTests(ConfigurationTestCase):
    """Their pools."""

    def test_refused(self) -> None:
        for distribution, words in (
            ("{name: d, targets: [{pool: chat, weight: 0}]}", "a whole number from 1 to 100"),
            ("{name: d, targets: [{pool: chat, weight: 101}]}", "a whole number from 1 to 100"),
            ("{name: d, targets: [{pool: chatt}]}", "there is no pool 'chatt'"),
            ("{name: d}", "distribution 'd' has no targets"),
            ("{name: d, targets: [{pool: chat}, {pool: chat}]}", "pool 'chat' is there twice"),
            ("{name: d, algorithm: Random, targets: [{pool: chat}]}", "one of RoundRobin, LeastConnections, IpHash"),
        ):
            text = f"{YAML}rules: [{{listener: web, distribution: d}}]\ndistributions: [{distribution}]\n"
            found = self.refused(text)
            self.assertTrue(any(words in problem for problem in found), (distribution, found))
        text = (
            YAML
            + "rules: [{listener: web, distribution: d, pool: chat}]\ndistributions: [{name: d, targets: {pool: chat}}]"
        )
        self.assertIn("has a pool and a distribution", self.refused_once(text))
