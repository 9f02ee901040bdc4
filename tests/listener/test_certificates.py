"""Loading server certificates and trusted roots, and what the check says about them."""

from __future__ import annotations

import base64
import os
import textwrap
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.errors import ConfigurationError, Problem
from gateway.listener import certificates
from gateway.listener.certificate_checks import check_certificates, load_roots, load_shown
from gateway.listener.certificates import load, load_root
from tests.certificates import Issued, TestCA, days


class _CertificateTestCase(SynchronousTestCase):
    ca = TestCA()

    def refusal(self, certificate: model.Certificate, key: str | None = None) -> str:
        """What is wrong with it; ``key``: where."""
        problems = self.assertRaises(ConfigurationError, load, certificate).problems
        self.assertEqual(1, len(problems))
        path, _, found = problems[0].path.partition(".")
        self.assertEqual(f"certificates[{certificate.name}]", path)
        if key is not None:
            self.assertEqual(key, found)
        self.assertEqual("error", problems[0].severity)
        return problems[0].message

    def write(self, content: bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return path


class PKCS12Tests(_CertificateTestCase):
    """``data`` and ``password``, as templates have them."""

    def test_template(self) -> None:
        issued = self.ca.intermediate().issue(names=["Chat.Example", "*.chat.example"], ips=["10.0.0.4"])
        loaded = load(issued.certificate("web", password="P@ssw0rd é"))
        self.assertEqual(issued.cert, loaded.leaf)
        self.assertEqual(tuple(issued.chain), loaded.chain)
        self.assertEqual(("chat.example", "*.chat.example", "10.0.0.4"), loaded.names)
        self.assertEqual("web", loaded.name)

    def test_white_space_in_base64(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        data = "\r\n  ".join(textwrap.wrap(issued.pkcs12("x"), 64)) + "\n"
        self.assertEqual(issued.cert, load(model.Certificate(name="a", data=data, password="x")).leaf)

    def test_missing_padding(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        data = issued.pkcs12("x").rstrip("=")
        self.assertEqual(issued.cert, load(model.Certificate(name="a", data=data, password="x")).leaf)

    def test_no_password(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        for password in (None, ""):
            loaded = load(model.Certificate(name="a", data=issued.pkcs12(), password=password))
            self.assertEqual(issued.cert, loaded.leaf)

    def test_old_encryption(self) -> None:
        # what Windows Server before 2019 exports
        issued = self.ca.issue(names=["a.example"])
        old = (
            PrivateFormat.PKCS12.encryption_builder()
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .build(b"x")
        )
        data = pkcs12.serialize_key_and_certificates(None, issued.key, issued.cert, None, old)
        encoded = base64.b64encode(data).decode()
        self.assertEqual(issued.cert, load(model.Certificate(name="a", data=encoded, password="x")).leaf)

    def test_pem_instead(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        pem = issued.cert_pem + issued.key_pem()
        for data in (pem.decode(), base64.b64encode(pem).decode()):
            self.assertEqual(issued.cert, load(model.Certificate(name="a", data=data)).leaf)

    def test_common_name_only(self) -> None:
        issued = self.ca.issue(common_name="Old.Example")
        self.assertEqual(("old.example",), load(issued.certificate()).names)

    def test_no_secret_in_repr(self) -> None:
        loaded = load(self.ca.issue(names=["a.example"]).certificate(password="hunter2"))
        self.assertNotIn("key", repr(loaded).lower())
        self.assertNotIn("hunter2", repr(loaded))

    def test_wrong_password(self) -> None:
        certificate = self.ca.issue(names=["a.example"]).certificate(password="right")
        message = self.refusal(certificate.model_copy(update={"password": "hunter2"}), "password")
        self.assertEqual("`password` does not open `data`", message)
        message = self.refusal(certificate.model_copy(update={"password": None}), "password")
        self.assertEqual("`data` is encrypted: give its `password`", message)

    def test_no_private_key(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        data = pkcs12.serialize_key_and_certificates(None, None, issued.cert, None, BestAvailableEncryption(b"x"))
        certificate = model.Certificate(name="a", data=base64.b64encode(data).decode(), password="x")
        self.assertIn("no private key in `data`", self.refusal(certificate, "data"))
        der = base64.b64encode(issued.cert.public_bytes(Encoding.DER)).decode()
        self.assertIn("no private key in `data`", self.refusal(model.Certificate(name="a", data=der)))

    def test_not_base64(self) -> None:
        message = self.refusal(model.Certificate(name="a", data="****", password="****"), "data")
        self.assertIn("`data` is not base64", message)

    def test_not_a_certificate(self) -> None:
        data = base64.b64encode(b"hello, world").decode()
        message = self.refusal(model.Certificate(name="a", data=data), "data")
        self.assertIn("`data` holds neither PKCS#12 (PFX) nor PEM, or only a part of it", message)

    def test_truncated(self) -> None:
        """A part of a real one."""
        data = self.ca.issue(names=["a.example"]).pkcs12("x")
        for length in (40, len(data) // 2, len(data) - 8):
            self.refusal(model.Certificate(name="a", data=data[:length], password="x"))

    def test_empty(self) -> None:
        self.assertIn("is empty", self.refusal(model.Certificate(name="a", data=" \n")))
        self.assertIn("there is no certificate", self.refusal(model.Certificate(name="a")))

    def test_key_vault(self) -> None:
        message = self.refusal(model.Certificate(name="a", key_vault_secret_id="https://vault/secrets/web"))
        self.assertIn("https://vault/secrets/web", message)
        self.assertIn("`certificateFile` and `keyFile`", message)


class FileTests(_CertificateTestCase):
    """``certificateFile`` and ``keyFile``, as an override has them."""

    def test_two_files(self) -> None:
        issued = self.ca.intermediate().issue(names=["a.example"])
        cert, key = issued.pem_files(self.mktemp())
        loaded = load(model.Certificate(name="a", certificate_file=cert, key_file=key))
        self.assertEqual((issued.cert, tuple(issued.chain)), (loaded.leaf, loaded.chain))

    def test_one_file(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        for content in (issued.cert_pem + issued.key_pem(), issued.key_pem() + b"\n" + issued.cert_pem):
            path = self.write(content)
            self.assertEqual(issued.cert, load(model.Certificate(name="a", certificate_file=path)).leaf)

    def test_files_win_over_data(self) -> None:
        mine, other = self.ca.issue(names=["mine.example"]), self.ca.issue(names=["other.example"])
        cert, key = mine.pem_files(self.mktemp())
        certificate = other.certificate().model_copy(update={"certificate_file": cert, "key_file": key})
        self.assertEqual(mine.cert, load(certificate).leaf)

    def test_traditional_key(self) -> None:
        issued = self.ca.issue(names=["a.example"], key=rsa.generate_private_key(65537, 2048))
        key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        path = self.write(issued.cert_pem + key)
        self.assertEqual(issued.cert, load(model.Certificate(name="a", certificate_file=path)).leaf)

    def test_encrypted_key(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        cert, key = issued.pem_files(self.mktemp(), password="x")
        certificate = model.Certificate(name="a", certificate_file=cert, key_file=key, password="x")
        self.assertEqual(issued.cert, load(certificate).leaf)
        self.assertIn("does not open", self.refusal(certificate.model_copy(update={"password": "y"}), "password"))
        self.assertIn("is encrypted", self.refusal(certificate.model_copy(update={"password": None})))

    def test_wrong_passwords(self) -> None:
        """What one in 256 makes of the key looks as if it could be one."""
        issued = self.ca.issue(names=["a.example"])
        key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x"))
        path = self.write(issued.cert_pem + key)
        for number in range(1500):
            certificate = model.Certificate(name="a", certificate_file=path, password=f"wrong {number}")
            message = self.refusal(certificate, "password")
            self.assertEqual(f"`password` does not open the private key in {path}", message)

    def test_needless_password(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        cert, key = issued.pem_files(self.mktemp())
        certificate = model.Certificate(name="a", certificate_file=cert, key_file=key, password="unused")
        self.assertEqual(issued.cert, load(certificate).leaf)

    def test_pfx_file(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        path = self.write(base64.b64decode(issued.pkcs12("x")))
        loaded = load(model.Certificate(name="a", certificate_file=path, password="x"))
        self.assertEqual(issued.cert, loaded.leaf)

    def test_any_order(self) -> None:
        low = self.ca.intermediate("Middle").intermediate("Low")
        issued = low.issue(names=["a.example"])
        shuffled = [issued.chain[1], self.ca.cert, issued.chain[0], issued.cert]
        path = self.write(b"".join(cert.public_bytes(Encoding.PEM) for cert in shuffled) + issued.key_pem())
        loaded = load(model.Certificate(name="a", certificate_file=path))
        self.assertEqual(issued.cert, loaded.leaf)
        self.assertEqual(tuple(issued.chain), loaded.chain)  # leaf's issuer first, and no root

    def test_same_name_other_key(self) -> None:
        # an authority that was renewed under its old name is not the issuer
        issued = self.ca.issue(names=["a.example"])
        impostor = TestCA("Test Root").intermediate("Test Root")
        path = self.write(issued.cert_pem + impostor.pem + issued.key_pem())
        self.assertEqual((), load(model.Certificate(name="a", certificate_file=path)).chain)

    def test_key_of_another(self) -> None:
        one, two = self.ca.issue(names=["one.example"]), self.ca.issue(names=["two.example"])
        path = self.write(one.cert_pem + two.key_pem())
        message = self.refusal(model.Certificate(name="a", certificate_file=path))
        self.assertEqual("the private key does not belong to the certificate (CN=one.example)", message)
        certificate, _ = one.pem_files(self.mktemp())
        both = model.Certificate(name="a", certificate_file=certificate, key_file=path)
        self.assertEqual(message, self.refusal(both, "keyFile"))

    def test_no_key(self) -> None:
        cert, _ = self.ca.issue(names=["a.example"]).pem_files(self.mktemp())
        message = self.refusal(model.Certificate(name="a", certificate_file=cert))
        self.assertIn("name its file as `keyFile`", message)
        same = model.Certificate(name="a", certificate_file=cert, key_file=cert)
        self.assertIn("no private key in", self.refusal(same, "keyFile"))

    def test_no_certificate(self) -> None:
        _, key = self.ca.issue(names=["a.example"]).pem_files(self.mktemp())
        message = self.refusal(model.Certificate(name="a", certificate_file=key))
        self.assertEqual("there is a private key but no certificate", message)
        same = model.Certificate(name="a", certificate_file=key, key_file=key)
        self.assertIn("no certificate in", self.refusal(same, "certificateFile"))

    def test_unreadable(self) -> None:
        message = self.refusal(model.Certificate(name="a", certificate_file="/nonexistent/cert.pem"))
        self.assertEqual("cannot read /nonexistent/cert.pem: No such file or directory", message)
        directory = self.mktemp()
        os.mkdir(directory)
        self.assertIn("Is a directory", self.refusal(model.Certificate(name="a", certificate_file=directory)))
        self.assertIn("cannot read", self.refusal(model.Certificate(name="a", certificate_file="a\0b")))

    def test_endless(self) -> None:
        message = self.refusal(model.Certificate(name="a", certificate_file="/dev/zero"))
        self.assertIn("is larger than", message)

    def test_damaged(self) -> None:
        for kind in (b"CERTIFICATE", b"PRIVATE KEY"):
            path = self.write(b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n" % (kind, kind))
            self.assertIn("damaged", self.refusal(model.Certificate(name="a", certificate_file=path)))
        path = self.write(b"-----BEGIN NOTHING-----")
        self.assertIn("no certificate and no key", self.refusal(model.Certificate(name="a", certificate_file=path)))

    def test_odd_kinds(self) -> None:
        """What cryptography does not know raises exceptions of many kinds; none gets out."""
        issued = self.ca.issue(names=["a.example"])
        key = """-----BEGIN EC PRIVATE KEY-----
MD4CAQEEDlHgjqvt7g3YxSctY5nFoAcGBSuBBAAGoSADHgAEZdpKku7UPU9FIhxL
U5V5f4jJ75NYfIIKubdEtg==
-----END EC PRIVATE KEY-----
"""
        path = self.write(issued.cert_pem + key.encode())
        message = self.refusal(model.Certificate(name="a", certificate_file=path), "certificateFile")
        self.assertIn("damaged or of an unknown kind", message)
        self.patch(certificates, "_chain", lambda leaf, others: {}["hunter2"])
        message = self.refusal(issued.certificate("a"), "data")
        self.assertEqual("what it holds cannot be used: KeyError", message)

    def test_no_damage_says_a_secret(self) -> None:
        issued = self.ca.issue(names=["a.example"])
        lines = issued.key_pem().splitlines()
        secret = lines[1].decode()
        path = self.write(issued.cert_pem + b"\n".join([lines[0], lines[1], b"!!!", lines[-1]]))
        self.assertNotIn(secret, self.refusal(model.Certificate(name="a", certificate_file=path)))


class CoverTests(_CertificateTestCase):
    """RFC 9525 §6.3."""

    def test_names(self) -> None:
        loaded = load(self.ca.issue(names=["a.example", "*.b.example"], ips=["10.0.0.4", "::1"]).certificate())
        for host in ("a.example", "A.Example.", "x.b.example", "*.b.example", "10.0.0.4", "::1"):
            self.assertTrue(loaded.covers(host), host)
        for host in ("b.example", "x.y.b.example", "x.a.example", "10.0.0.5", "", "example"):
            self.assertFalse(loaded.covers(host), host)


class UsedTests(_CertificateTestCase):
    """`load_shown` and `load_roots`: what a gateway needs to run."""

    def gateway(self, *items: model.Certificate, roots: tuple[model.TrustedRoot, ...] = ()) -> model.Gateway:
        """All certificates but those named ``unused`` are shown, all roots but those are trusted."""
        names = tuple(item.name for item in items if item.name != "unused")
        trusted = tuple(root.name for root in roots if root.name != "unused")
        return model.Gateway(
            listeners=(model.HttpListener(name="l", port=443, protocol="Https", certificates=names),),
            settings=(model.BackendSettings(name="s", protocol="Https", trusted_root_certificates=trusted),),
            certificates=items,
            trusted_roots=roots,
        )

    def test_by_name(self) -> None:
        one, two = self.ca.issue(names=["one.example"]), self.ca.issue(names=["two.example"])
        gateway = self.gateway(
            one.certificate("1"), two.certificate("2"), two.certificate("unused"), roots=(self.ca.trusted_root("r"),)
        )
        problems: list[Problem] = []
        loaded, roots = load_shown(gateway, problems), load_roots(gateway, problems)
        self.assertEqual([], problems)
        self.assertEqual({"1": one.cert, "2": two.cert}, {name: cert.leaf for name, cert in loaded.items()})
        self.assertEqual({"r": (self.ca.cert,)}, roots)

    def test_every_problem(self) -> None:
        """Also what OpenSSL refuses."""
        weak = self.ca.issue(names=["a.example"], key=rsa.generate_private_key(65537, 1024))
        gateway = self.gateway(
            model.Certificate(name="a"),
            self.ca.issue().certificate("b"),
            weak.certificate("c"),
            roots=(model.TrustedRoot(name="d", data="*"),),
        )
        problems: list[Problem] = []
        loaded, roots = load_shown(gateway, problems), load_roots(gateway, problems)
        self.assertEqual((["b"], {}), (list(loaded), roots))
        self.assertEqual(
            ["certificates[0]", "certificates[2].data", "trustedRoots[0].data"], [problem.path for problem in problems]
        )

    def test_unused(self) -> None:
        """What was a warning in the check does not stop the start."""
        gateway = self.gateway(
            model.Certificate(name="unused", data="*"), roots=(model.TrustedRoot(name="unused", data="*"),)
        )
        self.assertEqual({"warning"}, {problem.severity for problem in check_certificates(gateway)})
        problems: list[Problem] = []
        self.assertEqual(({}, {}), (load_shown(gateway, problems), load_roots(gateway, problems)))
        self.assertEqual(["warning"], [problem.severity for problem in problems])


class RootTests(_CertificateTestCase):
    def test_der(self) -> None:
        self.assertEqual((self.ca.cert,), load_root(self.ca.trusted_root()))

    def test_pem(self) -> None:
        other = TestCA("Other")
        both = self.ca.pem + other.pem
        for root in (
            model.TrustedRoot(name="r", data=both.decode()),
            model.TrustedRoot(name="r", data=base64.b64encode(both).decode()),
            model.TrustedRoot(name="r", file=self.write(both)),
        ):
            self.assertEqual((self.ca.cert, other.cert), load_root(root))

    def test_problems(self) -> None:
        for root, expected in (
            (model.TrustedRoot(name="r"), "there is no certificate"),
            (model.TrustedRoot(name="r", data="*"), "not base64"),
            (model.TrustedRoot(name="r", data=base64.b64encode(b"x").decode()), "no certificate"),
            (model.TrustedRoot(name="r", file="/nonexistent"), "No such file"),
            (
                model.TrustedRoot(name="r", file=self.write(b"-----BEGIN X-----\n-----END X-----")),
                "no certificate in it",
            ),
            (model.TrustedRoot(name="r", key_vault_secret_id="https://v/s"), "https://v/s"),
        ):
            problem = self.assertRaises(ConfigurationError, load_root, root).problems[0]
            path, _, key = problem.path.partition(".")
            self.assertEqual("trustedRoots[r]", path)
            self.assertEqual("file" if root.file else "data" if root.data else "", key)
            self.assertIn(expected, problem.message)


class CheckTests(_CertificateTestCase):
    """What ``gatewayctl check`` says about certificates."""

    def gateway(
        self, issued: Issued | model.Certificate, hosts: tuple[str, ...] = (), used: bool = True
    ) -> model.Gateway:
        certificate = issued.certificate("web") if isinstance(issued, Issued) else issued
        listener = model.HttpListener(
            name="https", port=443, protocol="Https", host_names=hosts, certificates=("web",) if used else ()
        )
        return model.Gateway(listeners=(listener,), certificates=(certificate,))

    def only(self, gateway: model.Gateway, severity: str) -> tuple[str, str]:
        problems = check_certificates(gateway)
        self.assertEqual([severity], [problem.severity for problem in problems], problems)
        return problems[0].path, problems[0].message

    def test_good(self) -> None:
        issued = self.ca.issue(names=["a.example", "*.a.example"])
        gateway = self.gateway(issued, ("a.example", "*.a.example", "w?.a.example", "X.a.example"))
        self.assertEqual([], check_certificates(gateway))

    def test_expired(self) -> None:
        path, message = self.only(self.gateway(self.ca.issue(names=["a.example"], not_after=days(-2))), "warning")
        self.assertEqual("certificates[0].data", path)
        self.assertIn("CN=a.example expired on", message)

    def test_expires_soon(self) -> None:
        _, message = self.only(self.gateway(self.ca.issue(names=["a.example"], not_after=days(10.5))), "warning")
        self.assertIn("expires in 10 days", message)

    def test_now(self) -> None:
        gateway = self.gateway(self.ca.issue(names=["a.example"], not_after=days(90)))
        self.assertEqual([], check_certificates(gateway, now=days(59)))
        self.assertIn("expires in", check_certificates(gateway, now=days(61))[0].message)
        self.assertIn("expired on", check_certificates(gateway, now=days(90) + timedelta(minutes=1))[0].message)

    def test_not_yet_valid(self) -> None:
        issued = self.ca.issue(names=["a.example"], not_before=days(2))
        _, message = self.only(self.gateway(issued), "warning")
        self.assertIn("valid only from", message)

    def test_other_name(self) -> None:
        gateway = self.gateway(self.ca.issue(names=["a.example"]), ("a.example", "b.example"))
        path, message = self.only(gateway, "warning")
        self.assertEqual("listeners[0].hostNames", path)
        self.assertEqual("no certificate of this listener is valid for b.example: they are for a.example", message)

    def test_unavailable(self) -> None:
        """The gateway starts without it."""
        gateway = self.gateway(model.Certificate(name="web", unavailable="it is in a vault"))
        roots = (model.TrustedRoot(name="root", unavailable="it is in a vault"),)
        gateway = gateway.model_copy(update={"trusted_roots": roots})
        self.assertEqual([], check_certificates(gateway))
        problems: list[Problem] = []
        self.assertEqual(({}, {"root": ()}), (load_shown(gateway, problems), load_roots(gateway, problems)))
        self.assertEqual([], problems)

    def test_unusable(self) -> None:
        damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        gateway = self.gateway(model.Certificate(name="web", data=damaged))
        path, _ = self.only(gateway, "error")
        self.assertEqual("certificates[0].data", path)
        problems: list[Problem] = []
        self.assertEqual({}, load_shown(gateway, problems))
        self.assertEqual([(path, "error")], [(problem.path, problem.severity) for problem in problems])

    def test_unusable_and_unused(self) -> None:
        _, message = self.only(self.gateway(model.Certificate(name="web", data="*"), used=False), "warning")
        self.assertIn("(nothing uses it)", message)

    def test_refused_by_openssl(self) -> None:
        weak = rsa.generate_private_key(65537, 1024)
        _, message = self.only(self.gateway(self.ca.issue(names=["a.example"], key=weak)), "error")
        self.assertEqual("OpenSSL refuses the certificate or its key: ee key too small", message)

    def test_roots(self) -> None:
        settings = model.BackendSettings(name="s", protocol="Https", trusted_root_certificates=("bad",))
        roots = (model.TrustedRoot(name="bad", data="*"), model.TrustedRoot(name="unused", data="*"))
        problems = check_certificates(model.Gateway(settings=(settings,), trusted_roots=roots))
        self.assertEqual(
            [("trustedRoots[0].data", "error"), ("trustedRoots[1].data", "warning")],
            [(problem.path, problem.severity) for problem in problems],
        )

    def test_nothing_to_load(self) -> None:
        """That there is neither data nor a file is said with the configuration's own rules."""
        gateway = self.gateway(model.Certificate(name="web", key_vault_secret_id="https://v/s"))
        roots = (model.TrustedRoot(name="r"),)
        self.assertEqual([], check_certificates(gateway.model_copy(update={"trusted_roots": roots})))
