"""Server variables about the certificate that a client has shown (reference §2.4), in nginx's forms.

The PEM is percent-encoded, for a field has no line ends.  All are empty where there is no certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import Certificate

    from gateway.routing.variables import View

__all__ = ["CERTIFICATE_VARIABLES"]


def _of(read: Callable[[Certificate], str]) -> Callable[[View], str]:
    def find(view: View) -> str:
        shown: Any = getattr(view.context, "client_certificate", None)
        if shown is None or shown.certificate is None:
            return ""
        # Text of a certificate is anything; this is how it is sent.
        return read(shown.certificate).encode("utf-8", "surrogateescape").decode("latin-1")

    return find


def _date(moment: datetime) -> str:
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S %Y} GMT"


def _verification(view: View) -> str:
    shown: Any = getattr(view.context, "client_certificate", None)
    if shown is not None:
        verdict: str = shown.verdict
        return verdict
    return "NONE" if view.context.scheme == "https" else ""


CERTIFICATE_VARIABLES: Final[Mapping[str, Callable[[View], str]]] = {
    "client_certificate": _of(lambda leaf: quote(leaf.public_bytes(Encoding.PEM), safe="")),
    "client_certificate_end_date": _of(lambda leaf: _date(leaf.not_valid_after_utc)),
    "client_certificate_fingerprint": _of(lambda leaf: leaf.fingerprint(SHA1()).hex()),
    "client_certificate_issuer": _of(lambda leaf: leaf.issuer.rfc4514_string()),
    "client_certificate_serial": _of(lambda leaf: f"{leaf.serial_number:X}"),
    "client_certificate_start_date": _of(lambda leaf: _date(leaf.not_valid_before_utc)),
    "client_certificate_subject": _of(lambda leaf: leaf.subject.rfc4514_string()),
    "client_certificate_verification": _verification,
}
