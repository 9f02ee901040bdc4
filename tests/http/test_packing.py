"""Heads that wait in little memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.heads import parse_request
from gateway.http.packing import PackedHead
from gateway.values import Outcome, RequestHead

BROWSER = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com:8080\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, x-one, Upgrade, X-Two\r\nCookie: a=1\r\nX-Empty:\r\nX-Odd: caf\xe9 \t, more\r\n"
    b"Cookie: b=2\r\nAccept: a\r\naccept: b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class PackedHeadTests(SynchronousTestCase):
    """`PackedHead`."""

    def test_nothing_is_lost(self) -> None:
        plain = b"OPTIONS * HTTP/1.0\r\n\r\n"
        for data in (BROWSER, plain, b"GET http://a.test/b HTTP/1.1\r\nHost: other\r\nUpgrade: x\r\n\r\n"):
            head = parse_request(data)
            unpacked = PackedHead(head).head()
            self.assertEqual(head, unpacked)
            self.assertEqual(dict(head.index), unpacked.index)

    def test_a_listener_of_plain_tcp_has_a_head_too(self) -> None:
        head = RequestHead("CONNECT", "", "1.1", "name.test", (), {})
        self.assertEqual(head._replace(fields=[]), PackedHead(head).head())

    def test_an_outcome_unpacks_it_for_each_who_asks(self) -> None:
        head = parse_request(BROWSER)
        outcome = Outcome(head=head)
        outcome.packed = PackedHead.head, PackedHead(head)
        del outcome.head
        self.assertEqual(head, outcome.head)
        self.assertIsNot(outcome.head, outcome.head)
        self.assertNotIn("head", vars(outcome))

    def test_an_outcome_without_a_head(self) -> None:
        self.assertIsNone(Outcome().head)
