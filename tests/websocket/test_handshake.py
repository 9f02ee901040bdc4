"""Tests for `gateway.websocket.handshake`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import BackendProtocolError, UpgradeRefused
from gateway.http.heads import parse_request, parse_response
from gateway.values import RequestHead
from gateway.websocket.handshake import accept_for, check_request, check_response, reserved_bits

try:
    from websockets.client import ClientProtocol
    from websockets.server import ServerProtocol
    from websockets.uri import parse_uri
except ImportError:
    ClientProtocol = None

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
FIELDS = {
    "Host": "a.example",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
ANSWER = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}


def head_of(start: str, fields: dict[str, str | None]) -> bytes:
    """A raw head; fields that are ``None`` are left out."""
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1")


def request(changes: dict[str, str | None] | None = None, start: str = "GET /chat HTTP/1.1") -> RequestHead:
    """A handshake request with some fields changed."""
    return parse_request(head_of(start, {**FIELDS, **(changes or {})}))


class RequestTests(SynchronousTestCase):
    def refused(self, head: RequestHead, status: int = 400) -> None:
        error = self.assertRaises(UpgradeRefused, check_request, head)
        self.assertEqual(error.status, status, str(error))

    def test_accepted(self) -> None:
        self.assertEqual(check_request(request()), KEY)
        self.assertEqual(check_request(request({"Upgrade": "WebSocket", "Connection": "upgrade"})), KEY)
        self.assertEqual(check_request(request({"Sec-WebSocket-Protocol": "chat, superchat"})), KEY)
        self.assertEqual(check_request(request({"Sec-WebSocket-Extensions": "permessage-deflate; x=y"})), KEY)

    def test_not_a_handshake(self) -> None:
        self.refused(request(start="POST /chat HTTP/1.1"))
        self.refused(request(start="GET /chat HTTP/1.0"))
        self.refused(request({"Upgrade": None}))
        self.refused(request({"Upgrade": "h2c"}))
        self.refused(request({"Connection": "keep-alive"}))
        self.refused(request({"Content-Length": "3"}))

    def test_version(self) -> None:
        self.refused(request({"Sec-WebSocket-Version": None}))
        for version in ("8", "0", "14", "13, 8", "013", ""):
            self.refused(request({"Sec-WebSocket-Version": version}), 426)
        self.refused(request({"sec-websocket-version": "13"}), 426)

    def test_key(self) -> None:
        for key in (
            None,
            "",
            "a",
            KEY[:-1],
            KEY + "=",
            KEY[:-2] + "AA",
            "AAAA",
            KEY.replace("d", "-", 1),
            f"{KEY}, {KEY}",
        ):
            self.refused(request({"Sec-WebSocket-Key": key}))
        self.refused(request({"sec-websocket-key": KEY}))

    def test_nominated(self) -> None:
        """A field of the handshake that Connection lists would not be passed on (RFC 9110 §7.6.1)."""
        for name in (
            "Sec-WebSocket-Key",
            "sec-websocket-version",
            "Sec-WebSocket-Protocol",
            "sec-websocket-extensions",
        ):
            self.refused(request({"Connection": f"{name}, Upgrade", "Sec-WebSocket-Protocol": "a"}))
        self.assertEqual(check_request(request({"Connection": "Upgrade, X-Mine"})), KEY)

    def test_subprotocols(self) -> None:
        for names in ("", ",", "a, a", "a b", "a(", '"a"'):
            self.refused(request({"Sec-WebSocket-Protocol": names}))


class ResponseTests(SynchronousTestCase):
    def check(
        self,
        changes: dict[str, str | None] | None = None,
        asked: dict[str, str | None] | None = None,
        start: str = "HTTP/1.1 101 Switching Protocols",
    ) -> None:
        check_response(parse_response(head_of(start, {**ANSWER, **(changes or {})}), "GET"), request(asked))

    def refused(
        self,
        changes: dict[str, str | None] | None = None,
        asked: dict[str, str | None] | None = None,
        start: str = "HTTP/1.1 101 Switching Protocols",
    ) -> None:
        self.assertRaises(BackendProtocolError, self.check, changes, asked, start)

    def test_accepted(self) -> None:
        self.check()
        self.check({"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"})
        self.check({"Sec-WebSocket-Protocol": "b"}, {"Sec-WebSocket-Protocol": "a, b"})
        self.check({"Sec-WebSocket-Extensions": ""})
        offered: dict[str, str | None] = {
            "Sec-WebSocket-Extensions": 'x; a="b, y", permessage-deflate; client_max_window_bits'
        }
        self.check({"Sec-WebSocket-Extensions": "Permessage-Deflate; server_max_window_bits=10, x"}, offered)

    def test_refused(self) -> None:
        self.refused(start="HTTP/1.1 200 OK")
        self.refused(start="HTTP/1.0 101 x")
        self.refused({"Upgrade": None})
        self.refused({"Upgrade": "h2c"})
        self.refused({"Upgrade": "websocket, h2c"})
        self.refused({"Connection": None})
        self.refused({"Connection": "keep-alive"})
        self.refused({"Sec-WebSocket-Accept": None})
        self.refused({"Sec-WebSocket-Accept": ACCEPT.lower()})
        self.refused({"sec-websocket-accept": ACCEPT})

    def test_nominated(self) -> None:
        """What Connection lists is not passed on: the client would get a 101 without its answer."""
        self.refused({"Connection": "Upgrade, Sec-WebSocket-Accept"})
        self.check({"Connection": "Upgrade, X-Mine"})

    def test_not_offered(self) -> None:
        self.refused({"Sec-WebSocket-Protocol": "c"})
        self.refused({"Sec-WebSocket-Protocol": "c"}, {"Sec-WebSocket-Protocol": "a, b"})
        self.refused({"Sec-WebSocket-Protocol": "a, b"}, {"Sec-WebSocket-Protocol": "a, b"})
        self.refused({"Sec-WebSocket-Extensions": "permessage-deflate"})
        self.refused({"Sec-WebSocket-Extensions": "y"}, {"Sec-WebSocket-Extensions": 'x; a="b, y"'})


class ReservedBitsTests(SynchronousTestCase):
    """Which RSV bits the extensions of a 101 allow."""

    def test_by_extension(self) -> None:
        for agreed, bits in (
            (None, 0),
            ("", 0),
            ("permessage-deflate", 0x40),
            ("Permessage-Deflate; server_max_window_bits=10", 0x40),
            ("permessage-deflate, x-other", 0x70),
            ("x-other", 0x70),
        ):
            raw = head_of("HTTP/1.1 101 Switching Protocols", {"Sec-WebSocket-Extensions": agreed})
            self.assertEqual(bits, reserved_bits(parse_response(raw, "GET")), agreed)


class AcceptTests(SynchronousTestCase):
    def test_sample(self) -> None:
        """The example of RFC 6455 §1.3."""
        self.assertEqual(accept_for(KEY), ACCEPT)


class PeerTests(SynchronousTestCase):
    if ClientProtocol is None:
        skip = "websockets is not installed"

    def test_against_websockets(self) -> None:
        """The handshakes of a client and a server that others wrote pass the checks."""
        client = ClientProtocol(parse_uri("ws://a.example/chat"), subprotocols=["a"])
        client.send_request(client.connect())
        raw_request = b"".join(client.data_to_send())
        server = ServerProtocol(subprotocols=["a"])
        server.receive_data(raw_request)
        (asked,) = server.events_received()
        server.send_response(server.accept(asked))
        raw_response = b"".join(server.data_to_send())
        head = parse_request(raw_request)
        check_request(head)
        check_response(parse_response(raw_response, "GET"), head)
