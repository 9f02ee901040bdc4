"""The message filter."""

from __future__ import annotations

from gateway_tenants.quota import factory
from twisted.trial.unittest import SynchronousTestCase

from gateway.testing import FactoryConformance, FakeConversation, MessageFilterConformance, build
from gateway.values import Close

OPTIONS = {"messages": 2, "quotas": {"acme": 3}}


class FactoryTests(FactoryConformance, SynchronousTestCase):
    factory = factory
    group = "gateway.filters"
    good = (OPTIONS, {"messages": 1})
    bad = ({}, {"messages": 0})


class QuotaTests(MessageFilterConformance, SynchronousTestCase):
    def make_filter(self):
        return build(factory, OPTIONS)

    def test_quota(self):
        for user, quota in (("acme", 3), ("umbrella", 2)):
            session = self.make_filter().open(FakeConversation(user=user))
            for _ in range(quota):
                self.assertIsNone(session.message("hello", True))
                self.assertIsNone(session.message("hello yourself", False))
            self.assertEqual(session.message("hello", True), Close(4429, "too many messages"))
