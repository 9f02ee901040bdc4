"""The middleware that a pool brings along where its selector leaves marks with clients (`IAffinity`).

Only requests to such a pool pass through it; for all others nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from gateway.http.changes import with_fields
from gateway.interfaces import IMiddleware

if TYPE_CHECKING:
    from gateway.interfaces import IAffinity
    from gateway.strategies.containment import Containment
    from gateway.values import Context, RequestHead, ResponseHead

__all__ = ["Affinity", "marks"]

_NOTE = "gateway.affinity"
_MARKS = "gateway.affinity.marks"


def marks(context: Context) -> tuple[str, ...]:
    """The cookies that this response got from its pool, each as ``name=value``."""
    found: tuple[str, ...] = context.notes.get(_MARKS, ())
    return found


@implementer(IMiddleware)
class Affinity:
    """Adds what ``selector.mark`` says to each response of a backend, and to the 101 of an upgrade.

    ``contained`` is the account of the selector.
    """

    traffic = frozenset({"http", "upgrade"})

    def __init__(self, selector: IAffinity, contained: Containment) -> None:
        self.contained = contained
        self._mark = contained.immediate(selector.mark)

    def request(self, head: RequestHead, context: Context) -> None:
        """Remember the request as the selector sees it: this is the last one in the chain."""
        context.notes[_NOTE] = head

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        if context.backend is None:
            return None
        fields = self._mark(context.backend, context.notes[_NOTE], context.scheme == "https")
        if not fields:
            return None
        cookies = [value for name, value in fields if name.lower() == "set-cookie"]
        context.notes[_MARKS] = tuple([value.partition(";")[0] for value in cookies])
        return with_fields(head, add=fields)

    def body(self, head: ResponseHead, context: Context) -> None:
        """Bodies pass as they are."""
