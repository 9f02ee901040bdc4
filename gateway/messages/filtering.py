"""Message filters at work: asked one after the other, in the order of their direction, contained one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.errors import PluginFailed, SessionEnded
from gateway.interfaces import IConversation
from gateway.strategies.containment import Containment, as_exception
from gateway.values import Answer, Close, Drop
from gateway.websocket.frames import may_be_sent

if TYPE_CHECKING:
    from gateway.interfaces import IBackend, IMessageFilter
    from gateway.relay.session import WebSocketSession
    from gateway.values import Outcome, Peer, RequestHead, Route

__all__ = ["Chain", "Conversation", "NamedFilter", "Opened", "Way", "ended_by"]

_log = Logger("gateway.filters")
_NO_ENDS: Sequence[int] = ()


class NamedFilter:
    """A filter of a route. ``name`` is that of its strategy, ``place`` where the configuration asks for it.

    While it is switched off `open` raises `PluginOff`; sessions that are open go on.
    """

    def __init__(self, name: str, filter: IMessageFilter, place: str, contain: Containment | None = None) -> None:
        self.name = name
        self.filter = filter
        self.contain = contain or Containment("message filter", name, place)
        self._open = self.contain.guard(self.contain.immediate(filter.open))

    def open(self, conversation: Conversation) -> Opened:
        """See `IMessageFilter.open`. A message that is dealt with well ends a run of failures."""
        messages, contain = self._open(conversation), self.contain
        if contain.ours:
            return Opened(messages.message, messages.closed, contain)
        ask = contain.measured(messages.message)

        def message(payload: str | bytes, from_client: bool) -> Any:
            verdict = ask(payload, from_client)
            _praise(contain, verdict)
            return verdict

        return Opened(message, contain.immediate(messages.closed), contain)


class Opened(NamedTuple):
    """A filter in one session."""

    message: Callable[[str | bytes, bool], Any]
    closed: Callable[[Outcome], object]
    contain: Containment


@implementer(IConversation)
class Conversation:
    """See `IConversation`."""

    __slots__ = ("_session",)

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session

    @property
    def user(self) -> str:
        return self._session.outcome.user

    @property
    def route(self) -> Route | None:
        return self._session.outcome.route

    @property
    def backend(self) -> IBackend | None:
        return self._session.outcome.backend

    @property
    def head(self) -> RequestHead | None:
        return self._session.outcome.head

    @property
    def peer(self) -> Peer:
        return self._session.outcome.peer

    @property
    def trace_id(self) -> str:
        return self._session.outcome.trace_id

    @property
    def counters(self) -> tuple[int, int, int, int]:
        self._session.snapshot()
        outcome = self._session.outcome
        return outcome.messages_in, outcome.messages_out, outcome.received_bytes, outcome.sent_bytes

    def end(self, code: int, reason: str = "") -> None:
        """See `IConversation`."""
        self._session.end(_ended(Close(code, reason)))


class Way(Protocol):
    """The direction of a session that a chain belongs to."""

    def deliver(self, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """This has come through; ``raw`` and ``ends`` as in `gateway.websocket.legs.Reader`, if nothing was changed."""

    def answer(self, payload: str | bytes) -> None:
        """This goes back to the sender."""

    def wait(self) -> None:
        """A filter takes its time."""

    def decided(self) -> None:
        """A filter that was waited for has decided; another one may be waited for now."""


class Chain:
    """The filters of one direction of a session. ``end`` ends the session.

    ``waiting``: what is waited for, if anything is; ``patient``: it is a filter of the gateway's own, which comes to an
    end.
    """

    __slots__ = ("_asked", "_end", "_filters", "_from_client", "_way", "patient", "waiting")

    def __init__(
        self, filters: Sequence[Opened], from_client: bool, way: Way, end: Callable[[SessionEnded], None]
    ) -> None:
        self._filters = tuple(filters)
        self._asked = tuple(enumerate([opened.message for opened in filters]))
        self._from_client = from_client
        self._way = way
        self._end = end
        self.waiting: Deferred[Any] | None = None
        self.patient = False

    def ask(self, payload: str | bytes, raw: bytes, ends: Sequence[int], start: int = 0) -> None:
        """Show a message to the filters from number ``start`` on, and do what they say. HOT"""
        number = start
        try:
            for number, message in self._asked[start:]:
                verdict = message(payload, self._from_client)
                if verdict is not None:
                    if isinstance(verdict, (str, bytes)):
                        payload, raw, ends = _checked(verdict), b"", _NO_ENDS
                    else:
                        self._decide(number, verdict, payload, raw, ends)
                        return
        except Exception as error:
            self._failed(number, error)
            return
        self._way.deliver(payload, raw, ends)

    def _decide(self, number: int, verdict: Any, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """Do what a filter says, other than letting a message pass."""
        if isinstance(verdict, Drop):
            return
        if isinstance(verdict, Answer):
            self._way.answer(_checked(verdict.payload))
        elif isinstance(verdict, Close):
            self._end(_ended(verdict))
        elif isinstance(verdict, Deferred) or iscoroutine(verdict):
            self._wait(number, Deferred.fromCoroutine(verdict) if iscoroutine(verdict) else verdict, payload, raw, ends)
        else:
            raise TypeError(f"message() returned {type(verdict).__name__}")

    def _wait(self, number: int, waiting: Deferred[Any], payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        def decided(verdict: Any) -> None:
            if self.waiting is not waiting:
                return  # cancelled
            self.waiting = None
            _praise(self._filters[number].contain, verdict)
            try:
                if verdict is None:
                    self.ask(payload, raw, ends, number + 1)
                elif isinstance(verdict, (str, bytes)):
                    self.ask(_checked(verdict), b"", _NO_ENDS, number + 1)
                else:
                    self._decide(number, verdict, payload, raw, ends)
            except Exception as error:
                self._failed(number, error)

        def failed(failure: Failure) -> None:
            if self.waiting is waiting:
                self.waiting = None
                self._failed(number, as_exception(failure.value))

        self.waiting = waiting
        self.patient = self._filters[number].contain.ours
        self._way.wait()
        waiting.addCallbacks(decided, failed)
        waiting.addErrback(lambda failure: _log.failure("a message filter's verdict failed", failure))
        waiting.addCallback(lambda _: self._way.decided())

    def cancel(self) -> None:
        """The session ends: nobody waits any more."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            try:
                waiting.cancel()
            except BaseException:
                _log.failure("giving up the verdict of a message filter failed")

    def forget(self) -> None:
        """The session has ended: nobody waits any more, and nothing leads from here to it."""
        self.cancel()
        self._way, self._end = _NOWHERE, _ended_already
        self._filters = self._asked = ()

    def _failed(self, number: int, error: Exception) -> None:
        self._end(ended_by(self._filters[number].contain.failed(error)))


