"""Conformance of routers: those that decide where a request goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from gateway.errors import GatewayError
from gateway.http.changes import checked_reply
from gateway.interfaces import IAsyncRouter, IHostRouter, IRouter
from gateway.testing.cases import HANDSHAKES, REQUESTS, Case, check_reply, ends_with, waited_for
from gateway.testing.conduct import begun, described, fresh, image, quick, untouched
from gateway.values import NeedsAddress, Reply, RequestHead, Route

__all__ = ["AsyncRouterConformance", "RouterConformance"]


class RouterConformance(Case):
    """What the exchange relies on. Override `make_router`, and ``listener`` and ``heads`` where need be."""

    listener = "listener"
    heads: Sequence[RequestHead] = (*REQUESTS, *HANDSHAKES)

    def make_router(self) -> Any:
        """A new `IRouter`."""
        raise NotImplementedError

    def _decide(self, router: Any, head: RequestHead) -> Any:
        """The decision, at once and without changing anything; a `GatewayError` that it raises is one too."""
        head = fresh(head)
        with untouched(self, head), quick(self, "route"):
            try:
                decision = router.route(head, self.listener)
            except GatewayError as error:
                return _Raised(type(error))
            self.assertIsNone(waited_for(decision), "an IRouter must not wait: provide IAsyncRouter instead")
            if IHostRouter.providedBy(router):
                known = router.route_of(head.host, self.listener)
                self.assertTrue(known is None or known == decision, "route_of() says otherwise than route()")
            return _checked(self, decision)

    def test_provides_interface(self) -> None:
        """It says that it is an `IRouter`, and has its methods."""
        verifyObject(IRouter, self.make_router())

    def test_decides(self) -> None:
        """Each request gets a `Route` with a pool, or a `Reply`, or an error such as `NoRoute`."""
        router = self.make_router()
        for head in self.heads:
            self._decide(router, head)

    def test_pure(self) -> None:
        """The same request gets the same decision, whatever was asked in between."""
        router = self.make_router()
        first = [self._decide(router, head) for head in self.heads]
        again = [self._decide(router, head) for head in reversed(self.heads)]
        self.assertEqual(first, again[::-1])

    def test_alone(self) -> None:
        """What was asked before changes nothing: each request gets what a new router decides about it."""
        router = self.make_router()
        for head in self.heads:
            alone = described(self._decide(self.make_router(), head))
            self.assertEqual(alone, described(self._decide(router, head)))


class AsyncRouterConformance(Case):
    """The same for one that waits. Override `make_router`, and `answer` so that it learns what it waits for.

    It may know some answers at once, and return or raise those.
    """

    listener = "listener"
    heads: Sequence[RequestHead] = (*REQUESTS, *HANDSHAKES)

    def make_router(self) -> Any:
        """A new `IAsyncRouter`."""
        raise NotImplementedError

    def answer(self) -> None:
        """Let everything that is asked for now have its answer."""

    def _ask(self, router: Any, head: RequestHead) -> Deferred[Any]:
        head = fresh(head)
        before = image(head)
        try:
            found = begun(self, router.route, head, self.listener)
        except GatewayError as error:
            return fail(error)
        decision: Deferred[Any] = found if isinstance(found, Deferred) else succeed(found)

        def decided(result: Any) -> Any:
            self.assertEqual(before, image(head), "it has changed the head that it was handed")
            return result

        return decision.addBoth(decided)

    def _decision(self, deferred: Deferred[Any]) -> Any:
        found: list[Any] = []
        deferred.addErrback(_raised)
        deferred.addBoth(found.append)
        self.assertEqual(1, len(found), "there is no decision after `answer`")
        return _checked(self, found[0])

    def test_provides_interface(self) -> None:
        """It says that it is an `IAsyncRouter`, and has its methods."""
        verifyObject(IAsyncRouter, self.make_router())

    def test_decides(self) -> None:
        """Each request gets a `Route` with a pool, or a `Reply`, or an error such as `NoRoute`; also many at once."""
        router = self.make_router()
        one_by_one = []
        for head in self.heads:
            deferred = self._ask(router, head)
            self.answer()
            one_by_one.append(self._decision(deferred))
        together = [self._ask(router, head) for head in self.heads]
        self.answer()
        self.assertEqual(one_by_one, [self._decision(deferred) for deferred in together])

    def _alone(self, head: RequestHead) -> Any:
        deferred = self._ask(self.make_router(), head)
        if not deferred.called:
            with quick(self, "answer"):
                self.answer()
        return described(self._decision(deferred))

    def test_alone(self) -> None:
        """What was asked before or is asked meanwhile changes nothing: each gets what a new router decides about it."""
        alone = [self._alone(head) for head in self.heads]
        router = self.make_router()
        together = [self._ask(router, head) for head in self.heads]
        if not all([deferred.called for deferred in together]):
            self.answer()
        self.assertEqual(alone, [described(self._decision(deferred)) for deferred in together])

    def test_cancelled(self) -> None:
        """One that is given up ends in the same turn, and the next is decided as if nothing had been."""
        alone = [self._alone(head) for head in self.heads]
        router = self.make_router()
        for head, expected in zip(self.heads, alone, strict=True):
            self.assertEqual(1, len(ends_with(self._ask(router, head))))
            deferred = self._ask(router, head)
            if not deferred.called:
                self.answer()
            self.assertEqual(expected, described(self._decision(deferred)))


class _Raised(NamedTuple):
    """The class of a `GatewayError` that was the answer."""

    error: type[BaseException] | None


def _raised(failure: Failure) -> Any:
    return _Raised(failure.type) if failure.check(GatewayError) else failure


def _checked(case: Case, decision: Any) -> Any:
    if isinstance(decision, NeedsAddress):
        return tuple([_decided(case, decision, address) for address in ("203.0.113.7", "2001:db8::1")])
    if isinstance(decision, Route):
        case.assertTrue(decision.pool is not None and decision.settings is decision.pool.settings, decision)
    elif isinstance(decision, Reply):
        checked_reply(decision)
        check_reply(case, decision)
    elif isinstance(decision, type) and issubclass(decision, BaseException):
        case.fail(f"{decision.__name__} was returned: an error is raised")
    else:
        case.assertIsInstance(decision, _Raised, f"{decision!r} is neither a Route nor a Reply")
    return decision


def _decided(case: Case, asks: NeedsAddress, address: str) -> Any:
    try:
        decision = asks.decide(address)
    except GatewayError as error:
        return _Raised(type(error))
    return _checked(case, decision)
