"""The values that travel between the rooms.

Text of a head is ``str`` in latin-1, so that every byte of the wire has one character and nothing is
lost on the way through (RFC 9110 §5.5).  Heads are immutable; ``Outcome`` is the one record that is
filled in while an exchange goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.foreseen import foreseen
from gateway.http.authority import authority
from gateway.interfaces import IPool

if TYPE_CHECKING:
    from gateway.config.model import BackendSettings
    from gateway.errors import GatewayError
    from gateway.interfaces import IBackend, IMiddleware
    from gateway.messages.depth import MessageDepth
    from gateway.transport.tls import ClientCertificate

__all__ = [
    "CHUNKED", "DROP", "UNTIL_CLOSE", "Answer", "Close", "Context", "Drop", "Fields", "NeedsAddress", "Outcome", "Peer",
    "ProbeResult", "Reply", "RequestHead", "ResponseHead", "Route", "blank_outcome",
]  # fmt: skip

CHUNKED = -1
"""``body`` of a head whose message body is chunked (RFC 9112 §7.1)."""

UNTIL_CLOSE = -2
"""``body`` of a response head whose body ends with the connection (RFC 9112 §6.3, item 8)."""

Fields = Sequence[tuple[str, str]]
"""Field lines in wire order: name as sent, value without surrounding white space."""


class Peer(NamedTuple):
    """The other end of a connection. ``host`` is an address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host, port = self
        return f"{host}:{port}" if ":" not in host else authority(host, port)


class RequestHead(NamedTuple):
    """A request line and its fields, checked: a value of this type may be forwarded.

    ``target``: origin-form or ``*``; an absolute-form target has been split into ``host`` and this.
    ``host``: host and optional port as the client sent it; empty only for HTTP/1.0 without Host.
    ``version``: ``"1.1"`` or ``"1.0"``.
    ``fields``: all field lines; ``index``: lower-case name to value, repeated ones joined by ``", "``
    (``cookie`` by ``"; "``).
    ``body``: length in bytes, 0 for none, or `CHUNKED`.
    ``keep_alive``: the client lets the connection be used again.
    ``upgrade``: lower-case protocol of an ``Upgrade`` that ``Connection`` confirms, else ``""``.
    ``nominated``: lower-case names of what does not go on: those that ``Connection`` lists besides close, keep-alive
    and upgrade.  `gateway.http.changes.with_fields` adds what it removes, which then is no trailer either.
    """

    method: str
    target: str
    version: str
    host: str
    fields: Fields
    index: Mapping[str, str]  # type: ignore[assignment]  # a head is never searched as a tuple
    body: int = 0
    keep_alive: bool = True
    upgrade: str = ""
    nominated: Sequence[str] = ()

    @property
    def path(self) -> str:
        """The target without its query, as sent (not decoded)."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the first ``?`` of the target; empty where there is none."""
        return self.target.partition("?")[2]

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a field by its lower-case name."""
        return self.index.get(name, default)


class ResponseHead(NamedTuple):
    """A status line and its fields, checked.

    ``body``: length in bytes, 0 for none (also by status or method), `CHUNKED` or `UNTIL_CLOSE`.
    ``keep_alive``: the backend lets the connection be used again.
    Others as in `RequestHead`.
    """

    status: int
    reason: str
    version: str
    fields: Fields
    index: Mapping[str, str]  # type: ignore[assignment]  # a head is never searched as a tuple
    body: int = 0
    keep_alive: bool = True
    upgrade: str = ""
    nominated: Sequence[str] = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a field by its lower-case name."""
        return self.index.get(name, default)


class Route(NamedTuple):
    """Where a request goes. Routes are built once, at configuration time, and shared by requests.

    ``listener``, ``rule``, ``path_rule``: names, for the log; ``path_rule`` is empty for a Basic rule
    or the default of a path map.
    ``matched``: the literal part of the path pattern that matched (pattern without ``*``), which a
    ``path`` override of the settings replaces; empty for Basic rules and defaults.
    ``verbatim``: the settings override neither path nor host, so that both go on as the client sent them.
    ``middleware``: what the request and its response pass through, outermost first.
    ``filters``: what WebSocket messages pass through; ``None`` where nobody looks into them.
    """

    listener: str
    rule: str
    pool: IPool
    settings: BackendSettings
    path_rule: str = ""
    matched: str = ""
    verbatim: bool = False
    middleware: Sequence[IMiddleware] = ()
    filters: MessageDepth | None = None


class Reply(NamedTuple):
    """An answer that the gateway gives itself: a redirect, or a refusal by a plugin.

    ``fields``: a body without a Content-Type among them is sent as ``text/html``.  ``cause``: one lower-case word for
    the log.  ``middleware``: as in `Route`, where a router answers.  ``plain``: the body is the gateway's own page for
    the status, and the operator's may take its place.
    """

    status: int
    fields: Fields = ()
    body: bytes = b""
    cause: str = "reply"
    middleware: Sequence[IMiddleware] = ()
    plain: bool = False


