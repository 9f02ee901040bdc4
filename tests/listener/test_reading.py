"""The client's side: reading requests, pipelining, bodies. Its time limits and its end: `test_ending`."""

from __future__ import annotations

from tests.dialogue import GET, OK, POST, Dialogue, DialogueCase, Party

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
            (GET[:-2] + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
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

    def test_a_method_that_is_refused(self) -> None:
        """The answer says which are not (RFC 9110 §15.5.6)."""
        for wrong in (b"TRACE / HTTP/1.1\r\nHost: example.com\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(wrong)
            client.gets_page(405, "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS", "Connection: close")
            gateway.recorded("405 method_refused")

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
        """Some at a time, so that others have their turn."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(MOVED * 1000)
        self.assertEqual(1000, client.gets_something().count(b"HTTP/1.1 301 "))
        self.assertEqual(31, gateway.rests)
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

    def answered(self, gateway: Dialogue, client: Party) -> None:
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
