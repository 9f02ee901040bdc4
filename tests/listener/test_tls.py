"""Listener contexts: which certificate by server name, versions, ALPN, resumption. Real handshakes in memory."""

from __future__ import annotations

import socket

from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import gateway.listener.tls
from gateway.config import model
from gateway.listener.certificates import ServerCertificate, load
from gateway.listener.terms import CIPHERS, Authorities, Terms
from gateway.listener.tls import ServerTLS, usable
from gateway.transport.hello import Hello, read_hello
from tests.certificates import TestCA
from tests.handshakes import Handshake, client_connection, client_context, returning, server_connection

CA = TestCA()


def listener(*certificates: str, hosts: tuple[str, ...] = (), name: str = "https") -> model.HttpListener:
    return model.HttpListener(name=name, port=443, protocol="Https", host_names=hosts, certificates=certificates)


def certificate(name: str, *names: str) -> ServerCertificate:
    return load(CA.issue(names=names).certificate(name))


def shake(tls: ServerTLS, server_name: str | None = None, context: SSL.Context | None = None) -> Handshake:
    client = client_connection(context or client_context(), server_name)
    return Handshake(client, server_connection(tls.getContext()))


class ServerNameTests(SynchronousTestCase):
    """Which certificate a client is shown."""

    one = certificate("one", "one.example")
    two = certificate("two", "two.example", "*.two.example")
    both = {"one": one, "two": two}

    def assertShown(self, expected: ServerCertificate, tls: ServerTLS, server_name: str | None) -> None:
        done = shake(tls, server_name)
        self.assertIsNone(done.client_error)
        self.assertIsNone(done.server_error)
        self.assertEqual(expected.leaf, done.client.get_peer_certificate(as_cryptography=True), server_name)
        self.assertIs(expected, tls.certificate_for(server_name))

    def test_host_name_of_a_listener(self) -> None:
        tls = ServerTLS([listener("one", hosts=("a.example",)), listener("two", hosts=("b.example",))], self.both)
        self.assertShown(self.one, tls, "a.example")
        self.assertShown(self.two, tls, "b.example")
        self.assertShown(self.two, tls, "B.Example")

    def test_unknown_or_absent(self) -> None:
        # reference §7.2: the first HTTPS listener's
        tls = ServerTLS([listener("two", hosts=("b.example",)), listener("one", hosts=("a.example",))], self.both)
        self.assertShown(self.two, tls, None)
        self.assertShown(self.two, tls, "unknown.example")

    def test_wildcard_host(self) -> None:
        tls = ServerTLS([listener("one"), listener("two", hosts=("*.b.example", "w?.c.example"))], self.both)
        self.assertShown(self.two, tls, "x.b.example")
        self.assertShown(self.two, tls, "x.y.b.example")
        self.assertShown(self.two, tls, "w1.c.example")
        self.assertShown(self.one, tls, "b.example")
        self.assertShown(self.one, tls, "w12.c.example")

    def test_exact_host_before_wildcard(self) -> None:
        tls = ServerTLS([listener("one", hosts=("*.example",)), listener("two", hosts=("b.example",))], self.both)
        self.assertShown(self.two, tls, "b.example")
        self.assertShown(self.one, tls, "c.example")

    def test_subject_names(self) -> None:
        tls = ServerTLS([listener("one", "two")], self.both)
        self.assertShown(self.one, tls, "one.example")
        self.assertShown(self.two, tls, "two.example")
        self.assertShown(self.two, tls, "x.two.example")
        self.assertShown(self.one, tls, "x.y.two.example")

    def test_several_certificates_of_a_listener(self) -> None:
        tls = ServerTLS([listener("one", "two", hosts=("*.example", "*.two.example"))], self.both)
        self.assertShown(self.two, tls, "two.example")
        self.assertShown(self.two, tls, "x.two.example")
        self.assertShown(self.one, tls, "neither.example")

    def test_longest_name(self) -> None:
        self.assertShown(self.one, ServerTLS([listener("one", "two")], self.both), "x" * 255)

    def test_replace(self) -> None:
        tls = ServerTLS([listener("one")], self.both)
        begun = server_connection(tls.getContext())
        tls.replace([listener("two")], self.both)
        self.assertShown(self.two, tls, None)
        done = Handshake(client_connection(client_context()), begun)
        self.assertEqual(self.one.leaf, done.client.get_peer_certificate(as_cryptography=True))

    def test_replace_by_something_bad(self) -> None:
        tls = ServerTLS([listener("one")], self.both)
        weak = load(CA.issue(names=["w"], key=rsa.generate_private_key(65537, 1024)).certificate("weak"))
        self.assertRaises(ValueError, tls.replace, [listener("weak")], {"weak": weak})
        self.assertShown(self.one, tls, None)

    def test_become_one_that_wants_offers(self) -> None:
        """That the context stays does not matter for it."""
        tls = ServerTLS([listener("one")], self.both)
        context = tls.getContext()
        tls.become(ServerTLS([listener("one")], self.both, wants_offers=True))
        self.assertEqual((True, context), (tls.listens, tls.getContext()))
        tls.replace([listener("two")], self.both)
        self.assertTrue(tls.listens, "other certificates are no reason to forget it")
        self.assertEqual(b"\x13\1", tls.meet(server_connection(context), Hello(b"\x13\1", b"")))

    def test_interface(self) -> None:
        verifyObject(IOpenSSLContextFactory, ServerTLS([listener("one")], self.both))

    def test_no_certificate(self) -> None:
        error = self.assertRaises(ValueError, ServerTLS, [listener()], {})
        self.assertIn("at least one certificate", str(error))

    def test_placeholder_instead_of_a_certificate(self) -> None:
        """One that could not be loaded is not among those given: the handshake fails, another listener's does not."""
        tls = ServerTLS([listener("none")], {})
        for server_name in (None, "a.example"):
            self.assertIsNotNone(shake(tls, server_name).client_error)
            self.assertIsNone(tls.certificate_for(server_name))
        tls = ServerTLS([listener("none"), listener("one", hosts=("a.example",))], self.both)
        self.assertShown(self.one, tls, "a.example")


