"""Basic authentication (RFC 7617) against hashed passwords."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from pydantic import Field, field_validator, model_validator
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.http.changes import with_fields
from gateway.interfaces import ILasting
from gateway.middleware.base import Factory, Middleware, Options, refusal
from gateway.middleware.files import WatchedFile
from gateway.middleware.passwords import hash_fault, read_users, verify
from gateway.middleware.users import UserHeader, user_text
from gateway.transport.deadlines import steady
from gateway.values import Context, Reply, RequestHead

__all__ = ["BasicAuth", "BasicAuthOptions", "factory"]

_AT_A_TIME = 2
_MOST_WAITING = 64
_MOST_REMEMBERED = 1024

_NOBODY = "$scrypt$ln=14,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


class BasicAuthOptions(Options):
    """Who may come in: ``users``, those of ``file``, or both."""

    realm: str = Field(
        default="gateway", pattern=r"^[\x20\x21\x23-\x5b\x5d-\x7e]*$", description="Shown by the browser."
    )
    users: dict[str, str] = Field(default={}, repr=False, description="Hash by name: bcrypt or scrypt.")
    file: str | None = Field(default=None, description="Lines `name:hash` (htpasswd -B); read again when it changes.")
    cache_seconds: float = Field(default=300, ge=0, le=86400, description="How long a right password is remembered.")
    user_header: UserHeader | None = Field(default=None, description="Request field with the name for the backend.")
    forward_credentials: bool = Field(default=False, description="Let the backend see Authorization.")

    @field_validator("users")
    @classmethod
    def _hashed(cls, users: dict[str, str]) -> dict[str, str]:
        for name, hashed in users.items():
            fault = "a colon in the name" if ":" in name else hash_fault(hashed)
            if fault:
                raise ValueError(f"user {name!r} has {fault}")
        return users

    @model_validator(mode="after")
    def _some(self) -> BasicAuthOptions:
        if not self.users and self.file is None:
            raise ValueError("name `users` or a `file` with them")
        return self


@implementer(ILasting)
class BasicAuth(Middleware):
    """Answers 401 to whoever has no right name and password.

    A hash is computed in a thread, two at a time, and what waits is bounded (503); the same credentials that come
    again meanwhile wait for the same result, and right ones are remembered under a keyed digest.
    """

    def __init__(self, options: BasicAuthOptions, services: Any) -> None:
        self._options = options
        self._now: Callable[[], float] = steady(services.clock)
        self._file = WatchedFile(options.file, read_users, self._now) if options.file is not None else None
        self._reactor = services.reactor
        self._turns = DeferredSemaphore(_AT_A_TIME)
        self._waiting: dict[bytes, list[Deferred[bool]]] = {}
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._secret = os.urandom(32)
        self._challenge = [("WWW-Authenticate", f'Basic realm="{options.realm}", charset="UTF-8"')]

    def request(self, head: RequestHead, context: Context) -> Any:
        """See `IMiddleware.request`."""
        credentials = _credentials(head.get("authorization") or "")
        if credentials is None:
            return self._refused()
        name, password = credentials
        hashed = self._users().get(name)
        key = hashlib.blake2b(
            f"{hashed}\0{name}\0".encode("utf-8", "surrogateescape") + password, key=self._secret
        ).digest()
        until = self._right.get(key)
        if until is not None and until > self._now():
            return self._let_in(head, context, name)
        if key not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            return refusal(503, "overloaded", [("Retry-After", "1")])
        return self._check(key, password, hashed).addCallback(self._decide, head, context, name)

    def _users(self) -> dict[str, str]:
        users = self._options.users
        return {**self._file.value, **users} if self._file is not None else users

    def _decide(self, right: bool, head: RequestHead, context: Context, name: str) -> RequestHead | Reply | None:
        return self._let_in(head, context, name) if right else self._refused()

    def _refused(self) -> Reply:
        return refusal(401, "unauthorized", self._challenge)

    def _let_in(self, head: RequestHead, context: Context, name: str) -> RequestHead | None:
        options = self._options
        context.user = user_text(name)
        fields = [(options.user_header, context.user)] if options.user_header is not None else []
        gone = () if options.forward_credentials else ("authorization",)
        return with_fields(head, set=fields, remove=gone) if fields or gone else None

    def _check(self, key: bytes, password: bytes, hashed: str | None) -> Deferred[bool]:
        """Whether it is right; computed once for all who ask meanwhile. One who leaves takes nobody's answer along."""
        answer: Deferred[bool] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(answer)
            return answer
        self._waiting[key] = [answer]
        # For a name that nobody has it takes as long as for a wrong password.
        against = hashed or next(iter(self._users().values()), _NOBODY)
        self._turns.run(self._in_thread, password, against).addBoth(self._known, key, hashed is not None)
        return answer

    def _in_thread(self, password: bytes, hashed: str) -> Deferred[bool]:
        pool = getattr(self._reactor, "getThreadPool", None)
        if pool is None:
            return succeed(verify(password, hashed))
        return deferToThreadPool(self._reactor, pool(), verify, password, hashed)

    def _known(self, result: Any, key: bytes, exists: bool) -> None:
        if result is True and exists and self._options.cache_seconds:
            self._right[key] = self._now() + self._options.cache_seconds
            self._right.move_to_end(key)
            if len(self._right) > _MOST_REMEMBERED:
                self._right.popitem(last=False)
        for answer in self._waiting.pop(key):
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result and exists)


def _credentials(value: str) -> tuple[str, bytes] | None:
    """Name and password of an Authorization; ``None`` if it is not Basic."""
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
    except ValueError:
        return None
    name, colon, password = decoded.partition(b":")
    return (name.decode("utf-8", "surrogateescape"), password) if colon else None


factory = Factory("basic-auth", BasicAuthOptions, BasicAuth)
