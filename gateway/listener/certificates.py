"""Server certificates and trusted roots: from a configuration to cryptography objects.

A certificate comes as PKCS#12 in base64 (``data``, ``password``), the form templates carry, or as files
(``certificateFile``, ``keyFile``), the form an override gives.  Either may also hold PEM.  What cannot be
used is a `ConfigurationError` that names the attribute of the model at fault, as ``certificates[0].password``, and says
what would be right; passwords and keys are in no message and in no ``repr``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from gateway.config import model
from gateway.errors import ConfigurationError, Problem

__all__ = ["PrivateKey", "ServerCertificate", "load", "load_authorities", "load_root"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_MOST_BYTES = 1_048_576  # a chain has a few KiB; whoever names a device or a disk image gets an answer all the same
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PEM_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")


@dataclass(frozen=True, slots=True, eq=False)
class ServerCertificate:
    """A certificate that a listener can show.

    ``name``: as in the configuration.  ``chain``: intermediates in the order they are sent, the issuer of
    ``leaf`` first, without the root.  ``names``: DNS names (lower case, wildcards as they stand) and addresses
    it is valid for.
    """

    name: str
    leaf: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def sent(self) -> tuple[x509.Certificate, ...]:
        """What a client gets of it."""
        return self.leaf, *self.chain

    def covers(self, host: str) -> bool:
        """Whether it is valid for a host: a name, an address, or a pattern like ``*.example.com``.

        A wildcard stands for exactly one label, the leftmost (RFC 9525 §6.3).
        """
        host = host.lower().rstrip(".")
        return host in self.names or "*." + host.partition(".")[2] in self.names


class _Unusable(Exception):
    """Why a certificate cannot be used; the text completes a `Problem`, ``key`` is the key of the object it is at."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class _Material(NamedTuple):
    """What one file or one string holds."""

    certificates: list[x509.Certificate]
    key: PrivateKey | None


def load(certificate: model.Certificate, path: str = "") -> ServerCertificate:
    """Load a server certificate with its key.

    ``path``: where it stands, ``certificates[0]``; default: its name is in the brackets.  Raises `ConfigurationError`.
    """
    with _reported(path or f"certificates[{certificate.name}]"):
        return _read(certificate)


def load_root(root: model.TrustedRoot, path: str = "") -> tuple[x509.Certificate, ...]:
    """Load the certificates of a trusted root, at least one. ``path`` as for `load`. Raises `ConfigurationError`."""
    with _reported(path or f"trustedRoots[{root.name}]"):
        if root.file is not None:
            with _at("file"):
                return tuple(_root_certificates(_file(root.file)))
        if root.data is not None:
            with _at("data"):
                return tuple(_root_certificates(_decode(root.data, "a certificate (CER)")))
        raise _Unusable(_nothing(root.key_vault_secret_id, "`data` or `file`"))


def load_authorities(authority: model.TrustedClientCertificate, path: str = "") -> tuple[x509.Certificate, ...]:
    """Load the authorities of clients' certificates: one root, perhaps with intermediates; leaves are left out.

    ``path`` as for `load`.  Raises `ConfigurationError`.
    """
    with _reported(path or f"trustedClientCertificates[{authority.name}]"):
        with _at("file" if authority.file is not None else "data"):
            content = _file(authority.file) if authority.file is not None else _decode(authority.data or "", "PEM")
            found = tuple(certificate for certificate in _root_certificates(content) if _is_authority(certificate))
            roots = [certificate for certificate in found if certificate.issuer == certificate.subject]
            if len(roots) != 1:
                raise _Unusable(f"it has {len(roots)} root certificates: give exactly one, and its intermediates")
            return found


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return certificate.issuer == certificate.subject


@contextmanager
def _reported(path: str) -> Iterator[None]:
    """Turn what goes wrong into a `ConfigurationError` with one problem."""
    try:
        yield
    except _Unusable as error:
        raise ConfigurationError([Problem(f"{path}.{error.key}" if error.key else path, str(error))]) from None


@contextmanager
def _at(key: str) -> Iterator[None]:
    """What goes wrong is at ``key``, unless it knows better."""
    try:
        yield
    except _Unusable as error:
        error.key = error.key or key
        raise
    except Exception as error:  # cryptography has many kinds for odd damage, and their texts may quote it
        raise _Unusable(f"what it holds cannot be used: {type(error).__name__}", key) from None


def _read(certificate: model.Certificate) -> ServerCertificate:
    password = certificate.password
    if certificate.certificate_file is not None:
        with _at("certificateFile"):
            material = _parse(_file(certificate.certificate_file), password, certificate.certificate_file)
            if certificate.key_file is None:
                if material.key is None:
                    raise _Unusable(f"no private key in {certificate.certificate_file}: name its file as `keyFile`")
                return _pair(certificate.name, material)
            if not material.certificates:
                raise _Unusable(f"no certificate in {certificate.certificate_file}")
        with _at("keyFile"):
            key = _parse(_file(certificate.key_file), password, certificate.key_file).key
            if key is None:
                raise _Unusable(f"no private key in {certificate.key_file}")
            return _pair(certificate.name, material._replace(key=key))
    if certificate.data is not None:
        with _at("data"):
            material = _parse(_decode(certificate.data), password, "`data`")
            if material.key is None:
                raise _Unusable("no private key in `data`: export the certificate again together with its key (PFX)")
            return _pair(certificate.name, material)
    raise _Unusable(_nothing(certificate.key_vault_secret_id, "`certificateFile` and `keyFile`"))


