"""The selector."""

from __future__ import annotations

from gateway_tenants.homes import factory
from twisted.trial.unittest import SynchronousTestCase

from gateway.testing import FactoryConformance, FakeBackend, SelectorConformance, build, request_head

OPTIONS = {"homes": {"acme": "10.0.0.2:80", "umbrella": "10.0.0.9:80"}}


class FactoryTests(FactoryConformance, SynchronousTestCase):
    factory = factory
    group = "gateway.selectors"
    good = (OPTIONS, {**OPTIONS, "header": "X-Customer", "over": "least-connections"})
    bad = ({}, {"homes": {}}, {"homes": {"acme": 1}})


class HomesTests(SelectorConformance, SynchronousTestCase):
    def make_selector(self):
        return build(factory, OPTIONS)

    def test_homes(self):
        one, two, three = candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in (1, 2, 3)])
        selector = self.make_selector()
        acme, umbrella = [request_head(fields=[("X-Tenant", name)]) for name in ("acme", "umbrella")]
        self.assertEqual([selector.select(candidates, acme) for _ in range(3)], [two] * 3)
        self.assertEqual([selector.select(candidates, umbrella) for _ in range(3)], [one, two, three])
        self.assertIn(selector.select((one, three), acme), (one, three))
