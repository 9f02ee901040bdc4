"""Message filters that tests name in a configuration, as ``tests.integration.filters:look``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import deferLater
from zope.interface import implementer

from gateway.interfaces import IMessageFilter, IMessages, IStrategyFactory
from gateway.values import DROP, Answer, Close

__all__ = ["look", "shout", "talk"]


@implementer(IStrategyFactory, IMessageFilter, IMessages)
class _Filter:
    """Factory, filter and its session in one: nothing is kept."""

    options = None

    def __init__(self, name: str, says: Callable[[Any, Any, bool], Any]) -> None:
        self.name = name
        self._says = says
        self._services: Any = None

    def build(self, options: None, services: Any) -> _Filter:
        """See `IStrategyFactory`."""
        self._services = services
        return self

    def open(self, conversation: Any) -> _Filter:
        """See `IMessageFilter`."""
        return self

    def message(self, payload: Any, from_client: bool) -> Any:
        """See `IMessages`."""
        return self._says(self._services, payload, from_client)

    def closed(self, outcome: Any) -> None:
        """See `IMessages`."""


def _talk(services: Any, payload: Any, from_client: bool) -> Any:
    if payload == "raise":
        raise RuntimeError("as asked")
    if payload == "hang":
        while True:
            pass
    if payload == "wait":
        return deferLater(services.clock, 0.01, lambda: "waited")
    verdicts: dict[Any, Any] = {"drop": DROP, "answer": Answer("answered"), "close": Close(4444, "as asked")}
    return verdicts.get(payload)


look = _Filter("look", lambda services, payload, from_client: None)
shout = _Filter("shout", lambda services, payload, from_client: payload.upper() if from_client else None)
talk = _Filter("talk", _talk)
