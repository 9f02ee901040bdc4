"""One request's way in through the middleware of its route, and its response's way out.

Only exchanges of routes with middleware have a `Passage`.  It stands between the exchange and the client: what the
exchange answers goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.errors import GatewayError, PluginFailed, PluginTimeout, UpgradeRefused, frameless
from gateway.http.changes import checked_reply, checked_request, checked_response, said
from gateway.http.heads import index_of
from gateway.http.pages import REASONS
from gateway.middleware.base import changes_responses
from gateway.strategies.contained import ContainedMiddleware
from gateway.strategies.containment import Containment, as_exception
from gateway.values import CHUNKED, Context, Fields, Reply, RequestHead, ResponseHead

if TYPE_CHECKING:
    from gateway.exchange.exchange import Exchange
    from gateway.interfaces import IMiddleware
    from gateway.listener.http1 import ClientConnection

__all__ = ["Passage", "traffic_of"]

_HTTP = frozenset({"http"})
_UPGRADE = frozenset({"upgrade"})
_BOTH = _HTTP | _UPGRADE


def traffic_of(head: RequestHead) -> frozenset[str]:
    """Which middleware a request is for (`IMiddleware.traffic`).

    A server may ignore an upgrade and answer as if there were none (RFC 9110 §7.8), so a request to go on with anything
    but WebSocket is a plain one as well.
    """
    if not head.upgrade:
        return _HTTP
    return _UPGRADE if head.upgrade == "websocket" else _BOTH


class Passage:
    """The middleware of one exchange.

    ``head`` is the request as it is so far, ``touched`` has names of fields, in lower case, among them all that a
    middleware has set or taken out.  `enter` walks in; `respond`, `send` and `reply` are those of
    `IClientStream` and walk out.
    """

    def __init__(
        self,
        exchange: Exchange,
        client: ClientConnection,
        chain: Sequence[IMiddleware],
        head: RequestHead,
        context: Context,
    ) -> None:
        self.head = self._original = head
        self.context = context
        self._exchange = exchange
        self._client = client
        self._kinds = traffic_of(head)
        self._skipped = False
        self._route = context.route
        self._chain = self._wanted(chain)
        self._passed = 0
        self.touched: list[Iterable[str]] = []
        self._encoders: list[Any] = []
        self._failures: list[Any] = []

    # -- the way in

    def enter(self) -> RequestHead | Reply | Deferred[RequestHead | Reply]:
        """Ask one after another: the request that goes on, or the reply that it gets here, or a Deferred of these.

        Raises a `GatewayError`, or the Deferred fails with one.
        """
        chain = self._chain
        while True:
            if self.context.route is not self._route:
                self._follow()
            if self._passed == len(chain):
                return self.head
            middleware = chain[self._passed]
            try:
                found = middleware.request(self.head, self.context)
            except Exception as error:
                self._leave_out(error)
                continue
            if found is None:
                self._passed += 1
                continue
            if iscoroutine(found):
                found = Deferred.fromCoroutine(found)
            if isinstance(found, Deferred):
                return found.addCallbacks(self._arrived, self._failed)
            reply = self._accept(middleware, found)
            if reply is not None:
                return reply

    @property
    def asked(self) -> str:
        """Which middleware is asked at the moment, for messages."""
        return _account(self._chain[self._passed]).subject

    def _arrived(self, found: Any) -> Any:
        reply = self._accept(self._chain[self._passed], found)
        return reply if reply is not None else self.enter()

    def _failed(self, failure: Failure) -> Any:
        error, middleware, given_up = failure.value, self._chain[self._passed], self._exchange.outcome.error
        if given_up is not None:
            # Nobody waits any more: the client has left, or it took too long, which is the middleware's failure.
            if isinstance(given_up, PluginTimeout):
                _account(middleware).failed(given_up)
            return failure
        self._leave_out(as_exception(error))
        return self.enter()

    def _leave_out(self, error: Exception) -> None:
        """Go on without the middleware that was asked and has failed, or raise what the request ends with."""
        _blame(self._chain[self._passed], error)
        del self._chain[self._passed]
        self.context.route = self._route  # where it would have sent the request does not count either

    def _accept(self, middleware: IMiddleware, found: Any) -> Reply | None:
        """Take what a middleware decided: its reply, or ``None`` to go on to the next."""
        if found is not None:
            try:
                if isinstance(found, Reply):
                    reply = checked_reply(found)
                    _praise([middleware])
                    return reply
                if not isinstance(found, RequestHead):
                    raise TypeError(f"request() returned {type(found).__name__}")
                self._change(found)
            except Exception as error:
                self._leave_out(error)
                return None
        self._passed += 1
        return None

    def _change(self, found: RequestHead) -> None:
        """Go on with what a middleware made of the request. Raises whatever is wrong with it."""
        before, context = self.head, self.context
        head = checked_request(before, found)
        if head.fields is not before.fields:
            removed = () if found.nominated is before.nominated else frozenset(found.nominated)
            context.added = said(context.added, before.fields, head.fields)
            self.touched += (head.index, removed)
        self.head = head

    def _follow(self) -> None:
        """A middleware has sent the request elsewhere: next comes what it has not been through there."""
        been, route = self._chain[: self._passed], self.context.route
        self._route = route
        wanted = route.middleware if route is not None else ()
        self._chain[self._passed :] = [each for each in self._wanted(wanted) if not _holds(been, each)]

    def _wanted(self, chain: Sequence[IMiddleware]) -> list[IMiddleware]:
        """Those that this request is for."""
        kinds, whole = self._kinds, len(chain)
        found = [middleware for middleware in chain if not kinds.isdisjoint(middleware.traffic)]
        self._skipped = self._skipped or len(found) < whole
        return found

    def shown(self, text: str) -> str:
        """``text`` without what a middleware conceals."""
        for secret in self.context.concealed:
            text = text.replace(secret, "-")
        return text

    # -- the way out

    def respond(self, head: ResponseHead, data: bytes, end: bool) -> None:
        """A response head from the backend, with the first body bytes."""
        client = self._client
        if head.status < 200:
            if self._answers_change():
                links = [field for field in head.fields if field[0].lower() == "link"]
                head = head._replace(fields=links, index=index_of(links))
            client.respond(head, data, end)
            return
        self.context.backend = self._exchange.outcome.backend
        if self._skipped and self._original.upgrade and head.status < 300:
            # The handshake was ignored (RFC 9110 §7.8), and would bring what plain requests get round the middleware.
            why = f"the backend answered a WebSocket handshake with {head.status}, and middleware is for plain requests"
            self._exchange.response_failed(UpgradeRefused(why), begun=False)
            return
        try:
            head = self._outward(head)
            self._find_encoders(head)
            if self._encoders:
                data = self._encoded(data, end)
                head = head._replace(body=len(data) if end else CHUNKED)
        except GatewayError as error:
            self._chain, self._encoders = [], []
            self._exchange.response_failed(error, begun=False)
            return
        outcome = self._exchange.outcome
        outcome.status = head.status
        outcome.content_type = head.index.get("content-type", "")
        if end:
            self._done()
        client.respond(head, data, end)

    def send(self, data: bytes, end: bool, trailers: Fields = ()) -> None:
        """More of the body."""
        if self._encoders:
            try:
                data = self._encoded(data, end)
            except GatewayError as error:
                self._encoders = []
                self._exchange.response_failed(error, begun=True)
                return
        if end:
            self._done()
        if trailers and self._answers_change():
            trailers = ()
        self._client.send(data, end, trailers)

    def switching(self, head: ResponseHead) -> ResponseHead:
        """The 101 of an upgrade. Raises a `GatewayError` where it cannot be passed on."""
        self.context.backend = self._exchange.outcome.backend
        try:
            head = self._outward(head)
        except GatewayError:
            self._chain = []
            raise
        self._done()
        return head

    def reply(self, reply: Reply) -> None:
        """An answer of the gateway's own."""
        outcome = self._exchange.outcome
        try:
            reply = self._outward_reply(reply)
            self._done()
        except GatewayError as error:
            self._chain = []
            outcome.error, outcome.cause = frameless(error), error.cause
            reply = self._exchange.error_page(error.status)
        outcome.status = reply.status
        self._client.reply(reply)

    def _answers_change(self) -> bool:
        """Whether somebody looks at response heads, which may be to take fields out or to set them.

        Nobody is asked about interim responses and trailers (RFC 9110 §15.2, §6.5.1), so these must not say what
        is taken out of the head: of the first only early hints are left (RFC 8297), of the second nothing.
        """
        return any(map(changes_responses, self._chain[: self._passed]))

    def _done(self) -> None:
        """The response is complete."""
        passed = self._chain[: self._passed]
        _praise([each for each in passed if each not in self._failures] if self._failures else passed)

    def _outward_reply(self, reply: Reply) -> Reply:
        given = list(reply.fields)
        if reply.body and not any(name.lower() == "content-type" for name, _ in given):
            given.insert(0, ("Content-Type", "text/html"))
        plain = ResponseHead(
            reply.status, REASONS.get(reply.status, "Unknown"), "1.1", given, index_of(given), len(reply.body)
        )
        head = checked_response(plain, self._outward(plain))
        body = reply.body
        if body:
            self._find_encoders(head)
            if self._encoders:
                body = self._encoded(body, True)
        return Reply(head.status, tuple(head.fields), body, reply.cause)

    def _outward(self, head: ResponseHead) -> ResponseHead:
        """The head after all `response` methods, the innermost first."""
        switches = head.status == 101
        for middleware in reversed(self._chain[: self._passed]):
            if switches and "upgrade" not in middleware.traffic:
                continue
            try:
                found = middleware.response(head, self.context)
                if found is not None:
                    if not isinstance(found, ResponseHead):
                        raise TypeError(f"response() returned {type(found).__name__}")
                    head = checked_response(head, found)
            except Exception as error:
                _blame(middleware, error)
                self._failures.append(middleware)
        return head

    def _find_encoders(self, head: ResponseHead) -> None:
        if not head.body or head.status in (204, 304):
            return
        for middleware in reversed(self._chain[: self._passed]):
            try:
                encoder = middleware.body(head, self.context)
            except Exception as error:
                _blame(middleware, error)
                self._failures.append(middleware)
                continue
            if encoder is not None:
                self._encoders.append((middleware, encoder))

    def _encoded(self, data: bytes, end: bool) -> bytes:
        for middleware, encoder in self._encoders:
            try:
                data = encoder.feed(data) if data else b""
                if end:
                    data += encoder.end()
                if not isinstance(data, bytes):
                    raise TypeError(f"an encoder returned {type(data).__name__}")
            except Exception as error:
                # It is too late to do without it: some of the body may be inside.
                raise _fault(middleware, error) from error
        return data


def _holds(chain: Sequence[IMiddleware], wanted: IMiddleware) -> bool:
    return any(each is wanted for each in chain)


def _account(middleware: Any) -> Containment:
    """Its account; one of the gateway's own making has none, and gets one for the log."""
    found: Containment | None = getattr(middleware, "contained", None)
    return Containment("middleware", type(middleware).__name__) if found is None else found


def _praise(chain: Sequence[Any]) -> None:
    """What these did was right from the request to its response; that matters where something before was not."""
    for middleware in chain:
        if isinstance(middleware, ContainedMiddleware) and middleware.contained.run:
            middleware.contained.succeeded()


def _blame(middleware: Any, error: Exception) -> None:
    """Raise what the request ends with, unless the middleware is optional."""
    fault = _fault(middleware, error)
    if not (isinstance(fault, PluginFailed) and getattr(middleware, "optional", False)):
        raise fault from error


def _fault(middleware: Any, error: Exception) -> GatewayError:
    """A `GatewayError` that a middleware raises is its answer, anything else a failure."""
    return error if isinstance(error, GatewayError) else _account(middleware).failed(error)
