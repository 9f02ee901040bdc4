"""Plain exchanges, without most of the machinery.

A request that is read at once on a kept connection, and answered on another with a body of known length, is most of
the traffic of many gateways, and most of that is regular.  The base of `Lane` (`gateway.listener.plain`, or its C twin)
reads and writes both heads, and asks twice: where the request goes (`Lane.decide`) and, when it is over, to count it
(`Lane.ended`); a long response tells that it goes on (`Lane.goes_on`).  The opening handshake of a WebSocket ends with
a session instead (`Lane.opened`).  As soon as something is not plain,
`Lane.resume` makes the exchange as it would stand without a lane, and everything goes on from there.  So an `Exchange`
and its two connections remain the definition of what happens; a lane only does less on the way.
"""

from __future__ import annotations

import sys
from math import inf
from typing import TYPE_CHECKING, Any, Final

from zope.interface import implementer

from gateway import _native
from gateway.errors import GatewayError
from gateway.http.heads import HeadLimits, parse_request
from gateway.interfaces import IUpstreamListener
from gateway.listener import plain
from gateway.relay.watch import Watch
from gateway.transport.stream import Stream
from gateway.values import Fields, Outcome, ResponseHead, Route, blank_outcome

if TYPE_CHECKING:
    from gateway.exchange.exchange import Exchange
    from gateway.exchange.surroundings import Surroundings
    from gateway.http.forwarded import ForwardedFields
    from gateway.interfaces import ILease
    from gateway.listener.http1 import ClientConnection
    from gateway.upstream.http1 import UpstreamConnection
    from gateway.values import RequestHead

__all__ = ["Lane", "lane_for"]


def lane_for(client: ClientConnection, forwarded: ForwardedFields) -> Lane | None:
    """A lane for the requests of ``client``; ``None`` where there can be none.

    What a trusted proxy says of a request is not plain, nor is what a subclass may do with one.
    """
    if not _THERE or forwarded.trusted or not isinstance(client.transport, Stream):
        return None
    shared = client.factory.shared
    lane = Lane(
        client.transport, forwarded.known.encode("ascii"), shared.trace_prefix, client.factory.head_limits,
        sys.maxsize if shared.limits.max_body_bytes is None else shared.limits.max_body_bytes,
    )  # fmt: skip
    lane._client, lane._shared = client, shared
    return lane


_THERE: Final = _native.pump is None or _native.heads is not None
"""That of C needs the other extension."""


_UNBOUNDED = HeadLimits(sys.maxsize, sys.maxsize, sys.maxsize)


def _head_of(raw: bytes) -> RequestHead:
    return parse_request(raw, _UNBOUNDED)  # it was within the limits when it was read


