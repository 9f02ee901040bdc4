"""`gateway.config.checks.certificates`."""

from __future__ import annotations

from gateway.config.model import BackendSettings, Certificate, TrustedRoot
from tests.config.checks.support import CheckCase, gateway, host


class CertificateTests(CheckCase):
    """Those that are not there."""

    def test_certificates(self) -> None:
        https = host("l", protocol="Https")
        self.says(gateway(https), "listeners[0]: listener 'l' is Https and has no certificate")
        https = host("l", protocol="Https", certificates=("c",))
        self.says(gateway(https), "there is no certificate 'c'")
        self.says(
            gateway(https, certificates=(Certificate(name="c"),)),
            "has neither data nor files; give files with overrides",
        )
        self.says(gateway(https, certificates=(Certificate(name="c", key_vault_secret_id="x"),)), "is in a Key Vault")
        self.says(gateway(https, certificates=(Certificate(name="c", certificate_file="x"),)))
        self.says(
            gateway(certificates=(Certificate(name="c", key_vault_secret_id="x"),)),
            "is in a Key Vault",
            severity="warning",
        )
        roots = {
            "settings": (
                BackendSettings(name="s", protocol="Https", request_timeout=60, trusted_root_certificates=("t",)),
            )
        }
        found = gateway(trusted_roots=(TrustedRoot(name="t"),), **roots)
        self.says(found, "trusted root 't' has neither data nor files")
