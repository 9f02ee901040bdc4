"""The HTTP side of a demo backend, and how a connection becomes a chat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import gateway.demo
from gateway.demo.room import Backend, Room
from gateway.demo.web import WebFactory, WebProtocol

UPGRADE = (
    "GET /chat HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


class _Transport(StringTransport):
    """With the attribute that Twisted's own transports read their protocol from."""

    protocol: Any = None
    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As on TCP."""

    def abortConnection(self) -> None:
        self.aborted = True


class _WebCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.room = Room(self.clock)
        self.room.backends["blue"] = Backend("blue", "127.0.0.1", 9001)
        self.factory = WebFactory(self.clock, self.room, "blue")

    def connect(self) -> tuple[WebProtocol, _Transport]:
        protocol, transport = self.factory.buildProtocol(None), _Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport

    def send(self, text: str) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a connection of its own; status, fields and body of the answer."""
        protocol, transport = self.connect()
        protocol.dataReceived(text.encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split()[1]), fields, body

    def ask(self, path: str, method: str = "GET", more: str = "", body: str = "") -> tuple[int, dict[str, str], bytes]:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return self.send(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{length}{more}\r\n{body}")


class PageTests(_WebCase):
    def test_page(self) -> None:
        status, fields, body = self.ask("/?visitors=3")
        self.assertEqual((status, fields["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(int(fields["content-length"]), len(body))
        self.assertIn("script-src 'self'", fields["content-security-policy"])

    def test_files_of_the_page(self) -> None:
        _, _, page = self.ask("/")
        for path in ("/page.css", "/page.js", "/diagram.js"):
            self.assertEqual(self.ask(path)[0], 200, path)
        self.assertIn(b'src="/page.js"', page)

    def test_page_needs_no_internet_and_trusts_no_text(self) -> None:
        here = Path(gateway.demo.__file__).parent
        for name in ("page.html", "page.css", "page.js", "diagram.js"):
            text = (here / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            for word in (
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ):
                self.assertNotIn(word, text, name)

    def test_head(self) -> None:
        _, fields, body = self.ask("/", "HEAD")
        self.assertEqual(body, b"")
        self.assertGreater(int(fields["content-length"]), 1000)

    def test_unknown(self) -> None:
        for path in (
            "/nothing",
            "/page.html",
            "/../setup.py",
            "/api",
            "/api/backends",
            "/api/backends/blue",
            "/api/backends/pink/fail",
        ):
            self.assertEqual(self.ask(path)[0], 404, path)
        self.assertEqual(self.ask("/chat")[0], 400)

    def test_method(self) -> None:
        status, fields, _ = self.ask("/", "DELETE")
        self.assertEqual((status, fields["allow"]), (405, "GET, HEAD"))


class ApiTests(_WebCase):
    def test_who_am_i(self) -> None:
        _, fields, body = self.ask("/api/whoami")
        self.assertEqual((json.loads(body), fields["x-demo-backend"]), ({"backend": "blue"}, "blue"))

    def test_health(self) -> None:
        self.assertEqual(self.ask("/health")[0], 200)
        self.room.fail("blue")
        self.assertEqual(self.ask("/health")[0], 503)

    def test_state(self) -> None:
        self.assertEqual(json.loads(self.ask("/api/state")[2])["backends"][0]["name"], "blue")

    def control(
        self, word: str = "fail", more: str = "", kind: str = "application/json", host: str = "127.0.0.1:8080"
    ) -> int:
        return self.send(
            f"POST /api/backends/blue/{word} HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: 2\r\n{more}\r\n{{}}"
        )[0]

    def test_control(self) -> None:
        self.assertEqual((self.control("fail"), self.room.failing("blue")), (200, True))
        self.assertEqual((self.control("recover"), self.room.failing("blue")), (200, False))

    def test_same_origin(self) -> None:
        more = "Origin: http://127.0.0.1:8080\r\nSec-Fetch-Site: same-origin\r\n"
        self.assertEqual(
            (self.control(more=more, kind="application/json; charset=utf-8"), self.room.failing("blue")), (200, True)
        )

    def test_other_sites(self) -> None:
        for more in ("Origin: http://evil.example\r\n", "Origin: null\r\n", "Origin: http://127.0.0.1:8081\r\n",
                     "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n"):  # fmt: skip
            self.assertEqual(self.control(more=more), 403, more)
        self.assertEqual(self.control(kind="text/plain"), 415)
        self.assertEqual(self.control(host="rebound.example", more="Origin: http://rebound.example\r\n"), 421)
        self.assertFalse(self.room.failing("blue"))

    def test_get_changes_nothing(self) -> None:
        status, fields, _ = self.ask("/api/backends/blue/fail")
        self.assertEqual((status, fields["allow"]), (405, "POST"))
        self.assertFalse(self.room.failing("blue"))


class ConnectionTests(_WebCase):
    def test_keep_alive_and_pieces(self) -> None:
        """Requests may arrive one by one, all together, or byte by byte."""
        one = (
            b"POST /api/backends/blue/fail HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        )
        data = one + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2 + one
        whole, pieces = self.connect(), self.connect()
        whole[0].dataReceived(data)
        for byte in data:
            pieces[0].dataReceived(bytes([byte]))
        for _, transport in (whole, pieces):
            self.assertEqual(
                [part[:3] for part in transport.value().split(b"HTTP/1.1 ")[1:]], [b"200", b"503", b"503", b"200"]
            )
            self.assertFalse(transport.disconnecting)

    def test_close(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(
            b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        self.assertEqual(transport.value().count(b"HTTP/1.1 200"), 1)
        self.assertTrue(transport.disconnecting)

    def test_http_1_0(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertTrue(transport.disconnecting)

    def test_not_http(self) -> None:
        for data in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 40000):
            protocol, transport = self.connect()
            protocol.dataReceived(data)
            self.assertTrue(transport.value().startswith(b"HTTP/1.1 4"), data[:20])
            self.assertTrue(transport.disconnecting)

    def test_large_or_unknown_body(self) -> None:
        for field in ("Content-Length: 4097", "Transfer-Encoding: chunked"):
            self.assertEqual(self.send(f"POST / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n")[0], 413)

    def test_idle(self) -> None:
        protocol, transport = self.connect()
        self.clock.advance(100)
        protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        self.clock.advance(100)
        self.assertFalse(transport.aborted)
        self.clock.advance(20)
        self.assertTrue(transport.aborted)

    def test_lost(self) -> None:
        protocol, _ = self.connect()
        protocol.connectionLost()
        self.assertEqual((self.clock.getDelayedCalls(), self.factory.connections), ([], set()))

    def test_becomes_a_chat(self) -> None:
        """After a plain request, with a masked frame right behind the handshake: nothing is lost."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        transport.clear()
        text = b'{"type":"say","text":"early"}'
        frame = bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text
        protocol.dataReceived(UPGRADE.format(more="Origin: http://127.0.0.1:8080\r\n").encode() + frame)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 101"))
        self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", transport.value())
        self.assertIn(b'"text":"early"', transport.value())
        self.assertEqual(self.factory.connections, set())
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.room.visitors(), ())

    def test_chat_of_another_site(self) -> None:
        for more in ("Origin: http://evil.example\r\n", "Origin: null\r\n"):
            status, fields, _ = self.send(UPGRADE.format(more=more))
            self.assertEqual((status, fields["connection"]), (403, "close"))
        self.assertEqual(self.send(UPGRADE.format(more="").replace("127.0.0.1", "rebound.example"))[0], 421)
