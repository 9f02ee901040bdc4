"""What a backend is told of the client, and whom the gateway believes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.http.forwarded import ForwardedFields, TrustedProxies, client_address, client_network
from gateway.http.heads import parse_request
from gateway.testing import request_head
from gateway.values import Peer, RequestHead
from tests.dialogue import OK, DialogueCase

TRACE = "0123456789abcdefABCDEF0123456789"
SPOOFED = (
    b"GET /a?b HTTP/1.1\r\nHost: example.com:8080\r\nX-Forwarded-For: 198.51.100.1\r\nx-forwarded-proto: https\r\n"
    b"X-Forwarded-Port: 443\r\nX-Forwarded-Host: evil\r\nX-Original-Host: www.example.com\r\nX-Original-URL: /first\r\n"
    b"X-AppGW-Trace-Id: " + TRACE.encode() + b"\r\nForwarded: for=1.2.3.4\r\n\r\n"
)


class TrustedProxiesTests(SynchronousTestCase):
    """`TrustedProxies`."""

    def test_nobody_is_trusted_by_default(self) -> None:
        self.assertFalse(TrustedProxies().trusts("127.0.0.1"))

    def test_addresses_of_a_network_are(self) -> None:
        trusted = TrustedProxies(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"])
        for host in ("10.1.2.3", "2001:db8::1", "192.0.2.1", "::ffff:10.0.0.1"):
            self.assertTrue(trusted.trusts(host), host)
        for host in ("11.0.0.1", "2001:db9::1", "192.0.2.2", "", "example.com", "::ffff:11.0.0.1"):
            self.assertFalse(trusted.trusts(host), host)

    def test_a_zone_is_no_part_of_an_address(self) -> None:
        self.assertTrue(TrustedProxies(["fe80::/10"]).trusts("fe80::1%eth0"))

    def test_a_network_may_be_written_with_host_bits(self) -> None:
        self.assertTrue(TrustedProxies(["10.1.2.3/8"]).trusts("10.9.9.9"))


class ForwardedFieldsTests(SynchronousTestCase):
    """`ForwardedFields`."""

    def lines(self, head: RequestHead, trusted: bool) -> dict[str, str]:
        fields = ForwardedFields(Peer("203.0.113.7", 50000), "http", 80, trusted)
        text = fields.lines(head, fields.trace_id(head) or "new")
        self.assertTrue(text.endswith("\r\n"))
        return dict(line.split(": ", 1) for line in text.split("\r\n")[:-1])

    def test_a_proxy_is_not_believed_what_cannot_be(self) -> None:
        for proto, port, expected in (
            ("HTTPS", "443", ("https", "443")),
            ("wss", "65535", ("http", "65535")),
            ("https, http", "65536", ("http", "80")),
            ("", "0", ("http", "80")),
            ("javascript:", "080", ("http", "80")),
            ("http", "-1", ("http", "80")),
            ("http", "8 0", ("http", "80")),
        ):
            raw = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Port: {port}\r\n\r\n"
            lines = self.lines(parse_request(raw.encode()), True)
            self.assertEqual(expected, (lines["X-Forwarded-Proto"], lines["X-Forwarded-Port"]))

    def test_a_stranger_is_not_believed(self) -> None:
        self.assertEqual(
            {
                "X-Forwarded-For": "203.0.113.7:50000",
                "X-Forwarded-Proto": "http",
                "X-Forwarded-Port": "80",
                "X-Original-Host": "example.com:8080",
                "X-Original-URL": "/a?b",
                "X-AppGW-Trace-Id": "new",
            },
            self.lines(parse_request(SPOOFED), False),
        )

    def test_a_trusted_proxy_is(self) -> None:
        self.assertEqual(
            {
                "X-Forwarded-For": "198.51.100.1, 203.0.113.7:50000",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Port": "443",
                "X-Original-Host": "www.example.com",
                "X-Original-URL": "/first",
                "X-AppGW-Trace-Id": TRACE,
                "X-Forwarded-Host": "evil",
                "Forwarded": "for=1.2.3.4",
            },
            self.lines(parse_request(SPOOFED), True),
        )

    def test_what_else_a_trusted_proxy_says_goes_on_as_it_came(self) -> None:
        said = ["X-Forwarded-Prefix: /shop", "x-forwarded-user: ann", "X-Forwarded-User: \xe4", "X-Original-Uri: /a"]
        unsaid = ["X-Forwarded-Hop: 1", "X-Forwarded-_User: eve", "Connection: x-forwarded-hop", "X-Other: 1"]
        raw = "\r\n".join(["GET / HTTP/1.1", "Host: a", *said, *unsaid, "", ""]).encode("latin-1")
        for trusted, more in ((True, said), (False, [])):
            fields = ForwardedFields(Peer("10.0.0.9", 1), "http", 80, trusted)
            self.assertEqual([*more, ""], fields.lines(parse_request(raw), "t").split("\r\n")[6:])

    def test_the_port_of_a_proxys_scheme(self) -> None:
        """Not the gateway's own, which belongs to another scheme."""
        for host, more, expected in (
            ("a", "X-Forwarded-Proto: https", "443"),
            ("a", "X-Forwarded-Proto: http", "80"),
            ("a:8443", "X-Forwarded-Proto: https", "8443"),
            ("8443", "X-Forwarded-Proto: https", "443"),
            ("[::1]", "X-Forwarded-Proto: https", "443"),
            ("[::1]:444", "X-Forwarded-Proto: https\r\nX-Forwarded-Port: x", "444"),
            ("a:8443", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test", "443"),
            ("a:1", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test:444, b:1", "444"),
            ("a:1", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: /:444", "443"),
            ("a:1", "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 445", "445"),
            ("a:1", "X-Forwarded-Host: shop.test:444", "8080"),
            ("a:1", "X-Forwarded-Proto: wss", "8080"),
        ):
            head = parse_request(f"GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n\r\n".encode())
            lines = ForwardedFields(Peer("10.0.0.9", 1), "http", 8080, True).lines(head, "t")
            self.assertIn(f"X-Forwarded-Port: {expected}\r\n", lines, (host, more))

    def test_what_a_trusted_proxy_does_not_say_is_filled_in(self) -> None:
        plain = self.lines(parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), True)
        self.assertEqual(("203.0.113.7:50000", "http", "80"), tuple(plain.values())[:3])

    def test_a_trace_id_has_32_hexadecimal_digits(self) -> None:
        fields = ForwardedFields(Peer("10.0.0.9", 1), "http", 80, True)
        for wrong in (TRACE[:-1], TRACE + "0", TRACE[:-1] + "g", ""):
            head = parse_request(f"GET / HTTP/1.1\r\nHost: a\r\nX-AppGW-Trace-Id: {wrong}\r\n\r\n".encode())
            self.assertIsNone(fields.trace_id(head), wrong)

    def test_an_address_of_version_6_has_brackets(self) -> None:
        head = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        lines = ForwardedFields(Peer("2001:db8::7", 443), "https", 443, False).lines(head, "t")
        self.assertTrue(lines.startswith("X-Forwarded-For: [2001:db8::7]:443\r\nX-Forwarded-Proto: https\r\n"), lines)


class ClientAddressTests(SynchronousTestCase):
    """`client_address`."""

    def address(self, chain: str | None, peer: str = "10.0.0.9") -> str:
        head = request_head(fields=[] if chain is None else [("X-Forwarded-For", chain)])
        return client_address(Peer(peer, 1), head, TrustedProxies(["10.0.0.0/8", "fd00::/8"]))

    def test_a_stranger_is_who_it_is(self) -> None:
        self.assertEqual("203.0.113.7", self.address("198.51.100.1", "203.0.113.7"))

    def test_behind_proxies_it_is_the_last_that_is_none(self) -> None:
        for chain in ("198.51.100.1", "198.51.100.1:4711", "1.1.1.1, 198.51.100.1, 10.0.0.7", "x,198.51.100.1,fd00::1"):
            self.assertEqual("198.51.100.1", self.address(chain), chain)
        self.assertEqual("2001:db8::7", self.address("[2001:db8::7]:443, [fd00::1]:80"))
        self.assertEqual("2001:db8::7", self.address("2001:DB8::7"))

    def test_what_is_no_address_ends_the_way(self) -> None:
        for chain in (None, "", "unknown", "198.51.100.1, nonsense", "_hidden:1"):
            self.assertEqual("10.0.0.9", self.address(chain), chain)
        self.assertEqual("10.0.0.7", self.address("nonsense, 10.0.0.7"))


class ClientNetworkTests(SynchronousTestCase):
    """What clients are told apart by."""

    def test_same_and_other(self) -> None:
        """An IPv6 client has a /64; one that comes by way of IPv6 with an IPv4 address is that address."""
        for one, another, same in (
            ("2001:db8::1", "2001:db8::ffff%eth0", True), ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True), ("::c000:201", "192.0.2.1", False),
            ("192.0.2.1", "192.0.2.2", False),
        ):  # fmt: skip
            self.assertEqual(same, client_network(one) == client_network(another), (one, another))
        self.assertEqual(client_network("192.0.2.1", v4_prefix=24), client_network("192.0.2.2", v4_prefix=24))
        self.assertNotEqual(client_network("2001:db8::1", v6_prefix=128), client_network("2001:db8::2", v6_prefix=128))
        self.assertEqual("@socket", client_network("@socket"))


class PassedOnTests(DialogueCase):
    """What arrives at the backend: each field once."""

    def test_spoofed_fields_of_a_stranger_do_not_arrive(self) -> None:
        gateway = self.gateway()
        client = gateway.client()
        client.sends(SPOOFED)
        head = gateway.backend(0).gets_something().decode()
        self.assertEqual(1, head.lower().count("x-forwarded-for:"))
        for spoofed in ("198.51.100.1", "evil", "www.example.com", "/first", TRACE, "for=1.2.3.4"):
            self.assertNotIn(spoofed, head)
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        self.assertNotEqual(TRACE, gateway.recorded("200 ok").trace_id)

    def test_those_of_a_trusted_proxy_do_and_its_trace_id_is_logged(self) -> None:
        gateway = self.gateway(trusted=["10.9.0.0/16"])
        client = gateway.client("10.9.0.1")
        client.sends(SPOOFED)
        chain = "X-Forwarded-For: 198.51.100.1, 10.9.0.1:50000"
        gateway.backend(0).gets(
            "GET /a?b", chain, f"X-AppGW-Trace-Id: {TRACE}", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4"
        )
        gateway.backend(0).sends(OK)
        client.gets("HTTP/1.1 200 OK", body=b"hello")
        self.assertEqual(TRACE, gateway.recorded("200 ok").trace_id)
