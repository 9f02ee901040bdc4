"""Asking an authority whether a certificate was revoked: the question, and what its answer is worth (RFC 6960).

Pure: who sends it is `gateway.listener.revocation`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

__all__ = ["ANSWER_TYPE", "QUESTION_TYPE", "Answer", "NoAnswer", "judged", "question", "responder"]

QUESTION_TYPE = "application/ocsp-request"
ANSWER_TYPE = "application/ocsp-response"

_SKEW = timedelta(minutes=5)
"""How far the clocks of the two may be apart."""


class NoAnswer(Exception):
    """It is not known whether the certificate was revoked. The text says why, for the operator."""


class Answer(NamedTuple):
    """``reason``: empty for a good certificate; ``until``: when there will be a newer answer, if that is said."""

    reason: str
    until: datetime | None


def responder(certificate: x509.Certificate) -> str:
    """The URL at which the issuer answers (RFC 6960 §3.1). Raises `NoAnswer` where the certificate names none."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        access = x509.AuthorityInformationAccess([])
    for entry in access:
        if entry.access_method == AuthorityInformationAccessOID.OCSP:
            url = getattr(entry.access_location, "value", "")
            if isinstance(url, str) and url.isascii() and urlsplit(url).scheme in ("http", "https"):
                return url
    raise NoAnswer("the certificate names no OCSP responder")


def question(certificate: x509.Certificate, issuer: x509.Certificate, nonce: bytes) -> bytes:
    """The request in DER. SHA-1 names the issuer: it is what every responder knows, and nothing is signed with it."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())
    return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build().public_bytes(Encoding.DER)


def judged(
    data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, nonce: bytes, now: datetime
) -> Answer:
    """What a response in DER says of ``certificate``, at the aware time ``now``.

    Raises `NoAnswer` where it says nothing, or is not to be believed: not signed by the issuer or by whom it has
    delegated that to, about another certificate, for another question, or too old.
    """
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise NoAnswer(f"the responder answers {response.response_status.name}")
        _check_signature(response, issuer, now)
        _check_nonce(response, nonce)
        return _status(response, certificate, issuer, now)
    except NoAnswer:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NoAnswer(f"the answer cannot be read: {error}") from None


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes) -> None:
    """An answer with another nonce is an old one; one without is believed for its dates, as many have none."""
    try:
        found = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if found != nonce:
        raise NoAnswer("the answer has another nonce: it is one to another question")


def _status(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> Answer:
    single = next((each for each in response.responses if _is_about(each, certificate, issuer)), None)
    if single is None:
        raise NoAnswer("the answer is about another certificate")
    until = single.next_update_utc
    if single.this_update_utc > now + _SKEW:
        raise NoAnswer("the answer is from the future; is the clock of this machine right?")
    if until is not None and until < now - _SKEW:
        raise NoAnswer("the answer is out of date")
    if until is None and single.this_update_utc < now - _SKEW:
        raise NoAnswer("the answer does not say until when it is good, and is not a new one")
    if single.certificate_status == ocsp.OCSPCertStatus.GOOD:
        return Answer("", until)
    if single.certificate_status == ocsp.OCSPCertStatus.REVOKED:
        return Answer("it has been revoked", until)
    raise NoAnswer("the responder does not know the certificate")


def _is_about(single: ocsp.OCSPSingleResponse, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if single.serial_number != certificate.serial_number:
        return False
    name = hashes.Hash(single.hash_algorithm)
    name.update(issuer.subject.public_bytes())
    return name.finalize() == single.issuer_name_hash and _key_hash(issuer, single.hash_algorithm) == (
        single.issuer_key_hash
    )


def _key_hash(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> bytes:
    """Of the key's bits, without what says what kind of key it is (RFC 6960 §4.1.1)."""
    if isinstance(algorithm, hashes.SHA1):
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    digest = hashes.Hash(algorithm)
    digest.update(_key_bits(certificate))
    return digest.finalize()


def _key_bits(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    raise NoAnswer("the issuer has a key of an unknown kind")


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    """By the issuer itself, or by a certificate of its that is for this (RFC 6960 §4.2.2.2)."""
    for signer in (issuer, *response.certificates):
        if not _is_responder(response, signer):
            continue
        if signer != issuer:
            _check_delegate(signer, issuer, now)
        _verify(response, signer)
        return
    raise NoAnswer("the answer is signed by somebody else than the issuer of the certificate")


def _is_responder(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == signer.subject
    return response.responder_key_hash == _key_hash(signer, hashes.SHA1())


def _check_delegate(signer: x509.Certificate, issuer: x509.Certificate, now: datetime) -> None:
    try:
        signer.verify_directly_issued_by(issuer)
        usages = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, ValueError, TypeError):
        usages = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.1.1")])
    if ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        raise NoAnswer("the answer is signed by one to whom the issuer has not delegated that")
    if not signer.not_valid_before_utc - _SKEW <= now <= signer.not_valid_after_utc + _SKEW:
        raise NoAnswer("the certificate that the answer is signed with is not valid now")


def _verify(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    signature, signed = response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None and _is_strong(algorithm):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None and _is_strong(algorithm):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            key.verify(signature, signed)
        else:
            raise NoAnswer("the answer is signed in a way that is not known here or too weak")
    except InvalidSignature:
        raise NoAnswer("the signature of the answer is wrong") from None


def _is_strong(algorithm: hashes.HashAlgorithm) -> bool:
    return algorithm.digest_size >= hashes.SHA256.digest_size