class _Nowhere:
    """In place of the way of a session that has ended."""

    def deliver(self, payload: str | bytes, raw: bytes, ends: Sequence[int]) -> None:
        """Nobody is there."""

    def answer(self, payload: str | bytes) -> None:
        """Nobody is there."""

    def wait(self) -> None:
        """Nobody is read."""

    decided = wait


_NOWHERE = _Nowhere()


def _ended_already(error: SessionEnded) -> None:
    """It cannot end again."""


def _praise(contain: Containment, verdict: Any) -> None:
    if contain.run and (verdict is None or isinstance(verdict, (str, bytes, Drop, Answer, Close))):
        contain.succeeded()


def ended_by(error: PluginFailed) -> SessionEnded:
    """The end of a session whose filter has failed; the client is not told why."""
    ended = SessionEnded(1011, "a message filter failed", error.cause)
    ended.__cause__ = error
    return ended


def _ended(close: Close) -> SessionEnded:
    code, reason = close
    if not may_be_sent(code):
        raise ValueError(f"{code} is no close code that may be sent (RFC 6455 §7.4)")
    return SessionEnded(code, str(reason), "filter")


def _checked(payload: Any) -> str | bytes:
    if isinstance(payload, str):
        payload.encode()  # a lone surrogate cannot be sent, and raises here, in its filter's name
        return payload
    if type(payload) is bytes:
        return payload
    raise TypeError(f"a message is str or bytes, not {type(payload).__name__}")
