"""The client's side: reading requests, pipelining, time limits, limits on bodies, how a connection ends."""

from __future__ import annotations

from gateway.errors import ShuttingDown
from gateway.values import Reply
from tests.dialogue import GET, HANDSHAKE, OK, POST, Dialogue, DialogueCase, Peer

MOVED = b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n"
CHUNKED = b"POST /form HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(number: int) -> bytes:
    """One of several requests."""
    return b"GET /%d HTTP/1.1\r\nHost: example.com\r\n\r\n" % number


class HeadTests(DialogueCase):
    """Requests in any pieces (RFC 9112 §2, §3)."""

    def test_the_pieces_of_a_request_make_no_difference(self) -> None:
        request = b"\r\n" + CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n" + GET
        for piece in (1, 2, 3, 7, 30, 61, len(request)):
            gateway = self.gateway(backends=1)
            client = gateway.client()
            client.sends(request, piece)
            backend = gateway.backend(0)
            backend.gets("POST /form", "Transfer-Encoding: chunked")
            chunks = backend.gets_something()
            self.assertEqual(b"abcde", b"".join(chunks.split(b"\r\n")[1::2]))
            backend.sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            backend.gets("GET / ")
            backend.sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            gateway.recorded("200 ok", "200 ok")

    def test_what_is_no_request_is_refused_and_the_connection_closed(self) -> None:
        for wrong, status, cause in (
            (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
            (b"GET / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400, "bad_request"),
            (b"TRACE / HTTP/1.1\r\nHost: example.com\r\n\r\n", 405, "method_refused"),
            (GET[:-2] + b"Expect: tea\r\n\r\n", 417, "expectation_failed"),
            (b"GET / HTTP/2.0\r\nHost: example.com\r\n\r\n", 505, "version_not_supported"),
            (GET[:-2] + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "not_implemented"),
        ):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(wrong)
            client.gets_page(status, "Connection: close")
            self.assertIn(client.wire.ending, ("closed", "half-closed"))
            outcome = gateway.recorded(f"{status} {cause}")
            self.assertEqual((len(wrong), None), (outcome.received_bytes, outcome.head))
            gateway.connections(0, 0)

    def test_a_refusal_is_not_overtaken_by_a_reset(self) -> None:
        """RFC 9112 §9.6: more of what was refused is on its way, so our half is closed first."""
        gateway = self.gateway(limits={"max_head_bytes": 2000})
        client = gateway.client()
        client.sends(GET[:-2] + b"X-Long: " + b"a" * 3000)
        client.gets_page(431, "Connection: close")
        client.finds("half-closed")
        client.sends(b"a" * 5000 + b"\r\n\r\n" + GET)
        client.half_closes()
        client.finds("closed")
        gateway.recorded("431 head_too_large")

    def test_limits_are_those_of_the_configuration(self) -> None:
        gateway = self.gateway(limits={"max_head_bytes": 2000, "max_fields": 8, "max_target_bytes": 300})
        for request, status in (
            (GET[:-2] + b"X-A: " + b"a" * 2000 + b"\r\n\r\n", 431),
            (GET[:-2] + b"X-A: a\r\n" * 8 + b"\r\n", 431),
            (GET.replace(b"/ ", b"/" + b"a" * 300 + b" "), 414),
        ):
            client = gateway.client()
            client.sends(request)
            client.gets_page(status, "Connection: close")
        gateway.recorded("431 head_too_large", "431 head_too_large", "414 target_too_long")

    def test_http_1_0_keeps_the_connection_only_if_asked_to(self) -> None:
        """RFC 9112 §9.3."""
        for extra, connection, ending in (
            (b"", "Connection: close", "closed"),
            (b"Connection: keep-alive\r\n", "Connection: keep-alive", "open"),
        ):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(GET.replace(b"1.1", b"1.0")[:-2] + extra + b"\r\n")
            gateway.backend(0).gets("GET / HTTP/1.1")
            gateway.backend(0).sends(OK)
            client.gets("HTTP/1.1 200 OK", connection, body=b"hello")
            client.finds(ending)
            gateway.recorded("200 ok")

    def test_a_client_that_asks_for_it_is_closed(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET[:-2] + b"Connection: close\r\n\r\n")
        gateway.backend(0).gets("GET / HTTP/1.1", without=["Connection"])
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        client.finds("closed")
        gateway.recorded("200 ok")


class PipeliningTests(DialogueCase):
    """Several requests on one connection (RFC 9112 §9.3.2)."""

    def test_a_thousand_redirects_in_one_segment(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(MOVED * 1000)
        self.assertEqual(1000, client.gets_something().count(b"HTTP/1.1 301 "))
        gateway.recorded(*["301 redirect"] * 1000)

    def test_a_thousand_answers_of_all_kinds_in_one_segment(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends((GET.replace(b"example.com", b"other") + MOVED) * 500)
        for _ in range(500):
            client.gets_page(404)
            client.gets_page(301)
        gateway.recorded(*["404 no_route", "301 redirect"] * 500)

    def test_a_hundred_requests_are_answered_in_order(self) -> None:
        gateway = self.gateway(backends=1)
        client = gateway.client()
        client.sends(b"".join(get(number) for number in range(100)))
        client.is_held()
        for number in range(100):
            gateway.backend(0).gets(f"GET /{number} HTTP/1.1")
            gateway.backend(0).gets_nothing()
            gateway.backend(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d" % number)
            client.gets("HTTP/1.1 200 OK", body=b"%02d" % number)
        client.is_read()
        gateway.connections(1)
        gateway.recorded(*["200 ok"] * 100)

    def test_each_outcome_has_its_own_bytes(self) -> None:
        gateway = self.gateway(backends=1)
        client = gateway.client()
        client.sends(POST + GET + MOVED)
        for body in (b"abcde", b""):
            gateway.backend(0).gets("", body=body)
            gateway.backend(0).sends(OK)
        client.gets_something()
        gateway.recorded("200 ok", "200 ok", "301 redirect")
        received = [outcome.received_bytes for outcome in gateway.recorder.outcomes]
        self.assertEqual([len(POST), len(GET), len(MOVED)], received)

    def test_half_a_request_behind_a_whole_one(self) -> None:
        gateway = self.gateway(limits={"head_timeout": 10})
        client = gateway.client()
        client.sends(MOVED + GET[:20])
        client.gets_page(301)
        client.is_read()
        gateway.advance(9)
        client.sends(GET[20:])
        gateway.backend(0).gets("GET / ")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("301 redirect", "200 ok")

    def test_nothing_behind_the_last_request_is_read(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET[:-2] + b"Connection: close\r\n\r\n" + MOVED)
        gateway.backend(0).gets("GET / ")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        client.finds("half-closed")
        gateway.recorded("200 ok")

    def test_what_a_half_closed_client_sent_ahead_is_answered(self) -> None:
        gateway = self.gateway(backends=1)
        client = gateway.client()
        client.sends(get(1) + get(2) + MOVED)
        client.half_closes()
        for number in (1, 2):
            gateway.backend(0).gets(f"GET /{number}")
            gateway.backend(0).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
        client.gets_page(301)
        client.finds("closed")
        gateway.recorded("200 ok", "200 ok", "301 redirect")

    def test_a_client_that_takes_no_answers_is_not_read(self) -> None:
        """Neither what comes in one segment, nor what comes bit by bit, may fill the queue."""
        for together in (True, False):
            gateway = self.gateway()
            client = gateway.client()
            client.stalls()
            client.sends(MOVED * 500, None if together else len(MOVED))
            self.assertLess(client.wire.queued, 40000 if together else 1000)
            client.is_held()
            client.takes()
            self.assertEqual(500, client.gets_something().count(b"HTTP/1.1 301 "))
            client.is_read()
            gateway.recorded(*["301 redirect"] * 500)

    def test_a_client_that_takes_no_answers_is_cut_in_the_end(self) -> None:
        gateway = self.gateway(limits={"send_timeout": 20, "keep_alive_timeout": 20})
        client = gateway.client()
        client.stalls()
        for _ in range(3):
            client.sends(MOVED)
        gateway.advance(80)
        client.finds("reset")
        gateway.recorded("301 redirect")


class BodyTests(DialogueCase):
    """Request bodies: framing, limits, Expect (RFC 9110 §10.1.1, RFC 9112 §6, §7)."""

    def answered(self, gateway: Dialogue, client: Peer) -> None:
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_trailers_go_along(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(CHUNKED)
        gateway.backend(0).gets("POST", "Transfer-Encoding: chunked")
        client.sends(b"3;x=y\r\nabc\r\n")
        gateway.backend(0).gets(b"3\r\nabc\r\n")
        client.sends(b"0\r\nX-Sum: 1\r\n\r\n")
        gateway.backend(0).gets(b"0\r\nX-Sum: 1\r\n\r\n")
        self.answered(gateway, client)

    def test_the_trailers_of_one_request_are_not_those_of_the_next(self) -> None:
        gateway = self.gateway(backends=1)
        client = gateway.client()
        client.sends(CHUNKED + b"0\r\nX-Sum: 1\r\n\r\n" + CHUNKED + b"0\r\n\r\n")
        gateway.backend(0).gets("POST", body=b"0\r\nX-Sum: 1\r\n\r\n")
        self.answered(gateway, client)
        gateway.backend(0).gets("POST", body=b"0\r\n\r\n")
        self.answered(gateway, client)

    def test_a_client_that_waits_for_100_gets_that_of_the_backend(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST[:-5].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        gateway.backend(0).gets("POST", "Expect: 100-continue")
        gateway.backend(0).sends(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.gets(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sends(b"abcde")
        gateway.backend(0).gets(b"abcde")
        self.answered(gateway, client)

    def test_a_client_that_waits_for_100_may_get_a_refusal(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST[:-5].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        gateway.backend(0).gets("POST", "Expect: 100-continue")
        gateway.backend(0).sends(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        client.gets("HTTP/1.1 401", "Connection: close")
        client.finds("half-closed")
        gateway.recorded("401 ok")

    def test_a_body_above_the_limit_is_413_and_never_taken_for_a_request(self) -> None:
        gateway = self.gateway(limits={"max_body_bytes": 100})
        client = gateway.client()
        client.sends(POST[:-5].replace(b": 5", b": 101") + MOVED)
        client.gets_page(413, "Connection: close")
        client.finds("half-closed")
        client.sends(MOVED * 3)
        client.gets_nothing()
        gateway.connections(0, 0)
        gateway.recorded("413 content_too_large")

    def test_a_body_of_just_the_limit_is_fine(self) -> None:
        gateway = self.gateway(limits={"max_body_bytes": 5})
        for request, body in ((POST, b"abcde"), (CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n")):
            client = gateway.client()
            client.sends(request)
            number = 0 if request is POST else 1
            gateway.backend(number).gets("POST", body=body)
            gateway.backend(number).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            gateway.recorded("200 ok")

    def test_a_chunked_body_above_the_limit_is_413(self) -> None:
        for first in (b"", b"2\r\nab\r\n"):
            gateway = self.gateway(limits={"max_body_bytes": 5})
            client = gateway.client()
            client.sends(CHUNKED + first)
            gateway.backend(0).gets("POST", body=first)
            client.sends(b"4\r\nabcd\r\n2\r\nef\r\n")
            client.gets_page(413, "Connection: close")
            gateway.backend(0).finds("reset")
            gateway.recorded("413 content_too_large")

    def test_a_body_that_breaks_its_framing_is_400(self) -> None:
        for before in (b"", b"3\r\nabc\r\n"):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(CHUNKED + before)
            gateway.backend(0).gets("POST", body=before)
            client.sends(b"nonsense\r\n")
            client.gets_page(400, "Connection: close")
            gateway.backend(0).finds("reset")
            gateway.recorded("400 bad_request")

    def test_a_body_that_is_wrong_from_the_start_never_reaches_a_backend(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(CHUNKED + b"nonsense\r\n")
        client.gets_page(400, "Connection: close")
        gateway.connections(0, 0)
        gateway.recorded("400 bad_request")

    def test_a_body_that_goes_wrong_behind_the_beginning_of_a_response_cuts_it(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(CHUNKED)
        gateway.backend(0).gets("POST")
        gateway.backend(0).sends(OK[:-1])
        client.gets("HTTP/1.1 200 OK", body=b"hell")
        client.sends(b"nonsense\r\n")
        client.finds("reset")
        gateway.recorded("200 bad_request")

    def test_a_redirect_does_not_wait_for_the_body(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST.replace(b"/form", b"/moved/")[:-1])
        client.gets_page(301, "Connection: close")
        client.finds("half-closed")
        client.half_closes()
        client.finds("closed")
        gateway.recorded("301 redirect")

    def test_a_redirect_of_a_whole_request_keeps_the_connection(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST.replace(b"/form", b"/moved/"))
        client.gets_page(301, without=["Connection"])
        gateway.recorded("301 redirect")


class TimeLimitTests(DialogueCase):
    """What a client may take, by the clock."""

    def test_a_head_has_60_s_in_total(self) -> None:
        gateway = self.gateway(limits={"head_timeout": 60, "keep_alive_timeout": 75})
        client = gateway.client()
        gateway.advance(70)
        for _ in range(11):
            client.sends(b"G" if not client.wire.written else b"E")
            gateway.advance(5.3)
        gateway.advance(1)
        client.finds("open")
        gateway.advance(1)
        client.gets_page(408, "Connection: close")
        gateway.recorded("408 request_timeout")

    def test_empty_lines_do_not_begin_a_request(self) -> None:
        gateway = self.gateway(limits={"head_timeout": 10, "keep_alive_timeout": 75})
        client = gateway.client()
        client.sends(b"\r\n")
        gateway.advance(70)
        client.finds("open")
        gateway.advance(6)
        client.finds("closed")

    def test_an_idle_client_is_closed_without_a_word(self) -> None:
        gateway = self.gateway(limits={"keep_alive_timeout": 75})
        client = gateway.client()
        gateway.advance(74)
        client.sends(MOVED)
        client.gets_page(301)
        gateway.advance(74.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("closed")
        gateway.recorded("301 redirect")

    def test_a_client_that_does_not_read_is_cut(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 30}, limits={"send_timeout": 60})
        client, backend = self.stalled(gateway)
        gateway.advance(59)
        client.finds("open")
        gateway.advance(32)
        client.finds("reset")
        backend.finds("reset")
        gateway.recorded("200 client_gone")

    def test_a_client_that_reads_slowly_is_not_cut(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 30}, limits={"send_timeout": 60})
        client, backend = self.stalled(gateway)
        for _ in range(10):
            gateway.advance(55)
            client.takes(50)
        client.finds("open")
        client.takes()
        client.gets(b"a" * 999)
        client.stalls()
        backend.sends(b"b" * 5000)  # more than ever waited before: that the queue is longer now is no sign of a standstill
        gateway.advance(31)
        client.takes(100)
        gateway.advance(61)
        client.finds("open")
        client.takes()
        client.gets(b"b" * 5000)
        backend.sends(b"c" * (94000))
        client.gets(b"c" * (94000))
        gateway.recorded("200 ok")

    def test_a_client_that_does_not_take_the_end_is_cut(self) -> None:
        gateway = self.gateway(limits={"send_timeout": 20})
        client = gateway.client()
        client.stalls()
        client.sends(MOVED[:-2] + b"Connection: close\r\n\r\n")
        client.finds("open")
        gateway.advance(45)
        client.finds("reset")
        gateway.recorded("301 redirect")

    def stalled(self, gateway: Dialogue) -> tuple[Peer, Peer]:
        """A client that has got the head and one byte of a long response and takes no more."""
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\na")
        client.gets("HTTP/1.1 200 OK", body=b"a")
        client.stalls()
        backend.sends(b"a" * 999)
        backend.is_held()
        return client, backend

    def test_lingering_is_bounded_in_time_and_in_bytes(self) -> None:
        for patience, data in ((2.2, b""), (0, b"a" * 1100000)):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(POST.replace(b"/form", b"/moved/")[:-1])
            client.gets_page(301, "Connection: close")
            client.finds("half-closed")
            gateway.advance(patience)
            if data:
                client.sends(data, 65536)
            client.finds("reset")
            gateway.recorded("301 redirect")


class EndTests(DialogueCase):
    """The gateway stops, or somebody goes."""

    def test_stop_closes_idle_clients_and_lets_the_others_finish(self) -> None:
        gateway = self.gateway()
        idle, busy, halfway = gateway.client(), gateway.client(), gateway.client()
        busy.sends(GET)
        halfway.sends(GET[:10])
        gateway.shared.stopping = True
        for client in (idle, busy, halfway):
            gateway.run(client.wire.protocol.stop)
        idle.finds("closed")
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(OK)
        busy.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        busy.finds("closed")
        halfway.sends(GET[10:])
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK)
        halfway.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        halfway.finds("closed")
        gateway.recorded("200 ok", "200 ok")

    def test_stop_leaves_a_session_to_the_sessions(self) -> None:
        gateway = self.gateway()
        client, backend = gateway.opens_websocket()
        gateway.run(client.wire.protocol.stop)
        client.finds("open")
        client.closes()
        backend.gets_close(1001)
        backend.closes()
        gateway.recorded("101 client_gone")

    def test_cut_answers_who_waits_and_cuts_everybody(self) -> None:
        gateway = self.gateway()
        waits, reads, idle = gateway.client(), gateway.client(), gateway.client()
        waits.sends(GET)
        reads.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK[:-1])
        reads.gets("HTTP/1.1 200 OK", body=b"hell")
        for client in (waits, reads, idle):
            gateway.run(client.wire.protocol.cut)
        waits.gets_page(503)
        for client in (waits, reads, idle):
            client.finds("reset")
        gateway.backend(0).finds("reset")
        gateway.backend(1).finds("reset")
        self.assertIsInstance(gateway.recorded("503 shutting_down", "200 shutting_down").error, ShuttingDown)

    def test_a_client_that_leaves_without_a_request_leaves_no_trace(self) -> None:
        for leave in (Peer.closes, Peer.resets):
            for sent in (b"", GET[:20]):
                gateway = self.gateway()
                client = gateway.client()
                if sent:
                    client.sends(sent)
                leave(client)
                client.finds("closed")
                self.assertEqual([], gateway.recorder.outcomes)

    def test_a_reply_that_cannot_be_written_costs_only_its_connection(self) -> None:
        class Router:
            def route(self, head: object, listener: str) -> Reply:
                return Reply(302, (("Location", "/\r\nSet-Cookie: a=b"),), b"", "reply")

        gateway = self.gateway(router=Router())
        client = gateway.client()
        client.sends(GET)
        client.finds("closed")
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
        gateway.recorded("302 reply")

    def test_early_bytes_of_a_refused_handshake_are_no_request(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(HANDSHAKE + b"\x81\x82\0\0\0\0hi")
        gateway.backend(0).gets("GET /chat")
        gateway.backend(0).sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        client.gets("HTTP/1.1 403")
        client.gets_page(400, "Connection: close")
        gateway.recorded("403 ok", "400 bad_request")
