"""Conformance of middleware: what requests and responses pass through."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from gateway.errors import GatewayError
from gateway.exchange.passage import traffic_of
from gateway.http.changes import checked_request, checked_response, with_fields
from gateway.interfaces import IBodyEncoder, IMiddleware
from gateway.testing.cases import HANDSHAKES, REQUESTS, Case, check_reply, ends_with
from gateway.testing.conduct import asked, begun, check_context, described, fresh, in_turns, quick, untouched
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

    ``requests`` are those it is tried with, besides odd ones; ``clock`` is the time that its contexts have.  Requests
    come one by one and together, each from a client of its own in 203.0.113.0/24: give it options that let all in.
    """

    requests: Sequence[RequestHead] = ()
    clock: Any = None

    def make_middleware(self) -> Any:
        """A new middleware."""
        raise NotImplementedError

    def answer(self) -> None:
        """Let everything that it waits for now have its answer."""

    def comparable(self, found: Any) -> Any:
        """What of ``found`` has to be the same whoever else is served: all of it, unless this is overridden.

        ``found`` is a head or a reply that it has made, a whole body that it has encoded (``bytes``), or the class of
        what it raises.  Take out what may differ: a date, an identifier by chance, a count of all requests.
        """
        return found

    def _heads(self, middleware: Any) -> list[RequestHead]:
        wanted = (*self.requests, *REQUESTS, *HANDSHAKES)
        return [fresh(head) for head in wanted if traffic_of(head) & middleware.traffic]

    def _context(self, head: RequestHead, routed: bool = True, number: int = 7) -> Context:
        pool = FakePool()
        route = Route("listener", "rule", pool, pool.settings) if routed else None
        clock = self.clock or Clock()
        return request_context(head, clock, route, host=f"203.0.113.{number}", trace_id=f"{number:032x}")

    def _begin(self, middleware: Any, head: RequestHead, context: Context) -> Deferred[Any]:
        """What it says to a request. The Deferred has it already, unless it waits for somebody."""
        result: Deferred[Any] = Deferred()
        try:
            found = begun(self, middleware.request, head, context)
        except GatewayError as error:
            result.callback(error)
            return result
        if not isinstance(found, Deferred):
            result.callback(found)
            return result
        found.addErrback(lambda failure: failure.trap(GatewayError) and failure.value)
        return found

    def _decision(self, deferred: Deferred[Any], head: RequestHead, context: Context) -> Any:
        """The request that goes on, or the answer that it gets here, as the gateway would take it."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.assertEqual(1, len(results), "there is no decision after `answer`")
        (found,) = results
        check_context(self, context)
        if isinstance(found, GatewayError):
            return type(found)
        if isinstance(found, Reply):
            return check_reply(self, found)
        if found is None:
            return head
        self.assertIsInstance(found, RequestHead)
        return checked_request(head, found)

    def _pass(self, middleware: Any, head: RequestHead, context: Context) -> RequestHead | None:
        """The request that goes on; ``None`` where it is answered here."""
        with untouched(self, head, context):
            deferred = self._begin(middleware, head, context)
            if not deferred.called:
                with quick(self, "answer"):
                    self.answer()
            found = self._decision(deferred, head, context)
        return found if isinstance(found, RequestHead) else None

    def _respond(self, middleware: Any, response: ResponseHead, context: Context) -> ResponseHead:
        response = fresh(response)
        found = asked(self, middleware.response, response, context)
        check_context(self, context)
        if found is None:
            return response
        self.assertIsInstance(found, ResponseHead)
        return checked_response(response, found)

    def _course(self, middleware: Any, head: RequestHead, number: int, which: int) -> Generator[Any, None, list[Any]]:
        """An exchange from its request to the end of its body, for `in_turns`; returns all that can be seen of it.

        ``number`` makes it another one than others, ``which`` says what the backend's response is.
        """
        context = self._context(head, number=number)
        with untouched(self, head, context):
            deferred = self._begin(middleware, head, context)
            yield deferred
            found = self._decision(deferred, head, context)
        seen = [self.comparable(found), *_noted(context)]
        if not isinstance(found, RequestHead):
            return seen
        answers = _answers(middleware, head)
        response = with_fields(answers[(number + which) % len(answers)], add=[("X-Number", str(number))])
        context.backend = FakeBackend()
        response = self._respond(middleware, response, context)
        seen += [self.comparable(response), *_noted(context)]
        yield None
        if response.body and response.status not in (101, 204, 304):
            encoder = asked(self, middleware.body, response, context)
            if encoder is not None:
                body = yield from self._encode(encoder, number)
                seen.append(self.comparable(body))
        return seen

    def _encode(self, encoder: Any, number: int) -> Generator[None, None, bytes]:
        verifyObject(IBodyEncoder, encoder, tentative=True)
        parts = []
        for data in (bytes([97 + number % 26]) * (2000 + number), b"\0\xff"):
            parts.append(asked(self, encoder.feed, data))
            yield None
        parts.append(asked(self, encoder.end))
        self.assertEqual({bytes}, {type(part) for part in parts}, "an encoder gives bytes")
        return b"".join(parts)

    def _compare(self, heads: Sequence[RequestHead], which: int) -> None:
        """All of them, twice each, have in company what each has alone with a new middleware."""
        twice = [(head, 10 + number) for number, head in enumerate([head for head in heads for _ in range(2)])]
        alone = [in_turns(self, [self._course(self.make_middleware(), fresh(head), n, which)]) for head, n in twice]
        shared = self.make_middleware()
        together = in_turns(self, [self._course(shared, fresh(head), number, which) for head, number in twice])
        for (head, _), (expected,), found in zip(twice, alone, together, strict=True):
            why = f"{head.method} {head.target[:50]}: it gets what another request should have, or should not have"
            self.assertEqual(expected, found, why)

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
        """Where it encodes a body, bytes come out, and bodies at the same time do not meet."""
        heads = [head for head in self._heads(self.make_middleware()) if not head.upgrade]
        for which in range(len(_RESPONSES)):
            self._compare(heads, which)

    def test_two_at_a_time(self) -> None:
        """What it remembers of one exchange it does not mix up with another's: each has what it would have alone."""
        self._compare(self._heads(self.make_middleware()), 0)

    def test_cancelled(self) -> None:
        """Where it waits and the client leaves, that ends in the same turn."""
        middleware = self.make_middleware()
        for head in self._heads(middleware):
            deferred = self._begin(middleware, head, self._context(head))
            self.assertEqual(1, len(ends_with(deferred)))


def _noted(context: Context) -> tuple[Any, ...]:
    """What a middleware has said of an exchange."""
    end = (context.ends_at, context.end_code, context.end_reason)
    return described(context.route), context.user, context.concealed[:], end
