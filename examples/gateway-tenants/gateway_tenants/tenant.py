"""``tenant``: a middleware that finds out whose request it is, by the host, and tells the backend."""

from __future__ import annotations

from pydantic import Field

from gateway.http.changes import with_fields
from gateway.middleware.base import BOTH, Factory, Middleware, Options, refusal


class TenantOptions(Options):
    domain: str = Field(description="What tenants' hosts end with: `example.com` for `acme.example.com`.")
    tenants: tuple[str, ...] = Field(min_length=1, description="Names of the tenants; others get 404.")


class Tenant(Middleware):
    traffic = BOTH

    def __init__(self, options, services):
        self._suffix = f".{options.domain.lower()}"
        self._tenants = frozenset(options.tenants)

    def request(self, head, context):
        host = head.host.lower().partition(":")[0]
        tenant = host.removesuffix(self._suffix)
        if tenant == host or tenant not in self._tenants:
            return refusal(404, "no_tenant")
        context.user = tenant  # for the access log, and for message filters
        return with_fields(head, set=[("X-Tenant", tenant)])


factory = Factory("tenant", TenantOptions, Tenant)
