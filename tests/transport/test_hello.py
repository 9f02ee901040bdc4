"""`gateway.transport.hello`: hellos of OpenSSL's, and such as nobody sends who means well."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.hello import MOST_HELLO, offered_suites, suite_names
from tests.handshakes import client_connection, client_context

SUITES = bytes.fromhex("13011302c02b00ff")


def message(suites: bytes = SUITES, session: bytes = b"s" * 32, *, rest: bytes = b"\1\0\0\0", kind: int = 1) -> bytes:
    """A ClientHello, without the record around it."""
    body = b"\3\3" + b"r" * 32 + bytes([len(session)]) + session + len(suites).to_bytes(2) + suites + rest
    return bytes([kind]) + len(body).to_bytes(3) + body


def records(payload: bytes, size: int = 16384, kind: int = 22) -> bytes:
    """``payload`` in records of ``size`` bytes at most."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    return b"".join([bytes([kind]) + b"\3\1" + len(piece).to_bytes(2) + piece for piece in pieces])


class OfferTests(SynchronousTestCase):
    """What a hello says."""

    def test_of_openssl(self) -> None:
        for highest, expected in (
            (SSL.TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256"),
            (SSL.TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256"),
        ):
            context = client_context(highest=highest, ciphers=b"ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256")
            context.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256")
            client = client_connection(context, "a.example")
            self.assertRaises(SSL.WantReadError, client.do_handshake)
            names = suite_names(offered_suites(client.bio_read(16384)) or b"")
            self.assertEqual(expected, names.removesuffix(":TLS_EMPTY_RENEGOTIATION_INFO_SCSV"))

    def test_in_pieces(self) -> None:
        """Nothing is said before the whole list is here, and nothing else afterwards; the records do not matter."""
        for session in (b"", b"s" * 32):
            for size in (1, 2, 7, 50, 16384):
                hello = records(message(session=session), size)
                said = [offered_suites(hello[:end]) for end in range(len(hello) + 1)]
                first = said.index(SUITES)
                self.assertEqual({None}, set(said[:first]))
                self.assertEqual({SUITES}, set(said[first:]))

    def test_what_follows_does_not_matter(self) -> None:
        self.assertEqual(SUITES, offered_suites(records(message()) + b"GET / HTTP/1.1" * 1000))

    def test_no_hello(self) -> None:
        for what, data in (
            ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("SSL 2", b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + b"\0" * 40),
            ("an alert", records(b"\2\50", kind=21)),
            ("a ServerHello", records(message(kind=2))),
            ("a hello, then an alert in the middle of it", records(message()[:20]) + records(b"\2\50", kind=21)),
            ("a record without content", b"\x16\3\1\0\0" + records(message())),
            ("a record that is too long", b"\x16\3\1\xff\xff" + message()),
        ):
            self.assertEqual(b"", offered_suites(data), what)

    def test_lying_lengths(self) -> None:
        """They are not waited for; OpenSSL will say what is wrong."""
        hello = message()
        for what, data in (
            ("half a suite", message(SUITES + b"\1")),
            ("a list longer than its message", hello[:71] + b"\xff\xfe" + hello[73:]),
            ("a message shorter than its list", b"\1\0\0\x2a" + hello[4:]),
            ("a long session id", hello[:38] + b"\x21" + hello[39:]),
            ("an empty message", b"\1\0\0\0" + hello[4:]),
            ("a message that is over too early", b"\1\0\0\1x"),
        ):
            self.assertEqual(b"", offered_suites(records(data)), what)
        self.assertEqual(b"", offered_suites(records(message(b""))), "nothing is offered")

    def test_bounded(self) -> None:
        """A list that does not end in time is none; it takes no more than what fits."""
        most = SUITES * ((MOST_HELLO - 5 - 38 - 33 - 2) // len(SUITES))
        self.assertEqual(most, offered_suites(records(message(most))))
        endless = records(message(SUITES * 4000), 16384)
        self.assertIsNone(offered_suites(endless[: MOST_HELLO - 1]))
        self.assertEqual(b"", offered_suites(endless[:MOST_HELLO]))
        self.assertEqual(b"", offered_suites(endless))
        self.assertEqual(b"", offered_suites(records(message(), 1) [:2] + b"\1\0\1\1" * MOST_HELLO))
        self.assertLess(len(suite_names(bytes.fromhex("c0af") * (MOST_HELLO // 2))), 32768, "what a text may have")

    def test_time(self) -> None:
        """A client that sends byte after byte makes the same bytes be looked at again and again."""
        hello = records(message(SUITES * 180), 1)
        before = time.process_time()
        for end in range(min(MOST_HELLO, len(hello)) + 1):
            offered_suites(hello[:end])
        self.assertLess(time.process_time() - before, 1.0)

    @given(st.binary(max_size=200), st.integers(0, 120), st.integers(1, 20))
    def test_never_fails(self, noise: bytes, at: int, size: int) -> None:
        for hello in (noise, b"\x16\3\1" + noise, records(message(), size)[:at] + noise):
            found = offered_suites(hello)
            self.assertTrue(found is None or len(found) % 2 == 0)

    @given(st.binary(min_size=1, max_size=300).map(lambda drawn: drawn * 2), st.integers(1, 400))
    def test_what_is_offered_is_what_is_said(self, suites: bytes, size: int) -> None:
        hello = records(message(suites), size)
        self.assertEqual(suites if len(records(message(suites, rest=b""), size)) <= MOST_HELLO else b"",
                         offered_suites(hello) or b"")  # fmt: skip


class NameTests(SynchronousTestCase):
    """As nginx's ``$ssl_ciphers``."""

    def test_names(self) -> None:
        grease = bytes.fromhex("2a2a")
        self.assertEqual(
            "0x2a2a:TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:0xfefe:TLS_FALLBACK_SCSV",
            suite_names(grease + bytes.fromhex("1301c02f002ffefe5600")),
        )

    def test_none(self) -> None:
        self.assertEqual("", suite_names(b""))

    def test_without_the_functions(self) -> None:
        """Other bindings: numbers are better than nothing."""
        from gateway.transport import hello, openssl

        self.patch(openssl, "_lib", object())
        hello._name.cache_clear()
        self.addCleanup(hello._name.cache_clear)
        self.assertEqual("0x1301:0xc02f", suite_names(bytes.fromhex("1301c02f")))
