"""Certificates for tests: a CA that issues EC leaves in a millisecond, in every form a configuration takes.

::

    ca = TestCA()
    issued = ca.issue(names=["chat.example"], ips=["127.0.0.1"])
    listener_certificate = issued.certificate("web")          # model.Certificate with PKCS#12 data
    root = ca.trusted_root("our-ca")                          # model.TrustedRoot

Everything is made in memory; `Issued.pem_files` writes into a directory of the test (``self.mktemp()``).
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from gateway.config import model

__all__ = ["Issued", "TestCA", "days"]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def days(count: float) -> datetime.datetime:
    """The moment so many days from now; negative for the past."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=count)


def _encryption(password: str | None) -> KeySerializationEncryption:
    return BestAvailableEncryption(password.encode()) if password else NoEncryption()


def _name(common_name: str | None) -> x509.Name:
    if common_name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


class Issued:
    """A certificate with its key. ``chain`` holds the intermediates, the issuer of the leaf first, no root."""

    def __init__(self, cert: x509.Certificate, key: PrivateKey, chain: Sequence[x509.Certificate] = ()) -> None:
        self.cert = cert
        self.key = key
        self.chain = list(chain)

    @property
    def cert_pem(self) -> bytes:
        """Leaf, then intermediates."""
        return b"".join(cert.public_bytes(Encoding.PEM) for cert in [self.cert, *self.chain])

    def key_pem(self, password: str | None = None) -> bytes:
        """The private key, PKCS#8, encrypted where there is a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption(password))

    def pem_files(self, directory: str, password: str | None = None, stem: str = "server") -> tuple[str, str]:
        """Write ``STEM.crt`` and ``STEM.key`` into a directory, made where it is missing; return both paths."""
        os.makedirs(directory, exist_ok=True)
        paths = os.path.join(directory, f"{stem}.crt"), os.path.join(directory, f"{stem}.key")
        for path, content in zip(paths, (self.cert_pem, self.key_pem(password)), strict=True):
            with open(path, "wb") as file:
                file.write(content)
        return paths

    def pkcs12(self, password: str | None = None) -> str:
        """PKCS#12 (PFX) in base64, as ``sslCertificates[].properties.data`` has it."""
        return base64.b64encode(
            pkcs12.serialize_key_and_certificates(b"server", self.key, self.cert, self.chain, _encryption(password))
        ).decode()

    def certificate(self, name: str = "cert", password: str = "secret") -> model.Certificate:
        """A certificate of the configuration model, as a template would carry it."""
        return model.Certificate(name=name, data=self.pkcs12(password), password=password)


class TestCA:
    """A certificate authority: a root, or an intermediate made by `intermediate`."""

    __test__ = False  # for collectors that go by the name

    def __init__(self, common_name: str = "Test Root", *, issued: Issued | None = None) -> None:
        if issued is None:
            key = ec.generate_private_key(ec.SECP256R1())
            issued = Issued(_sign(_name(common_name), key, _name(common_name), key, ca=True), key)
        self.issued = issued

    @property
    def cert(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self.issued.cert

    @property
    def pem(self) -> bytes:
        """The authority's own certificate in PEM."""
        return self.cert.public_bytes(Encoding.PEM)

    def trusted_root(self, name: str = "root") -> model.TrustedRoot:
        """A trusted root of the configuration model: base64 of DER, as templates have it."""
        return model.TrustedRoot(name=name, data=base64.b64encode(self.cert.public_bytes(Encoding.DER)).decode())

    def intermediate(self, common_name: str = "Test Intermediate") -> TestCA:
        """An authority below this one; what it issues has it in its chain."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = _sign(_name(common_name), key, self.cert.subject, self.issued.key, ca=True)
        above = self.issued.chain if self._is_root() else [self.cert, *self.issued.chain]
        return TestCA(issued=Issued(cert, key, above))

    def issue(
        self,
        names: Iterable[str] = (),
        ips: Iterable[str] = (),
        not_after: datetime.datetime | None = None,
        not_before: datetime.datetime | None = None,
        common_name: str | None = None,
        key: PrivateKey | None = None,
        extensions: Iterable[x509.ExtensionType] = (),
    ) -> Issued:
        """Issue a server certificate. Without ``names`` and ``ips`` it has no subject alternative names."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives = [x509.DNSName(name) for name in names]
        addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        subject = _name(common_name or (alternatives[0].value if alternatives else None))
        cert = _sign(
            subject, key, self.cert.subject, self.issued.key, [*alternatives, *addresses],
            not_before=not_before, not_after=not_after, extensions=extensions,
        )  # fmt: skip
        return Issued(cert, key, [] if self._is_root() else [self.cert, *self.issued.chain])

    def _is_root(self) -> bool:
        return self.cert.subject == self.cert.issuer


def _sign(
    subject: x509.Name,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    alternatives: Sequence[x509.GeneralName] = (),
    *,
    ca: bool = False,
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
) -> x509.Certificate:
    not_after = not_after or days(90)
    not_before = not_before or min(days(-1), not_after - datetime.timedelta(days=1))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=not subject.rdns)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
