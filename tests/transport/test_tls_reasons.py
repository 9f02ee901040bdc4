"""What the operator reads when a backend answers a ClientHello with something else.

The sentences for certificates are tested where they are refused: `tests.upstream.test_tls`.
"""

from __future__ import annotations

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.errors import BackendTLSFailed
from gateway.transport.tls_reasons import explain, printable
from tests.handshakes import client_connection, client_context


class ExplainTests(SynchronousTestCase):
    """What a backend says that is no handshake."""

    def answer(self, data: bytes) -> str:
        client = client_connection(client_context(), "api.example")
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        if data:
            client.bio_write(data)
        else:
            client.bio_shutdown()
        error = self.assertRaises(SSL.Error, client.do_handshake)
        return explain(client, error)

    def test_plain_http(self) -> None:
        self.assertIn("does not speak TLS on this port", self.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    def test_garbage(self) -> None:
        self.assertIn("does not speak TLS on this port", self.answer(b"SSH-2.0-OpenSSH_9.2\r\n"))

    def test_closed(self) -> None:
        self.assertIn("closed the connection during the TLS handshake", self.answer(b""))

    def test_alerts(self) -> None:
        for number, expected in (
            (40, "no common cipher"),
            (70, "neither TLS 1.2 nor TLS 1.3"),
            (112, "does not know the server name"),
            (116, "wants a client certificate"),
            (120, "does not offer HTTP/1.1"),
        ):
            self.assertIn(expected, self.answer(b"\x15\x03\x03\x00\x02\x02" + bytes([number])), number)

    def test_something_else(self) -> None:
        sentence = self.answer(b"\x15\x03\x03\x00\x02\x02" + bytes([80]))
        self.assertIn("the TLS handshake with the backend failed", sentence)
        self.assertIn("internal error", sentence)
        self.assertIn("ValueError", explain(client_connection(client_context()), ValueError("x")))

    def test_own_words(self) -> None:
        error = BackendTLSFailed("the reason")
        self.assertEqual("the reason", explain(client_connection(client_context()), error))

    def test_printable(self) -> None:
        self.assertEqual("a??b", printable("a\r\nb"))
        self.assertEqual("x" * 100 + "...", printable("x" * 1000))
