"""Tests of `gateway.listener.ocsp`: what an answer is worth."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from gateway.listener.ocsp import Answer, NoAnswer, judged, question, responder
from tests.certificates import Issued, TestCA, days
from tests.responder import HOUR, Responder, named

URL = "http://ocsp.test/"
NONCE = b"n" * 32
CA = TestCA("Authority")
CLIENT = named(CA, URL)


class JudgedTests(unittest.SynchronousTestCase):
    """`judged` on answers of a `Responder`."""

    def setUp(self) -> None:
        self.responder = Responder(CA)
        self.responder.knows(CLIENT.cert)

    def judged(self, certificate: x509.Certificate = CLIENT.cert) -> Answer:
        answer = self.responder.answer(question(certificate, CA.cert, NONCE))
        return judged(answer, certificate, CA.cert, NONCE, days(0))

    def refused(self, words: str) -> None:
        with self.assertRaises(NoAnswer) as caught:
            self.judged()
        self.assertIn(words, str(caught.exception))

    def test_statuses(self) -> None:
        self.assertEqual(Answer("", self.responder.next_update), self.judged())
        self.responder.status = "revoked"
        self.assertEqual("it has been revoked", self.judged().reason)
        self.responder.status = "unknown"
        self.refused("the responder does not know the certificate")

    def test_question(self) -> None:
        self.judged()
        (asked,) = self.responder.questions
        self.assertEqual(CLIENT.cert.serial_number, asked.serial_number)
        self.assertEqual(NONCE, asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce)

    def test_dates(self) -> None:
        """Too old, of the future; without an end only a new one."""
        self.responder.this_update, self.responder.next_update = days(-2), days(-1)
        self.refused("the answer is out of date")
        self.responder.this_update, self.responder.next_update = days(1), days(2)
        self.refused("the answer is from the future")
        self.responder.this_update, self.responder.next_update = days(0), None
        self.assertEqual(Answer("", None), self.judged())
        self.responder.this_update = days(0) - HOUR
        self.refused("is not a new one")

    def test_nonce(self) -> None:
        """Many responders leave it out; another one is an old answer that somebody plays back."""
        self.responder.nonce = None
        self.assertEqual("", self.judged().reason)
        self.responder.nonce = b"m" * 32
        self.refused("the answer has another nonce")

    def test_another_certificate(self) -> None:
        self.responder.about = named(CA, URL).cert
        self.refused("the answer is about another certificate")
        other = Responder(TestCA("Authority"))  # the same name, another key
        other.knows(CLIENT.cert)
        other.signer = CA.issued
        self.responder = other
        self.refused("the answer is about another certificate")

    def test_hashes(self) -> None:
        """The issuer may be named by any hash, the responder by its name or its key."""
        for algorithm in (hashes.SHA1(), hashes.SHA256()):
            for by_hash in (False, True):
                self.responder.algorithm, self.responder.by_hash = algorithm, by_hash
                self.assertEqual("", self.judged().reason)

    def test_rsa(self) -> None:
        """An authority with an RSA key, which hashes its own kind of bits."""
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "RSA Root")])
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7, days(-1), days(9))
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        ca = TestCA(issued=Issued(builder.sign(key, hashes.SHA256()), key))
        client = named(ca, URL)
        found = Responder(ca)
        found.knows(client.cert)
        for found.algorithm in (hashes.SHA1(), hashes.SHA256()):
            answer = found.answer(question(client.cert, ca.cert, NONCE))
            self.assertEqual("", judged(answer, client.cert, ca.cert, NONCE, days(0)).reason)

    def test_delegates(self) -> None:
        """Whom the issuer has given a certificate for that may sign; nobody else."""
        self.responder.delegate()
        self.assertEqual("", self.judged().reason)
        self.responder.by_hash = True
        self.assertEqual("", self.judged().reason)
        self.responder.delegate(None)
        self.refused("by one to whom the issuer has not delegated that")
        self.responder.delegate(ExtendedKeyUsageOID.CLIENT_AUTH)
        self.refused("by one to whom the issuer has not delegated that")
        self.responder.delegate(ca=TestCA("Authority"))
        self.refused("by one to whom the issuer has not delegated that")
        self.responder.delegate(not_after=days(-1))
        self.refused("is not valid now")
        self.responder.delegate()
        self.responder.show_signer = False
        self.refused("signed by somebody else than the issuer")

    def test_a_client_cannot_sign(self) -> None:
        """Another certificate of the same authority, the client's own too, is none for answers."""
        self.responder.signer = CLIENT
        self.refused("by one to whom the issuer has not delegated that")

    def test_damaged(self) -> None:
        answer = bytearray(self.responder.answer(question(CLIENT.cert, CA.cert, NONCE)))
        at = answer.index(days(0).strftime("%Y%m%d").encode())
        answer[at + 7] ^= 1
        with self.assertRaises(NoAnswer) as caught:
            judged(bytes(answer), CLIENT.cert, CA.cert, NONCE, days(0))
        self.assertIn("the signature of the answer is wrong", str(caught.exception))

    def test_unsuccessful(self) -> None:
        data = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
        with self.assertRaises(NoAnswer) as caught:
            judged(data.public_bytes(Encoding.DER), CLIENT.cert, CA.cert, NONCE, days(0))
        self.assertIn("the responder answers TRY_LATER", str(caught.exception))

    @given(st.binary(max_size=300), st.integers(0, 2000), st.integers(0, 255))
    def test_anything(self, rubbish: bytes, at: int, byte: int) -> None:
        """Whatever comes, a good answer or `NoAnswer`; a changed one is never good."""
        whole = _WHOLE
        changed = bytearray(whole)
        changed[at % len(changed)] = byte
        for data in (rubbish, bytes(changed), whole[: at % len(whole)]):
            try:
                found = judged(data, CLIENT.cert, CA.cert, NONCE, days(0))
            except NoAnswer:
                continue
            self.assertEqual("", found.reason)
            self.assertEqual(len(whole), len(data))


class ResponderTests(unittest.SynchronousTestCase):
    """Where to ask."""

    def test_urls(self) -> None:
        self.assertEqual(URL, responder(CLIENT.cert))
        for certificate in (
            CA.issue(common_name="none").cert,
            named(CA, "ldap://ocsp.test/").cert,
            named(CA, "file:///etc/passwd").cert,
            CA.issue(common_name="other", extensions=[_issuers()]).cert,
        ):
            self.assertRaises(NoAnswer, responder, certificate)


def _issuers() -> x509.AuthorityInformationAccess:
    location = x509.UniformResourceIdentifier(URL)
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, location)]
    )


_ANSWERING = Responder(CA)
_ANSWERING.knows(CLIENT.cert)
_WHOLE = _ANSWERING.answer(question(CLIENT.cert, CA.cert, NONCE))
