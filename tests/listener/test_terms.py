"""Policies and client certificates in real handshakes, in memory."""

from __future__ import annotations

import contextlib
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.errors import Problem
from gateway.listener.certificate_checks import load_asked, load_shown, load_terms
from gateway.listener.handshakes import finding
from gateway.listener.terms import lowest
from gateway.listener.tls import ServerTLS
from gateway.transport.hello import MOST_HELLO, read_hello
from gateway.transport.tls import ClientCertificate, client_certificate
from tests.certificates import Issued, TestCA, days
from tests.handshakes import Handshake, client_connection, client_context, server_connection

CA = TestCA()
CLIENTS = TestCA("Client Root")
STRANGERS = TestCA("Another Root")


def port(*profiles: dict[str, Any], policy: dict[str, Any] | None = None) -> ServerTLS:
    """A TLS port with a listener ``N.example`` for each profile; the first is the default."""
    authority = model.TrustedClientCertificate(name="clients", data=CLIENTS.pem.decode())
    gateway = model.Gateway.model_validate(
        {
            "listeners": [
                {
                    "name": f"listener{number}",
                    "port": 443,
                    "protocol": "Https",
                    "certificates": [f"c{number}"],
                    "hostNames": [f"{number}.example"],
                    "sslProfile": f"profile{number}",
                }
                for number in range(len(profiles))
            ],
            "certificates": [
                CA.issue(names=[f"{number}.example"]).certificate(f"c{number}") for number in range(len(profiles))
            ],
            "sslPolicy": policy,
            "sslProfiles": [{"name": f"profile{number}", **members} for number, members in enumerate(profiles)],
            "trustedClientCertificates": [authority],
        }
    )
    problems: list[Problem] = []
    terms = load_terms(gateway, load_asked(gateway, problems))
    tls = ServerTLS(gateway.listeners, load_shown(gateway, problems), terms)
    assert not problems, problems
    return tls


def shake(
    tls: ServerTLS, name: str = "0.example", context: SSL.Context | None = None, reload: ServerTLS | None = None
) -> Handshake:
    """A handshake for a server name, as the roads make it. ``reload``: what the port becomes when it has begun."""
    client = client_connection(context or client_context(), name)
    server = server_connection(tls.getContext())
    if tls.listens:
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        if reload is not None:
            tls.become(reload)
        sent = client.bio_read(MOST_HELLO)
        hello = read_hello(sent)
        assert hello is not None
        tls.meet(server, hello)
        server.bio_write(sent)
    return Handshake(client, server)


def with_certificate(issued: Issued) -> SSL.Context:
    """A client that shows a certificate."""
    context = client_context()
    context.use_certificate(issued.cert)
    context.use_privatekey(issued.key)
    for above in issued.chain:
        context.add_extra_chain_cert(above)
    return context


