"""TLS towards backends: names, trust, and what the operator reads when it fails. Real handshakes in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.errors import BackendTLSFailed
from gateway.listener.certificates import load
from gateway.listener.tls import ServerTLS
from gateway.transport.tls import ClientTLS
from gateway.transport.tls_reasons import explain
from gateway.upstream.tls import backend_tls, forget, probe_tls
from tests.certificates import Issued, TestCA, days
from tests.handshakes import Handshake, client_connection, server_connection

CA = TestCA("Our Root")
ROOTS = {"ours": (CA.cert,)}


def settings(**changes: object) -> model.BackendSettings:
    return model.BackendSettings.model_validate(
        {"name": "s", "protocol": "Https", "trusted_root_certificates": ("ours",), **changes}
    )


def server_context(issued: Issued, chain: Sequence[object] | None = None) -> SSL.Context:
    """A backend's context that shows a certificate as it is, also if no gateway would."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(issued.cert)
    context.use_privatekey(issued.key)
    for above in issued.chain if chain is None else chain:
        context.add_extra_chain_cert(above)  # type: ignore[arg-type]
    return context


def shake(tls: ClientTLS, server: SSL.Context) -> Handshake:
    """A handshake as a transport does it, without the check of the name."""
    return Handshake(client_connection(tls.context, tls.server_name), server_connection(server))


class NameTests(SynchronousTestCase):
    """Which name is sent (SNI)."""

    def name(
        self, client_host: str = "client.example", member: str = "member.example", **changes: object
    ) -> str | None:
        return backend_tls(settings(**changes), member, client_host, ROOTS).server_name

    def test_client_host(self) -> None:
        self.assertEqual("client.example", self.name())

    def test_client_host_with_port(self) -> None:
        self.assertEqual("client.example", self.name("Client.Example.:8443"))

    def test_no_client_host(self) -> None:
        self.assertEqual("member.example", self.name(""))

    def test_order(self) -> None:
        self.assertEqual("member.example", self.name(pick_host_name_from_backend_address=True))
        both = {"host_name": "host.example", "pick_host_name_from_backend_address": True}
        self.assertEqual("host.example", self.name(**both))
        self.assertEqual("sni.example", self.name(sni_name="sni.example", **both))

    def test_never_an_address(self) -> None:
        for host in ("10.0.0.4", "10.0.0.4:443", "[::1]", "[::1]:443"):
            self.assertIsNone(self.name(host), host)
        self.assertIsNone(self.name(member="10.0.0.4", pick_host_name_from_backend_address=True))

    def test_international(self) -> None:
        self.assertEqual("xn--bcher-kva.example", self.name("Bücher.example"))

    def test_no_host_name(self) -> None:
        for host in ("x" * 64, "x." * 127 + "y", "a..b", "a b", "ü" * 80, "a\tb", "\x80", "a/b", "[", "a:b:c"):
            tls = backend_tls(settings(), "member.example", host, ROOTS)
            self.assertIsNone(tls.server_name, host)
            done = shake(tls, server_context(CA.issue(names=["a.example"])))
            assert tls.verify is not None
            error = self.assertRaises(BackendTLSFailed, tls.verify, done.client)
            self.assertIn("is no host name", str(error))

    def test_probe(self) -> None:
        probe = model.Probe(name="p", host="probe.example", protocol="Https")

        def name(probe: model.Probe | None, member: str = "member.example", **changes: object) -> str | None:
            return probe_tls(settings(**changes), probe, member, ROOTS).server_name

        self.assertEqual("probe.example", name(probe))
        self.assertEqual("probe.example", name(probe, host_name="host.example"))
        self.assertEqual("sni.example", name(probe, sni_name="sni.example"))
        picks = probe.model_copy(update={"pick_host_name_from_backend_http_settings": True})
        self.assertEqual("host.example", name(picks, host_name="host.example"))
        self.assertEqual("member.example", name(picks))
        self.assertEqual("host.example", name(None, host_name="host.example"))
        self.assertEqual("member.example", name(None))
        self.assertIsNone(name(None, member="10.0.0.4"))
        default_host = probe.model_copy(update={"host": "127.0.0.1"})
        self.assertEqual("member.example", name(default_host))


