"""Every way in which an exchange or a session can end badly.

::

    GatewayError
    ├── RequestError            the client's fault; nothing was sent to a backend
    │   ├── BadRequest              400
    │   │   ├── PlainHTTP               400  HTTP without TLS on an HTTPS port
    │   │   └── AmbiguousPath           400  a path that servers read differently
    │   ├── RequestTimeout          408
    │   ├── ContentTooLarge         413
    │   ├── TargetTooLong           414
    │   ├── ExpectationFailed       417
    │   ├── HeadTooLarge            431
    │   ├── UpgradeRefused          426  (or 400) a WebSocket handshake that is not one
    │   ├── MethodRefused           405
    │   ├── NotImplementedHere      501
    │   └── VersionNotSupported     505
    ├── NoRoute                 404  no listener host matched
    ├── Misdirected             421  the TLS handshake was another listener's
    ├── CertificateRefused      400  the client shows no certificate that counts
    ├── ClientGone              499  the client left first (only ever logged)
    ├── OutOfResources          502  retryable: the gateway itself lacks what a connection to a backend needs
    ├── ClientNameFailed        502  retryable: no TLS with a backend under the name that the client has asked for
    ├── ContinueTimeout         504  no 100 for a client that waits for it, and goes on or not as it likes
    ├── BackendError            the backend's fault, or the way to it
    │   ├── NoHealthyBackend        502
    │   ├── ConnectFailed           502  retryable: nothing was sent
    │   ├── BackendTLSFailed        502  retryable: nothing was sent
    │   ├── BackendClosed           502  retryable where the method allows it
    │   ├── BackendProtocolError    502
    │   └── BackendTimeout          504
    ├── RewriteFailed           500  rewrite rules that lead nowhere for this request
    ├── PluginFailed            500  a strategy raised or returned nonsense
    │   ├── PluginTimeout           500  it took too long
    │   └── PluginOff               500  it failed too often, and is not called for a while
    ├── ShuttingDown            503
    └── SessionEnded            a WebSocket session that the gateway ends, with a close code

    ConfigurationError          raised before anything starts; holds *all* problems

Each class carries the HTTP ``status`` to answer with, the ``cause`` word for the log and
``retryable``, whether another backend may be tried when nothing has come back yet.  The text of an
exception is written for the operator who reads the log; it is never sent to a client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "GatewayError", "RequestError", "BadRequest", "PlainHTTP", "AmbiguousPath", "RequestTimeout", "ContentTooLarge",
    "TargetTooLong", "ExpectationFailed", "HeadTooLarge", "UpgradeRefused", "MethodRefused", "NotImplementedHere",
    "VersionNotSupported", "NoRoute", "Misdirected", "CertificateRefused", "ClientGone", "ClientNameFailed",
    "ContinueTimeout", "OutOfResources", "BackendError", "NoHealthyBackend", "ConnectFailed", "BackendTLSFailed",
    "BackendClosed", "BackendProtocolError", "BackendTimeout", "PluginFailed", "PluginOff", "PluginTimeout",
    "RewriteFailed", "ShuttingDown", "SessionEnded", "Problem", "ConfigurationError", "ReloadFailed", "frameless",
]  # fmt: skip


class GatewayError(Exception):
    """An exchange that cannot go on.

    ``status``: the HTTP status a client gets if no response has begun (RFC 9110 §15).
    ``cause``: one lower-case word for the access log, which says who ended it and in which phase.
    ``info``: the ``error_info`` value of an Application Gateway's access log.
    ``advice``: a sentence for the client, shown on the page; never about internals.
    ``retryable``: nothing reached the application, another backend may be tried.
    ``fields``: what the answer has besides those of every page.
    """

    status = 500
    cause = "gateway_error"
    info = "ERRORINFO_NO_ERROR"
    advice = ""
    retryable = False
    fields: Sequence[tuple[str, str]] = ()


def frameless(error: GatewayError) -> GatewayError:
    """``error`` without the frames that it and its causes were raised in.

    For whoever keeps it: the frames have what keeps the error, and all of them would wait for the garbage collector.
    """
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            waiting += (each.__cause__, each.__context__)
    return error


class RequestError(GatewayError):
    """The client sent something that may not be forwarded; the connection is closed after the answer."""

    status = 400
    cause = "bad_request"
    info = "ERRORINFO_INVALID_REQUEST"


class BadRequest(RequestError):
    """A head or a body that breaks RFC 9110 or RFC 9112."""


class PlainHTTP(BadRequest):
    """A request without TLS on a port that speaks HTTPS."""

    cause = "http_to_https_port"
    info = "ERRORINFO_HTTP_TO_HTTPS_PORT"
    advice = "This port speaks HTTPS. Use https:// in the address."


class AmbiguousPath(BadRequest):
    """A path with dot segments that some servers take for one path and others for another (RFC 3986 §3.3, §5.2.4).

    Where rules are by path it would get what is behind one rule by another.
    """

    cause = "ambiguous_path"
    info = "ERRORINFO_REQUEST_URI_INVALID"
    advice = "The path has dot segments, or slashes in parameters, that servers read differently."


class RequestTimeout(RequestError):
    """The request was not complete in time."""

    status = 408
    cause = "request_timeout"


class ContentTooLarge(RequestError):
    """The request body is longer than the configured limit."""

    status = 413
    cause = "content_too_large"


class TargetTooLong(RequestError):
    """The request target is longer than the configured limit."""

    status = 414
    cause = "target_too_long"
    info = "ERRORINFO_REQUEST_URI_INVALID"


class ExpectationFailed(RequestError):
    """An ``Expect`` other than 100-continue (RFC 9110 §10.1.1)."""

    status = 417
    cause = "expectation_failed"


class HeadTooLarge(RequestError):
    """The head has too many bytes or too many fields."""

    status = 431
    cause = "head_too_large"


class UpgradeRefused(RequestError):
    """A WebSocket handshake that does not satisfy RFC 6455 §4.2.1."""

    cause = "bad_handshake"

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        if status == 426:
            self.fields = (("Sec-WebSocket-Version", "13"), ("Connection", "Upgrade"), ("Upgrade", "websocket"))


class MethodRefused(RequestError):
    """A method that a gateway does not forward (CONNECT, TRACE)."""

    status = 405
    cause = "method_refused"
    info = "ERRORINFO_INVALID_METHOD"
    # Any other method is forwarded; these are the ones that are usual (RFC 9110 §9.1, §15.5.6).
    fields = (("Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),)


class NotImplementedHere(RequestError):
    """A transfer coding this gateway does not know (RFC 9112 §6.1)."""

    status = 501
    cause = "not_implemented"


class VersionNotSupported(RequestError):
    """An HTTP version other than 1.0 and 1.1."""

    status = 505
    cause = "version_not_supported"
    info = "ERRORINFO_INVALID_VERSION"


class NoRoute(GatewayError):
    """No listener on this port has a host name that matches."""

    status = 404
    cause = "no_route"
    info = "ERRORINFO_INVALID_HOST"


class Misdirected(GatewayError):
    """The request names a host whose certificate rules the connection's handshake has not been through (RFC 9110
    §15.5.20)."""

    status = 421
    cause = "misdirected"
    info = "ERRORINFO_INVALID_HOST"


class CertificateRefused(GatewayError):
    """The listener wants a certificate of its clients, and this one has none, or one that does not count."""

    status = 400
    cause = "client_certificate"
    info = "ERRORINFO_HTTPS_NO_CERT"
    advice = "No required SSL certificate was sent, or it does not count."


class ClientGone(GatewayError):
    """The client closed or reset the connection before it had its response."""

    status = 499
    cause = "client_gone"
    info = "ERRORINFO_CLIENT_CLOSED_REQUEST"


class BackendError(GatewayError):
    """The backend, or the way to it, failed."""

    status = 502
    cause = "backend_error"
    info = "ERRORINFO_UPSTREAM_CLOSED_CONNECTION"


class NoHealthyBackend(BackendError):
    """No member of the pool may be chosen: all are down, draining, full or already tried."""

    cause = "no_healthy_backend"
    info = "ERRORINFO_UPSTREAM_NO_LIVE"


class ConnectFailed(BackendError):
    """The connection could not be made."""

    cause = "connect_failed"
    info = "ERRORINFO_UPSTREAM_NO_LIVE"
    retryable = True


class OutOfResources(GatewayError):
    """A connection to a backend could not be made for want of descriptors, ports or memory; the backend is fine."""

    status = 502
    cause = "connect_failed"
    info = "ERRORINFO_UPSTREAM_NO_LIVE"
    retryable = True


class ClientNameFailed(GatewayError):
    """The TLS handshake with the backend failed under a name that the client has chosen; the backend may be fine."""

    status = 502
    cause = "backend_tls_failed"
    info = "ERRORINFO_UPSTREAM_NO_LIVE"
    retryable = True


class ContinueTimeout(GatewayError):
    """The backend has sent no 100 (RFC 9110 §10.1.1), and the client has sent no body meanwhile.

    Not held against the backend: one that knows no expectations may wait for the body, which the client may keep.
    """

    status = 504
    cause = "backend_timeout"
    info = "ERRORINFO_UPSTREAM_TIMED_OUT"


class BackendTLSFailed(ConnectFailed):
    """The TLS handshake with the backend failed or its certificate was not accepted."""

    cause = "backend_tls_failed"


class BackendClosed(BackendError):
    """The backend closed or reset the connection before its response was complete."""

    cause = "backend_closed"


class BackendProtocolError(BackendError):
    """The backend's response breaks RFC 9112, or RFC 6455 after an upgrade."""

    cause = "backend_protocol_error"