class PolicyTests(SynchronousTestCase):
    """A handshake outside the policy fails."""

    strict = {"trustedClientCertificates": ["clients"]}

    def version(self, tls: ServerTLS, highest: int, name: str = "0.example", ciphers: bytes | None = None) -> str:
        """The version that a client gets which offers at most ``highest``; empty for none."""
        done = shake(tls, name, client_context(highest=highest, ciphers=ciphers))
        return "" if done.client_error or done.server_error else done.client.get_protocol_version_name()

    def test_usual(self) -> None:
        tls = port({})
        self.assertEqual("TLSv1.3", self.version(tls, SSL.TLS1_3_VERSION))
        self.assertEqual("", self.version(tls, SSL.TLS1_1_VERSION, ciphers=b"ALL:@SECLEVEL=0"))

    def test_versions(self) -> None:
        for name, highest, expected in [
            ("AppGwSslPolicy20150501", SSL.TLS1_VERSION, "TLSv1"),
            ("AppGwSslPolicy20150501", SSL.TLS1_3_VERSION, "TLSv1.2"),
            ("AppGwSslPolicy20170401", SSL.TLS1_VERSION, ""),
            ("AppGwSslPolicy20170401", SSL.TLS1_1_VERSION, "TLSv1.1"),
            ("AppGwSslPolicy20170401S", SSL.TLS1_1_VERSION, ""),
            ("AppGwSslPolicy20170401S", SSL.TLS1_3_VERSION, "TLSv1.2"),
            ("AppGwSslPolicy20220101", SSL.TLS1_3_VERSION, "TLSv1.3"),
            ("AppGwSslPolicy20220101S", SSL.TLS1_1_VERSION, ""),
        ]:
            tls = port({}, policy={"policyName": name})
            old = b"ALL:@SECLEVEL=0" if highest < SSL.TLS1_2_VERSION else None
            self.assertEqual(expected, self.version(tls, highest, ciphers=old), (name, highest))

    def test_suites(self) -> None:
        cbc = client_context(highest=SSL.TLS1_2_VERSION, ciphers=b"ECDHE-ECDSA-AES128-SHA256")
        for name, agreed in [("AppGwSslPolicy20220101", True), ("AppGwSslPolicy20220101S", False)]:
            done = shake(port({}, policy={"policyName": name}), context=cbc)
            self.assertEqual(agreed, done.server_error is None, name)

    def test_suites_of_version_3(self) -> None:
        """Only those of the policy, in its order."""
        tls = port({}, policy={"policyType": "CustomV2", "minProtocolVersion": "TLSv1_3"})
        self.assertEqual("TLS_AES_128_GCM_SHA256", shake(tls).client.get_cipher_name())
        chacha = client_context()
        chacha.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256")
        self.assertIsNotNone(shake(tls, context=chacha).server_error)
        self.assertEqual("", self.version(tls, SSL.TLS1_2_VERSION))

    def test_by_server_name(self) -> None:
        """Each listener of a port keeps its own policy."""
        old = {"policyName": "AppGwSslPolicy20170401S"}
        new = {"policyType": "CustomV2", "minProtocolVersion": "TLSv1_3"}
        for first, second in [(old, new), (new, old)]:
            tls = port({"sslPolicy": first}, {"sslPolicy": second})
            names = {str(first): "0.example", str(second): "1.example"}
            self.assertEqual("TLSv1.2", self.version(tls, SSL.TLS1_2_VERSION, names[str(old)]))
            self.assertEqual("", self.version(tls, SSL.TLS1_2_VERSION, names[str(new)]))
            self.assertEqual("TLSv1.3", self.version(tls, SSL.TLS1_3_VERSION, names[str(new)]))
            self.assertEqual("TLSv1.2", self.version(tls, SSL.TLS1_3_VERSION, names[str(old)]))

    def test_suites_of_version_3_by_server_name(self) -> None:
        """OpenSSL would take those of the first listener."""
        chacha, order = client_context(), client_context()
        chacha.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256")
        order.set_tls13_ciphersuites(b"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256")
        strict: dict[str, Any] = {"sslPolicy": {"policyName": "AppGwSslPolicy20220101S"}}
        for first, second in [({}, strict), (strict, {})]:
            tls = port(first, second)
            usual, other = ("0.example", "1.example") if first == {} else ("1.example", "0.example")
            self.assertIsNone(shake(tls, usual, chacha).server_error)
            self.assertIsNotNone(shake(tls, other, chacha).server_error)
            self.assertEqual("TLS_AES_256_GCM_SHA384", shake(tls, usual, order).client.get_cipher_name())
            self.assertEqual("TLS_AES_128_GCM_SHA256", shake(tls, other, order).client.get_cipher_name())

    def test_hello_that_has_to_be_said_again(self) -> None:
        """OpenSSL asks for another key share, and looks at the name twice."""
        strict = {"sslPolicy": {"policyName": "AppGwSslPolicy20220101S"}}
        tls = port({}, strict)
        again = client_context()
        SSL._lib.SSL_CTX_set1_curves_list(again._context, b"X448:P-256")  # type: ignore[attr-defined]
        done = shake(tls, "1.example", again)
        self.assertIsNone(done.server_error)
        self.assertEqual("TLS_AES_128_GCM_SHA256", done.client.get_cipher_name())
        self.assertIs(tls.getContext(), vars(done.server)["first_context"])

    def test_listeners_that_agree(self) -> None:
        """Nobody looks at hellos where OpenSSL settles nothing too early."""
        self.assertFalse(port({}, self.strict, {"sslPolicy": None}).listens)
        same = {"sslPolicy": {"policyName": "AppGwSslPolicy20220101S"}}
        self.assertFalse(port(same, same).listens)
        self.assertTrue(port({}, same).listens)

    def test_old_versions_by_server_name(self) -> None:
        """Their signatures are allowed where the versions are, and only there; who comes too old is told that."""
        old = {"sslPolicy": {"policyName": "AppGwSslPolicy20150501"}}
        new = {"sslPolicy": {"policyName": "AppGwSslPolicy20220101S"}}
        anything = b"ALL:@SECLEVEL=0"
        for first, second in [(old, new), (new, old)]:
            tls = port(first, second)
            theirs, other = ("0.example", "1.example") if first is old else ("1.example", "0.example")
            for version, name in ((SSL.TLS1_VERSION, "TLSv1"), (SSL.TLS1_1_VERSION, "TLSv1.1")):
                self.assertEqual(name, self.version(tls, version, theirs, anything))
                done = shake(tls, other, client_context(highest=version, ciphers=anything))
                self.assertIn("alert protocol version", str(done.client_error))
                assert done.server_error is not None
                self.assertEqual("protocol_version", finding(done.server_error).reason)
            sha1 = client_context(highest=SSL.TLS1_2_VERSION, ciphers=b"ECDHE+AESGCM:@SECLEVEL=0")
            SSL._lib.SSL_CTX_set1_sigalgs_list(sha1._context, b"ECDSA+SHA1")  # type: ignore[attr-defined]
            for name, agrees in ((theirs, True), (other, False)):
                self.assertEqual(agrees, shake(tls, name, sha1).server_error is None, name)


    def test_reload_meanwhile(self) -> None:
        """Who has connected already gets what the port was then, certificate and version, and no mixture."""
        old = {"sslPolicy": {"policyName": "AppGwSslPolicy20170401"}}
        for name, version in ("0.example", "TLSv1.2"), ("1.example", "TLSv1.3"), ("other.example", "TLSv1.2"):
            tls, then = port(old, {}), port({}, {})
            for expected, certificates in (version, tls), ("TLSv1.3", then):
                leaf = certificates.certificate_for(name).leaf
                done = shake(tls, name, reload=then)
                self.assertEqual((None, None), (done.client_error, done.server_error), name)
                self.assertEqual(expected, done.client.get_protocol_version_name())
                self.assertEqual(leaf, done.client.get_peer_certificate(as_cryptography=True))


