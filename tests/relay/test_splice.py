"""Tunnels of other protocols: opaque bytes, half-close, the idle limit, and who ended it."""

from __future__ import annotations

from gateway.errors import SessionEnded
from gateway.values import Outcome
from tests.dialogue import GET, Dialogue, DialogueCase, Party

REQUEST = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: thing/2\r\n\r\n"
RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: thing/2\r\n\r\n"


class SpliceTests(DialogueCase):
    """`Splice`."""

    def opens(self, ahead: bytes = b"", early: bytes = b"", **options: object) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(1, **options)
        client = gateway.client()
        client.sends(REQUEST + ahead)
        backend = gateway.backend(0)
        backend.gets("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: thing/2")
        backend.sends(RESPONSE + early)
        client.gets("HTTP/1.1 101 Switching Protocols", "Upgrade: thing/2", "Connection: Upgrade", body=early)
        backend.gets(ahead)
        return gateway, client, backend

    def ended(self, gateway: Dialogue, cause: str, by: str) -> Outcome:
        outcome = gateway.recorded(f"101 {cause}")
        self.assertEqual((by, False, 101), (outcome.closed_by, outcome.websocket, outcome.upstream_status))
        self.assertEqual([outcome], gateway.recorder.begun)
        return outcome

    def test_bytes_pass_both_ways_whatever_they_are(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(b"\x00\xffGET / HTTP/1.1\r\n\r\n")
        backend.gets(b"\x00\xffGET / HTTP/1.1\r\n\r\n")
        backend.sends(b"\x88\x02\x03\xe8")
        client.gets(b"\x88\x02\x03\xe8")
        client.closes()
        backend.closes()
        outcome = self.ended(gateway, "ok", "client")
        self.assertEqual(len(REQUEST) + 20, outcome.received_bytes)
        self.assertEqual(client.wire.written, outcome.sent_bytes)

    def test_bytes_that_arrive_with_the_handshake_are_not_lost(self) -> None:
        gateway, client, backend = self.opens(ahead=b"ahead", early=b"early")
        client.is_read()
        client.sends(b"more")
        backend.gets(b"more")
        client.resets()
        backend.finds("reset")
        outcome = self.ended(gateway, "client_reset", "client")
        self.assertEqual((len(REQUEST) + 9, client.wire.written), (outcome.received_bytes, outcome.sent_bytes))

    def test_a_half_is_closed_and_the_other_goes_on(self) -> None:
        for first, second, by in ((0, 1, "client"), (1, 0, "backend")):
            gateway, *sides = self.opens()
            sides[first].half_closes()
            sides[second].finds("half-closed")
            sides[first].finds("open")
            sides[second].sends(b"still here")
            sides[first].gets(b"still here")
            sides[second].half_closes()
            sides[first].finds("closed")
            sides[second].finds("closed")
            self.ended(gateway, "ok", by)

    def test_a_reset_is_passed_on(self) -> None:
        for first, second, by in ((0, 1, "client"), (1, 0, "backend")):
            gateway, *sides = self.opens()
            sides[first].resets()
            sides[second].finds("reset")
            self.ended(gateway, f"{by}_reset", by)

    def test_a_reset_is_passed_on_behind_what_came_before_it(self) -> None:
        """Not before the peer's kernel has all of it: a reset would destroy it there."""
        for first, second, by in ((0, 1, "client"), (1, 0, "backend")):
            gateway, *sides = self.opens()
            sides[second].stalls()
            sides[second].wire.unacknowledged = 500
            sides[first].sends(b"a" * 1000)
            sides[first].resets()
            sides[second].finds("open")
            sides[second].takes()
            gateway.advance(0.3)
            sides[second].finds("open")
            sides[second].half_closes()
            sides[second].sends(b"nobody hears this")
            sides[second].finds("open")
            sides[second].wire.unacknowledged = 0
            gateway.advance(0.3)
            sides[second].gets(b"a" * 1000)
            sides[second].finds("reset")
            self.ended(gateway, f"{by}_reset", by)

    def test_who_takes_nothing_of_what_came_before_a_reset_is_reset_in_the_end(self) -> None:
        gateway, client, backend = self.opens(limits={"send_timeout": 60})
        client.stalls()
        backend.sends(b"a" * 1000)
        backend.resets()
        for _ in range(3):
            gateway.advance(59)
            client.takes(1)
        client.gets(b"aaa")
        gateway.advance(59.8)
        client.finds("open")
        gateway.advance(1)
        client.finds("reset")
        self.ended(gateway, "backend_reset", "backend")

    def test_an_end_that_may_be_too_early_is_passed_on_behind_what_came_before_it(self) -> None:
        for first, second, by in ((0, 1, "client"), (1, 0, "backend")):
            gateway, *sides = self.opens()
            sides[second].stalls()
            sides[first].sends(b"a" * 1000)
            sides[first].truncates()
            sides[second].finds("open")
            sides[second].takes()
            sides[second].gets(b"a" * 1000)
            sides[second].finds("truncated")
            self.ended(gateway, f"{by}_truncated", by)

    def test_a_reset_behind_a_half_close_does_not_change_who_ended_it(self) -> None:
        gateway, client, backend = self.opens()
        client.half_closes()
        backend.resets()
        client.finds("reset")
        self.ended(gateway, "ok", "client")

    def test_silence_of_both_ends_it(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30})
        for side, other in ((client, backend), (backend, client), (client, backend)):
            gateway.advance(29)
            side.sends(b"x")
            other.gets(b"x")
        gateway.advance(29.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("reset")
        backend.finds("reset")
        error = self.ended(gateway, "idle_timeout", "gateway").error
        self.assertIsInstance(error, SessionEnded)

    def test_the_idle_limit_of_sessions_comes_before_the_request_timeout(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30, "web_socket_idle_timeout": 600})
        gateway.advance(599)
        client.finds("open")
        gateway.advance(1.2)
        client.finds("reset")
        self.ended(gateway, "idle_timeout", "gateway")

    def test_a_half_that_stays_open_is_ended_by_the_idle_limit(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30})
        client.half_closes()
        backend.finds("half-closed")
        gateway.advance(30.2)
        backend.finds("reset")
        self.ended(gateway, "ok", "client")

    def test_who_takes_nothing_is_ended(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30}, limits={"send_timeout": 60})
        client.stalls()
        backend.sends(b"last words")
        backend.half_closes()
        client.half_closes()
        gateway.advance(59.9)
        client.finds("open")
        gateway.advance(5.3)
        client.finds("reset")
        backend.finds("reset")
        self.ended(gateway, "ok", "client")

    def test_who_takes_it_slowly_is_not_idle(self) -> None:
        gateway, client, backend = self.opens(settings={"request_timeout": 30}, limits={"send_timeout": 60})
        client.stalls()
        backend.sends(b"a" * 1000)
        for _ in range(20):
            gateway.advance(50)
            client.finds("open")
            client.takes(1)
        client.takes()
        client.gets(b"a" * 1000)
        backend.sends(b"b")
        client.gets(b"b")
        gateway.advance(29.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("reset")
        self.ended(gateway, "idle_timeout", "gateway")

    def test_the_gateway_may_end_it(self) -> None:
        gateway, client, backend = self.opens()
        session = next(iter(gateway.sessions))
        for _ in range(2):
            gateway.run(session.end, SessionEnded(1001, "going away", "shutdown"))
        client.finds("reset")
        backend.finds("reset")
        self.assertEqual("going away", str(self.ended(gateway, "shutdown", "gateway").error))

    def test_its_counters_can_be_looked_at_meanwhile(self) -> None:
        gateway, client, backend = self.opens()
        client.sends(b"12345")
        backend.gets(b"12345")
        session = next(iter(gateway.sessions))
        session.snapshot()
        self.assertEqual(len(REQUEST) + 5, session.outcome.received_bytes)
        self.assertEqual(1, gateway.pool.backends[0].active)
        client.closes()
        backend.closes()
        self.ended(gateway, "ok", "client")