def _nothing(secret: str | None, wanted: str) -> str:
    if secret is None:
        return f"there is no certificate: give `data`, or {wanted}"
    return f"it is in Key Vault ({secret}), which this gateway cannot read: give {wanted} in an override"


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _Unusable(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _MOST_BYTES:
        raise _Unusable(f"{path} is larger than {_MOST_BYTES // 1024} KiB, so it is no certificate")
    return content


def _decode(data: str, wanted: str = "a PFX file") -> bytes:
    """The bytes of a ``data`` member: base64 with any white space, or PEM as it stands."""
    if "-----BEGIN" in data:
        return data.encode("latin-1", "replace")
    text = "".join(data.split())
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _Unusable(f"`data` is not base64 ({len(text)} characters): it takes {wanted} in base64") from None
    if not content:
        raise _Unusable(f"`data` is empty: it takes {wanted} in base64")
    return content


def _parse(content: bytes, password: str | None, source: str) -> _Material:
    if b"-----BEGIN" in content:
        return _parse_pem(content, password, source)
    return _parse_der(content, password, source)


def _parse_pem(content: bytes, password: str | None, source: str) -> _Material:
    certificates: list[x509.Certificate] = []
    key = None
    for block in _PEM_BLOCK.finditer(content):
        kind = block[1]
        if kind in _PEM_CERTIFICATES:
            certificates.append(_pem_certificate(block[0], source))
        elif kind.endswith(b"PRIVATE KEY") and key is None:
            key = _pem_key(block[0], password, source)
    if not certificates and key is None:
        raise _Unusable(f"no certificate and no key in {source}")
    return _Material(certificates, key)


def _pem_certificate(block: bytes, source: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block.replace(b" X509 CERTIFICATE", b" CERTIFICATE"))
    except ValueError as error:
        raise _Unusable(f"a certificate in {source} is damaged: {error}") from None


def _pem_key(block: bytes, password: str | None, source: str) -> PrivateKey:
    try:
        try:
            return cast(PrivateKey, load_pem_private_key(block, password.encode() if password else None))
        except TypeError:  # cryptography minds a password that is not needed, and a needed one that is missing
            if not password:
                raise _Unusable(f"the private key in {source} is encrypted: give its `password`", "password") from None
            return cast(PrivateKey, load_pem_private_key(block, None))
    except (ValueError, UnsupportedAlgorithm) as error:
        # With one wrong password in 256 the padding of what it makes is right all the same, and nothing else is.
        nonsense = password and b"ENCRYPTED" in block and isinstance(error, ValueError)
        if nonsense or "password" in str(error):
            raise _Unusable(f"`password` does not open the private key in {source}", "password") from None
        raise _Unusable(f"the private key in {source} is damaged or of an unknown kind") from None


def _parse_der(content: bytes, password: str | None, source: str) -> _Material:
    try:
        bundle = pkcs12.load_pkcs12(content, password.encode() if password else None)
    except ValueError as error:
        if "password" in str(error):
            raise _Unusable(
                f"`password` does not open {source}" if password else f"{source} is encrypted: give its `password`",
                "password",
            ) from None
    else:
        first = [bundle.cert.certificate] if bundle.cert is not None else []
        return _Material(
            first + [extra.certificate for extra in bundle.additional_certs], cast("PrivateKey | None", bundle.key)
        )
    try:
        return _Material([x509.load_der_x509_certificate(content)], None)
    except ValueError:
        pass
    try:
        return _Material([], cast(PrivateKey, load_der_private_key(content, password.encode() if password else None)))
    except (ValueError, TypeError):
        raise _Unusable(
            f"{source} holds neither PKCS#12 (PFX) nor PEM, or only a part of it: export the certificate again"
        ) from None


def _root_certificates(content: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN" in content:
        certificates = [
            _pem_certificate(block[0], "it") for block in _PEM_BLOCK.finditer(content) if block[1] in _PEM_CERTIFICATES
        ]
    else:
        try:
            certificates = [x509.load_der_x509_certificate(content)]
        except ValueError:
            raise _Unusable("it is no certificate: it takes one in DER (CER) or PEM") from None
    if not certificates:
        raise _Unusable("there is no certificate in it")
    return certificates


def _pair(name: str, material: _Material) -> ServerCertificate:
    key = material.key
    if not material.certificates:
        raise _Unusable("there is a private key but no certificate")
    if not isinstance(key, PrivateKey):
        raise _Unusable("the private key is of a kind that TLS does not use: take RSA, EC or Ed25519")
    wanted = _public(key.public_key())
    leaf = next((cert for cert in material.certificates if _public_of(cert) == wanted), None)
    if leaf is None:
        subject = material.certificates[0].subject.rfc4514_string() or "without a subject"
        raise _Unusable(f"the private key does not belong to the certificate ({subject})")
    return ServerCertificate(name, leaf, key, _chain(leaf, material.certificates), _subject_names(leaf))


def _subject_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names and addresses a certificate is for; its common name where it has no alternative names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(attribute.value).lower() for attribute in common[-1:])
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    names += [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys(names))


def _public_of(certificate: x509.Certificate) -> bytes | None:
    try:
        return _public(certificate.public_key())
    except (ValueError, TypeError):  # a key of a kind that cryptography does not know
        return None


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _chain(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The intermediates from the leaf upwards, whatever the order they came in; the root is not sent."""
    chain: list[x509.Certificate] = []
    current = leaf
    rest = [cert for cert in certificates if cert != leaf and cert.subject != cert.issuer]
    while True:
        above = next((cert for cert in rest if _issued(current, cert)), None)
        if above is None:
            return tuple(chain)
        rest.remove(above)
        chain.append(above)
        current = above


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
