"""`gateway.config.tls_policies`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from gateway.config import model
from gateway.config.tls_policies import PREDEFINED, SUITES, TLS13, policy_of, policy_problems, weaknesses

_GCM = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"


def policy(**members: Any) -> model.SslPolicy:
    return model.SslPolicy.model_validate(members)


class PredefinedTests(SynchronousTestCase):
    """The table of the reference."""

    def test_versions(self) -> None:
        found = {name: (each.minimum, each.maximum) for name, each in PREDEFINED.items()}
        self.assertEqual(
            {
                "AppGwSslPolicy20150501": ("TLSv1_0", "TLSv1_2"),
                "AppGwSslPolicy20170401": ("TLSv1_1", "TLSv1_2"),
                "AppGwSslPolicy20170401S": ("TLSv1_2", "TLSv1_2"),
                "AppGwSslPolicy20220101": ("TLSv1_2", "TLSv1_3"),
                "AppGwSslPolicy20220101S": ("TLSv1_2", "TLSv1_3"),
            },
            found,
        )

    def test_suites(self) -> None:
        """How many, which is first, and that all are known."""
        counts = {name: (len(each.suites), len(each.suites13)) for name, each in PREDEFINED.items()}
        self.assertEqual([(18, 0), (16, 0), (16, 0), (8, 2), (4, 2)], list(counts.values()))
        for each in PREDEFINED.values():
            self.assertLessEqual(set(each.suites), set(SUITES))
            self.assertEqual(len(each.suites), len(set(each.suites)))
        self.assertEqual("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", PREDEFINED["AppGwSslPolicy20150501"].suites[0])
        self.assertEqual("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", PREDEFINED["AppGwSslPolicy20170401S"].suites[0])
        for suite in PREDEFINED["AppGwSslPolicy20220101S"].suites:
            self.assertRegex(suite, "^TLS_ECDHE_.*_GCM_")


class CustomTests(SynchronousTestCase):
    """Policies that list their suites."""

    def test_order(self) -> None:
        suites = (_GCM, "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA")
        found = policy_of(policy(policyType="Custom", minProtocolVersion="TLSv1_1", cipherSuites=suites))
        self.assertEqual(("TLSv1_1", "TLSv1_2", suites[:2], ()), tuple(found))

    def test_version_2(self) -> None:
        """The suites of TLS 1.3 come with it."""
        found = policy_of(policy(policyType="CustomV2", minProtocolVersion="TLSv1_2", cipherSuites=[_GCM]))
        self.assertEqual(("TLSv1_2", "TLSv1_3", (_GCM,), TLS13), tuple(found))
        only = policy_of(policy(policyType="CustomV2", minProtocolVersion="TLSv1_3", cipherSuites=[TLS13[1]]))
        self.assertEqual(("TLSv1_3", (), (TLS13[1], TLS13[0])), (only.minimum, only.suites, only.suites13))

    def test_old_style(self) -> None:
        old = policy(policyType="Custom", disabledSslProtocols=["TLSv1_0", "TLSv1_1"], cipherSuites=[_GCM])
        self.assertEqual("TLSv1_2", policy_of(old).minimum)


class ProblemTests(SynchronousTestCase):
    """What cannot be, in words."""

    def test_refused(self) -> None:
        for members, attribute, part in [
            ({}, "policy_name", "it is missing (there are: AppGwSslPolicy20150501"),
            ({"policyName": "AppGwSslPolicy20220101s"}, "policy_name", "did you mean 'AppGwSslPolicy20220101S'?"),
            (
                {"policyName": "AppGwSslPolicy20220101", "minProtocolVersion": "TLSv1_3"},
                "min_protocol_version",
                "brings its own",
            ),
            ({"policyType": "CustomV2", "minProtocolVersion": "TLSv1_2"}, "cipher_suites", "none of the suites"),
            (
                {"policyType": "Custom", "minProtocolVersion": "TLSv1_2", "cipherSuites": [_GCM + "x"]},
                "cipher_suites",
                f"did you mean '{_GCM}'?",
            ),
            (
                {"policyType": "Custom", "minProtocolVersion": "TLSv1_2", "cipherSuites": [_GCM, TLS13[0]]},
                "cipher_suites",
                "needs policyType CustomV2",
            ),
            (
                {"policyType": "Custom", "minProtocolVersion": "TLSv1_3", "cipherSuites": [_GCM]},
                "min_protocol_version",
                "needs policyType CustomV2",
            ),
            (
                {
                    "policyType": "Custom",
                    "disabledSslProtocols": ["TLSv1_0", "TLSv1_1", "TLSv1_2"],
                    "cipherSuites": [_GCM],
                },
                "disabled_ssl_protocols",
                "no version is left",
            ),
        ]:
            found = list(policy_problems(policy(**members)))
            self.assertTrue(any(name == attribute and part in sentence for name, sentence in found), (members, found))

    def test_fine(self) -> None:
        for name in PREDEFINED:
            self.assertEqual([], list(policy_problems(policy(policyName=name))))
        only = policy(policyType="CustomV2", minProtocolVersion="TLSv1_3")
        self.assertEqual([], list(policy_problems(only)))

    def test_weak(self) -> None:
        self.assertEqual([], list(weaknesses(policy(policyName="AppGwSslPolicy20220101S"))))
        old = " ".join(weaknesses(policy(policyName="AppGwSslPolicy20150501")))
        self.assertIn("TLSv1_0 is allowed", old)
        self.assertIn("no forward secrecy", old)
