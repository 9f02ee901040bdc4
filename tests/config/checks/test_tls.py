"""`gateway.config.checks.tls`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from gateway.config import check, model


class TLSTests(SynchronousTestCase):
    """Policies, profiles and authorities."""

    def test_in_a_configuration(self) -> None:
        """Each finding has its place; references are resolved."""
        gateway = model.Gateway.model_validate(
            {
                "listeners": [{"name": "web", "port": 80, "sslProfile": "strict"}, {"name": "b", "port": 81}],
                "pools": [{"name": "p", "members": [{"host": "10.0.0.4"}]}],
                "settings": [{"name": "s"}],
                "rules": [{"name": "r", "listener": "web", "pool": "p", "settings": "s"}],
                "sslPolicy": {"policyName": "nonsense"},
                "sslProfiles": [
                    {
                        "name": "strict",
                        "sslPolicy": {"policyName": "AppGwSslPolicy20150501"},
                        "trustedClientCertificates": ["nobody"],
                    },
                    {"name": "odd", "clientAuthConfiguration": {"verifyClientRevocation": "OCSP"}},
                ],
                "trustedClientCertificates": [{"name": "empty"}],
            }
        )
        found = {problem.path: problem.message for problem in check.check(gateway)}
        self.assertIn("no predefined policy 'nonsense'", found["sslPolicy.policyName"])
        self.assertIn("no forward secrecy", found["sslProfiles[0].sslPolicy"])
        self.assertIn("there is no trusted client certificate 'nobody'", str(found))
        self.assertIn("is Http, so that the profile has no effect", found["listeners[0].sslProfile"])
        self.assertIn("not asked for certificates", found["sslProfiles[1].clientAuthConfiguration"])
        self.assertIn("neither 'data' nor 'file'", found["trustedClientCertificates[0]"])

    def test_profiles_that_ask_nobody(self) -> None:
        """Only where something says that clients were meant to be asked."""
        policy = {"policyName": "AppGwSslPolicy20220101S"}
        for members, told in (
            ({}, True),
            ({"clientAuthConfiguration": {"verifyClientAuthMode": "Strict"}}, True),
            ({"clientAuthConfiguration": {"verifyClientCertIssuerDN": True}, "sslPolicy": policy}, True),
            ({"clientAuthConfiguration": {"verifyClientAuthMode": "Strict"}, "sslPolicy": policy}, False),
            ({"clientAuthConfiguration": {"verifyClientAuthMode": "Passthrough"}}, False),
            ({"trustedClientCertificates": ["clients"]}, False),
        ):
            gateway = model.Gateway.model_validate(
                {
                    "sslProfiles": [{"name": "a", **members}],
                    "trustedClientCertificates": [{"name": "clients", "data": "some"}],
                }
            )
            found = [problem.message for problem in check.check(gateway) if problem.path.startswith("sslProfiles")]
            self.assertEqual([told] if told else [], ["not asked for certificates" in each for each in found], members)
