"""Sets, adds and removes fields of requests and responses; the values are fixed."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from gateway.http.changes import FRAMING, field_fault, with_fields
from gateway.middleware.base import Factory, Middleware, Options
from gateway.values import Context, RequestHead, ResponseHead

__all__ = ["Changes", "Headers", "HeadersOptions", "factory"]

_NOT_OURS = re.compile(r"sec-websocket-.*|proxy-authenticat.*|http2-settings")
_FORWARDED_NAME = re.compile(r"[A-Za-z0-9-]+")


class Changes(Options):
    """What happens to the fields of a head: first ``remove``, then ``set``, then ``add``."""

    set: dict[str, str] = Field(default={}, description="Fields that are there once, with this value, afterwards.")
    add: dict[str, str] = Field(default={}, description="Fields that are put beside those of the same name.")
    remove: tuple[str, ...] = Field(default=(), description="Names of fields that are taken out.")

    @field_validator("set", "add")
    @classmethod
    def _possible(cls, fields: dict[str, str]) -> dict[str, str]:
        for name, value in fields.items():
            fault = field_fault(name, value) or _forbidden(name)
            if fault:
                raise ValueError(fault)
        return fields

    @field_validator("remove")
    @classmethod
    def _removable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            fault = field_fault(name, "") or _forbidden(name)
            if fault:
                raise ValueError(fault)
        return names

    def __bool__(self) -> bool:
        return bool(self.set or self.add or self.remove)


def _forbidden(name: str) -> str:
    lower = name.lower()
    if lower == "host":
        return "Host is made from the settings: use `hostName` there"
    if lower in FRAMING or _NOT_OURS.fullmatch(lower):
        return f"{name} frames the message or belongs to the connection or the handshake: only the gateway sets it"
    return ""


class HeadersOptions(Options):
    """Changes to heads in both directions."""

    request: Changes = Field(default=Changes(), description="What the backend gets.")
    response: Changes = Field(default=Changes(), description="What the client gets, also from the gateway itself.")

    @model_validator(mode="after")
    def _some(self) -> HeadersOptions:
        if not self.request and not self.response:
            raise ValueError("say what to change, in `request` or `response`")
        for name in (*self.request.set, *self.request.add):
            if _FORWARDED_NAME.fullmatch(name) is None:
                raise ValueError(f"a request field {name!r} is not passed on: letters, digits and hyphens only")
        return self


class Headers(Middleware):
    """Changes heads; never what frames them."""

    def __init__(self, options: HeadersOptions, services: Any = None) -> None:
        self._request = options.request
        self._response = options.response

    def request(self, head: RequestHead, context: Context) -> RequestHead | None:
        """See `IMiddleware.request`."""
        changes = self._request
        if not changes:
            return None
        return with_fields(head, set=[*changes.set.items()], add=[*changes.add.items()], remove=changes.remove)

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        changes = self._response
        if not changes:
            return None
        return with_fields(head, set=[*changes.set.items()], add=[*changes.add.items()], remove=changes.remove)


factory = Factory("headers", HeadersOptions, Headers)
