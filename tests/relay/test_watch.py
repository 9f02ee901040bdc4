"""WebSocket sessions: bytes pass verbatim, and however a session ends, it ends with the right close frames.

Codes are those of RFC 6455 §7.4.1: 1001 where the client or the gateway goes, 1011 where the backend is lost, 1002 and
1009 for who breaks the rules.  A close frame to a backend is masked, none is put into the middle of a frame, none
follows another.
"""

from __future__ import annotations

from gateway.errors import SessionEnded
from gateway.relay import session as relay_session
from gateway.values import Outcome
from tests.dialogue import HANDSHAKE, SWITCHING, Dialogue, DialogueCase, Party, frame

HELLO, ECHO = frame(1, b"hello", mask=True), frame(1, b"hello")
BYE_IN, BYE_OUT = frame(8, b"\x03\xe8bye", mask=True), frame(8, b"\x03\xe8bye")
STOPPING = SessionEnded(1012, "the gateway restarts", "restart")


class _SessionCase(DialogueCase):
    def opens(self, **options: object) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(1, **options)
        client, backend = gateway.opens_websocket()
        return gateway, client, backend

    def violates(self, **options: object) -> tuple[Dialogue, Party, Party]:
        """A client breaks a rule behind a message; the backend has been told, and has not answered yet."""
        gateway, client, backend = self.opens(**options)
        client.sends(HELLO + frame(3, mask=True))
        backend.gets(HELLO)
        backend.gets_close(1001)
        client.gets_nothing()
        return gateway, client, backend

    def session_ends(self, gateway: Dialogue, error: SessionEnded = STOPPING) -> None:
        """The gateway ends it, twice for good measure."""
        session = next(iter(gateway.sessions))
        gateway.run(session.end, error)
        gateway.run(session.end, SessionEnded(1000, "again", "again"))

    def ended(self, gateway: Dialogue, cause: str, by: str, code: int | None) -> Outcome:
        outcome = gateway.recorded(f"101 {cause}")
        self.assertEqual((by, code, True), (outcome.closed_by, outcome.close_code, outcome.websocket))
        self.assertEqual([outcome], gateway.recorder.begun)
        return outcome


