"""What goes wrong before there is a request: connections above the limit, TLS handshakes that fail.

There is no exchange to record, and whoever causes them may do so very often: they are counted, and told in the log at
most every few seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

__all__ = ["PAUSE", "Troubles"]

PAUSE = 10.0
"""Seconds between two lines about the same trouble of the same listener."""

SILENT = frozenset({"closed_by_client"})
"""Reasons that are counted and not told: load balancers check a port by connecting and closing."""

_log = Logger("gateway.listener")


class _Seldom:
    """Lets a line through now and then, and counts those that it keeps back."""

    def __init__(self) -> None:
        self._next = float("-inf")
        self._kept_back = 0

    def due(self, now: float) -> str | None:
        """What to add to the line; ``None`` for not now."""
        if now < self._next:
            self._kept_back += 1
            return None
        more, self._kept_back, self._next = self._kept_back, 0, now + PAUSE
        return f" ({more} more since the last such line)" if more else ""


class Troubles:
    """Counts and tells. ``seconds`` is the time, monotonic.

    ``refused``: connections above the limit, by listener.  ``handshakes``: failed ones, by listener and reason, which
    is one of a few words.
    """

    def __init__(self, seconds: Callable[[], float], log: Logger = _log) -> None:
        self.refused: dict[str, int] = {}
        self.handshakes: dict[tuple[str, str], int] = {}
        self._seconds = seconds
        self._log = log
        self._seldom: dict[tuple[str, str], _Seldom] = {}

    def refused_connection(self, listener: str, why: str) -> None:
        """A client was not let in; "" for ``why``: for the gateway stops."""
        self.refused[listener] = self.refused.get(listener, 0) + 1
        if not why:
            return
        more = self._due("refused", listener)
        if more is not None:
            self._log.warn(
                "listener {listener}: {why}, further ones are refused{more}",
                listener=listener,
                why=why,
                more=more,
            )

    def failed_handshake(self, listener: str, client: str, reason: str, sentence: str) -> None:
        """A TLS handshake failed: who the client is, one word for the counter and a sentence for the log."""
        key = listener, reason
        self.handshakes[key] = self.handshakes.get(key, 0) + 1
        if reason in SILENT:
            return
        more = self._due("handshake", listener)
        if more is not None:
            self._log.info(
                "listener {listener}: TLS handshake with {client} failed: {sentence}{more}",
                listener=listener,
                client=client,
                sentence=sentence,
                more=more,
            )

    def _due(self, trouble: str, listener: str) -> str | None:
        return self._seldom.setdefault((trouble, listener), _Seldom()).due(self._seconds())
