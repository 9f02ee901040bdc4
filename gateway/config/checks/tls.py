"""TLS policies and profiles, and the authorities of clients."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.checks.findings import Finding, warning
from gateway.config.draft import Location
from gateway.config.model import Gateway, SslPolicy, SslProfile, TrustedClientCertificate
from gateway.config.tls_policies import policy_problems, weaknesses

__all__ = ["find"]


def find(gateway: Gateway) -> Iterator[Finding]:
    """What is wrong with them, will hurt, or has no effect."""
    if gateway.ssl_policy is not None:
        yield from _policy(("ssl_policy",), gateway.ssl_policy)
    for index, profile in enumerate(gateway.ssl_profiles):
        yield from _profile(("ssl_profiles", index), profile)
    profiles = {profile.name for profile in gateway.ssl_profiles}
    for index, listener in enumerate(gateway.listeners):
        if listener.ssl_profile in profiles and not listener.secure:
            message = f"listener {listener.name!r} is {listener.protocol}, so that the profile has no effect"
            yield warning(("listeners", index, "ssl_profile"), message)
    for index, authority in enumerate(gateway.trusted_client_certificates):
        yield from _authority(("trusted_client_certificates", index), authority)


def _policy(at: Location, policy: SslPolicy) -> Iterator[Finding]:
    wrong = list(policy_problems(policy))
    for attribute, message in wrong:
        yield Finding((*at, attribute), message)
    if not wrong:
        for message in weaknesses(policy):
            yield warning(at, message)


def _profile(at: Location, profile: SslProfile) -> Iterator[Finding]:
    if profile.ssl_policy is not None:
        yield from _policy((*at, "ssl_policy"), profile.ssl_policy)
    wanted = profile.client_auth_configuration
    # Exports have the defaults of all members also where nobody thought of clients, but only beside a policy.
    asked = (
        wanted.verify_client_cert_issuer_dn
        or wanted.verify_client_revocation != "None"
        or profile.ssl_policy is None
    )
    if asked and wanted.verify_client_auth_mode == "Strict" and not profile.trusted_client_certificates:
        message = "clients are not asked for certificates: the profile has no trustedClientCertificates; name some"
        yield warning((*at, "client_auth_configuration"), f"{message}, or set verifyClientAuthMode to Passthrough")


def _authority(at: Location, authority: TrustedClientCertificate) -> Iterator[Finding]:
    if authority.unavailable is not None:
        yield warning(
            at,
            f"trusted client certificate {authority.name!r} is not there: {authority.unavailable}; until it is, "
            "clients with its certificates get 400",
        )
    elif not authority.data and not authority.file:
        yield Finding(at, "it has neither 'data' nor 'file'")
