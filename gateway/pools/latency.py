"""How fast a backend answers: a moving average that forgets."""

from __future__ import annotations

from math import exp

__all__ = ["Latency"]

_LEAST_PENALTY = 1.0


class Latency:
    """An average of response times in seconds, in which a time counts for a third after each ``decay`` seconds.

    ``mean`` is the average at the last answer, ``at`` the moment of that, both ``None`` before the first one.
    """

    __slots__ = ("at", "decay", "mean")

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.mean: float | None = None
        self.at = 0.0

    def add(self, seconds: float, at: float) -> None:
        """An answer took ``seconds`` and came at ``at``. One from before the last known is old news and is dropped.

        That is so for a WebSocket: its handshake becomes known when its session has ended.
        """
        if self.mean is None:
            self.mean, self.at = seconds, at
        elif at >= self.at:
            kept = exp((self.at - at) / self.decay)
            self.mean = self.mean * kept + seconds * (1 - kept)
            self.at = at

    def failed(self, since: float, now: float) -> None:
        """There was no answer, or one without the work: it counts as twice the average, and a second at least, at once.

        A backend that refuses is fast, and would attract everything.
        """
        self.mean = max(now - since, 2 * (self.mean or 0.0), _LEAST_PENALTY)
        self.at = now

    def expected(self, now: float) -> float | None:
        """The average at ``now``: it shrinks while nothing is heard, so that a slow backend is asked again."""
        if self.mean is None:
            return None
        return self.mean * exp(min(self.at - now, 0.0) / self.decay)