class BackendTimeout(BackendError):
    """The backend did not answer within the settings' request timeout."""

    status = 504
    cause = "backend_timeout"
    info = "ERRORINFO_UPSTREAM_TIMED_OUT"


class PluginFailed(GatewayError):
    """A strategy raised, or returned something its interface does not allow."""

    cause = "plugin_failed"


class PluginTimeout(PluginFailed):
    """A strategy did not come back in time."""

    cause = "plugin_timeout"


class PluginOff(PluginFailed):
    """A strategy is switched off, for it has failed too often in a row."""

    cause = "plugin_off"


class RewriteFailed(GatewayError):
    """Rewrite rules make something of this request that cannot be sent, or send it round in circles."""

    cause = "rewrite_failed"


class ShuttingDown(GatewayError):
    """The gateway is stopping and takes no new work."""

    status = 503
    cause = "shutting_down"


class SessionEnded(GatewayError):
    """The gateway ends a WebSocket session.

    ``code`` is the close code that both sides get (RFC 6455 §7.4.1), the message is the reason
    (at most 123 bytes of UTF-8).
    """

    def __init__(self, code: int, reason: str, cause: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.cause = cause


class Problem(NamedTuple):
    """One thing that is wrong in a configuration.

    ``path``: where, as a person would point at it: ``httpListeners[2].properties.frontendPort.id``.
    ``message``: what was found and what would be right.
    ``line``: one-based line in the file, ``None`` where the format has no lines.
    ``severity``: ``"error"`` stops the start, ``"warning"`` does not; nor does ``"idle"``, which says that nothing
    would be served, and which `gatewayctl check` does not let pass.
    """

    path: str
    message: str
    line: int | None = None
    severity: str = "error"

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class ConfigurationError(Exception):
    """A configuration that cannot be started.

    ``problems`` holds every problem found, not only the first; ``source`` names the file.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "configuration") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(source)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.source}: {count} {'error' if count == 1 else 'errors'}"]
        return "\n  ".join(lines + [str(problem) for problem in self.problems])


class ReloadFailed(Exception):
    """A reload that has changed nothing: the old configuration goes on.

    ``problems``: why, a sentence each, with the place in the configuration; ``source`` names the file, if it is one's.
    """

    def __init__(self, problems: Sequence[str], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__("; ".join(self.problems))
