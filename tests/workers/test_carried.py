"""`gateway.workers.carried`."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from gateway.config.model import Gateway
from gateway.lifecycle.generation import Material
from gateway.workers.carried import carried, dumped, with_dumped
from tests.certificates import TestCA


class CarriedTests(SynchronousTestCase):
    """Certificates, roots and authorities of files that are gone by the time they are wanted."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        ca = TestCA()
        certificate, key = ca.issue(["a.example"]).pem_files(str(directory), "secret")
        root = directory / "root.pem"
        root.write_bytes(ca.cert.public_bytes(Encoding.DER))
        self.model = Gateway.model_validate(
            {
                "certificates": [
                    {"name": "c", "certificateFile": certificate, "keyFile": key, "password": "secret"},
                    {"name": "unused", "certificateFile": "/nowhere"},
                ],
                "trustedRoots": [{"name": "r", "file": str(root)}, {"name": "unused", "file": "/nowhere"}],
                "trustedClientCertificates": [{"name": "a", "file": str(root)}, {"name": "b", "unavailable": "why"}],
                "sslProfiles": [{"name": "p", "trustedClientCertificates": ["a", "b"]}],
                "settings": [{"name": "s", "protocol": "Https", "trustedRootCertificates": ["r"]}],
                "listeners": [
                    {"name": "web", "port": 0, "protocol": "Https", "certificates": ["c"], "sslProfile": "p"}
                ],
            }
        )
        self.material = Material.of(self.model)
        for path in directory.iterdir():
            path.write_bytes(b"")

    def check(self, model: Gateway) -> None:
        found = Material.of(model)
        one, other = self.material.certificates["c"], found.certificates["c"]
        self.assertEqual((one.leaf, one.chain, one.names), (other.leaf, other.chain, other.names))
        self.assertEqual(one.key.private_numbers(), other.key.private_numbers())
        self.assertEqual((self.material.roots["r"], self.material.authorities), (found.roots["r"], found.authorities))

    def test_model(self) -> None:
        """What was read is in the model, and nothing of it is read again."""
        self.check(Gateway.model_validate_json(carried(self.material).model_dump_json()))

    def test_parts(self) -> None:
        self.check(with_dumped(self.model, dumped(self.material)))

    def test_not_shown(self) -> None:
        """The private key is in no ``repr``."""
        self.assertNotIn("PRIVATE", repr(carried(self.material)))
