"""Rewrite sets as middleware: the innermost of a route's, so that others see requests as clients send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from gateway.errors import RewriteFailed
from gateway.interfaces import IMiddleware
from gateway.pools.affinity import marks
from gateway.routing.rewrites import Note, Rewriter
from gateway.routing.variables import View
from gateway.values import Reply, Route

if TYPE_CHECKING:
    from gateway.values import Context, RequestHead, ResponseHead

__all__ = ["MOST_ROUNDS", "Rewrites", "forwarded_for"]

MOST_ROUNDS: Final = 10
"""How often a request may be looked at again before it is answered with 500 (reference §2.4)."""

_KEY = "gateway.rewrites"


@implementer(IMiddleware)
class Rewrites:
    """The rewrite set of one rule, path rule or default.

    ``again``: finds where a changed request of a client's address goes, where there is a path map.  What it leads to
    has its own rewrite set, which takes over.
    """

    traffic = frozenset(("http", "upgrade"))

    def __init__(self, rewriter: Rewriter, again: Callable[[RequestHead, str], Route | Reply] | None = None) -> None:
        self.rewriter = rewriter
        self.changes_responses = rewriter.changes_responses
        self._again = again

    def request(self, head: RequestHead, context: Context) -> RequestHead | Reply | None:
        """See `IMiddleware.request`."""
        if _KEY in context.notes:  # a path rule that a look at the new path led to: it has been here
            return None
        return self.run(head, context)

    def run(self, head: RequestHead, context: Context, note: Note | None = None) -> RequestHead | Reply:
        """The request as it goes on, or a redirect. ``note`` is told, in words, what happens."""
        view = View(head, context, forwarded_for(context.added))
        rewriter: Rewriter | None = self.rewriter
        for _ in range(MOST_ROUNDS):
            if rewriter is None:
                break
            if note:
                note(f"rewrite set {rewriter.name}:")
            head, context.added, reroute = rewriter.request(view, head, context.added, note)
            if not reroute or self._again is None:
                break
            where = self._again(head, context.address)
            if isinstance(where, Reply):
                return where
            context.route = where
            if note:
                note(f"path rule {where.path_rule}" if where.path_rule else "the path map's default")
            rewriter = next((each.rewriter for each in where.middleware if isinstance(each, Rewrites)), None)
            view.look_at(head)
        else:
            raise RewriteFailed(f"rewrites send {view.head.target[:100]!r} round in circles")
        context.notes[_KEY] = self, rewriter, view
        return head

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`. Only what backends answer is rewritten."""
        owner, rewriter, view = context.notes.get(_KEY, (None, None, None))
        if owner is not self or rewriter is None or context.backend is None:
            return None
        view.response, view.marks = head, marks(context)
        return rewriter.response(view, head)

    def response_notes(self, context: Context) -> list[str]:
        """What would become of a response, in words, after `run`."""
        _, rewriter, _ = context.notes.get(_KEY, (None, None, None))
        return rewriter.response_notes() if rewriter is not None else []

    def body(self, head: ResponseHead, context: Context) -> None:
        """See `IMiddleware.body`: bodies pass as they are."""


def forwarded_for(added: str) -> str:
    """The value of X-Forwarded-For among the gateway's own lines."""
    for line in added.split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "X-Forwarded-For":
            return value
    return ""
