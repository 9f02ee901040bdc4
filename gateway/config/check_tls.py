"""What must hold of TLS policies and profiles, and what is legal but will hurt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.config.model import Gateway, SslPolicy
from gateway.config.tls_policies import policy_problems, weaknesses

__all__ = ["Location", "tls_findings"]

Location = tuple[str | int, ...]
_Refer = Callable[[Location, str, "str | None"], bool]


def tls_findings(gateway: Gateway, refer: _Refer) -> Iterator[tuple[Location, str, str]]:
    """Location, sentence and severity of each; ``refer(location, kind, name)`` notes a reference and says whether it
    leads somewhere, reporting it otherwise."""
    if gateway.ssl_policy is not None:
        yield from _policy(("ssl_policy",), gateway.ssl_policy)
    for index, profile in enumerate(gateway.ssl_profiles):
        here: Location = ("ssl_profiles", index)
        if profile.ssl_policy is not None:
            yield from _policy((*here, "ssl_policy"), profile.ssl_policy)
        for number, name in enumerate(profile.trusted_client_certificates):
            refer((*here, "trusted_client_certificates", number), "trusted_client_certificates", name)
        wanted = profile.client_auth_configuration
        if not profile.trusted_client_certificates and (
            wanted.verify_client_cert_issuer_dn or wanted.verify_client_revocation != "None"
        ):
            yield (
                (*here, "client_auth_configuration"),
                "clients are not asked for certificates: the profile has no trustedClientCertificates",
                "warning",
            )
    for index, listener in enumerate(gateway.listeners):
        at = ("listeners", index, "ssl_profile")
        if refer(at, "ssl_profiles", listener.ssl_profile) and not listener.secure:
            yield at, f"listener {listener.name!r} is {listener.protocol}, so that the profile has no effect", "warning"
    for index, authority in enumerate(gateway.trusted_client_certificates):
        if authority.unavailable is not None:
            sentence = f"trusted client certificate {authority.name!r} is not there: {authority.unavailable}"
            yield (
                ("trusted_client_certificates", index),
                f"{sentence}; until it is, clients with its certificates get 400",
                "warning",
            )
        elif not authority.data and not authority.file:
            yield ("trusted_client_certificates", index), "it has neither 'data' nor 'file'", "error"


def _policy(at: Location, policy: SslPolicy) -> Iterator[tuple[Location, str, str]]:
    wrong = list(policy_problems(policy))
    for attribute, sentence in wrong:
        yield (*at, attribute), sentence, "error"
    if not wrong:
        for sentence in weaknesses(policy):
            yield at, sentence, "warning"
