"""`gateway.testing.selectors`: selectors that must not pass, for what they do beside what they say."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from gateway.interfaces import IAffinity, IPeerSelector, IReturning, ISelector
from gateway.testing import AffinityConformance, PeerSelectorConformance, SelectorConformance
from tests.testing.trying import TryingCase, tried


def first(self: Any, candidates: Any, *others: Any) -> Any:
    """A choice."""
    return candidates[0]


def marked(self: Any, candidates: Any, head: Any) -> Any:
    """The candidate that the cookie names, else the first."""
    cookie = (head and head.get("cookie")) or ""
    return next((each for each in candidates if f"to={each.name}" in cookie), candidates[0])


def mark(self: Any, backend: Any, head: Any, secure: bool) -> Any:
    """A cookie with the name of the backend."""
    return [("Set-Cookie", f"to={backend.name}; Path=/")]


class SelectorTests(TryingCase):
    """One wrong method each."""

    def failing(self, select: Any) -> set[str]:
        made = implementer(ISelector)(type("Made", (), {"select": select}))
        return tried(SelectorConformance, "make_selector", made)

    def test_changes(self) -> None:
        """Heads and backends are not its own, whatever it changes there."""
        self.assertEqual(set(), self.failing(first))
        for change in (
            lambda candidates, head: head.index.clear(),
            lambda candidates, head: head.fields.append(("X-A", "b")),
            lambda candidates, head: setattr(candidates[-1], "healthy", False),
            lambda candidates, head: setattr(candidates[0], "mine", True),
        ):

            def select(self: Any, candidates: Any, head: Any, change: Any = change) -> Any:
                change(candidates, head)
                return candidates[0]

            self.assertLessEqual({"test_chooses_candidate", "test_ordinary_and_odd_requests"}, self.failing(select))

    def test_blocks(self) -> None:
        def select(_: Any, candidates: Any, head: Any) -> Any:
            self.block()
            return candidates[0]

        self.assertIn("test_chooses_candidate", self.failing(select))

    def test_weights(self) -> None:
        """Weights are no larger than a configuration allows only for who is not below ``slow-start``."""

        def select(self: Any, candidates: Any, head: Any) -> Any:
            shares = range(1001)
            return max(candidates, key=lambda each: shares[each.weight])

        self.assertEqual({"test_weights"}, self.failing(select))

    def test_peers(self) -> None:
        """The same where it is asked for a peer."""

        def failing(select_for: Any) -> set[str]:
            made = implementer(IPeerSelector)(type("Made", (), {"select": first, "select_for": select_for}))
            return tried(PeerSelectorConformance, "make_selector", made)

        def slow(_: Any, candidates: Any, head: Any, peer: Any) -> Any:
            self.block()
            return candidates[0]

        def change(_: Any, candidates: Any, head: Any, peer: Any) -> Any:
            head.index["x-a"] = "b"
            return candidates[0]

        self.assertEqual(set(), failing(first))
        for select_for in (slow, change):
            self.assertIn("test_chooses_candidate", failing(select_for))


class AffinityTests(TryingCase):
    """Marks that must not pass."""

    def failing(self, interface: Any = IAffinity, **methods: Any) -> set[str]:
        made = implementer(interface)(type("Made", (), {"select": marked, "mark": mark, **methods}))
        return tried(AffinityConformance, "make_selector", made)

    def test_last(self) -> None:
        """Whoever has a mark comes to the backend that was marked last."""

        def last(self: Any, backend: Any, head: Any, secure: bool) -> Any:
            self.last = backend
            return mark(self, backend, head, secure)

        def select(self: Any, candidates: Any, head: Any) -> Any:
            found = getattr(self, "last", None)
            returns = head is not None and "to=" in (head.get("cookie") or "")
            return found if returns and found in candidates else candidates[0]

        self.assertEqual(set(), self.failing())
        self.assertEqual({"test_marks_apart"}, self.failing(mark=last, select=select))

    def test_holds_on(self) -> None:
        """It sends the client to where it was, although that has left."""

        def remember(self: Any, backend: Any, head: Any, secure: bool) -> Any:
            self.known = {**getattr(self, "known", {}), backend.name: backend}
            return mark(self, backend, head, secure)

        def select(self: Any, candidates: Any, head: Any) -> Any:
            name = ((head and head.get("cookie")) or "").partition("to=")[2]
            return getattr(self, "known", {}).get(name, candidates[0])

        self.assertEqual({"test_marks_apart"}, self.failing(mark=remember, select=select))

    def test_secure(self) -> None:
        """Over TLS its mark leads nowhere."""

        def plain(self: Any, backend: Any, head: Any, secure: bool) -> Any:
            return [] if secure else mark(self, backend, head, secure)

        self.assertEqual({"test_marks_apart"}, self.failing(mark=plain))

    def test_returning(self) -> None:
        """What it says beforehand has to be what it does."""

        def returning(self: Any, candidates: Any, head: Any) -> Any:
            return candidates[0]

        self.assertIn("test_marks_apart", self.failing(IReturning, returning=returning))

    def test_frames(self) -> None:
        def long(self: Any, backend: Any, head: Any, secure: bool) -> Any:
            return [*mark(self, backend, head, secure), ("Content-Length", "0")]

        self.assertEqual({"test_marks_may_be_sent"}, self.failing(mark=long))

    def test_conduct(self) -> None:
        def change(self: Any, backend: Any, head: Any, secure: bool) -> Any:
            backend.active += 1
            return mark(self, backend, head, secure)

        def slow(_: Any, backend: Any, head: Any, secure: bool) -> Any:
            self.block()
            return mark(self, backend, head, secure)

        for wrong in (change, slow):
            self.assertLessEqual({"test_marks_apart", "test_marks_may_be_sent"}, self.failing(mark=wrong))
