"""Conformance of routers: what `gateway.testing.deciding` says of each decision, and how they come to it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from gateway.errors import GatewayError
from gateway.testing import deciding
from gateway.testing.cases import check_reply, ends_with
from gateway.testing.conduct import begun, described, fresh, image, quick, untouched
from gateway.values import Reply, RequestHead

__all__ = ["AsyncRouterConformance", "RouterConformance"]


def _replies(case: Any, decision: Any) -> Any:
    for each in decision if type(decision) is tuple else (decision,):
        if isinstance(each, Reply):
            check_reply(case, each)
    return decision


class RouterConformance(deciding.RouterConformance):
    """What the exchange relies on. Override `make_router`, and ``listener`` and ``heads`` where need be."""

    def _decide(self, router: Any, head: RequestHead) -> Any:
        head = fresh(head)
        with untouched(self, head), quick(self, "route"):
            decision = super()._decide(router, head)
        return _replies(self, decision)

    def test_alone(self) -> None:
        """What was asked before changes nothing: each request gets what a new router decides about it."""
        router = self.make_router()
        for head in self.heads:
            alone = described(self._decide(self.make_router(), head))
            self.assertEqual(alone, described(self._decide(router, head)))


class AsyncRouterConformance(deciding.AsyncRouterConformance):
    """The same for one that waits. Override `make_router`, and `answer` so that it learns what it waits for."""

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
        return _replies(self, super()._decision(deferred))

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
        super().test_cancelled()
        alone = [self._alone(head) for head in self.heads]
        router = self.make_router()
        for head, expected in zip(self.heads, alone, strict=True):
            self.assertEqual(1, len(ends_with(self._ask(router, head))))
            deferred = self._ask(router, head)
            if not deferred.called:
                self.answer()
            self.assertEqual(expected, described(self._decision(deferred)))
