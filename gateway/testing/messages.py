"""Conformance of message filters, and a session to try them in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.interfaces import IConversation, IMessageFilter, IMessages
from gateway.testing.cases import HANDSHAKES, Case, ends_with
from gateway.testing.conduct import asked, begun, check_close, fresh, image, in_turns
from gateway.testing.fakes import FakeBackend, FakePool
from gateway.values import DROP, Answer, Close, Outcome, Peer, RequestHead, Route

__all__ = ["FakeConversation", "MessageFilterConformance"]

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

    def _open(self, made: Any, **known: Any) -> tuple[FakeConversation, Any]:
        conversation = FakeConversation(**{"head": fresh(HANDSHAKES[0]), **known})
        before = _told(conversation)
        session = asked(self, made.open, conversation)
        self.assertEqual(before, _told(conversation), "it has changed the conversation")
        verifyObject(IMessages, session)
        return conversation, session

    def _close(self, opened: tuple[FakeConversation, Any], **known: Any) -> None:
        conversation, session = opened
        found = begun(self, session.closed, Outcome(head=conversation.head, websocket=True, **known))
        self.assertFalse(isinstance(found, Deferred), "nobody waits for closed(): it must be immediate")
        for close in conversation.ended:
            check_close(self, *close)

    def _say(self, session: Any, payload: str | bytes, from_client: bool) -> Generator[Any, None, Any]:
        """What it says, as the gateway would take it; for `in_turns`."""
        found = begun(self, session.message, payload, from_client)
        if isinstance(found, Deferred):
            results: list[Any] = []
            found.addBoth(results.append)
            yield found
            self.assertEqual(1, len(results), "there is no verdict after `answer`")
            found = results[0]
        if isinstance(found, Close):
            check_close(self, *found)
        elif isinstance(found, Answer):
            self._check_payload(found.payload)
        elif found is not None and found is not DROP:
            self._check_payload(found)
        return found

    def _check_payload(self, payload: Any) -> None:
        self.assertIn(type(payload), (str, bytes))
        if isinstance(payload, str):
            payload.encode()  # a lone surrogate cannot be sent

    def _course(self, made: Any, number: int) -> Generator[Any, None, list[Any]]:
        """A session from its beginning to its end, for `in_turns`; returns its verdicts.

        ``number`` makes it another one than others: another client, and odd ones say everything the other way round.
        """
        opened = self._open(made, user=f"user{number}", peer=Peer(f"203.0.113.{number}", 50000 + number))
        said = [(payload, side) for payload in (*_MESSAGES, *self.messages) for side in (True, False)]
        verdicts: list[Any] = []
        for payload, from_client in said[:: -1 if number % 2 else 1]:
            yield None
            verdicts.append((yield from self._say(opened[1], payload, from_client)))
            if isinstance(verdicts[-1], Close):
                break
        self._close(opened)
        return verdicts

    def test_provides_interface(self) -> None:
        """It says that it is an `IMessageFilter`, and has its methods."""
        verifyObject(IMessageFilter, self.make_filter())

    def test_messages(self) -> None:
        """Whatever it makes of a message can be done; all kinds, of both sides, in one session and one by one."""
        made = self.make_filter()
        in_turns(self, [self._course(made, 0)])
        for payload in (*_MESSAGES, *self.messages):
            for from_client in (True, False):
                opened = self._open(made)
                in_turns(self, [self._say(opened[1], payload, from_client)])
                self._close(opened)

    def test_every_session(self) -> None:
        """It takes every session: with and without a user, with any protocol and address; and one without messages."""
        made = self.make_filter()
        for known in ({"user": "ann"}, {"head": fresh(HANDSHAKES[1])}, {"peer": Peer("2001:db8::1", 1)}):
            self._close(self._open(made, **known), close_code=1006, closed_by="client")

    def test_sessions_apart(self) -> None:
        """What is said in one session changes nothing in others: each has what it would have alone."""
        numbers = range(4)
        alone = [in_turns(self, [self._course(self.make_filter(), number)])[0] for number in numbers]
        made = self.make_filter()
        self.assertEqual(alone, in_turns(self, [self._course(made, number) for number in numbers]))

    def test_cancelled(self) -> None:
        """Where it waits and the session ends, that ends in the same turn."""
        made = self.make_filter()
        for payload in (*_MESSAGES, *self.messages):
            opened = self._open(made)
            found = begun(self, opened[1].message, payload, True)
            if isinstance(found, Deferred):
                self.assertEqual(1, len(ends_with(found)))
            self._close(opened)


def _told(conversation: FakeConversation) -> dict[str, Any]:
    """What is the gateway's to change: that is, all but the ends that were asked for."""
    return {name: image(value) for name, value in vars(conversation).items() if name != "ended"}
