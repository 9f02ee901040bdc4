"""A configuration that needs no files of certificates: what the parent has read of them goes with it.

A worker that is started later would find them as they are then, perhaps half written, and could not start or would show
others than its siblings.  So the parent hands over what is in use; private keys go through the pipe and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.config.model import Certificate, Gateway, TrustedClientCertificate, TrustedRoot

if TYPE_CHECKING:
    from gateway.lifecycle.generation import Material
    from gateway.listener.certificates import ServerCertificate

__all__ = ["carried", "dumped", "with_dumped"]

_NO_FILES: dict[str, Any] = {"certificate_file": None, "key_file": None}
_KINDS: dict[str, type[Certificate] | type[TrustedRoot] | type[TrustedClientCertificate]] = {
    "certificates": Certificate,
    "trusted_roots": TrustedRoot,
    "trusted_client_certificates": TrustedClientCertificate,
}


def carried(material: Material) -> Gateway:
    """The model of ``material`` with all that was read in its ``data``, as PEM. What nothing uses may lack it."""
    return material.model.model_copy(update=_parts(material))


def dumped(material: Material) -> dict[str, list[dict[str, Any]]]:
    """Only what `carried` changes, for JSON."""
    return {key: [each.model_dump(exclude_defaults=True) for each in part] for key, part in _parts(material).items()}


def with_dumped(model: Gateway, parts: Mapping[str, list[dict[str, Any]]]) -> Gateway:
    """``model`` with what `dumped` has made of another that differs only in this."""
    return model.model_copy(
        update={key: tuple(map(kind.model_validate, parts[key])) for key, kind in _KINDS.items()}
    )


def _parts(material: Material) -> dict[str, tuple[Any, ...]]:
    model, shown = material.model, material.certificates
    return {
        "certificates": tuple(
            each.model_copy(update=_NO_FILES | (_server(shown[each.name]) if each.name in shown else {}))
            for each in model.certificates
        ),
        "trusted_roots": tuple(_trusted(each, material.roots) for each in model.trusted_roots),
        "trusted_client_certificates": tuple(
            _trusted(each, material.authorities) for each in model.trusted_client_certificates
        ),
    }


def _server(certificate: ServerCertificate) -> dict[str, Any]:
    key = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"data": key + _pem([certificate.leaf, *certificate.chain]), "password": None}


def _trusted(each: Any, read: Mapping[str, Iterable[x509.Certificate]]) -> Any:
    found = _pem(read.get(each.name, ()))
    return each.model_copy(update={"file": None} | ({"data": found} if found else {}))


def _pem(certificates: Iterable[x509.Certificate]) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)