class OpenTests(_SessionCase):
    """OPEN: nothing is changed, everything is counted."""

    def test_messages_pass_verbatim_and_are_counted(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO * 3 + frame(9, b"ping", mask=True))
        backend.gets(HELLO * 3 + frame(9, b"ping", mask=True))
        backend.sends(ECHO + frame(10, b"ping") + frame(2, b"x" * 70000))
        client.gets(ECHO + frame(10, b"ping") + frame(2, b"x" * 70000))
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        client.finds("closed")
        backend.finds("closed")
        outcome = self.ended(gateway, "ok", "client", 1000)
        self.assertEqual((3, 2), (outcome.messages_in, outcome.messages_out))
        sent = len(HANDSHAKE) + 3 * len(HELLO) + 10 + len(BYE_IN)
        self.assertEqual((sent, client.wire.written), (outcome.received_bytes, outcome.sent_bytes))

    def test_the_pieces_make_no_difference(self) -> None:
        inbound = HELLO + frame(1, b"he", mask=True, fin=False) + frame(9, b"", mask=True) + frame(0, b"llo", mask=True)
        inbound += frame(2, b"x" * 300, mask=True)
        for piece in (1, 2, 3, 5, 11, 300):
            gateway, client, backend = self.opens()
            client.sends(inbound + BYE_IN, piece)
            backend.gets(inbound + BYE_IN)
            backend.sends(frame(2, b"x" * 300) + BYE_OUT, piece)
            client.gets(frame(2, b"x" * 300) + BYE_OUT)
            outcome = self.ended(gateway, "ok", "client", 1000)
            self.assertEqual((3, 1), (outcome.messages_in, outcome.messages_out))

    def test_bytes_that_arrive_with_the_handshake_are_not_lost(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.sends(HANDSHAKE + HELLO + HELLO[:3])
        backend = gateway.backend(0)
        backend.gets("GET /chat")
        backend.gets_nothing()
        backend.sends(SWITCHING + ECHO + ECHO[:4])
        client.gets("HTTP/1.1 101", body=ECHO + ECHO[:4])
        backend.gets(HELLO + HELLO[:3])
        client.is_read()
        client.sends(HELLO[3:])
        backend.gets(HELLO[3:])
        backend.sends(ECHO[4:])
        client.gets(ECHO[4:])
        client.sends(BYE_IN)
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        backend.gets(BYE_IN)
        outcome = self.ended(gateway, "ok", "client", 1000)
        self.assertEqual((2, 2), (outcome.messages_in, outcome.messages_out))

    def test_a_close_frame_behind_the_101_meets_what_the_client_sent_ahead(self) -> None:
        gateway = self.gateway(1)
        client = gateway.client()
        client.sends(HANDSHAKE + HELLO + BYE_IN)
        backend = gateway.backend(0)
        backend.gets("GET /chat")
        backend.sends(SWITCHING + BYE_OUT)
        client.gets("HTTP/1.1 101", body=BYE_OUT)
        backend.gets(HELLO + BYE_IN)
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "ok", "backend", 1000)

    def test_an_observer_sees_the_session_begin(self) -> None:
        gateway, client, backend = self.opens()
        (outcome,) = gateway.recorder.begun
        self.assertEqual((101, True, None), (outcome.status, outcome.websocket, outcome.ended))
        self.assertEqual((1, 1), (gateway.sessions.count, gateway.pool.backends[0].active))
        client.resets()
        backend.gets_close(1001)
        backend.resets()
        self.ended(gateway, "client_gone", "client", 1006)

    def test_silence_ends_it_and_any_byte_is_none(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30})
        for side, other, data in ((client, backend, HELLO), (backend, client, ECHO), (client, backend, HELLO[:3])):
            gateway.advance(29)
            side.sends(data)
            other.gets(data)
        client.sends(HELLO[3:])
        backend.gets(HELLO[3:])
        gateway.advance(29.9)
        client.gets_nothing()
        gateway.advance(0.3)
        client.gets_close(1001, "idle for 30 s")
        backend.gets_close(1001, "idle for 30 s")
        client.sends(frame(8, b"\x03\xe9", mask=True))
        backend.sends(frame(8, b"\x03\xe9"))
        client.finds("closed")
        self.ended(gateway, "idle_timeout", "gateway", 1001)

    def test_a_session_may_have_an_idle_limit_of_its_own(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30, "web_socket_idle_timeout": 300})
        gateway.advance(299)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_close(1001)
        backend.gets_close(1001)
        gateway.advance(5.2)
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "idle_timeout", "gateway", 1001)


