"""The retry rule of `gateway.exchange.attempts`: which requests are sent again, where to, and how often."""

from __future__ import annotations

from typing import Any

from gateway.errors import BackendTLSFailed
from gateway.exchange.attempts import MOST_ATTEMPTS
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase, Party, frame

BIG_HEAD = b"PUT /big HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000\r\n\r\n"
PUT = POST.replace(b"POST", b"PUT")
CHUNKED = b"PUT /form HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


class RetryTests(DialogueCase):
    """Only where nothing was sent, or the method is idempotent and nothing came back (RFC 9110 §9.2.2)."""

    def reuse(self, gateway: Dialogue) -> Party:
        """A client whose first request has left an idle connection to the only backend."""
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        return client

    def test_a_refused_connection_sends_any_method_to_the_next_backend(self) -> None:
        for request in (GET, POST):
            gateway = self.gateway()
            gateway.place(0).manner = "refuse"
            client = gateway.client()
            client.sends(request)
            gateway.backend(1).gets(request[:4].decode(), body=request.partition(b"\r\n\r\n")[2])
            gateway.backend(1).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            outcome = gateway.recorded("200 ok")
            self.assertEqual((2, "10.0.0.2:9000", None), (outcome.attempts, outcome.backend.name, outcome.error))
            self.assertEqual([1, 0], [backend.failures for backend in gateway.pool.backends])

    def test_a_session_after_a_refusal_knows_nothing_of_it(self) -> None:
        gateway = self.gateway()
        gateway.place(0).manner = "refuse"
        client = gateway.client()
        client.sends(HANDSHAKE)
        backend = gateway.backend(1)
        backend.gets_something()
        backend.sends(SWITCHING)
        client.gets_something()
        self.assertIsNone(gateway.recorder.begun[0].error)
        client.sends(frame(8, mask=True))
        backend.gets_something()
        backend.sends(frame(8))
        client.gets(frame(8))
        client.finds("closed")
        backend.finds("closed")
        outcome = gateway.recorded("101 ok")
        self.assertEqual((2, "10.0.0.2:9000", None), (outcome.attempts, outcome.backend.name, outcome.error))
        self.assertEqual([1, 0], [backend.failures for backend in gateway.pool.backends])

    def test_when_every_backend_refuses_the_last_refusal_is_what_is_logged(self) -> None:
        gateway = self.gateway()
        gateway.place(0).manner = gateway.place(1).manner = "refuse"
        client = gateway.client()
        client.sends(GET)
        client.gets_page(502)
        outcome = gateway.recorded("502 connect_failed")
        self.assertIn("10.0.0.2:9000", str(outcome.error))

    def test_attempts_are_bounded(self) -> None:
        gateway = self.gateway(backends=5)
        for number in range(5):
            gateway.place(number).manner = "refuse"
        client = gateway.client()
        client.sends(GET)
        client.gets_page(502)
        self.assertEqual(MOST_ATTEMPTS, gateway.recorded("502 connect_failed").attempts)

    def test_attempts_are_bounded_in_time_by_the_request_timeout(self) -> None:
        gateway = self.gateway(backends=3, settings={"connect_timeout": 5.0, "request_timeout": 8})
        for number in range(3):
            gateway.place(number).manner = "hang"
        client = gateway.client()
        client.sends(GET)
        gateway.advance(9.5)
        client.gets_nothing()
        gateway.advance(0.5)
        client.gets_page(502)
        outcome = gateway.recorded("502 connect_failed")
        self.assertEqual(2, outcome.attempts)
        self.assertIn("within 5 s", str(outcome.error))

    def test_a_stale_connection_is_replaced_by_a_new_one_to_the_same_backend(self) -> None:
        """RFC 9112 §9.3.1: a closed idle connection is no sign that the request was not wanted."""
        for request in (GET, PUT, GET.replace(b"GET", b"DELETE"), GET.replace(b"GET", b"OPTIONS")):
            gateway = self.gateway()
            client = self.reuse(gateway)
            gateway.pool._select = lambda candidates, head: candidates[0]
            client.sends(request)
            gateway.backend(0).gets(request[:3].decode(), body=request.partition(b"\r\n\r\n")[2])
            gateway.pool._select = lambda candidates, head: candidates[-1]
            gateway.backend(0).closes()
            gateway.connections(2, 0)
            gateway.backend(0).gets(request[:3].decode(), body=request.partition(b"\r\n\r\n")[2])
            gateway.backend(0).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            self.assertEqual(2, gateway.recorded("200 ok").attempts)
            self.assertEqual(0, gateway.pool.backends[0].failures)

    def test_behind_a_stale_connection_no_other_idle_one_is_trusted(self) -> None:
        gateway = self.gateway(backends=1)
        clients = [gateway.client(), gateway.client()]
        for client in clients:
            client.sends(GET)
        for number, client in enumerate(clients):
            gateway.backend(0, number).gets("GET")
            gateway.backend(0, number).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
        clients[0].sends(GET)
        gateway.backend(0, 1).gets("GET")
        gateway.backend(0, 1).resets()
        gateway.connections(3)
        gateway.backend(0, 2).gets("GET")
        gateway.backend(0, 2).sends(OK)
        clients[0].gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok", "200 ok", "200 ok")

    def test_a_post_on_a_stale_connection_is_not_sent_twice(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        client.sends(POST)
        gateway.backend(0).gets("POST /form", body=b"abcde")
        gateway.backend(0).closes()
        client.gets_page(502)
        gateway.connections(1)
        gateway.recorded("502 backend_closed")

    def test_what_cannot_be_sent_twice_is_not_sent_to_who_has_left(self) -> None:
        """Nobody has told yet that the idle connection is closed, and the body is gone when it turns out."""
        head = BIG_HEAD.replace(b"PUT", b"GET")
        for request, rest in (
            (POST, b""),
            (BIG_HEAD + b"a" * 10, b"b" * 99990),
            (head, b"b" * 100000),
            (head + b"a" * 100000, b""),
        ):
            gateway = self.gateway(backends=1)
            client = self.reuse(gateway)
            gateway.backend(0).wire.peer_left = True
            client.sends(request)
            gateway.connections(2)
            gateway.backend(0).gets(request[:4].decode(), body=request.partition(b"\r\n\r\n")[2])
            if rest:
                client.sends(rest)
                gateway.backend(0).gets(rest)
            gateway.backend(0).sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            self.assertEqual(1, gateway.recorded("200 ok").attempts)

    def test_nothing_is_sent_twice_after_a_byte_of_the_response(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(b"H")
        gateway.backend(0).closes()
        client.gets_page(502)
        gateway.connections(1)
        gateway.recorded("502 backend_closed")

    def test_an_interim_response_is_a_response(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        client.gets("HTTP/1.1 103")
        gateway.backend(0).closes()
        client.gets_page(502)
        gateway.recorded("502 backend_closed")

    def test_a_new_connection_that_is_closed_sends_a_get_to_another_backend(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(0).resets()
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        self.assertEqual([1, 0], [backend.failures for backend in gateway.pool.backends])

    def test_a_body_that_has_been_streamed_is_not_repeated(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        client.sends(BIG_HEAD + b"a" * 10)
        gateway.backend(0).gets("PUT", body=b"a" * 10)
        client.sends(b"b" * 10)
        gateway.backend(0).gets(b"b" * 10)
        gateway.backend(0).closes()
        client.gets_page(502, "Connection: close")
        gateway.recorded("502 backend_closed")

    def test_a_first_part_above_64_kib_is_not_repeated(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        client.sends(BIG_HEAD + b"a" * 70000)
        gateway.backend(0).gets("PUT", body=b"a" * 70000)
        gateway.backend(0).closes()
        client.gets_page(502, "Connection: close")
        gateway.connections(1)
        gateway.recorded("502 backend_closed")

    def test_what_is_not_sent_again_is_not_kept(self) -> None:
        """At most what a retry needs, and only until there is none any more."""
        for request, kept in (
            (BIG_HEAD.replace(b"PUT", b"POST") + b"a" * 100000, 0),
            (BIG_HEAD + b"a" * 100000, 0),
            (BIG_HEAD + b"a" * 65536, 65536),
            (PUT, 5),
        ):
            gateway = self.gateway(backends=1)
            client = gateway.client()
            client.sends(request)
            gateway.backend(0).gets_something()
            exchange = client.wire.protocol._exchange
            self.assertEqual(kept, len(exchange._pending))
            if not exchange._complete:
                client.sends(b"b" * 10)
                gateway.backend(0).gets(b"b" * 10)
                self.assertEqual(b"", exchange._pending)
            gateway.backend(0).sends(OK[:-1])
            self.assertEqual(b"", exchange._pending)
            gateway.backend(0).resets()
            client.gets_something()
            gateway.recorded("200 backend_closed")

    def test_a_first_part_that_is_repeated_goes_on_where_it_was(self) -> None:
        """Also if the stale connection had stopped to take bytes: the client must be read again."""
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        gateway.backend(0).stalls()
        client.sends(BIG_HEAD + b"a" * 40000)
        client.is_held()
        gateway.backend(0).resets()
        gateway.backend(0).gets("PUT", "Content-Length: 100000", body=b"a" * 40000)
        client.is_read()
        client.sends(b"b" * 60000)
        gateway.backend(0).gets(b"b" * 60000)
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_a_chunked_first_part_and_its_trailers_are_repeated(self) -> None:
        gateway = self.gateway(backends=1)
        client = self.reuse(gateway)
        body = b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
        client.sends(CHUNKED + body)
        gateway.backend(0).gets("PUT", body=body)
        gateway.backend(0).closes()
        gateway.backend(0).gets("PUT", "Transfer-Encoding: chunked", body=body)
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_an_idle_connection_after_a_refusal_gets_the_rest_of_the_body(self) -> None:
        gateway = self.gateway()
        gateway.pool.set_health(gateway.pool.backends[0], False, "not yet")
        client = gateway.client()
        client.sends(GET)
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.pool.set_health(gateway.pool.backends[0], True, "now")
        gateway.pool._select = lambda candidates, head: candidates[0]
        gateway.place(0).manner = "refuse"
        client.sends(PUT[:-2])
        gateway.connections(0, 1)
        gateway.backend(1).gets("PUT", body=b"abc")
        client.is_read()
        client.sends(b"de")
        gateway.backend(1).gets(b"de")
        gateway.backend(1).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok", "200 ok")

    def test_a_backend_that_cannot_be_spoken_to_over_tls_is_like_a_refusal(self) -> None:
        def tls_for(host: str) -> Any:
            raise BackendTLSFailed("no name")

        gateway = self.gateway(tls_for=tls_for)
        client = gateway.client()
        client.sends(GET)
        client.gets_page(502)
        gateway.recorded("502 backend_tls_failed")
