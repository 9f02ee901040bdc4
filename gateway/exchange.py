"""One request's life: route, lease, connect, relay, outcome.

::

    ROUTING ──reply──────────────────────────────┐
       │ route, middleware, lease                │
    CONNECTING ──refused, another backend left─┐ │
       │ connected, or an idle connection ◄────┘ │
    WAITING ──closed before a byte came: retry   │
       │ response head                           │
    STREAMING ──101──> TUNNEL                    │
       │ end of the response                     │
    DONE <───────────────────────────────────────┘

Retries happen only where nothing was sent, or the method is idempotent and nothing came back; at most `MOST_ATTEMPTS`
and never past the request timeout (RFC 9110 §9.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import (
    BackendClosed,
    BackendError,
    BackendProtocolError,
    BackendTimeout,
    ClientGone,
    GatewayError,
    NoHealthyBackend,
    PluginFailed,
    PluginTimeout,
    RequestTimeout,
    SessionEnded,
    UpgradeRefused,
)
from gateway.http.bodies import chunk, last_chunk
from gateway.http.forwarding import request_bytes
from gateway.interfaces import IUpstreamListener
from gateway.listener.forwarded import client_address
from gateway.passage import Passage
from gateway.relay.depth import agreed
from gateway.relay.flow import CONNECTING, FEEDING
from gateway.routing.rule_router import PATIENCE
from gateway.routing.targets import upstream_host, upstream_target
from gateway.values import CHUNKED, Context, Fields, NeedsAddress, Outcome, Reply, RequestHead, ResponseHead, Route
from gateway.websocket.handshake import check_request

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, ILease, IMiddleware
    from gateway.listener.http1 import ClientConnection
    from gateway.surroundings import Surroundings
    from gateway.upstream.http1 import UpstreamConnection

__all__ = ["MOST_ATTEMPTS", "Exchange"]

MOST_ATTEMPTS = 3

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_REPLAYED_BYTES = 65536

ROUTING, WAITING_TO_CONNECT, WAITING, STREAMING, TUNNEL, DONE = range(6)

_log = Logger("gateway.exchange")


@implementer(IUpstreamListener)
class Exchange:
    """One request and its response.

    Told by `ClientConnection` what the client does, by `UpstreamConnection` what the backend does.
    """

    phase = ROUTING
    _route: Route | None = None
    _lease: ILease | None = None
    _upstream: UpstreamConnection | None = None
    _awaited: Deferred[Any] | None = None
    _passage: Passage | None = None
    _tried: tuple[IBackend, ...] = ()
    _use_idle = True
    _pending = b""
    _trailers: Fields = ()
    _complete = False
    _collecting = _collected = False
    _replayable = True
    _host = ""

    def __init__(
        self, shared: Surroundings, client: ClientConnection, head: RequestHead, outcome: Outcome, added: str
    ) -> None:
        self._shared = shared
        self._client = client
        self._out: ClientConnection | Passage = client
        self._head = head
        self._added = added
        self.outcome = outcome

    # -- the client's side

    def start(self, data: bytes, complete: bool, trailers: Fields = ()) -> None:
        """The head is here, with the first ``data`` of the body; ``complete`` if that is all of it."""
        head = self._head
        if head.upgrade == "h2c":
            # Passed on, it would let requests by that no router has seen. A server may ignore it (RFC 9110 §7.8).
            head = self._head = head._replace(upgrade="")
        self._complete = complete
        if data or trailers:
            self._pending = data
            self._trailers = trailers
        try:
            if head.upgrade == "websocket":
                check_request(head)
            where = self._shared.router.route(head, self._client.listener)
        except Exception as error:
            self.not_routed(error)
            return
        if where.__class__ is Route and not where.middleware:
            self._route = self.outcome.route = where
            self._attempt()
        else:
            self._routed(where)

    # -- instead of `start`, where all of the request is here and its lane has come so far

    def not_routed(self, error: Exception) -> None:
        """The router raised this."""
        if isinstance(error, GatewayError):
            self._fail(error)
            return
        head = self._head
        _log.failure("the router failed on {method} {path}", Failure(error), method=head.method, path=head.path)
        self._fail(PluginFailed(f"the router failed: {type(error).__name__}: {error}"))

    def proceed(self, where: Any, lease: ILease | None, body: bytes) -> None:
        """The router has answered, and perhaps a pool."""
        self._complete = True
        self._lease = lease
        self._pending = body
        self._routed(where)

    def not_leased(self, route: Route, error: GatewayError) -> None:
        """There is no backend."""
        self._route = self.outcome.route = route
        self._fail(error)

    def leased(self, route: Route, lease: ILease) -> None:
        """There is a backend, and an idle connection to it."""
        outcome = self.outcome
        self._complete = True
        self._route = outcome.route = route
        self._lease = lease
        self._host = self._head.host
        outcome.backend = lease.backend
        outcome.attempts = 1

    def sent(self, connection: UpstreamConnection, size: int) -> None:
        """The request went there already, ``size`` bytes."""
        self._replayable = self._head.body == 0
        self._upstream = connection
        self.phase = WAITING
        if connection.key is not None:
            connection.note_tls(self.outcome)
        connection.expect(self, self._client, self._head.method, size)

    # -- what a router decided

    def _routed(self, where: Any) -> None:
        """What a router decided, where that is more than a route without middleware."""
        if isinstance(where, Route):
            self._route = self.outcome.route = where
            if where.middleware:
                self._enter(where.middleware)
            else:
                self._attempt()
        elif isinstance(where, Reply):
            if where.middleware:
                self._enter(where.middleware, where)
            else:
                self._answer(where)
        elif isinstance(where, Deferred) and self._awaited is None:
            self._wait(where, self._routed, "the router")
        elif isinstance(where, NeedsAddress):
            try:
                found = where.decide(client_address(self.outcome.peer, self._head, self._shared.trusted))
            except GatewayError as error:
                self._fail(error)
            else:
                self._routed(found)
        else:
            self._fail(PluginFailed(f"the router returned {type(where).__name__}, not a Route or a Reply"))

    def _enter(self, chain: Sequence[IMiddleware], reply: Reply | None = None) -> None:
        """Let the request through ``chain``; then it gets ``reply``, or goes to a backend."""
        shared, head = self._shared, self._head
        outcome, client = self.outcome, self._client
        address = client_address(outcome.peer, head, shared.trusted)
        outcome.received_bytes = client.counted()[0]
        if client.factory.tls:
            outcome.tls_version = getattr(client.transport, "tls_version", "") or ""
            outcome.tls_cipher = getattr(client.transport, "tls_cipher", "") or ""
        context = Context(outcome, self._route, shared.seconds, address, self._added, client.transport)
        self._passage = self._out = passage = Passage(self, client, chain, head, context)

        def passed(found: RequestHead | Reply) -> None:
            if isinstance(found, Reply):
                self._answer(found)
                return
            if found.target != head.target:
                outcome.target = passage.shown(found.target)
            self._head, self._added = found, passage.added(context.added)
            if context.route is not self._route:
                self._route = outcome.route = context.route
            if self._route is None and reply is not None:
                self._answer(reply)
            else:
                self._attempt()

        try:
            found = passage.enter()
        except GatewayError as error:
            self._fail(error)
            return
        if isinstance(found, Deferred):
            self._wait(found, passed, "middleware")
        else:
            passed(found)

    def _wait(self, awaited: Deferred[Any], go_on: Callable[[Any], None], who: str) -> None:
        """Go on when ``awaited`` has a result. The body is held meanwhile, and the time bounded (see `expired`)."""
        client, shared = self._client, self._shared
        if not self._complete:
            client.hold(CONNECTING)
        self._awaited = awaited
        shared.deadlines.set(client, shared.seconds() + self._patience())

        def arrived(result: Any) -> None:
            self._awaited = None
            if self.phase != DONE:
                go_on(result)

        def failed(failure: Failure) -> None:
            self._awaited = None
            if self.phase == DONE:
                return
            error = failure.value
            if not isinstance(error, GatewayError):
                _log.failure("{who} failed", failure, who=who)
                error = PluginFailed(f"{who} failed: {type(error).__name__}: {failure.getErrorMessage()}")
            self._fail(error)

        awaited.addCallbacks(arrived, failed)

    def _patience(self) -> float:
        """Seconds that a router or middleware may wait for somebody."""
        limit = self._shared.limits.middleware_timeout
        return limit or (self._route.settings.request_timeout if self._route else PATIENCE)

    def request_data(self, data: bytes, complete: bool, trailers: Fields = ()) -> None:
        """More of the request body; with ``complete`` its end."""
        self._complete = complete
        upstream = self._upstream
        if upstream is None:
            if self._awaited is not None or self._collecting:
                self._pending += data
                self._trailers = trailers
                if self._collecting:
                    self._collect()
            return
        self._replayable = False
        if self._head.body == CHUNKED:
            data = (chunk(data) if data else b"") + (last_chunk(trailers) if complete else b"")
        self._allow(complete or upstream.stuck)
        if data:
            upstream.send(data)

    def _allow(self, for_backend: bool) -> None:
        """Give the backend its time from now on; or the client, which is to send more of its request."""
        shared = self._shared
        limit = self._route.settings.request_timeout if for_backend else shared.limits.body_timeout  # type: ignore[union-attr]
        shared.deadlines.set(self._client, shared.seconds() + limit)

    def client_gone(self) -> None:
        """The client's connection is lost. Its outcome is recorded by the client's side."""
        self._end(ClientGone("the client closed the connection before it had its response"))

    def client_failed(self, error: GatewayError) -> None:
        """The client broke the framing of its request body, or sent too much."""
        self._fail(error)

    @property
    def patience(self) -> float:
        """Seconds that the backend has for its next byte."""
        return float(self._route.settings.request_timeout) if self._route is not None else 0.0

    def expired(self) -> None:
        """The deadline of the exchange has passed."""
        client, settings = self._client, self._route.settings if self._route else None
        if self.phase == STREAMING and client.stuck:
            self._fail(ClientGone("the client does not read its response"))
        elif self.phase == ROUTING and not self._collecting:
            who = "the router" if self._passage is None else self._passage.asked
            self._fail(PluginTimeout(f"{who} had no answer after {self._patience():g} s"))
        elif not self._complete and not client.held:
            self._fail(RequestTimeout("the client did not send its request body in time"))
        else:
            seconds = settings.request_timeout if settings else 0
            name = self.outcome.backend.name if self.outcome.backend else "?"
            self._fail(BackendTimeout(f"backend {name} sent nothing for {seconds} s"))

    # -- towards the backend

    def _attempt(self) -> None:
        """Lease a backend and use an idle connection to it, or make one."""
        route, client = self._route, self._client
        assert route is not None
        if not self._complete and not self._collected and self._shared.collects:
            self._collect()
            return
        outcome = self.outcome
        lease = self._lease
        if lease is None:
            try:
                if client.pins:
                    lease = self._lease = self._pinned(route)
                else:
                    lease = self._lease = route.pool.lease(self._head, self._tried, outcome)
            except GatewayError as error:
                self._fail(outcome.error or error)
                return
        backend = outcome.backend = lease.backend
        outcome.attempts += 1
        head = self._head
        self._host = host = head.host if route.verbatim and head.host else upstream_host(head, route, backend)
        ways = self._shared.upstream_for(route, backend)
        if ways.dedicated:
            ways = client.own(ways)
            client.pins[route.pool] = backend
        connection = ways.take(host, head.method not in _IDEMPOTENT) if self._use_idle else None
        if connection is not None:
            self.send(connection)
            return
        self.phase = WAITING_TO_CONNECT
        self._shared.deadlines.clear(self._client)
        if not self._complete:
            self._client.hold(CONNECTING)
        self._awaited = ways.connect(host)
        self._awaited.addCallbacks(self._connected, self._not_connected)

    def _collect(self) -> None:
        """Go on when the body is complete, or as much of it is here as is waited for.

        One that is longer in any case is not waited for, nor one whose client waits for a 100, which only a backend
        gives.
        """
        shared, head, most = self._shared, self._head, self._shared.collects
        self._collecting = not (
            self._complete or head.body > most or len(self._pending) >= most or "expect" in head.index
        )
        if self._collecting:
            shared.deadlines.set(self._client, shared.seconds() + shared.limits.body_timeout)
            if self._client.held:
                self._client.let(CONNECTING)
        else:
            self._collected = True
            self._attempt()

    def _pinned(self, route: Route) -> ILease:
        """A lease of the backend that this client has connections of its own to, if it still may be chosen."""
        pool, head, tried = route.pool, self._head, self._tried
        pinned = self._client.pins.get(pool)
        if pinned is not None and pinned not in tried:
            others = [backend for backend in pool.backends if backend is not pinned]
            try:
                lease: ILease = pool.lease(head, (*tried, *others), self.outcome)
            except NoHealthyBackend:
                pass
            else:
                return lease
        free: ILease = pool.lease(head, tried, self.outcome)
        return free

    def _connected(self, connection: UpstreamConnection) -> None:
        self._awaited = None
        if self.phase == DONE:
            connection.finish(False)
            return
        self.outcome.connected = self._shared.seconds()
        self.send(connection)

    def _not_connected(self, failure: Failure) -> None:
        self._awaited = None
        if self.phase == DONE:
            return
        error = failure.value
        if not isinstance(error, GatewayError):
            _log.failure("connecting to a backend failed in an unforeseen way", failure)
            error = BackendError(f"connecting failed: {failure.getErrorMessage()}")
        self.upstream_failed(error)

    def send(self, connection: UpstreamConnection, body: bytes = b"") -> None:
        """Send the request, as much of it as is here; ``body`` if nobody else has it."""
        self._pending = body or self._pending
        head, route = self._head, self._route
        assert route is not None
        self._upstream = connection
        self.phase = WAITING
        if connection.key is not None:
            connection.note_tls(self.outcome)
        client, shared = self._client, self._shared
        # A backend that does not take even this is waited for as `upstream_stuck` says.
        wait = route.settings.request_timeout if self._complete else shared.limits.body_timeout
        shared.deadlines.set(client, shared.seconds() + wait)
        target = head.target if route.verbatim else upstream_target(head, route)
        upgrade = bool(head.upgrade)
        if upgrade and route.filters is not None:
            head = self._head = route.filters.offered(head)
        data = request_bytes(head, target, self._host, self._added, head.body, upgrade)
        pending = self._pending
        if head.body:
            if head.body == CHUNKED:
                if pending:
                    data += chunk(pending)
                if self._complete:
                    data += last_chunk(self._trailers)
            else:
                data += pending
            if len(pending) > _REPLAYED_BYTES:
                self._replayable = False
        if client.held:
            client.let(CONNECTING | FEEDING)
        connection.begin(self, client, head.method, data)

    # -- the backend's side: IUpstreamListener

    def upstream_response(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """A response head, with the first body bytes."""
        client = self._client
        status = head.status
        if status < 200:
            if status == 101:
                self._switch(head, data)
            else:
                self._out.respond(head, b"", False)
            return
        outcome = self.outcome
        outcome.status = outcome.upstream_status = status
        outcome.responded = now = self._shared.seconds()
        outcome.content_type = head.index.get("content-type", "")
        self.phase = STREAMING
        if end:
            self._end(None)
            self._out.respond(head, data, True)
            return
        self._shared.deadlines.set(client, now + self._route.settings.request_timeout)  # type: ignore[union-attr]
        upstream = self._upstream
        assert upstream is not None
        client.fed_by(upstream, self._shared.read_ahead)
        self._out.respond(head, data, False)

    def upstream_data(self, data: bytes, end: bool, trailers: Fields = ()) -> None:
        """More of the response body."""
        if end:
            self._end(None)
            self._out.send(data, True, trailers)
        else:
            client = self._client
            if not client.stuck:
                # One who is has the time that is left for clients, however fast the backend is read ahead.
                shared = self._shared
                limit = self._route.settings.request_timeout  # type: ignore[union-attr]
                shared.deadlines.set(client, shared.seconds() + limit)
            self._out.send(data, False)

    def response_failed(self, error: GatewayError, begun: bool) -> None:
        """A middleware failed on the response, whose head has been sent if it has ``begun``."""
        client, outcome = self._client, self.outcome
        if self.phase != DONE:
            self.phase = STREAMING if begun else WAITING
            self._fail(error)
            return
        outcome.error, outcome.cause = error, error.cause
        if begun:
            client.abort()
        else:
            outcome.status = error.status
            client.reply(self.error_page(error.status))

    def error_page(self, status: int, advice: str = "") -> Reply:
        """The gateway's answer to an error of this status, or the operator's for this listener."""
        return self._shared.error_reply(status, self._client.listener, self._route, advice)

    def upstream_stuck(self, stuck: bool) -> None:
        """The backend takes no more of the request, or takes on: that moves who is waited for."""
        if not self._complete:
            self._allow(stuck)

    def upstream_failed(self, error: GatewayError) -> None:
        """The connection could not be made, or ended before the response was complete."""
        outcome = self.outcome
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            outcome.upstream_received, outcome.upstream_sent = upstream.received, upstream.sent
        if not self._may_retry(error, upstream):
            self._fail(error)
            return
        outcome.error = error
        if upstream is not None and upstream.reused:
            # The backend had given up an idle connection: it is not to blame, ask it again on a new one.
            self._use_idle = False
        else:
            lease, self._lease = self._lease, None
            assert lease is not None
            lease.release(outcome)
            self._tried = (*self._tried, lease.backend)
        self._attempt()

    def _may_retry(self, error: GatewayError, upstream: UpstreamConnection | None) -> bool:
        outcome = self.outcome
        if outcome.attempts >= MOST_ATTEMPTS or self.phase == STREAMING:
            return False
        if self._shared.seconds() - outcome.started >= self._route.settings.request_timeout:  # type: ignore[union-attr]
            return False
        if error.retryable:
            return True
        if upstream is not None and upstream.received:
            return False
        return isinstance(error, BackendClosed) and self._replayable and self._head.method in _IDEMPOTENT

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        """The backend agreed to another protocol: hand both connections over to a tunnel."""
        request, client, upstream = self._head, self._client, self._upstream
        assert upstream is not None and self._route is not None
        try:
            if not self._complete:
                raise BackendProtocolError("status 101 before the request was complete")
            head, make = agreed(request, head, self._route.filters, self.outcome.head or request)
        except BackendProtocolError as error:
            upstream.finish(False)
            self.upstream_failed(error)
            return
        passage = self._passage
        if passage is not None:
            try:
                head = passage.switching(head)
            except GatewayError as refused:
                self._fail(refused)
                return
        outcome, shared = self.outcome, self._shared
        outcome.status = outcome.upstream_status = 101
        outcome.responded = shared.seconds()
        self.phase = TUNNEL
        tunnel = make(shared, client, upstream, outcome, self._lease, self._route.settings, head)
        self._upstream = self._lease = None
        if passage is not None and passage.context.ends_at is not None:
            context = passage.context
            ending = SessionEnded(context.end_code, context.end_reason or "the session's time is over", "expired")
            tunnel.end_at(context.ends_at, ending)
        client.respond(head, b"", False)
        tunnel.open(data)

    # -- the end

    def _answer(self, reply: Reply) -> None:
        self.outcome.status = reply.status
        self.outcome.cause = reply.cause
        if reply.plain:
            page = self.error_page(reply.status)
            kept = [field for field in reply.fields if field[0].lower() != "content-type"]
            reply = reply._replace(fields=(*page.fields, *kept), body=page.body)
        self._end(None)
        self._out.reply(reply)

    def _fail(self, error: GatewayError) -> None:
        """Answer with the error's status if no response has begun, else cut the connection."""
        if self.phase == DONE:
            return
        client, begun = self._client, self.phase == STREAMING
        if not begun:
            self.outcome.status = error.status
        self._end(error)
        if begun:
            client.abort()
            return
        reply = self.error_page(error.status, error.advice)
        if isinstance(error, UpgradeRefused) and error.status == 426:
            version = (("Sec-WebSocket-Version", "13"), ("Connection", "Upgrade"), ("Upgrade", "websocket"))
            reply = reply._replace(fields=(*reply.fields, *version))
        self._out.reply(reply)

    def _end(self, error: GatewayError | None) -> None:
        """Give back what was used. The client's side records the outcome when the last byte is written."""
        if self.phase == DONE:
            return
        self.phase = DONE
        outcome, lease, upstream = self.outcome, self._lease, self._upstream
        outcome.error = error
        if error is not None:
            outcome.cause = error.cause
            if not outcome.status:
                outcome.status = error.status
        self._upstream = self._lease = None
        if upstream is not None:
            outcome.upstream_received, outcome.upstream_sent = upstream.received, upstream.sent
            upstream.finish(error is None and self._complete)
        if self._awaited is not None:
            self._give_up()
        if lease is not None:
            lease.release(outcome)

    def _give_up(self) -> None:
        """Cancel what is awaited; a canceller that fails is somebody else's code and harms nobody."""
        assert self._awaited is not None
        try:
            self._awaited.cancel()
        except Exception:
            _log.failure("giving up what was awaited failed")
