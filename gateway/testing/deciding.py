"""Conformance of selectors and routers: those that decide where a request goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from gateway.errors import GatewayError
from gateway.http.changes import checked_reply, field_fault
from gateway.interfaces import IAffinity, IAsyncRouter, IHostRouter, IPeerSelector, IReturning, IRouter, ISelector
from gateway.pools.heedless import is_heedless
from gateway.testing.cases import HANDSHAKES, REQUESTS, Case, ends_with, waited_for
from gateway.testing.fakes import FakeBackend, request_head
from gateway.values import NeedsAddress, Peer, Reply, RequestHead, Route

__all__ = [
    "AffinityConformance", "AsyncRouterConformance", "PeerSelectorConformance", "RouterConformance",
    "SelectorConformance",
]  # fmt: skip


class SelectorConformance(Case):
    """What the pool relies on. Override `make_selector`."""

    def make_selector(self) -> Any:
        """A new selector."""
        raise NotImplementedError

    def choose(self, selector: Any, candidates: tuple[FakeBackend, ...], head: RequestHead, number: int = 0) -> Any:
        """What it chooses, which must be a candidate or ``None``; ``number`` counts the calls of a test."""
        chosen = selector.select(candidates, None if is_heedless(selector) and number % 2 else head)
        self.assertTrue(chosen is None or any(chosen is candidate for candidate in candidates), chosen)
        return chosen

    def test_provides_interface(self) -> None:
        """It says that it is an `ISelector`, and has its methods."""
        verifyObject(ISelector, self.make_selector())

    def test_chooses_candidate(self) -> None:
        """It returns one of the objects it was given, or ``None``; again and again."""
        selector = self.make_selector()
        for size in (1, 2, 3, 7):
            candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(size)])
            for number in range(20):
                self.choose(selector, candidates, request_head(f"/{number}"), number)

    def test_candidates_change(self) -> None:
        """It never returns a backend that has left, also after it came from another tuple."""
        selector = self.make_selector()
        backends = [FakeBackend(f"10.0.0.{number}", weight=1 + number % 3) for number in range(6)]
        for start, end in ((0, 6), (1, 6), (1, 2), (0, 6), (5, 6), (0, 3)):
            candidates = tuple(backends[start:end])
            for number in range(10):
                self.choose(selector, candidates, request_head(), number)

    def test_ordinary_and_odd_requests(self) -> None:
        """It copes with every request the gateway may have."""
        selector = self.make_selector()
        candidates = (FakeBackend("10.0.0.1"), FakeBackend("10.0.0.2"))
        for number, head in enumerate((*REQUESTS, *HANDSHAKES)):
            self.choose(selector, candidates, head, number)

    def test_leaves_backends_alone(self) -> None:
        """The counters are the pool's."""
        selector = self.make_selector()
        candidates = tuple([FakeBackend(f"10.0.0.{number}", active=number) for number in range(4)])
        before = [dict(vars(candidate)) for candidate in candidates]
        for number in range(10):
            self.choose(selector, candidates, request_head(f"/{number}"), number)
        self.assertEqual(before, [vars(candidate) for candidate in candidates])


class PeerSelectorConformance(SelectorConformance):
    """The same for one that asks who the client is."""

    peers: Sequence[Peer] = (
        Peer("203.0.113.7", 50000),
        Peer("2001:db8::1", 1),
        Peer("", 0),
        Peer("203.0.113.8", 65535),
    )

    def choose(self, selector: Any, candidates: tuple[FakeBackend, ...], head: RequestHead, number: int = 0) -> Any:
        """See `SelectorConformance.choose`; both ways of asking."""
        super().choose(selector, candidates, head, number)
        chosen = selector.select_for(candidates, head, self.peers[number % len(self.peers)])
        self.assertTrue(chosen is None or any(chosen is candidate for candidate in candidates), chosen)
        return chosen

    def test_provides_peer_interface(self) -> None:
        """It says that it is an `IPeerSelector`, and has its methods."""
        verifyObject(IPeerSelector, self.make_selector())


class AffinityConformance(SelectorConformance):
    """The same for one that leaves a mark with the client."""

    def test_provides_affinity(self) -> None:
        """It says that it is an `IAffinity`, and has its methods."""
        verifyObject(IAffinity, self.make_selector())

    def test_marks_may_be_sent(self) -> None:
        """Marks are field lines, for every request, over TLS or not."""
        selector = self.make_selector()
        for head in (*REQUESTS, *HANDSHAKES):
            for secure in (False, True):
                for name, value in selector.mark(FakeBackend(), head, secure):
                    self.assertEqual("", field_fault(name, value))

    def test_mark_leads_back(self) -> None:
        """A client that brings its cookies comes to the backend that answered, whoever else asks meanwhile."""
        selector = self.make_selector()
        candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(5)])
        for backend in candidates:
            lines = selector.mark(backend, request_head(), False)
            self.assertTrue(lines, "there is no mark for a client that has none")
            cookies = [value.partition(";")[0] for name, value in lines if name.lower() == "set-cookie"]
            returning = request_head(fields=[("Cookie", "; ".join(cookies))])
            for number in range(7):
                self.choose(selector, candidates, request_head(f"/{number}"), number)
                self.assertIs(backend, selector.select(candidates, returning))
            if IReturning.providedBy(selector):
                self.assertIs(backend, selector.returning(candidates, returning))
                self.assertIsNone(selector.returning(candidates, request_head()), "nobody comes back without a mark")
                others = tuple([each for each in candidates if each is not backend])
                self.assertIsNone(selector.returning(others, returning), "what is no candidate is not named")


class RouterConformance(Case):
    """What the exchange relies on. Override `make_router`, and ``listener`` and ``heads`` where need be."""

    listener = "listener"
    heads: Sequence[RequestHead] = (*REQUESTS, *HANDSHAKES)

    def make_router(self) -> Any:
        """A new `IRouter`."""
        raise NotImplementedError

    def _decide(self, router: Any, head: RequestHead) -> Any:
        """The decision; a `GatewayError` that it raises is one too."""
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
        try:
            decision = router.route(head, self.listener)
        except GatewayError as error:
            return fail(error)
        return waited_for(decision) or succeed(decision)

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

    def test_cancelled(self) -> None:
        """One that is given up ends in the same turn, and the next is decided as if nothing had been."""
        router = self.make_router()
        head = self.heads[0]
        self.assertEqual(1, len(ends_with(self._ask(router, head))))
        deferred = self._ask(router, head)
        self.answer()
        self._decision(deferred)


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
