"""The end of a gateway's clients: they are told, they finish, and after the limit they are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from gateway.errors import SessionEnded
from gateway.lifecycle.ports import LAST_WORDS

if TYPE_CHECKING:
    from gateway.interfaces import ISession
    from gateway.lifecycle.ports import Ports
    from gateway.listener.admission import Admission
    from gateway.observe.sessions import Sessions

__all__ = ["Stopping"]

_log = Logger("gateway")

_GOING = SessionEnded(1001, "the gateway is shutting down", "shutdown")


class Stopping:
    """The end of those whom ``ports`` have let in; ``admission`` lets nobody in any more when the time is over.

    ``clock`` is an ``IReactorTime``.
    """

    def __init__(self, ports: Ports, sessions: Sessions, admission: Admission, clock: Any) -> None:
        self._ports = ports
        self._admission = admission
        self._sessions = sessions
        self._clock = clock
        self._emptied: list[Deferred[None]] = []
        self._cutting: Any = None

    def begin(self, limit: float, settled: Deferred[None]) -> list[Deferred[Any]]:
        """Tell everybody. These fire when sessions and connections are over; after ``limit`` seconds all are cut.

        ``settled`` fires when those are connections whose TLS handshakes were in progress.
        """
        sessions = self._sessions.end_all(_GOING, where=_can_be_told)
        self._ports.say(_GOING)
        empty = settled.addCallback(lambda _: self._when_empty())
        self._cutting = self._clock.callLater(limit, self._cut)
        return [sessions, empty]

    def hurry(self) -> None:
        """The time to stop is over. Without effect unless the gateway is stopping."""
        if self._cutting is not None and self._cutting.active():
            self._cutting.reset(0)

    def lost(self, connection: object) -> None:
        """A client has gone."""
        if self._emptied and not self._ports.count():
            waiting, self._emptied = self._emptied, []
            for emptied in waiting:
                emptied.callback(None)

    def over(self) -> None:
        """Nobody is there any more: nobody will be cut."""
        if self._cutting.active():
            self._cutting.cancel()

    def _when_empty(self) -> Deferred[None]:
        if not self._ports.count():
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    def _cut(self) -> None:
        self._admission.close()
        left = list(self._ports.connections())
        _log.warn(
            "{connections} connections and {sessions} sessions did not end in time and are cut",
            connections=len(left),
            sessions=self._sessions.count,
        )
        for session in self._sessions:
            session.cut()
        for connection in left:
            connection.cut()
        self._cutting = self._clock.callLater(LAST_WORDS, self._abort)

    def _abort(self) -> None:
        for connection in self._ports.connections():
            connection.transport.abortConnection()


def _can_be_told(session: ISession) -> bool:
    # Connections of plain TCP cannot be told to end: they get the time that exchanges get.
    return not session.outcome.layer4
