"""The client's side of an exchange: time limits, slow readers, shutdown, and how a connection ends."""

from __future__ import annotations

from gateway.errors import ShuttingDown
from gateway.values import Reply
from tests.dialogue import GET, GOODBYE, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase, Party

MOVED = b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n"


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
        before = client.wire.written
        gateway.advance(59.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("reset")
        backend.finds("reset")
        self.assertEqual(before - 999, gateway.recorded("200 client_gone").sent_bytes)

    def test_a_client_that_reads_again_has_the_backends_time_limit(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 30}, limits={"send_timeout": 60})
        client, backend = self.stalled(gateway)
        gateway.advance(59)
        client.takes()
        client.gets(b"a" * 999)
        gateway.advance(29.5)
        client.finds("open")
        gateway.advance(0.7)
        client.finds("closed")
        backend.finds("reset")
        gateway.recorded("200 backend_timeout")

    def test_a_client_that_does_not_take_a_whole_response_is_cut(self) -> None:
        gateway = self.gateway(limits={"send_timeout": 60, "keep_alive_timeout": 75})
        for taken in (False, True):
            client = gateway.client()
            client.stalls()
            client.sends(MOVED)
            gateway.advance(59)
            if taken:
                client.takes()
                client.gets_page(301)
                gateway.advance(74)
            client.finds("open")
            gateway.advance(1.2)
            client.finds("closed" if taken else "reset")
            gateway.recorded("301 redirect")

    def test_a_head_that_is_cut_off_is_counted(self) -> None:
        gateway = self.gateway(limits={"head_timeout": 10})
        client = gateway.client()
        gateway.advance(5)
        client.sends(b"\r\n")
        gateway.advance(5)
        client.sends(b"GET / HT")
        gateway.advance(3)
        client.sends(b"TP")
        gateway.advance(7.2)
        client.gets_page(408)
        outcome = gateway.recorded("408 request_timeout")
        self.assertEqual(12, outcome.received_bytes)
        self.assertApproximates(10, outcome.ended - outcome.started, 0.2)
        client = gateway.client()
        client.sends(b"GET / HTTP/1.1\r\nHost")
        client.sends(b" : a\r\n\r\n")
        client.gets_page(400)
        self.assertEqual(28, gateway.recorded("400 bad_request").received_bytes)

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
        backend.sends(b"b" * 5000)  # more than ever waited before, which is no sign of a standstill
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
        gateway.advance(19.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("reset")
        gateway.recorded("301 redirect")

    def stalled(self, gateway: Dialogue) -> tuple[Party, Party]:
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

    def test_lingering_is_bounded_in_time(self) -> None:
        """Five seconds of silence, or half a minute of bytes that nobody wants (RFC 9112 §9.6)."""
        for sendings, pause in ((1, 5.2), (8, 4.0)):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(POST.replace(b"/form", b"/moved/")[:-1])
            client.gets_page(301, "Connection: close")
            client.finds("half-closed")
            for _ in range(sendings):
                client.sends(b"a" * 100000)
                gateway.advance(pause)
            client.finds("reset")
            gateway.recorded("301 redirect")


class EndTests(DialogueCase):
    """The gateway stops, or somebody goes."""

    def test_who_is_waited_for_before_the_socket_is_closed(self) -> None:
        """A client that has not said that it sends no more, that has much to take, or whose TLS says goodbye."""
        last, old = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), GET.replace(b"1.1", b"1.0")
        for request, size, tls, quiet in (
            (last, 5, False, True), (old, 5, False, True), (GET, 5, False, False), (last, 5, True, False),
            (last, 3500, False, True), (last, 5000, False, False), (last, 20000, False, False),
        ):  # fmt: skip
            gateway = self.gateway()
            gateway.factory.tls = tls
            client = gateway.client()
            client.sends(request)
            if request is GET:
                gateway.shared.stopping = True
            gateway.backend(0).gets("GET")
            gateway.backend(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            client.gets("HTTP/1.1 200 OK", body=b"x" * size)
            client.finds("closed")
            self.assertIs(quiet, client.wire.quiet, (request, size, tls))
            gateway.recorded("200 ok")

    def test_stop_closes_idle_clients_and_lets_the_others_finish(self) -> None:
        gateway = self.gateway()
        idle, busy, halfway = gateway.client(), gateway.client(), gateway.client()
        gateway.advance(1)
        busy.sends(GET)
        halfway.sends(GET[:10])
        gateway.shared.stopping = True
        for client in (idle, busy, halfway):
            gateway.run(client.wire.protocol.stop, GOODBYE)
        gateway.advance(0.4)
        idle.finds("open")
        gateway.advance(0.3)
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

    def asks_for_the_last_time(self, gateway: Dialogue, client: Party, backend: int = 0) -> None:
        client.sends(GET)
        gateway.backend(backend).gets("GET")
        gateway.backend(backend).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        client.finds("closed")

    def test_stop_lets_those_ask_whose_request_is_on_its_way(self) -> None:
        """Once, and for half a second; also where the gateway goes on and only the port is left."""
        for stopping in (True, False):
            for has_asked in (True, False):
                gateway = self.gateway()
                asks, silent = gateway.client(), gateway.client()
                if has_asked:
                    asks.sends(GET)
                    gateway.backend(0).gets("GET")
                    gateway.backend(0).sends(OK)
                    asks.gets("HTTP/1.1 200 OK", body=b"hello")
                gateway.advance(20)
                gateway.shared.stopping = stopping
                for client in (silent, asks):
                    gateway.run(client.wire.protocol.stop, GOODBYE)
                gateway.advance(0.4)
                self.asks_for_the_last_time(gateway, asks, int(has_asked))
                silent.finds("open")
                gateway.run(silent.wire.protocol.stop, GOODBYE)
                gateway.advance(0.3)
                silent.finds("closed")
                gateway.recorded(*["200 ok"] * (1 + has_asked))

    def test_stop_gives_nobody_more_time(self) -> None:
        gateway = self.gateway(limits={"keep_alive_timeout": 10})
        client = gateway.client()
        gateway.advance(9.8)
        gateway.run(client.wire.protocol.stop, GOODBYE)
        gateway.advance(0.4)
        client.finds("closed")

    def test_stop_ends_a_session_that_opens_later(self) -> None:
        """Whether the handshake was in progress or is what a client asks that has only just come."""
        for asks_first in (True, False):
            gateway = self.gateway()
            client = gateway.client()
            if asks_first:
                client.sends(HANDSHAKE)
            gateway.run(client.wire.protocol.stop, GOODBYE)
            if not asks_first:
                client.sends(HANDSHAKE)
            gateway.backend(0).gets("GET /chat HTTP/1.1", "Upgrade: websocket")
            gateway.backend(0).sends(SWITCHING)
            client.gets("HTTP/1.1 101 Switching Protocols")
            gateway.advance(0.3)
            client.gets_close(1001, "the gateway is shutting down")
            gateway.backend(0).gets_close(1001)
            for peer in (client, gateway.backend(0)):
                peer.closes()
            gateway.recorded("101 shutdown")

    def test_who_comes_from_a_handshake_when_nobody_listens_any_more(self) -> None:
        """May ask once, and for half a second."""
        gateway = self.gateway()
        gateway.factory.goodbye = GOODBYE
        asks, silent = gateway.client(), gateway.client()
        self.asks_for_the_last_time(gateway, asks)
        silent.finds("open")
        gateway.advance(0.8)
        silent.finds("closed")
        gateway.recorded("200 ok")

    def test_stop_leaves_a_session_to_the_sessions(self) -> None:
        gateway = self.gateway()
        client, backend = gateway.opens_websocket()
        gateway.run(client.wire.protocol.stop, GOODBYE)
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
        waits.finds("closed")
        reads.finds("closed")
        idle.finds("reset")
        gateway.backend(0).finds("reset")
        gateway.backend(1).finds("reset")
        self.assertIsInstance(gateway.recorded("503 shutting_down", "200 shutting_down").error, ShuttingDown)

    def test_a_client_that_leaves_without_a_request_leaves_no_trace(self) -> None:
        for leave in (Party.closes, Party.resets):
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
        client.gets_page(500)
        outcome = gateway.recorded("500 plugin_failed")
        self.assertIn("line break", str(outcome.error))
        client.sends(GET)
        client.gets_page(500)
        gateway.recorded("500 plugin_failed")

    def test_early_bytes_of_a_refused_handshake_are_no_request(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(HANDSHAKE + b"\x81\x82\0\0\0\0hi")
        gateway.backend(0).gets("GET /chat")
        gateway.backend(0).sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        client.gets("HTTP/1.1 403")
        client.gets_page(400, "Connection: close")
        gateway.recorded("403 ok", "400 bad_request")
