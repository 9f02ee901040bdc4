"""An observer that keeps what it is told."""

from __future__ import annotations

from zope.interface import implementer

from gateway.interfaces import IOutcomeObserver
from gateway.values import Outcome

__all__ = ["Recorder"]


@implementer(IOutcomeObserver)
class Recorder:
    """``begun``: sessions that were opened; ``outcomes``: exchanges and sessions that ended; both in order."""

    def __init__(self) -> None:
        self.begun: list[Outcome] = []
        self.outcomes: list[Outcome] = []

    def opened(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        self.begun.append(outcome)

    def ended(self, outcome: Outcome) -> None:
        """See `IOutcomeObserver`."""
        self.outcomes.append(outcome)
