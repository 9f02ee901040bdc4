"""Conformance of message filters, and a session to try them in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.interfaces import IConversation, IMessageFilter, IMessages
from gateway.testing.cases import HANDSHAKES, Case, ends_with, waited_for
from gateway.testing.fakes import FakeBackend, FakePool
from gateway.values import DROP, Answer, Close, Outcome, Peer, RequestHead, Route
from gateway.websocket.frames import may_be_sent

__all__ = ["FakeConversation", "MessageFilterConformance"]

_MOST_REASON = 123  # bytes, RFC 6455 §5.5
_MESSAGES: Sequence[str | bytes] = (
    "", b"", "hello", b"\0\xff", "h\u00e9llo \U0001f600", "a" * 70000, b"\x80" * 70000, '{"a": [1, null]}', "{]", "\0",
)  # fmt: skip


@implementer(IConversation)
class FakeConversation:
    """A session; any attribute of `IConversation` can be set.  ``ended`` are the closes that a filter asked for."""

    def __init__(self, head: RequestHead = HANDSHAKES[0], **others: Any) -> None:
        pool = FakePool()
        self.user = ""
        self.route = Route("listener", "rule", pool, pool.settings)
        self.backend = FakeBackend()
        self.head = head
        self.peer = Peer("203.0.113.7", 50000)
        self.trace_id = "0" * 32
        self.counters = (0, 0, 0, 0)
        self.ended: list[Close] = []
        self.__dict__.update(others)

    def end(self, code: int, reason: str = "") -> None:
        """See `IConversation.end`."""
        self.ended.append(Close(code, reason))


class MessageFilterConformance(Case):
    """What a session relies on. Override `make_filter`, and `answer` where it waits for somebody.

    ``messages`` are those that it is tried with, besides odd ones.
    """

    messages: Sequence[str | bytes] = ()

    def make_filter(self) -> Any:
        """A new filter."""
        raise NotImplementedError

    def answer(self) -> None:
        """Let everything that it waits for now have its answer, and what it delays pass."""

    def _open(self, made: Any, **known: Any) -> Any:
        session = made.open(FakeConversation(**known))
        verifyObject(IMessages, session)
        return session

    def _close(self, session: Any, outcome: Outcome) -> None:
        self.assertIsNone(waited_for(session.closed(outcome)), "nobody waits for closed(): it must be immediate")

    def _verdict(self, session: Any, payload: str | bytes, from_client: bool) -> Any:
        """What it says, as the gateway would take it."""
        found = session.message(payload, from_client)
        deferred = waited_for(found)
        if deferred is not None:
            results: list[Any] = []
            deferred.addBoth(results.append)
            self.answer()
            self.assertEqual(1, len(results), "there is no verdict after `answer`")
            found = results[0]
        if isinstance(found, Close):
            self.assertTrue(may_be_sent(found.code), f"{found.code} may not be sent (RFC 6455 §7.4)")
            self.assertLessEqual(len(found.reason.encode()), _MOST_REASON)
        elif isinstance(found, Answer):
            self._check_payload(found.payload)
        elif found is not None and found is not DROP:
            self._check_payload(found)
        return found

    def _check_payload(self, payload: Any) -> None:
        self.assertIn(type(payload), (str, bytes))
        if isinstance(payload, str):
            payload.encode()  # a lone surrogate cannot be sent

    def _all(self, session: Any) -> list[Any]:
        verdicts = []
        for payload in (*_MESSAGES, *self.messages):
            for from_client in (True, False):
                verdicts.append(self._verdict(session, payload, from_client))
                if isinstance(verdicts[-1], Close):
                    return verdicts
        return verdicts

    def test_provides_interface(self) -> None:
        """It says that it is an `IMessageFilter`, and has its methods."""
        verifyObject(IMessageFilter, self.make_filter())

    def test_messages(self) -> None:
        """Whatever it makes of a message can be done; all kinds, of both sides, in one session and one by one."""
        made = self.make_filter()
        session = self._open(made)
        self._all(session)
        self._close(session, Outcome())
        for payload in (*_MESSAGES, *self.messages):
            for from_client in (True, False):
                session = self._open(made)
                self._verdict(session, payload, from_client)
                self._close(session, Outcome())

    def test_every_session(self) -> None:
        """It takes every session: with and without a user, with any protocol and address; and one without messages."""
        made = self.make_filter()
        for known in ({"user": "ann"}, {"head": HANDSHAKES[1]}, {"peer": Peer("2001:db8::1", 1)}):
            session = self._open(made, **known)
            self._close(session, Outcome(websocket=True, close_code=1006, closed_by="client"))

    def test_sessions_apart(self) -> None:
        """What is said in one session changes nothing in another."""
        made = self.make_filter()
        one, two = self._open(made), self._open(made)
        first = self._all(one)
        self._close(one, Outcome())
        self.assertEqual(first, self._all(two))
        self._close(two, Outcome())

    def test_cancelled(self) -> None:
        """Where it waits and the session ends, that ends in the same turn."""
        made = self.make_filter()
        for payload in (*_MESSAGES, *self.messages):
            session = self._open(made)
            deferred = waited_for(session.message(payload, True))
            if deferred is not None:
                self.assertEqual(1, len(ends_with(deferred)))
            self._close(session, Outcome())
