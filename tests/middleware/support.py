"""Middleware on its own: a context, and what it makes of a head."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gateway.interfaces import IMiddleware, IStrategyFactory
from gateway.services import Services
from gateway.testing import request_head, response_head
from gateway.values import Context, Outcome, Peer, Reply, RequestHead, ResponseHead

__all__ = ["MiddlewareCase", "request_head", "response_head"]


class MiddlewareCase(SynchronousTestCase):
    """``factory`` is set by the subclass; ``clock`` is what it is built with."""

    factory: Any = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)

    def make(self, **options: Any) -> Any:
        """Build it as the registry would; options in the spelling of documents."""
        verifyObject(IStrategyFactory, self.factory)
        checked = self.factory.options.model_validate(options)
        made = self.factory.build(checked, Services(self.clock, self.clock, None))  # type: ignore[arg-type]
        verifyObject(IMiddleware, made)
        self.assertTrue(made.traffic and made.traffic <= {"http", "upgrade"})
        return made

    def refused_options(self, text: str, **options: Any) -> None:
        """The options are wrong, and the error says ``text``."""
        error = self.assertRaises(ValueError, self.make, **options)
        self.assertIn(text, str(error))

    def context(self, head: RequestHead | None = None, host: str = "203.0.113.7", **known: Any) -> Context:
        """A context; ``known`` are attributes of the outcome."""
        outcome = Outcome(head=head or request_head(), peer=Peer(host, 50000), listener="web", **known)
        context = Context(outcome, None, self.clock.seconds)
        self.outcome = outcome
        return context

    def asked(self, made: Any, head: RequestHead, context: Context | None = None) -> Any:
        """What it says to a request; what it does not change comes back as it was."""
        found = made.request(head, context or self.context(head))
        if isinstance(found, Deferred):
            found = self.successResultOf(found)
        return head if found is None else found

    def passes(self, made: Any, head: RequestHead, context: Context | None = None) -> RequestHead:
        """It lets the request pass, perhaps changed."""
        found = self.asked(made, head, context)
        self.assertIsInstance(found, RequestHead)
        assert isinstance(found, RequestHead)
        return found

    def refuses(self, made: Any, head: RequestHead, status: int, cause: str, context: Context | None = None) -> Reply:
        """It answers the request."""
        found = self.asked(made, head, context)
        self.assertIsInstance(found, Reply)
        assert isinstance(found, Reply)
        self.assertEqual((status, cause), (found.status, found.cause))
        return found

    def answered(self, made: Any, request: RequestHead, response: ResponseHead, **known: Any) -> ResponseHead:
        """The response as it leaves, after the request came in."""
        context = self.context(request, **known)
        self.passes(made, request, context)
        found = made.response(response, context)
        self.last_context = context
        return response if found is None else found
