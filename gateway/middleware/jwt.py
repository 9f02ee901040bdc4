"""JSON Web Tokens (RFC 7519, RFC 8725): who has a good one comes in, and its session ends with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

import jwt
from pydantic import Field, StringConstraints, model_validator
from zope.interface import implementer

from gateway.http.changes import with_fields
from gateway.interfaces import ILasting
from gateway.middleware.base import Factory, Middleware, Options, refusal
from gateway.middleware.files import WatchedFile
from gateway.middleware.jwt_keys import Keys, pem_keys, secret_keys, set_keys
from gateway.middleware.tokens import SOURCES, Token, source
from gateway.middleware.users import UserHeader, user_text
from gateway.transport.deadlines import steady
from gateway.values import Context, Reply, RequestHead, ResponseHead

__all__ = ["JsonWebToken", "JwtOptions", "factory"]

_LONGEST_TOKEN = 8192
_MOST_SECONDS = 10 * 365 * 86400

_Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
_Source = Annotated[str, StringConstraints(pattern=SOURCES)]


class JwtOptions(Options):
    """How tokens are found and verified; exactly one of the three files has the keys."""

    algorithms: tuple[_Algorithm, ...] = Field(
        min_length=1,
        description="Those that are accepted, all of one kind: `HS256` …, or `RS256`, `PS256`, `ES256` …, `EdDSA`.",
    )
    secret_file: str | None = Field(default=None, description="File with the shared secret of HS algorithms.")
    key_file: str | None = Field(default=None, description="PEM file with a public key or a certificate.")
    jwks_file: str | None = Field(default=None, description="File with a JWK set; as all, read again when it changes.")
    issuer: str | None = Field(default=None, description="What `iss` has to be.")
    audience: tuple[str, ...] = Field(default=(), description="`aud` has to name one of these; empty: anything goes.")
    leeway: float = Field(default=10, ge=0, le=600, description="Seconds by which clocks may differ.")
    require_expiry: bool = Field(default=True, description="Tokens without `exp` are refused.")
    sources: tuple[_Source, ...] = Field(
        default=("authorization",),
        min_length=1,
        description="Where tokens are looked for: `authorization`, `header:NAME`, `cookie:NAME`, `query:NAME`, "
        "`subprotocol:NAME` (the WebSocket subprotocol offered behind NAME).",
    )
    optional: bool = Field(default=False, description="Requests without a token come in, without a user.")
    claims: dict[str, str | tuple[str, ...]] = Field(
        default={}, description="What claims have to be, or to contain; one of several values is enough (403)."
    )
    user_claim: str = Field(default="sub", description="The claim that names the user, for the log.")
    headers: dict[UserHeader, str] = Field(
        default={},
        description="Request fields for the backend and their claims; a client's own are taken out.",
    )
    forward: bool = Field(default=True, description="The backend gets the token, as `Authorization: Bearer`.")
    close_code: int = Field(
        default=4401, ge=4000, le=4999, description="Close code of a WebSocket session whose token has expired."
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> JwtOptions:
        given = [name for name in (self.secret_file, self.key_file, self.jwks_file) if name is not None]
        if len(given) != 1:
            raise ValueError("exactly one of `secretFile`, `keyFile` and `jwksFile` is needed")
        shared = [name.startswith("HS") for name in self.algorithms]
        if any(shared) and not all(shared):
            raise ValueError("HS algorithms and others cannot be mixed: a public key must not serve as a secret")
        if all(shared) != (self.secret_file is not None):
            raise ValueError("HS algorithms go with `secretFile`, all others with `keyFile` or `jwksFile`")
        return self


@implementer(ILasting)
class JsonWebToken(Middleware):
    """Answers 401 without a good token, 403 where its claims are not enough."""

    def __init__(self, options: JwtOptions, services: Any, wall: Callable[[], float] = time.time) -> None:
        self._options = options
        self._wall = wall
        self._sources = [source(text) for text in options.sources]
        self._keys = _keys(options, steady(services.clock))
        self._claims = {
            name: {wanted} if isinstance(wanted, str) else set(wanted) for name, wanted in options.claims.items()
        }
        self._checks: Any = {"require": ["exp"] if options.require_expiry else [], "verify_aud": bool(options.audience)}

    def request(self, head: RequestHead, context: Context) -> RequestHead | Reply | None:
        """See `IMiddleware.request`."""
        options = self._options
        token = next((found for look in self._sources if (found := look(head)) is not None), None)
        if token is None:
            if options.optional:
                return with_fields(head, remove=options.headers) if options.headers else None
            return refusal(401, "unauthorized", [("WWW-Authenticate", "Bearer")])
        context.conceal(token.shown)
        try:
            claims = self._verified(token.text)
        except jwt.PyJWTError:
            return refusal(401, "unauthorized", [("WWW-Authenticate", 'Bearer error="invalid_token"')])
        if not all(wanted & _values(_claim(claims, name)) for name, wanted in self._claims.items()):
            return refusal(403, "forbidden", [("WWW-Authenticate", 'Bearer error="insufficient_scope"')])
        context.user = user_text(_text(_claim(claims, options.user_claim)))
        expiry = claims.get("exp")
        if expiry is not None:
            left = min(int(expiry) - int(self._wall()), _MOST_SECONDS) + options.leeway
            context.end_session(context.clock() + left, options.close_code, "the token has expired")
        context.notes[self] = token.marker
        return self._passed_on(token, claims)

    def _verified(self, text: str) -> Mapping[str, Any]:
        """The claims. Raises ``jwt.PyJWTError``."""
        options = self._options
        if len(text) > _LONGEST_TOKEN or not text.isascii():
            raise jwt.DecodeError
        header = jwt.get_unverified_header(text)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in options.algorithms:
            raise jwt.InvalidAlgorithmError
        key = self._keys.value.find(algorithm, key_id if isinstance(key_id, str) else None)
        if key is None:
            raise jwt.InvalidKeyError
        try:
            claims: Mapping[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                options=self._checks,
                audience=options.audience or None,
                issuer=options.issuer,
                leeway=options.leeway,
            )
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            # Numbers as large as the world, JSON as deep as the sea: the token's fault.
            raise jwt.DecodeError from error
        return claims

    def _passed_on(self, token: Token, claims: Mapping[str, Any]) -> RequestHead:
        options = self._options
        head = token.rest
        shown = {name: _text(_claim(claims, claim)) for name, claim in options.headers.items()}
        fields = [(name, user_text(text)) for name, text in shown.items() if text]
        if options.forward:
            fields.append(("Authorization", f"Bearer {token.text}"))
        return with_fields(head, set=fields, remove=options.headers)

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """A browser that offered nothing but the token has to be answered with its name (RFC 6455 §4.2.2)."""
        marker = context.notes.get(self)
        if marker and head.status == 101 and "sec-websocket-protocol" not in head.index:
            return with_fields(head, add=[("Sec-WebSocket-Protocol", marker)])
        return None


def _keys(options: JwtOptions, seconds: Callable[[], float]) -> WatchedFile[Keys]:
    if options.secret_file is not None:
        least = max(int(name[2:]) // 8 for name in options.algorithms)
        return WatchedFile(options.secret_file, partial(secret_keys, least=least), seconds)
    if options.key_file is not None:
        return WatchedFile(options.key_file, pem_keys, seconds)
    return WatchedFile(options.jwks_file or "", set_keys, seconds)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name; a name with dots that is none itself goes into objects (``realm_access.roles``)."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _values(claim: Any) -> set[str]:
    """What a claim contains: one value, those of a list, or the words of a text (``scope``)."""
    if isinstance(claim, list):
        return {_text(item) for item in claim}
    text = _text(claim)
    return {text, *text.split()}


def _text(claim: Any) -> str:
    if isinstance(claim, bool):
        return "true" if claim else "false"
    if isinstance(claim, str | int | float):
        return str(claim)
    if isinstance(claim, list):
        return ",".join([_text(item) for item in claim])
    return ""


factory = Factory("jwt", JwtOptions, JsonWebToken)
