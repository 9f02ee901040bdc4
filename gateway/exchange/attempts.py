"""An exchange towards its backends: one attempt, and the next where that is safe.

Retries happen only where nothing was sent, or the method is idempotent and nothing came back; at most `MOST_ATTEMPTS`
and never past the request timeout (RFC 9110 §9.2.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.errors import BackendClosed, GatewayError, NoHealthyBackend, frameless
from gateway.exchange.uploading import Uploading
from gateway.http.bodies import chunk, last_chunk
from gateway.http.forwarding import request_bytes, request_stays
from gateway.relay.flow import CONNECTING, FEEDING
from gateway.routing.targets import upstream_host, upstream_target
from gateway.values import CHUNKED, Fields, Outcome, RequestHead, Route

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.interfaces import IBackend, ILease
    from gateway.listener.http1 import ClientConnection
    from gateway.upstream.http1 import UpstreamConnection

__all__ = ["DONE", "MOST_ATTEMPTS", "ROUTING", "STREAMING", "TUNNEL", "WAITING", "WAITING_TO_CONNECT", "Attempts"]

MOST_ATTEMPTS = 3

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_REPLAYED_BYTES = 65536

ROUTING, WAITING_TO_CONNECT, WAITING, STREAMING, TUNNEL, DONE = range(6)
"""The phases of an exchange; `gateway.exchange.exchange` has the diagram."""

_log = Logger("gateway.exchange")


class Attempts(Uploading):
    """The part of an `Exchange` that brings its request to a backend.

    `_attempt` is called when ``_route`` is known.  In the end `send` has been called with a connection, which tells the
    exchange of the response, or `_fail` with the error of the last attempt.

    ``_pending`` is what is here of the request's body and has not been sent, or may be sent again; ``_complete`` says
    that no more comes, ``_replayable`` that what was sent can be sent again, ``_expecting`` that the client waits for
    the backend's 100 before it sends any (RFC 9110 §10.1.1).  ``_awaited`` is cancelled at the end.  ``_touched``: see
    `Passage`.
    """

    phase = ROUTING
    outcome: Outcome
    _shared: Surroundings
    _client: ClientConnection
    _head: RequestHead
    _added: str
    _route: Route | None = None
    _lease: ILease | None = None
    _upstream: UpstreamConnection | None = None
    _awaited: Deferred[Any] | None = None
    _tried: tuple[IBackend, ...] = ()
    _use_idle = True
    _pending = b""
    _trailers: Fields = ()
    _touched: Sequence[Iterable[str]] = ()
    _complete = False
    _expecting = False
    _replayable = True
    _host = ""

    if TYPE_CHECKING:  # the exchange

        def _fail(self, error: GatewayError) -> None: ...

    def _attempt(self) -> None:
        """Lease a backend and use an idle connection to it, or make one."""
        route, client = self._route, self._client
        assert route is not None
        if self._shared.uploads is not None and not self._collected:
            if self._head.body or "expect" in self._head.index:
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
        shared = self._shared
        ways = shared.upstream_for(route, backend)
        if ways.dedicated:
            ways = client.own(ways)
            client.pins[route.pool] = backend
        if self._use_idle:
            repeatable = self._keeps and self._complete and self._upload is None  # what comes later is not kept
            connection = ways.take(host, not repeatable)
            if connection is not None:
                self.send(connection)
                return
        shared.deadlines.clear(client)
        if not self._complete:
            client.hold(CONNECTING)
        self.connecting(ways.connect(host))

    def connecting(self, connecting: Deferred[UpstreamConnection]) -> None:
        """A connection is being made. Also called by a lane that has begun with that."""
        self.phase = WAITING_TO_CONNECT
        self._awaited = connecting
        connecting.addCallbacks(self._connected, self._not_connected)

    @property
    def _keeps(self) -> bool:
        """Whether what is here of the body is kept when it is sent, so that it can be sent again."""
        return self._head.method in _IDEMPOTENT and len(self._pending) <= _REPLAYED_BYTES

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
        if self.phase != DONE:
            lease, route = self._lease, self._route
            assert lease is not None and route is not None
            self.upstream_failed(self._shared.upstream_for(route, lease.backend).explained(failure))

    def send(self, connection: UpstreamConnection, body: bytes = b"") -> None:
        """Send the request, as much of it as is here; ``body`` if nobody else has it."""
        self._pending = body or self._pending
        head, route = self._head, self._route
        assert route is not None
        self._upstream = connection
        self.phase = WAITING
        outcome = self.outcome
        if outcome.attempts > 1:
            outcome.error = None  # that of the attempt before
        if connection.key is not None:
            connection.note_tls(outcome)
        client, shared = self._client, self._shared
        complete = self._complete
        if not complete:
            self._expecting = not self._pending and "expect" in head.index and head.version == "1.1"
        # A backend that does not take even this is waited for as `upstream_stuck` says.
        for_backend = complete or self._upload or self._expecting
        wait = route.settings.request_timeout if for_backend else shared.limits.body_timeout
        shared.deadlines.set(client, shared.seconds() + wait)
        target = head.target if route.verbatim else upstream_target(head, route)
        if head.upgrade and route.filters is not None:
            head = self._head = route.filters.offered(head)
        data = request_bytes(head, target, self._host, self._added, head.body, bool(head.upgrade))
        pending = self._pending
        if head.body and self._upload is None:
            if head.body == CHUNKED:
                if pending:
                    data += chunk(pending)
                if complete:
                    data += self._last_chunk(self._trailers)
            else:
                data += pending
            if not self._keeps:
                self._replayable = False
                self._pending = b""  # it may be as long as request buffering allows, and the response long in coming
        if client.held:
            client.let(CONNECTING | FEEDING)
        feeder = client if self._upload is None else self._feed()
        connection.begin(self, feeder, head.method, data)  # type: ignore[arg-type]  # an Exchange

    def _last_chunk(self, trailers: Fields) -> bytes:
        """The end of a chunked body.

        Some servers merge trailers into the head (RFC 9110 §6.5.1): those that no stranger may send in a head are left
        out, and those of which the head says something, or middleware or ``Connection`` wants that nothing is said.
        """
        if trailers:
            head, sent = self._head, self.outcome.head
            names = set(head.index).union(head.nominated, *self._touched)
            if sent is not None:
                names.update(sent.index)
            trailers = [each for each in trailers if request_stays[each[0]] and each[0].lower() not in names]
        return last_chunk(trailers)

    def upstream_failed(self, error: GatewayError) -> None:
        """The connection could not be made, or ended before the response was complete."""
        outcome = self.outcome
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            outcome.upstream_received, outcome.upstream_sent = upstream.received, upstream.sent
        if not self._may_retry(error, upstream):
            self._fail(error)
            return
        outcome.error = frameless(error)
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

    def _give_up(self) -> None:
        """Cancel what is awaited; a canceller that fails is somebody else's code and harms nobody."""
        assert self._awaited is not None
        try:
            self._awaited.cancel()
        except BaseException:
            _log.failure("giving up what was awaited failed")

    # -- instead of `_attempt` and `send`, where the client's lane has done that

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
        connection.expect(self, self._client, self._head.method, size)  # type: ignore[arg-type]  # an Exchange
