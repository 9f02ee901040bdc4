"""Cross-origin requests of browsers, (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from gateway.http.changes import with_fields
from gateway.middleware.base import HTTP, Factory, Middleware, Options, refusal
from gateway.middleware.origins import Origin, Origins
from gateway.values import Context, Reply, RequestHead, ResponseHead

__all__ = ["Cors", "CorsOptions", "factory"]

_Token = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")]

_SIMPLE_METHODS = {"GET", "HEAD", "POST"}
_OURS = (
    "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
)  # fmt: skip


class CorsOptions(Options):
    """Which pages of other origins may ask what."""

    origins: tuple[Origin, ...] = Field(min_length=1, description="Such as `https://example.com`; `*` for any.")
    methods: tuple[_Token, ...] = Field(default=("GET", "HEAD", "POST"), description="Methods that may be used.")
    headers: tuple[_Token, ...] = Field(default=(), description="Request fields that may be set; `*` for any.")
    expose_headers: tuple[_Token, ...] = Field(default=(), description="Response fields that a page may read.")
    credentials: bool = Field(default=False, description="Cookies and Authorization may be sent; needs named origins.")
    max_age: int = Field(default=600, ge=0, le=86400, description="Seconds that a browser remembers a preflight.")

    @model_validator(mode="after")
    def _safe(self) -> CorsOptions:
        if self.credentials and "*" in self.origins:
            raise ValueError("`credentials` for any origin would let every page act for its visitors: name the origins")
        return self


class Cors(Middleware):
    """Answers preflights, and says on responses which page may read them; the backend's own word is replaced."""

    traffic = HTTP

    def __init__(self, options: CorsOptions, services: Any = None) -> None:
        self._options = options
        self._origins = Origins(options.origins)
        self._methods = {method.upper() for method in options.methods} | _SIMPLE_METHODS
        self._headers = {name.lower() for name in options.headers}
        self._star = self._origins.any
        self._readable = self._fields_of_responses()

    def _fields_of_responses(self) -> list[tuple[str, str]]:
        options = self._options
        fields = [("Access-Control-Allow-Credentials", "true")] if options.credentials else []
        if options.expose_headers:
            fields.append(("Access-Control-Expose-Headers", ", ".join(options.expose_headers)))
        return fields

    def request(self, head: RequestHead, context: Context) -> Reply | None:
        """Answer a preflight; remember the Origin of anything else."""
        origin = head.get("origin")
        context.notes[self] = origin
        method = head.get("access-control-request-method")
        if origin is None or method is None or head.method != "OPTIONS":
            return None
        wanted = [name.strip().lower() for name in (head.get("access-control-request-headers") or "").split(",")]
        names = [name for name in wanted if name]
        any_name = "*" in self._headers
        if (
            origin not in self._origins
            or method.upper() not in self._methods
            or not (any_name or self._headers.issuperset(names))
        ):
            return refusal(403, "preflight_refused", [("Vary", "Origin")])
        fields = [
            ("Access-Control-Allow-Origin", "*" if self._star else origin),
            ("Access-Control-Allow-Methods", ", ".join(sorted(self._methods))),
            ("Access-Control-Max-Age", str(self._options.max_age)),
            ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]
        if names:
            fields.append(("Access-Control-Allow-Headers", ", ".join(names)))
        if self._options.credentials:
            fields.append(("Access-Control-Allow-Credentials", "true"))
        return Reply(204, tuple(fields), b"", "preflight")

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        origin = context.notes.get(self)
        fields: list[tuple[str, str]] = []
        if origin is not None and origin in self._origins:
            fields = [("Access-Control-Allow-Origin", "*" if self._star else origin), *self._readable]
        if not self._star:
            # Also where there is no Origin: a cache must not give this answer to a page.
            fields.append(("Vary", "Origin"))
        return with_fields(head, add=fields, remove=_OURS)


factory = Factory("cors", CorsOptions, Cors)
