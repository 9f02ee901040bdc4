"""`gateway.transport.hello`: hellos of OpenSSL's, and such as nobody sends who means well."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.transport.hello import MOST_HELLO, MOST_LOOKS, Ear, Hello, read_hello, suite_names
from tests.certificates import TestCA
from tests.handshakes import client_connection, client_context, returning, server_context

LEAF = TestCA().issue(names=["a.example"])
SUITES = bytes.fromhex("13011302c02b00ff")
NOTHING = Hello()
KNOWN = Hello(SUITES, b"a.example")


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    """The extension of that name (RFC 6066 §3)."""
    entry = bytes([kind]) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


def message(
    suites: bytes = SUITES, session: bytes = b"s" * 32, *, kind: int = 1,
    extensions: bytes | None = extension(51, b"k" * 1200) + server_name(b"a.example") + extension(43, b"\2\3\4"),
) -> bytes:  # fmt: skip
    """A ClientHello, without the record around it."""
    body = b"\3\3" + b"r" * 32 + bytes([len(session)]) + session + len(suites).to_bytes(2) + suites + b"\1\0"
    if extensions is not None:
        body += len(extensions).to_bytes(2) + extensions
    return bytes([kind]) + len(body).to_bytes(3) + body


def pre_shared_key(*identities: bytes) -> bytes:
    """The extension of that name (RFC 8446 §4.2.11), without binders: nobody looks at them."""
    listed = b"".join([len(each).to_bytes(2) + each + b"\0\0\0\0" for each in identities])
    return extension(41, len(listed).to_bytes(2) + listed)


def records(payload: bytes, size: int = 16384, kind: int = 22) -> bytes:
    """``payload`` in records of ``size`` bytes at most."""
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    return b"".join([bytes([kind]) + b"\3\1" + len(piece).to_bytes(2) + piece for piece in pieces])


class HelloTests(SynchronousTestCase):
    """What a hello says."""

    def test_of_openssl(self) -> None:
        for highest, expected in (
            (SSL.TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256"),
            (SSL.TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256"),
        ):
            context = client_context(highest=highest, ciphers=b"ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA256")
            context.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256")
            for name in ("a.example", None):
                client = client_connection(context, name)
                self.assertRaises(SSL.WantReadError, client.do_handshake)
                found = read_hello(client.bio_read(16384)) or NOTHING
                names = suite_names(found.suites).removesuffix(":TLS_EMPTY_RENEGOTIATION_INFO_SCSV")
                self.assertEqual((expected, (name or "").encode()), (names, found.name))

    def test_tickets_of_openssl(self) -> None:
        """A client that comes back says the name in its ticket: the same each time, and another one elsewhere."""
        one, other = server_context(LEAF), server_context(LEAF)
        for highest in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            names = []
            for server in (one, one, other):
                client = returning(server, highest, "a.example")
                self.assertRaises(SSL.WantReadError, client.do_handshake)
                hello = client.bio_read(16384)
                found = read_hello(hello) or NOTHING
                self.assertIn(found.ticket, hello)
                self.assertEqual((16, b"a.example"), (len(found.ticket), found.name))
                names.append(found.ticket)
            self.assertEqual(names[0], names[1])
            self.assertNotEqual(names[0], names[2])

    def test_tickets(self) -> None:
        """The beginning of one; a client that knows TLS 1.3 may say two, and the newer one counts."""
        old, new = b"o" * 100, b"n" * 100
        for what, extensions, expected in (
            ("none yet", extension(35, b""), b""),
            ("TLS 1.2", extension(35, old), b"o" * 16),
            ("TLS 1.3", pre_shared_key(new), b"n" * 16),
            ("the first of several", pre_shared_key(new, old), b"n" * 16),
            ("both", extension(35, old) + pre_shared_key(new), b"n" * 16),
            ("a name and nothing else", extension(35, b"o" * 16), b"o" * 16),
            ("too short for a name", extension(35, b"o" * 15), b""),
            ("a key that both know", pre_shared_key(b"me"), b""),
        ):
            hello = records(message(extensions=server_name(b"a.example") + extensions))
            self.assertEqual(Hello(SUITES, b"a.example", expected), read_hello(hello), what)

    def test_in_pieces(self) -> None:
        """Nothing is said before all is here, and nothing else afterwards; the records do not matter."""
        for session in (b"", b"s" * 32):
            for size in (7, 50, 16384):
                hello = records(message(session=session), size)
                said = [read_hello(hello[:end]) for end in range(len(hello) + 1)]
                self.assertEqual(([None] * len(hello), KNOWN), (said[:-1], said[-1]))

    def test_early_data(self) -> None:
        """What comes behind it does not matter."""
        early = records(b"\1", kind=20) + records(b"x" * 20000, kind=23)
        self.assertEqual(KNOWN, read_hello(records(message()) + early))

    def test_without_extensions(self) -> None:
        for extensions in (None, b"", extension(51, b"k" * 1200), server_name(b"x", kind=1)):
            self.assertEqual(Hello(SUITES), read_hello(records(message(extensions=extensions))))

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
            self.assertEqual(NOTHING, read_hello(data), what)

    def test_lying_lengths(self) -> None:
        """They are not waited for; OpenSSL will say what is wrong."""
        hello = message()
        name, key = server_name(b"a.example"), pre_shared_key(b"k" * 40)
        for what, data in (
            ("half a suite", message(SUITES + b"\1")),
            ("a list longer than its message", hello[:71] + b"\xff\xfe" + hello[73:]),
            ("a message shorter than its list", b"\1\0\0\x2a" + hello[4:]),
            ("a long session id", message(session=b"s" * 33)),
            ("an empty message", b"\1\0\0\0" + hello[4:]),
            ("a message that is over too early", b"\1\0\0\1x"),
            ("a message without end", b"\1\xff\xff\xff" + hello[4:]),
            ("extensions longer than the message", message(extensions=None) + b"\0\0\0"),
            ("an extension longer than all", message(extensions=name[:3] + b"\xff" + name[4:])),
            ("a list of names longer than its extension", message(extensions=name[:5] + b"\xff" + name[6:])),
            ("a name longer than the list", message(extensions=name[:8] + b"\xff" + name[9:])),
            ("a list of keys longer than its extension", message(extensions=key[:5] + b"\xff" + key[6:])),
            ("a key longer than the list", message(extensions=key[:7] + b"\xff" + key[8:])),
            ("a list of keys without a list", message(extensions=extension(41, b"\0"))),
            ("a list of no keys", message(extensions=extension(41, b"\0\0"))),
        ):
            if what.startswith("extensions"):
                data = b"\1" + (len(data) - 4).to_bytes(3) + data[4:-3] + b"\xff\xff\0"
            self.assertEqual(NOTHING, read_hello(records(data)), what)

    def test_bounded(self) -> None:
        """What does not end in time is none; what is said of it has a limit."""
        longest = message(extensions=extension(51, b"k" * 16000))
        self.assertEqual(Hello(SUITES), read_hello(records(longest)))
        endless = records(message(extensions=extension(51, b"k" * 40000)), 1000)
        self.assertIsNone(read_hello(endless[:5]))
        self.assertEqual(NOTHING, read_hello(endless[:9]), "it says itself how long it is")
        self.assertGreater(len(records(longest, 1)), MOST_HELLO)
        self.assertEqual(NOTHING, read_hello(records(longest, 1)))
        many = read_hello(records(message(bytes.fromhex("c0af") * 5000))) or NOTHING
        self.assertEqual(700, len(many.suites) // 2)
        self.assertLess(len(suite_names(many.suites)), 32768, "what a text may have")

    @given(st.binary(max_size=200), st.integers(0, 120), st.integers(1, 20))
    def test_never_fails(self, noise: bytes, at: int, size: int) -> None:
        for hello in (noise, b"\x16\3\1" + noise, records(message(), size)[:at] + noise):
            found = read_hello(hello)
            self.assertTrue(found is None or len(found.suites) % 2 == 0)

    @given(st.integers(0, 1000), st.binary(min_size=1, max_size=4))
    def test_never_fails_on_changed_ones(self, at: int, change: bytes) -> None:
        extensions = server_name(b"a.example") + extension(35, b"t" * 20) + pre_shared_key(b"k" * 20)
        hello = records(message(extensions=extensions))
        at %= len(hello)
        found = read_hello(hello[:at] + change + hello[at + len(change) :])
        self.assertIn(0 if found is None else len(found.ticket), (0, 16))

    @given(
        st.binary(min_size=1, max_size=300).map(lambda drawn: drawn * 2), st.binary(max_size=260),
        st.binary(max_size=60), st.booleans(), st.integers(10, 400),
    )  # fmt: skip
    def test_what_is_said(self, suites: bytes, name: bytes, ticket: bytes, new: bool, size: int) -> None:
        extensions = extension(51, b"k" * 100) + server_name(name)
        extensions += pre_shared_key(ticket) if new else extension(35, ticket)
        hello = records(message(suites, extensions=extensions), size)
        self.assertEqual(Hello(suites, name, ticket[:16] if len(ticket) > 15 else b""), read_hello(hello))


class EarTests(SynchronousTestCase):
    """How long is waited."""

    def test_in_pieces(self) -> None:
        hello = records(message())
        ear = Ear()
        said = [ear.hear(hello[:end]) for end in (1, 5, 100, 1000, len(hello))]
        self.assertEqual([None] * 4 + [KNOWN], said)

    def test_nothing_new(self) -> None:
        ear = Ear()
        self.assertEqual([None, NOTHING], [ear.hear(b"\x16"), ear.hear(b"\x16")])

    def test_too_often(self) -> None:
        """Whoever sends byte after byte would make the same bytes be looked at again and again."""
        hello = records(message(), 1)
        ear = Ear()
        before = time.process_time()
        said = [ear.hear(hello[:end]) for end in range(1, MOST_LOOKS + 1)]
        self.assertEqual([None] * (MOST_LOOKS - 1) + [NOTHING], said)
        self.assertLess(time.process_time() - before, 0.5)


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