@implementer(IUpstreamListener)
class Lane(plain.Lane):
    """The lane of one client connection, and the exchange that is in it.

    For the backend's connection it stands for the exchange until something happens that concerns an exchange.
    """

    __slots__ = ("_client", "_connected", "_flight", "_responded", "_shared", "_started")

    _flight: tuple[Route, ILease, Any]
    """The exchange that is in it: where it goes, and an `UpstreamConnection`, or the `Attempt` to make one.

    Nothing of it is kept afterwards: an idle client costs little."""

    _client: ClientConnection
    _shared: Surroundings
    _started: float
    _responded: float
    _connected: float | None

    # -- called by its base

    def decide(self, host: str) -> Any:
        """The transport of the backend that gets this request; ``None`` if it is an `Exchange` now. HOT

        The request's head is only made where somebody has to look at it.  The lane itself, if a connection is made.
        """
        client = self._client
        shared = self._shared
        self._started = now = shared.seconds()
        self._responded = 0.0
        head = None
        where = shared.route_of(host, client.listener)
        if where is None:
            head = self.head()
            try:
                where = shared.router.route(head, client.listener)
            except Exception as error:
                return self._open(head).not_routed(error)
        if where.__class__ is not Route or not where.verbatim or where.middleware or client.pins or shared.stopping:
            return self._open(head).proceed(where, None, self.body())
        if self.opening:
            if where.filters is not None:
                return self._open(head).proceed(where, None, b"")
            self._connected = None
        pool = where.pool
        outcome = None
        if not pool.heedless:
            head = head or self.head()
            outcome = blank_outcome()
            outcome.peer = client.peer
        try:
            lease = pool.lease(head, (), outcome)
        except GatewayError as error:
            return self._open(head).not_leased(where, error)
        connection = None
        try:
            ways = shared.upstream_for(where, lease.backend)
            if not ways.dedicated:
                connection = ways.take(host, self.careful)
        except Exception:
            self._open(head).leased(where, lease)  # for who is told that the client's connection is lost by that
            raise
        if connection is None:
            attempt = ways.begin(host, self) if self.opening and not ways.dedicated else None
            if attempt is None:
                return self._open(head).proceed(where, lease, self.body())
            self._flight = where, lease, attempt
            client.deadline = inf  # the attempt has one
            return self
        self._flight = where, lease, connection
        connection.listener = self
        client.deadline = deadline = now + where.settings.request_timeout
        if deadline < client.review:
            shared.deadlines.set(client, deadline)
        return connection.transport

    def callback(self, connection: UpstreamConnection) -> None:
        """There is a connection for a request that waits for it, see `gateway.transport.connect.Result`."""
        shared = self._shared
        route, lease, _ = self._flight
        self._flight = route, lease, connection
        self._connected = now = shared.seconds()
        connection.listener = self
        client = self._client
        client.deadline = deadline = now + route.settings.request_timeout
        if deadline < client.review:
            shared.deadlines.set(client, deadline)
        self.go(connection.transport)

    def errback(self, fail: Any = None) -> None:
        """There is none, and no plain exchange without it."""
        _, _, attempt = self._flight
        self.resume()
        attempt.result.errback(fail)

    def goes_on(self) -> None:
        """A part of the response, and not the last, is about to be passed on. HOT"""
        client, shared = self._client, self._shared
        now = shared.seconds()
        if not self._responded:
            self._responded = now
        client.deadline = deadline = now + self._flight[0].settings.request_timeout
        if deadline < client.review:
            shared.deadlines.set(client, deadline)

    def ended(self) -> None:
        """The response has been written. HOT"""
        client, shared = self._client, self._shared
        route, lease, connection = self._flight
        del self._flight
        now = shared.seconds()
        connection.listener = None
        quiet = shared.tallies and lease.release_quietly()
        outcome = None if quiet else self._outcome(route, lease, connection)
        connection.upstream.keep(connection, now)
        if outcome is None:
            shared.tally(route, lease.backend, self.status, self.received, self.passed, now - self._started)
        else:
            outcome.content_type = self.content_type
            outcome.responded = self._responded or now
            outcome.ended = now
            outcome.received_bytes = self.received
            outcome.sent_bytes = self.passed
            outcome.upstream_sent = self.sent
            outcome.upstream_received = self.answered
            lease.release(outcome)
            shared.ended(outcome)
        if self.closing:
            client.has_sent(self.passed)
            client.shut(last=True)
        else:
            limits = shared.limits
            client.deadline = deadline = now + (limits.send_timeout if client.stuck else limits.keep_alive_timeout)
            if deadline < client.review:
                shared.deadlines.set(client, deadline)

    def opened(self, early: bytes) -> None:
        """The backend's 101 has been passed on, and ``early`` came behind it: both connections are a session's. HOT

        As in `Exchange`, from where it has switched.
        """
        client, shared = self._client, self._shared
        route, lease, connection = self._flight
        del self._flight
        outcome = self._outcome(route, lease, connection)
        outcome.connected = self._connected
        outcome.responded = now = shared.seconds()
        client.count(self.received, self.passed)
        connection.listener = None
        connection.sent, connection.received = self.sent, self.answered
        session = Watch(shared, client, connection, outcome, lease, route.settings)
        if client.goodbye is not None:
            session.end_at(now, client.goodbye)
        session.open(early)

    def _outcome(self, route: Route, lease: ILease, connection: UpstreamConnection) -> Outcome:
        """What is known of the exchange as soon as there is a response. HOT"""
        client = self._client
        factory = client.factory
        outcome = blank_outcome()
        outcome.peer = client.peer
        outcome.packed = _head_of, self.raw
        outcome.scheme = factory.scheme
        outcome.local_port = factory.port
        outcome.listener = client.listener
        outcome.trace_id = self.trace_id
        outcome.route = route
        outcome.backend = lease.backend
        outcome.attempts = 1
        outcome.status = outcome.upstream_status = self.status
        outcome.started = self._started
        if connection.key is not None:
            connection.note_tls(outcome)
        if factory.tls:
            if client.certificate is not None:
                outcome.client_certificate = client.certificate
            client.note_tls(outcome)
        return outcome

    def serves(self, shared: Surroundings) -> bool:
        """Whether it was made for these."""
        return self._shared is shared

    def send(self) -> None:
        """The transport that `decide` has named cannot be used by the lane."""
        body = self.body()
        exchange, connection = self._resumed()
        exchange.send(connection, body)

    def resume(self) -> Exchange:
        """Let the exchange go on without a lane."""
        waits = self.waiting
        exchange, connection = self._resumed()
        if waits:
            exchange.connecting(connection.promise())
            return exchange
        exchange.sent(connection, self.sent)
        if self.left:
            connection.answering(self.left, self.answered)
            exchange.answering(self.status, self.content_type, self._responded, self.passed)
        return exchange

    # -- inside

    def _open(self, head: RequestHead | None = None) -> Exchange:
        exchange: Exchange = self._client.open(head or self.head(), self.received, self.trace_id, self._started)
        return exchange

    def _resumed(self) -> tuple[Exchange, Any]:
        route, lease, connection = self._flight
        del self._flight
        exchange = self._open()
        self.detach()
        exchange.leased(route, lease)
        if self.opening:
            exchange.outcome.connected = self._connected
        return exchange, connection

    # -- the backend's side: IUpstreamListener

    def upstream_response(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """See `IUpstreamListener`."""
        self.resume().upstream_response(head, data, end)

    def upstream_data(self, data: bytes, end: bool, trailers: Fields = ()) -> None:
        """See `IUpstreamListener`."""
        self.resume().upstream_data(data, end, trailers)

    def upstream_stuck(self, stuck: bool) -> None:
        """See `IUpstreamListener`."""
        connection = self._flight[-1]
        self.resume().upstream_stuck(stuck)
        connection.fed_by(self._client)

    def upstream_failed(self, error: GatewayError) -> None:
        """See `IUpstreamListener`."""
        connection = self._flight[-1]
        exchange = self.resume()
        connection.listener = None  # it has said its last
        exchange.upstream_failed(error)
