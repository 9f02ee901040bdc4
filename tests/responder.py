"""An OCSP responder for tests: certificates that name it, and answers of every kind."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tests.certificates import Issued, TestCA, days

__all__ = ["Responder", "named"]

HOUR = datetime.timedelta(hours=1)
STATUS = {
    "good": ocsp.OCSPCertStatus.GOOD,
    "revoked": ocsp.OCSPCertStatus.REVOKED,
    "unknown": ocsp.OCSPCertStatus.UNKNOWN,
}


def named(ca: TestCA, url: str, **options: Any) -> Issued:
    """A client certificate that names the responder at ``url``."""
    location = x509.UniformResourceIdentifier(url)
    access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)
    return ca.issue(common_name="client", extensions=[x509.AuthorityInformationAccess([access])], **options)


class Responder:
    """Answers for one authority.

    Attributes may be changed: ``status`` (a key of `STATUS`), ``nonce`` (``True``: that of the question, or bytes, or
    ``None`` for none), ``this_update``, ``next_update``, ``algorithm``, ``by_hash``, ``signer`` (another certificate),
    ``about`` (another certificate), ``questions`` (those that came).
    """

    def __init__(self, ca: TestCA) -> None:
        self.ca = ca
        self.status = "good"
        self.nonce: Any = True
        self.this_update = days(0)
        self.next_update: datetime.datetime | None = days(1)
        self.algorithm: Any = hashes.SHA1()
        self.by_hash = False
        self.signer: Issued | None = None
        self.show_signer = True
        self.about: x509.Certificate | None = None
        self.questions: list[ocsp.OCSPRequest] = []
        self.issued: dict[int, x509.Certificate] = {}

    def knows(self, certificate: x509.Certificate) -> x509.Certificate:
        """Answer for this one."""
        self.issued[certificate.serial_number] = certificate
        return certificate

    def answer(self, question: bytes) -> bytes:
        """The answer to a question, both in DER."""
        asked = ocsp.load_der_ocsp_request(question)
        self.questions.append(asked)
        signer = self.signer or self.ca.issued
        revoked = self.status == "revoked"
        encoding = ocsp.OCSPResponderEncoding.HASH if self.by_hash else ocsp.OCSPResponderEncoding.NAME
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                self.about or self.issued[asked.serial_number], self.ca.cert, self.algorithm, STATUS[self.status],
                self.this_update, self.next_update, days(-1) if revoked else None, None,
            )
            .responder_id(encoding, signer.cert)
        )  # fmt: skip
        if self.signer is not None and self.show_signer:
            builder = builder.certificates([self.signer.cert])
        nonce = asked.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        if self.nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce if self.nonce is True else self.nonce), False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def delegate(self, usage: Any = ExtendedKeyUsageOID.OCSP_SIGNING, ca: TestCA | None = None, **options: Any) -> None:
        """Let somebody else sign."""
        extensions = [x509.ExtendedKeyUsage([usage])] if usage is not None else []
        self.signer = (ca or self.ca).issue(common_name="responder", extensions=extensions, **options)