class SharingTests(SynchronousTestCase):
    """Contexts cost milliseconds: they are shared. What has been made for a client's name is bounded."""

    def test_same_object(self) -> None:
        one = backend_tls(settings(), "m", "a.example", ROOTS)
        self.assertIs(one, backend_tls(settings(), "m", "a.example", dict(ROOTS)))

    def test_context_shared(self) -> None:
        one, two = (backend_tls(settings(), "m", host, ROOTS) for host in ("a.example", "b.example"))
        self.assertIsNot(one, two)
        self.assertIs(one.context, two.context)

    def test_other_roots(self) -> None:
        # a reload may put another certificate under the same name
        other = {"ours": (TestCA("New Root").cert,)}
        one, two = (backend_tls(settings(), "m", "a.example", roots) for roots in (ROOTS, other))
        self.assertIsNot(one.context, two.context)

    def test_forget(self) -> None:
        one = backend_tls(settings(), "m", "a.example", ROOTS)
        forget()
        self.assertIsNot(one.context, backend_tls(settings(), "m", "a.example", ROOTS).context)

    def test_bounded(self) -> None:
        from gateway.upstream import tls

        for number in range(300):
            backend_tls(settings(), "m", f"host{number}.example", ROOTS)
        self.assertLessEqual(tls._named.cache_info().currsize, 256)


class AcceptedTests(SynchronousTestCase):
    """Certificates that are good enough."""

    def assertAccepted(self, tls: ClientTLS, server: SSL.Context) -> Handshake:
        done = shake(tls, server)
        self.assertIsNone(done.client_error, explain(done.client, done.client_error or Exception()))
        self.assertIsNone(done.server_error)
        if tls.verify is not None:
            tls.verify(done.client)
        return done

    def test_name(self) -> None:
        tls = backend_tls(settings(), "m", "api.example", ROOTS)
        done = self.assertAccepted(tls, server_context(CA.issue(names=["api.example"])))
        self.assertEqual(b"api.example", done.server.get_servername())

    def test_wildcard(self) -> None:
        tls = backend_tls(settings(), "m", "api.example.org", ROOTS)
        self.assertAccepted(tls, server_context(CA.issue(names=["*.example.org"])))

    def test_address(self) -> None:
        for address in ("127.0.0.1", "::1"):
            tls = backend_tls(settings(pick_host_name_from_backend_address=True), address, "x", ROOTS)
            done = self.assertAccepted(tls, server_context(CA.issue(ips=["127.0.0.1", "::1"])))
            self.assertIsNone(done.server.get_servername())

    def test_intermediate(self) -> None:
        tls = backend_tls(settings(), "m", "api.example", ROOTS)
        self.assertAccepted(tls, server_context(CA.intermediate().issue(names=["api.example"])))

    def test_chain_out_of_order(self) -> None:
        issued = CA.intermediate("Middle").intermediate("Low").issue(names=["api.example"])
        tls = backend_tls(settings(), "m", "api.example", ROOTS)
        self.assertAccepted(tls, server_context(issued, [CA.cert, issued.chain[1], issued.chain[0]]))

    def test_intermediate_as_root(self) -> None:
        # an operator may trust less than a whole root
        middle = CA.intermediate("Middle")
        tls = backend_tls(settings(), "m", "api.example", {"ours": (middle.cert,)})
        self.assertAccepted(tls, server_context(middle.issue(names=["api.example"]), []))

    def test_own_certificate_as_root(self) -> None:
        issued = TestCA("Elsewhere").issue(names=["api.example"])
        tls = backend_tls(settings(), "m", "api.example", {"ours": (issued.cert,)})
        self.assertAccepted(tls, server_context(issued))

    def test_not_verified(self) -> None:
        relaxed = settings(validate_cert_chain_and_expiry=False, validate_sni=False)
        tls = backend_tls(relaxed, "m", "api.example", ROOTS)
        self.assertAccepted(tls, server_context(TestCA("Unknown").issue(names=["b.example"], not_after=days(-1))))

    def test_name_not_verified(self) -> None:
        tls = backend_tls(settings(validate_sni=False), "m", "api.example", ROOTS)
        self.assertAccepted(tls, server_context(CA.issue(names=["other.example"])))
        self.assertIsNone(tls.verify)

    def test_against_our_own_listener(self) -> None:
        listener = model.HttpListener(name="l", port=443, protocol="Https", certificates=("c",))
        issued = CA.issue(names=["api.example"])
        server = ServerTLS([listener], {"c": load(issued.certificate("c"))})
        done = self.assertAccepted(backend_tls(settings(), "m", "api.example", ROOTS), server.getContext())
        self.assertEqual("TLSv1.3", done.client.get_protocol_version_name())
        self.assertEqual(b"", done.client.get_alpn_proto_negotiated())

    def test_platform_roots(self) -> None:
        # SSL_CERT_FILE is how OpenSSL is told of another platform store
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(CA.pem)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = path
        self.addCleanup(os.environ.pop if before is None else os.environ.__setitem__, "SSL_CERT_FILE", before)
        forget()
        self.addCleanup(forget)
        tls = backend_tls(settings(trusted_root_certificates=()), "m", "api.example", {})
        self.assertAccepted(tls, server_context(CA.issue(names=["api.example"])))
        # where a root is named and unavailable nothing is trusted, also not what the platform trusts
        tls = backend_tls(settings(), "m", "api.example", {"ours": ()})
        self.assertIsNotNone(shake(tls, server_context(CA.issue(names=["api.example"]))).client_error)


