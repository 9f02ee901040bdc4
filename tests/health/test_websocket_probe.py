"""`gateway.health.websocket_probe` and `gateway.health.websocket_check`."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost

from gateway.errors import BackendProtocolError
from gateway.health.check import CLOSE_SECONDS, MOST_BYTES
from gateway.health.websocket_check import FrameReader, masked_frame
from gateway.http.heads import parse_request
from gateway.testing import FakeConnection, ProbeConformance
from gateway.values import ProbeResult
from gateway.websocket.frames import FrameScanner
from gateway.websocket.handshake import accept_for, check_request
from tests.dialogue import frame
from tests.health.probing import StrategyCase

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of masked frames with short lengths."""
    found = []
    while data:
        assert data[1] & 0x80, "a frame of a client is masked"
        size = data[1] & 0x7F
        key, masked = data[2:6], data[6 : 6 + size]
        found.append((data[0] & 0x0F, bytes([byte ^ key[place % 4] for place, byte in enumerate(masked)])))
        data = data[6 + size :]
    return found


class WebSocketCase(StrategyCase):
    """Plays the backend."""

    strategy = "websocket"

    def key(self, connection: FakeConnection) -> str:
        """The key of the handshake, which is a good one."""
        return check_request(parse_request(connection.transport.value()))

    def switch(self, connection: FakeConnection, *more: str, behind: bytes = b"") -> None:
        """Agree."""
        accept = accept_for(self.key(connection))
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"]
        head = "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", *more, "", ""]).encode()
        connection.transport.clear()
        connection.receive(head + behind)

    def opened(self, options: dict[str, Any] | None = None, *more: str, **others: Any) -> tuple[FakeConnection, Any]:
        """A session in progress."""
        connection, deferred = self.begin(options, **others)
        self.switch(connection, *more)
        return connection, deferred

    def pong(self, connection: FakeConnection) -> bytes:
        """The answer to the ping that was sent."""
        return frame(PONG, next(payload for code, payload in frames_of(connection.transport.value()) if code == PING))

    def bad(self, connection: FakeConnection, deferred: Any, words: str) -> ProbeResult:
        """It is unhealthy, with these words."""
        result = self.over(connection, deferred)
        self.assertFalse(result.healthy, result)
        self.assertIn(words, result.reason)
        return result


