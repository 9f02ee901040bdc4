"""What the access log says of a client's certificate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA1

if TYPE_CHECKING:
    from gateway.transport.tls import ClientCertificate

__all__ = ["NO_CERTIFICATE", "certificate_fields", "certificate_text"]

_LONGEST = 1024


def certificate_fields(shown: ClientCertificate | None) -> dict[str, str]:
    """The fields of a line; ``None`` where no certificate was asked for. The fingerprint is SHA-1, as nginx has it."""
    leaf = None if shown is None else shown.certificate
    try:
        issuer = "" if leaf is None else leaf.issuer.rfc4514_string()[:_LONGEST]
    except ValueError:  # a name can be anything
        issuer = ""
    return {
        "sslClientVerify": "NONE" if shown is None else shown.verdict,
        "sslClientCertificateFingerprint": "" if leaf is None else leaf.fingerprint(SHA1()).hex(),
        "sslClientCertificateIssuerName": issuer,
    }


def certificate_text(shown: ClientCertificate | None) -> str:
    """The same as members of a JSON object, without its braces."""
    return json.dumps(certificate_fields(shown), separators=(",", ":"))[1:-1]


NO_CERTIFICATE = certificate_text(None)
