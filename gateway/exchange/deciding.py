"""An exchange before its backend is known: what its router decides, and the middleware of its route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.errors import GatewayError, PluginFailed
from gateway.exchange.attempts import DONE, Attempts
from gateway.exchange.passage import Passage
from gateway.http.forwarded import client_address
from gateway.relay.flow import CONNECTING
from gateway.routing.rule_router import PATIENCE
from gateway.values import Context, NeedsAddress, Reply, RequestHead, Route

if TYPE_CHECKING:
    from gateway.interfaces import ILease, IMiddleware
    from gateway.listener.http1 import ClientConnection

__all__ = ["Decisions"]

_log = Logger("gateway.exchange")


class Decisions(Attempts):
    """The part of an `Exchange` that goes from a router's answer to an attempt, or to a reply.

    `Exchange.start` goes straight on with a route without middleware, decided at once.  Else, and with whatever a lane
    hands over, `_routed` is called, and in the end `_attempt`, `_answer` or `_fail`, perhaps when a plugin was waited
    for.

    ``_out`` gets the response: the client, or the ``_passage`` through the middleware.
    """

    _out: ClientConnection | Passage
    _passage: Passage | None = None

    if TYPE_CHECKING:  # the exchange

        def _answer(self, reply: Reply) -> None: ...

    # -- instead of `Exchange.start`, where all of the request is here and its lane has come so far

    def not_routed(self, error: Exception) -> None:
        """The router raised this; also told by `Exchange.start`."""
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

    def left(self) -> None:
        """The client's side is done with this; it and its passage must not keep each other."""
        self._passage, self._out = None, self._client

    # -- inside

    def _routed(self, where: Any) -> None:
        """What a router decided."""
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
        client.note_tls(outcome)
        context = Context(outcome, self._route, shared.seconds, address, self._added, client.transport)
        passage = Passage(self, client, chain, head, context)  # type: ignore[arg-type]  # an Exchange
        self._passage = self._out = passage

        def passed(found: RequestHead | Reply) -> None:
            if isinstance(found, Reply):
                self._answer(found)
                return
            if found.target != head.target:
                outcome.target = passage.shown(found.target)
            self._head, self._added = found, passage.shown(context.added)
            self._touched = passage.touched
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
