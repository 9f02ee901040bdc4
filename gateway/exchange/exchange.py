"""One request's life: route, lease, connect, relay, outcome.

::

    ROUTING ──reply──────────────────────────────────────┐
       │ route, middleware, lease                        │
    WAITING_TO_CONNECT ──refused, another backend left─┐ │
       │ connected, or an idle connection ◄────────────┘ │
    WAITING ──closed before a byte came: retry           │
       │ response head                                   │
    STREAMING ──101──> TUNNEL                            │
       │ end of the response                             │
    DONE <───────────────────────────────────────────────┘

ROUTING is in `deciding`, with the wait for the body in `uploading`, WAITING_TO_CONNECT and the rule for retries in
`attempts`, beside this module; the rest is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger
from zope.interface import implementer

from gateway.errors import (
    BackendProtocolError,
    BackendTimeout,
    ClientGone,
    ContinueTimeout,
    GatewayError,
    PluginTimeout,
    RequestTimeout,
    SessionEnded,
    frameless,
)
from gateway.exchange.attempts import DONE, ROUTING, STREAMING, TUNNEL, WAITING
from gateway.exchange.deciding import Decisions
from gateway.exchange.switching import agreed
from gateway.foreseen import foreseen
from gateway.http.bodies import chunk
from gateway.interfaces import IUpstreamListener
from gateway.values import CHUNKED, Fields, Outcome, Reply, RequestHead, ResponseHead, Route
from gateway.websocket.handshake import check_request

if TYPE_CHECKING:
    from gateway.exchange.surroundings import Surroundings
    from gateway.listener.http1 import ClientConnection

__all__ = ["Exchange"]

_log = Logger("gateway.exchange")


@foreseen()
@implementer(IUpstreamListener)
class Exchange(Decisions):
    """One request and its response.

    Told by `ClientConnection` what the client does, by `UpstreamConnection` what the backend does.
    """

    def __init__(
        self, shared: Surroundings, client: ClientConnection, head: RequestHead, outcome: Outcome, added: str
    ) -> None:
        self._shared = shared
        self._client = client
        self._out = client
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

    def request_data(self, data: bytes, complete: bool, trailers: Fields = ()) -> None:
        """More of the request body; with ``complete`` its end."""
        self._complete = complete
        if self._upload is not None:
            self._trailers = trailers
            self._keep(data)
            return
        upstream = self._upstream
        if upstream is None:
            if self._awaited is not None:
                self._pending += data
                self._trailers = trailers
            return
        self._replayable = self._expecting = False
        self._pending = b""
        if self._head.body == CHUNKED:
            data = (chunk(data) if data else b"") + (self._last_chunk(trailers) if complete else b"")
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
        elif not self._complete and not client.held and not self._expecting:
            self._fail(RequestTimeout("the client did not send its request body in time"))
        else:
            seconds = settings.request_timeout if settings else 0
            name = self.outcome.backend.name if self.outcome.backend else "?"
            waits = self._expecting and not (self._upstream and self._upstream.stuck)
            what = "sent nothing for" if self.phase == STREAMING else "has not answered within"
            self._fail((ContinueTimeout if waits else BackendTimeout)(f"backend {name} {what} {seconds} s"))

    # -- the backend's side: IUpstreamListener; a failure may lead to another attempt

    def upstream_response(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """A response head, with the first body bytes."""
        client = self._client
        status = head.status
        if status < 200:
            if status == 101:
                self._switch(head, data)
            else:
                if status == 100 and self._expecting:
                    self._expecting = False
                    self._allow(self._upstream.stuck)  # type: ignore[union-attr]
                self._out.respond(head, b"", False)
            return
        outcome = self.outcome
        outcome.status = outcome.upstream_status = status
        outcome.responded = now = self._shared.seconds()
        outcome.content_type = head.index.get("content-type", "")
        self.phase = STREAMING
        self._pending = b""
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

    def upstream_stuck(self, stuck: bool) -> None:
        """The backend takes no more of the request, or takes on: that moves who is waited for."""
        if not self._complete:
            self._allow(stuck or self._expecting)

    def answering(self, status: int, content_type: str, responded: float, passed: int) -> None:
        """The backend has begun to answer, and ``passed`` bytes of that went to the client."""
        outcome, client, upstream = self.outcome, self._client, self._upstream
        outcome.status = outcome.upstream_status = status
        outcome.responded = responded
        outcome.content_type = content_type
        self.phase = STREAMING
        assert upstream is not None
        client.has_sent(passed)
        client.fed_by(upstream, self._shared.read_ahead)

    def _switch(self, head: ResponseHead, data: bytes) -> None:
        """The backend agreed to another protocol: hand both connections over to a tunnel."""
        request, client, upstream = self._head, self._client, self._upstream
        assert upstream is not None and self._route is not None
        try:
            if not self._complete or self._upload is not None:
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
        try:
            tunnel = make(shared, client, upstream, outcome, self._lease, self._route.settings)
            if passage is not None and passage.context.ends_at is not None:
                context = passage.context
                ending = SessionEnded(context.end_code, context.end_reason or "the session's time is over", "expired")
                tunnel.end_at(context.ends_at, ending)
            if client.goodbye is not None:
                tunnel.end_at(outcome.responded, client.goodbye)
            client.respond(head, b"", False)
        except Exception:
            _log.failure("switching protocols failed on {method} {path}", method=request.method, path=request.path)
            self._out = client  # the middleware has seen its response
            self._fail(GatewayError("switching protocols failed; the log says why"))
            return
        self._upstream = self._lease = None  # the tunnel's from here on, whatever happens
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
            # Who does not read, or breaks its word, is cut; who waits for more gets all there is.
            if error.status < 500:
                client.abort()
            else:
                client.break_off()
            return
        reply = self.error_page(error.status, error.advice)
        self._out.reply(reply._replace(fields=(*reply.fields, *error.fields)) if error.fields else reply)

    def _end(self, error: GatewayError | None) -> None:
        """Give back what was used. The client's side records the outcome when the last byte is written."""
        if self.phase == DONE:
            return
        self.phase = DONE
        outcome, lease, upstream, sent = self.outcome, self._lease, self._upstream, self._complete
        if self._upload is not None:
            sent = False
            self._discard()
        if error is not None:
            outcome.error, outcome.cause = frameless(error), error.cause
            if not outcome.status:
                outcome.status = error.status
        self._upstream = self._lease = None
        if upstream is not None:
            outcome.upstream_received, outcome.upstream_sent = upstream.received, upstream.sent
            upstream.finish(error is None and sent)
        if self._awaited is not None:
            self._give_up()
        if lease is not None:
            lease.release(outcome)

    def response_failed(self, error: GatewayError, begun: bool) -> None:
        """A middleware failed on the response, whose head has been sent if it has ``begun``."""
        client, outcome = self._client, self.outcome
        if self.phase != DONE:
            self.phase = STREAMING if begun else WAITING
            self._fail(error)
            return
        outcome.error, outcome.cause = frameless(error), error.cause
        if begun:
            client.break_off()
        else:
            outcome.status = error.status
            client.reply(self.error_page(error.status))

    def error_page(self, status: int, advice: str = "") -> Reply:
        """The gateway's answer to an error of this status, or the operator's for this listener."""
        return self._shared.error_reply(status, self._client.listener, self._route, advice)