class ClientCertificateTests(SynchronousTestCase):
    """The handshake goes through; what is thought of the certificate is remembered."""

    strict = {"trustedClientCertificates": ["clients"]}

    def shown(self, tls: ServerTLS, context: SSL.Context | None = None, name: str = "0.example") -> Any:
        done = shake(tls, name, context)
        self.assertIsNone(done.client_error)
        self.assertIsNone(done.server_error)
        return client_certificate(done.server)

    def verdict(self, issued: Issued, **members: Any) -> str:
        """What is said of a certificate."""
        profile = {**self.strict, **members}
        found: ClientCertificate = self.shown(port(profile), with_certificate(issued))
        self.assertEqual(issued.cert, found.certificate)
        return found.verdict

    def test_not_asked(self) -> None:
        self.assertIsNone(self.shown(port({}), with_certificate(CLIENTS.issue(common_name="me"))))

    def test_none(self) -> None:
        self.assertEqual(ClientCertificate("profile0", "NONE"), self.shown(port(self.strict)))

    def test_verdicts(self) -> None:
        self.assertEqual("SUCCESS", self.verdict(CLIENTS.issue(common_name="me")))
        self.assertEqual("SUCCESS", self.verdict(CLIENTS.intermediate().issue(common_name="me")))
        self.assertRegex(self.verdict(STRANGERS.issue(common_name="me")), "^FAILED:its issuer is not trusted$")
        self.assertEqual(
            "FAILED:it has expired", self.verdict(CLIENTS.issue(common_name="me", not_after=days(-1)))
        )

    def test_passthrough(self) -> None:
        """Everybody is let in, but a backend that is told the verdict is not told a lie."""
        mode = {"clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}
        self.assertEqual("SUCCESS", self.verdict(CLIENTS.issue(common_name="me"), **mode))
        verdict = self.verdict(STRANGERS.issue(common_name="me"), **mode)
        self.assertEqual("FAILED:its issuer is not trusted", verdict)

    def test_passthrough_without_authorities(self) -> None:
        """A certificate is asked for, and nobody here can say who issued it."""
        passing = {"clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}
        issued = CLIENTS.issue(common_name="me")
        for profiles, asking, quiet in [((passing, {}), 0, 1), (({}, passing), 1, 0)]:
            tls = port(*profiles)
            found = self.shown(tls, with_certificate(issued), f"{asking}.example")
            self.assertEqual((issued.cert, "FAILED:its issuer is not trusted"), (found.certificate, found.verdict))
            self.assertEqual("NONE", self.shown(tls, None, f"{asking}.example").verdict)
            self.assertIsNone(self.shown(tls, with_certificate(issued), f"{quiet}.example"))

    def test_issuer_for_ocsp(self) -> None:
        """Who issued the certificate is known where that is asked; it need not be a root."""
        mode = {"clientAuthConfiguration": {"verifyClientRevocation": "OCSP"}}
        for ca in (CLIENTS, CLIENTS.intermediate()):
            found = self.shown(port({**self.strict, **mode}), with_certificate(ca.issue(common_name="me")))
            self.assertEqual(ca.cert, found.issuer)
        self.assertIsNone(self.shown(port(self.strict), with_certificate(CLIENTS.issue(common_name="me"))).issuer)

    def test_issuer(self) -> None:
        """It must be the lowest authority of the upload."""
        mode = {"clientAuthConfiguration": {"verifyClientCertIssuerDN": True}}
        self.assertEqual("SUCCESS", self.verdict(CLIENTS.issue(common_name="me"), **mode))
        below = CLIENTS.intermediate().issue(common_name="me")
        self.assertRegex(self.verdict(below, **mode), "^FAILED:the issuer")
        middle = CLIENTS.intermediate()
        self.assertEqual(middle.cert, lowest([CLIENTS.cert, middle.cert]))
        self.assertEqual(middle.cert, lowest([middle.cert, CLIENTS.cert]))

    def test_by_server_name(self) -> None:
        """Another listener of the port may ask, or not."""
        mine = with_certificate(CLIENTS.issue(common_name="me"))
        for profiles, asking, quiet in [(({}, self.strict), 1, 0), ((self.strict, {}), 0, 1)]:
            tls = port(*profiles)
            self.assertEqual("SUCCESS", self.shown(tls, mine, f"{asking}.example").verdict)
            self.assertEqual("NONE", self.shown(tls, None, f"{asking}.example").verdict)
            self.assertIsNone(self.shown(tls, mine, f"{quiet}.example"))

    def test_no_resumption(self) -> None:
        """A session that went on from another would come without a certificate."""
        tls = port(self.strict)
        mine = with_certificate(CLIENTS.issue(common_name="me"))
        first = shake(tls, context=mine)
        client = client_connection(mine, "0.example")
        session = first.client.get_session()
        assert session is not None
        client.set_session(session)
        again = Handshake(client, server_connection(tls.getContext()))
        self.assertEqual("SUCCESS", client_certificate(again.server).verdict)  # type: ignore[union-attr]
