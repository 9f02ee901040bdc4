"""Asks a service about every request: 2xx lets it pass, anything else is the client's answer."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from OpenSSL import SSL
from pydantic import Field, field_validator
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from gateway.errors import GatewayError
from gateway.http.changes import FRAMING, field_fault, with_fields
from gateway.http.forwarding import request_fields
from gateway.http.heads import index_of
from gateway.interfaces import IClosing
from gateway.middleware.base import Factory, Middleware, Options, refusal
from gateway.middleware.users import UserHeader, user_text
from gateway.values import Context, Fields, Reply, RequestHead

__all__ = ["ForwardAuth", "ForwardAuthOptions", "factory"]

_MOST_BODY = 65536
_MOST_CONNECTIONS = 16

# Of what a backend would get: what belongs to the request's body, to its cache or to the handshake says nothing to the
# service.
_NOT_COPIED = re.compile(
    r"content-.*|if-.*|range|accept-encoding|sec-websocket-.*|proxy-.*|" + "|".join(FRAMING)
)
_NOT_RELAYED = re.compile(r"content-length|date|server|proxy-.*|" + "|".join(FRAMING))

_log = Logger("gateway.middleware")


class ForwardAuthOptions(Options):
    """Whom to ask, and what to do with the answer."""

    url: str = Field(description="Asked with GET; `http` or `https`.")
    timeout: float = Field(default=5, gt=0, le=300, description="Seconds for the whole question.")
    ca_file: str | None = Field(default=None, description="PEM file: roots for an `https` service.")
    request_headers: tuple[str, ...] | None = Field(
        default=None,
        description="Fields of the client for the service; default: all that are not about the body.",
    )
    copy_headers: tuple[UserHeader, ...] = Field(
        default=(), description="Fields of a 2xx answer that the backend gets; a client's own are taken out."
    )
    client_headers: tuple[str, ...] = Field(
        default=(), description="Fields of a 2xx answer that the client gets with its response, such as `Set-Cookie`."
    )
    user_header: str | None = Field(default=None, description="Field of a 2xx answer that names the user, for the log.")
    on_failure: Literal["refuse", "pass"] = Field(
        default="refuse", description="Where the service cannot be asked: 503, or let the request pass."
    )

    @field_validator("url")
    @classmethod
    def _askable(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or not url.isascii():
            raise ValueError("an http or https URL with a host is needed")
        if parts.username or parts.password:
            raise ValueError("a URL must not hold a password")
        return url


@implementer(IClosing)
class ForwardAuth(Middleware):
    """Asks with what the client sent, and X-Forwarded-Method, -Proto, -Host, -Uri and -For."""

    def __init__(self, options: ForwardAuthOptions, services: Any, agent: Any = None) -> None:
        self._options = options
        self._reactor = services.reactor
        self._url = options.url.encode("ascii")
        self._connections: Any = None
        if agent is None:
            self._connections = HTTPConnectionPool(services.reactor)
            self._connections.maxPersistentPerHost = _MOST_CONNECTIONS
            agent = Agent(services.reactor, _tls(options), options.timeout, pool=self._connections)
        self._agent = agent
        wanted = options.request_headers
        self._wanted = None if wanted is None else {name.lower() for name in wanted}

    def close(self) -> Any:
        """See `IClosing`."""
        return self._connections.closeCachedConnections() if self._connections is not None else None

    def request(self, head: RequestHead, context: Context) -> Deferred[RequestHead | Reply | None]:
        """See `IMiddleware.request`."""
        asked: Deferred[Any] = self._agent.request(b"GET", self._url, self._question(head, context))
        asked.addCallback(_read)
        asked.addTimeout(self._options.timeout, self._reactor)
        return asked.addCallbacks(self._answered, self._failed, (head, context), errbackArgs=(head,))

    def _question(self, head: RequestHead, context: Context) -> Headers:
        headers = Headers()
        for name, value in request_fields(head):
            lower = name.lower()
            if _NOT_COPIED.fullmatch(lower) is None and (self._wanted is None or lower in self._wanted):
                headers.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        lines = [line.partition(": ") for line in context.added.split("\r\n")]
        told = index_of([(name, value) for name, _, value in lines])  # what a trusted proxy has said, if there is one
        for name, value in (
            ("X-Forwarded-Method", head.method),
            ("X-Forwarded-Proto", told.get("x-forwarded-proto", context.scheme)),
            ("X-Forwarded-Host", told.get("x-forwarded-host", head.host)),
            ("X-Forwarded-Uri", head.target),
            ("X-Forwarded-For", context.address),
        ):
            headers.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
        return headers

    def _answered(self, found: tuple[int, Fields, bytes], head: RequestHead, context: Context) -> Any:
        status, fields, body = found
        options = self._options
        if not 200 <= status < 300:
            return Reply(
                status, [each for each in fields if not _NOT_RELAYED.fullmatch(each[0].lower())], body, "denied"
            )
        if options.user_header is not None:
            context.user = user_text(_named(fields, [options.user_header], ", "))
        if options.client_headers:
            wanted = {name.lower() for name in options.client_headers}
            context.notes[self] = [field for field in fields if field[0].lower() in wanted]
        copied = {name.lower() for name in options.copy_headers}
        if not copied:
            return None
        return with_fields(head, add=[each for each in fields if each[0].lower() in copied], remove=copied)

    def _failed(self, failure: Failure, head: RequestHead) -> Any:
        if failure.check(CancelledError):
            return failure
        _log.warn(
            "{url} could not be asked: {reason}",
            url=self._options.url,
            reason=f"{failure.type.__name__}: {failure.getErrorMessage()}"[:500],  # type: ignore[union-attr]
        )
        if self._options.on_failure == "refuse":
            return refusal(503, "auth_unavailable")
        copied = self._options.copy_headers
        return with_fields(head, remove=copied) if copied else None

    def response(self, head: Any, context: Context) -> Any:
        """See `IMiddleware.response`."""
        fields = context.notes.get(self)
        return with_fields(head, add=fields) if fields else None


class _Collector(Protocol):
    """A body of bounded length."""

    def __init__(self, done: Deferred[bytes]) -> None:
        self._done = done
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > _MOST_BODY:
            self._fail(GatewayError(f"its answer has more than {_MOST_BODY} bytes"))
            self.transport.loseConnection()  # type: ignore[union-attr]
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if reason.check(ResponseDone, PotentialDataLoss):
            if not self._done.called:
                self._done.callback(b"".join(self._parts))
        else:
            self._fail(reason)

    def _fail(self, reason: Any) -> None:
        if not self._done.called:
            self._done.errback(reason)


def _read(response: Any) -> Deferred[tuple[int, Fields, bytes]]:
    """Status, fields and body of an answer; fields that may not be sent on are left out."""
    done: Deferred[bytes] = Deferred(lambda _: collector.transport.loseConnection())  # type: ignore[union-attr]
    collector = _Collector(done)
    fields: list[tuple[str, str]] = []
    for raw, values in response.headers.getAllRawHeaders():
        name = raw.decode("latin-1")
        fields += [(name, text) for value in values if not field_fault(name, text := value.decode("latin-1").strip())]
    response.deliverBody(collector)
    return done.addCallback(lambda body: (response.code, fields, body))


def _named(fields: Fields, names: list[str], joint: str) -> str:
    wanted = {name.lower() for name in names}
    return joint.join([value for name, value in fields if name.lower() in wanted])


def _tls(options: ForwardAuthOptions) -> Any:
    if options.ca_file is None:
        return BrowserLikePolicyForHTTPS()
    return _Roots(options.ca_file)


@implementer(IPolicyForHTTPS)
class _Roots:
    """Trusts the certificates of one file."""

    def __init__(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                parts = file.read().split(b"-----END CERTIFICATE-----")
            pems = [part + b"-----END CERTIFICATE-----\n" for part in parts if b"-----BEGIN CERTIFICATE-----" in part]
            certificates = [Certificate.loadPEM(pem) for pem in pems]
        except (OSError, SSL.Error):
            raise ValueError(f"{path} cannot be read as certificates in PEM") from None
        if not certificates:
            raise ValueError(f"{path} has no certificate in PEM")
        self._roots = trustRootFromCertificates(certificates)

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """See ``IPolicyForHTTPS``."""
        return optionsForClientTLS(hostname.decode("ascii"), trustRoot=self._roots)


factory = Factory("forward-auth", ForwardAuthOptions, ForwardAuth)
