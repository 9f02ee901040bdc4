"""Conformance of selectors: what `gateway.testing.deciding` says of each choice, and how they come to it."""

from __future__ import annotations

from typing import Any

from gateway.http.changes import FRAMING, field_fault
from gateway.interfaces import IReturning
from gateway.testing import deciding
from gateway.testing.cases import HANDSHAKES, REQUESTS
from gateway.testing.conduct import asked, fresh, quick, untouched
from gateway.testing.fakes import FakeBackend, request_head
from gateway.values import RequestHead

__all__ = ["AffinityConformance", "PeerSelectorConformance", "SelectorConformance"]


class SelectorConformance(deciding.SelectorConformance):
    """What the pool relies on. Override `make_selector`."""

    def choose(self, selector: Any, candidates: tuple[FakeBackend, ...], head: RequestHead, number: int = 0) -> Any:
        """What it chooses, at once, without changing anything; ``number`` counts the calls of a test."""
        head = fresh(head)
        with untouched(self, candidates, head), quick(self, "select"):
            return super().choose(selector, candidates, head, number)


class PeerSelectorConformance(SelectorConformance, deciding.PeerSelectorConformance):
    """The same for one that asks who the client is."""


class AffinityConformance(SelectorConformance, deciding.AffinityConformance):
    """The same for one that leaves a mark with the client."""

    def test_marks_may_be_sent(self) -> None:
        """Marks are field lines, for every request, over TLS or not, and frame nothing."""
        selector = self.make_selector()
        for head in map(fresh, (*REQUESTS, *HANDSHAKES)):
            for secure in (False, True):
                for name, value in asked(self, selector.mark, FakeBackend(), head, secure):
                    self.assertEqual("", field_fault(name, value))
                    self.assertNotIn(name.lower(), FRAMING, "it says how long the response is, or when it ends")

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
