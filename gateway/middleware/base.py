"""What middleware is made of: a class that does nothing, its options, its factory, and refusals."""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from gateway.http.forwarding import error_reply
from gateway.interfaces import IMiddleware
from gateway.services import Factory, Options
from gateway.values import Context, Fields, Reply, RequestHead, ResponseHead

__all__ = ["BOTH", "HTTP", "UPGRADE", "Factory", "Middleware", "Options", "changes_responses", "refusal"]

HTTP: Final = frozenset({"http"})
UPGRADE: Final = frozenset({"upgrade"})
BOTH: Final = HTTP | UPGRADE


@implementer(IMiddleware)
class Middleware:
    """Lets everything pass as it is. Override what you want to look at, and ``traffic``."""

    traffic = BOTH

    def request(self, head: RequestHead, context: Context) -> Any:
        """See `IMiddleware.request`."""
        return None

    def response(self, head: ResponseHead, context: Context) -> ResponseHead | None:
        """See `IMiddleware.response`."""
        return None

    def body(self, head: ResponseHead, context: Context) -> Any:
        """See `IMiddleware.body`."""
        return None


def changes_responses(middleware: Any) -> bool:
    """Whether it may change response heads: its attribute of this name says so, or it has a method for that."""
    inner = getattr(middleware, "inner", middleware)
    said = getattr(inner, "changes_responses", None)
    return said if isinstance(said, bool) else getattr(type(inner), "response", None) is not Middleware.response


def refusal(status: int, cause: str, fields: Fields = ()) -> Reply:
    """A page that says ``status`` and nothing more, or the operator's; ``cause`` is the word for the log."""
    reply = error_reply(status)
    return reply._replace(fields=(*reply.fields, *fields), cause=cause, plain=True)
