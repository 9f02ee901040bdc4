"""TLS policies as an Application Gateway names them: versions and suites of the predefined ones, and what a custom one
may say (reference: "Application Gateway TLS policy overview").

Suites have their IANA names here, in order of preference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.model import SslPolicy
from gateway.config.tree import nearest

__all__ = ["PREDEFINED", "SUITES", "TLS13", "VERSIONS", "Policy", "policy_of", "policy_problems", "weaknesses"]

VERSIONS = ("TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3")

TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384")

SUITES = {
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384": "ECDHE-RSA-AES256-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384": "ECDHE-ECDSA-AES256-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA256": "AES256-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
}
"""What may be agreed on up to TLS 1.2, and OpenSSL's names."""

_IGNORED = tuple(
    f"TLS_{kind}"
    for kind in (
        "DHE_RSA_WITH_AES_256_GCM_SHA384",
        "DHE_RSA_WITH_AES_128_GCM_SHA256",
        "DHE_RSA_WITH_AES_256_CBC_SHA",
        "DHE_RSA_WITH_AES_128_CBC_SHA",
        "DHE_DSS_WITH_AES_256_CBC_SHA256",
        "DHE_DSS_WITH_AES_128_CBC_SHA256",
        "DHE_DSS_WITH_AES_256_CBC_SHA",
        "DHE_DSS_WITH_AES_128_CBC_SHA",
        "DHE_DSS_WITH_3DES_EDE_CBC_SHA",
        "RSA_WITH_3DES_EDE_CBC_SHA",
    )
)
"""Named in old policies, never agreed on: an Application Gateway v2 ignores DHE, and OpenSSL has no 3DES any more."""


def _suites(pattern: str) -> tuple[str, ...]:
    return tuple(f"TLS_{name}" for name in pattern.split())


_ECDSA_FIRST = _suites(
    "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ECDHE_ECDSA_WITH_AES_128_CBC_SHA "
    "ECDHE_ECDSA_WITH_AES_256_CBC_SHA ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 "
    "ECDHE_RSA_WITH_AES_128_GCM_SHA256 ECDHE_RSA_WITH_AES_256_GCM_SHA384 ECDHE_RSA_WITH_AES_128_CBC_SHA "
    "ECDHE_RSA_WITH_AES_256_CBC_SHA RSA_WITH_AES_128_GCM_SHA256 RSA_WITH_AES_256_GCM_SHA384 "
    "RSA_WITH_AES_128_CBC_SHA256 RSA_WITH_AES_256_CBC_SHA256 RSA_WITH_AES_128_CBC_SHA RSA_WITH_AES_256_CBC_SHA"
)
_MODERN = _suites(
    "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 ECDHE_RSA_WITH_AES_256_GCM_SHA384 "
    "ECDHE_RSA_WITH_AES_128_GCM_SHA256"
)


class Policy(NamedTuple):
    """``minimum`` and ``maximum``: of `VERSIONS`.  ``suites``: up to TLS 1.2; ``suites13``: of TLS 1.3, maybe none."""

    minimum: str
    maximum: str
    suites: tuple[str, ...]
    suites13: tuple[str, ...] = ()


PREDEFINED = {
    "AppGwSslPolicy20150501": Policy("TLSv1_0", "TLSv1_2", tuple(SUITES)),
    "AppGwSslPolicy20170401": Policy("TLSv1_1", "TLSv1_2", _ECDSA_FIRST),
    "AppGwSslPolicy20170401S": Policy("TLSv1_2", "TLSv1_2", _ECDSA_FIRST),
    "AppGwSslPolicy20220101": Policy(
        "TLSv1_2",
        "TLSv1_3",
        (
            *_MODERN,
            *_suites(
                "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 "
                "ECDHE_RSA_WITH_AES_256_CBC_SHA384 ECDHE_RSA_WITH_AES_128_CBC_SHA256"
            ),
        ),
        TLS13,
    ),
    "AppGwSslPolicy20220101S": Policy("TLSv1_2", "TLSv1_3", _MODERN, TLS13),
}


