"""Switching protocols in `gateway.exchange.exchange`: what is refused, and how."""

from __future__ import annotations

from twisted.python.monkey import MonkeyPatcher

from gateway.exchange.surroundings import Surroundings
from gateway.relay.watch import Watch
from tests.dialogue import GET, HANDSHAKE, OK, POST, SWITCHING, Dialogue, DialogueCase


class SwitchingTests(DialogueCase):
    """101: only what was asked for, and only what RFC 6455 §4.1 lets pass."""

    def answers(self, request: bytes, response: bytes, status: int, cause: str) -> Dialogue:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(request)
        backend = gateway.backend(0)
        backend.gets_something()
        backend.sends(response)
        client.gets_page(status)
        backend.finds("reset")
        gateway.recorded(f"{status} {cause}")
        gateway.connections(1, 0)
        return gateway

    def test_a_101_that_nobody_asked_for_is_502(self) -> None:
        self.answers(GET, SWITCHING, 502, "backend_protocol_error")

    def test_a_101_for_another_protocol_is_502(self) -> None:
        self.answers(HANDSHAKE, SWITCHING.replace(b"websocket", b"irc"), 502, "backend_protocol_error")

    def test_a_wrong_accept_is_502(self) -> None:
        self.answers(HANDSHAKE, SWITCHING.replace(b"s3pP", b"s3pQ"), 502, "backend_protocol_error")

    def test_an_extension_that_was_not_offered_is_502(self) -> None:
        extended = SWITCHING[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        self.answers(HANDSHAKE, extended, 502, "backend_protocol_error")

    def test_a_subprotocol_that_was_not_offered_is_502(self) -> None:
        self.answers(HANDSHAKE, SWITCHING[:-2] + b"Sec-WebSocket-Protocol: soap\r\n\r\n", 502, "backend_protocol_error")

    def test_a_switch_before_the_request_is_complete_is_502(self) -> None:
        """RFC 9110 §7.8: the rest of the body would be taken for the other protocol."""
        request = POST[:-2].replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: thing\r\n\r\n")
        self.answers(request, SWITCHING.replace(b"websocket", b"thing"), 502, "backend_protocol_error")

    def test_a_refusal_reaches_the_client_with_its_body(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(HANDSHAKE)
        gateway.backend(0).gets("GET /chat", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Connection: Upgrade")
        gateway.backend(0).sends(OK.replace(b"200 OK", b"403 Not for you"))
        client.gets("HTTP/1.1 403 Not for you", "Content-Length: 5", body=b"hello", without=["Upgrade"])
        gateway.recorded("403 ok")
        client.sends(GET)
        gateway.backend(1).gets("GET")
        gateway.backend(1).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        gateway.recorded("200 ok")

    def test_http_2_is_not_switched_to(self) -> None:
        """RFC 9110 §7.8 lets a server ignore an Upgrade; passed on, this one would go around the router."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n")
        gateway.backend(0).gets("GET /", without=["Upgrade", "Connection", "HTTP2-Settings"])
        gateway.backend(0).sends(SWITCHING.replace(b"websocket", b"h2c"))
        client.gets_page(502)
        gateway.recorded("502 backend_protocol_error")

    def test_a_handshake_that_is_wrong_never_reaches_a_backend(self) -> None:
        """RFC 6455 §4.2.1, §4.4; an Upgrade field needs the connection option as well (RFC 9110 §7.8)."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(HANDSHAKE.replace(b"dGhl", b"d"))
        client.gets_page(400, "Connection: close")
        client.finds("closed")
        client = gateway.client()
        client.sends(HANDSHAKE.replace(b"Version: 13", b"Version: 8") + b"\x81\x80early")
        client.gets_page(426, "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade")
        client.finds("half-closed")
        gateway.recorded("400 bad_handshake", "426 bad_handshake")
        gateway.connections(0, 0)

    def test_a_client_that_left_before_the_switch_leaves_nothing_behind(self) -> None:
        """Its end was known before there was a session that could be told."""
        gateway = self.gateway()
        client = gateway.client()
        client.sends(HANDSHAKE)
        backend = gateway.backend(0)
        backend.gets("GET /chat HTTP/1.1", "Upgrade: websocket")
        client.half_closes()
        backend.sends(SWITCHING)
        client.gets("HTTP/1.1 101 Switching Protocols")
        backend.gets_close(1001)
        backend.closes()
        client.closes()
        self.assertEqual(0, gateway.sessions.count)
        gateway.name_all()

    def test_a_tunnel_that_cannot_be_made(self) -> None:
        """Nothing may raise there; if it does, it costs one handshake and no lease."""
        with MonkeyPatcher((Watch, "__init__", _raises)):
            self.answers(HANDSHAKE, SWITCHING, 500, "gateway_error")
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_a_tunnel_that_cannot_be_opened(self) -> None:
        for target, name in ((Watch, "_entered"), (Surroundings, "opened"), (Watch, "_bridge")):
            with self.subTest(name=name):
                gateway = self.gateway()
                client = gateway.client()
                client.sends(HANDSHAKE)
                backend = gateway.backend(0)
                backend.gets_something()
                with MonkeyPatcher((target, name, _raises)):
                    backend.sends(SWITCHING)
                self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
                for peer in (client, backend):
                    peer.finds("reset")
                gateway.recorded("101 gateway_error")
                self.assertEqual((0, 0), (gateway.sessions.count, gateway.pool.backends[0].active))


def _raises(*args: object) -> None:
    raise RuntimeError("a bug")
