"""What message filters are made of: a class that lets everything pass, its options, its factory."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from zope.interface import implementer

from gateway.interfaces import IMessageFilter, IMessages
from gateway.services import Factory, Options
from gateway.values import Outcome

__all__ = ["Factory", "Filter", "Options", "SideOptions", "size_of"]


class SideOptions(Options):
    """Options of a filter that looks at one side's messages, or at those of both."""

    sender: Literal["client", "backend", "both"] = Field(default="client", description="Whose messages it looks at.")

    def concerns(self, from_client: bool) -> bool:
        """Whether it looks at messages of this side."""
        return self.sender == "both" or (self.sender == "client") == from_client


@implementer(IMessageFilter, IMessages)
class Filter:
    """Lets every message pass. Override `message`; to keep something for each session, let `open` return another."""

    def open(self, conversation: Any) -> Any:
        """See `IMessageFilter.open`."""
        return self

    def message(self, payload: str | bytes, from_client: bool) -> Any:
        """See `IMessages.message`."""
        return None

    def closed(self, outcome: Outcome) -> None:
        """See `IMessages.closed`."""


def size_of(payload: str | bytes) -> int:
    """Bytes of a message on the wire, not compressed."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return len(payload.encode())