class NeedsAddress(NamedTuple):
    """A router's word: the client's address decides.

    ``decide(address)`` is called with it at once, as text, and gives what the router would have given.  Behind a
    trusted proxy it is the address that the proxy names.
    """

    decide: Callable[[str], Any]


class Context:
    """What a middleware is told of one exchange, and where it leaves what it found out.

    What it may set is looked at when it is set: what makes no sense raises ``TypeError`` or ``ValueError`` there, which
    is a failure of that middleware, and changes nothing.

    ``peer``, ``scheme`` (``http`` or ``https``), ``listener``, ``trace_id``: of the connection and the request.
    ``address``: the client's address, as text; behind a trusted proxy the one that the proxy names.
    ``route``: the `Route`, or ``None`` where the gateway answers itself (a redirect).  Set it to another one to send
    the request there; what that one passes through comes next, without what it has been through.
    ``added``: the gateway's own field lines for the backend (X-Forwarded-For and its like), each ended by CRLF.
    ``backend``: the `IBackend` whose response this is; ``None`` for an answer of the gateway's own.
    ``user``: who the client is, for the log; empty until a middleware knows and sets it (``None`` is nobody).
    ``ends_at``: when a session opened by this request has to end, in seconds of ``clock()``, with ``end_code`` and
    ``end_reason``; `end_session` sets all three.  ``None`` where it may last.
    ``notes``: for the middleware's own use, from the request to its response; take ``self`` as the key.
    ``clock``: gives monotonic seconds.
    """

    __slots__ = (
        "_end_code", "_end_reason", "_ends_at", "_outcome", "_route", "_transport", "added", "address", "backend",
        "clock", "concealed", "notes",
    )  # fmt: skip

    def __init__(
        self,
        outcome: Outcome,
        route: Route | None,
        clock: Callable[[], float],
        address: str | None = None,
        added: str = "",
        transport: Any = None,
    ) -> None:
        self._outcome = outcome
        self._transport = transport
        self.added = added
        self._route = route
        self.clock = clock
        self.address = outcome.peer.host if address is None else address
        self.backend: IBackend | None = None
        self.notes: dict[Any, Any] = {}
        self.concealed: list[str] = []
        self._ends_at: float | None = None
        self._end_code = 4401
        self._end_reason = ""

    @property
    def route(self) -> Route | None:
        return self._route

    @route.setter
    def route(self, route: Route | None) -> None:
        if route is not None and not (isinstance(route, Route) and IPool.providedBy(route.pool)):
            raise TypeError(f"context.route is set to {_described(route)}; it takes a Route with a pool, or None")
        self._route = route

    @property
    def peer(self) -> Peer:
        """The other end of the connection: the client, or a proxy before it."""
        return self._outcome.peer

    @property
    def scheme(self) -> str:
        return self._outcome.scheme

    @property
    def local_port(self) -> int:
        """The port that the client connected to."""
        return self._outcome.local_port

    @property
    def tls_version(self) -> str:
        """``TLSv1.3``, say; empty without TLS."""
        return self._outcome.tls_version

    @property
    def tls_cipher(self) -> str:
        return self._outcome.tls_cipher

    @property
    def ciphers_supported(self) -> str:
        """The suites that the client has offered, with colons between them; known where a rewrite set names them."""
        return getattr(self._transport, "ciphers_offered", "")

    @property
    def received_bytes(self) -> int:
        """What had been received of the request when it went through the middleware."""
        return self._outcome.received_bytes

    @property
    def round_trip(self) -> int | None:
        """Microseconds to the client and back, as the kernel measures them now; ``None`` where it does not say."""
        return getattr(self._transport, "round_trip", None)

    @property
    def listener(self) -> str:
        return self._route.listener if self._route is not None else self._outcome.listener

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client has shown, where the listener asks for certificates."""
        return self._outcome.client_certificate

    @client_certificate.setter
    def client_certificate(self, shown: ClientCertificate) -> None:
        self._outcome.client_certificate = shown

    @property
    def trace_id(self) -> str:
        return self._outcome.trace_id

    @property
    def user(self) -> str:
        return self._outcome.user

    @user.setter
    def user(self, user: str | None) -> None:
        if user is not None and not isinstance(user, str):
            raise TypeError(f"context.user is set to {_described(user)}; it takes text (str)")
        self._outcome.user = user or ""

    @property
    def ends_at(self) -> float | None:
        return self._ends_at

    @ends_at.setter
    def ends_at(self, at: float | None) -> None:
        self._ends_at = None if at is None else _moment(at)

    @property
    def end_code(self) -> int:
        return self._end_code

    @end_code.setter
    def end_code(self, code: int) -> None:
        from gateway.websocket.frames import may_be_sent  # which needs this module

        if not isinstance(code, int):
            raise TypeError(f"context.end_code is set to {_described(code)}; it takes a close code (int), such as 4401")
        if not may_be_sent(code):
            raise ValueError(f"context.end_code: {code} is no close code that may be sent (RFC 6455 §7.4)")
        self._end_code = code

    @property
    def end_reason(self) -> str:
        return self._end_reason

    @end_reason.setter
    def end_reason(self, reason: str) -> None:
        if not isinstance(reason, str):
            raise TypeError(f"context.end_reason is set to {_described(reason)}; it takes text (str)")
        self._end_reason = reason

    def conceal(self, secret: str) -> None:
        """Keep ``secret``, a part of the request's target, out of the log and of X-Original-URL."""
        if not isinstance(secret, str):
            raise TypeError(f"context.conceal() is given {_described(secret)}; it takes text (str)")
        head = self._outcome.head
        if head is not None and secret:
            self.concealed.append(secret)
            self._outcome.head = head._replace(target=head.target.replace(secret, "-"))

    def end_session(self, at: float, code: int = 4401, reason: str = "") -> None:
        """A session opened by this request ends at ``at`` (see ``ends_at``) with this code; the earliest counts."""
        at = _moment(at)
        if self._ends_at is None or at < self._ends_at:
            self.end_code, self.end_reason, self._ends_at = code, reason, at