class ClosingTests(_SessionCase):
    """A close frame has passed: the answer may follow, then both connections are closed (RFC 6455 §7.1)."""

    def test_the_backend_may_begin(self) -> None:
        gateway, client, backend = self.opens()
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        client.sends(HELLO + BYE_IN)
        backend.gets(HELLO + BYE_IN)
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "ok", "backend", 1000)

    def test_who_does_not_answer_is_cut_after_five_seconds_and_the_gateway_answers(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(frame(8, mask=True))
        backend.gets(frame(8, mask=True))
        gateway.advance(4.9)
        backend.finds("open")
        gateway.advance(0.3)
        backend.finds("closed")
        client.gets(frame(8))
        client.finds("closed")
        self.ended(gateway, "ok", "client", 1005)
        gateway, client, backend = self.opens()
        backend.sends(BYE_OUT)
        client.gets(BYE_OUT)
        gateway.advance(5.2)
        client.finds("closed")
        backend.gets_close(1000, "")
        backend.finds("closed")
        self.ended(gateway, "ok", "backend", 1000)

    def test_who_does_not_take_that_answer_is_cut_too(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        client.stalls()
        gateway.advance(5.2)
        backend.finds("closed")
        for _ in range(3):
            client.takes(1)
            gateway.advance(55)
            client.finds("open")
        client.gets(b"\x88\x02\x03")
        gateway.advance(10.2)
        client.finds("reset")
        self.ended(gateway, "ok", "client", 1000)

    def test_who_takes_it_slowly_gets_it(self) -> None:
        """The backend has its answer in time, and the client all that there was."""
        gateway, client, backend = self.opens()
        said = frame(2, b"a" * 100) + BYE_OUT
        client.stalls()
        backend.sends(said)
        gateway.advance(5.2)
        backend.gets_close(1000, "")
        backend.finds("closed")
        for _ in range(len(said)):
            gateway.advance(20)
            client.finds("open")
            client.takes(1)
        client.takes()
        client.gets(said)
        client.finds("closed")
        self.ended(gateway, "ok", "backend", 1000)

    def test_a_client_that_takes_nothing_is_reset(self) -> None:
        """Though it goes on to send; the backend is told."""
        gateway, client, backend = self.opens(settings={"request_timeout": 3600}, limits={"send_timeout": 60})
        client.stalls()
        backend.sends(ECHO * 10)
        for _ in range(5):
            gateway.advance(58)
            client.sends(HELLO)
            client.takes(1)
            client.finds("open")
        for _ in range(4):
            gateway.advance(14)
            client.sends(HELLO)
            client.finds("open")
        gateway.advance(20)  # progress is noticed when it is looked for
        client.gets(ECHO[:5])
        client.finds("reset")
        backend.gets(HELLO * 9)
        backend.gets_close(1001, "client gone")
        backend.finds("closed")
        self.ended(gateway, "client_timeout", "gateway", 1006)

    def test_a_client_that_was_stuck_for_a_while(self) -> None:
        """It has all its time each time, and the idle limit is what it was."""
        gateway, client, backend = self.opens(settings={"request_timeout": 100}, limits={"send_timeout": 60})
        for _ in range(3):
            client.stalls()
            backend.sends(ECHO)
            gateway.advance(50)
            client.takes()
            client.gets(ECHO)
            gateway.advance(40)
            client.finds("open")
        gateway.advance(15)
        client.gets_close(1001, "idle for 100 s")
        backend.gets_close(1001, "idle for 100 s")
        gateway.advance(6)
        self.ended(gateway, "idle_timeout", "gateway", 1001)

    def test_what_follows_a_close_frame_is_dropped(self) -> None:
        """RFC 6455 §5.5.1: no data after a close frame, whether it comes in one piece or later."""
        for late in ((BYE_IN + HELLO,), (BYE_IN, HELLO), (BYE_IN[:5], BYE_IN[5:] + HELLO[:2], HELLO[2:])):
            gateway, client, backend = self.opens()
            for piece in late:
                client.sends(piece)
            backend.gets(BYE_IN)
            backend.gets_nothing()
            backend.sends(ECHO + BYE_OUT + ECHO)
            client.gets(ECHO + BYE_OUT)
            client.gets_nothing()
            client.finds("closed")
            outcome = self.ended(gateway, "ok", "client", 1000)
            self.assertEqual(client.wire.written, outcome.sent_bytes)
            self.assertEqual(backend.wire.written, outcome.upstream_sent)
            self.assertEqual(len(SWITCHING + ECHO + BYE_OUT + ECHO), outcome.upstream_received)

    def test_an_end_of_file_behind_a_close_frame_is_no_fault(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(BYE_IN)
        client.half_closes()
        backend.gets(BYE_IN)
        backend.sends(ECHO + BYE_OUT)
        client.gets(ECHO + BYE_OUT)
        client.finds("closed")
        self.ended(gateway, "ok", "client", 1000)

    def test_who_closes_without_an_answer_ends_it(self) -> None:
        for leave in (Party.closes, Party.resets):
            gateway, client, backend = self.opens()
            client.sends(BYE_IN)
            backend.gets(BYE_IN)
            leave(backend)
            client.gets_close(1000, "")
            client.finds("closed")
            self.ended(gateway, "ok", "client", 1000)

    def test_a_client_that_closes_without_an_answer_is_answered_for(self) -> None:
        for leave in (Party.closes, Party.resets):
            gateway, client, backend = self.opens()
            backend.sends(frame(8, b"\x0f\xa1go"))
            client.gets(frame(8, b"\x0f\xa1go"))
            leave(client)
            backend.gets_close(4001, "")
            backend.finds("closed")
            self.ended(gateway, "ok", "backend", 4001)

    def test_no_answer_is_put_into_the_middle_of_a_frame(self) -> None:
        gateway, client, backend = self.opens()
        backend.sends(ECHO[:4])
        client.gets(ECHO[:4])
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.resets()
        client.gets_nothing()
        client.finds("closed")
        self.ended(gateway, "ok", "client", 1000)

    def test_the_gateway_adds_nothing_behind_a_close_frame(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        self.session_ends(gateway)
        backend.gets_nothing()
        client.gets_nothing()
        client.resets()
        backend.gets_nothing()
        backend.closes()
        self.ended(gateway, "ok", "client", 1000)

    def test_an_answer_that_breaks_the_rules_ends_it(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        backend.sends(ECHO + HELLO)
        client.gets(ECHO)
        client.gets_close(1000, "")
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "ok", "client", 1000)

    def test_a_client_that_does_not_take_the_close_frame_is_cut(self) -> None:
        gateway, client, backend = self.opens()
        client.stalls()
        backend.sends(BYE_OUT)
        client.sends(BYE_IN)
        backend.gets(BYE_IN)
        client.finds("open")
        gateway.advance(59.9)
        client.finds("open")
        gateway.advance(10.3)
        client.finds("reset")
        self.ended(gateway, "ok", "backend", 1000)


class VanishedTests(_SessionCase):
    """A side is gone without a close frame: the other one gets one (RFC 6455 §7.1.5: 1006 for the log)."""

    def test_a_client_that_vanishes(self) -> None:
        for leave in (Party.half_closes, Party.closes, Party.resets):
            gateway, client, backend = self.opens()
            client.sends(HELLO)
            backend.gets(HELLO)
            leave(client)
            backend.gets_close(1001, "client gone")
            backend.finds("open")
            backend.sends(frame(8, b"\x03\xe9"))
            backend.finds("closed")
            client.gets_something()
            self.ended(gateway, "client_gone", "client", 1006)
            self.assertEqual(0, gateway.pool.backends[0].failures)

    def test_a_backend_that_vanishes(self) -> None:
        for leave in (Party.half_closes, Party.closes, Party.resets):
            gateway, client, backend = self.opens()
            backend.sends(ECHO)
            client.gets(ECHO)
            leave(backend)
            client.gets_close(1011, "backend lost")
            client.finds("open")
            client.sends(frame(8, b"\x03\xf3", mask=True))
            client.finds("closed")
            backend.gets_something()
            self.ended(gateway, "backend_lost", "backend", 1011)

    def test_a_client_that_does_not_answer_is_cut(self) -> None:
        gateway, client, backend = self.opens()
        backend.resets()
        client.gets_close(1011)
        client.sends(HELLO)
        gateway.advance(4.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("closed")
        self.ended(gateway, "backend_lost", "backend", 1011)

    def test_nothing_is_put_into_the_middle_of_a_frame(self) -> None:
        """The other side can only be closed: half a frame is all it will get."""
        for part in (1, 3, 7):
            gateway, client, backend = self.opens()
            client.sends(HELLO[:part])
            backend.gets(HELLO[:part])
            client.resets()
            backend.gets_nothing()
            backend.finds("closed")
            self.ended(gateway, "client_gone", "client", 1006)
            gateway, client, backend = self.opens()
            backend.sends(ECHO[: part - (part > 3)])
            client.gets(ECHO[: part - (part > 3)])
            backend.closes()
            client.gets_nothing()
            client.finds("closed")
            self.ended(gateway, "backend_lost", "backend", 1006)

    def test_between_the_fragments_of_a_message_a_close_frame_fits(self) -> None:
        """RFC 6455 §5.4: control frames may be injected in the middle of a fragmented message."""
        gateway, client, backend = self.opens()
        backend.sends(frame(1, b"he", fin=False))
        client.gets(frame(1, b"he", fin=False))
        backend.resets()
        client.gets_close(1011)
        client.closes()
        self.ended(gateway, "backend_lost", "backend", 1011)

    def test_what_is_sent_to_nobody_is_read_up_to_a_limit(self) -> None:
        """A backend that pours on must not keep the gateway busy until its time is over."""
        self.patch(relay_session, "_MOST_DROPPED", 1000)
        gateway, client, backend = self.opens()
        client.resets()
        backend.gets_close(1001)
        backend.sends(frame(2, b"x" * 900))
        backend.finds("open")
        backend.sends(frame(2, b"x" * 900))
        backend.finds("reset")
        outcome = self.ended(gateway, "client_gone", "client", 1006)
        self.assertEqual(client.wire.written, outcome.sent_bytes)

    def test_bytes_that_never_left_the_queue_are_not_counted(self) -> None:
        gateway, client, backend = self.opens()
        before = client.wire.written
        client.stalls()
        backend.sends(frame(2, b"x" * 900))
        client.takes(100)
        client.resets()
        backend.gets_close(1001)
        backend.closes()
        outcome = self.ended(gateway, "client_gone", "client", 1006)
        self.assertEqual(before + 100, outcome.sent_bytes)
        client.gets_something()

    def test_both_at_once(self) -> None:
        gateway, client, backend = self.opens()
        client.wire.arrive_end(reset=True)
        backend.resets()
        self.ended(gateway, "client_gone", "client", 1006)

    def test_a_held_side_is_read_again_to_hear_its_answer(self) -> None:
        gateway, client, backend = self.opens()
        backend.stalls()
        client.sends(HELLO)
        client.is_held()
        backend.resets()
        client.gets_close(1011)
        client.is_read()
        client.sends(frame(8, b"\x03\xf3", mask=True))
        client.finds("closed")
        self.ended(gateway, "backend_lost", "backend", 1011)


class EndedTests(_SessionCase):
    """The gateway ends the session: both sides get its code, masked towards the backend, at a frame boundary."""

    def test_both_are_told_and_both_answer(self) -> None:
        gateway, client, backend = self.opens()
        self.session_ends(gateway)
        client.gets_close(1012, "the gateway restarts")
        backend.gets_close(1012, "the gateway restarts")
        client.sends(HELLO + frame(8, b"\x03\xf4", mask=True))
        backend.gets_nothing()
        client.finds("open")
        backend.sends(ECHO + frame(8, b"\x03\xf4"))
        client.gets_nothing()
        client.finds("closed")
        backend.finds("closed")
        outcome = self.ended(gateway, "restart", "gateway", 1012)
        self.assertEqual("the gateway restarts", str(outcome.error))

    def test_frames_in_progress_are_completed_first(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO[:8])
        backend.gets(HELLO[:8])
        backend.sends(ECHO[:1])
        client.gets(ECHO[:1])
        self.session_ends(gateway)
        backend.gets_nothing()
        client.gets_nothing()
        client.sends(HELLO[8:] + HELLO)
        backend.gets(HELLO[8:])
        backend.gets_close(1012)
        backend.sends(ECHO[1:3])
        client.gets(ECHO[1:3])
        backend.sends(ECHO[3:] + ECHO)
        client.gets(ECHO[3:])
        client.gets_close(1012)
        client.sends(BYE_IN)
        backend.sends(BYE_OUT)
        backend.gets_nothing()
        client.gets_nothing()
        self.ended(gateway, "restart", "gateway", 1012)

    def test_a_close_frame_in_progress_is_the_last_one(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(BYE_IN[:4])
        backend.gets(BYE_IN[:4])
        self.session_ends(gateway)
        client.gets_close(1012)
        client.sends(BYE_IN[4:])
        backend.gets(BYE_IN[4:])
        backend.gets_nothing()
        backend.sends(BYE_OUT)
        client.gets_nothing()
        self.ended(gateway, "restart", "gateway", 1012)

    def test_a_frame_that_is_never_completed_gets_no_close_frame_inside(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO[:8])
        backend.gets(HELLO[:8])
        self.session_ends(gateway)
        client.gets_close(1012)
        gateway.advance(5.2)
        backend.gets_nothing()
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "restart", "gateway", 1012)

    def test_a_source_that_dies_in_a_frame_while_the_session_ends(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(HELLO[:8])
        backend.gets(HELLO[:8])
        self.session_ends(gateway)
        client.gets_close(1012)
        client.resets()
        backend.gets_nothing()
        backend.finds("closed")
        self.ended(gateway, "restart", "gateway", 1012)

    def test_all_sessions_at_once(self) -> None:
        gateway = self.gateway(2)
        peers = [peer for number in (0, 1, 0) for peer in gateway.opens_websocket(number)]
        done = gateway.run(gateway.sessions.end_all, SessionEnded(1001, "shutting down", "shutdown"))
        for peer in peers:
            peer.gets_close(1001, "shutting down")
        gateway.advance(5.2)
        self.assertEqual(0, self.successResultOf(done))
        gateway.recorded(*["101 shutdown"] * 3)


class ViolationTests(_SessionCase):
    """Who breaks RFC 6455 §5 or a limit gets the code; what came before the frame at fault is passed on."""

    def test_a_client_that_breaks_the_rules(self) -> None:
        for wrong in (
            ECHO,  # not masked (§5.1)
            frame(3, b"", mask=True),  # a reserved opcode (§5.2)
            frame(0, b"", mask=True),  # a continuation of nothing (§5.4)
            frame(9, b"", mask=True, fin=False),  # a control frame in pieces (§5.5)
            frame(9, b"x" * 126, mask=True),  # a control frame too long (§5.5)
            frame(8, b"\x03", mask=True),  # half a code (§5.5.1)
            frame(8, b"\x03\xed", mask=True),  # 1005 must not be sent (§7.4.1)
            b"\x82\xfe\x00\x7d",  # a length in more bytes than it needs (§5.2)
            b"\x82\xff\x80" + bytes(7),  # a length with its top bit set (§5.2)
        ):
            gateway, client, backend = self.opens()
            client.sends(HELLO + wrong + HELLO)
            backend.gets(HELLO)
            backend.gets_close(1001, "the client broke the protocol")
            client.sends(HELLO)
            backend.gets_nothing()
            backend.sends(frame(8, b"\x03\xe9"))
            client.gets_close(1002)
            client.gets_nothing()
            client.finds("closed")
            backend.finds("closed")
            outcome = self.ended(gateway, "client_protocol_error", "gateway", 1002)
            self.assertEqual(1, outcome.messages_in)
            self.assertEqual(0, gateway.pool.backends[0].failures)

    def test_a_backend_that_breaks_the_rules(self) -> None:
        for wrong in (HELLO, frame(3), frame(0)):
            gateway, client, backend = self.opens()
            backend.sends(ECHO + wrong + ECHO)
            backend.gets_close(1002)
            client.gets(ECHO)
            client.gets_close(1011, "the backend broke the protocol")
            client.sends(frame(8, b"\x03\xf3", mask=True))
            client.finds("closed")
            self.ended(gateway, "backend_protocol_error", "gateway", 1011)

    def test_a_message_above_the_limit_is_1009(self) -> None:
        pieces = frame(2, b"x" * 6, mask=True, fin=False) + frame(0, b"x" * 5, mask=True)
        for message in (frame(2, b"x" * 11, mask=True), pieces):
            gateway, client, backend = self.opens(limits={"max_message_bytes": 10})
            client.sends(frame(2, b"x" * 10, mask=True))
            client.sends(message)
            backend.gets(frame(2, b"x" * 10, mask=True))
            if message is pieces:
                backend.gets(message[:12])
            backend.gets_close(1001, "the client sent a message that is too big")
            backend.sends(frame(8, b"\x03\xe9"))
            client.gets_close(1009, "message too big")
            client.finds("closed")
            outcome = self.ended(gateway, "client_message_too_big", "gateway", 1009)
            self.assertEqual("the client sent a message that is too big: message too big", str(outcome.error))

    def test_the_limit_holds_for_backends_too(self) -> None:
        gateway, client, backend = self.opens(limits={"max_message_bytes": 10})
        backend.sends(frame(2, b"x" * 11))
        backend.gets_close(1009)
        client.gets_close(1001, "the backend sent a message that is too big")
        client.closes()
        backend.closes()
        self.ended(gateway, "backend_message_too_big", "gateway", 1001)

    def test_reserved_bits_need_an_extension(self) -> None:
        """RFC 6455 §5.2: RSV1 is for permessage-deflate, if that was agreed on; what is not known here may use all."""
        compressed, other = b"\xc1\x80\0\0\0\0", b"\x91\x80\0\0\0\0"
        for agreed, taken, refused in (
            ("", HELLO, compressed),
            ("permessage-deflate; client_no_context_takeover", compressed, other),
            ("x-made-up", other, frame(3, mask=True)),
        ):
            gateway = self.gateway(1)
            client = gateway.client()
            offer = f"Sec-WebSocket-Extensions: {agreed}\r\n\r\n".encode() if agreed else b"\r\n"
            client.sends(HANDSHAKE[:-2] + offer)
            backend = gateway.backend(0)
            backend.gets("GET /chat HTTP/1.1")
            backend.sends(SWITCHING[:-2] + offer)
            client.gets("HTTP/1.1 101")
            client.sends(taken)
            backend.gets(taken)
            client.sends(refused)
            backend.gets_close(1001)
            backend.sends(frame(8, b"\x03\xe9"))
            client.gets_close(1002, "reserved bits or opcode")
            client.finds("closed")
            self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_a_fault_behind_half_a_header_leaves_no_place_for_a_close_frame(self) -> None:
        """The first bytes of the frame at fault have gone already: the other side can only be closed."""
        gateway, client, backend = self.opens()
        client.sends(HELLO + frame(9, b"x" * 126, mask=True)[:1])
        backend.gets(HELLO + frame(9)[:1])
        client.sends(frame(9, b"x" * 126, mask=True)[1:])
        client.gets_close(1002)
        backend.gets_nothing()
        backend.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_a_fault_in_the_middle_of_the_other_sides_frame(self) -> None:
        gateway, client, backend = self.opens()
        backend.sends(ECHO[:4])
        client.gets(ECHO[:4])
        client.sends(ECHO)
        client.gets_nothing()
        backend.gets_close(1001)
        backend.sends(ECHO[4:])
        client.gets(ECHO[4:])
        backend.sends(frame(8))
        client.gets_close(1002)
        client.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_who_went_mad_and_does_not_leave_is_cut(self) -> None:
        gateway, client, backend = self.opens()
        backend.sends(HELLO)
        backend.gets_close(1002)
        client.gets_close(1011)
        gateway.advance(5.2)
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "backend_protocol_error", "gateway", 1011)


class LastWordTests(_SessionCase):
    """A client that broke a rule still gets the answers to what it sent before, then its close frame."""

    def test_in_place_of_the_backends_close_frame(self) -> None:
        for answer in (frame(8), frame(8, b"\x03\xe9"), frame(8, b"\x03\xe9the gateway said so"), frame(8) + ECHO):
            gateway, client, backend = self.violates()
            backend.sends(ECHO + answer)
            client.gets(ECHO)
            client.gets_close(1002)
            client.finds("closed")
            outcome = self.ended(gateway, "client_protocol_error", "gateway", 1002)
            self.assertEqual((1, client.wire.written), (outcome.messages_out, outcome.sent_bytes))

    def test_a_close_frame_that_comes_in_pieces(self) -> None:
        """What has gone on already cannot be taken back: then it is the backend's."""
        gateway, client, backend = self.violates()
        backend.sends(ECHO)
        client.gets(ECHO)
        backend.sends(frame(8, b"\x03\xe9"), 3)
        client.gets_close(1001)
        client.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1001)

    def test_a_backend_that_does_not_answer_is_waited_for_a_second(self) -> None:
        gateway, client, backend = self.violates()
        gateway.advance(0.9)
        client.gets_nothing()
        gateway.advance(0.3)
        client.gets_close(1002)
        backend.sends(ECHO)
        client.gets_nothing()
        gateway.advance(5.2)
        client.finds("closed")
        backend.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_a_backend_that_dies_or_goes_mad_instead(self) -> None:
        for end in (Party.closes, Party.resets, lambda backend: backend.sends(HELLO)):
            gateway, client, backend = self.violates()
            backend.sends(ECHO)
            client.gets(ECHO)
            end(backend)
            client.gets_close(1002)
            client.finds("closed")
            self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_a_client_that_dies_meanwhile(self) -> None:
        gateway, client, backend = self.violates()
        client.resets()
        backend.sends(ECHO + frame(8))
        backend.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1006)

    def test_a_frame_in_progress_when_the_time_is_over(self) -> None:
        gateway, client, backend = self.violates()
        backend.sends(ECHO[:3])
        client.gets(ECHO[:3])
        gateway.advance(1.2)
        client.gets_nothing()
        backend.sends(ECHO[3:] + ECHO)
        client.gets(ECHO[3:])
        client.gets_close(1002)
        backend.sends(frame(8))
        client.finds("closed")
        self.ended(gateway, "client_protocol_error", "gateway", 1002)

    def test_a_stalled_client_makes_nobody_keep_anything(self) -> None:
        """Frames that still go on wait with the backend while the client takes none, also when the session ends."""
        for ends in (True, False):
            gateway, client, backend = self.opens()
            client.stalls()
            backend.sends(frame(2, b"x" * 70000)[:60000])
            backend.is_held()
            if ends:
                self.session_ends(gateway)
            else:
                client.sends(frame(3, mask=True))
            backend.gets_something()
            backend.is_held()
            gateway.advance(1.2)
            backend.is_held()
            client.takes()
            client.gets_something()
            backend.is_read()
            gateway.advance(11)
            gateway.name_all()
