"""Why a TLS handshake with a backend failed, in sentences for the operator.

OpenSSL's error of a refused chain says only "certificate verify failed"; `note_finding` keeps what it was about.
Text that a backend chose (subjects, names) is cut and made printable, because it goes to the log.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL.SSL import X509VerificationCodes as Codes
from service_identity import VerificationError

from gateway.errors import BackendTLSFailed

__all__ = ["explain", "mismatch", "note_finding", "printable"]

_LONGEST_TEXT = 100
_MOST_NAMES = 5


class _Finding:
    """What OpenSSL found wrong with a chain: its code, and the certificate it was looking at."""

    def __init__(self, code: int, depth: int, certificate: x509.Certificate) -> None:
        self.code = code
        self.depth = depth
        self.certificate = certificate


_findings: WeakKeyDictionary[SSL.Connection, _Finding] = WeakKeyDictionary()


def note_finding(connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
    """A verify callback for contexts (``set_verify``): OpenSSL's verdict stands, the reason is kept."""
    if not ok:
        _findings[connection] = _Finding(code, depth, certificate.to_cryptography())
    return bool(ok)


def mismatch(connection: SSL.Connection, name: str, error: Exception) -> str:
    """Why the certificate a backend has shown is not accepted for a name or an address.

    ``error`` is what service-identity raised.
    """
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return "the backend has shown no certificate"
    remedy = "set hostName (or sniName) of the backend settings to a name it is for, or validateSNI to false"
    if _is_authority(certificate):
        return "the first certificate the backend sends is that of an authority: its own must be the first of the chain"
    names = _alternative_names(certificate)
    if names is None:
        return (
            f"the backend's certificate ({_subject(certificate)}) has no subject alternative names, so it is not "
            f"accepted for {name}: renew it with them, or set validateSNI of the backend settings to false"
        )
    if not isinstance(error, VerificationError):  # such as an address among the DNS names
        return f"the backend's certificate ({_subject(certificate)}) is not well-formed: {printable(str(error))}"
    shown = ", ".join(printable(each) for each in names[:_MOST_NAMES]) or "no host"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"the backend's certificate is for {shown}{more}, not for {name}: {remedy}"


def explain(connection: SSL.Connection, error: BaseException) -> str:
    """Why a handshake with a backend failed, in a sentence for the operator.

    ``error`` is what ``do_handshake`` or the ``verify`` of a `ClientTLS` raised.
    """
    if isinstance(error, BackendTLSFailed):
        return str(error)
    finding = _findings.get(connection)
    if finding is not None:
        return _chain_sentence(finding)
    if isinstance(error, (SSL.ZeroReturnError, SSL.SysCallError)):
        return "the backend closed the connection during the TLS handshake: does it speak TLS on this port?"
    reasons = [reason for _, _, reason in error.args[0]] if isinstance(error, SSL.Error) and error.args else []
    for reason in reasons:
        for part, sentence in _HANDSHAKE:
            if part in reason:
                return sentence
    return f"the TLS handshake with the backend failed: {'; '.join(reasons) or type(error).__name__}"


_HANDSHAKE = (
    ("wrong version number", "the backend does not speak TLS on this port: set protocol to Http, or another port"),
    ("packet length too long", "the backend does not speak TLS on this port: set protocol to Http, or another port"),
    ("record layer failure", "the backend does not speak TLS on this port: set protocol to Http, or another port"),
    ("http request", "the backend does not speak TLS on this port: set protocol to Http, or another port"),
    ("protocol version", "the backend speaks neither TLS 1.2 nor TLS 1.3"),
    ("unsupported protocol", "the backend speaks neither TLS 1.2 nor TLS 1.3"),
    ("unrecognized name", "the backend does not know the server name: set hostName or sniName of the backend settings"),
    ("certificate required", "the backend wants a client certificate, and the gateway has none"),
    ("no application protocol", "the backend does not offer HTTP/1.1 (ALPN)"),
    ("handshake failure", "the backend refused the TLS handshake: no common cipher, or it needs another server name"),
)


def _chain_sentence(finding: _Finding) -> str:
    certificate, code = finding.certificate, finding.code
    whose = "the backend's certificate" if finding.depth == 0 else "a certificate in the backend's chain"
    subject = _subject(certificate)
    if code == Codes.ERR_CERT_HAS_EXPIRED:
        return f"{whose} ({subject}) expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if code == Codes.ERR_CERT_NOT_YET_VALID:
        start = certificate.not_valid_before_utc
        return f"{whose} ({subject}) is valid only from {start:%Y-%m-%d %H:%M} UTC on: check this machine's clock"
    if code == Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return (
            f"the backend's certificate ({subject}) is self-signed: add it to the settings' trusted root certificates"
        )
    if code == Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return f"the root of the backend's chain ({subject}) is not a trusted root: add it to those of the settings"
    if code in (Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, Codes.ERR_UNABLE_TO_GET_ISSUER_CERT):
        issuer = printable(certificate.issuer.rfc4514_string())
        if finding.depth == 0 and not _is_authority(certificate):
            return (
                f"the backend sent its certificate ({subject}) but not that of its issuer ({issuer}), which is no "
                "trusted root: the intermediate is missing from the chain, or the root from the settings"
            )
        return f"the backend's chain ends at {subject}, whose issuer ({issuer}) is not a trusted root"
    if code in (Codes.ERR_INVALID_PURPOSE, Codes.ERR_INVALID_CA):
        return f"{whose} ({subject}) may not be used for this: wrong key usage, or an issuer that is no authority"
    return f"{whose} ({subject}) was not accepted, OpenSSL verification code {code}"


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _alternative_names(certificate: x509.Certificate) -> list[str] | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return found.get_values_for_type(x509.DNSName) + addresses


def _subject(certificate: x509.Certificate) -> str:
    return printable(certificate.subject.rfc4514_string()) or "no subject"


def printable(text: str) -> str:
    """Text that a backend or a client chose, fit for a log line."""
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "..."
