"""Response fields that tell browsers to be careful."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from gateway.http.changes import field_fault, with_fields
from gateway.middleware.base import HTTP, Factory, Middleware, Options
from gateway.values import Context, ResponseHead

__all__ = ["SecurityHeaders", "SecurityHeadersOptions", "factory"]


def _value(value: str) -> str:
    fault = field_fault("X", value)
    if fault:
        raise ValueError("has a line break, a control character or one outside latin-1")
    return value


_Value = Annotated[str, AfterValidator(_value)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]


class SecurityHeadersOptions(Options):
    """Each field has a default that breaks few sites; ``null`` leaves it out."""

    hsts_max_age: int | None = Field(
        default=None,
        ge=0,
        description="Seconds in which browsers use HTTPS only (HSTS); default: not sent.",
    )
    hsts_include_subdomains: bool = Field(default=False, description="That goes for all names below, too.")
    hsts_preload: bool = Field(default=False, description="Browsers may have it built in.")
    content_type_options: Literal["nosniff"] | None = Field(
        default="nosniff", description="Value of X-Content-Type-Options."
    )
    frame_options: Literal["DENY", "SAMEORIGIN"] | None = Field(
        default="SAMEORIGIN", description="Value of X-Frame-Options."
    )
    referrer_policy: _Value | None = Field(
        default="strict-origin-when-cross-origin", description="Value of Referrer-Policy."
    )
    content_security_policy: _Value | None = Field(default=None, description="Value of Content-Security-Policy.")
    permissions_policy: _Value | None = Field(default=None, description="Value of Permissions-Policy.")
    cross_origin_opener_policy: _Value | None = Field(default=None, description="Value of Cross-Origin-Opener-Policy.")
    cross_origin_resource_policy: _Value | None = Field(
        default=None, description="Value of Cross-Origin-Resource-Policy."
    )
    hide: tuple[_Name, ...] = Field(default=("Server", "X-Powered-By"), description="Fields that are taken out.")
    override: bool = Field(default=False, description="Replace what the backend says; default: its own word stays.")


class SecurityHeaders(Middleware):
    """Adds the fields to every response, also to errors."""

    traffic = HTTP

    def __init__(self, options: SecurityHeadersOptions, services: Any = None) -> None:
        named = {
            "X-Content-Type-Options": options.content_type_options,
            "X-Frame-Options": options.frame_options,
            "Referrer-Policy": options.referrer_policy,
            "Content-Security-Policy": options.content_security_policy,
            "Permissions-Policy": options.permissions_policy,
            "Cross-Origin-Opener-Policy": options.cross_origin_opener_policy,
            "Cross-Origin-Resource-Policy": options.cross_origin_resource_policy,
        }
        self._plain = [(name, value) for name, value in named.items() if value is not None]
        self._secure = list(self._plain)
        if options.hsts_max_age is not None:
            value = f"max-age={options.hsts_max_age}"
            value += "; includeSubDomains" if options.hsts_include_subdomains else ""
            value += "; preload" if options.hsts_preload else ""
            self._secure.append(("Strict-Transport-Security", value))
        self._hide = options.hide
        self._override = options.override

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        fields = self._secure if context.scheme == "https" else self._plain
        if not self._override:
            fields = [field for field in fields if field[0].lower() not in head.index]
        return with_fields(head, set=fields, remove=self._hide)


factory = Factory("security-headers", SecurityHeadersOptions, SecurityHeaders)
