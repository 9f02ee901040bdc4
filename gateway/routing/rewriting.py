"""Rewrite sets as middleware: the innermost of a route's, so that others see requests as clients send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

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


class _Been(NamedTuple):
    """What a request has been through, for its response: the ``sets``, in order, with the head that each one got.

    ``owner``: who saw to it.  It keeps heads and no views: a view knows the context, in which this is noted.
    """

    owner: Rewrites
    sets: list[tuple[Rewriter, RequestHead]]
    forwarded: str
    asked: str

    def view(self, head: RequestHead, context: Context) -> View:
        """What a set sees of the request."""
        return View(head, context, self.forwarded, self.asked)


@implementer(IMiddleware)
class Rewrites:
    """The rewrite set of one rule, path rule or default.

    ``again``: finds where a changed request of a client's address goes, where there is a path map.  What it leads to
    has its own rewrite set, which goes on from there.  A response goes through all sets that its request has
    been through, in the same order.
    """

    traffic = frozenset(("http", "upgrade"))

    def __init__(self, rewriter: Rewriter, again: Callable[[RequestHead, str], Route | Reply] | None = None) -> None:
        self.rewriter = rewriter
        self.changes_responses = rewriter.changes_responses or rewriter.reroutes
        self._again = again

    def request(self, head: RequestHead, context: Context) -> RequestHead | Reply | None:
        """See `IMiddleware.request`."""
        if _KEY in context.notes:  # a path rule that a look at the new path led to: it has been here
            return None
        return self.run(head, context)

    def run(self, head: RequestHead, context: Context, note: Note | None = None) -> RequestHead | Reply:
        """The request as it goes on, or a redirect. ``note`` is told, in words, what happens."""
        been = _Been(self, [], forwarded_for(context.added), head.target)
        rewriter: Rewriter | None = self.rewriter
        for _ in range(MOST_ROUNDS):
            if rewriter is None:
                break
            if note:
                note(f"rewrite set {rewriter.name}:")
            been.sets.append((rewriter, head))
            head, context.added, reroute = rewriter.request(been.view(head, context), head, context.added, note)
            if not reroute or self._again is None:
                break
            where = self._again(head, context.address)
            if isinstance(where, Reply):
                return where
            context.route = where
            if note:
                note(f"path rule {where.path_rule}" if where.path_rule else "the path map's default")
            rewriter = next((each.rewriter for each in where.middleware if isinstance(each, Rewrites)), None)
        else:
            raise RewriteFailed(f"rewrites send {head.target[:100]!r} round in circles")
        context.notes[_KEY] = been
        return head

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`. Only what backends answer is rewritten."""
        been: _Been | None = context.notes.get(_KEY)
        if been is None or been.owner is not self or context.backend is None:
            return None
        for rewriter, asked in been.sets:
            if rewriter.changes_responses:
                view = been.view(asked, context)
                view.response, view.marks = head, marks(context)
                head = rewriter.response(view, head)
        return head

    def response_notes(self, context: Context) -> list[str]:
        """What would become of a response, in words, after `run`."""
        been: _Been | None = context.notes.get(_KEY)
        return [] if been is None else [words for rewriter, _ in been.sets for words in rewriter.response_notes()]

    def body(self, head: ResponseHead, context: Context) -> None:
        """See `IMiddleware.body`: bodies pass as they are."""


def forwarded_for(added: str) -> str:
    """The value of X-Forwarded-For among the gateway's own lines."""
    for line in added.split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "X-Forwarded-For":
            return value
    return ""
