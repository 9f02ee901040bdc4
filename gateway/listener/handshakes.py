"""Why a client's TLS handshake failed: a word to count by, a sentence for the operator."""

from __future__ import annotations

from typing import NamedTuple

from OpenSSL import SSL
from twisted.internet.error import ConnectionClosed

from gateway.transport.greetings import Crowded
from gateway.transport.tls import reasons
from gateway.transport.tls_reasons import printable

__all__ = ["Finding", "finding"]


class Finding(NamedTuple):
    """``reason`` is one of a few words, ``sentence`` says it for people."""

    reason: str
    sentence: str


_CLOSED = Finding("closed_by_client", "the client closed the connection")
_OLD = Finding("protocol_version", "the client speaks no version of TLS that is taken for the name it asks for")
_TABLE = (
    ("unexpected eof", _CLOSED),
    ("ECONNRESET", _CLOSED),
    ("EPIPE", _CLOSED),
    ("no shared cipher", Finding("no_common_cipher", "the client has no cipher that this port takes")),
    ("suitable signature", Finding("no_common_cipher", "the client takes no signature that the certificate can make")),
    ("suitable key share", Finding("no_common_cipher", "the client has no key exchange that this port takes")),
    ("unsupported protocol", _OLD),
    ("version too low", _OLD),
    ("protocol version", _OLD),
    ("no application protocol", Finding("no_common_protocol", "the client offers no version of HTTP/1 (ALPN)")),
    ("did not return a certificate", Finding("no_client_certificate", "the client shows no certificate")),
    ("certificate verify failed", Finding("client_certificate_refused", "the client's certificate is not accepted")),
    ("unknown ca", Finding("certificate_refused", "the client does not trust the issuer of the certificate")),
    ("certificate expired", Finding("certificate_refused", "the client says that the certificate has expired")),
    ("certificate", Finding("certificate_refused", "the client refuses the certificate")),
    ("wrong version number", Finding("not_tls", "what the client sent is not TLS")),
    ("http request", Finding("not_tls", "what the client sent is not TLS")),
)


def finding(error: BaseException) -> Finding:
    """What to say of what ``do_handshake``, or the end of the connection, raised."""
    if isinstance(error, TimeoutError):
        return Finding("timeout", str(error))
    if isinstance(error, Crowded):
        return Finding("too_many", str(error))
    if isinstance(error, (ConnectionClosed, SSL.ZeroReturnError)):
        return _CLOSED
    said = reasons(error) if isinstance(error, Exception) else []
    for reason in said:
        for part, found in _TABLE:
            if part in reason:
                return found
    return Finding("other", printable("; ".join(said)) or type(error).__name__)