class NegotiationTests(SynchronousTestCase):
    """Versions, ALPN, chain, ciphers, resumption, renegotiation."""

    issued = CA.intermediate().issue(names=["a.example"])
    tls = ServerTLS(
        [listener("a"), listener("b")], {"a": load(issued.certificate("a")), "b": certificate("b", "b.example")}
    )

    def test_versions(self) -> None:
        for highest, expected in ((SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")):
            done = shake(self.tls, None, client_context(highest=highest))
            self.assertEqual(expected, done.client.get_protocol_version_name())

    def test_old_version_refused(self) -> None:
        old = client_context(highest=SSL.TLS1_1_VERSION, ciphers=b"ALL:@SECLEVEL=0")
        done = shake(self.tls, "b.example", old)
        self.assertIn("unsupported protocol", str(done.server_error))
        self.assertIn("alert protocol version", str(done.client_error))

    def test_weak_cipher_refused(self) -> None:
        # no forward secrecy, and CBC
        weak = client_context(highest=SSL.TLS1_2_VERSION, ciphers=b"AES128-SHA:ECDHE-ECDSA-AES128-SHA")
        self.assertIn("no shared cipher", str(shake(self.tls, None, weak).server_error))

    def test_server_prefers(self) -> None:
        backwards = ":".join(reversed(CIPHERS.split(":"))).encode()
        done = shake(self.tls, None, client_context(highest=SSL.TLS1_2_VERSION, ciphers=backwards))
        self.assertEqual("ECDHE-ECDSA-AES128-GCM-SHA256", done.client.get_cipher_name())

    def test_alpn(self) -> None:
        for name in (None, "b.example"):
            done = shake(self.tls, name, client_context(alpn=[b"h2", b"http/1.1"]))
            self.assertEqual(b"http/1.1", done.client.get_alpn_proto_negotiated())
            self.assertEqual(b"http/1.1", done.server.get_alpn_proto_negotiated())

    def test_alpn_of_an_old_client(self) -> None:
        """As of ``curl --http1.0``, which offers nothing else."""
        for offered, agreed in (([b"http/1.0"], b"http/1.0"), ([b"http/1.0", b"http/1.1"], b"http/1.1")):
            done = shake(self.tls, None, client_context(alpn=offered))
            self.assertIsNone(done.server_error)
            self.assertEqual(agreed, done.client.get_alpn_proto_negotiated())

    def test_no_alpn(self) -> None:
        done = shake(self.tls)
        self.assertIsNone(done.server_error)
        self.assertEqual(b"", done.client.get_alpn_proto_negotiated())

    def test_no_common_protocol(self) -> None:
        # RFC 7301 §3.2: a fatal alert of its own
        for name in (None, "b.example"):
            done = shake(self.tls, name, client_context(alpn=[b"h2"]))
            self.assertIn("no application protocol", str(done.server_error))
            self.assertIn("alert no application protocol", str(done.client_error))
            self.assertIsNone(shake(self.tls, name).server_error)  # and the next one is not concerned

    def test_whole_chain(self) -> None:
        done = shake(self.tls)
        chain = done.client.get_peer_cert_chain(as_cryptography=True)
        self.assertEqual([self.issued.cert, *self.issued.chain], chain)

    def test_resumption(self) -> None:
        for highest in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            for name in ("a.example", "b.example"):
                context = client_context(highest=highest)
                first = shake(self.tls, name, context)
                client = client_connection(context, name)
                session = first.client.get_session()
                assert session is not None
                client.set_session(session)
                again = Handshake(client, server_connection(self.tls.getContext()))
                self.assertIsNone(again.server_error)
                self.assertLess(again.server_bytes, first.server_bytes - 300, f"{name}: not resumed")

    def test_no_renegotiation(self) -> None:
        done = shake(self.tls, None, client_context(highest=SSL.TLS1_2_VERSION))
        done.client.renegotiate()
        try:
            done.client.do_handshake()
        except SSL.Error:
            pass
        done.server.bio_write(done.client.bio_read(100000))
        self.assertRaises(SSL.WantReadError, done.server.recv, 100)
        done.client.bio_write(done.server.bio_read(100000))
        error = self.assertRaises(SSL.Error, done.client.do_handshake)
        self.assertIn("no renegotiation", str(error))

    def test_on_a_socket(self) -> None:
        # as the pump does it: OpenSSL has the socket, no memory BIO in between
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        theirs.setblocking(False)
        server = SSL.Connection(self.tls.getContext(), ours)
        server.set_accept_state()
        client = SSL.Connection(client_context(), theirs)
        client.set_connect_state()
        client.set_tlsext_host_name(b"b.example")
        waiting = [client, server]
        for _ in range(10):
            for connection in tuple(waiting):
                try:
                    connection.do_handshake()
                except SSL.WantReadError:
                    continue
                waiting.remove(connection)
        self.assertEqual([], waiting)
        shown = client.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        self.assertEqual("CN=b.example", shown.subject.rfc4514_string())


class TicketNameTests(SynchronousTestCase):
    """What tickets of a port begin with."""

    one, two = certificate("one", "one.example"), certificate("two", "two.example")
    rsa = load(CA.issue(names=["r.example"], key=rsa.generate_private_key(65537, 2048)).certificate("rsa"))
    all = {"one": one, "two": two, "rsa": rsa}

    def shown(self, tls: ServerTLS, server_name: str, version: int) -> bytes:
        """What a client says that comes back."""
        client = returning(tls.getContext(), version, server_name)
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        return (read_hello(client.bio_read(1 << 16)) or Hello()).ticket

    def test_of_all_certificates(self) -> None:
        """One for the port, whichever certificate a client was shown; for each kind of key and all versions."""
        for first in ("one", "rsa"):
            tls = ServerTLS([listener(first, hosts=("a.example",)), listener("two", hosts=("b.example",))], self.all)
            name = tls.ticket_name()
            self.assertEqual(16, len(name))
            for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
                self.assertEqual([name, name], [self.shown(tls, host, version) for host in ("a.example", "b.example")])

    def test_terms(self) -> None:
        """Whatever versions and suites the listener of clients without a name takes; also where others take more."""
        old = "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"
        for terms in (
            Terms(minimum=SSL.TLS1_3_VERSION), Terms(maximum=SSL.TLS1_2_VERSION, ciphers="ECDHE-ECDSA-AES128-SHA256"),
            Terms(suites13="TLS_AES_128_GCM_SHA256"), Terms(SSL.TLS1_VERSION, SSL.TLS1_2_VERSION, old),
        ):  # fmt: skip
            listeners = [listener("one", name="first"), listener("two", hosts=("b.example",), name="second")]
            self.assertEqual(16, len(ServerTLS(listeners, self.all, {"first": terms}).ticket_name()), terms)

    def test_client_certificates(self) -> None:
        """Nobody resumes a session at such a port."""
        asking = Terms(authorities=Authorities("profile", [CA.cert], True))
        self.assertEqual(b"", ServerTLS([listener("one")], self.all, {"https": asking}).ticket_name())

    def test_asked_of_some(self) -> None:
        """A neighbour's asking changes nothing for the others."""
        asking = Terms(authorities=Authorities("profile", [CA.cert], True))
        listeners = [listener("one", name="first"), listener("two", hosts=("b.example",), name="second")]
        tls = ServerTLS(listeners, self.all, {"second": asking})
        self.assertEqual(tls.ticket_name(), self.shown(tls, "a.example", SSL.TLS1_3_VERSION))

    def test_no_certificate(self) -> None:
        self.assertEqual(b"", ServerTLS([listener("none")], {}).ticket_name())

    def test_changes(self) -> None:
        """It changes with the context, and only then."""
        tls = ServerTLS([listener("one")], self.all)
        name = tls.ticket_name()
        tls.become(ServerTLS([listener("one")], self.all))
        self.assertEqual(name, tls.ticket_name())
        names = {name}
        tls.become(ServerTLS([listener("two")], self.all))
        names.add(tls.ticket_name())
        tls.replace([listener("one")], self.all)
        names.add(tls.ticket_name())
        self.assertEqual({16}, {len(each) for each in names})
        self.assertEqual(3, len(names))
        self.patch(gateway.listener.tls, "ticket_name", None)
        self.assertIn(tls.ticket_name(), names, "it is remembered")


class UsableTests(SynchronousTestCase):
    def test_good(self) -> None:
        self.assertIsNone(usable(certificate("a", "a.example")))

    def test_weak(self) -> None:
        weak = load(CA.issue(names=["w"], key=rsa.generate_private_key(65537, 1024)).certificate("weak"))
        self.assertEqual("OpenSSL refuses the certificate or its key: ee key too small", usable(weak))