def _moment(at: float) -> float:
    if isinstance(at, (int, float)) and at > float("-inf"):  # which NaN is not: it would never come
        return float(at)
    what = str(at) if isinstance(at, float) else _described(at)
    raise TypeError(f"context.ends_at is set to {what}; it takes seconds of context.clock(): context.clock() + 60, say")


def _described(value: object) -> str:
    """What was given instead, in a word; its content may be a secret."""
    return "a Route without a pool" if isinstance(value, Route) else type(value).__name__


class Drop(Enum):
    """The type of `DROP`."""

    DROP = "drop"


DROP = Drop.DROP
"""A message filter's word: this message goes no further."""


class Close(NamedTuple):
    """A message filter's word: the session ends with this close code and reason (RFC 6455 §7.4; at most 123 bytes)."""

    code: int
    reason: str = ""


class Answer(NamedTuple):
    """A message filter's word: this goes back to the sender, and its message no further. ``str`` is text."""

    payload: str | bytes


class ProbeResult(NamedTuple):
    """What one health check found. ``reason`` is a sentence for the operator, also on success.

    ``conclusive``: false where it says nothing of the backend, for the check could not be made here.
    """

    healthy: bool
    reason: str = ""
    status: int | None = None
    seconds: float = 0.0
    conclusive: bool = True


@foreseen(
    "client_certificate", "collected", "error", "layer4", "target", "upstream_tls_cipher", "upstream_tls_version",
    "user",
)  # fmt: skip
class Outcome:
    """What is known of one exchange or WebSocket session; observers get it when it has ended.

    Filled in as the exchange goes on; class attributes are the defaults.  Times are monotonic
    seconds, or ``None`` where that point was never reached; ``collected`` is when a body was here that had to be waited
    for.  Byte counts include heads.  ``target``: what that of the
    request became, where it was rewritten, else empty.  ``tls_…`` is about the client's connection, ``upstream_tls_…``
    about the backend's.  ``layer4``: a connection of a listener of plain TCP or TLS; its head only has the server name
    as ``host``, its status is 200 once it is passed on.  ``packed``: a function, and what it makes ``head`` of,
    where that is not kept; ``head`` is another object then each time, with the same content.
    """

    head: RequestHead | None = None
    peer: Peer = Peer("", 0)
    scheme: str = "http"
    local_port: int = 0
    tls_version: str = ""
    tls_cipher: str = ""
    client_certificate: ClientCertificate | None = None
    trace_id: str = ""
    listener: str = ""
    route: Route | None = None
    user: str = ""
    backend: IBackend | None = None
    upstream_received: int = 0
    upstream_sent: int = 0
    upstream_tls_version: str = ""
    upstream_tls_cipher: str = ""
    attempts: int = 0
    status: int = 0
    upstream_status: int | None = None
    target: str = ""
    content_type: str = ""
    cause: str = "ok"
    error: GatewayError | None = None
    started: float = 0.0
    collected: float | None = None
    connected: float | None = None
    responded: float | None = None
    ended: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    websocket: bool = False
    layer4: bool = False
    messages_in: int = 0
    messages_out: int = 0
    close_code: int | None = None
    closed_by: str = ""
    packed: tuple[Callable[[Any], RequestHead], Any] | None = None

    def __init__(self, **known: Any) -> None:
        if known:
            self.__dict__.update(known)


blank_outcome: Callable[[], Outcome] = partial(object.__new__, Outcome)
"""``Outcome()`` for where every request passes: without keywords to look at it takes half the time."""


class _Unpacked:
    """`Outcome.head` where there is none, or it is packed."""

    def __get__(self, outcome: Outcome | None, owner: type) -> RequestHead | None:
        packed = None if outcome is None else outcome.packed
        if packed is None:
            return None
        unpack, what = packed
        return unpack(what)


if not TYPE_CHECKING:
    Outcome.head = _Unpacked()
