"""Tests for `gateway.messages.session`: sessions whose messages are looked at, over wires that the test holds."""

from __future__ import annotations

import gc
import weakref
import zlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.monkey import MonkeyPatcher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from gateway.errors import SessionEnded
from gateway.exchange.surroundings import Surroundings
from gateway.interfaces import IConversation, IMessageFilter, IMessages
from gateway.messages.filtering import NamedFilter
from gateway.strategies.containment import Containment, Terms
from gateway.values import DROP, Answer, Close, Outcome
from gateway.websocket import frames, making
from tests.dialogue import HANDSHAKE, SWITCHING, Dialogue, Party, frame
from tests.exchange.test_passage import Scripted
from tests.plugin_log import PluginLog
from tests.relay import test_watch
from tests.relay.test_watch import BYE_IN, BYE_OUT, ECHO, HELLO

OFFER = "permessage-deflate; client_no_context_takeover; client_max_window_bits"


@implementer(IMessageFilter, IMessages)
class Filter:
    """Says what ``says`` says; keeps what it was shown."""

    def __init__(self, says: Callable[[Any, bool], Any] = lambda payload, from_client: None) -> None:
        self.says = says
        self.shown: list[tuple[Any, bool]] = []
        self.ended: list[Outcome] = []
        self.conversation: Any = None

    def open(self, conversation: Any) -> Filter:
        """See `IMessageFilter`."""
        self.conversation = conversation
        return self

    def message(self, payload: Any, from_client: bool) -> Any:
        """See `IMessages`."""
        self.shown.append((payload, from_client))
        return self.says(payload, from_client)

    def closed(self, outcome: Outcome) -> None:
        """See `IMessages`."""
        self.ended.append(outcome)


class _MessageCase(test_watch._SessionCase):
    """Masking keys are zero, so that what is masked anew can be compared."""

    def setUp(self) -> None:
        super().setUp()
        for module in (frames, making):
            self.patch(module, "masking_key", lambda: bytes(4))

    def opens(self, *filters: Any, **options: Any) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(1, filters=filters or [Filter()], **options)
        client, backend = gateway.opens_websocket()
        return gateway, client, backend

    def over(self, gateway: Dialogue, client: Party, backend: Party) -> None:
        """An orderly end."""
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        gateway.recorded("101 ok")


def _of_watch(base: Any, *but: str) -> Any:
    """The tests of the watch depth, which hold here too, ``but`` some: no half frame is passed on here."""
    found = {name: test for name, test in vars(base).items() if name.startswith("test") and name not in but}
    assert not set(but) - set(vars(base)), but
    return type(f"Watch{base.__name__}", (_MessageCase,), {"__module__": __name__, "__doc__": base.__doc__, **found})


WatchOpenTests = _of_watch(
    test_watch.OpenTests,
    "test_the_pieces_make_no_difference",
    "test_bytes_that_arrive_with_the_handshake_are_not_lost",
    "test_silence_ends_it_and_any_byte_is_none",
)
WatchClosingTests = _of_watch(test_watch.ClosingTests, "test_no_answer_is_put_into_the_middle_of_a_frame")
WatchVanishedTests = _of_watch(
    test_watch.VanishedTests,
    "test_nothing_is_put_into_the_middle_of_a_frame",
    "test_between_the_fragments_of_a_message_a_close_frame_fits",
)
WatchEndedTests = _of_watch(
    test_watch.EndedTests,
    "test_frames_in_progress_are_completed_first",
    "test_a_close_frame_in_progress_is_the_last_one",
    "test_a_frame_that_is_never_completed_gets_no_close_frame_inside",
    "test_a_source_that_dies_in_a_frame_while_the_session_ends",
)
WatchViolationTests = _of_watch(
    test_watch.ViolationTests,
    "test_a_message_above_the_limit_is_1009",
    "test_reserved_bits_need_an_extension",
    "test_a_fault_behind_half_a_header_leaves_no_place_for_a_close_frame",
    "test_a_fault_in_the_middle_of_the_other_sides_frame",
)
WatchLastWordTests = _of_watch(
    test_watch.LastWordTests,
    "test_a_close_frame_that_comes_in_pieces",
    "test_a_frame_in_progress_when_the_time_is_over",
    "test_a_stalled_client_makes_nobody_keep_anything",
)


