"""Conformance of middleware: what requests and responses pass through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from gateway.errors import GatewayError
from gateway.http.changes import checked_reply, checked_request, checked_response
from gateway.interfaces import IBodyEncoder, IMiddleware
from gateway.passage import traffic_of
from gateway.testing.cases import HANDSHAKES, REQUESTS, Case, ends_with, waited_for
from gateway.testing.fakes import FakeBackend, FakePool, request_context, response_head
from gateway.values import Context, Reply, RequestHead, ResponseHead, Route

__all__ = ["MiddlewareConformance"]

_RESPONSES = (
    response_head(fields=[("Content-Type", "text/html"), ("ETag", '"a"'), ("Vary", "Accept")], body=40),
    response_head(404, "Not Found", body=-1, fields=[("Set-Cookie", "a=\xe9"), ("Set-Cookie", "b=2")]),
    response_head(304, "Not Modified"),
    response_head(502, "Bad Gateway", body=10),
    response_head(206, "Partial Content", body=-2, fields=[("Content-Range", "bytes 0-1/9")]),
)
_SWITCHING = response_head(
    101, "Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "websocket")], upgrade="websocket"
)


def _answers(middleware: Any, head: RequestHead) -> Sequence[ResponseHead]:
    """What the response to a request may be; an upgrade to something unknown may be ignored."""
    switching = (_SWITCHING,) if head.upgrade and "upgrade" in middleware.traffic else ()
    return switching if head.upgrade == "websocket" else (*switching, *_RESPONSES)


class MiddlewareConformance(Case):
    """What a passage relies on. Override `make_middleware`, and `answer` where it waits for somebody.

    ``requests`` are those it is tried with, besides odd ones; ``clock`` is the time that its contexts have.
    """

    requests: Sequence[RequestHead] = ()
    clock: Any = None

    def make_middleware(self) -> Any:
        """A new middleware."""
        raise NotImplementedError

    def answer(self) -> None:
        """Let everything that it waits for now have its answer."""

    def _heads(self, middleware: Any) -> list[RequestHead]:
        return [head for head in (*self.requests, *REQUESTS, *HANDSHAKES) if traffic_of(head) & middleware.traffic]

    def _context(self, head: RequestHead, routed: bool = True) -> Context:
        pool = FakePool()
        route = Route("listener", "rule", pool, pool.settings) if routed else None
        return request_context(head, self.clock or Clock(), route)

    def _pass(self, middleware: Any, head: RequestHead, context: Context) -> RequestHead | None:
        """The request that goes on, as the gateway would take it; ``None`` where it is answered here."""
        try:
            found = middleware.request(head, context)
        except GatewayError:
            return None  # which is its answer
        deferred = waited_for(found)
        if deferred is not None:
            results: list[Any] = []
            deferred.addErrback(lambda failure: failure.trap(GatewayError) and Reply(500)).addBoth(results.append)
            self.answer()
            self.assertEqual(1, len(results), "there is no decision after `answer`")
            found = results[0]
        if isinstance(found, Reply):
            checked_reply(found)
            return None
        if found is None:
            return head
        self.assertIsInstance(found, RequestHead)
        return checked_request(head, found)

    def _respond(self, middleware: Any, response: ResponseHead, context: Context) -> ResponseHead:
        found = middleware.response(response, context)
        if found is None:
            return response
        self.assertIsInstance(found, ResponseHead)
        return checked_response(response, found)

    def test_provides_interface(self) -> None:
        """It says that it is an `IMiddleware`, has its methods, and is for some traffic."""
        middleware = self.make_middleware()
        verifyObject(IMiddleware, middleware)
        self.assertIsInstance(middleware.traffic, frozenset)
        self.assertTrue(middleware.traffic, "it is never asked")
        self.assertEqual(frozenset(), middleware.traffic - {"http", "upgrade"})

    def test_requests(self) -> None:
        """Whatever it makes of a request may be sent on, or answered."""
        middleware = self.make_middleware()
        for head in self._heads(middleware):
            for routed in (True, False):
                self._pass(middleware, head, self._context(head, routed))

    def test_responses(self) -> None:
        """Whatever it makes of a response may be sent on; also of one that the gateway gives itself."""
        middleware = self.make_middleware()
        for head in self._heads(middleware):
            for response in _answers(middleware, head):
                for backend in (FakeBackend(), None):
                    context = self._context(head)
                    if self._pass(middleware, head, context) is not None:
                        context.backend = backend
                        self._respond(middleware, response, context)

    def test_bodies(self) -> None:
        """Where it encodes a body, bytes come out, and two bodies at a time do not meet."""
        middleware = self.make_middleware()
        for head in [head for head in self._heads(middleware) if not head.upgrade]:
            context, other = self._context(head), self._context(head)
            if self._pass(middleware, head, context) is None or self._pass(middleware, head, other) is None:
                continue
            for response in _RESPONSES:
                self._encode(
                    *[middleware.body(self._respond(middleware, response, each), each) for each in (context, other)]
                )

    def _encode(self, *encoders: Any) -> None:
        if None in encoders:
            return
        sent = []
        for encoder in encoders:
            verifyObject(IBodyEncoder, encoder, tentative=True)
            sent.append([encoder.feed(b"a" * 2000)])
        for encoder, parts in zip(encoders, sent, strict=True):
            parts += [encoder.feed(b"\0\xff"), encoder.end()]
        for parts in sent:
            self.assertEqual({bytes}, {type(part) for part in parts})

    def test_two_at_a_time(self) -> None:
        """What it remembers of one exchange it does not mix up with another's."""
        middleware = self.make_middleware()
        contexts = []
        for head in self._heads(middleware):
            context = self._context(head)
            if self._pass(middleware, head, context) is not None:
                contexts.append((head, context))
        for head, context in contexts:
            self._respond(middleware, _answers(middleware, head)[0], context)

    def test_cancelled(self) -> None:
        """Where it waits and the client leaves, that ends in the same turn."""
        middleware = self.make_middleware()
        for head in self._heads(middleware):
            try:
                found = middleware.request(head, self._context(head))
            except GatewayError:
                continue
            deferred = waited_for(found)
            if deferred is not None:
                self.assertEqual(1, len(ends_with(deferred)))