class RefusedTests(SynchronousTestCase):
    """Certificates that are not, and the sentence that says why."""

    def refusal(self, issued: Issued, chain: Sequence[object] | None = None, **changes: object) -> str:
        """The sentence for a chain that OpenSSL refuses during the handshake."""
        done = shake(backend_tls(settings(**changes), "m", "api.example", ROOTS), server_context(issued, chain))
        assert done.client_error is not None
        self.assertIsNotNone(done.server_error)  # it is told by an alert
        return explain(done.client, done.client_error)

    def mismatch(self, issued: Issued, host: str = "api.example", **changes: object) -> str:
        """The sentence for a certificate that is for another name."""
        tls = backend_tls(settings(**changes), "m", host, ROOTS)
        done = shake(tls, server_context(issued))
        self.assertIsNone(done.client_error)
        assert tls.verify is not None
        error = self.assertRaises(BackendTLSFailed, tls.verify, done.client)
        self.assertEqual(str(error), explain(done.client, error))
        return str(error)

    def test_expired(self) -> None:
        issued = CA.issue(names=["api.example"], not_after=days(-2))
        self.assertIn("the backend's certificate (CN=api.example) expired on 20", self.refusal(issued))

    def test_not_yet_valid(self) -> None:
        issued = CA.issue(names=["api.example"], not_before=days(2))
        self.assertIn("is valid only from", self.refusal(issued))

    def test_root_not_sent(self) -> None:
        issued = TestCA("Their Root").intermediate("Their Middle").issue(names=["api.example"])
        self.assertEqual(
            "the backend's chain ends at CN=Their Middle, whose issuer (CN=Their Root) is not a trusted root",
            self.refusal(issued),
        )

    def test_root_sent(self) -> None:
        theirs = TestCA("Their Root")
        sentence = self.refusal(theirs.issue(names=["api.example"]), [theirs.cert])
        self.assertIn("the root of the backend's chain (CN=Their Root) is not a trusted root", sentence)

    def test_self_signed(self) -> None:
        alone = TestCA("api.example")
        self.assertIn("(CN=api.example) is self-signed", self.refusal(alone.issued))

    def test_intermediate_missing(self) -> None:
        issued = CA.intermediate("Our Middle").issue(names=["api.example"])
        sentence = self.refusal(issued, [])
        self.assertIn("but not that of its issuer (CN=Our Middle)", sentence)
        self.assertIn("the intermediate is missing from the chain", sentence)

    def test_only_named_roots(self) -> None:
        # our root is in no store of the platform, and the settings name another one
        tls = backend_tls(settings(), "m", "api.example", {"ours": (TestCA("Other").cert,)})
        done = shake(tls, server_context(CA.issue(names=["api.example"])))
        self.assertIsNotNone(done.client_error)

    def test_issuer_is_no_authority(self) -> None:
        leaf = CA.issue(names=["middle.example"])
        issued = TestCA(issued=Issued(leaf.cert, leaf.key)).issue(names=["api.example"])
        self.assertIn("(CN=middle.example) may not be used", self.refusal(issued, [leaf.cert]))

    def test_other_name(self) -> None:
        sentence = self.mismatch(CA.issue(names=["a.example", "b.example"]))
        self.assertIn("the backend's certificate is for a.example, b.example, not for api.example", sentence)
        self.assertIn("hostName", sentence)

    def test_wildcard_is_one_label(self) -> None:
        issued = CA.issue(names=["*.api.example"])
        self.assertIn("is for *.api.example, not for api.example", self.mismatch(issued))
        self.assertIn("not for a.b.api.example", self.mismatch(issued, "a.b.api.example"))

    def test_many_names(self) -> None:
        sentence = self.mismatch(CA.issue(names=[f"host{number}.example" for number in range(50)]))
        self.assertIn("host4.example and 45 more, not for", sentence)

    def test_hostile_names(self) -> None:
        sentence = self.mismatch(CA.issue(names=["evil\r\nINFO: all is well", "x" * 5000]))
        self.assertTrue(sentence.isprintable())
        self.assertLess(len(sentence), 500)

    def test_other_address(self) -> None:
        sentence = self.mismatch(CA.issue(ips=["10.0.0.4"]), "10.0.0.5")
        self.assertIn("is for 10.0.0.4, not for 10.0.0.5", sentence)

    def test_common_name_only(self) -> None:
        sentence = self.mismatch(CA.issue(common_name="api.example"))
        self.assertIn("(CN=api.example) has no subject alternative names", sentence)

    def test_malformed(self) -> None:
        # a common mistake: an address as a DNS name
        sentence = self.mismatch(CA.issue(names=["api.example", "10.0.0.4"]))
        self.assertIn("(CN=api.example) is not well-formed: ", sentence)
        self.assertIn("10.0.0.4", sentence)

    def test_authority_first(self) -> None:
        middle = CA.intermediate("Our Middle")
        self.assertIn("must be the first of the chain", self.mismatch(middle.issued))

    def test_name_without_chain(self) -> None:
        # the two switches are independent
        relaxed = {"validate_cert_chain_and_expiry": False}
        self.assertIn("not for api.example", self.mismatch(TestCA("Unknown").issue(names=["b.example"]), **relaxed))

    def test_old_version(self) -> None:
        server = SSL.Context(SSL.TLS_METHOD)
        issued = CA.issue(names=["api.example"])
        server.set_cipher_list(b"ALL:@SECLEVEL=0")
        server.set_min_proto_version(0)
        server.set_max_proto_version(SSL.TLS1_1_VERSION)
        server.use_certificate(issued.cert)
        server.use_privatekey(issued.key)
        done = shake(backend_tls(settings(), "m", "api.example", ROOTS), server)
        assert done.client_error is not None
        self.assertEqual("the backend speaks neither TLS 1.2 nor TLS 1.3", explain(done.client, done.client_error))