class UnchangedTests(_MessageCase):
    """A filter that changes nothing: the session is as without it, except that a message is held until it is there."""

    def test_the_pieces_make_no_difference(self) -> None:
        pieces = frame(1, b"he", mask=True, fin=False) + frame(0, b"", mask=True, fin=False)
        pieces += frame(0, b"llo", mask=True)
        inbound = HELLO + pieces + frame(2, b"x" * 300, mask=True) + frame(9, b"!", mask=True) + BYE_IN
        for piece in (1, 2, 3, 5, 11, 300):
            look = Filter()
            gateway, client, backend = self.opens(look)
            client.sends(inbound, piece)
            backend.gets(inbound)
            backend.sends(frame(2, b"x" * 300) + BYE_OUT, piece)
            client.gets(frame(2, b"x" * 300) + BYE_OUT)
            outcome = self.ended(gateway, "ok", "client", 1000)
            self.assertEqual((3, 1), (outcome.messages_in, outcome.messages_out))
            shown = [("hello", True), ("hello", True), (b"x" * 300, True), (b"x" * 300, False)]
            self.assertEqual(shown, look.shown)
            self.assertEqual([outcome], look.ended)

    def test_a_ping_overtakes_the_fragments_that_are_held(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(frame(1, b"he", mask=True, fin=False) + frame(9, b"now", mask=True))
        backend.gets(frame(9, b"now", mask=True))
        client.sends(frame(0, b"llo", mask=True))
        backend.gets(frame(1, b"he", mask=True, fin=False) + frame(0, b"llo", mask=True))
        self.over(gateway, client, backend)

    def test_what_arrives_with_the_handshake_is_looked_at(self) -> None:
        look = Filter()
        gateway = self.gateway(1, filters=[look])
        client = gateway.client()
        client.sends(HANDSHAKE + HELLO + HELLO[:3])
        backend = gateway.backend(0)
        backend.gets("GET /chat")
        backend.sends(SWITCHING + ECHO + ECHO[:4])
        client.gets("HTTP/1.1 101", body=ECHO)
        backend.gets(HELLO)
        self.assertEqual([("hello", False), ("hello", True)], look.shown)
        client.sends(HELLO[3:])
        backend.gets(HELLO)
        backend.sends(ECHO[4:])
        client.gets(ECHO)
        self.over(gateway, client, backend)

    def test_silence_ends_it_and_any_byte_is_none(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30})
        gateway.advance(29)
        client.sends(HELLO[:3])
        gateway.advance(29)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_close(1001, "idle for 30 s")
        backend.gets_close(1001)
        gateway.advance(6)
        self.ended(gateway, "idle_timeout", "gateway", 1001)

    def test_half_a_message_is_not_passed_on_and_a_close_frame_fits(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(frame(1, b"he", mask=True, fin=False) + frame(0, b"llo", mask=True)[:8])
        client.resets()
        backend.gets_close(1001, "client gone")
        backend.closes()
        self.ended(gateway, "client_gone", "client", 1006)

    def test_a_message_above_the_limit_is_1009(self) -> None:
        for message in (
            frame(2, b"x" * 11, mask=True),
            frame(2, b"x" * 6, mask=True, fin=False) + frame(0, b"x" * 5, mask=True),
        ):
            look = Filter()
            gateway, client, backend = self.opens(look, limits={"max_message_bytes": 10})
            client.sends(frame(2, b"x" * 10, mask=True) + message)
            backend.gets(frame(2, b"x" * 10, mask=True))
            backend.gets_close(1001, "the client sent a message that is too big")
            backend.sends(frame(8, b"\x03\xe9"))
            client.gets_close(1009, "message too big")
            self.ended(gateway, "client_message_too_big", "gateway", 1009)
            self.assertEqual(1, len(look.shown))

    def test_text_that_is_none_is_1007(self) -> None:
        gateway, client, backend = self.opens()
        backend.sends(frame(1, b"\xff"))
        backend.gets_close(1007)
        client.gets_close(1011, "the backend sent an invalid payload")
        client.closes()
        self.ended(gateway, "backend_invalid_payload", "gateway", 1011)

    def test_many_frames_at_once_give_others_their_turn(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO * 1000)
        backend.gets(HELLO * 1000)
        self.assertGreater(gateway.rests, 1)
        client.is_read()
        self.over(gateway, client, backend)


class VerdictTests(_MessageCase):
    """What a filter may say."""

    def test_changed_dropped_answered(self) -> None:
        says = {"hello": "HELLO", "bytes": b"\x00", "drop": DROP, "who": Answer("me"), "what": Answer(b"\x01")}
        gateway, client, backend = self.opens(Filter(lambda payload, _: says.get(payload)))
        for text, passed, back in (
            (b"hello", frame(1, b"HELLO", mask=True), b""),
            (b"bytes", frame(2, b"\x00", mask=True), b""),
            (b"drop", b"", b""),
            (b"who", b"", frame(1, b"me")),
            (b"what", b"", frame(2, b"\x01")),
            (b"else", frame(1, b"else", mask=True), b""),
        ):
            client.sends(frame(1, text, mask=True))
            backend.gets(passed)
            backend.gets_nothing()
            client.gets(back)
            client.gets_nothing()
        backend.sends(ECHO + frame(1, b"who"))
        client.gets(frame(1, b"HELLO"))
        backend.gets(frame(1, b"me", mask=True))
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        outcome = self.ended(gateway, "ok", "client", 1000)
        self.assertEqual((3, 1), (outcome.messages_in, outcome.messages_out))
        self.assertEqual(client.wire.written, outcome.sent_bytes)

    def test_a_changed_message_is_one_frame(self) -> None:
        gateway, client, backend = self.opens(Filter(lambda payload, _: payload + "!"))
        client.sends(frame(1, b"he", mask=True, fin=False) + frame(0, b"llo", mask=True))
        backend.gets(frame(1, b"hello!", mask=True))
        self.over(gateway, client, backend)

    def test_close(self) -> None:
        gateway, client, backend = self.opens(Filter(lambda payload, _: Close(4001, "not here")))
        client.sends(HELLO * 2)
        client.gets_close(4001, "not here")
        backend.gets_close(4001, "not here")
        client.closes()
        backend.closes()
        self.ended(gateway, "filter", "gateway", 4001)

    def test_several_in_order_and_in_reverse(self) -> None:
        def says(name: str) -> Filter:
            return Filter(lambda payload, _: payload + name)

        gateway, client, backend = self.opens(says("a"), Filter(), says("b"))
        client.sends(HELLO)
        backend.gets(frame(1, b"helloab", mask=True))
        backend.sends(ECHO)
        client.gets(frame(1, b"helloba"))
        self.over(gateway, client, backend)

    def test_what_one_drops_no_other_sees(self) -> None:
        for verdict in (DROP, Answer("no"), Close(1008)):
            late = Filter()
            gateway, client, backend = self.opens(Filter(lambda payload, _, verdict=verdict: verdict), late)
            client.sends(HELLO)
            self.assertEqual([], late.shown)
            client.gets_something()
            backend.gets_something()
            client.resets()
            backend.gets_something()
            backend.resets()
            gateway.name_all()


class WaitingTests(_MessageCase):
    """A filter that takes its time holds one direction, in order."""

    def opens_waiting(self, **options: Any) -> tuple[Dialogue, Party, Party, list[Deferred[Any]]]:
        waiting: list[Deferred[Any]] = []

        def says(payload: Any, from_client: bool) -> Any:
            if not from_client:
                return None
            waiting.append(Deferred())
            return waiting[-1]

        return *self.opens(Filter(says), **options), waiting

    def test_the_order_stays_and_the_other_direction_goes_on(self) -> None:
        gateway, client, backend, waiting = self.opens_waiting()
        client.sends(HELLO + frame(9, b"p", mask=True) + frame(2, b"x", mask=True))
        client.is_held()
        backend.gets_nothing()
        backend.sends(ECHO)
        client.gets(ECHO)
        gateway.run(waiting[0].callback, None)
        backend.gets(HELLO + frame(9, b"p", mask=True))
        client.is_held()
        gateway.run(waiting[1].callback, b"y")
        backend.gets(frame(2, b"y", mask=True))
        client.is_read()
        self.over(gateway, client, backend)

    def test_every_verdict_may_come_late(self) -> None:
        for verdict, passed, back in (
            (DROP, b"", b""),
            (Answer("me"), b"", frame(1, b"me")),
            ("text", frame(1, b"text", mask=True), b""),
        ):
            gateway, client, backend, waiting = self.opens_waiting()
            client.sends(HELLO)
            gateway.run(waiting[0].callback, verdict)
            backend.gets(passed)
            client.gets(back)
            client.is_read()
            self.over(gateway, client, backend)

    def test_coroutines_and_deferreds_that_have_fired(self) -> None:
        async def later(payload: str, from_client: bool) -> str:
            return payload.upper()

        gateway, client, backend = self.opens(Filter(later))
        client.sends(HELLO * 300)
        backend.gets(frame(1, b"HELLO", mask=True) * 300)
        client.is_read()
        self.over(gateway, client, backend)

    def test_what_the_client_sent_before_it_left_comes_first(self) -> None:
        gateway, client, backend, waiting = self.opens_waiting()
        client.sends(HELLO)
        client.sends(BYE_IN)
        client.half_closes()
        backend.gets_nothing()
        gateway.run(waiting[0].callback, None)
        backend.gets(HELLO + BYE_IN)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        self.ended(gateway, "ok", "client", 1000)

    def test_an_end_that_is_told_while_reading_is_held_waits(self) -> None:
        """No transport here does that; what `ITunnel` says does not exclude it."""
        gateway, client, backend, waiting = self.opens_waiting()
        client.sends(HELLO * 2)
        (session,) = gateway.sessions
        gateway.run(session.client_eof)
        for waited in (0, 1):
            backend.gets_nothing()
            gateway.run(waiting[waited].callback, None)
            backend.gets(HELLO)
        backend.gets_close(1001, "client gone")
        backend.closes()
        client.closes()
        self.ended(gateway, "client_gone", "client", 1006)

    def test_who_is_waited_for_is_told_when_the_session_ends(self) -> None:
        cancelled: list[Any] = []

        def says(payload: Any, from_client: bool) -> Any:
            return Deferred(cancelled.append)

        for end in (
            lambda gateway, client, backend: client.resets(),
            lambda gateway, client, backend: backend.resets(),
            lambda gateway, client, backend: self.session_ends(gateway),
            lambda gateway, client, backend: backend.sends(HELLO),
        ):
            del cancelled[:]
            gateway, client, backend = self.opens(Filter(says))
            client.sends(HELLO * 2)
            end(gateway, client, backend)
            self.assertEqual(1, len(cancelled))
            client.gets_something()
            backend.gets_something()
            client.resets()
            backend.resets()
            client.gets_something()
            backend.gets_something()
            gateway.name_all()

    def test_one_that_cannot_be_given_up(self) -> None:
        """The session ends all the same."""

        def cancelling(_: object) -> None:
            raise KeyboardInterrupt

        gateway, client, backend = self.opens(Filter(lambda payload, from_client: Deferred(cancelling)))
        client.sends(HELLO)
        client.resets()
        self.assertEqual(1, len(self.flushLoggedErrors(KeyboardInterrupt)))
        backend.gets_close(1001, "client gone")
        backend.closes()
        self.ended(gateway, "client_gone", "client", 1006)

    def test_nothing_keeps_what_has_ended(self) -> None:
        """Not even itself: a collection of garbage would stop everybody."""
        gc.disable()
        self.addCleanup(gc.enable)
        for says in (lambda payload, from_client: None, lambda payload, from_client: Deferred(lambda _: None)):
            watched = Filter(says)
            gateway, client, backend = self.opens(watched)
            client.sends(HELLO)
            session = weakref.ref(watched.conversation._session)
            watched.conversation = None
            client.resets()
            backend.gets_something()
            backend.resets()
            gateway.name_all()
            self.assertEqual(1, len(watched.ended))
            self.assertIsNone(session())

    def test_who_waits_for_one_of_our_own_is_not_idle(self) -> None:
        """As for a rate; the limit is for the time after that."""
        gateway, client, backend, waiting = self.opens_waiting(settings={"request_timeout": 30})
        client.sends(HELLO)
        gateway.advance(100)
        client.gets_nothing()
        gateway.run(waiting[0].callback, None)
        backend.gets(HELLO)
        gateway.advance(29.8)
        backend.gets_nothing()
        gateway.advance(0.4)
        client.gets_close(1001)
        backend.gets_close(1001)
        client.sends(BYE_IN)
        backend.sends(BYE_OUT)
        self.ended(gateway, "idle_timeout", "gateway", 1001)

    def test_a_filter_that_never_decides_meets_the_idle_limit(self) -> None:
        """One of a stranger's."""
        watched = Filter(lambda payload, from_client: Deferred())
        named = NamedFilter("slow", watched, "here", Containment("message filter", "slow", "here", ours=False))
        gateway, client, backend = self.opens(named, settings={"request_timeout": 30})
        client.sends(HELLO)
        gateway.advance(30.2)
        client.gets_close(1001)
        backend.gets_close(1001)
        self.assertEqual(1, len(watched.shown))
        client.sends(BYE_IN)
        backend.sends(BYE_OUT)
        self.ended(gateway, "idle_timeout", "gateway", 1001)

    def test_a_failure_that_comes_late(self) -> None:
        gateway, client, backend, waiting = self.opens_waiting()
        client.sends(HELLO)
        gateway.run(waiting[0].errback, RuntimeError("no"))
        client.gets_close(1011, "a message filter failed")
        backend.gets_close(1011)
        client.closes()
        backend.closes()
        self.ended(gateway, "plugin_failed", "gateway", 1011)


class ContainmentTests(_MessageCase):
    """A filter that is wrong costs one session, and the log names it."""

    def test_what_it_raises_or_returns(self) -> None:
        def boom(payload: Any, from_client: bool) -> None:
            raise RuntimeError("secret text")

        for says in (
            boom,
            lambda payload, _: 7,
            lambda payload, _: bytearray(b"x"),
            lambda payload, _: "\ud800",
            lambda payload, _: Answer(7),
            lambda payload, _: Close(1005),
            lambda payload, _: Close(99),
        ):
            bad = Filter(says)
            gateway, client, backend = self.opens(bad)
            other_client, other_backend = gateway.opens_websocket()
            client.sends(HELLO)
            client.gets_close(1011, "a message filter failed")
            backend.gets_close(1011)
            client.closes()
            backend.closes()
            outcome = gateway.recorded("101 plugin_failed")
            self.assertIn("message filter 'test' of rules[0].filters[0] failed", str(outcome.error.__cause__))
            self.assertEqual([outcome], bad.ended)
            bad.says = lambda payload, _: None
            other_client.sends(HELLO)
            other_backend.gets(HELLO)
            self.over(gateway, other_client, other_backend)

    def test_one_that_cannot_be_opened_lets_nothing_pass(self) -> None:
        class Broken:
            def open(self, conversation: Any) -> Any:
                raise ValueError("no")

        first = Filter()
        gateway = self.gateway(1, filters=[first, Broken()])
        client = gateway.client()
        client.sends(HANDSHAKE + HELLO)
        backend = gateway.backend(0)
        backend.gets("GET /chat")
        backend.sends(SWITCHING + ECHO)
        client.gets("HTTP/1.1 101")
        client.gets_close(1011)
        backend.gets_close(1011)
        client.closes()
        backend.closes()
        outcome = gateway.recorded("101 plugin_failed")
        self.assertEqual(([], [outcome]), (first.shown, first.ended))

    def strange(self, says: Callable[[Any, bool], Any]) -> tuple[Filter, NamedFilter, list[float]]:
        """A stranger's filter that is switched off after two failures; the last is the time."""
        now = [0.0]
        contain = Containment(
            "message filter", "strange", "here", ours=False, terms=Terms(2, 30, 0.1), seconds=lambda: now[0]
        )
        inner = Filter(says)
        return inner, NamedFilter("strange", inner, "here", contain), now

    def fails(self, gateway: Dialogue, cause: str, says: bytes = HELLO) -> None:
        """A session that is closed with 1011."""
        client, backend = gateway.opens_websocket()
        client.sends(says)
        client.gets_close(1011)
        backend.gets_close(1011)
        client.closes()
        backend.closes()
        gateway.recorded(f"101 {cause}")

    def test_again_and_again(self) -> None:
        """It is switched off: new sessions are refused, open ones go on; one session after a pause decides."""
        log = PluginLog(self)
        inner, named, now = self.strange(lambda payload, _: None)
        gateway, client, backend = self.opens(named)
        inner.says = lambda payload, _: 7
        for cause in "plugin_failed", "plugin_failed", "plugin_off", "plugin_off":
            self.fails(gateway, cause)
        self.assertIn("its new sessions are closed with 1011", log.lines[1])
        inner.says = lambda payload, _: None
        now[0] = 30.0
        second, second_backend = gateway.opens_websocket()
        self.fails(gateway, "plugin_off")
        second.sends(HELLO)
        second_backend.gets(HELLO)
        self.assertFalse(named.contain.off)
        self.over(gateway, second, second_backend)
        client.sends(HELLO)
        backend.gets(HELLO)
        self.over(gateway, client, backend)

    def test_good_messages_between(self) -> None:
        """A run of failures ends with any message that is dealt with well, at once or later."""
        for good in None, DROP, "text", succeed(None):
            inner, named, _ = self.strange(lambda payload, _: None)
            gateway, client, backend = self.opens(named)
            for _ in range(3):
                inner.says = lambda payload, _: 7
                self.fails(gateway, "plugin_failed")
                inner.says = lambda payload, _, good=good: succeed(None) if isinstance(good, Deferred) else good
                client.sends(HELLO)
                backend.gets_something()
                self.assertEqual(0, named.contain.run)
            self.assertEqual((3, False), (named.contain.failures, named.contain.off))
            self.over(gateway, client, backend)

    def test_one_that_fails_when_it_is_closed(self) -> None:
        class Sour(Filter):
            def closed(self, outcome: Outcome) -> None:
                raise ValueError("no")

        last = Filter()
        sour = NamedFilter("sour", Sour(), "here")
        gateway, client, backend = self.opens(sour, last)
        self.over(gateway, client, backend)
        self.assertEqual((1, 1), (sour.contain.failures, len(last.ended)))

    def test_a_session_that_cannot_be_opened(self) -> None:
        """Filters that are open are told of its end, whatever was the matter."""
        filtered = Filter()
        gateway = self.gateway(1, filters=[filtered])
        client = gateway.client()
        client.sends(HANDSHAKE)
        backend = gateway.backend(0)
        backend.gets_something()
        with MonkeyPatcher((Surroundings, "opened", _raises)):
            backend.sends(SWITCHING)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        gateway.recorded("101 gateway_error")
        self.assertEqual(1, len(filtered.ended))

    def test_one_that_would_be_waited_for(self) -> None:
        """Nobody waits for `open`, or for `closed`."""

        class Late(Filter):
            async def closed(self, outcome: Outcome) -> None:  # type: ignore[override]
                raise AssertionError("it is not run")

        class Later(Filter):
            async def open(self, conversation: Any) -> Any:
                raise AssertionError("it is not run")

        log, account = PluginLog(self), Containment("message filter", "late", ours=False)
        gateway, client, backend = self.opens(NamedFilter("late", Late(), "here", account))
        self.over(gateway, client, backend)
        self.assertEqual(1, account.failures)
        self.assertIn("closed() returned a coroutine", log.lines[0])
        account = Containment("message filter", "later", ours=False)
        gateway, client, backend = self.opens(NamedFilter("later", Later(), "here", account))
        client.gets_close(1011)
        backend.gets_close(1011)
        client.closes()
        backend.closes()
        gateway.recorded("101 plugin_failed")
        self.assertIn("open() returned a coroutine", log.lines[1])
        self.assertEqual([], self.flushWarnings())


class ConversationTests(_MessageCase):
    """What a filter knows."""

    def test_who_and_where(self) -> None:
        look = Filter()
        gateway, client, backend = self.opens(look)
        verifyObject(IMessageFilter, look)
        verifyObject(IMessages, look)
        known = look.conversation
        verifyObject(IConversation, known)
        where = known.peer.host, known.route.rule, known.backend.name
        self.assertEqual(("203.0.113.7", "rule", "10.0.0.1:9000"), where)
        self.assertEqual(("", "/chat", 32), (known.user, known.head.path, len(known.trace_id)))
        client.sends(HELLO * 2)
        backend.gets(HELLO * 2)
        backend.sends(ECHO)
        client.gets(ECHO)
        self.assertEqual((2, 1, len(HANDSHAKE + HELLO * 2), client.wire.written), known.counters)
        self.over(gateway, client, backend)

    def test_a_user_whom_a_middleware_has_found(self) -> None:
        def knows(head: Any, context: Any) -> None:
            context.user = "eve"

        look = Filter()
        gateway = self.gateway(1, filters=[look], middleware=[Scripted(request=knows)])
        client, backend = gateway.opens_websocket()
        self.assertEqual("eve", look.conversation.user)
        self.over(gateway, client, backend)

    def test_it_may_end_the_session_at_any_time(self) -> None:
        look = Filter()
        gateway, client, backend = self.opens(look)
        self.assertRaises(ValueError, look.conversation.end, 1005)
        gateway.run(look.conversation.end, 4002, "time is up")
        gateway.run(look.conversation.end, 4003)
        client.gets_close(4002, "time is up")
        backend.gets_close(4002)
        client.closes()
        backend.closes()
        self.ended(gateway, "filter", "gateway", 4002)

    def test_also_while_it_is_opened(self) -> None:
        """That is no failure of the filter; what follows it is not asked, nor is anybody about messages."""
        known: list[tuple[int, int, int, int]] = []

        class Hasty(Filter):
            def open(self, conversation: Any) -> Filter:
                known.append(conversation.counters)
                conversation.end(4401, "who are you?")
                conversation.end(4402)
                return super().open(conversation)

        first, hasty, last = Filter(), NamedFilter("hasty", Hasty(), "here"), Filter()
        gateway = self.gateway(1, filters=[first, hasty, last])
        client = gateway.client()
        client.sends(HANDSHAKE + HELLO)
        backend = gateway.backend(0)
        backend.gets("GET /chat")
        backend.sends(SWITCHING + ECHO)
        client.gets("HTTP/1.1 101")
        client.gets_close(4401, "who are you?")
        backend.gets_close(4401)
        client.closes()
        backend.closes()
        self.ended(gateway, "filter", "gateway", 4401)
        self.assertEqual(0, hasty.contain.failures)
        self.assertEqual(([], 1, None), (first.shown, len(first.ended), last.conversation))
        (counters,) = known
        self.assertEqual((0, 0, len(HANDSHAKE)), counters[:3])
        self.assertGreater(counters[3], len("HTTP/1.1 101"))

    def test_one_that_fails_behind_that(self) -> None:
        """Its word stands, and so does its failure."""

        class Hasty(Filter):
            def open(self, conversation: Any) -> Filter:
                conversation.end(4401)
                raise ValueError("no")

        named = NamedFilter("hasty", Hasty(), "here")
        gateway, client, backend = self.opens(named)
        client.gets_close(4401)
        backend.gets_close(4401)
        client.closes()
        backend.closes()
        self.ended(gateway, "filter", "gateway", 4401)
        self.assertEqual(1, named.contain.failures)

    def test_also_in_the_middle_of_a_message(self) -> None:
        look = Filter()
        look.says = lambda payload, _: look.conversation.end(4002)
        gateway, client, backend = self.opens(look)
        client.sends(HELLO * 2)
        client.gets_close(4002)
        backend.gets_close(4002)
        self.assertEqual(1, len(look.shown))
        client.closes()
        backend.closes()
        self.ended(gateway, "filter", "gateway", 4002)


class PressureTests(_MessageCase):
    """Who does not take what is sent is not read from, whoever it comes from."""

    def test_both_ways(self) -> None:
        gateway, client, backend = self.opens()
        for slow, fast, data in ((backend, client, HELLO), (client, backend, ECHO)):
            slow.stalls()
            fast.sends(data)
            fast.is_held()
            slow.takes()
            slow.gets(data)
            fast.is_read()
        self.over(gateway, client, backend)

    def test_what_was_read_together_is_not_written_together(self) -> None:
        """Messages that a filter makes large: the target gets the next one when it has taken the last."""
        large = Filter(lambda payload, _: b"x" * 100_000)
        gateway, client, backend = self.opens(large)
        backend.stalls()
        client.sends(HELLO * 10)
        client.is_held()
        self.assertEqual(1, len(large.shown))
        backend.takes()
        self.assertEqual(10, len(large.shown))
        self.assertEqual(10 * (100_000 + 14), len(backend.gets_something()))
        client.is_read()
        self.over(gateway, client, backend)

    def test_a_client_that_takes_no_answers_may_not_ask_on(self) -> None:
        gateway, client, backend = self.opens(Filter(lambda payload, _: Answer("no")))
        client.stalls()
        client.sends(HELLO * 2)
        client.sends(HELLO)
        client.is_held()
        client.takes()
        client.is_read()
        client.gets(frame(1, b"no") * 3)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        gateway.recorded("101 ok")


class ExtensionTests(_MessageCase):
    """Each leg has the extensions that the gateway negotiates, not the other end's."""

    def switched(self, offer: str, answer: str, **options: Any) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(1, filters=[Filter()], **options)
        client = gateway.client()
        extra = f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode() if offer else b"\r\n"
        client.sends(HANDSHAKE[:-2] + extra)
        backend = gateway.backend(0)
        self.asked = bytes(backend.wire.taken).decode()
        backend.gets_something()
        extra = f"Sec-WebSocket-Extensions: {answer}\r\n\r\n".encode() if answer else b"\r\n"
        backend.sends(SWITCHING[:-2] + extra)
        return gateway, client, backend

    def test_none_unless_they_are_wanted(self) -> None:
        gateway, client, backend = self.switched("permessage-deflate, x-other; a=1", "")
        self.assertNotIn("extensions", self.asked.lower())
        client.gets("HTTP/1.1 101", without=["Sec-WebSocket-Extensions"])
        self.over(gateway, client, backend)
        gateway, client, backend = self.switched("permessage-deflate", "permessage-deflate")
        client.gets_page(502)
        gateway.recorded("502 backend_protocol_error")

    def test_each_leg_for_itself(self) -> None:
        for offer, answer, back in (
            ("permessage-deflate", "permessage-deflate", "permessage-deflate"),
            ("permessage-deflate", "", "permessage-deflate"),
            ("", "permessage-deflate", None),
            ("x-other, permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=10", "",
             "permessage-deflate; server_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=8", "", None),
            ("permessage-deflate; client_max_window_bits=010", "", None),
            ("permessage-deflate; server_max_window_bits=010, permessage-deflate; client_max_window_bits=10", "",
             "permessage-deflate"),
        ):  # fmt: skip
            gateway, client, backend = self.switched(offer, answer, settings={"web_socket_compression": True})
            self.assertIn(f"Sec-WebSocket-Extensions: {OFFER}\r\n", self.asked)
            if back is None:
                client.gets("HTTP/1.1 101", without=["Sec-WebSocket-Extensions"])
            else:
                client.gets("HTTP/1.1 101", f"Sec-WebSocket-Extensions: {back}")
            client.sends(HELLO)
            got = backend.gets_something()
            self.assertEqual(0xC1 if answer else 0x81, got[0])
            backend.sends(ECHO)
            self.assertEqual(0x81 if back is None else 0xC1, client.gets_something()[0])
            self.over(gateway, client, backend)

    def test_a_backend_with_the_smallest_window(self) -> None:
        """zlib cannot deflate for a window of 8 bits, but inflates what was made with one."""
        text = bytes(range(32, 127)) * 9
        deflater = zlib.compressobj(wbits=-9)  # reaches back 250 bytes, less than a window of 8 bits does
        deflated = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
        sent = frame(1, deflated[:-4])
        for answer, first in (
            ("client_max_window_bits=8", 0x81),
            ("server_max_window_bits=8", 0xC1),
            ("client_max_window_bits=8; server_max_window_bits=8", 0x81),
        ):
            gateway, client, backend = self.switched(
                "", f"permessage-deflate; {answer}", settings={"web_socket_compression": True}
            )
            client.gets("HTTP/1.1 101")
            for _ in range(2):
                client.sends(HELLO)
                self.assertEqual(first, backend.gets_something()[0])
            backend.sends(bytes([0xC1]) + sent[1:])
            client.gets(frame(1, text))
            self.over(gateway, client, backend)

    def test_a_backend_that_agrees_to_what_makes_no_sense(self) -> None:
        for answer in (
            "permessage-deflate; nonsense",
            "permessage-deflate, permessage-deflate",
            "permessage-deflate; client_max_window_bits=99",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=8; server_max_window_bits=8",
        ):
            gateway, client, backend = self.switched("", answer, settings={"web_socket_compression": True})
            client.gets_page(502)
            gateway.recorded("502 backend_protocol_error")

    def test_without_filters_the_two_ends_agree(self) -> None:
        gateway = self.gateway(1, settings={"web_socket_compression": True})
        client = gateway.client()
        client.sends(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: x-own\r\n\r\n")
        gateway.backend(0).gets("GET /chat", "Sec-WebSocket-Extensions: x-own")
        gateway.backend(0).sends(SWITCHING)
        client.gets("HTTP/1.1 101")
        self.over(gateway, client, gateway.backend(0))


class EndTests(_MessageCase):
    """The gateway ends sessions here as it does elsewhere."""

    def test_half_a_frame_is_no_obstacle(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO[:8])
        backend.sends(ECHO[:3])
        self.session_ends(gateway)
        client.gets_close(1012, "the gateway restarts")
        backend.gets_close(1012, "the gateway restarts")
        client.sends(HELLO[8:] + BYE_IN)
        backend.sends(ECHO[3:] + BYE_OUT)
        client.finds("closed")
        self.ended(gateway, "restart", "gateway", 1012)

    def test_messages_that_come_while_it_closes_are_not_shown(self) -> None:
        look = Filter()
        gateway, client, backend = self.opens(look)
        self.session_ends(gateway, SessionEnded(1001, "the gateway is shutting down", "shutdown"))
        client.gets_close(1001)
        backend.gets_close(1001)
        client.sends(HELLO + frame(9, b"", mask=True))
        backend.gets_nothing()
        self.assertEqual([], look.shown)
        gateway.advance(5.2)
        client.finds("closed")
        self.ended(gateway, "shutdown", "gateway", 1001)

    def test_what_the_backend_still_says_behind_the_clients_close_frame_is_shown(self) -> None:
        look = Filter()
        gateway, client, backend = self.opens(look)
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.sends(ECHO + BYE_OUT)
        client.gets(ECHO + BYE_OUT)
        self.assertEqual([("hello", False)], look.shown)
        self.ended(gateway, "ok", "client", 1000)


def _raises(*args: object) -> None:
    raise RuntimeError("a bug")
