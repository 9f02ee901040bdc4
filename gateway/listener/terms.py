"""What a listener asks of its clients in TLS: versions, suites, certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL, crypto

from gateway.config import model
from gateway.config.tls_policies import SUITES, VERSIONS, policy_of
from gateway.transport.tls import ClientCertificate

__all__ = ["CIPHERS", "Authorities", "Terms", "terms_of"]

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""For TLS 1.2 where no policy says otherwise, after Mozilla's "intermediate" recommendation without finite-field DH."""

_NUMBERS = dict(
    zip(VERSIONS, (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION), strict=True)
)
_MOST_DEPTH = 10


class Authorities:
    """Who issues the certificates of clients, under one profile.

    ``profile``: its name.  ``certificates``: roots and intermediates, perhaps none.  ``strict``: a client needs a
    certificate that they have issued; otherwise one is asked for, and what is found is only said.  ``issuers``: the
    names that an issuer may have; empty for any.  ``revocation``: they are asked whether a certificate was revoked.
    """

    def __init__(
        self,
        profile: str,
        certificates: Sequence[x509.Certificate],
        strict: bool,
        issuers: Sequence[x509.Name] = (),
        revocation: bool = False,
    ) -> None:
        self.profile = profile
        self.strict = strict
        self.revocation = revocation
        self._certificates = tuple(certificates)
        self._issuers = frozenset(issuers)
        self._reasons: WeakKeyDictionary[SSL.Connection, str] = WeakKeyDictionary()

    def ask(self, context: SSL.Context) -> None:
        """Let ``context`` ask clients for a certificate."""
        store = context.get_cert_store()
        for certificate in self._certificates if store is not None else ():
            store.add_cert(crypto.X509.from_cryptography(certificate))  # type: ignore[union-attr]
            context.add_client_ca(certificate)
        context.set_verify_depth(_MOST_DEPTH)
        context.set_verify(SSL.VERIFY_PEER, self._judged)
        # A resumed session would come without the judgement.
        context.set_options(SSL.OP_NO_TICKET)

    def ask_on(self, connection: SSL.Connection) -> None:
        """The same for a connection that began with another context (SNI)."""
        connection.set_verify(SSL.VERIFY_PEER, self._judged)
        connection.set_options(SSL.OP_NO_TICKET)

    def _judged(self, connection: SSL.Connection, certificate: object, error: int, depth: int, good: int) -> bool:
        """OpenSSL has looked at one certificate. The handshake goes on: the answer is a 400, not an alert."""
        if not good and connection not in self._reasons:
            self._reasons[connection] = _REASONS.get(error, f"OpenSSL's error {error}")
        return True

    def examine(self, connection: SSL.Connection) -> ClientCertificate:
        """What came of it, after the handshake."""
        leaf = connection.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            return ClientCertificate(self.profile, "NONE")
        reason = self._reasons.pop(connection, "")
        if not reason and self._issuers and leaf.issuer not in self._issuers:
            reason = "the issuer is not the one that was uploaded"
        if reason:
            return ClientCertificate(self.profile, f"FAILED:{reason}", leaf)
        chain = connection.get_verified_chain(as_cryptography=True) if self.revocation else None
        issuer = chain[1] if chain is not None and len(chain) > 1 else None
        return ClientCertificate(self.profile, "SUCCESS", leaf, issuer)


_REASONS = {
    7: "the signature is wrong",
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its root is not trusted",
    20: "its issuer is not trusted",
    21: "its issuer is not trusted",
    22: "the chain is too long",
    24: "its issuer is no authority",
    26: "it is not for clients",
}
"""Verification errors of OpenSSL (``x509_vfy.h``)."""


class Terms(NamedTuple):
    """``minimum`` and ``maximum``: versions as OpenSSL numbers them; ``ciphers``, ``suites13``: as it spells them."""

    minimum: int = SSL.TLS1_2_VERSION
    maximum: int = SSL.TLS1_3_VERSION
    ciphers: str = CIPHERS
    suites13: str = ""
    authorities: Authorities | None = None


def terms_of(
    gateway: model.Gateway, authorities: Mapping[str, Sequence[Sequence[x509.Certificate]]]
) -> dict[str, Terms]:
    """The terms of each listener by its name; listeners with the same policy and profile have the same object.

    ``authorities``: for each profile with client certificates what each upload holds, its root and intermediates;
    those that are unavailable are not among them.
    """
    profiles = {profile.name: profile for profile in gateway.ssl_profiles}
    made: dict[str | None, Terms] = {None: _terms(gateway.ssl_policy, None)}
    for name, profile in profiles.items():
        made[name] = _terms(profile.ssl_policy or gateway.ssl_policy, _authorities(profile, authorities.get(name, ())))
    return {listener.name: made[listener.ssl_profile] for listener in gateway.listeners}


def _terms(policy: model.SslPolicy | None, authorities: Authorities | None) -> Terms:
    if policy is None:
        return Terms(authorities=authorities)
    wanted = policy_of(policy)
    names = [SUITES[suite] for suite in wanted.suites]
    if wanted.minimum in VERSIONS[:2]:
        names.append("@SECLEVEL=0")  # OpenSSL's usual level forbids the signatures of TLS 1.0 and 1.1
    ciphers = ":".join(names) or CIPHERS
    return Terms(
        _NUMBERS[wanted.minimum], _NUMBERS[wanted.maximum], ciphers, ":".join(wanted.suites13), authorities
    )


def _authorities(
    profile: model.SslProfile, uploads: Sequence[Sequence[x509.Certificate]]
) -> Authorities | None:
    wanted = profile.client_auth_configuration
    strict = wanted.verify_client_auth_mode == "Strict"
    if strict and not profile.trusted_client_certificates:
        return None  # but where some are named and none is there, nobody is trusted
    issuers = [lowest(upload).subject for upload in uploads] if wanted.verify_client_cert_issuer_dn else []
    every = [certificate for upload in uploads for certificate in upload]
    revocation = wanted.verify_client_revocation == "OCSP"
    return Authorities(profile.name, every, strict, issuers, strict and revocation)


def lowest(chain: Sequence[x509.Certificate]) -> x509.Certificate:
    """The authority of an upload that issued none of the others."""
    issuers = {certificate.issuer for certificate in chain if certificate.issuer != certificate.subject}
    return next((certificate for certificate in chain if certificate.subject not in issuers), chain[-1])
