"""The middleware."""

from __future__ import annotations

from gateway_tenants.tenant import factory
from twisted.trial.unittest import SynchronousTestCase

from gateway.testing import (
    FactoryConformance,
    MiddlewareConformance,
    build,
    request_context,
    request_head,
)
from gateway.values import Reply

OPTIONS = {"domain": "example.com", "tenants": ["acme", "umbrella"]}


class FactoryTests(FactoryConformance, SynchronousTestCase):
    factory = factory
    group = "gateway.middleware"
    good = (OPTIONS,)
    bad = ({}, {"domain": "example.com", "tenants": []})


class TenantTests(MiddlewareConformance, SynchronousTestCase):
    requests = (request_head(host="acme.example.com"),)

    def make_middleware(self):
        return build(factory, OPTIONS)

    def test_known(self):
        head = request_head(host="ACME.example.com:8080", fields=[("X-Tenant", "umbrella")])
        context = request_context(head)
        passed = self.make_middleware().request(head, context)
        self.assertEqual((passed.get("x-tenant"), context.user), ("acme", "acme"))

    def test_unknown(self):
        for host in ("example.com", "wayne.example.com", "a.acme.example.com", "acme.example.org", ""):
            head = request_head(host=host)
            reply = self.make_middleware().request(head, request_context(head))
            self.assertIsInstance(reply, Reply)
            self.assertEqual((reply.status, reply.cause), (404, "no_tenant"))
