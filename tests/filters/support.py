"""Filters built as a configuration would build them, and a session to try them in."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from gateway.lifecycle.registry import Registry
from gateway.services import Services
from gateway.strategies.factories import Factories
from gateway.values import Outcome

__all__ = ["Tried"]


class Tried:
    """The filter ``name`` with ``options`` (names as in documents), in one session."""

    def __init__(self, name: str, **options: Any) -> None:
        self.clock = Clock()
        self.services = Services(self.clock, self.clock, Random(1))
        registry = Registry(factories=Factories(entry_points=lambda group: [], drop_ins=lambda: ((), ())))
        self.filter = registry.build("gateway.filters", name, options, self.services, "rules[0].filters[0]")
        self.session = self.opened()

    def opened(self) -> Any:
        """Another session."""
        return self.filter.open(SimpleNamespace(trace_id="t", user="eve"))

    def client(self, payload: str | bytes) -> Any:
        """What it says to a message of the client."""
        return self.session.message(payload, True)

    def backend(self, payload: str | bytes) -> Any:
        """What it says to a message of the backend."""
        return self.session.message(payload, False)

    def closed(self) -> None:
        """The session is over."""
        self.session.closed(Outcome())
