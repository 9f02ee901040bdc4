"""Conformance of selectors: those that choose a member of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface.verify import verifyObject

from gateway.http.changes import FRAMING, field_fault
from gateway.interfaces import IAffinity, IPeerSelector, IReturning, ISelector
from gateway.pools.heedless import is_heedless
from gateway.testing.cases import HANDSHAKES, REQUESTS, Case
from gateway.testing.conduct import asked, fresh, quick, untouched
from gateway.testing.fakes import FakeBackend, request_head
from gateway.values import Peer, RequestHead

__all__ = ["AffinityConformance", "PeerSelectorConformance", "SelectorConformance"]


class SelectorConformance(Case):
    """What the pool relies on. Override `make_selector`."""

    def make_selector(self) -> Any:
        """A new selector."""
        raise NotImplementedError

    def choose(self, selector: Any, candidates: tuple[FakeBackend, ...], head: RequestHead, number: int = 0) -> Any:
        """What it chooses, at once and without changing anything: a candidate or ``None``.

        ``number`` counts the calls of a test.
        """
        head = fresh(head)
        with untouched(self, candidates, head), quick(self, "select"):
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

    def test_weights(self) -> None:
        """It copes with large weights, and with others for the same backends: ``slow-start`` shows such."""
        selector = self.make_selector()
        for weights in ((1, 100_000, 333), (1, 1, 1), (100_000, 100_000, 1000)):
            candidates = tuple([FakeBackend(f"10.0.0.{place}", weight=each) for place, each in enumerate(weights)])
            for number in range(20):
                self.choose(selector, candidates, request_head(f"/{number}"), number)

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
        head = fresh(head)
        with untouched(self, candidates, head), quick(self, "select_for"):
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
        """Marks are field lines, for every request, over TLS or not, and frame nothing."""
        selector = self.make_selector()
        for head in map(fresh, (*REQUESTS, *HANDSHAKES)):
            for secure in (False, True):
                for name, value in asked(self, selector.mark, FakeBackend(), head, secure):
                    self.assertEqual("", field_fault(name, value))
                    self.assertNotIn(name.lower(), FRAMING, "it says how long the response is, or when it ends")

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

    def test_marks_apart(self) -> None:
        """All clients have their marks first, and each comes back to its own backend; to another once that has left."""
        selector = self.make_selector()
        candidates = tuple([FakeBackend(f"10.0.0.{number}") for number in range(5)])
        clients = []
        for backend in candidates:
            for secure in (False, True):
                lines = asked(self, selector.mark, backend, request_head(), secure)
                cookies = [value.partition(";")[0] for name, value in lines if name.lower() == "set-cookie"]
                clients.append((backend, request_head(fields=[("Cookie", "; ".join(cookies))])))
        for number, (backend, head) in enumerate(clients):
            self.assertIs(backend, asked(self, selector.select, candidates, head))
            if IReturning.providedBy(selector):
                self.assertIs(backend, asked(self, selector.returning, candidates, head))
            self.choose(selector, tuple([each for each in candidates if each is not backend]), head, number)