def policy_of(policy: SslPolicy) -> Policy:
    """What a policy asks for; it has been checked with `policy_problems`."""
    if policy.policy_type == "Predefined":
        return PREDEFINED[policy.policy_name or ""]
    suites = tuple(suite for suite in policy.cipher_suites if suite in SUITES)
    minimum = policy.min_protocol_version or _least_left(policy)
    if policy.policy_type == "CustomV2":
        # Both suites of TLS 1.3 come with it, whether they are listed or not; listed ones give the order.
        listed = tuple(suite for suite in policy.cipher_suites if suite in TLS13)
        return Policy(minimum, "TLSv1_3", suites, tuple(dict.fromkeys((*listed, *TLS13))))
    return Policy(minimum, "TLSv1_2", suites)


def _least_left(policy: SslPolicy) -> str:
    """The first version that the old style ``disabledSslProtocols`` leaves."""
    left = [version for version in VERSIONS[:3] if version not in policy.disabled_ssl_protocols]
    return left[0] if left else ""


def policy_problems(policy: SslPolicy) -> Iterator[tuple[str, str]]:
    """What is wrong with a policy: attribute and sentence, for each."""
    if policy.policy_type == "Predefined":
        if not policy.policy_name and not _least_left(policy):
            message = "all of TLSv1_0, TLSv1_1 and TLSv1_2 are disabled, so that no version is left; leave one of them"
            yield "disabled_ssl_protocols", f"{message} out, or choose a policy with 'policyName'"
        elif policy.policy_name not in PREDEFINED:
            close = nearest(policy.policy_name, list(PREDEFINED)) if policy.policy_name else None
            hint = f"; did you mean {close!r}?" if close else f" (there are: {', '.join(PREDEFINED)})"
            found = f"there is no predefined policy {policy.policy_name!r}" if policy.policy_name else "it is missing"
            yield "policy_name", found + hint
        for attribute in ("cipher_suites", "min_protocol_version"):
            if getattr(policy, attribute):
                yield attribute, "a predefined policy brings its own; use policyType CustomV2 to choose"
        return
    for suite in policy.cipher_suites:
        if suite not in SUITES and suite not in TLS13 and suite not in _IGNORED:
            close = nearest(suite, [*SUITES, *TLS13])
            yield "cipher_suites", f"there is no suite {suite!r}" + (f"; did you mean {close!r}?" if close else "")
        elif suite in TLS13 and policy.policy_type == "Custom":
            yield "cipher_suites", f"{suite} belongs to TLS 1.3, which needs policyType CustomV2"
    minimum = policy.min_protocol_version or _least_left(policy)
    if not minimum:
        yield "disabled_ssl_protocols", "no version is left; leave one out, or give 'minProtocolVersion'"
    elif minimum == "TLSv1_3" and policy.policy_type == "Custom":
        yield "min_protocol_version", "TLS 1.3 needs policyType CustomV2"
    elif minimum != "TLSv1_3" and not any(suite in SUITES for suite in policy.cipher_suites):
        yield "cipher_suites", "none of the suites can be agreed on: list at least one with ECDHE or RSA, and AES"


def weaknesses(policy: SslPolicy) -> Iterator[str]:
    """What is legal and no longer thought safe, or will not be agreed on."""
    wanted = policy_of(policy)
    if wanted.minimum in VERSIONS[:2]:
        yield f"{wanted.minimum} is allowed, which RFC 8996 forbids and browsers no longer speak; the least is TLSv1_2"
    without_secrecy = [suite for suite in wanted.suites if not suite.startswith("TLS_ECDHE")]
    if without_secrecy:
        yield f"{len(without_secrecy)} suites have no forward secrecy, such as {without_secrecy[0]}"
    ignored = [suite for suite in policy.cipher_suites if suite in _IGNORED]
    if ignored:
        yield f"{', '.join(ignored)} cannot be agreed on: DHE and 3DES are not offered"