class ConformanceTests(ProbeConformance, WebSocketCase):
    """As any probe."""

    def make_probe(self) -> Any:
        return self.make()

    def answer(self, healthy: bool) -> None:
        connection = self.road.connections[-1]
        connection.succeed()
        if healthy:
            self.switch(connection)
            connection.receive(self.pong(connection))
        else:
            connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class HandshakeTests(WebSocketCase):
    """The handshake is a real one."""

    def test_request(self) -> None:
        connection, _ = self.begin(
            {"subprotocol": "chat.v2", "origin": "https://app.example"}, path="/chat?probe=1", host="app.example"
        )
        head = parse_request(connection.transport.value())
        self.assertEqual(("/chat?probe=1", "app.example"), (head.target, head.host))
        self.assertEqual("chat.v2", head.get("sec-websocket-protocol"))
        self.assertEqual("https://app.example", head.get("origin"))
        self.assertIsNone(head.get("sec-websocket-extensions"))

    def test_key_is_random(self) -> None:
        keys = {self.key(self.begin()[0]) for _ in range(10)}
        self.assertEqual((10, {16}), (len(keys), {len(b64decode(key)) for key in keys}))

    def test_over_tls(self) -> None:
        connection, deferred = self.begin(tls_for=lambda *_: "tls", protocol="Https")
        self.assertEqual("tls", connection.tls)
        self.switch(connection)
        connection.receive(self.pong(connection))
        self.assertTrue(self.over(connection, deferred).healthy)

    def test_refused(self) -> None:
        connection, deferred = self.begin()
        connection.receive(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        result = self.bad(connection, deferred, "the answer to the WebSocket handshake was 404, not 101")
        self.assertEqual(404, result.status)

    def test_a_static_accept_is_found_out(self) -> None:
        """It would satisfy who looks at the status only."""
        connection, deferred = self.begin()
        connection.receive(
            b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        self.bad(connection, deferred, "does not answer the client's key")

    def test_subprotocol(self) -> None:
        chosen = "Sec-WebSocket-Protocol: chat"
        connection, deferred = self.opened({"subprotocol": "chat"}, chosen)
        connection.receive(self.pong(connection))
        self.assertTrue(self.over(connection, deferred).healthy)
        self.bad(*self.opened({"subprotocol": "chat"}), "did not choose the subprotocol 'chat'")
        self.bad(*self.opened({}, chosen), "did not offer")

    def test_extension(self) -> None:
        self.bad(*self.opened({}, "Sec-WebSocket-Extensions: permessage-deflate"), "did not offer")

    def test_not_http(self) -> None:
        connection, deferred = self.begin()
        connection.receive(b"220 mail.example\r\n\r\n")
        self.bad(connection, deferred, "the backend broke the protocol")

    def test_lost(self) -> None:
        connection, deferred = self.begin()
        connection.lose(ConnectionLost())
        self.bad(connection, deferred, "lost before there was an answer")

    def test_options(self) -> None:
        self.refused({"subprotocol": "a, b"}, "probes[0].options.subprotocol", "one word")
        self.refused({"pongTimeout": 0}, "probes[0].options.pongTimeout")
        self.refused({"origin": "a\r\nX: y"}, "probes[0].options.origin")
        self.refused({"expects": "x"}, "probes[0].options.expects")


class SessionTests(WebSocketCase):
    """Ping, messages, the end."""

    def test_ping_and_clean_close(self) -> None:
        connection, deferred = self.opened()
        self.clock.advance(0.025)
        answer = self.pong(connection)
        connection.transport.clear()
        connection.receive(frame(PING, b"hi") + frame(PONG, b"unasked") + answer)
        result: ProbeResult = self.successResultOf(deferred)
        self.assertEqual((True, "the session was opened, its ping answered in 25 ms", 101, 0.025), result[:4])
        self.assertEqual(
            [(PONG, b"hi"), (CLOSE, (1000).to_bytes(2, "big"))], frames_of(connection.transport.value())
        )
        self.assertFalse(connection.transport.disconnecting)
        connection.receive(frame(TEXT, b"late"))
        self.assertFalse(connection.transport.disconnecting)
        connection.receive(frame(CLOSE, b"\x03\xe8"))
        self.assertTrue(connection.transport.disconnecting)
        self.over(connection, deferred)

    def test_payload_is_random(self) -> None:
        payloads = {self.pong(self.opened()[0]) for _ in range(10)}
        self.assertEqual(10, len(payloads))

    def test_a_backend_that_does_not_close_is_cut(self) -> None:
        connection, deferred = self.opened()
        connection.receive(self.pong(connection))
        self.assertTrue(self.successResultOf(deferred).healthy)
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(connection.transport.aborted)

    def test_no_pong(self) -> None:
        connection, deferred = self.opened({"pongTimeout": 2})
        self.clock.advance(1.9)
        connection.receive(frame(PONG, b"another"))
        self.assertNoResult(deferred)
        self.clock.advance(0.1)
        self.bad(connection, deferred, "no pong within 2 s")

    def test_cancelled_while_waiting(self) -> None:
        connection, deferred = self.opened({"pongTimeout": 2})
        ended: list[Any] = []
        deferred.addBoth(ended.append)
        deferred.cancel()
        self.assertEqual((1, True), (len(ended), connection.transport.aborted))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_ping(self) -> None:
        connection, deferred = self.opened({"ping": False})
        self.assertEqual((True, "the session was opened"), self.successResultOf(deferred)[:2])
        self.assertEqual([CLOSE], [code for code, _ in frames_of(connection.transport.value())])

    def test_send_and_expect(self) -> None:
        connection, deferred = self.opened({"send": "who?", "expect": "I am", "ping": False})
        self.assertEqual([(TEXT, b"who?")], frames_of(connection.transport.value()))
        connection.receive(frame(TEXT, b"welcome"))
        connection.receive(frame(TEXT, b"... I ", fin=False) + frame(PING))
        self.assertNoResult(deferred)
        connection.receive(frame(0, b"am here"))
        self.assertIn("the expected text came", self.over(connection, deferred).reason)

    def test_two_messages_are_not_one(self) -> None:
        connection, deferred = self.opened({"expect": "I am", "ping": False})
        connection.receive(frame(TEXT, b"I ") + frame(TEXT, b"am"))
        self.assertNoResult(deferred)
        connection.receive(frame(CLOSE, (1011).to_bytes(2, "big")))
        self.bad(connection, deferred, "closed the session with 1011 before a message with 'I am' came")
        self.assertTrue(connection.transport.disconnecting)

    def test_both_are_waited_for(self) -> None:
        connection, deferred = self.opened({"expect": "hi"})
        connection.receive(frame(TEXT, b"hi"))
        self.assertNoResult(deferred)
        connection.receive(self.pong(connection))
        self.assertTrue(self.over(connection, deferred).healthy)

    def test_everything_in_one_segment(self) -> None:
        connection, deferred = self.begin({"expect": "hi", "ping": False})
        self.switch(connection, behind=frame(TEXT, b"hi") + frame(CLOSE))
        self.assertTrue(self.over(connection, deferred).healthy)
        self.assertTrue(connection.transport.disconnecting)

    def test_vanishes(self) -> None:
        connection, deferred = self.opened()
        connection.lose()
        self.bad(connection, deferred, "ended without a close frame before its pong came")

    def test_bounded(self) -> None:
        connection, deferred = self.opened({"expect": "hi"})
        connection.receive(frame(2, b"x" * MOST_BYTES, fin=False))
        self.assertNoResult(deferred)
        connection.receive(frame(0, b"x"))
        self.bad(connection, deferred, f"more than {MOST_BYTES} bytes came before its pong came")


class FrameTests(WebSocketCase):
    """What is read and written here is what the rest of the gateway reads."""

    def test_nonsense(self) -> None:
        masked, too_long = b"\x81\x80\0\0\0\0", b"\x89\x7e\x00\x80"
        for data in (b"\xc1\x00", masked, b"\x83\x00", too_long, b"\x09\x00", b"\x82\x7f" + b"\xff" * 8):
            connection, deferred = self.opened()
            connection.receive(data)
            self.bad(connection, deferred, "the backend broke the protocol")
            self.assertEqual(b"\x03\xea", frames_of(connection.transport.value())[-1][1])

    @given(st.binary(max_size=300), st.integers(1, 7))
    def test_split_anywhere(self, payload: bytes, step: int) -> None:
        data = frame(2, payload) + frame(PING, payload[:125])
        reader = FrameReader()
        found = [item for at in range(0, len(data), step) for item in reader.feed(data[at : at + step])]
        self.assertEqual([(2, True, payload), (PING, True, payload[:125])], found)

    @given(st.binary(max_size=400))
    def test_any_bytes(self, data: bytes) -> None:
        reader = FrameReader()
        try:
            reader.feed(data)
        except BackendProtocolError:
            pass

    @given(st.binary(max_size=70000 // 100))
    def test_written(self, payload: bytes) -> None:
        scanner = FrameScanner(True, len(payload))
        scanner.feed(masked_frame(TEXT, payload))
        self.assertEqual((1, True), (scanner.messages, scanner.at_boundary))
