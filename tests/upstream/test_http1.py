"""The backend's side: reading responses, translating their framing, and which connections are used again."""

from __future__ import annotations

from tests.dialogue import GET, OK, POST, Dialogue, DialogueCase, Party

HEAD = GET.replace(b"GET", b"HEAD")
GET_1_0 = GET.replace(b"1.1", b"1.0")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"


class _ResponseCase(DialogueCase):
    def asks(self, request: bytes = GET, **options: object) -> tuple[Dialogue, Party, Party]:
        """A client's request has reached the only backend."""
        gateway = self.gateway(1, **options)
        client = gateway.client()
        client.sends(request)
        backend = gateway.backend(0)
        backend.gets_something()
        return gateway, client, backend

    def used_again(self, gateway: Dialogue, again: bool) -> None:
        """Whether the next request comes on the same connection."""
        before = len(gateway.place(0).wires)
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET / ")
        gateway.connections(before + (not again))
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")


class FramingTests(_ResponseCase):
    """Each way a response can end, towards each kind of client (RFC 9112 §6.3)."""

    def test_the_pieces_of_a_response_make_no_difference(self) -> None:
        responses = (
            (OK, b"hello"),
            (CHUNKED + CHUNKS, b"hello world"),
            (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK, b"hello"),
        )
        for response, body in responses:
            for piece in (1, 2, 3, 7, 20, len(response)):
                gateway, client, backend = self.asks()
                backend.sends(response, piece)
                if b"103" in response:
                    client.gets("HTTP/1.1 103 Early Hints", "Link: <a>", without=["Date", "Connection"])
                client.gets("HTTP/1.1 200 OK")
                got = client.gets_something()
                if response.startswith(CHUNKED):
                    self.assertTrue(got.endswith(b"\r\n0\r\n\r\n"), got)
                    got = b"".join(got.split(b"\r\n")[1::2])
                self.assertEqual(body, got)
                gateway.recorded("200 ok")
                self.used_again(gateway, True)

    def test_chunks_stay_chunks_for_1_1(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(CHUNKED)
        client.gets("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", without=["Content-Length", "Connection"])
        backend.sends(b"5\r\nhello\r\n")
        client.gets(b"5\r\nhello\r\n")
        backend.sends(b"0\r\n\r\n")
        client.gets(b"0\r\n\r\n")
        gateway.recorded("200 ok")
        client.finds("open")

    def test_chunks_end_with_the_connection_for_1_0(self) -> None:
        """RFC 9112 §7.1: a 1.0 client is never sent chunks."""
        gateway, client, backend = self.asks(GET_1_0[:-2] + b"Connection: keep-alive\r\n\r\n")
        backend.sends(CHUNKED + b"5\r\nhello\r\n")
        unframed = ["Transfer-Encoding", "Content-Length"]
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello", without=unframed)
        backend.sends(b"6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
        client.gets(b" world")
        client.finds("closed")
        gateway.recorded("200 ok")
        self.used_again(gateway, True)

    def test_until_close_becomes_chunks_for_1_1(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(UNTIL_CLOSE + b"hello")
        client.gets("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n", without=["Connection"])
        backend.sends(b" world")
        client.gets(b"6\r\n world\r\n")
        backend.closes()
        client.gets(b"0\r\n\r\n")
        client.finds("open")
        gateway.recorded("200 ok")
        self.used_again(gateway, False)

    def test_until_close_stays_so_for_1_0(self) -> None:
        gateway, client, backend = self.asks(GET_1_0)
        backend.sends(UNTIL_CLOSE + b"hello")
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello", without=["Transfer-Encoding"])
        backend.closes()
        client.finds("closed")
        gateway.recorded("200 ok")

    def test_until_close_that_is_reset_is_not_complete(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(UNTIL_CLOSE + b"hello")
        client.gets("HTTP/1.1 200 OK", body=b"5\r\nhello\r\n")
        backend.resets()
        client.finds("closed")
        gateway.recorded("200 backend_closed")

    def test_chunks_that_break_off_are_not_complete(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(CHUNKED + b"5\r\nhello\r\n")
        client.gets("HTTP/1.1 200 OK", body=b"5\r\nhello\r\n")
        backend.closes()
        client.finds("closed")
        gateway.recorded("200 backend_closed")

    def test_trailers_reach_a_1_1_client(self) -> None:
        for together in (True, False):
            gateway, client, backend = self.asks()
            backend.sends(CHUNKED + b"5\r\nhello\r\n" + (b"0\r\nX-Sum: 1\r\n\r\n" if together else b""))
            client.gets("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
            if not together:
                backend.sends(b"0\r\nX-Sum: 1\r\n\r\n")
            client.gets(b"0\r\nX-Sum: 1\r\n\r\n")
            gateway.recorded("200 ok")
            self.used_again(gateway, True)

    def test_an_empty_body_in_every_framing(self) -> None:
        for response, end in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
            (CHUNKED + b"0\r\n\r\n", b"0\r\n\r\n"),
        ):
            gateway, client, backend = self.asks()
            backend.sends(response)
            client.gets("HTTP/1.1 200 OK", body=end)
            gateway.recorded("200 ok")
            self.used_again(gateway, True)

    def test_a_bad_chunk_before_the_head_is_passed_on_is_502(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(CHUNKED + b"nonsense\r\n")
        client.gets_page(502)
        backend.finds("reset")
        gateway.recorded("502 backend_protocol_error")

    def test_a_bad_chunk_later_ends_the_client_s_connection(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(CHUNKED + b"5\r\nhello\r\n")
        client.gets("HTTP/1.1 200 OK", body=b"5\r\nhello\r\n")
        backend.sends(b"nonsense\r\n")
        client.finds("closed")
        backend.finds("reset")
        gateway.recorded("200 backend_protocol_error")

    def test_heads_that_frame_in_two_ways_are_502(self) -> None:
        for wrong in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\nX: y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
            b"\r\n" + OK,
        ):
            for piece in (3, len(wrong)):
                gateway, client, backend = self.asks()
                backend.sends(wrong, piece)
                client.gets_page(502)
                backend.finds("reset")
                gateway.recorded("502 backend_protocol_error")

    def test_a_head_without_end_is_502(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 70000, 16384)
        client.gets_page(502)
        gateway.recorded("502 backend_protocol_error")


class NoBodyTests(_ResponseCase):
    """HEAD, 204 and 304 (RFC 9110 §6.4.1, §8.6)."""

    def test_head_keeps_the_length_and_has_no_body(self) -> None:
        gateway, client, backend = self.asks(HEAD)
        backend.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        client.gets("HTTP/1.1 200 OK", "Content-Length: 1234")
        gateway.recorded("200 ok")
        self.used_again(gateway, True)

    def test_head_with_chunked_has_no_body(self) -> None:
        gateway, client, backend = self.asks(HEAD)
        backend.sends(CHUNKED)
        client.gets("HTTP/1.1 200 OK")
        client.finds("open")
        gateway.recorded("200 ok")
        self.used_again(gateway, True)

    def test_304_keeps_the_length_of_what_it_did_not_send(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: x\r\n\r\n")
        client.gets("HTTP/1.1 304 Not Modified", "Content-Length: 1234", "ETag: x")
        gateway.recorded("304 ok")
        self.used_again(gateway, True)

    def test_204_has_neither_body_nor_length(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(b"HTTP/1.1 204 No Content\r\n\r\n")
        client.gets("HTTP/1.1 204 No Content", without=["Content-Length", "Transfer-Encoding"])
        gateway.recorded("204 ok")
        self.used_again(gateway, True)

    def test_a_204_that_claims_a_body_is_the_last_on_its_connection(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")
        client.gets("HTTP/1.1 204 No Content", without=["Content-Length"])
        gateway.recorded("204 ok")
        self.used_again(gateway, False)
        backend.sends(b"hello")
        backend.finds("reset")


class InformationalTests(_ResponseCase):
    """1xx (RFC 9110 §15.2)."""

    HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"

    def test_they_reach_a_1_1_client(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(self.HINTS * 2)
        client.gets(self.HINTS * 2)
        backend.sends(self.HINTS + OK)
        client.gets(self.HINTS)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_they_do_not_reach_a_1_0_client(self) -> None:
        gateway, client, backend = self.asks(GET_1_0)
        backend.sends(self.HINTS + OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_more_than_16_are_502(self) -> None:
        for piece in (None, len(self.HINTS)):
            gateway, client, backend = self.asks()
            backend.sends(self.HINTS * 16, piece)
            client.gets(self.HINTS * 16)
            backend.sends(self.HINTS + OK)
            client.gets_page(502)
            backend.finds("reset")
            gateway.recorded("502 backend_protocol_error")

    def test_they_are_counted_for_each_request(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(self.HINTS * 16 + OK)
        client.gets_something()
        client.sends(GET)
        backend.gets("GET / ")
        backend.sends(self.HINTS * 16 + OK)
        client.gets_something()
        gateway.recorded("200 ok", "200 ok")


class ReuseTests(_ResponseCase):
    """Which connections carry another request (RFC 9112 §9.3)."""

    def test_those_of_a_backend_that_says_close_do_not(self) -> None:
        for response in (OK[:17] + b"Connection: close\r\n" + OK[17:], OK.replace(b"HTTP/1.1", b"HTTP/1.0")):
            gateway, client, backend = self.asks()
            backend.sends(response)
            client.gets("HTTP/1.1 200 OK", body=b"hello", without=["Connection"])
            client.finds("open")
            gateway.recorded("200 ok")
            self.used_again(gateway, False)

    def test_a_backend_that_says_close_closes(self) -> None:
        """It gets no reset, which is an error to it; the gateway's end follows its own."""
        until_it_ends = b"HTTP/1.1 200 OK\r\n\r\nhello"
        says_close = OK[:17] + b"Connection: close\r\n" + OK[17:]
        for response in (says_close, OK.replace(b"HTTP/1.1", b"HTTP/1.0"), until_it_ends):
            for leave in (Party.half_closes, Party.closes):
                gateway, client, backend = self.asks()
                backend.sends(response)
                backend.finds("open")
                backend.is_read()
                leave(backend)
                client.gets_something()
                backend.finds("closed")
                gateway.recorded("200 ok")

    def test_a_backend_that_says_close_and_goes_on(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(OK[:17] + b"Connection: close\r\n" + OK[17:])
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        backend.sends(b"more")
        backend.finds("reset")

    def test_bytes_behind_a_response_are_dropped_with_the_connection(self) -> None:
        """They would be taken for the answer to the next request."""
        for response, expected in (
            (OK, b"hello"),
            (CHUNKED + CHUNKS, b"b\r\nhello world\r\n0\r\n\r\n"),
            (CHUNKED + CHUNKS[:-2] + b"A: b\r\n\r\n", b"b\r\nhello world\r\n0\r\nA: b\r\n\r\n"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ):
            gateway, client, backend = self.asks()
            backend.sends(response + OK)
            client.gets("HTTP/1.1 2", body=expected)
            backend.finds("reset")
            gateway.recorded(f"{response[9:12].decode()} ok")
            self.used_again(gateway, False)

    def test_bytes_behind_the_last_piece_too(self) -> None:
        for first, last, expected in (
            (OK[:-2], b"lo" + OK, b"lo"),
            (CHUNKED, CHUNKS + OK, b"b\r\nhello world\r\n0\r\n\r\n"),
        ):
            gateway, client, backend = self.asks()
            backend.sends(first)
            client.gets_something()
            backend.sends(last)
            client.gets(expected)
            backend.finds("reset")
            gateway.recorded("200 ok")

    def test_bytes_on_an_idle_connection_are_dropped_with_it(self) -> None:
        gateway, client, backend = self.asks()
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        backend.sends(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        backend.finds("reset")
        self.used_again(gateway, False)

    def test_an_idle_connection_that_ends_is_forgotten(self) -> None:
        for leave in (Party.closes, Party.resets):
            gateway, client, backend = self.asks()
            backend.sends(OK)
            client.gets("HTTP/1.1 200 OK", body=b"hello")
            gateway.recorded("200 ok")
            leave(backend)
            backend.finds("closed")
            self.used_again(gateway, False)

    def test_an_early_response_spoils_the_connection(self) -> None:
        gateway, client, backend = self.asks(POST[:-1])
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        backend.finds("reset")
        gateway.recorded("200 ok")

    def test_a_response_that_outlives_its_request_does_not(self) -> None:
        """The body may be completed while the response is on its way."""
        gateway, client, backend = self.asks(POST[:-1])
        backend.sends(OK[:-1])
        client.gets("HTTP/1.1 200 OK", body=b"hell")
        client.sends(b"e")
        backend.gets(b"e")
        backend.sends(b"o")
        client.gets(b"o")
        client.finds("open")
        backend.finds("open")
        gateway.recorded("200 ok")
        self.used_again(gateway, True)
