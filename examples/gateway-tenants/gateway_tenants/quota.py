"""``tenant-quota``: a message filter that ends a WebSocket session after as many messages as its tenant may send."""

from __future__ import annotations

from pydantic import Field

from gateway.filters.base import Factory, Filter, Options
from gateway.values import Close


class QuotaOptions(Options):
    messages: int = Field(ge=1, description="Messages that a client may send in one session.")
    quotas: dict[str, int] = Field(default={}, description="The same by the name of a tenant.")


class Quota(Filter):
    def __init__(self, options, services):
        self._options = options

    def open(self, conversation):
        return Session(self._options.quotas.get(conversation.user, self._options.messages))


class Session(Filter):
    def __init__(self, left):
        self._left = left

    def message(self, payload, from_client):
        self._left -= from_client
        return Close(4429, "too many messages") if self._left < 0 else None


factory = Factory("tenant-quota", QuotaOptions, Quota)
