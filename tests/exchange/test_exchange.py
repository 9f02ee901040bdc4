"""One request's life: routing, connecting, timeouts, outcomes.

Retries are in `test_attempts`, switching protocols in `test_switch`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import succeed
from zope.interface.verify import verifyObject

from gateway.errors import BackendError, ClientGone, PluginFailed
from gateway.exchange import exchange
from gateway.interfaces import IClientStream
from gateway.values import Reply
from tests.dialogue import GET, OK, POST, Dialogue, DialogueCase, Party

BIG_HEAD = b"PUT /big HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000\r\n\r\n"
EXPECTING = BIG_HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")


class Router:
    """Does what it is told instead of routing."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def route(self, head: Any, listener: str) -> Any:
        """See `IRouter.route`."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class ContractTests(DialogueCase):
    """`IClientStream` is what another kind of client, say HTTP/2, would have to be."""

    def test_the_client_is_one(self) -> None:
        verifyObject(IClientStream, self.gateway().client().wire.protocol)

    def test_nothing_else_is_asked_of_it(self) -> None:
        used = {
            name
            for path in Path(exchange.__file__).parent.glob("*.py")
            for name in re.findall(r"\b_?client\.([a-z_]+)", path.read_text("utf-8"))
        }
        self.assertLess({"respond", "held", "note_tls"}, used)
        self.assertEqual(set(), used - set(IClientStream))


class RoutingTests(DialogueCase):
    """ROUTING: to a backend, or to an answer of the gateway's own."""

    def test_a_path_that_servers_read_differently(self) -> None:
        """Refused, and the connection goes on; a path whose dot segments lead nowhere else is sent on as it is."""
        gateway = self.gateway()
        client = gateway.client()
        for path in (b"/moved/../x", b"/x/..;/moved/", b"/moved/..%5Cx?y=1"):
            client.sends(GET.replace(b"/ ", path + b" "))
            client.gets_page(400)
            self.assertIn("to some servers and", str(gateway.recorded("400 ambiguous_path").error))
        gateway.connections(0, 0)
        client.sends(GET.replace(b"/ ", b"/a/../%62 "))
        gateway.backend(0).gets("GET /a/../%62 HTTP/1.1")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_a_request_goes_to_a_backend_and_its_response_comes_back(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        gateway.clock.advance(0.25)
        backend = gateway.backend(0)
        backend.gets(
            b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-For: 203.0.113.7:50000\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Port: 8080\r\nX-Original-Host: example.com\r\nX-Original-URL: /\r\nX-AppGW-Trace-Id: "
        )
        self.assertRegex(backend.gets_something(), rb"^[0-9a-f]{32}\r\n\r\n$")
        backend.sends(OK)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 5", "Date: <date>", body=b"hello", without=["Connection"])
        client.finds("open")
        gateway.recorded("200 ok")

    def test_the_outcome_says_all_that_is_known(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST)
        backend = gateway.backend(0)
        sent = len(backend.gets_something())
        gateway.clock.advance(0.25)
        backend.sends(OK.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\n"))
        got = len(client.gets_something())
        outcome = gateway.recorded("200 ok")
        self.assertEqual(
            ("web", "rule", "10.0.0.1:9000", 1, 200, "text/plain"),
            (outcome.listener, outcome.route.rule, outcome.backend.name, outcome.attempts, outcome.upstream_status,
             outcome.content_type),
        )  # fmt: skip
        self.assertEqual(("POST", "/form"), (outcome.head.method, outcome.head.target))
        self.assertEqual((len(POST), got), (outcome.received_bytes, outcome.sent_bytes))
        self.assertEqual((sent, len(OK) + 26), (outcome.upstream_sent, outcome.upstream_received))
        self.assertEqual(
            (1000.0, 1000.0, 1000.25, 1000.25), (outcome.started, outcome.connected, outcome.responded, outcome.ended)
        )
        self.assertEqual(("203.0.113.7:50000", 8080, "http"), (str(outcome.peer), outcome.local_port, outcome.scheme))
        self.assertRegex(outcome.trace_id, "^[0-9a-f]{32}$")

    def test_what_was_sent_to_a_backend_is_counted_also_if_it_fails(self) -> None:
        gateway = self.gateway(backends=1)
        client = gateway.client()
        client.sends(POST)
        sent = len(gateway.backend(0).gets_something())
        gateway.backend(0).sends(b"HTTP/1.1 ")
        gateway.backend(0).resets()
        client.gets_page(502)
        outcome = gateway.recorded("502 backend_closed")
        self.assertEqual((sent, 9), (outcome.upstream_sent, outcome.upstream_received))

    def test_a_redirect_is_answered_here(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(b"GET /moved/a HTTP/1.1\r\nHost: example.com\r\n\r\n")
        client.gets_page(301, "Location: https://example.org/new/moved/a", without=["Connection"])
        gateway.connections(0, 0)
        gateway.recorded("301 redirect")

    def test_a_host_that_nobody_serves_is_404(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET.replace(b"example.com", b"example.net"))
        client.gets_page(404)
        gateway.recorded("404 no_route")

    def test_a_router_that_raises_costs_one_request(self) -> None:
        router = Router(RuntimeError("out of order"))
        gateway = self.gateway(router=router)
        client = gateway.client()
        client.sends(GET)
        client.gets_page(500)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        router.answer = Reply(200, (("Content-Type", "text/plain"),), b"200", "reply")
        client.sends(GET)
        client.gets_page(200)
        gateway.recorded("500 plugin_failed", "200 reply")

    def test_a_router_that_returns_nonsense_costs_one_request(self) -> None:
        for nonsense in (None, "pool", succeed(None), (1, 2)):
            gateway = self.gateway(router=Router(nonsense))
            client = gateway.client()
            client.sends(GET)
            client.gets_page(500)
            self.assertIsInstance(gateway.recorded("500 plugin_failed").error, PluginFailed)

    def test_a_selector_that_raises_is_500_and_no_lease_is_left(self) -> None:
        gateway = self.gateway()
        gateway.pool._select = lambda candidates, head: 1 // 0
        client = gateway.client()
        client.sends(GET)
        client.gets_page(500)
        gateway.recorded("500 plugin_failed")

    def test_a_pool_without_healthy_backends_is_502_at_once(self) -> None:
        gateway = self.gateway(backends=1)
        gateway.pool.set_health(gateway.pool.backends[0], False, "does not answer")
        client = gateway.client()
        client.sends(GET)
        client.gets_page(502, without=["Connection"])
        self.assertIn("does not answer", str(gateway.recorded("502 no_healthy_backend").error))

    def test_observers_that_raise_harm_nobody(self) -> None:
        class Bad:
            def opened(self, outcome: Any) -> None:
                raise ValueError("opened")

            def ended(self, outcome: Any) -> None:
                raise ValueError("ended")

        gateway = self.gateway(observers=[Bad()])
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets_something()
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")
        websocket, backend = gateway.opens_websocket(1)
        backend.closes()
        websocket.gets_close(1011)
        websocket.closes()
        gateway.recorded("101 backend_lost")
        self.assertEqual(3, len(self.flushLoggedErrors(ValueError)))


class ConnectingTests(DialogueCase):
    """CONNECTING: the body waits, the client may leave."""

    def test_the_body_waits_until_there_is_a_connection(self) -> None:
        gateway = self.gateway()
        gateway.place(0).manner = "hang"
        client = gateway.client()
        client.sends(POST[:-3])
        client.is_held()
        client.sends(b"cde")
        gateway.place(0).accept()
        gateway.turn.run()
        client.is_read()
        gateway.backend(0).gets("POST", "Content-Length: 5", body=b"abcde")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_bytes_that_were_read_before_the_hold_wait_as_well(self) -> None:
        """TLS in memory may deliver a little after it was paused."""
        gateway = self.gateway()
        gateway.place(0).manner = "hang"
        client = gateway.client()
        client.sends(POST[:-3])
        client.is_held()
        gateway.run(client.wire.protocol.dataReceived, b"cde")
        gateway.run(gateway.place(0).accept)
        gateway.backend(0).gets("POST", "Content-Length: 5", body=b"abcde")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_a_client_that_resets_ends_the_attempt(self) -> None:
        gateway = self.gateway()
        gateway.place(0).manner = "hang"
        client = gateway.client()
        client.sends(GET)
        client.resets()
        self.assertEqual(1, gateway.place(0).cancelled)
        self.assertIsInstance(gateway.recorded("499 client_gone").error, ClientGone)

    def test_a_half_closed_client_is_waited_for(self) -> None:
        gateway = self.gateway()
        gateway.place(0).manner = "hang"
        client = gateway.client()
        client.sends(GET)
        client.half_closes()
        gateway.advance(6)
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        gateway.recorded("200 ok")

    def test_connecting_has_its_own_limit(self) -> None:
        gateway = self.gateway(backends=1, settings={"connect_timeout": 3.0})
        gateway.place(0).manner = "hang"
        client = gateway.client()
        client.sends(GET)
        gateway.advance(2.9)
        client.gets_nothing()
        gateway.advance(0.2)
        client.gets_page(502)
        gateway.recorded("502 connect_failed")

    def test_a_road_that_raises_is_a_bad_gateway(self) -> None:
        gateway = self.gateway(backends=1)
        gateway.place(0).manner = "break"
        client = gateway.client()
        client.sends(GET)
        client.gets_page(502)
        gateway.recorded("502 connect_failed")


class WaitingTests(DialogueCase):
    """WAITING: time limits, and both sides may break off."""

    def test_a_backend_that_says_nothing_is_504(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 10})
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.advance(9.9)
        client.gets_nothing()
        gateway.advance(0.3)
        client.gets_page(504, without=["Connection"])
        gateway.backend(0).finds("reset")
        outcome = gateway.recorded("504 backend_timeout")
        self.assertIn("10.0.0.1:9000 has not answered within 10 s", str(outcome.error))
        self.assertEqual(1, gateway.pool.backends[0].failures)

    def test_the_request_timeout_begins_when_the_body_is_complete(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 10}, limits={"body_timeout": 60})
        client = gateway.client()
        client.sends(POST[:-1])
        gateway.backend(0).gets("POST", body=b"abcd")
        gateway.advance(30)
        client.sends(b"e")
        gateway.backend(0).gets(b"e")
        gateway.advance(9)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(504)
        gateway.recorded("504 backend_timeout")

    def test_a_body_that_does_not_come_is_408(self) -> None:
        gateway = self.gateway(limits={"body_timeout": 20})
        client = gateway.client()
        client.sends(POST[:-2])
        gateway.backend(0).gets("POST", body=b"abc")
        gateway.advance(15)
        client.sends(b"d")
        gateway.backend(0).gets(b"d")
        gateway.advance(19)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(408, "Connection: close")
        client.finds("half-closed")
        gateway.backend(0).finds("reset")
        gateway.recorded("408 request_timeout")

    def test_a_100_that_does_not_come_is_504(self) -> None:
        """The client waits for the backend, and not the other way round; another interim response is none."""
        for body, request in ((20, 40), (40, 20)):
            gateway = self.gateway(backends=1, limits={"body_timeout": body}, settings={"request_timeout": request})
            client = gateway.client()
            client.sends(EXPECTING)
            gateway.backend(0).gets("PUT", "Expect: 100-continue")
            gateway.backend(0).sends(b"HTTP/1.1 102 Processing\r\n\r\n")
            client.gets("HTTP/1.1 102 Processing")
            gateway.advance(request - 1)
            client.gets_nothing()
            gateway.advance(1.2)
            client.gets_page(504, "Connection: close")
            error = gateway.recorded("504 backend_timeout").error
            self.assertIn(f"has not answered within {request} s", str(error))
            self.assertNotIsInstance(error, BackendError)  # who sends no body takes no backend out

    def test_who_got_its_100_or_went_on_without_has_to_send_its_body(self) -> None:
        for way in "told", "impatient", "old":
            gateway = self.gateway(backends=1, limits={"body_timeout": 40}, settings={"request_timeout": 20})
            client = gateway.client()
            client.sends(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") if way == "old" else EXPECTING)
            gateway.backend(0).gets("PUT")
            if way != "old":
                gateway.advance(19)
            if way == "told":
                gateway.backend(0).sends(b"HTTP/1.1 100 Continue\r\n\r\n")
                client.gets("HTTP/1.1 100 Continue")
            elif way == "impatient":
                client.sends(b"a")
                gateway.backend(0).gets(b"a")
            gateway.advance(39)
            client.gets_nothing()
            gateway.advance(1.2)
            client.gets_page(408, "Connection: close")
            gateway.recorded("408 request_timeout")

    def test_who_waits_for_a_100_behind_a_backend_that_takes_on(self) -> None:
        gateway = self.gateway(backends=1, limits={"body_timeout": 40}, settings={"request_timeout": 20})
        gateway.place(0).manner = "stall"
        client = gateway.client()
        client.sends(EXPECTING)
        gateway.advance(19)
        gateway.backend(0).takes()
        gateway.backend(0).gets("PUT")
        gateway.advance(19)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(504, "Connection: close")
        gateway.recorded("504 backend_timeout")

    def test_a_backend_that_does_not_take_the_body_is_504(self) -> None:
        """It has its own limit, whether that is the longer or the shorter one."""
        for body, request in ((20, 40), (40, 20)):
            gateway = self.gateway(backends=1, limits={"body_timeout": body}, settings={"request_timeout": request})
            client = gateway.client()
            client.sends(BIG_HEAD)
            gateway.backend(0).gets("PUT")
            gateway.backend(0).stalls()
            client.sends(b"a" * 1000)
            client.is_held()
            gateway.advance(request - 1)
            client.gets_nothing()
            gateway.advance(1.2)
            client.gets_page(504, "Connection: close")
            self.assertIn(f"has not answered within {request} s", str(gateway.recorded("504 backend_timeout").error))

    def test_a_backend_that_takes_nothing_from_the_first_byte_on_is_504(self) -> None:
        """Its head and the first part of the body are what it does not take."""
        for body, request in ((20, 40), (40, 20)):
            gateway = self.gateway(backends=1, limits={"body_timeout": body}, settings={"request_timeout": request})
            gateway.place(0).manner = "stall"
            client = gateway.client()
            client.sends(BIG_HEAD + b"a" * 1000)
            client.is_held()
            gateway.advance(request - 1)
            client.gets_nothing()
            gateway.advance(1.2)
            client.gets_page(504, "Connection: close")
            self.assertIn(f"has not answered within {request} s", str(gateway.recorded("504 backend_timeout").error))

    def test_a_client_has_its_whole_time_again_when_the_backend_takes_on(self) -> None:
        gateway = self.gateway(backends=1, limits={"body_timeout": 40}, settings={"request_timeout": 20})
        client = gateway.client()
        client.sends(BIG_HEAD)
        backend = gateway.backend(0)
        backend.gets("PUT")
        backend.stalls()
        client.sends(b"a" * 1000)
        gateway.advance(19)
        backend.takes()
        backend.gets(b"a" * 1000)
        client.is_read()
        gateway.advance(39)
        client.gets_nothing()
        gateway.advance(1.2)
        client.gets_page(408, "Connection: close")
        gateway.recorded("408 request_timeout")

    def test_a_client_that_resets_takes_the_backend_connection_with_it(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        client.resets()
        gateway.backend(0).finds("reset")
        outcome = gateway.recorded("499 client_gone")
        self.assertEqual((0, None), (outcome.sent_bytes, outcome.upstream_status))
        self.assertEqual(0, gateway.pool.backends[0].failures)

    def test_a_half_closed_client_still_gets_its_response(self) -> None:
        """RFC 9112 §9.6."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        client.half_closes()
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", "Connection: close", body=b"hello")
        client.finds("closed")
        gateway.recorded("200 ok")

    def test_the_end_of_the_client_inside_the_body_ends_the_exchange(self) -> None:
        for leave in (Party.half_closes, Party.closes, Party.resets):
            gateway = self.gateway()
            client = gateway.client()
            client.sends(POST[:-1])
            gateway.backend(0).gets("POST", body=b"abcd")
            leave(client)
            gateway.backend(0).finds("reset")
            gateway.recorded("499 client_gone")

    def test_a_backend_that_closes_is_502_where_no_other_is_left(self) -> None:
        for leave in (Party.closes, Party.resets):
            gateway = self.gateway(backends=1)
            client = gateway.client()
            client.sends(GET)
            gateway.backend(0).gets("GET")
            leave(gateway.backend(0))
            client.gets_page(502, without=["Connection"])
            client.finds("open")
            gateway.recorded("502 backend_closed")

    def test_a_backend_that_does_not_speak_http_is_502_and_nobody_else_is_asked(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(b"SSH-2.0-OpenSSH_9.2\r\n")
        client.gets_page(502)
        gateway.backend(0).finds("reset")
        gateway.connections(1, 0)
        gateway.recorded("502 backend_protocol_error")


class StreamingTests(DialogueCase):
    """STREAMING: a response that has begun can only be completed or cut."""

    HALF = OK[:-3]

    def begin(self, **options: Any) -> tuple[Dialogue, Party, Party]:
        gateway = self.gateway(**options)
        client = gateway.client()
        client.sends(GET)
        backend = gateway.backend(0)
        backend.gets("GET")
        backend.sends(self.HALF)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 5", body=b"he")
        return gateway, client, backend

    def test_it_is_passed_on_as_it_comes(self) -> None:
        gateway, client, backend = self.begin()
        backend.sends(b"l")
        client.gets(b"l")
        backend.sends(b"lo")
        client.gets(b"lo")
        self.assertEqual(len(OK), gateway.recorded("200 ok").upstream_received)
        client.finds("open")

    def test_a_large_piece_is_passed_on_as_it_is(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(OK.replace(b": 5", b": 100000")[:-5] + b"a" * 100000)
        client.gets("HTTP/1.1 200 OK", "Content-Length: 100000", body=b"a" * 100000)
        gateway.recorded("200 ok")

    def test_a_backend_that_breaks_off(self) -> None:
        """RFC 9112 §8: what there is does not look complete."""
        for leave in (Party.closes, Party.resets):
            gateway, client, backend = self.begin()
            leave(backend)
            client.finds("closed")
            outcome = gateway.recorded("200 backend_closed")
            self.assertEqual((1, 200), (outcome.attempts, outcome.upstream_status))
            gateway.connections(1, 0)

    def test_a_backend_that_breaks_off_while_the_client_is_slow(self) -> None:
        """The client gets everything that the backend has sent."""
        piece = b"a" * 60000
        for field, body in (
            (b"Content-Length: 70000", piece),
            (b"Transfer-Encoding: chunked", b"ea60\r\n" + piece + b"\r\n"),
        ):
            gateway = self.gateway(limits={"send_timeout": 60})
            client = gateway.client()
            client.stalls()
            client.sends(GET)
            gateway.backend(0).gets("GET")
            gateway.backend(0).sends(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n" + body)
            gateway.backend(0).resets()
            gateway.recorded("200 backend_closed")
            gateway.advance(50)
            client.finds("open")
            client.takes(30000)
            gateway.advance(50)
            client.takes()
            client.gets("HTTP/1.1 200 OK", body=body)
            client.finds("closed")

    def test_a_backend_that_breaks_off_where_only_the_end_says_so(self) -> None:
        """To a client of HTTP/1.0 a clean end would say that this is all."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
        gateway.backend(0).gets("GET")
        gateway.backend(0).sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
        client.gets("HTTP/1.1 200 OK", body=b"he")
        gateway.backend(0).closes()
        client.finds("reset")
        gateway.recorded("200 backend_closed")

    def test_a_backend_that_pauses_too_long_is_cut(self) -> None:
        gateway, client, backend = self.begin(settings={"request_timeout": 10})
        gateway.advance(9)
        backend.sends(b"l")
        client.gets(b"l")
        gateway.advance(9.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("closed")
        backend.finds("reset")
        gateway.recorded("200 backend_timeout")

    def test_the_time_limit_begins_again_with_the_head(self) -> None:
        gateway = self.gateway(settings={"request_timeout": 10})
        client = gateway.client()
        client.sends(GET)
        gateway.backend(0).gets("GET")
        gateway.advance(9)
        gateway.backend(0).sends(self.HALF)
        client.gets("HTTP/1.1 200 OK", body=b"he")
        gateway.advance(9.9)
        client.finds("open")
        gateway.advance(0.3)
        client.finds("closed")
        gateway.recorded("200 backend_timeout")

    def test_a_client_that_resets_takes_the_backend_connection_with_it(self) -> None:
        gateway, client, backend = self.begin()
        client.resets()
        backend.finds("reset")
        gateway.recorded("200 client_gone")

    def test_a_long_upload_behind_an_early_response_is_no_silence(self) -> None:
        """Bodies stream in both directions at once; the time limit is for silence of both."""
        gateway = self.gateway(settings={"request_timeout": 10})
        client = gateway.client()
        client.sends(POST[:-5])
        gateway.backend(0).gets("POST")
        gateway.backend(0).sends(self.HALF)
        client.gets("HTTP/1.1 200 OK", body=b"he")
        for letter in b"abcde":
            gateway.advance(9)
            client.sends(bytes([letter]))
            gateway.backend(0).gets(bytes([letter]))
        gateway.advance(9)
        gateway.backend(0).sends(b"llo")
        client.gets(b"llo")
        client.finds("open")
        gateway.recorded("200 ok")

    def test_a_response_before_the_end_of_the_request_closes_both_connections(self) -> None:
        """RFC 9112 §9.6: half of the connection at first, so that no reset overtakes the response."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(POST[:-3])
        backend = gateway.backend(0)
        backend.gets("POST", body=b"ab")
        backend.sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        client.gets("HTTP/1.1 403", "Connection: close")
        client.finds("half-closed")
        backend.finds("reset")
        client.sends(b"cde and much more")
        client.finds("half-closed")
        client.closes()
        client.finds("closed")
        gateway.recorded("403 ok")
